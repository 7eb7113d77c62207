//! Waiting for several operations.

use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

use super::{Request, Running};
use crate::comm::Communicator;
use crate::dtype::Dtype;
use crate::engine::{self, Activity, Task};
use crate::error::Result;
use crate::message::Status;
use handle::{Handle, State, View};

pub(crate) mod handle {
    use super::{Arc, Communicator, Result, Status, Task};

    /// What a request looks like from outside, whatever its buffer.
    pub trait Handle {
        /// How far it is.
        fn view(&self) -> View<'_>;
    }

    /// How far a request is.
    pub struct View<'a>(pub(crate) State<'a>);

    pub(crate) enum State<'a> {
        /// There is nothing to wait for.
        Inactive,
        /// It was over when it began.
        Over(Result<Status>),
        Started(&'a Communicator, &'a Arc<dyn Task>),
    }

    impl<'a> View<'a> {
        pub(crate) fn started(comm: &'a Communicator, task: &'a Arc<dyn Task>) -> View<'a> {
            View(State::Started(comm, task))
        }
    }
}

/// Any request, whatever its buffer: [`Request`], [`ScopedRequest`](crate::ScopedRequest),
/// [`Persistent`](crate::Persistent), and references to them.
///
/// [`wait_all`], [`wait_any`], [`wait_some`], [`test_all`], [`test_any`] and [`test_some`] take slices of requests by
/// reference: each request keeps its buffer and its outcome for its own `wait`, which returns at once when it is
/// over. Requests of different buffers go together as `&dyn AnyRequest`.
///
/// Sealed.
pub trait AnyRequest: Handle {}

impl<R: Handle + ?Sized> AnyRequest for R {}

macro_rules! pointers {
    ($($pointer:ty),*) => {$(
        impl<R: Handle + ?Sized> Handle for $pointer {
            fn view(&self) -> View<'_> {
                (**self).view()
            }
        }
    )*};
}

pointers!(&R, &mut R, Box<R>);

impl<B: Send + 'static> Handle for Request<B> {
    fn view(&self) -> View<'_> {
        View(match &self.running {
            None => State::Inactive,
            Some(Running::Over(Ok(status), _)) => State::Over(Ok(*status)),
            Some(Running::Over(Err(error), _)) => State::Over(Err(error.duplicate())),
            Some(Running::Started(comm, task, _)) => State::Started(comm, task),
        })
    }
}

/// Waits until all operations are over; returns their statuses, in the order of the requests.
///
/// An inactive [`Persistent`](crate::Persistent) request has a status as of a message from nobody.
///
/// MPI standard, section 3.7.5 (`MPI_Waitall`).
///
/// # Errors
/// The first error in the order of the requests, when all operations are over; the requests tell which it was. Of
/// the waiting itself [`Timeout`](crate::ErrorKind::Timeout) and [`PeerLost`](crate::ErrorKind::PeerLost).
///
/// ```
/// use warpcomm::{AnyRequest, Communicator, Tag, wait_all};
///
/// let received = Communicator::threads(2, |comm| {
///     let peer = 1 - comm.rank();
///     let sends = [comm.isend(vec![1.5f64], peer, Tag(0)), comm.isend(vec![2.5], peer, Tag(1))];
///     let number = comm.irecv(vec![0f64], peer, Tag(0));
///     let boxed = comm.irecv(vec![0f64; 4].into_boxed_slice(), peer, Tag(1));
///     // Requests of different buffers go together as trait objects, of one kind without.
///     let statuses = wait_all(&[&number as &dyn AnyRequest, &boxed])?;
///     wait_all(&sends)?;
///     assert_eq!(statuses[1].count(), 1);
///     Ok::<f64, warpcomm::Error>(number.wait()?.0[0] + boxed.wait()?.0[0])
/// })?;
/// assert_eq!(received.into_iter().collect::<Result<Vec<_>, _>>()?, [4.0, 4.0]);
/// # Ok::<(), warpcomm::Error>(())
/// ```
pub fn wait_all<R: AnyRequest>(requests: &[R]) -> Result<Vec<Status>> {
    let mut outcome = Ok(());
    let mut statuses = Vec::with_capacity(requests.len());
    for request in requests {
        match until_over(request.view()) {
            Ok(status) => statuses.push(status),
            failed => outcome = outcome.and(failed.map(drop)),
        }
    }
    outcome.map(|()| statuses)
}

