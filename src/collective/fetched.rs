//! Elements on a GPU that are so few that the host folds them: one copy down, one copy up, and no kernel.

use super::agreement::Agreed;
use super::temporary::Temporary;
use super::{Call, copy};
use crate::buffer::Span;
use crate::error::Result;

/// Host memory in the place of a reduction's buffers, as far as these are on a GPU.
pub(super) struct Fetched {
    own: Option<Box<Temporary>>,
    result: Option<Box<Temporary>>,
}

impl Fetched {
    /// Memory for this rank's elements and its result, if the elements are few; otherwise none.
    pub(super) fn new(call: &Call<'_>, own: &Span<'_>, result: Option<&Span<'_>>) -> Result<Fetched> {
        let most = call.endpoint().ladders().host_fold().most;
        let memory = |span: &Span<'_>| match span.lane().is_some() && own.bytes() <= most {
            // What a result has behind as many elements is left alone.
            true => Temporary::on_host(span, own.elements().min(span.elements()))
                .map(|memory| Some(Box::new(memory))),
            false => Ok(None),
        };
        Ok(Fetched {
            own: memory(own)?,
            result: result.map_or(Ok(None), memory)?,
        })
    }

    /// Copies the elements here. If that fails, the other ranks learn of it by the data that they wait for.
    pub(super) async fn fetch(&self, own: &Span<'_>, agreed: &mut Agreed<'_>) {
        if let Some(memory) = &self.own
            && let Err(error) = copy(own, memory.span()).await
        {
            agreed.failure.get_or_insert(error);
        }
    }

    /// This rank's elements where they are folded.
    pub(super) fn own<'a>(&'a self, own: &'a Span<'_>) -> Span<'a> {
        match &self.own {
            Some(memory) => memory.span().alias(),
            None => own.alias(),
        }
    }

    /// The result where it is folded.
    pub(super) fn result<'a>(&'a self, result: &'a Span<'_>) -> Span<'a> {
        match &self.result {
            Some(memory) => memory.span().alias(),
            None => result.alias(),
        }
    }

    /// Copies the first `elements` elements of the result to where they belong.
    pub(super) async fn deliver(&self, result: &Span<'_>, elements: usize) -> Result<()> {
        match &self.result {
            None => Ok(()),
            Some(memory) => copy(&memory.span().part(0, elements)?, result).await,
        }
    }
}
