//! Operations that are started again and again.

use std::fmt;
use std::sync::Arc;

use super::handle::{Handle, State, View};
use super::{AnyRequest, Keeper, RequestError, can_be_waited_for, reclaim, start, wait};
use crate::buffer::{OwnedBuffer, OwnedBufferMut, Parked, Span};
use crate::comm::Communicator;
use crate::engine::{Memory, Mode, Task};
use crate::error::{Error, Result};
use crate::message::{Source, Status, Tag};
use crate::route::{Route, Way};

/// An operation that can be started many times, and owns its buffer, or its buffers as a pair.
///
/// It is *under way* from [`start`](Self::start) until the operation is over. Meanwhile nobody reaches the buffer;
/// before and after, [`buffer`](Self::buffer) and [`buffer_mut`](Self::buffer_mut) do. Dropped while it is under
/// way, the operation goes on, and the buffer is freed when it is over.
///
/// MPI standard, sections 3.9 and 6.13.
///
/// ```
/// use warpcomm::{Communicator, Tag, start_all, wait_all};
///
/// let sums = Communicator::threads(2, |comm| {
///     let peer = 1 - comm.rank();
///     let mut edges = [comm.send_init(vec![0u32], peer, Tag(0)), comm.recv_init(vec![0u32], peer, Tag(0))];
///     let mut sum = 0;
///     for step in 1..=3 {
///         edges[0].buffer_mut()?[0] = 10 * step;
///         start_all(&mut edges)?;
///         wait_all(&edges)?;
///         sum += edges[1].buffer()?[0];
///     }
///     Ok::<u32, warpcomm::Error>(sum)
/// })?;
/// assert_eq!(sums.into_iter().collect::<Result<Vec<_>, _>>()?, [60, 60]);
/// # Ok::<(), warpcomm::Error>(())
/// ```
#[must_use = "an operation that was prepared is not started"]
pub struct Persistent<B: Send + 'static> {
    comm: Communicator,
    operation: &'static str,
    begin: Begin<B>,
    /// None once a failed operation has kept it.
    buffer: Option<Parked<B>>,
    /// The latest start, until its outcome was taken.
    task: Option<Arc<dyn Task>>,
}

/// Starts a task on the elements of a buffer, which stays where it is until the task is over.
type Begin<B> = Box<dyn Fn(&Communicator, &mut B) -> Result<Arc<dyn Task>> + Send + Sync>;

/// Any persistent request, whatever its buffer; see [`AnyRequest`].
///
/// Sealed.
pub trait AnyPersistent: AnyRequest {
    /// As [`Persistent::start`].
    ///
    /// # Errors
    /// As for [`Persistent::start`].
    fn start(&mut self) -> Result<()>;
}

impl Communicator {
    /// Prepares a send of a buffer to rank `dest`; nothing is sent before [`Persistent::start`].
    ///
    /// MPI standard, section 3.9 (`MPI_Send_init`).
    pub fn send_init<B: OwnedBuffer>(&self, buffer: B, dest: usize, tag: Tag) -> Persistent<B> {
        let route = Route::To(dest, tag, Mode::Standard);
        self.prepare("persistent send", buffer, route, |buffer| buffer.lower())
    }

    /// Prepares a synchronous send, as [`send_init`](Self::send_init) and [`ssend`](Self::ssend).
    ///
    /// MPI standard, section 3.9 (`MPI_Ssend_init`).
    pub fn ssend_init<B: OwnedBuffer>(&self, buffer: B, dest: usize, tag: Tag) -> Persistent<B> {
        let route = Route::To(dest, tag, Mode::Synchronous);
        self.prepare("persistent ssend", buffer, route, |buffer| buffer.lower())
    }

    /// Prepares a ready send, as [`send_init`](Self::send_init) and [`rsend`](Self::rsend).
    ///
    /// MPI standard, section 3.9 (`MPI_Rsend_init`).
    pub fn rsend_init<B: OwnedBuffer>(&self, buffer: B, dest: usize, tag: Tag) -> Persistent<B> {
        let route = Route::To(dest, tag, Mode::Standard);
        self.prepare("persistent rsend", buffer, route, |buffer| buffer.lower())
    }

