//! Operations that go on while the caller does something else, and own their buffers.

mod future;
mod many;
mod persistent;
#[cfg(feature = "serde")]
mod spawned;

use std::fmt;
use std::pin::pin;
use std::sync::Arc;
use std::time::Instant;

use crate::buffer::{Parked, Span};
use crate::comm::Communicator;
use crate::engine::{self, Activity, Memory, Task, task};
use crate::error::{Error, ErrorKind, Peer, Result};
use crate::message::Status;
use crate::route::{Route, Way};

pub(crate) use many::handle;
pub use many::{AnyRequest, test_all, test_any, test_some, wait_all, wait_any, wait_some};
pub use persistent::{AnyPersistent, Persistent, start_all};

/// An operation under way, which owns its buffer, or its buffers as a pair.
///
/// [`wait`](Self::wait) gives the buffer back, and so does awaiting the request as a future. A request that is dropped
/// goes on in the background, its buffer is freed when it is done; one that is forgotten leaks its buffer.
///
/// As a future it wakes its task when the operation is over, or when its deadline has passed: the operation goes on by
/// itself. Where MPI allows calls from one thread only ([`ThreadLevel`](crate::ThreadLevel) below multiple), nothing
/// goes on by itself, and the future asks to be polled again at once: polling drives the operations of the process.
///
/// MPI standard, section 3.7.
///
/// ```
/// use std::pin::pin;
/// use std::task::{Context, Poll, Wake, Waker};
/// use warpcomm::{Communicator, Tag};
///
/// /// The smallest of executors: one future, one thread.
/// struct Unpark(std::thread::Thread);
///
/// impl Wake for Unpark {
///     fn wake(self: std::sync::Arc<Self>) {
///         self.0.unpark();
///     }
/// }
///
/// fn block_on<F: Future>(future: F) -> F::Output {
///     let waker = Waker::from(std::sync::Arc::new(Unpark(std::thread::current())));
///     let mut future = pin!(future);
///     loop {
///         match future.as_mut().poll(&mut Context::from_waker(&waker)) {
///             Poll::Ready(output) => return output,
///             Poll::Pending => std::thread::park(),
///         }
///     }
/// }
///
/// let received = Communicator::threads(2, |comm| {
///     let peer = 1 - comm.rank();
///     block_on(async {
///         let incoming = comm.irecv(vec![0u8; 3], peer, Tag(0));
///         comm.isend(vec![comm.rank() as u8; 3], peer, Tag(0)).await?;
///         let (received, _) = incoming.await?;
///         Ok::<_, warpcomm::Error>(received)
///     })
/// })?;
/// assert_eq!(received.into_iter().collect::<Result<Vec<_>, _>>()?, [[1, 1, 1], [0, 0, 0]]);
/// # Ok::<(), warpcomm::Error>(())
/// ```
#[must_use = "a request that is dropped goes on, but nobody learns whether it succeeded"]
pub struct Request<B: Send + 'static> {
    /// Taken by `wait` and `drop`.
    running: Option<Running<B>>,
    /// When it was first polled as a future, where it has a deadline.
    polled: Option<Instant>,
}

/// What a test of an operation has found: its end, or the request `R` once more.
///
/// ```
/// use warpcomm::{Communicator, Tag, Tested};
///
/// let numbers = Communicator::threads(2, |comm| {
///     if comm.rank() == 0 {
///         return comm.send(&[5i32], 1, Tag(0)).map(|()| vec![]);
///     }
///     let mut request = comm.irecv(vec![0i32], 0, Tag(0));
///     loop {
///         match request.test()? {
///             Tested::Done(numbers, _) => return Ok::<_, warpcomm::Error>(numbers),
///             Tested::Pending(again) => request = again, // compute something meanwhile
///         }
///     }
/// })?;
/// assert_eq!(numbers.into_iter().collect::<Result<Vec<_>, _>>()?, [vec![], vec![5]]);
/// # Ok::<(), warpcomm::Error>(())
/// ```
#[must_use = "a pending request is in it"]
#[derive(Debug)]
pub enum Tested<B, R> {
    /// It is over; this is its buffer.
    Done(B, Status),
    /// It goes on.
    Pending(R),
}

enum Running<B> {
    /// It was over when it began; where its arguments were bad, with an error.
    Over(Result<Status>, B),
    Started(Communicator, Arc<dyn Task>, Parked<B>),
}

/// Frees the buffer of a dropped request when its task is over.
struct Keeper<B>(Option<Parked<B>>);

impl<B> Drop for Keeper<B> {
    fn drop(&mut self) {
        drop(self.0.take().map(Parked::unpark));
    }
}

// SAFETY: a parked buffer is a buffer that nobody reaches; requests need `B: Send`.
unsafe impl<B: Send> Send for Keeper<B> {}

