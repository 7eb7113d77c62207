//! Memory that an operation has for itself, beside a buffer.

use super::allgather::block;
use super::copy;
use crate::buffer::{Blocks, Span};
use crate::device::Scratch;
use crate::error::{Error, Result};

/// Elements in memory of the same device as a buffer.
pub(super) struct Temporary {
    span: Span<'static>,
    _memory: Scratch,
}

impl Temporary {
    /// Room for `elements` elements of the type of `buffer`.
    pub(super) fn beside(buffer: &Span<'_>, elements: usize) -> Result<Temporary> {
        let bytes = elements
            .checked_mul(buffer.dtype().size())
            .ok_or_else(|| Error::invalid(format!("a buffer of {elements} elements")))?;
        let memory = Scratch::new(buffer.lane(), bytes)?;
        let span = Span::scratch(
            memory.pointer(),
            elements,
            buffer.dtype(),
            buffer.place(),
            buffer.lane().cloned(),
        );
        Ok(Temporary {
            span,
            _memory: memory,
        })
    }

    /// Copies of blocks of a buffer, one behind the other.
    ///
    /// An operation in place sends these, because it receives into where the blocks are.
    pub(super) async fn copied(buffer: &Span<'_>, blocks: &Blocks) -> Result<(Temporary, Blocks)> {
        let counts: Vec<usize> = (0..blocks.len()).map(|rank| blocks.count(rank)).collect();
        let packed = Blocks::packed(counts);
        let temporary = Temporary::beside(buffer, packed.total())?;
        for rank in 0..blocks.len() {
            let source = block(buffer, blocks, rank)?;
            copy(&source, &block(&temporary.span, &packed, rank)?).await?;
        }
        Ok((temporary, packed))
    }

    pub(super) fn span(&self) -> &Span<'static> {
        &self.span
    }
}
