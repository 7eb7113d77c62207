//! Any transport, from and to the memory of GPUs: through page-locked memory of the host.
//!
//! ```text
//! send:     GPU -copy-> pinned slab, behind the head  -inner send->
//! receive:  -inner receive-> pinned slab -copy-> GPU
//! ```
//!
//! A short message goes to the inner transport when its copy is over, so it is kept back meanwhile, and so is every
//! later message to the same rank in the same context, and with the same tag where that is private: messages do not
//! overtake each other. A long one, of which nobody else's messages are in the way, takes one of the ways below. A receive has completed when its copies are in
//! the lane.
//!
//! | way | for |
//! |---|---|
//! | [`pipeline`] | any two ranks |
//! | [`shared`] | processes of one node |
//! | [`same_process`] | GPUs of one process |
//! | [`aware`] | processes whose MPI takes the addresses of GPU memory ([`proof`]) |
//!
//! The receiver chooses, by what it knows of the pair ([`links`]). Reductions may fold elements where they are ([`fold`]).

mod aware;
mod fold;
mod giving_up;
mod letter;
mod links;
mod pipeline;
mod proof;
mod same_process;
mod shared;

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;
use std::time::Instant;
#[cfg(feature = "mpi")]
use std::{io, path::PathBuf};

use super::{
    Body, Context, Creation, Delivery, DeviceMemory, Driver, End, Library, Origin, Pieces, Posted, Route,
    Share, Split, Tags, Tested, Ticket, Transport, Waybill, Whereabouts,
};
#[cfg(feature = "mpi")]
use crate::awareness::{Allocation, Verdict};
use crate::config::Config;
use crate::device::cuda::{PinnedSlab, is_anybody_waiting};
use crate::device::{Device, Lane, Place};
use crate::error::{Error, Result};
use crate::path::{ChosenPath, Path};
use aware::Direct;
use fold::{Joining, Leading, Sharing};
use giving_up::{GoingOn, PATIENCE};
use links::Links;
use pipeline::{Receiving, Sending};
use proof::{Proof, Refusal};
use same_process::{Lending, Taking};
use shared::handshake::{Answering, Proposing};

/// How often what can go on is handed on before windows are looked at that are to be closed.
const DRIVES_PER_CLOSE: usize = 256;

/// A transport that takes device memory, over one that does not.
pub(crate) struct Devices {
    inner: Arc<dyn Transport>,
    links: Arc<Links>,
    drives: AtomicUsize,
    proof: Proof,
    /// How many entries `state` has, to pass everything by when there are none.
    held: AtomicUsize,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Sends that the inner transport does not have yet, in the order of their calls.
    waiting: VecDeque<Arc<Operation>>,
    /// Long messages.
    long: Vec<Arc<Operation>>,
    /// What was given up while the inner transport still used its memory.
    orphans: Vec<(Ticket, Memory)>,
    /// What was given up, and goes on.
    going_on: GoingOn,
}

/// A send or receive that this transport has begun.
struct Operation(Mutex<Stage>);

/// How far an operation is.
enum Stage {
    /// A send that is kept back.
    Waiting(Outgoing),
    /// The inner transport has it.
    Posted {
        ticket: Ticket,
        memory: Memory,
        /// Where the bytes go when they are here.
        target: Option<Target>,
        /// Why the operation fails, though the inner one succeeds.
        failure: Option<Error>,
    },
    /// It takes a way of its own.
    Steps(Box<dyn Steps>),
    /// It is over; what is to be done if nobody asks how it ended.
    Over(Result<Tested>, Option<Box<dyn Steps>>),
}

impl Stage {
    fn over(outcome: Result<Tested>) -> Stage {
        Stage::Over(outcome, None)
    }
}

/// What is done for a long message on one side.
trait Steps: Send {
    /// Does what can be done now.
    fn advance(&mut self, inner: &dyn Transport) -> Poll<Result<Delivery>>;

    /// Gives the message up, or what is left of one that is over: what the inner transport may still use.
    fn abandon(&mut self, inner: &dyn Transport) -> Vec<(Ticket, Memory)>;

    /// Whether the peer, or the inner transport, may still use the elements of a message that is given up; takes them back
    /// as far as that is possible.
    fn is_in_use(&mut self, _inner: &dyn Transport) -> bool {
        false
    }

