//! Messages of communicators that ranks share which are not warpcomm: bare ones of MPI, without envelopes.
//!
//! A receive is a matched probe, and then a receive of that message: so a message too long for its buffer writes
//! nothing. Whoever looks takes every message that MPI holds, in MPI's order: each goes to the first receive that waits
//! for it, or into a list that later receives and probes look at first. So the order is MPI's.

use std::collections::{BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;

use super::activity::{Activity, Phase};
use super::endpoint::Endpoint;
use super::envelope::{self, Room};
use super::rendezvous::Mode;
use super::sequence::Sequence;
use super::transfer::Transfer;
use crate::buffer::Span;
use crate::device::Scratch;
use crate::dtype::Dtype;
use crate::error::{Error, ErrorKind, Peer, Result};
use crate::message::{Content, Source, Status, Tag};
use crate::transport::Context;
use crate::transport::plain::{Elements, Found, Plain as Library};

/// What a plain communicator has in place of envelopes.
pub(crate) struct Plain {
    pub library: Arc<dyn Library>,
    state: Mutex<State>,
    /// Non-blocking collectives that MPI was not given yet.
    unstarted: Mutex<BTreeSet<u64>>,
    /// Shared with the buffered sends under way.
    buffered: Arc<()>,
}

#[derive(Default)]
struct State {
    /// In the order in which they were posted.
    waiting: VecDeque<Waiting>,
    /// Messages that no receive waits for, in the order in which they came: before anything that MPI still holds.
    arrived: VecDeque<Arrived>,
    next: u64,
    /// Messages that MPI was not given yet: to whom, and which.
    unsent: BTreeSet<(usize, u64)>,
}

/// A message with its place among all that have arrived.
#[derive(Clone, Copy)]
pub(crate) struct Arrived {
    found: Found,
    number: u64,
}

/// A receive that no message was received for.
struct Waiting {
    number: u64,
    source: Source,
    tag: Tag,
    arrived: Option<Arrived>,
}

/// Whether a message is one that a receive or a probe asks for.
fn fits(found: &Found, source: Source, tag: Tag) -> bool {
    let source_fits = match source {
        Source::Any => true,
        Source::Rank(rank) => rank == found.source,
    };
    source_fits && (tag == Tag::ANY || tag.0 == found.tag)
}

impl Arrived {
    /// What a probe says: nobody tells the type of bare elements, so they are bytes.
    fn status(&self) -> Status {
        Status {
            source: self.found.source,
            tag: Tag(self.found.tag),
            count: self.found.bytes,
            dtype: Dtype::U8,
            cancelled: false,
        }
    }
}

impl State {
    fn number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    /// Takes every message that MPI holds, in MPI's order, for the receive that waits for it or for later.
    fn collect(&mut self, library: &dyn Library, context: &Context) -> Result<()> {
        while let Some(found) = library.find(context)? {
            let number = self.number();
            self.give(Arrived { found, number });
        }
        Ok(())
    }

    /// Gives a message to the first receive that it fits, or keeps it at its place.
    fn give(&mut self, arrived: Arrived) {
        let mut waiting = self.waiting.iter_mut();
        let fitting = |waiting: &&mut Waiting| {
            waiting.arrived.is_none() && fits(&arrived.found, waiting.source, waiting.tag)
        };
        match waiting.find(fitting) {
            Some(waiting) => waiting.arrived = Some(arrived),
            None => {
                let place = self
                    .arrived
                    .partition_point(|other| other.number < arrived.number);
                self.arrived.insert(place, arrived);
            }
        }
    }

    /// The place of the earliest message that fits.
    fn position(&self, source: Source, tag: Tag) -> Option<usize> {
        self.arrived
            .iter()
            .position(|arrived| fits(&arrived.found, source, tag))
    }

    fn remove(&mut self, number: u64) -> Option<Waiting> {
        let at = self.waiting.iter().position(|waiting| waiting.number == number)?;
        self.waiting.remove(at)
    }
}

/// A message's turn among those to the same rank, until it is dropped: one whose elements are still being copied from a
/// GPU must not be overtaken.
struct Turn<'a> {
    plain: &'a Plain,
    own: (usize, u64),
}

impl Turn<'_> {
    async fn comes(&self) {
        let (dest, _) = self.own;
        std::future::poll_fn(|_| match self.plain.state().unsent.range((dest, 0)..).next() {
            Some(first) if *first != self.own => Poll::Pending,
            _ => Poll::Ready(()),
        })
        .await;
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.plain.state().unsent.remove(&self.own);
    }
}

/// A receive's place among those that wait, until it is dropped.
struct Place<'a> {
    plain: &'a Plain,
    number: u64,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut state = self.plain.state();
        let waiting = state.remove(self.number);
        if let Some(arrived) = waiting.and_then(|waiting| waiting.arrived) {
            state.give(arrived);
        }
    }
}

impl Plain {
    pub(crate) fn new(library: Arc<dyn Library>) -> Plain {
        Plain {
            library,
            state: Mutex::default(),
            unstarted: Mutex::default(),
            buffered: Arc::default(),
        }
    }

