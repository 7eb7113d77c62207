//! Who polls: one thread at a time, handed on without losing anybody.

use std::sync::PoisonError;
use std::time::Duration;

use super::sync::{AtomicUsize, Condvar, Mutex, MutexGuard, Ordering, fence};

/// State that belongs to the one thread that polls, and the queue of threads that wait for it to
/// finish their work or to leave.
pub(super) struct Baton<T> {
    state: Mutex<T>,
    /// Threads that wait in [`wait`](Self::wait).
    waiting: AtomicUsize,
    /// Threads that wait in [`take`](Self::take).
    wanted: AtomicUsize,
    lock: Mutex<()>,
    condition: Condvar,
}

/// The right to poll; dropping it hands it on.
pub(super) struct Held<'a, T> {
    // Dropped first.
    state: MutexGuard<'a, T>,
    _hand_on: HandOn<'a, T>,
}

/// Announces when it is dropped.
struct HandOn<'a, T>(&'a Baton<T>);

/// How a [`Baton::wait`] ended.
pub(super) enum Waited<'a, T> {
    /// The condition holds.
    Done,
    /// The polling thread has left; the caller polls now.
    Taken(Held<'a, T>),
    /// Neither happened in time.
    TimedOut,
}

impl<T> Baton<T> {
    pub(super) fn new(state: T) -> Baton<T> {
        Baton {
            state: Mutex::new(state),
            waiting: AtomicUsize::new(0),
            wanted: AtomicUsize::new(0),
            lock: Mutex::new(()),
            condition: Condvar::new(),
        }
    }

    fn held<'a>(&'a self, state: MutexGuard<'a, T>) -> Held<'a, T> {
        Held {
            state,
            _hand_on: HandOn(self),
        }
    }

    /// Takes the baton if nobody polls.
    #[inline]
    pub(super) fn try_take(&self) -> Option<Held<'_, T>> {
        match self.state.try_lock() {
            Ok(state) => Some(self.held(state)),
            #[cfg(not(loom))]
            Err(std::sync::TryLockError::Poisoned(poisoned)) => Some(self.held(poisoned.into_inner())),
            Err(_) => None,
        }
    }

    /// Takes the baton from whoever polls, which gives way between two rounds.
    pub(super) fn take(&self) -> Held<'_, T> {
        self.wanted.fetch_add(1, Ordering::Relaxed);
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        self.wanted.fetch_sub(1, Ordering::Relaxed);
        self.held(state)
    }

    /// Whether the polling thread should drop the baton for a moment.
    #[inline]
    pub(super) fn is_wanted(&self) -> bool {
        self.wanted.load(Ordering::Relaxed) > 0
    }

    /// Waits until `done` holds or nobody polls, at most for about `time`.
    ///
    /// Whoever makes `done` true calls [`announce`](Self::announce) afterwards.
    pub(super) fn wait(&self, done: impl Fn() -> bool, time: Duration) -> Waited<'_, T> {
        self.waiting.fetch_add(1, Ordering::Relaxed);
        // Pairs with the fence of `announce`: either that sees this waiter, or this sees what it announces.
        fence(Ordering::SeqCst);
        let waited = self.wait_in_queue(done, time);
        self.waiting.fetch_sub(1, Ordering::Relaxed);
        waited
    }

    fn wait_in_queue(&self, done: impl Fn() -> bool, time: Duration) -> Waited<'_, T> {
        let look = || match done() {
            true => Some(Waited::Done),
            false => self.try_take().map(Waited::Taken),
        };
        let guard = self.lock.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(waited) = look() {
            return waited;
        }
        drop(self.sleep(guard, time));
        look().unwrap_or(Waited::TimedOut)
    }

    #[cfg(not(loom))]
    fn sleep<'a>(&self, guard: MutexGuard<'a, ()>, time: Duration) -> MutexGuard<'a, ()> {
        self.condition
            .wait_timeout(guard, time)
            .unwrap_or_else(PoisonError::into_inner)
            .0
    }

    /// Under the model time never passes, so that a lost wake-up is a deadlock that loom reports.
    #[cfg(loom)]
    fn sleep<'a>(&self, guard: MutexGuard<'a, ()>, _: Duration) -> MutexGuard<'a, ()> {
        self.condition.wait(guard).unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets the waiting threads look again.
    #[inline]
    pub(super) fn announce(&self) {
        fence(Ordering::SeqCst);
        if self.waiting.load(Ordering::Relaxed) > 0 {
            drop(self.lock.lock().unwrap_or_else(PoisonError::into_inner));
            self.condition.notify_all();
        }
    }
}

impl<T> std::ops::Deref for Held<'_, T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        &self.state
    }
}

impl<T> std::ops::DerefMut for Held<'_, T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        &mut self.state
    }
}

impl<T> Drop for HandOn<'_, T> {
    #[inline]
    fn drop(&mut self) {
        self.0.announce();
    }
}