impl<B: Send + 'static> Request<B> {
    /// Starts a message whose elements are those of `buffer`.
    pub(crate) fn start(
        comm: &Communicator,
        operation: &'static str,
        buffer: Parked<B>,
        span: Span<'static>,
        route: Route,
        way: Way,
    ) -> Request<B> {
        let activity = Arc::new(comm.message(operation, &span, route));
        let checked = comm
            .endpoint
            .enter()
            .and_then(|inside| comm.check_route(route).map(|()| inside));
        match checked {
            Err(error) => Request::over(Err(activity.name(error)), buffer.unpark()),
            Ok(_inside) => {
                let task = start(comm, activity, Memory::Owned, span, way);
                Request::started(comm, task, buffer)
            }
        }
    }

    /// A request of what the engine drives already.
    pub(crate) fn started(comm: &Communicator, task: Arc<dyn Task>, buffer: Parked<B>) -> Request<B> {
        Request {
            running: Some(Running::Started(comm.clone(), task, buffer)),
            polled: None,
        }
    }

    /// A request of what is over already.
    pub(crate) fn over(outcome: Result<Status>, buffer: B) -> Request<B> {
        Request {
            running: Some(Running::Over(outcome, buffer)),
            polled: None,
        }
    }

    /// Waits until the operation is over and gives the buffer back.
    ///
    /// MPI standard, section 3.7.3 (`MPI_Wait`).
    ///
    /// # Errors
    /// Those of the operation, bad arguments included. [`RequestError::into_parts`] gives the buffer
    /// back, unless MPI still uses it after a [`Timeout`](ErrorKind::Timeout): then it was leaked.
    ///
    /// ```
    /// use warpcomm::{Communicator, Tag};
    ///
    /// let numbers = Communicator::threads(2, |comm| {
    ///     let request = comm.irecv(vec![0u64; 4], 1 - comm.rank(), Tag(0));
    ///     comm.send(&[comm.rank() as u64], 1 - comm.rank(), Tag(0))?;
    ///     let (buffer, status) = request.wait()?;
    ///     assert_eq!(status.count(), 1);
    ///     // An error gives the buffer back too.
    ///     let error = comm.irecv(buffer, 9, Tag(0)).wait().unwrap_err();
    ///     let (_, buffer) = error.into_parts();
    ///     Ok(buffer.expect("nothing was started")[0])
    /// })?;
    /// assert_eq!(numbers.into_iter().collect::<Result<Vec<_>, warpcomm::Error>>()?, [1, 0]);
    /// # Ok::<(), warpcomm::Error>(())
    /// ```
    pub fn wait(mut self) -> Result<(B, Status), RequestError<B>> {
        self.end()
    }

    fn end(&mut self) -> Result<(B, Status), RequestError<B>> {
        match self.running.take() {
            Some(Running::Started(comm, task, buffer)) => match wait(&comm, &task) {
                Ok(status) => Ok((buffer.unpark(), status)),
                Err(error) => {
                    let buffer = reclaim(&comm, &task, buffer);
                    Err(RequestError { error, buffer })
                }
            },
            Some(Running::Over(Ok(status), buffer)) => Ok((buffer, status)),
            Some(Running::Over(Err(error), buffer)) => Err(RequestError {
                error,
                buffer: Some(buffer),
            }),
            None => Err(RequestError {
                error: Error::invalid("the request was waited for already"),
                buffer: None,
            }),
        }
    }

    /// Whether the operation is over; drives it on, and never blocks.
    pub fn is_done(&self) -> bool {
        match &self.running {
            Some(Running::Started(comm, task, _)) => is_done(comm, task),
            _ => true,
        }
    }

    /// Gives the buffer back if the operation is over, and else the request; never blocks.
    ///
    /// MPI standard, section 3.7.3 (`MPI_Test`).
    ///
    /// # Errors
    /// As for [`wait`](Self::wait), of an operation that is over, or can never be.
    pub fn test(self) -> Result<Tested<B, Request<B>>, RequestError<B>> {
        let pending = match &self.running {
            Some(Running::Started(comm, task, _)) => !can_be_waited_for(comm, task),
            _ => false,
        };
        match pending {
            true => Ok(Tested::Pending(self)),
            false => self.wait().map(|(buffer, status)| Tested::Done(buffer, status)),
        }
    }

    /// Asks a receive to end if no message has matched it yet; never blocks.
    ///
    /// The request is still to be waited for. If the receive was cancelled,
    /// [`Status::is_cancelled`] says so, and nothing was written; if a message came first, it is received as
    /// ever.
    ///
    /// MPI standard, section 3.8.4 (`MPI_Cancel`).
    ///
    /// # Errors
    /// [`Unsupported`](ErrorKind::Unsupported) for a send: MPI deprecates cancelling sends, since a message may
    /// be with its receiver long before that looks for it.
    ///
    /// ```
    /// use warpcomm::{Communicator, Source, Tag};
    ///
    /// let outcomes = Communicator::threads(1, |comm| {
    ///     let request = comm.irecv(vec![7u8; 3], Source::Any, Tag(0));
    ///     request.cancel()?;
    ///     let (buffer, status) = request.wait()?;
    ///     Ok::<_, warpcomm::Error>((buffer, status.is_cancelled()))
    /// })?;
    /// assert_eq!(outcomes.into_iter().collect::<Result<Vec<_>, _>>()?, [(vec![7, 7, 7], true)]);
    /// # Ok::<(), warpcomm::Error>(())
    /// ```
    pub fn cancel(&self) -> Result<()> {
        match &self.running {
            Some(Running::Started(comm, task, _)) => cancel(comm, task),
            _ => Ok(()),
        }
    }
}

