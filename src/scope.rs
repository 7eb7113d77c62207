//! Operations on borrowed buffers, all of which end before their scope does.

use std::fmt;
use std::marker::PhantomData;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};

use crate::buffer::{Buffer, BufferMut, Span};
use crate::comm::Communicator;
use crate::engine::{self, Engine, Memory, Mode, Task};
use crate::error::Result;
use crate::message::{Source, Status, Tag};
use crate::request::handle::{Handle, View};
use crate::request::{self, Tested};
use crate::route::{Route, Way};

/// Where operations on borrowed buffers are started; see [`Communicator::scope`].
pub struct Scope<'scope, 'env: 'scope> {
    comm: Communicator,
    tasks: Mutex<Vec<Arc<dyn Task>>>,
    /// Invariant, so that `'scope` cannot be made to end earlier than the scope.
    scope: PhantomData<&'scope mut &'scope ()>,
    env: PhantomData<&'env mut &'env ()>,
}

/// An operation of a [`Scope`] under way, which holds the borrow of its buffer.
///
/// It may be dropped: the scope waits for the operation and reports its error.
pub struct ScopedRequest<'scope, B> {
    comm: &'scope Communicator,
    task: Arc<dyn Task>,
    buffer: B,
}

impl Communicator {
    /// Runs a closure that may start sends and receives on buffers borrowed from outside it; returns when
    /// all of them are over.
    ///
    /// If the closure returns an `Err` or panics, receives that no message has matched are cancelled, sends
    /// whose receiver has not answered are withdrawn (the receiver gets
    /// [`PeerFailed`](crate::ErrorKind::PeerFailed)), the rest is completed, collectives too, and the error is
    /// returned or the panic goes on.
    ///
    /// # Errors
    /// The closure's error; else the first error of an operation that was not waited for.
    ///
    /// ```
    /// use warpcomm::{Communicator, Tag};
    ///
    /// let ghosts = Communicator::threads(3, |comm| {
    ///     let (rank, size) = (comm.rank(), comm.size());
    ///     let (left, right) = ((rank + size - 1) % size, (rank + 1) % size);
    ///     let edge = [rank as f32; 1000];
    ///     let mut ghost = [0f32; 1000];
    ///     comm.scope(|s| {
    ///         s.irecv(&mut ghost, left, Tag(0))?;
    ///         s.isend(&edge, right, Tag(0))?;
    ///         // Compute the interior here, while the edges travel.
    ///         Ok(())
    ///     })?;
    ///     Ok::<f32, warpcomm::Error>(ghost[999])
    /// })?;
    /// assert_eq!(ghosts.into_iter().collect::<Result<Vec<_>, _>>()?, [2.0, 0.0, 1.0]);
    /// # Ok::<(), warpcomm::Error>(())
    /// ```
    pub fn scope<'env, R>(
        &self,
        body: impl for<'scope> FnOnce(&'scope Scope<'scope, 'env>) -> Result<R>,
    ) -> Result<R> {
        drop(self.enter(&self.activity("scope"))?);
        let scope = Scope {
            comm: self.clone(),
            tasks: Mutex::default(),
            scope: PhantomData,
            env: PhantomData,
        };
        let outcome = catch_unwind(AssertUnwindSafe(|| body(&scope)));
        let finished = scope.finish(!matches!(outcome, Ok(Ok(_))));
        match outcome {
            Ok(outcome) => outcome.and_then(|value| finished.map(|()| value)),
            Err(panic) => resume_unwind(panic),
        }
    }
}