    /// What is to be done for the peer's sake if nobody goes on with the message, whether it was given up or is over.
    fn rest(&mut self) -> Option<Box<dyn Steps>> {
        None
    }
}

/// Gives up a message that could not be started as a whole.
fn not_started(mut steps: impl Steps, error: Error, inner: &dyn Transport) -> Error {
    for (_, memory) in steps.abandon(inner) {
        // Nobody would see when it is free.
        std::mem::forget(memory);
    }
    error
}

/// Takes messages back from the inner transport; those of which it may still use the memory.
fn still_used(
    inner: &dyn Transport,
    messages: impl IntoIterator<Item = (Ticket, Memory)>,
) -> Vec<(Ticket, Memory)> {
    let is_used = |(ticket, _): &(Ticket, Memory)| inner.abandon(ticket) == Tested::Pending;
    messages.into_iter().filter(is_used).collect()
}

/// Whose messages they are that a long one consists of: the context, the peer and the tags.
#[derive(Clone)]
struct Line {
    context: Context,
    peer: usize,
    tags: Tags,
}

impl Line {
    fn new(context: &Context, peer: usize, tags: Tags) -> Line {
        Line {
            context: context.clone(),
            peer,
            tags,
        }
    }

    /// The peer's rank in the world.
    fn rank(&self) -> usize {
        rank_of(&self.context, self.peer)
    }

    /// What becomes of a message of so many bytes.
    fn delivery(&self, bytes: usize) -> Delivery {
        Delivery {
            source: self.peer,
            tag: self.tags.body,
            bytes,
        }
    }
}

/// A peer's rank in the world.
fn rank_of(context: &Context, peer: usize) -> usize {
    context.group.get(peer).copied().unwrap_or(peer)
}

/// Elements that only go a way between GPUs.
fn on_gpu<'a>(body: &Body<'a>) -> Result<DeviceMemory<'a>> {
    let &Body { lane, address, bytes } = body;
    let lane = lane.ok_or_else(|| Error::invalid("elements that are not on a GPU"))?;
    Ok(DeviceMemory { lane, address, bytes })
}

/// What messages have in common that may not overtake each other: the context, the rank, and the tag where only messages of
/// one tag are in order.
type Queue = (u64, usize, Option<i32>);

fn queue(context: &Context, dest: usize, tag: i32) -> Queue {
    (context.handle, dest, context.is_private.then_some(tag))
}

struct Outgoing {
    context: Context,
    dest: usize,
    tag: i32,
    memory: Memory,
    /// The length of the message in bytes, and of the part of it that is sent if the rest cannot be read.
    bytes: usize,
    head_bytes: usize,
    /// Why the rest cannot be read.
    failure: Option<Error>,
}

struct Target {
    lane: Arc<Lane>,
    address: usize,
    bytes: usize,
}

impl Target {
    fn new(memory: &DeviceMemory<'_>) -> Target {
        Target {
            lane: Arc::clone(memory.lane),
            address: memory.address,
            bytes: memory.bytes,
        }
    }
}

/// The host memory of a message.
enum Memory {
    Pinned(PinnedSlab),
    /// Where there is no pinned memory: to receive a message that nobody can have, or to send a head.
    Pageable(Box<[u8]>),
    /// The caller's.
    Lent(*const u8),
}

// SAFETY: lent memory is the transport's until the operation is over, like the other kinds.
unsafe impl Send for Memory {}

impl Memory {
    fn pointer(&self) -> *const u8 {
        match self {
            Memory::Pinned(slab) => slab.pointer(),
            Memory::Pageable(bytes) => bytes.as_ptr(),
            Memory::Lent(pointer) => *pointer,
        }
    }
}

