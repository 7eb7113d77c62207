//! Operations in which all ranks of a communicator take part, one file each.
//!
//! Each is a method that lowers its buffers and runs one `async` function: first the [`agreement`], then,
//! as [`plan`](crate::plan) says, messages through a [`courier`].

mod agreement;
mod algorithm;
mod allgather;
mod allgatherv;
mod allreduce;
mod alltoall;
mod alltoallv;
mod alltoallw;
mod barrier;
mod bcast;
mod courier;
mod create;
mod create_group;
mod create_intercommunicator;
mod duplicate;
mod exchange;
mod exscan;
mod family;
mod fetched;
#[cfg(feature = "mpi")]
mod finalize;
mod fold_plan;
mod forms;
mod found;
mod gather;
mod gatherv;
mod inputs;
mod levels;
mod library;
mod meeting;
mod merge;
#[cfg(feature = "serde")]
pub(crate) mod object;
mod pairs;
mod parts;
mod plain;
mod reduce;
mod reduce_scatter;
mod reduce_scatter_block;
mod scan;
mod scatter;
mod scatterv;
mod split;
mod split_shared;
mod temporary;
mod together;
#[cfg(feature = "mpi")]
pub(crate) mod world;

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;

use self::plain::Errand;
use crate::buffer::Span;
use crate::comm::Communicator;
use crate::device::Place;
use crate::engine::{Activity, Endpoint, InCollective, Inside, Sequence};
use crate::error::{Error, Result};
use crate::plan::{Algorithm, Operation, Question, Together, plan};

/// One collective under way on this rank: who takes part, and what its steps are told by.
pub(crate) struct Call<'a> {
    comm: &'a Communicator,
    operation: Operation,
    activity: &'a Activity,
    sequence: Sequence,
    /// Whether some of this rank's elements are on a GPU.
    on_device: bool,
    /// Where blocking collectives of MPI are left to the thread that waits.
    errand: Option<&'a Errand>,
}

/// A collective whose caller waits for its end.
pub(crate) struct Blocking<'a> {
    comm: &'a Communicator,
    operation: Operation,
    activity: Activity,
    on_device: bool,
    entered: InCollective<'a>,
    inside: Inside<'a>,
    /// Of a plain communicator.
    errand: Option<Errand>,
}

impl<'a> Blocking<'a> {
    /// Enters a collective with these buffers.
    #[inline]
    pub(crate) fn enter(
        comm: &'a Communicator,
        operation: Operation,
        spans: &impl Spans,
    ) -> Result<Blocking<'a>> {
        let mut activity = comm.activity(operation.name());
        spans.describe(&activity);
        let inside = comm.enter(&activity)?;
        let entered = comm.endpoint.enter_collective(operation);
        let entered = entered.map_err(|error| activity.name(error))?;
        activity.sequence = Some(entered.sequence);
        Ok(Blocking {
            comm,
            operation,
            activity,
            on_device: spans.on_device(),
            entered,
            inside,
            errand: comm.endpoint.plain.as_ref().map(|_| Errand::default()),
        })
    }

    #[inline]
    pub(crate) fn call(&self) -> Call<'_> {
        Call {
            comm: self.comm,
            operation: self.operation,
            activity: &self.activity,
            sequence: self.entered.sequence,
            on_device: self.on_device,
            errand: self.errand.as_ref(),
        }
    }

    /// Runs the collective to its end.
    #[inline]
    pub(crate) fn run<T: Send>(&self, body: impl Future<Output = Result<T>> + Send) -> Result<T> {
        // Pinned once: a future that is captured and then awaited has its room twice, and is moved.
        let mut body = pin!(body);
        let mut body = pin!(async {
            self.comm.endpoint.has_its_turn(self.entered.sequence).await;
            body.as_mut().await
        });
        match (&self.errand, &self.comm.endpoint.plain) {
            (Some(errand), Some(plain)) => loop {
                let step = errand.step(body.as_mut());
                if let Some(outcome) = self.comm.run(&self.inside, &[&self.activity], pin!(step))? {
                    return Ok(outcome);
                }
                let endpoint = &self.comm.endpoint;
                endpoint.call_library(&self.activity, || errand.run(plain, &endpoint.context));
            },
            _ => self.comm.run(&self.inside, &[&self.activity], body),
        }
    }
}