impl<'scope> Scope<'scope, '_> {
    /// Starts to send a borrowed buffer to rank `dest`. (A buffered send needs no scope: see
    /// [`Communicator::bsend`].)
    ///
    /// # Errors
    /// [`InvalidArgument`](crate::ErrorKind::InvalidArgument) for a rank or tag out of range, at once;
    /// others as for [`Communicator::send`], at [`ScopedRequest::wait`] or at the end of the scope.
    pub fn isend<B: Buffer + ?Sized>(
        &'scope self,
        buffer: &'scope B,
        dest: usize,
        tag: Tag,
    ) -> Result<ScopedRequest<'scope, &'scope B>> {
        self.start_to_send("isend", buffer, Route::To(dest, tag, Mode::Standard))
    }

    /// Starts a synchronous send of a borrowed buffer to rank `dest`; see [`Communicator::issend`].
    ///
    /// # Errors
    /// [`InvalidArgument`](crate::ErrorKind::InvalidArgument) for a rank or tag out of range, at once;
    /// others as for [`Communicator::ssend`], at [`ScopedRequest::wait`] or at the end of the scope.
    ///
    /// ```
    /// use warpcomm::{Communicator, Tag};
    ///
    /// let numbers = Communicator::threads(2, |comm| {
    ///     let peer = 1 - comm.rank();
    ///     let (own, mut theirs) = (comm.rank() as u64, 9);
    ///     comm.scope(|s| {
    ///         s.irecv(&mut theirs, peer, Tag(0))?;
    ///         s.issend(&own, peer, Tag(0))?.wait()?; // the peer has matched it
    ///         Ok(())
    ///     })?;
    ///     Ok::<u64, warpcomm::Error>(theirs)
    /// })?;
    /// assert_eq!(numbers.into_iter().collect::<Result<Vec<_>, _>>()?, [1, 0]);
    /// # Ok::<(), warpcomm::Error>(())
    /// ```
    pub fn issend<B: Buffer + ?Sized>(
        &'scope self,
        buffer: &'scope B,
        dest: usize,
        tag: Tag,
    ) -> Result<ScopedRequest<'scope, &'scope B>> {
        self.start_to_send("issend", buffer, Route::To(dest, tag, Mode::Synchronous))
    }

    /// Starts to send a borrowed buffer to a rank that has posted the receive already; see
    /// [`Communicator::rsend`].
    ///
    /// # Errors
    /// As for [`isend`](Self::isend).
    pub fn irsend<B: Buffer + ?Sized>(
        &'scope self,
        buffer: &'scope B,
        dest: usize,
        tag: Tag,
    ) -> Result<ScopedRequest<'scope, &'scope B>> {
        self.start_to_send("irsend", buffer, Route::To(dest, tag, Mode::Standard))
    }

    pub(crate) fn comm(&self) -> &Communicator {
        &self.comm
    }

    /// Sees to it that a task on the borrowed memory behind `buffer` is over before the scope is.
    pub(crate) fn hold<B>(&'scope self, task: Arc<dyn Task>, buffer: B) -> ScopedRequest<'scope, B> {
        let mut tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        tasks.push(Arc::clone(&task));
        ScopedRequest {
            comm: &self.comm,
            task,
            buffer,
        }
    }

    fn start_to_send<B: Buffer + ?Sized>(
        &'scope self,
        operation: &'static str,
        buffer: &'scope B,
        route: Route,
    ) -> Result<ScopedRequest<'scope, &'scope B>> {
        // SAFETY: borrowed for 'scope, which ends after every task of the scope is over.
        let span = unsafe { buffer.lower().detach() };
        let task = self.start(operation, span, route)?;
        Ok(self.hold(task, buffer))
    }

    /// Starts to receive a message from `source` with `tag` into a borrowed buffer.
    ///
    /// # Errors
    /// [`InvalidArgument`](crate::ErrorKind::InvalidArgument) for a rank or tag out of range, at once;
    /// others as for [`Communicator::recv`], at [`ScopedRequest::wait`] or at the end of the scope.
    ///
    /// ```
    /// use warpcomm::{Communicator, Tag};
    ///
    /// let sums = Communicator::threads(2, |comm| {
    ///     let peer = 1 - comm.rank();
    ///     let mut numbers = [0u32; 2];
    ///     comm.scope(|s| {
    ///         let (first, second) = numbers.split_at_mut(1);
    ///         let first = s.irecv(first, peer, Tag(0))?;
    ///         s.irecv(second, peer, Tag(1))?; // is over when the scope is
    ///         comm.send(&[10u32], peer, Tag(0))?;
    ///         comm.send(&[1u32], peer, Tag(1))?;
    ///         let (first, _) = first.wait()?;
    ///         first[0] *= 2;
    ///         Ok(())
    ///     })?;
    ///     Ok::<u32, warpcomm::Error>(numbers[0] + numbers[1])
    /// })?;
    /// assert_eq!(sums.into_iter().collect::<Result<Vec<_>, _>>()?, [21, 21]);
    /// # Ok::<(), warpcomm::Error>(())
    /// ```
    pub fn irecv<B: BufferMut + ?Sized>(
        &'scope self,
        buffer: &'scope mut B,
        source: impl Into<Source>,
        tag: Tag,
    ) -> Result<ScopedRequest<'scope, &'scope mut B>> {
        // SAFETY: borrowed for 'scope, as above, and given back by `wait` only when the task is over.
        let span = unsafe { buffer.lower_mut().detach() };
        let task = self.start("irecv", span, Route::From(source.into(), tag))?;
        Ok(self.hold(task, buffer))
    }

    fn start(&self, operation: &'static str, span: Span<'static>, route: Route) -> Result<Arc<dyn Task>> {
        let activity = Arc::new(self.comm.message(operation, &span, route));
        let _inside = self.comm.enter(&activity)?;
        self.comm
            .check_route(route)
            .map_err(|error| activity.name(error))?;
        let way = Way::Open(route);
        Ok(request::start(&self.comm, activity, Memory::Borrowed, span, way))
    }

    /// Brings every operation to its end.
    fn finish(&self, cancel: bool) -> Result<()> {
        let started = std::mem::take(&mut *self.tasks.lock().unwrap_or_else(PoisonError::into_inner));
        let ending = Ending {
            engine: &self.comm.endpoint.engine,
            tasks: started,
        };
        let tasks = &ending.tasks;
        if cancel {
            tasks.iter().for_each(|task| task.state().activity.cancel());
        }
        let mut outcome = Ok(());
        for task in tasks {
            let activity = &task.state().activity;
            if !task.state().is_done() {
                let waited = self
                    .comm
                    .enter(activity)
                    .and_then(|inside| self.comm.run(&inside, &[activity], pin!(wait_until_over(task))));
                if !task.state().is_done() {
                    // The deadline has passed, or the communicator is poisoned.
                    self.comm.endpoint.engine.give_up(task);
                }
                outcome = outcome.and(waited);
            }
            // An outcome that `ScopedRequest::wait` has taken is its caller's.
            if let Some(Err(error)) = task.state().take_outcome() {
                outcome = outcome.and(Err(activity.name(error)));
            }
        }
        outcome
    }
}