    fn unstarted(&self) -> MutexGuard<'_, BTreeSet<u64>> {
        self.unstarted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts a non-blocking collective among those that MPI will be given.
    pub(super) fn will_start(&self, sequence: Sequence) {
        self.unstarted().insert(sequence.code());
    }

    /// MPI was given a collective, or never will be.
    pub(crate) fn has_started(&self, sequence: Sequence) {
        self.unstarted().remove(&sequence.code());
    }

    /// Waits until MPI was given all earlier collectives: it matches them by their order, and one whose elements are
    /// still being copied from a GPU must not be overtaken.
    pub(crate) async fn has_its_turn(&self, sequence: Sequence) {
        std::future::poll_fn(|_| match self.unstarted().first() {
            Some(first) if *first < sequence.code() => Poll::Pending,
            _ => Poll::Ready(()),
        })
        .await;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks for a message without receiving it.
    pub(super) fn probe(&self, context: &Context, source: Source, tag: Tag) -> Result<Option<Status>> {
        let mut state = self.state();
        state.collect(&*self.library, context)?;
        let found = state.position(source, tag);
        Ok(found.map(|at| state.arrived[at].status()))
    }

    /// Takes a message out of reach of others, to be received later.
    pub(super) fn take(
        &self,
        context: &Context,
        source: Source,
        tag: Tag,
    ) -> Result<Option<(Arrived, Status)>> {
        let mut state = self.state();
        state.collect(&*self.library, context)?;
        let found = state.position(source, tag);
        let taken = found.and_then(|at| state.arrived.remove(at));
        Ok(taken.map(|arrived| (arrived, arrived.status())))
    }

    /// Gives a message that was taken back to all, at the place that it had.
    pub(super) fn put_back(&self, arrived: Arrived) {
        self.state().give(arrived);
    }

    /// Waits until MPI was given all collectives under way.
    pub(crate) async fn all_have_started(&self) -> Result<()> {
        std::future::poll_fn(|_| match self.unstarted().is_empty() {
            true => Poll::Ready(Ok(())),
            false => Poll::Pending,
        })
        .await
    }

    /// What a buffered send keeps until it is over.
    pub(crate) fn buffered(&self) -> Arc<()> {
        Arc::clone(&self.buffered)
    }

    /// Waits until all buffered sends are over, which nobody else waits for.
    #[cfg(feature = "mpi")]
    pub(crate) async fn buffered_are_over(&self) -> Result<()> {
        std::future::poll_fn(|_| match Arc::strong_count(&self.buffered) {
            1 => Poll::Ready(Ok(())),
            _ => Poll::Pending,
        })
        .await
    }

    /// Sends a span to `dest`.
    pub(super) async fn send(
        &self,
        endpoint: &Endpoint,
        activity: &Activity,
        span: &Span<'_>,
        (dest, tag): (usize, Tag),
        mode: Mode,
    ) -> Result<Status> {
        span.check()?;
        if span.content() == Content::Object {
            endpoint.check_native()?;
        }
        let turn = {
            let mut state = self.state();
            let own = (dest, state.number());
            state.unsent.insert(own);
            Turn { plain: self, own }
        };
        let copy = HostCopy::of(span).await?;
        let elements = copy.elements();
        turn.comes().await;
        activity.waits_for(Phase::Body);
        let transport = endpoint.engine.transport();
        let is_synchronous = mode == Mode::Synchronous;
        let context = &endpoint.context;
        // SAFETY: the span is borrowed, and its copy kept, until this future ends or is dropped.
        let posted = unsafe { self.library.isend(context, dest, tag.0, elements, is_synchronous) }?;
        drop(turn);
        Transfer::posted(transport, posted).await?;
        Ok(Status {
            source: dest,
            tag,
            count: span.elements() as u64,
            dtype: span.dtype(),
            cancelled: false,
        })
    }

    /// Receives into a span that may be written.
    pub(super) async fn receive(
        &self,
        endpoint: &Endpoint,
        activity: &Activity,
        span: &Span<'_>,
        source: Source,
        tag: Tag,
    ) -> Result<Status> {
        let number = {
            let mut state = self.state();
            let number = state.number();
            let known = state.position(source, tag);
            let arrived = known.and_then(|at| state.arrived.remove(at));
            state.waiting.push_back(Waiting {
                number,
                source,
                tag,
                arrived,
            });
            number
        };
        let place = Place { plain: self, number };
        activity.waits_for(Phase::Match);
        let arrived = std::future::poll_fn(|_| {
            let mut state = self.state();
            if let Err(error) = state.collect(&*self.library, &endpoint.context) {
                return Poll::Ready(Err(error));
            }
            let waiting = state.waiting.iter().find(|waiting| waiting.number == number);
            match waiting.and_then(|waiting| waiting.arrived) {
                Some(arrived) => {
                    state.remove(number);
                    Poll::Ready(Ok(Some(arrived)))
                }
                None if activity.is_cancelled() => Poll::Ready(Ok(None)),
                None => Poll::Pending,
            }
        })
        .await?;
        drop(place);
        match arrived {
            None => Ok(Status::cancelled(span.dtype())),
            Some(arrived) => self.receive_found(endpoint, activity, span, arrived).await,
        }
    }

    /// Receives a message that was found into a span that may be written.
    pub(super) async fn receive_found(
        &self,
        endpoint: &Endpoint,
        activity: &Activity,
        span: &Span<'_>,
        arrived: Arrived,
    ) -> Result<Status> {
        let found = arrived.found;
        let from = |error: Error| error.peer(Peer::From(found.source));
        let not_received = |error: Error| {
            self.put_back(arrived);
            from(error)
        };
        let transport = endpoint.engine.transport();
        let (bytes, size) = (
            usize::try_from(found.bytes).unwrap_or(usize::MAX),
            span.dtype().size(),
        );
        let room = Room {
            content: span.content(),
            capacity: span.elements(),
        };
        let fits = span.check().and_then(|()| match bytes % size {
            0 => envelope::check_room(bytes / size, span.content(), room),
            _ => Err(Error::new(
                ErrorKind::Mismatch,
                format!(
                    "a message of {bytes} bytes is no whole number of {}",
                    span.dtype()
                ),
            )),
        });
        activity.waits_for(Phase::Body);
        if let Err(error) = fits {
            // It is received all the same: the next one must be the next one.
            let nowhere = Scratch::new(None, bytes).map_err(not_received)?;
            let elements = Elements {
                pointer: nowhere.pointer(),
                count: bytes,
                dtype: Dtype::U8,
            };
            // SAFETY: our own memory, kept until this future ends or is dropped.
            let posted = unsafe { self.library.receive(&found, elements) }.map_err(from)?;
            Transfer::posted(transport, posted).await.map_err(from)?;
            return Err(from(error));
        }
        let target = span.part(0, bytes / size).map_err(not_received)?;
        let copy = HostCopy::for_result(&target).map_err(not_received)?;
        // SAFETY: the span may be written, and is borrowed, as its copy is kept, until this future ends or is dropped.
        let posted = unsafe { self.library.receive(&found, copy.elements()) }.map_err(from)?;
        Transfer::posted(transport, posted).await.map_err(from)?;
        copy.write_back(&target).await.map_err(from)?;
        Ok(Status {
            source: found.source,
            tag: Tag(found.tag),
            count: (bytes / size) as u64,
            dtype: span.dtype(),
            cancelled: false,
        })
    }
}

/// Elements where MPI can reach them: a span's own on the host, copies of those on a GPU.
pub(crate) struct HostCopy {
    elements: Elements,
    copy: Option<Scratch>,
}

impl HostCopy {
    /// The elements of a span.
    pub(crate) async fn of(span: &Span<'_>) -> Result<HostCopy> {
        let host = HostCopy::for_result(span)?;
        if host.copy.is_some() {
            // SAFETY: the copy has that many bytes, and nobody else reaches it.
            let bytes = unsafe { std::slice::from_raw_parts_mut(host.elements.pointer, span.bytes()) };
            span.read(bytes).await?;
        }
        Ok(host)
    }

