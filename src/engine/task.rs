//! An operation that goes on without its caller.

use std::any::Any;
use std::cell::UnsafeCell;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use super::activity::Activity;
use super::trace;
use crate::error::{Error, Result};
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
    until_over: Mutex<UntilOver>,
}

/// What there is to do when a task is over.
#[derive(Default)]
struct UntilOver {
    /// What must live until then.
    kept: Option<Box<dyn Any + Send>>,
    /// Who waits for it as a future.
    waker: Option<Waker>,
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
    activity.becomes_a_task();
    if memory != Memory::Nothing && trace::is_on() {
        activity.begin();
    }
    Arc::new(Operation {
        state: TaskState {
            activity,
            memory,
            done: AtomicBool::new(false),
            outcome: Mutex::new(None),
            until_over: Mutex::default(),
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
    /// Ends the task. Whoever calls this takes the waker, and wakes it when it has let go of the baton.
    pub(super) fn finish(&self, outcome: Result<Status>) {
        if trace::is_on() {
            self.activity
                .note(outcome.as_ref().map(drop).map_err(Error::kind));
            self.activity.close();
        }
        *self.outcome.lock().unwrap_or_else(PoisonError::into_inner) = Some(outcome);
        let kept = {
            let mut until_over = self.until_over();
            self.done.store(true, Ordering::Release);
            until_over.kept.take()
        };
        drop(kept);
    }

    fn until_over(&self) -> MutexGuard<'_, UntilOver> {
        self.until_over.lock().unwrap_or_else(PoisonError::into_inner)
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
        let mut until_over = self.until_over();
        if !self.is_done() {
            until_over.kept = Some(value);
        }
    }

    /// Sees to it that `waker` is woken when the task is over; true if it is already.
    pub(crate) fn wake_when_over(&self, waker: &Waker) -> bool {
        let mut until_over = self.until_over();
        if !self.is_done() {
            match &mut until_over.waker {
                Some(known) => known.clone_from(waker),
                none => *none = Some(waker.clone()),
            }
        }
        self.is_done()
    }

    /// Who waits for the task as a future, to be woken when it is over, or to look at its deadline.
    pub(super) fn take_waker(&self) -> Option<Waker> {
        self.until_over().waker.take()
    }

    /// What became of the task, for those who leave the outcome to its owner.
    pub(crate) fn outcome(&self) -> Option<Result<Status>> {
        match &*self.outcome.lock().unwrap_or_else(PoisonError::into_inner) {
            None => None,
            Some(Ok(status)) => Some(Ok(*status)),
            Some(Err(error)) => Some(Err(error.duplicate())),
        }
    }
}