/// The operations of a scope that ends: no borrow ends before they do, not even by a panic.
struct Ending<'a> {
    engine: &'a Engine,
    tasks: Vec<Arc<dyn Task>>,
}

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        for task in self.tasks.iter().filter(|task| !task.state().is_done()) {
            self.engine.give_up(task);
        }
    }
}

async fn wait_until_over(task: &Arc<dyn Task>) -> Result<()> {
    engine::over(task).await;
    Ok(())
}

impl<B> ScopedRequest<'_, B> {
    /// Waits until the operation is over and gives the borrow back.
    ///
    /// # Errors
    /// Those of the operation.
    pub fn wait(self) -> Result<(B, Status)> {
        let status = request::wait(self.comm, &self.task)?;
        Ok((self.buffer, status))
    }

    /// Whether the operation is over; drives it on, and never blocks.
    pub fn is_done(&self) -> bool {
        request::is_done(self.comm, &self.task)
    }

    /// Gives the borrow back if the operation is over, and else the request; never blocks.
    ///
    /// # Errors
    /// As for [`wait`](Self::wait), of an operation that is over, or can never be.
    pub fn test(self) -> Result<Tested<B, Self>> {
        if !request::can_be_waited_for(self.comm, &self.task) {
            return Ok(Tested::Pending(self));
        }
        self.wait().map(|(buffer, status)| Tested::Done(buffer, status))
    }

    /// Asks a receive to end if no message has matched it yet; see [`Request::cancel`](crate::Request::cancel).
    ///
    /// # Errors
    /// [`Unsupported`](crate::ErrorKind::Unsupported) for a send.
    pub fn cancel(&self) -> Result<()> {
        request::cancel(self.comm, &self.task)
    }
}

impl fmt::Debug for Scope<'_, '_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let started = self.tasks.lock().unwrap_or_else(PoisonError::into_inner).len();
        write!(f, "Scope({started} operations of {:?})", self.comm)
    }
}

impl<B> Handle for ScopedRequest<'_, B> {
    fn view(&self) -> View<'_> {
        View::started(self.comm, &self.task)
    }
}

impl<B> fmt::Debug for ScopedRequest<'_, B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ScopedRequest({})", self.task.state().activity)
    }
}
