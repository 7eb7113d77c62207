//! What lets the progress thread sleep, and those who give it work wake it; `tests/models` models it.

use super::sync::{AtomicBool, AtomicUsize, Ordering, fence};

/// How a sleeper and those who give it work do not miss each other.
pub(super) struct Doze {
    pending: AtomicUsize,
    dozing: AtomicBool,
}

impl Default for Doze {
    fn default() -> Doze {
        // No thread is as good as one that sleeps: the first task wakes it.
        Doze {
            pending: AtomicUsize::new(0),
            dozing: AtomicBool::new(true),
        }
    }
}

impl Doze {
    /// Says that a task is pending.
    pub(super) fn add(&self) {
        self.pending.fetch_add(1, Ordering::AcqRel);
        // Pairs with the fence of `sleep`: either this sees the sleeper or that sees the task.
        fence(Ordering::SeqCst);
    }

    /// Says that so many tasks are over.
    pub(super) fn subtract(&self, tasks: usize) {
        self.pending.fetch_sub(tasks, Ordering::AcqRel);
    }

    pub(super) fn pending(&self) -> usize {
        self.pending.load(Ordering::Acquire)
    }

    pub(super) fn is_dozing(&self) -> bool {
        self.dozing.load(Ordering::Acquire)
    }

    /// Whether the caller is the one to wake the sleeper.
    pub(super) fn wake(&self) -> bool {
        self.dozing.swap(false, Ordering::AcqRel)
    }

    /// Parks unless there is something to do; wakes up without reason too.
    pub(super) fn sleep(&self, park: impl FnOnce()) {
        self.dozing.store(true, Ordering::Release);
        fence(Ordering::SeqCst);
        if self.pending() == 0 {
            park();
        }
        self.dozing.store(false, Ordering::Release);
    }
}
