//! The name of a communicator, which most do not have.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// A name that may be given and changed at any time.
#[derive(Default)]
pub(crate) struct Name {
    /// Looked at by every operation, which then need not lock.
    is_given: AtomicBool,
    text: Mutex<Option<Arc<str>>>,
}

impl Name {
    /// Gives a name; an empty one takes it away.
    pub(crate) fn set(&self, name: &str) {
        let mut text = self.text.lock().unwrap_or_else(PoisonError::into_inner);
        *text = (!name.is_empty()).then(|| name.into());
        self.is_given.store(text.is_some(), Ordering::Release);
    }

    #[inline]
    pub(crate) fn get(&self) -> Option<Arc<str>> {
        match self.is_given.load(Ordering::Acquire) {
            true => self.text.lock().unwrap_or_else(PoisonError::into_inner).clone(),
            false => None,
        }
    }
}