/// Waits until one of the operations is over; returns its index, or `None` if none is under way.
///
/// The same index is found again until its request is taken out of the slice, or is inactive.
///
/// MPI standard, section 3.7.5 (`MPI_Waitany`).
///
/// # Errors
/// [`Timeout`](crate::ErrorKind::Timeout) and [`PeerLost`](crate::ErrorKind::PeerLost) of the waiting itself; the
/// outcome of the operation is its request's.
///
/// ```
/// use warpcomm::{Communicator, Source, Tag, wait_any};
///
/// let orders = Communicator::threads(3, |comm| {
///     if comm.rank() > 0 {
///         return comm.send(&[comm.rank()as u64], 0, Tag(0)).map(|()| 0);
///     }
///     let mut requests: Vec<_> = (1..3).map(|rank| comm.irecv(vec![0u64], rank, Tag(0))).collect();
///     let mut sum = 0;
///     while let Some(index) = wait_any(&requests)? {
///         let (numbers, _) = requests.swap_remove(index).wait()?; // whichever comes first
///         sum += numbers[0];
///     }
///     Ok::<u64, warpcomm::Error>(sum)
/// })?;
/// assert_eq!(orders.into_iter().collect::<Result<Vec<_>, _>>()?, [3, 0, 0]);
/// # Ok::<(), warpcomm::Error>(())
/// ```
pub fn wait_any<R: AnyRequest>(requests: &[R]) -> Result<Option<usize>> {
    if let Some(index) = test_any(requests) {
        return Ok(Some(index));
    }
    let views = views(requests);
    let started = |view: &View<'_>| match view.0 {
        State::Started(comm, task) => Some((comm.clone(), Arc::clone(task))),
        _ => None,
    };
    let pending: Vec<(Communicator, Arc<dyn Task>)> = views.iter().filter_map(started).collect();
    let activities: Vec<&Activity> = pending.iter().map(|(_, task)| &*task.state().activity).collect();
    let (Some((comm, _)), Some(first)) = (pending.first(), activities.first()) else {
        return Ok(None);
    };
    let inside = comm.enter(first)?;
    let any_is_over =
        std::future::poll_fn(
            |_| match pending.iter().any(|(comm, task)| is_settled(comm, task)) {
                true => Poll::Ready(Ok(())),
                false => Poll::Pending,
            },
        );
    comm.run(&inside, &activities, pin!(any_is_over))?;
    Ok(views.iter().position(is_over))
}

/// Waits until at least one of the operations is over; returns the indices of all that are, or of none if none
/// is under way.
///
/// MPI standard, section 3.7.5 (`MPI_Waitsome`).
///
/// # Errors
/// As for [`wait_any`].
///
/// ```
/// use warpcomm::{Communicator, Tag, wait_some};
///
/// let counts = Communicator::threads(2, |comm| {
///     let peer = 1 - comm.rank();
///     let requests = [comm.isend(vec![1u8], peer, Tag(0)), comm.irecv(vec![0u8], peer, Tag(0))];
///     let over = wait_some(&requests)?;
///     Ok::<bool, warpcomm::Error>(!over.is_empty())
/// })?;
/// assert_eq!(counts.into_iter().collect::<Result<Vec<_>, _>>()?, [true, true]);
/// # Ok::<(), warpcomm::Error>(())
/// ```
pub fn wait_some<R: AnyRequest>(requests: &[R]) -> Result<Vec<usize>> {
    match wait_any(requests)? {
        Some(_) => Ok(over(&views(requests))),
        None => Ok(Vec::new()),
    }
}

/// The statuses of all operations if all are over; drives them on, and never blocks.
///
/// MPI standard, section 3.7.5 (`MPI_Testall`).
///
/// # Errors
/// The first error in the order of the requests, if all are over.
///
/// ```
/// use warpcomm::{Communicator, Tag, test_all};
///
/// let received = Communicator::threads(2, |comm| {
///     let peer = 1 - comm.rank();
///     let mut requests: Vec<_> = (0..2).map(|tag| comm.irecv(vec![0u8], peer, Tag(tag))).collect();
///     (0..2).try_for_each(|tag| comm.send(&[tag as u8 + 1], peer, Tag(tag)))?;
///     let statuses = loop {
///         match test_all(&requests)? {
///             Some(statuses) => break statuses,
///             None => std::hint::spin_loop(), // compute something else here
///         }
///     };
///     assert_eq!(statuses[1].tag(), Tag(1));
///     Ok(requests.pop().unwrap().wait()?.0[0] + requests.pop().unwrap().wait()?.0[0])
/// })?;
/// assert_eq!(received.into_iter().collect::<Result<Vec<_>, warpcomm::Error>>()?, [3, 3]);
/// # Ok::<(), warpcomm::Error>(())
/// ```
pub fn test_all<R: AnyRequest>(requests: &[R]) -> Result<Option<Vec<Status>>> {
    let views = views(requests);
    drive(&views);
    let is_pending = |view: &View<'_>| matches!(view.0, State::Started(..)) && !is_over(view);
    if views.iter().any(is_pending) {
        return Ok(None);
    }
    wait_all(requests).map(Some)
}

