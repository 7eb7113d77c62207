//! Collectives of plain communicators: MPI's own, on copies of what is on a GPU.
//!
//! Blocking ones must be MPI's blocking ones, since MPI does not match them with others; these wait inside MPI.
//! Meanwhile this thread drives nothing else, and it holds nothing that another thread needs to drive: the call is an
//! [`Errand`] that the operation gives to its caller.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;

use super::Call;
use super::temporary::Temporary;
use crate::buffer::{Blocks, Span};
use crate::comm::Communicator;
use crate::engine::{self, Endpoint, HostCopy, Phase, Transfer};
use crate::error::{Error, ErrorKind, Result};
use crate::op::Op;
use crate::plan::Operation;
use crate::transport::Context;
use crate::transport::plain::{Call as LibraryCall, Division, Elements, Layout};

/// A call of MPI that waits for other ranks, for the thread that runs the operation.
#[derive(Default)]
pub(super) struct Errand(Mutex<State>);

#[derive(Default)]
enum State {
    #[default]
    Nothing,
    Asked(LibraryCall),
    Done(Result<()>),
}

impl Errand {
    fn replace(&self, state: State) -> State {
        std::mem::replace(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner), state)
    }

    fn is_asked(&self) -> bool {
        let state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        matches!(*state, State::Asked(_))
    }

    /// Runs an operation until it is over, or until it has asked for a call: then `None`.
    pub(super) async fn step<T>(
        &self,
        mut operation: Pin<&mut (dyn Future<Output = Result<T>> + Send)>,
    ) -> Result<Option<T>> {
        std::future::poll_fn(|context| match operation.as_mut().poll(context) {
            Poll::Ready(outcome) => Poll::Ready(outcome.map(Some)),
            Poll::Pending if self.is_asked() => Poll::Ready(Ok(None)),
            Poll::Pending => Poll::Pending,
        })
        .await
    }

    /// Makes the call that was asked for.
    pub(super) fn run(&self, plain: &engine::Plain, context: &Context) {
        if let State::Asked(call) = self.replace(State::Nothing) {
            // SAFETY: the operation that has asked keeps the elements until it has the answer.
            let outcome = unsafe { plain.library.call(context, &call) };
            self.replace(State::Done(outcome));
        }
    }

    /// Asks for a call.
    ///
    /// # Safety
    /// As for [`Plain::call`](crate::transport::plain::Plain::call), until this is over.
    async unsafe fn ask(&self, call: LibraryCall) -> Result<()> {
        self.replace(State::Asked(call));
        std::future::poll_fn(|_| match self.replace(State::Nothing) {
            State::Done(outcome) => Poll::Ready(outcome),
            other => {
                self.replace(other);
                Poll::Pending
            }
        })
        .await
    }
}

impl Communicator {
    /// Makes a plain communicator; waits for the other ranks inside MPI.
    pub(super) fn divide(
        &self,
        plain: &engine::Plain,
        operation: Operation,
        division: Division,
    ) -> Result<Option<Communicator>> {
        self.call_library(operation, || {
            let made = |context| {
                let library = Arc::clone(&plain.library);
                let endpoint = Endpoint::new_plain(&self.endpoint.engine, context, library);
                endpoint.map(|endpoint| Communicator::new(endpoint, self.timeout()))
            };
            let context = plain.library.divide(&self.endpoint.context, division)?;
            context.map(made).transpose()
        })
    }
}

/// A collective of a plain communicator.
pub(super) struct Plain<'a> {
    call: &'a Call<'a>,
    plain: &'a engine::Plain,
}

impl Call<'_> {
    /// This collective, if its communicator is plain.
    #[inline]
    pub(super) fn plain(&self) -> Option<Plain<'_>> {
        let plain = self.endpoint().plain.as_ref()?;
        Some(Plain { call: self, plain })
    }
}

/// Blocks in the numbers of MPI.
fn layout(blocks: &Blocks, ranks: usize) -> Result<Layout> {
    let int = |number: usize| {
        i32::try_from(number).map_err(|_| {
            Error::unsupported(format!(
                "a block at or of {number} elements: MPI's own collectives count with 31 bits here"
            ))
        })
    };
    Ok(Layout {
        counts: (0..ranks)
            .map(|rank| int(blocks.count(rank)))
            .collect::<Result<_>>()?,
        displacements: (0..ranks)
            // It does not matter where an empty block starts.
            .map(|rank| match blocks.count(rank) {
                0 => Ok(0),
                _ => int(blocks.displacement(rank)),
            })
            .collect::<Result<_>>()?,
    })
}

