//! An operation that goes on without its caller.

use std::any::Any;
use std::cell::UnsafeCell;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};

use super::activity::Activity;
use crate::error::Result;
use crate::message::Status;

/// An operation that whoever polls drives on, and what became of it.
pub(crate) trait Task: Send + Sync {
    /// Drives the operation; true when it is over.
    ///
    /// # Safety
    /// One thread at a time: the one that holds the baton, or the one that made the task and has not
    /// shown it to the engine yet.
    unsafe fn poll(&self) -> bool;

    /// Drops the operation in the middle, which takes back what the transport gives back.
    ///
    /// # Safety
    /// As for [`poll`](Self::poll).
    unsafe fn give_up(&self);

    /// What it does, and what became of it.
    fn state(&self) -> &TaskState;
}

/// Whose memory the elements of a task's message are in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Memory {
    /// Its own: leaked where the transport goes on using it.
    Owned,
    /// Of somebody who takes it back after [`Engine::give_up`](super::Engine::give_up).
    Borrowed,
    /// There are none: it answers for an operation that is over for its caller.
    Nothing,
}

/// The part of a task that anybody may look at.
pub(crate) struct TaskState {
    pub activity: Arc<Activity>,
    pub memory: Memory,
    done: AtomicBool,
    outcome: Mutex<Option<Result<Status>>>,
    /// What must live until the task is over.
    kept: Mutex<Option<Box<dyn Any + Send>>>,
}

struct Operation<F> {
    state: TaskState,
    future: UnsafeCell<Option<F>>,
}

// SAFETY: the future is touched by one thread at a time (the contract of `poll` and `give_up`) and may
// change threads; the rest is `Sync`.
unsafe impl<F: Send> Sync for Operation<F> {}

/// Makes a task of a future.
pub(crate) fn task<F>(activity: Arc<Activity>, memory: Memory, future: F) -> Arc<dyn Task>
where
    F: Future<Output = Result<Status>> + Send + 'static,
{
    Arc::new(Operation {
        state: TaskState {
            activity,
            memory,
            done: AtomicBool::new(false),
            outcome: Mutex::new(None),
            kept: Mutex::new(None),
        },
        future: UnsafeCell::new(Some(future)),
    })
}

impl<F: Future<Output = Result<Status>> + Send> Task for Operation<F> {
    unsafe fn poll(&self) -> bool {
        // SAFETY: by the contract nobody else touches the future now.
        let future = unsafe { &mut *self.future.get() };
        let Some(running) = future else { return true };
        // SAFETY: the future lies in the allocation of an `Arc` and is dropped there.
        let running = unsafe { Pin::new_unchecked(running) };
        match running.poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Pending => false,
            Poll::Ready(outcome) => {
                *future = None;
                self.state.finish(outcome);
                true
            }
        }
    }

    unsafe fn give_up(&self) {
        // SAFETY: by the contract nobody else touches the future now.
        unsafe { *self.future.get() = None };
    }

    fn state(&self) -> &TaskState {
        &self.state
    }
}

impl TaskState {
    pub(super) fn finish(&self, outcome: Result<Status>) {
        *self.outcome.lock().unwrap_or_else(PoisonError::into_inner) = Some(outcome);
        let kept = {
            let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
            self.done.store(true, Ordering::Release);
            kept.take()
        };
        drop(kept);
    }

    pub(crate) fn is_done(&self) -> bool {
        self.done.load(Ordering::Acquire)
    }

    /// The outcome, once.
    pub(crate) fn take_outcome(&self) -> Option<Result<Status>> {
        self.outcome.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Keeps a value alive until the task is over; forever, if it never is.
    pub(crate) fn keep(&self, value: Box<dyn Any + Send>) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if !self.is_done() {
            *kept = Some(value);
        }
    }
}
