//! Who waits for tasks as futures, once these are over.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::task::Waker;

/// Wakers of tasks that are over, until the thread that has polled lets go of the baton.
#[derive(Default)]
pub(super) struct Wakers {
    are_there: AtomicBool,
    list: Mutex<Vec<Waker>>,
}

impl Wakers {
    pub(super) fn add(&self, waker: Option<Waker>) {
        if let Some(waker) = waker {
            self.list
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push(waker);
            self.are_there.store(true, Ordering::Release);
        }
    }

    #[inline]
    pub(super) fn are_there(&self) -> bool {
        self.are_there.load(Ordering::Relaxed)
    }

    /// Wakes all. A panic of a waker is not this operation's: it is printed as every panic is, and ends here.
    #[inline]
    pub(super) fn wake(&self) {
        if self.are_there() {
            self.wake_all();
        }
    }

    #[cold]
    fn wake_all(&self) {
        self.are_there.store(false, Ordering::Relaxed);
        let list = std::mem::take(&mut *self.list.lock().unwrap_or_else(PoisonError::into_inner));
        for waker in list {
            let _ = catch_unwind(AssertUnwindSafe(|| waker.wake()));
        }
    }
}