/// Starts a message as a task of the engine.
pub(crate) fn start(
    comm: &Communicator,
    activity: Arc<Activity>,
    memory: Memory,
    span: Span<'static>,
    way: Way,
) -> Arc<dyn Task> {
    let (own, about) = (comm.clone(), Arc::clone(&activity));
    let task = task(activity, memory, async move {
        let outcome = own.go(&about, &span, way).await;
        // An owner takes its buffer back without asking its stream.
        let settled = match memory {
            Memory::Owned => span.settle().await,
            _ => Ok(()),
        };
        outcome.and_then(|status| settled.map(|()| status))
    });
    comm.endpoint.engine.spawn(&task);
    task
}

/// Waits for a task and takes its outcome, which may have been there for long.
pub(crate) fn wait(comm: &Communicator, task: &Arc<dyn Task>) -> Result<Status> {
    let activity = &task.state().activity;
    if task.state().is_done()
        && let Some(outcome) = task.state().take_outcome()
    {
        return outcome.map_err(|error| activity.name(error));
    }
    let inside = comm.enter(activity)?;
    comm.run(&inside, &[activity], pin!(engine::join(task)))
}

/// Whether a task is over, after a look at what has arrived.
pub(crate) fn is_done(comm: &Communicator, task: &Arc<dyn Task>) -> bool {
    if !task.state().is_done()
        && let Ok(_inside) = comm.endpoint.engine.enter()
    {
        comm.endpoint.engine.poll_in_passing();
    }
    task.state().is_done()
}

/// Whether a wait for a task returns at once: it is over, or will never be.
pub(crate) fn can_be_waited_for(comm: &Communicator, task: &Arc<dyn Task>) -> bool {
    is_done(comm, task) || comm.endpoint.check().is_err() || comm.endpoint.engine.transport().lost().is_some()
}

/// Asks a receive to end unmatched.
pub(crate) fn cancel(comm: &Communicator, task: &Arc<dyn Task>) -> Result<()> {
    let activity = &task.state().activity;
    match activity.peer {
        Some(Peer::From(_) | Peer::FromAny) => {
            activity.cancel();
            comm.endpoint.engine.transport().wake();
            Ok(())
        }
        _ => Err(activity.name(Error::unsupported("only receives can be cancelled"))),
    }
}

/// The buffer of a task that failed or was given up, if nobody uses it any more.
fn reclaim<B: Send + 'static>(comm: &Communicator, task: &Arc<dyn Task>, buffer: Parked<B>) -> Option<B> {
    let engine = &comm.endpoint.engine;
    let free = task.state().is_done() || engine.enter().is_ok_and(|_inside| engine.give_up(task));
    if free {
        return Some(buffer.unpark());
    }
    task.state().keep(Box::new(Keeper(Some(buffer))));
    None
}

impl<B: Send + 'static> Drop for Request<B> {
    fn drop(&mut self) {
        if let Some(Running::Started(_, task, buffer)) = self.running.take() {
            task.state().keep(Box::new(Keeper(Some(buffer))));
        }
    }
}

impl<B: Send + 'static> fmt::Debug for Request<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.running {
            Some(Running::Started(_, task, _)) if task.state().is_done() => f.write_str("Request(done)"),
            Some(Running::Started(_, task, _)) => write!(f, "Request({})", task.state().activity),
            Some(Running::Over(Ok(_), _)) => f.write_str("Request(done)"),
            Some(Running::Over(Err(error), _)) => write!(f, "Request({error})"),
            None => f.write_str("Request(waited for)"),
        }
    }
}

/// The error of a [`Request`], with its buffer.
pub struct RequestError<B> {
    error: Error,
    buffer: Option<B>,
}

impl<B> RequestError<B> {
    /// What went wrong, for programs that decide on it.
    pub fn kind(&self) -> ErrorKind {
        self.error.kind()
    }

    /// The error.
    pub fn error(&self) -> &Error {
        &self.error
    }

    /// The error, and the buffer unless it had to be leaked.
    pub fn into_parts(self) -> (Error, Option<B>) {
        (self.error, self.buffer)
    }
}

impl<B> From<RequestError<B>> for Error {
    fn from(error: RequestError<B>) -> Error {
        error.error
    }
}

impl<B> fmt::Display for RequestError<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error.fmt(f)
    }
}

impl<B> fmt::Debug for RequestError<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error.fmt(f)
    }
}

impl<B> std::error::Error for RequestError<B> {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        std::error::Error::source(&self.error)
    }
}
