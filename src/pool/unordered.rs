//! Results as they come.

use std::fmt;
use std::iter::FusedIterator;

use super::call::{Call, Next};
use super::failure::{Stopped, Tried};
use super::payload::Payload;

/// The results and failures of a call as they come: of [`LoadBalanced::map_unordered`](super::LoadBalanced::map_unordered).
///
/// Each item is the number of a task with its result or failure, or, as the last one, why there are no more.
pub struct Unordered<'m, T: Payload, R: Payload> {
    /// None when all has been said.
    call: Option<Call<'m, T, R>>,
}

impl<'m, T: Payload, R: Payload> Unordered<'m, T, R> {
    pub(super) fn new(call: Call<'m, T, R>) -> Self {
        Unordered { call: Some(call) }
    }
}

impl<T: Payload, R: Payload> Iterator for Unordered<'_, T, R> {
    type Item = Result<(u64, Tried<R>), Stopped>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            match self.call.as_mut()?.next(None) {
                Ok(Next::Task(index, result)) => return Some(Ok((index, result))),
                Ok(Next::NotYet) => {}
                Ok(Next::Over) => self.call = None,
                Err(stopped) => {
                    self.call = None;
                    return Some(Err(stopped));
                }
            }
        }
    }
}

impl<T: Payload, R: Payload> FusedIterator for Unordered<'_, T, R> {}

impl<T: Payload, R: Payload> fmt::Debug for Unordered<'_, T, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Unordered")
            .field("is_over", &self.call.is_none())
            .finish()
    }
}
