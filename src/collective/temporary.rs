//! Memory that an operation has for itself, beside a buffer.

use super::allgather::block;
use super::copy;
use crate::buffer::{Blocks, Span};
use crate::device::{Lane, Place, Scratch};
use crate::dtype::Dtype;
use crate::error::{Error, Result};
use std::sync::Arc;

/// Elements in memory of the same device as a buffer, or of the host.
pub(super) struct Temporary {
    span: Span<'static>,
    _memory: Scratch,
}

impl Temporary {
    /// Room for `elements` elements of the type of `buffer`.
    pub(super) fn beside(buffer: &Span<'_>, elements: usize) -> Result<Temporary> {
        Temporary::of(buffer.dtype(), elements, buffer.place(), buffer.lane())
    }

    /// Room on the host for `elements` elements of the type of `buffer`.
    pub(super) fn on_host(buffer: &Span<'_>, elements: usize) -> Result<Temporary> {
        Temporary::of(buffer.dtype(), elements, Place::Host, None)
    }

    fn of(dtype: Dtype, elements: usize, place: Place, lane: Option<&Arc<Lane>>) -> Result<Temporary> {
        let bytes = elements
            .checked_mul(dtype.size())
            .ok_or_else(|| Error::invalid(format!("a buffer of {elements} elements")))?;
        let memory = Scratch::new(lane, bytes)?;
        let span = Span::scratch(memory.pointer(), elements, dtype, place, lane.cloned());
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