/// Whether two spans share bytes of the host's memory.
fn overlap(one: &Span<'_>, other: &Span<'_>) -> bool {
    let range = |span: &Span<'_>| (span.pointer() as usize, span.pointer() as usize + span.bytes());
    let ((start, end), (other_start, other_end)) = (range(one), range(other));
    one.lane().is_none() && other.lane().is_none() && start < other_end && other_start < end
}

/// Whether a span starts at an element of another one.
fn is_at(span: &Span<'_>, whole: &Span<'_>, element: usize) -> bool {
    let there = whole
        .pointer()
        .wrapping_add(element.wrapping_mul(whole.dtype().size()));
    span.place() == whole.place() && span.pointer() == there
}

/// The part of a collective that each rank has `count` elements of.
fn of_each(elements: Elements, count: usize) -> Elements {
    Elements { count, ..elements }
}

impl Plain<'_> {
    /// Calls or starts a collective of MPI.
    ///
    /// # Safety
    /// The elements are valid until this is over or was dropped, those that are received into may be written, and
    /// none overlap.
    async unsafe fn enter(&self, what: LibraryCall) -> Result<()> {
        self.plain.has_its_turn(self.call.sequence).await;
        self.call.activity.waits_for(Phase::Library);
        if let Some(errand) = self.call.errand {
            // SAFETY: the caller's promise.
            return unsafe { errand.ask(what) }.await;
        }
        let endpoint = self.call.endpoint();
        let what = Box::new(what);
        // SAFETY: the caller's promise; the box and what comes with the operation stay until it is over.
        let (posted, _kept) = unsafe { self.plain.library.start(&endpoint.context, &what) }?;
        self.plain.has_started(self.call.sequence);
        Transfer::posted(endpoint.engine.transport(), posted)
            .await
            .map(drop)
    }

    /// Runs a collective that reads one span and writes another.
    async fn between(
        &self,
        local: Result<()>,
        send: &Span<'_>,
        recv: &Span<'_>,
        what: impl FnOnce(Elements, Elements) -> Result<LibraryCall>,
    ) -> Result<()> {
        local?;
        let out = match overlap(send, recv) {
            true => HostCopy::apart(send).await?,
            false => HostCopy::of(send).await?,
        };
        let back = HostCopy::of(recv).await?;
        // SAFETY: the spans are borrowed and their copies kept; they do not overlap, as one was copied if they did.
        unsafe { self.enter(what(out.elements(), back.elements())?) }.await?;
        back.write_back(recv).await
    }

    /// Runs a collective whose result may be where the elements to send are, at the element `own`.
    async fn among(
        &self,
        local: Result<()>,
        send: &Span<'_>,
        recv: &Span<'_>,
        own: usize,
        what: impl FnOnce(Option<Elements>, Elements) -> Result<LibraryCall>,
    ) -> Result<()> {
        local?;
        match is_at(send, recv, own) {
            true => self.within(Ok(()), recv, |recv| what(None, recv)).await,
            false => {
                self.between(Ok(()), send, recv, |send, recv| what(Some(send), recv))
                    .await
            }
        }
    }

    /// Runs a collective in place, as all ranks must: MPI may exchange other messages then.
    async fn within(
        &self,
        local: Result<()>,
        all: &Span<'_>,
        what: impl FnOnce(Elements) -> Result<LibraryCall>,
    ) -> Result<()> {
        local?;
        let copy = HostCopy::of(all).await?;
        // SAFETY: the span is borrowed for writing, and its copy kept.
        unsafe { self.enter(what(copy.elements())?) }.await?;
        copy.write_back(all).await
    }

    pub(super) async fn barrier(&self) -> Result<()> {
        // SAFETY: there are no elements.
        unsafe { self.enter(LibraryCall::Barrier) }.await
    }

    pub(super) async fn bcast(&self, span: &Span<'_>, root: usize, local: Result<()>) -> Result<()> {
        local?;
        let copy = HostCopy::of(span).await?;
        let buffer = copy.elements();
        // SAFETY: the span is borrowed for writing, and its copy kept.
        unsafe { self.enter(LibraryCall::Bcast { buffer, root }) }.await?;
        match self.call.rank() == root {
            true => Ok(()),
            false => copy.write_back(span).await,
        }
    }

    pub(super) async fn gather(
        &self,
        own: &Span<'_>,
        all: &Span<'_>,
        root: usize,
        local: Result<()>,
    ) -> Result<()> {
        let (nothing, count) = (Span::empty(own.dtype()), own.elements());
        let all = if self.call.rank() == root { all } else { &nothing };
        self.between(local, own, all, |send, recv| {
            let recv = of_each(recv, count);
            Ok(LibraryCall::Gather { send, recv, root })
        })
        .await
    }

    /// `gatherv`, or without a root `allgatherv`.
    pub(super) async fn gatherv(
        &self,
        own: &Span<'_>,
        all: &Span<'_>,
        blocks: &Blocks,
        root: Option<usize>,
        local: Result<()>,
    ) -> Result<()> {
        let (rank, ranks) = (self.call.rank(), self.call.ranks());
        let collects = root.is_none_or(|root| root == rank);
        let nothing = Span::empty(own.dtype());
        let all = if collects { all } else { &nothing };
        let local = local.and_then(|()| match collects {
            true => check_own(rank, own, blocks),
            false => Ok(()),
        });
        let Some(root) = root else {
            let allgatherv = |send, recv| {
                let (send, blocks) = (Some(send), layout(blocks, ranks)?);
                Ok(LibraryCall::Allgatherv { send, recv, blocks })
            };
            return self.between(local, own, all, allgatherv).await;
        };
        self.between(local, own, all, |send, recv| {
            let blocks = match collects {
                true => layout(blocks, ranks)?,
                false => layout(&Blocks::default(), ranks)?,
            };
            Ok(LibraryCall::Gatherv {
                send,
                recv,
                blocks,
                root,
            })
        })
        .await
    }

    pub(super) async fn scatter(
        &self,
        all: &Span<'_>,
        own: &Span<'_>,
        root: usize,
        local: Result<()>,
    ) -> Result<()> {
        let (nothing, count) = (Span::empty(own.dtype()), own.elements());
        let all = if self.call.rank() == root { all } else { &nothing };
        self.between(local, all, own, |send, recv| {
            let send = of_each(send, count);
            Ok(LibraryCall::Scatter { send, recv, root })
        })
        .await
    }

    pub(super) async fn scatterv(
        &self,
        all: &Span<'_>,
        blocks: &Blocks,
        own: &Span<'_>,
        root: usize,
        local: Result<()>,
    ) -> Result<()> {
        let (rank, ranks) = (self.call.rank(), self.call.ranks());
        let nothing = Span::empty(own.dtype());
        let (all, local) = match rank == root {
            true => (all, local.and_then(|()| check_own(rank, own, blocks))),
            false => (&nothing, local),
        };
        self.between(local, all, own, |send, recv| {
            let blocks = match rank == root {
                true => layout(blocks, ranks)?,
                false => layout(&Blocks::default(), ranks)?,
            };
            Ok(LibraryCall::Scatterv {
                send,
                blocks,
                recv,
                root,
            })
        })
        .await
    }

    pub(super) async fn allgather(&self, own: &Span<'_>, all: &Span<'_>, local: Result<()>) -> Result<()> {
        let count = own.elements();
        self.among(local, own, all, self.call.rank() * count, |send, recv| {
            let recv = of_each(recv, count);
            Ok(LibraryCall::Allgather { send, recv })
        })
        .await
    }

    pub(super) async fn allgatherv_in_place(
        &self,
        all: &Span<'_>,
        blocks: &Blocks,
        local: Result<()>,
    ) -> Result<()> {
        let ranks = self.call.ranks();
        self.within(local, all, |recv| {
            let (send, blocks) = (None, layout(blocks, ranks)?);
            Ok(LibraryCall::Allgatherv { send, recv, blocks })
        })
        .await
    }

    /// With `count` elements for each rank.
    pub(super) async fn alltoall(
        &self,
        send: &Span<'_>,
        recv: &Span<'_>,
        count: usize,
        local: Result<()>,
    ) -> Result<()> {
        self.between(local, send, recv, |send, recv| {
            let (send, recv) = (of_each(send, count), of_each(recv, count));
            let send = Some(send);
            Ok(LibraryCall::Alltoall { send, recv })
        })
        .await
    }

    pub(super) async fn alltoall_in_place(&self, all: &Span<'_>, local: Result<()>) -> Result<()> {
        let count = all.elements() / self.call.ranks();
        self.within(local, all, |recv| {
            let recv = of_each(recv, count);
            Ok(LibraryCall::Alltoall { send: None, recv })
        })
        .await
    }

    pub(super) async fn alltoallv_in_place(
        &self,
        all: &Span<'_>,
        blocks: &Blocks,
        local: Result<()>,
    ) -> Result<()> {
        let ranks = self.call.ranks();
        if self.call.errand.is_none() {
            // Open MPI 4.1 waits for ever in the non-blocking form in place.
            local?;
            let (copied, packed) = Temporary::copied(all, blocks).await?;
            let between = self.alltoallv((copied.span(), &packed), (all, blocks), Ok(()));
            return Box::pin(between).await;
        }
        self.within(local, all, |recv| {
            Ok(LibraryCall::Alltoallv {
                send: None,
                recv,
                recv_blocks: layout(blocks, ranks)?,
            })
        })
        .await
    }

    pub(super) async fn alltoallv(
        &self,
        (send, send_blocks): (&Span<'_>, &Blocks),
        (recv, recv_blocks): (&Span<'_>, &Blocks),
        local: Result<()>,
    ) -> Result<()> {
        let ranks = self.call.ranks();
        self.between(local, send, recv, |send, recv| {
            Ok(LibraryCall::Alltoallv {
                send: Some((send, layout(send_blocks, ranks)?)),
                recv,
                recv_blocks: layout(recv_blocks, ranks)?,
            })
        })
        .await
    }

    pub(super) async fn alltoallw(
        &self,
        send: &[&Span<'_>],
        recv: &[Span<'_>],
        local: Result<()>,
    ) -> Result<()> {
        local?;
        let (mut out, mut back) = (Vec::new(), Vec::new());
        for span in send {
            out.push(match recv.iter().any(|other| overlap(span, other)) {
                true => HostCopy::apart(span).await?,
                false => HostCopy::of(span).await?,
            });
        }
        for span in recv {
            back.push(HostCopy::of(span).await?);
        }
        let send = Some(out.iter().map(HostCopy::elements).collect());
        self.alltoallw_between(send, &back, recv).await
    }

    pub(super) async fn alltoallw_in_place(&self, all: &[Span<'_>], local: Result<()>) -> Result<()> {
        local?;
        let mut back = Vec::new();
        for span in all {
            back.push(HostCopy::of(span).await?);
        }
        if self.call.errand.is_some() {
            return self.alltoallw_between(None, &back, all).await;
        }
        // As for `alltoallv`.
        let mut out = Vec::new();
        for span in all {
            out.push(HostCopy::apart(span).await?);
        }
        let send = Some(out.iter().map(HostCopy::elements).collect());
        self.alltoallw_between(send, &back, all).await
    }

    /// With copies of what is received into, and elements that are kept by the caller.
    async fn alltoallw_between(
        &self,
        send: Option<Vec<Elements>>,
        back: &[HostCopy],
        recv: &[Span<'_>],
    ) -> Result<()> {
        let into = back.iter().map(HostCopy::elements).collect();
        // SAFETY: as in `between`; buffers that are received into are different borrows.
        unsafe { self.enter(LibraryCall::Alltoallw { send, recv: into }) }.await?;
        for (copy, span) in back.iter().zip(recv) {
            copy.write_back(span).await?;
        }
        Ok(())
    }

    pub(super) async fn reduce(
        &self,
        own: &Span<'_>,
        result: &Span<'_>,
        op: Op,
        root: usize,
        local: Result<()>,
    ) -> Result<()> {
        let nothing = Span::empty(own.dtype());
        let result = if self.call.rank() == root {
            result
        } else {
            &nothing
        };
        self.between(local, own, result, |send, recv| {
            Ok(LibraryCall::Reduce { send, recv, op, root })
        })
        .await
    }

    pub(super) async fn allreduce(
        &self,
        own: &Span<'_>,
        result: &Span<'_>,
        op: Op,
        local: Result<()>,
    ) -> Result<()> {
        self.among(local, own, result, 0, |send, recv| {
            let recv = of_each(recv, own.elements());
            Ok(LibraryCall::Allreduce { send, recv, op })
        })
        .await
    }

    /// With `count` elements for each rank.
    pub(super) async fn reduce_scatter_block(
        &self,
        own: &Span<'_>,
        result: &Span<'_>,
        op: Op,
        count: usize,
        local: Result<()>,
    ) -> Result<()> {
        self.between(local, own, result, |send, recv| {
            let recv = of_each(recv, count);
            let send = Some(send);
            Ok(LibraryCall::ReduceScatterBlock { send, recv, op })
        })
        .await
    }

    /// In place; what is behind the result is left alone, of which MPI says nothing.
    pub(super) async fn reduce_scatter_block_in_place(
        &self,
        all: &Span<'_>,
        op: Op,
        count: usize,
        local: Result<()>,
    ) -> Result<()> {
        local?;
        let copy = HostCopy::apart(all).await?;
        let recv = of_each(copy.elements(), count);
        // SAFETY: a copy of our own, which is kept.
        unsafe { self.enter(LibraryCall::ReduceScatterBlock { send: None, recv, op }) }.await?;
        copy.write_back(&all.part(0, count)?).await
    }

    /// As above, with blocks of any length.
    pub(super) async fn reduce_scatter_in_place(
        &self,
        all: &Span<'_>,
        blocks: &Blocks,
        op: Op,
        local: Result<()>,
    ) -> Result<()> {
        local?;
        // MPI has the blocks one behind the other.
        let (packed, _) = Temporary::copied(all, blocks).await?;
        let (rank, ranks) = (self.call.rank(), self.call.ranks());
        let count = blocks.count(rank);
        let start: usize = (0..rank).map(|rank| blocks.count(rank)).sum();
        let copy = HostCopy::apart(packed.span()).await?;
        // MPICH 4.0.2 ends the job where a block reaches into the place of its result; its messages are the same apart.
        let out = match 0 < start && start < count {
            true => Some(HostCopy::of(packed.span()).await?),
            false => None,
        };
        let call = LibraryCall::ReduceScatter {
            send: out.as_ref().map(HostCopy::elements),
            counts: layout(blocks, ranks)?.counts,
            recv: copy.elements(),
            op,
        };
        // SAFETY: a copy of our own and the borrowed span or another copy of it, which are kept.
        unsafe { self.enter(call) }.await?;
        copy.write_back(&all.part(0, count)?).await
    }

    pub(super) async fn reduce_scatter(
        &self,
        own: &Span<'_>,
        blocks: &Blocks,
        result: &Span<'_>,
        op: Op,
        local: Result<()>,
    ) -> Result<()> {
        local?;
        // MPI has the blocks one behind the other.
        let (packed, _) = Temporary::copied(own, blocks).await?;
        let Layout { counts, .. } = layout(blocks, self.call.ranks())?;
        self.between(Ok(()), packed.span(), result, |send, recv| {
            Ok(LibraryCall::ReduceScatter {
                send: Some(send),
                counts,
                recv,
                op,
            })
        })
        .await
    }

    /// `scan`, or `exscan`.
    pub(super) async fn scan(
        &self,
        own: &Span<'_>,
        result: &Span<'_>,
        op: Op,
        local: Result<()>,
    ) -> Result<()> {
        let own_elements = own.elements();
        match (self.call.operation, self.call.rank()) {
            (Operation::Exscan, 0) => {
                local?;
                // MPI may write anything into the first rank's result.
                let copy = HostCopy::apart(own).await?;
                let nowhere = Temporary::beside(own, own_elements)?;
                let nowhere = HostCopy::apart(nowhere.span()).await?;
                let (send, recv) = match is_at(own, result, 0) {
                    true => (None, copy.elements()),
                    false => (Some(copy.elements()), nowhere.elements()),
                };
                // SAFETY: copies of our own, which are kept.
                unsafe { self.enter(LibraryCall::Exscan { send, recv, op }) }.await
            }
            (Operation::Exscan, _) => {
                let exscan = |send, recv| {
                    let recv = of_each(recv, own_elements);
                    Ok(LibraryCall::Exscan { send, recv, op })
                };
                self.among(local, own, result, 0, exscan).await
            }
            _ => {
                let scan = |send, recv| {
                    let recv = of_each(recv, own_elements);
                    Ok(LibraryCall::Scan { send, recv, op })
                };
                self.among(local, own, result, 0, scan).await
            }
        }
    }
}

/// Nobody else finds out that a rank sends itself another number of elements than it expects of itself.
fn check_own(rank: usize, own: &Span<'_>, blocks: &Blocks) -> Result<()> {
    let (there, here) = (blocks.count(rank), own.elements());
    match there == here {
        true => Ok(()),
        false => Err(Error::new(
            ErrorKind::Mismatch,
            format!("{here} elements of rank {rank} for its block of {there}"),
        )),
    }
}