impl Operation {
    fn stage(&self) -> MutexGuard<'_, Stage> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The ticket owns one reference to its operation.
fn ticket(operation: Arc<Operation>) -> Posted {
    Posted::Pending(Ticket {
        number: Arc::into_raw(operation) as u64,
        is_outer: true,
    })
}

fn operation(ticket: &Ticket) -> *const Operation {
    ticket.number as *const Operation
}

impl Devices {
    /// Wraps a transport.
    pub(super) fn wrap(inner: Arc<dyn Transport>, config: &Config, rank: usize) -> Arc<dyn Transport> {
        let proof = Proof::new(config, inner.library(), rank);
        Arc::new(Devices {
            inner,
            links: Arc::new(Links::new(config)),
            drives: AtomicUsize::new(0),
            proof,
            held: AtomicUsize::new(0),
            state: Mutex::default(),
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn count(&self, state: &State) {
        self.held.store(
            state.waiting.len() + state.long.len() + state.orphans.len() + state.going_on.len(),
            Ordering::Release,
        );
    }

    /// Hands on what can go on: nothing, where no elements are on a GPU.
    #[inline]
    fn drive(&self) {
        if self.held.load(Ordering::Acquire) > 0 || self.links.has_rings() {
            self.hand_on();
        }
    }

    fn hand_on(&self) {
        // Who has given up a buffer can wait.
        let drives = self.drives.fetch_add(1, Ordering::Relaxed);
        if drives.is_multiple_of(DRIVES_PER_CLOSE) {
            self.links.close_windows();
        }
        if self.held.load(Ordering::Acquire) == 0 {
            return;
        }
        let mut state = self.state();
        let mut blocked: Vec<Queue> = Vec::new();
        state.waiting.retain(|operation| {
            let mut stage = operation.stage();
            let Stage::Waiting(outgoing) = &mut *stage else {
                return false;
            };
            let queue = queue(&outgoing.context, outgoing.dest, outgoing.tag);
            if blocked.contains(&queue) || !outgoing.is_ready() {
                blocked.push(queue);
                return true;
            }
            let Stage::Waiting(outgoing) = std::mem::replace(&mut *stage, Stage::over(Ok(Tested::Released)))
            else {
                return false;
            };
            *stage = self.post(outgoing);
            false
        });
        let mut orphans = Vec::new();
        state.long.retain(|operation| {
            let mut stage = operation.stage();
            let Stage::Steps(steps) = &mut *stage else {
                return false;
            };
            match steps.advance(&*self.inner) {
                Poll::Ready(outcome) => {
                    let rest = match &outcome {
                        Ok(_) => steps.rest(),
                        Err(_) => {
                            // Something may be left under way.
                            orphans.extend(steps.abandon(&*self.inner));
                            None
                        }
                    };
                    *stage = Stage::Over(outcome.map(Tested::Completed), rest);
                    false
                }
                Poll::Pending => true,
            }
        });
        state.going_on.advance(&mut orphans, &*self.inner);
        state.orphans.append(&mut orphans);
        state
            .orphans
            .retain(|(ticket, _)| matches!(self.inner.test(ticket), Ok(Tested::Pending)));
        self.count(&state);
    }

    /// Gives a send to the inner transport.
    fn post(&self, outgoing: Outgoing) -> Stage {
        let Outgoing {
            context,
            dest,
            tag,
            memory,
            bytes,
            head_bytes,
            failure,
        } = outgoing;
        let length = if failure.is_some() { head_bytes } else { bytes };
        // SAFETY: the memory is kept, or lent to this transport, until the inner send is over.
        let send = || unsafe { self.inner.isend(&context, dest, tag, memory.pointer(), length) };
        let posted = match send() {
            // Whoever sends host memory tries a frame twice where the call fails; this call is over.
            Err(_) if matches!(memory, Memory::Lent(_)) => send(),
            posted => posted,
        };
        match posted {
            Ok(Posted::Pending(ticket)) => Stage::Posted {
                ticket,
                memory,
                target: None,
                failure,
            },
            Ok(Posted::Done(delivery)) => Stage::over(failure.map_or(Ok(Tested::Completed(delivery)), Err)),
            // The receiver learns from the head alone that it gets no more.
            Err(error) if failure.is_none() && matches!(memory, Memory::Pinned(_)) => self.post(Outgoing {
                context,
                dest,
                tag,
                memory,
                bytes,
                head_bytes,
                failure: Some(error),
            }),
            Err(error) => Stage::over(Err(failure.unwrap_or(error))),
        }
    }

    /// Why the elements of a staged message do not go straight to MPI, if that could be.
    fn refusal(&self, body: &DeviceMemory<'_>) -> Option<String> {
        if !self.links.allows(Path::CudaAware) {
            return None;
        }
        let refusal = self.proof.check(body.lane, body.address).err();
        Some(match refusal {
            Some(refusal) => {
                self.proof.tell(&refusal);
                refusal.reason
            }
            None => "the receiver does not give MPI the addresses of its memory".to_owned(),
        })
    }

    /// Keeps a send back until everything before it on its way is on its way.
    fn keep_back(&self, outgoing: Outgoing) -> Posted {
        let operation = Arc::new(Operation(Mutex::new(Stage::Waiting(outgoing))));
        let mut state = self.state();
        state.waiting.push_back(Arc::clone(&operation));
        self.count(&state);
        drop(state);
        self.drive();
        ticket(operation)
    }

    /// Whether a message would overtake one that is kept back.
    #[inline]
    fn would_overtake(&self, context: &Context, dest: usize, tag: i32) -> bool {
        if self.held.load(Ordering::Acquire) == 0 {
            return false;
        }
        let own = queue(context, dest, tag);
        self.state().waiting.iter().any(|operation| {
            let stage = operation.stage();
            matches!(&*stage, Stage::Waiting(earlier)
                if queue(&earlier.context, earlier.dest, earlier.tag) == own)
        })
    }

    /// Looks how far the operation is.
    fn look(&self, operation: &Operation) -> Result<Tested> {
        let mut stage = operation.stage();
        let tested = match &*stage {
            Stage::Waiting(_) | Stage::Steps(_) => return Ok(Tested::Pending),
            Stage::Posted { ticket, .. } => match self.inner.test(ticket) {
                Ok(Tested::Pending) => return Ok(Tested::Pending),
                tested => tested,
            },
            Stage::Over(..) => Ok(Tested::Released),
        };
        match std::mem::replace(&mut *stage, Stage::over(Ok(Tested::Released))) {
            Stage::Posted {
                memory,
                target,
                failure,
                ..
            } => finish(tested, memory, target, failure),
            Stage::Over(outcome, _) => outcome,
            _ => tested,
        }
    }

    /// Starts a long message.
    fn start(&self, steps: impl Steps + 'static) -> Posted {
        let operation = Arc::new(Operation(Mutex::new(Stage::Steps(Box::new(steps)))));
        let mut state = self.state();
        state.long.push(Arc::clone(&operation));
        self.count(&state);
        drop(state);
        self.drive();
        ticket(operation)
    }
}

/// Ends an operation of which the inner one has ended.
fn finish(
    tested: Result<Tested>,
    memory: Memory,
    target: Option<Target>,
    failure: Option<Error>,
) -> Result<Tested> {
    // A message that is too short is the mark of a sender that failed, after which nothing comes.
    if let (Ok(Tested::Completed(delivery)), Some(target)) = (&tested, &target)
        && delivery.bytes < target.bytes
    {
        return tested;
    }
    if let Some(error) = failure {
        return Err(error);
    }
    if let (Ok(Tested::Completed(delivery)), Some(target), Memory::Pinned(mut slab)) =
        (&tested, target, memory)
    {
        // SAFETY: the slab holds that many bytes, and is kept from other users until the copy is over; whoever
        // has started the receive promises the target.
        unsafe {
            target
                .lane
                .copy(slab.pointer(), target.address as *mut u8, delivery.bytes)
        }?;
        slab.used_until_here(&target.lane)?;
    }
    tested
}

/// Memory to receive a message that goes on to a GPU: where there is none that is pinned it is received all the same,
/// so that its sender goes on, and cannot be copied.
fn room(lane: &Lane, bytes: usize) -> (Memory, Option<Error>) {
    match PinnedSlab::take(lane.gpu(), bytes) {
        Ok(slab) => (Memory::Pinned(slab), None),
        Err(error) => (Memory::Pageable(vec![0; bytes].into()), Some(error)),
    }
}

impl Outgoing {
    /// Whether the message is in host memory, or never will be.
    fn is_ready(&mut self) -> bool {
        let Memory::Pinned(slab) = &mut self.memory else {
            return true;
        };
        match slab.poll_free() {
            Poll::Pending => false,
            Poll::Ready(outcome) => {
                if let Err(error) = outcome {
                    self.failure.get_or_insert(error);
                }
                true
            }
        }
    }
}

/// Starts to copy a message to pinned memory, behind its head.
///
/// # Safety
/// As for [`Transport::isend_device`].
unsafe fn fetch(head: &[u8], body: &DeviceMemory<'_>) -> Result<PinnedSlab> {
    let mut slab = PinnedSlab::take(body.lane.gpu(), head.len() + body.bytes)?;
    // SAFETY: the slab has room for both, and nobody else uses it before the mark; the caller's promise.
    unsafe {
        std::ptr::copy_nonoverlapping(head.as_ptr(), slab.pointer(), head.len());
        body.lane.copy(
            body.address as *const u8,
            slab.pointer().add(head.len()),
            body.bytes,
        )?;
    }
    slab.used_until_here(body.lane)?;
    Ok(slab)
}

impl Transport for Devices {
    fn tag_limit(&self) -> i32 {
        self.inner.tag_limit()
    }

    fn shares_process(&self, context: &Context, peer: usize) -> bool {
        self.inner.shares_process(context, peer)
    }

    fn plain(&self) -> Option<Arc<dyn super::plain::Plain>> {
        self.inner.plain()
    }

    fn library(&self) -> Option<Library> {
        self.inner.library()
    }

    #[cfg(feature = "mpi")]
    fn record(&self, gpu: &str, allocation: Allocation, verdict: &Verdict) -> io::Result<PathBuf> {
        self.proof.record(gpu, allocation, verdict)
    }

    fn spans(&self, several_nodes: bool) {
        self.proof.spans(several_nodes);
    }

    fn lends(&self, lane: &Arc<Lane>, address: usize) -> bool {
        self.links.allows(Path::CudaAware) && self.proof.check(lane, address).is_ok()
    }

    unsafe fn isend(
        &self,
        context: &Context,
        dest: usize,
        tag: i32,
        pointer: *const u8,
        bytes: usize,
    ) -> Result<Posted> {
        self.drive();
        if self.would_overtake(context, dest, tag) {
            return Ok(self.keep_back(Outgoing {
                context: context.clone(),
                dest,
                tag,
                memory: Memory::Lent(pointer),
                bytes,
                head_bytes: bytes,
                failure: None,
            }));
        }
        // SAFETY: the caller's promise is the same.
        unsafe { self.inner.isend(context, dest, tag, pointer, bytes) }
    }

    unsafe fn irecv(
        &self,
        context: &Context,
        source: Option<usize>,
        tag: Option<i32>,
        pointer: *mut u8,
        capacity: usize,
    ) -> Result<Posted> {
        // SAFETY: the caller's promise is the same.
        unsafe { self.inner.irecv(context, source, tag, pointer, capacity) }
    }

    unsafe fn isend_device(
        &self,
        context: &Context,
        dest: usize,
        tag: i32,
        head: &[u8],
        body: &DeviceMemory<'_>,
    ) -> Result<Posted> {
        // SAFETY: the caller's promise is the same.
        let (memory, failure) = match unsafe { fetch(head, body) } {
            Ok(slab) => (Memory::Pinned(slab), None),
            Err(error) => (Memory::Pageable(head.into()), Some(error)),
        };
        Ok(self.keep_back(Outgoing {
            context: context.clone(),
            dest,
            tag,
            memory,
            bytes: head.len() + body.bytes,
            head_bytes: head.len(),
            failure,
        }))
    }

    unsafe fn irecv_device(
        &self,
        context: &Context,
        source: usize,
        tag: i32,
        body: &DeviceMemory<'_>,
    ) -> Result<Posted> {
        let (memory, failure) = room(body.lane, body.bytes);
        let pointer = memory.pointer().cast_mut();
        // SAFETY: the memory has that many bytes and is kept until the inner receive is over.
        let posted = unsafe {
            self.inner
                .irecv(context, Some(source), Some(tag), pointer, body.bytes)
        }?;
        let target = Some(Target::new(body));
        let stage = match posted {
            Posted::Pending(ticket) => Stage::Posted {
                ticket,
                memory,
                target,
                failure,
            },
            Posted::Done(delivery) => {
                Stage::over(finish(Ok(Tested::Completed(delivery)), memory, target, failure))
            }
        };
        Ok(ticket(Arc::new(Operation(Mutex::new(stage)))))
    }

    fn route(
        &self,
        context: &Context,
        source: usize,
        origin: Origin,
        lane: Option<&Arc<Lane>>,
        address: usize,
    ) -> Result<Route> {
        let share_a_process = self.inner.shares_process(context, source);
        let is_refused = || match lane {
            _ if origin.place == Place::Device && !origin.is_lent => Err(Refusal::new(
                "the sender does not give MPI the elements' addresses",
            )),
            Some(lane) => self.proof.check(lane, address),
            None => Ok(()),
        };
        let peer = rank_of(context, source);
        self.links
            .route(peer, origin.place, lane, share_a_process, &is_refused)
    }

    fn handshake(
        &self,
        context: &Context,
        peer: usize,
        end: End,
        tags: Tags,
        waybill: &Waybill,
        body: &Body<'_>,
    ) -> Result<Posted> {
        let (line, links) = (Line::new(context, peer, tags), Arc::clone(&self.links));
        let inner = &*self.inner;
        match end {
            End::Sender => Proposing::new(line, links, waybill, body, inner).map(|steps| self.start(steps)),
            End::Receiver => Answering::new(line, links, waybill, body, inner).map(|steps| self.start(steps)),
        }
    }

    fn call_off(&self, context: &Context, source: usize, waybill: &Waybill) {
        self.links.give_up(rank_of(context, source), waybill.number);
    }

    fn found(&self, context: &Context, peer: usize, end: End, waybill: &Waybill) -> Result<Path> {
        self.links.found(rank_of(context, peer), end, waybill)
    }

    fn chosen(&self, context: &Context, peer: usize) -> Result<Option<ChosenPath>> {
        let share_a_process = self.inner.shares_process(context, peer);
        let reason = self.proof.reason();
        self.links.chosen(rank_of(context, peer), share_a_process, reason)
    }

    unsafe fn isend_body(
        &self,
        context: &Context,
        dest: usize,
        tags: Tags,
        body: &Body<'_>,
        pieces: Pieces,
        waybill: &Waybill,
    ) -> Result<Posted> {
        let line = Line::new(context, dest, tags);
        let inner = &*self.inner;
        // SAFETY: the caller's promise is the same.
        unsafe {
            match pieces.path {
                Path::SameProcess => Lending::new(line, &on_gpu(body)?, inner).map(|steps| self.start(steps)),
                Path::SharedPinned | Path::PeerGpuIpc | Path::SameGpuIpc => {
                    let ring = self.links.ring(line.rank(), End::Sender, waybill.link)?;
                    let steps = shared::Sending::new(line, ring, waybill.number, body, pieces);
                    Ok(self.start(steps))
                }
                Path::CudaAware => {
                    self.links.note(line.rank(), Path::CudaAware, || None);
                    Direct::send(line, &on_gpu(body)?, pieces).map(|steps| self.start(steps))
                }
                Path::Host | Path::Staged => {
                    let body = on_gpu(body)?;
                    self.links.note(line.rank(), Path::Staged, || self.refusal(&body));
                    Ok(self.start(Sending::new(line, &body, pieces)))
                }
            }
        }
    }

    unsafe fn irecv_body(
        &self,
        context: &Context,
        source: usize,
        tags: Tags,
        body: &Body<'_>,
        pieces: Pieces,
        waybill: &Waybill,
    ) -> Result<Posted> {
        let line = Line::new(context, source, tags);
        let inner = &*self.inner;
        // SAFETY: the caller's promise is the same.
        unsafe {
            match pieces.path {
                Path::SameProcess => Taking::new(line, &on_gpu(body)?, inner).map(|steps| self.start(steps)),
                Path::SharedPinned | Path::PeerGpuIpc | Path::SameGpuIpc => {
                    let ring = self.links.ring(line.rank(), End::Receiver, waybill.link)?;
                    let steps = shared::Receiving::new(line, ring, waybill.number, body, pieces.path);
                    Ok(self.start(steps))
                }
                Path::CudaAware => {
                    Direct::receive(line, &on_gpu(body)?, pieces, inner).map(|steps| self.start(steps))
                }
                Path::Host | Path::Staged => {
                    let body = on_gpu(body)?;
                    // Which tells the user if it need not be.
                    let _ = self.refusal(&body);
                    Receiving::new(line, &body, pieces, inner).map(|steps| self.start(steps))
                }
            }
        }
    }

    fn withhold(&self, context: &Context, dest: usize, tags: Tags, waybill: &Waybill) -> Result<Posted> {
        let line = Line::new(context, dest, tags);
        let ring = self.links.ring(line.rank(), End::Sender, waybill.link)?;
        Ok(self.start(shared::Sending::failed(line, ring, waybill.number)))
    }

    fn reach(&self, context: &Context, elements: &[DeviceMemory<'_>]) -> Whereabouts {
        let share_a_process = fold::share_a_process(context, &*self.inner);
        self.links.reach(&context.group, elements, share_a_process)
    }

    unsafe fn fold_together(&self, context: &Context, share: Share<'_>) -> Result<Posted> {
        let (links, inner) = (Arc::clone(&self.links), &*self.inner);
        // SAFETY: the caller's promise is the same.
        unsafe {
            match share.leader {
                Some(leader) if leader == context.rank => {
                    Ok(self.start(Leading::new(context, share, links, inner)))
                }
                Some(leader) => Ok(self.start(Joining::new(context, leader, share, links, inner))),
                None => Ok(self.start(Sharing::new(context, share, links, inner))),
            }
        }
    }

    unsafe fn receive_unexpected(
        &self,
        context: &Context,
        pointer: *mut u8,
        capacity: usize,
    ) -> Result<Option<Posted>> {
        self.drive();
        // SAFETY: the caller's promise is the same.
        unsafe { self.inner.receive_unexpected(context, pointer, capacity) }
    }

    fn test(&self, ticket: &Ticket) -> Result<Tested> {
        self.drive();
        if !ticket.is_outer {
            return self.inner.test(ticket);
        }
        let operation = operation(ticket);
        // SAFETY: the ticket owns a reference until it is used up.
        let tested = self.look(unsafe { &*operation });
        if !matches!(tested, Ok(Tested::Pending)) {
            // SAFETY: the reference made by `ticket`, given up once, as the ticket is used up now.
            drop(unsafe { Arc::from_raw(operation) });
        }
        tested
    }

    fn abandon(&self, ticket: &Ticket) -> Tested {
        if !ticket.is_outer {
            return self.inner.abandon(ticket);
        }
        self.give_up(ticket)
    }

    fn fresh(&self) -> u64 {
        self.inner.fresh()
    }

    fn duplicate(&self, parent: &Context, agreed: u64) -> Result<Creation> {
        self.inner.duplicate(parent, agreed)
    }

    fn created(&self, ticket: &Ticket) -> Result<Option<u64>> {
        self.drive();
        self.inner.created(ticket)
    }

    fn split(&self, parent: &Context, split: &Split) -> Result<Option<u64>> {
        self.inner.split(parent, split)
    }

    fn create(&self, parent: &Context, members: &[usize], agreed: u64) -> Result<u64> {
        self.inner.create(parent, members, agreed)
    }

    fn free(&self, context: &Context) -> Result<()> {
        self.inner.free(context)
    }

    fn idle(&self, rounds: u32) {
        self.drive();
        let is_held_back = || {
            let state = (self.held.load(Ordering::Acquire) > 0).then(|| self.state());
            state.is_some_and(|state| {
                !(state.waiting.is_empty() && state.long.is_empty() && state.going_on.is_empty())
            })
        };
        match is_anybody_waiting() || is_held_back() {
            // GPUs ring no bell.
            true => std::thread::yield_now(),
            false => self.inner.idle(rounds),
        }
    }

    fn wake(&self) {
        self.inner.wake();
    }

    fn driven_by(&self, driver: Box<dyn Driver>) {
        self.state().going_on.driven_by(driver);
    }

    fn go_on(&self) {
        self.drive();
    }

    fn lost(&self) -> Option<Error> {
        self.inner.lost()
    }

    fn flush(&self) {
        self.drive();
        // A process that ends takes away what a peer's GPU still reads, or what it waits for.
        let flushed = Instant::now();
        while !self.links.are_quiet() && flushed.elapsed() < PATIENCE {
            std::thread::yield_now();
        }
        // What nobody can complete any more may still be read by the inner transport.
        let mut state = self.state();
        let State {
            long,
            orphans,
            going_on,
            ..
        } = &mut *state;
        for operation in long.drain(..) {
            if let Stage::Steps(steps) = &mut *operation.stage() {
                orphans.extend(steps.abandon(&*self.inner));
            }
        }
        going_on.end(orphans, &*self.inner);
        for (_, memory) in orphans.drain(..) {
            std::mem::forget(memory);
        }
        self.count(&state);
        drop(state);
        self.inner.flush();
    }

    fn abort(&self) -> ! {
        self.inner.abort()
    }
}