    /// Prepares a receive from `source` with `tag` into a buffer; nothing is received before
    /// [`Persistent::start`].
    ///
    /// MPI standard, section 3.9 (`MPI_Recv_init`).
    pub fn recv_init<B: OwnedBufferMut>(
        &self,
        buffer: B,
        source: impl Into<Source>,
        tag: Tag,
    ) -> Persistent<B> {
        let route = Route::From(source.into(), tag);
        self.prepare("persistent recv", buffer, route, |buffer| buffer.lower_mut())
    }

    fn prepare<B: OwnedBuffer>(
        &self,
        operation: &'static str,
        buffer: B,
        route: Route,
        lower: for<'a> fn(&'a mut B) -> Span<'a>,
    ) -> Persistent<B> {
        Persistent::new(self, operation, buffer, move |comm, buffer| {
            // SAFETY: the persistent request keeps the buffer, whose elements stay in place and are reached by
            // nobody, until the task is over, or leaks it.
            let span = unsafe { lower(buffer).owned() };
            let activity = Arc::new(comm.message(operation, &span, route));
            let _inside = comm.enter(&activity)?;
            comm.check_route(route).map_err(|error| activity.name(error))?;
            Ok(start(comm, activity, Memory::Owned, span, Way::Open(route)))
        })
    }
}

impl<B: Send + 'static> Persistent<B> {
    pub(crate) fn new(
        comm: &Communicator,
        operation: &'static str,
        buffer: B,
        begin: impl Fn(&Communicator, &mut B) -> Result<Arc<dyn Task>> + Send + Sync + 'static,
    ) -> Persistent<B> {
        Persistent {
            comm: comm.clone(),
            operation,
            begin: Box::new(begin),
            buffer: Some(Parked::new(buffer)),
            task: None,
        }
    }

    fn error(&self, why: &str) -> Error {
        Error::invalid(why).at(self.operation, self.comm.rank())
    }

    /// Whether nobody but the caller can reach the buffer.
    fn is_under_way(&self) -> bool {
        self.task.as_ref().is_some_and(|task| !task.state().is_done())
    }

    /// Starts the operation. One that was started before and is over need not have been waited for.
    ///
    /// MPI standard, section 3.9 (`MPI_Start`).
    ///
    /// # Errors
    /// [`InvalidArgument`](crate::ErrorKind::InvalidArgument) for a rank or tag out of range, if the operation is
    /// under way, or if an earlier failure has kept the buffer. The error of the start before, if nobody has
    /// waited for it: then nothing is started. For collectives
    /// [`Unsupported`](crate::ErrorKind::Unsupported) on a [plain](crate::Wire::Plain) communicator.
    pub fn start(&mut self) -> Result<()> {
        if self.is_under_way() {
            return Err(self.error("it is under way"));
        }
        if self.task.is_some() {
            self.wait()?;
        }
        let kept = self.error("an earlier failure has kept the buffer");
        let buffer = self.buffer.as_mut().ok_or(kept)?;
        self.task = Some((self.begin)(&self.comm, buffer.get_mut())?);
        Ok(())
    }

    /// Waits until the operation that was started is over.
    ///
    /// MPI standard, section 3.7.3 (`MPI_Wait`).
    ///
    /// # Errors
    /// Those of the operation; [`InvalidArgument`](crate::ErrorKind::InvalidArgument) if it was not started.
    pub fn wait(&mut self) -> Result<Status> {
        let task = self
            .task
            .as_ref()
            .ok_or_else(|| self.error("it was not started"))?;
        let outcome = wait(&self.comm, task);
        if let (Err(_), Some(task)) = (&outcome, self.task.take()) {
            let buffer = self.buffer.take();
            let reclaimed = buffer.and_then(|buffer| reclaim(&self.comm, &task, buffer));
            self.buffer = reclaimed.map(Parked::new);
        }
        outcome
    }

    /// The status if the operation that was started is over; drives it on, and never blocks.
    ///
    /// MPI standard, section 3.7.3 (`MPI_Test`).
    ///
    /// # Errors
    /// As for [`wait`](Self::wait).
    pub fn test(&mut self) -> Result<Option<Status>> {
        match &self.task {
            Some(task) if !can_be_waited_for(&self.comm, task) => Ok(None),
            _ => self.wait().map(Some),
        }
    }

    /// The buffer.
    ///
    /// # Errors
    /// [`InvalidArgument`](crate::ErrorKind::InvalidArgument) while the operation is under way, or if an earlier
    /// failure has kept the buffer.
    pub fn buffer(&self) -> Result<&B> {
        match &self.buffer {
            _ if self.is_under_way() => Err(self.error("its buffer is in use")),
            Some(buffer) => Ok(buffer.get()),
            None => Err(self.error("an earlier failure has kept the buffer")),
        }
    }

    /// The buffer, to be changed.
    ///
    /// # Errors
    /// As for [`buffer`](Self::buffer).
    pub fn buffer_mut(&mut self) -> Result<&mut B> {
        let in_use = self.is_under_way().then(|| self.error("its buffer is in use"));
        let kept = self.error("an earlier failure has kept the buffer");
        match (in_use, &mut self.buffer) {
            (Some(error), _) => Err(error),
            (None, Some(buffer)) => Ok(buffer.get_mut()),
            (None, None) => Err(kept),
        }
    }

    /// Waits if the operation is under way, and gives the buffer back.
    ///
    /// MPI standard, section 3.7.3 (`MPI_Request_free`).
    ///
    /// # Errors
    /// Those of an operation that nobody has waited for. [`RequestError::into_parts`] gives the buffer back,
    /// unless MPI still uses it.
    pub fn into_buffer(mut self) -> Result<B, RequestError<B>> {
        let outcome = match self.task {
            Some(_) => self.wait().map(drop),
            None => Ok(()),
        };
        let buffer = self.buffer.take().map(Parked::unpark);
        match (outcome, buffer) {
            (Ok(()), Some(buffer)) => Ok(buffer),
            (Err(error), buffer) => Err(RequestError { error, buffer }),
            (Ok(()), None) => Err(RequestError {
                error: self.error("an earlier failure has kept the buffer"),
                buffer: None,
            }),
        }
    }
}