/// The arguments of a collective beside its buffers, which are `S`: [`Apart`], [`InPlace`], [`Lists`], or none.
pub(crate) trait Collective<S>: Send + Sync {
    const OPERATION: Operation;

    /// Takes this rank's part in it, from the agreement to the end.
    fn run(&self, call: &Call<'_>, buffers: &S) -> impl Future<Output = Result<()>> + Send;
}

/// What is sent, and what is received into.
pub(crate) type Apart<'a> = (Span<'a>, Span<'a>);

/// What is received into where the elements to send are.
pub(crate) type InPlace<'a> = Span<'a>;

/// What is sent to each rank, and what is received into from each.
pub(crate) type Lists<'a> = (Vec<Span<'a>>, Vec<Span<'a>>);

/// The buffers of a collective.
pub(crate) trait Spans: Send + Sync {
    /// The bytes of this rank's own part, for the report.
    fn bytes(&self) -> usize;

    fn each(&self) -> impl Iterator<Item = &Span<'_>> + Send;

    /// Whether some elements are on a GPU.
    #[inline]
    fn on_device(&self) -> bool {
        self.each().any(|span| span.lane().is_some() && span.bytes() > 0)
    }

    /// Tells reports and traces about them.
    #[inline]
    fn describe(&self, activity: &Activity) {
        activity.measures(self.bytes());
        // An empty one is of no use here, wherever it is.
        for span in self.each().filter(|span| span.bytes() > 0) {
            activity.has_elements_in(span.place());
        }
    }
}

impl Spans for () {
    fn bytes(&self) -> usize {
        0
    }

    fn each(&self) -> impl Iterator<Item = &Span<'_>> + Send {
        std::iter::empty()
    }
}

impl Spans for InPlace<'_> {
    fn bytes(&self) -> usize {
        Span::bytes(self)
    }

    fn each(&self) -> impl Iterator<Item = &Span<'_>> + Send {
        std::iter::once(self)
    }
}

impl Spans for Apart<'_> {
    fn bytes(&self) -> usize {
        // The other may be the parts of all ranks, or not used here.
        let both = [&self.0, &self.1].map(Span::bytes).into_iter();
        both.filter(|&bytes| bytes > 0).min().unwrap_or(0)
    }

    fn each(&self) -> impl Iterator<Item = &Span<'_>> + Send {
        [&self.0, &self.1].into_iter()
    }
}

impl Spans for Vec<Span<'_>> {
    fn bytes(&self) -> usize {
        self.iter().map(Span::bytes).sum()
    }

    fn each(&self) -> impl Iterator<Item = &Span<'_>> + Send {
        self.iter()
    }
}

impl Spans for Lists<'_> {
    fn bytes(&self) -> usize {
        self.0.bytes()
    }

    fn each(&self) -> impl Iterator<Item = &Span<'_>> + Send {
        self.0.iter().chain(&self.1)
    }
}

impl Communicator {
    /// Runs a collective to its end.
    #[inline]
    fn collective<S: Spans, C: Collective<S>>(&self, what: C, buffers: S) -> Result<()> {
        let blocking = Blocking::enter(self, C::OPERATION, &buffers)?;
        let call = blocking.call();
        blocking.run(what.run(&call, &buffers))
    }
}

impl<'a> Call<'a> {
    #[inline]
    fn endpoint(&self) -> &Arc<Endpoint> {
        &self.comm.endpoint
    }

    #[inline]
    fn rank(&self) -> usize {
        self.comm.rank()
    }

    #[inline]
    fn ranks(&self) -> usize {
        self.comm.size()
    }

    /// The tag of everything that belongs to this collective.
    #[inline]
    fn tag(&self) -> i32 {
        self.endpoint().tags.collective(self.sequence)
    }

    /// Whether the collective starts with an agreement. Some are nothing without it.
    #[inline]
    fn is_checked(&self) -> bool {
        self.endpoint().engine.config().check || !self.operation.moves_data()
    }

