//! The right to poll, with what it obliges to.

use std::ops::{Deref, DerefMut};

use super::Entry;
use super::baton::Held;
use super::wakers::Wakers;

/// The baton, and the duty to wake those whose tasks have ended meanwhile: when it has been let go, since a waker is
/// foreign code, which may call the engine.
pub(super) struct Polling<'a> {
    // Dropped first.
    held: Held<'a, Vec<Entry>>,
    _wake: Wake<'a>,
}

/// Wakes when it is dropped.
struct Wake<'a>(&'a Wakers);

impl<'a> Polling<'a> {
    #[inline]
    pub(super) fn new(held: Held<'a, Vec<Entry>>, wakers: &'a Wakers) -> Polling<'a> {
        Polling {
            held,
            _wake: Wake(wakers),
        }
    }
}

impl Deref for Polling<'_> {
    type Target = Vec<Entry>;

    #[inline]
    fn deref(&self) -> &Vec<Entry> {
        &self.held
    }
}

impl DerefMut for Polling<'_> {
    #[inline]
    fn deref_mut(&mut self) -> &mut Vec<Entry> {
        &mut self.held
    }
}

impl Drop for Wake<'_> {
    #[inline]
    fn drop(&mut self) {
        self.0.wake();
    }
}