    /// A copy of the elements wherever they are.
    pub(crate) async fn apart(span: &Span<'_>) -> Result<HostCopy> {
        let copy = HostCopy::scratch(span)?;
        // SAFETY: the copy has that many bytes, and nobody else reaches it.
        let bytes = unsafe { std::slice::from_raw_parts_mut(copy.elements.pointer, span.bytes()) };
        span.read(bytes).await?;
        Ok(copy)
    }

    /// Room for what is received into a span, whose elements are written by [`write_back`](Self::write_back).
    fn for_result(span: &Span<'_>) -> Result<HostCopy> {
        match span.lane() {
            Some(_) => HostCopy::scratch(span),
            None => Ok(HostCopy {
                elements: Elements {
                    pointer: span.pointer(),
                    count: span.elements(),
                    dtype: span.dtype(),
                },
                copy: None,
            }),
        }
    }

    fn scratch(span: &Span<'_>) -> Result<HostCopy> {
        let copy = Scratch::new(None, span.bytes())?;
        Ok(HostCopy {
            elements: Elements {
                pointer: copy.pointer(),
                count: span.elements(),
                dtype: span.dtype(),
            },
            copy: Some(copy),
        })
    }

    pub(crate) fn elements(&self) -> Elements {
        self.elements
    }

    /// Brings what was received to the span. Bools from ranks that are not Rust may be any bytes: every one but 0 is
    /// true.
    pub(crate) async fn write_back(&self, span: &Span<'_>) -> Result<()> {
        // SAFETY: the span's own elements, which may be written, or their copy.
        let bytes = unsafe { std::slice::from_raw_parts_mut(self.elements.pointer, span.bytes()) };
        if span.dtype() == Dtype::Bool {
            bytes.iter_mut().for_each(|byte| *byte = u8::from(*byte != 0));
        }
        match self.copy {
            None => Ok(()),
            Some(_) => span.write(bytes).await,
        }
    }
}