/// Starts all operations.
///
/// MPI standard, section 3.9 (`MPI_Startall`).
///
/// # Errors
/// The first error of [`Persistent::start`]; the others are started all the same.
pub fn start_all<R: AnyPersistent>(requests: &mut [R]) -> Result<()> {
    let mut outcome = Ok(());
    for request in requests {
        outcome = outcome.and(request.start());
    }
    outcome
}

impl<B: Send + 'static> AnyPersistent for Persistent<B> {
    fn start(&mut self) -> Result<()> {
        Persistent::start(self)
    }
}

impl<R: AnyPersistent + ?Sized> AnyPersistent for &mut R {
    fn start(&mut self) -> Result<()> {
        (**self).start()
    }
}

impl<R: AnyPersistent + ?Sized> AnyPersistent for Box<R> {
    fn start(&mut self) -> Result<()> {
        (**self).start()
    }
}

impl<B: Send + 'static> Handle for Persistent<B> {
    fn view(&self) -> View<'_> {
        match &self.task {
            Some(task) => View::started(&self.comm, task),
            None => View(State::Inactive),
        }
    }
}

impl<B: Send + 'static> Drop for Persistent<B> {
    fn drop(&mut self) {
        let keeper = Box::new(Keeper(self.buffer.take()));
        if let Some(task) = &self.task {
            task.state().keep(keeper);
        }
    }
}

impl<B: Send + 'static> fmt::Debug for Persistent<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.task {
            Some(task) if self.is_under_way() => write!(f, "Persistent({})", task.state().activity),
            _ => write!(f, "Persistent({}, not under way)", self.operation),
        }
    }
}