/// The index of an operation that is over, if there is one; drives them on, and never blocks.
///
/// MPI standard, section 3.7.5 (`MPI_Testany`).
///
/// ```
/// use warpcomm::{Communicator, Tag, test_any};
///
/// let received = Communicator::threads(2, |comm| {
///     let peer = 1 - comm.rank();
///     let mut requests: Vec<_> = (0..2).map(|tag| comm.irecv(vec![0u8], peer, Tag(tag))).collect();
///     (0..2).try_for_each(|tag| comm.send(&[tag as u8 + 1], peer, Tag(tag)))?;
///     let mut sum = 0;
///     while !requests.is_empty() {
///         if let Some(index) = test_any(&requests) {
///             sum += requests.swap_remove(index).wait()?.0[0];
///         }
///         // Compute something else here.
///     }
///     Ok(sum)
/// })?;
/// assert_eq!(received.into_iter().collect::<Result<Vec<_>, warpcomm::Error>>()?, [3, 3]);
/// # Ok::<(), warpcomm::Error>(())
/// ```
pub fn test_any<R: AnyRequest>(requests: &[R]) -> Option<usize> {
    let views = views(requests);
    drive(&views);
    views.iter().position(is_over)
}

/// The indices of all operations that are over; drives them on, and never blocks.
///
/// MPI standard, section 3.7.5 (`MPI_Testsome`).
///
/// ```
/// use warpcomm::{Communicator, Tag, test_some};
///
/// let received = Communicator::threads(2, |comm| {
///     let peer = 1 - comm.rank();
///     let mut requests: Vec<_> = (0..2).map(|tag| comm.irecv(vec![0u8], peer, Tag(tag))).collect();
///     (0..2).try_for_each(|tag| comm.send(&[tag as u8 + 1], peer, Tag(tag)))?;
///     let mut sum = 0;
///     while !requests.is_empty() {
///         for index in test_some(&requests).into_iter().rev() {
///             sum += requests.swap_remove(index).wait()?.0[0];
///         }
///         // Compute something else here.
///     }
///     Ok(sum)
/// })?;
/// assert_eq!(received.into_iter().collect::<Result<Vec<_>, warpcomm::Error>>()?, [3, 3]);
/// # Ok::<(), warpcomm::Error>(())
/// ```
pub fn test_some<R: AnyRequest>(requests: &[R]) -> Vec<usize> {
    let views = views(requests);
    drive(&views);
    over(&views)
}

fn views<R: AnyRequest>(requests: &[R]) -> Vec<View<'_>> {
    requests.iter().map(Handle::view).collect()
}

fn over(views: &[View<'_>]) -> Vec<usize> {
    let over = views.iter().enumerate().filter(|(_, view)| is_over(view));
    over.map(|(index, _)| index).collect()
}

/// Whether a wait for an active request returns at once.
fn is_over(view: &View<'_>) -> bool {
    match &view.0 {
        State::Inactive => false,
        State::Over(_) => true,
        State::Started(comm, task) => {
            is_settled(comm, task) || comm.endpoint.engine.transport().lost().is_some()
        }
    }
}

/// Whether a task is over, or will never be as far as this rank has noticed.
fn is_settled(comm: &Communicator, task: &Arc<dyn Task>) -> bool {
    task.state().is_done() || comm.endpoint.poison().is_some()
}

/// Drives the engines of operations on, each once.
fn drive(views: &[View<'_>]) {
    let mut driven = None;
    for view in views {
        if let State::Started(comm, task) = &view.0
            && !task.state().is_done()
            && !driven.is_some_and(|engine| Arc::ptr_eq(engine, &comm.endpoint.engine))
        {
            driven = Some(&comm.endpoint.engine);
            if let Ok(_inside) = comm.endpoint.engine.enter() {
                comm.endpoint.engine.poll_in_passing();
            }
        }
    }
}

/// Waits until an operation is over, and says what became of it.
fn until_over(view: View<'_>) -> Result<Status> {
    let (comm, task) = match view.0 {
        State::Inactive => return Ok(Status::null(Dtype::U8)),
        State::Over(outcome) => return outcome,
        State::Started(comm, task) => (comm, task),
    };
    let activity = &task.state().activity;
    if !task.state().is_done() {
        let inside = comm.enter(activity)?;
        let over = async {
            engine::over(task).await;
            Ok(())
        };
        comm.run(&inside, &[activity], pin!(over))?;
    }
    match task.state().outcome() {
        Some(outcome) => outcome.map_err(|error| activity.name(error)),
        // Its owner has taken the outcome.
        None => Ok(Status::null(Dtype::U8)),
    }
}