    /// The algorithm for a payload of at most `bytes` bytes on each rank, of an operation that has no other for it.
    #[inline]
    fn plan(&self, bytes: usize) -> Algorithm {
        self.takes(self.would_take(bytes, self.on_device))
    }

    /// The algorithm for a payload of at most `bytes` bytes on each rank, if elements of any rank are on a GPU or not.
    ///
    /// What rides in frames does so wherever it is. For more, ranks know where the elements of the others are when they
    /// have agreed, and only then do all of them take the same.
    #[inline]
    fn would_take(&self, bytes: usize, on_device: bool) -> Algorithm {
        let question = Question {
            operation: self.operation,
            ranks: self.ranks(),
            bytes,
            on_device,
            together: None,
            checked: self.is_checked(),
        };
        plan(question, self.endpoint().ladders()).algorithm
    }

    /// The algorithm for such a payload, if kernels of the ranks turn out to reach the elements of others.
    fn would_take_together(&self, bytes: usize, together: Together) -> Algorithm {
        let question = Question {
            operation: self.operation,
            ranks: self.ranks(),
            bytes,
            on_device: true,
            together: Some(together),
            checked: self.is_checked(),
        };
        plan(question, self.endpoint().ladders()).algorithm
    }

    /// Notes the algorithm for traces.
    #[inline]
    fn takes(&self, algorithm: Algorithm) -> Algorithm {
        if self.operation.moves_data() {
            self.activity.takes(algorithm);
        }
        algorithm
    }

    fn check_root(&self, root: usize) -> Result<()> {
        match root < self.ranks() {
            true => Ok(()),
            false => Err(Error::invalid(format!(
                "root {root}: the communicator has {} ranks, 0 to {}",
                self.ranks(),
                self.ranks() - 1
            ))),
        }
    }

    /// The other ranks, the next one first, so that not everybody starts with the same.
    #[inline]
    fn others(&self) -> impl Iterator<Item = usize> + use<> {
        let (rank, ranks) = (self.rank(), self.ranks());
        (1..ranks).map(move |step| (rank + step) % ranks)
    }
}

/// `count` times `ranks` elements, if a buffer can have so many.
fn times(count: usize, ranks: usize) -> Result<usize> {
    count
        .checked_mul(ranks)
        .ok_or_else(|| Error::invalid(format!("{ranks} blocks of {count} elements")))
}

/// Checks that a buffer has room for `needed` elements.
fn check_room(span: &Span<'_>, needed: usize) -> Result<()> {
    match span.elements() >= needed {
        true => Ok(()),
        false => Err(Error::invalid(format!(
            "the receive buffer has {} elements where {needed} are needed",
            span.elements()
        ))),
    }
}

/// Copies the elements of one span to the start of another, unless they are the same memory.
async fn copy(source: &Span<'_>, target: &Span<'_>) -> Result<()> {
    if source.pointer() == target.pointer() || source.bytes() == 0 {
        return Ok(());
    }
    if source.bytes() > target.bytes() {
        return Err(Error::invalid(format!(
            "{} bytes for a buffer of {}",
            source.bytes(),
            target.bytes()
        )));
    }
    match (source.place(), target.place()) {
        (Place::Host, _) => {
            // SAFETY: the source's elements are in host memory, and borrowed.
            let bytes = unsafe { std::slice::from_raw_parts(source.pointer(), source.bytes()) };
            target.write(bytes).await
        }
        (Place::Device, Place::Host) => {
            // SAFETY: the target's elements are in host memory, borrowed for writing, and not the source's.
            let bytes = unsafe { std::slice::from_raw_parts_mut(target.pointer(), source.bytes()) };
            source.read(bytes).await
        }
        (Place::Device, Place::Device) => {
            target.after(source)?;
            // SAFETY: both spans are valid and the elements fit. They are different borrows, one of them for
            // writing, or blocks of one buffer that do not overlap.
            unsafe {
                target
                    .device()
                    .copy(source.pointer(), target.pointer(), source.bytes())
            }?;
            source.after(target)
        }
    }
}
