//! `reduce`.

use super::agreement::{Agreed, Terms};
use super::courier::Courier;
use super::fold_plan::{FoldPlan, Shape};
use super::forms::{apart_forms, in_place_forms};
use super::inputs::{Inputs, fold};
use super::together::Outcome;
use super::{Apart, Call, Collective, InPlace, allgather, check_room};
use crate::buffer::{Blocks, Buffer, BufferMut, Span};
use crate::comm::Communicator;
use crate::device::Place;
use crate::error::{Error, Result};
use crate::op::Op;
use crate::plan::{Algorithm, FRAME_PAYLOAD_BYTES, Operation};
use crate::transport::Whereabouts;
use std::collections::VecDeque;
use std::ops::Range;

impl Communicator {
    /// Folds every rank's buffer element by element into `root`'s `recv`.
    ///
    /// The elements are combined in the canonical order (see [`Op`]), so that the result has the same bits
    /// whatever the root, the path and the run. At the root `recv` has the elements of `send` or more, which
    /// are left alone; elsewhere it is not used and may be empty.
    ///
    /// MPI standard, section 6.9.1 (`MPI_Reduce`).
    ///
    /// # Errors
    /// [`InvalidArgument`](crate::ErrorKind::InvalidArgument) for a root out of range or a receive buffer
    /// too short, [`Unsupported`](crate::ErrorKind::Unsupported) for an operation that the element type does
    /// not have, and [`PeerFailed`](crate::ErrorKind::PeerFailed) on the other ranks;
    /// [`Mismatch`](crate::ErrorKind::Mismatch) on every rank if roots, counts, types or operations differ.
    ///
    /// ```
    /// use warpcomm::{Communicator, Op};
    ///
    /// let largest = Communicator::threads(3, |comm| {
    ///     let mut largest = [0i32; 2];
    ///     comm.reduce(&[comm.rank() as i32, 5], &mut largest, Op::Max, 0).map(|()| largest)
    /// })?;
    /// assert_eq!(largest.into_iter().collect::<Result<Vec<_>, _>>()?, [[2, 5], [0, 0], [0, 0]]);
    /// # Ok::<(), warpcomm::Error>(())
    /// ```
    pub fn reduce<S, R>(&self, send: &S, recv: &mut R, op: Op, root: usize) -> Result<()>
    where
        S: Buffer + ?Sized,
        R: BufferMut<Element = S::Element> + ?Sized,
    {
        self.collective(Reduce { op, root }, (send.lower(), recv.lower_mut()))
    }

    /// Folds every rank's buffer element by element into `root`'s own; the others keep theirs.
    ///
    /// MPI standard, section 6.9.1 (`MPI_Reduce` with `MPI_IN_PLACE`).
    ///
    /// # Errors
    /// As for [`reduce`](Self::reduce).
    ///
    /// ```
    /// use warpcomm::{Communicator, Op};
    ///
    /// let values = Communicator::threads(3, |comm| {
    ///     let mut value = comm.rank() as u64 + 1;
    ///     comm.reduce_in_place(&mut value, Op::Sum, 0)?;
    ///     Ok::<u64, warpcomm::Error>(value)
    /// })?;
    /// assert_eq!(values.into_iter().collect::<Result<Vec<_>, _>>()?, [6, 2, 3]); // the sum at the root
    /// # Ok::<(), warpcomm::Error>(())
    /// ```
    pub fn reduce_in_place<B: BufferMut + ?Sized>(&self, buffer: &mut B, op: Op, root: usize) -> Result<()> {
        self.collective(Reduce { op, root }, buffer.lower_mut())
    }
}

struct Reduce {
    op: Op,
    root: usize,
}

impl Collective<Apart<'_>> for Reduce {
    const OPERATION: Operation = Operation::Reduce;

    async fn run(&self, call: &Call<'_>, (own, result): &Apart<'_>) -> Result<()> {
        reduce(call, own, result, self.op, self.root).await
    }
}

impl Collective<InPlace<'_>> for Reduce {
    const OPERATION: Operation = Operation::Reduce;

    async fn run(&self, call: &Call<'_>, buffer: &InPlace<'_>) -> Result<()> {
        reduce(call, buffer, buffer, self.op, self.root).await
    }
}

apart_forms! {
    /// ```
    /// use warpcomm::{Communicator, Op};
    ///
    /// let largest = Communicator::threads(3, |comm| {
    ///     let recv = if comm.rank() == 2 { vec![0u64] } else { vec![] };
    ///     let ((_, largest), _) = comm.ireduce(vec![7 * comm.rank() as u64], recv, Op::Max, 2).wait()?;
    ///     Ok(largest)
    /// })?;
    /// assert_eq!(largest.into_iter().collect::<Result<Vec<_>, warpcomm::Error>>()?, [vec![], vec![], vec![14]]);
    /// # Ok::<(), warpcomm::Error>(())
    /// ```
    "reduce" "Reduce": ireduce reduce_init (send; recv, op: Op, root: usize)
    => Reduce { op, root }
}

in_place_forms! {
    "reduce_in_place" "Reduce": ireduce_in_place reduce_in_place_init (buffer, op: Op, root: usize)
    => Reduce { op, root }
}

async fn reduce(call: &Call<'_>, own: &Span<'_>, result: &Span<'_>, op: Op, root: usize) -> Result<()> {
    let candidates = Candidates::new(call, own);
    let is_root = call.rank() == root;
    let mut local = call
        .check_root(root)
        .and_then(|()| op.check(own.dtype()))
        .and_then(|()| own.check());
    let folded = is_root.then_some(result);
    if let Some(result) = folded {
        local = local
            .and_then(|()| check_room(result, own.elements()))
            .and_then(|()| result.check());
    }
    if let Some(plain) = call.plain() {
        return Box::pin(plain.reduce(own, result, op, root, local)).await;
    }
    let needed = || match candidates.fold(is_root) {
        true => Inputs::of_candidates(call, candidates, own, folded).map(Some),
        false => Ok(None),
    };
    let plan = FoldPlan::new(Shape::ForRoot(root), own, folded, op);
    let reach = call.reach(&plan);
    let scratch = match reach {
        Whereabouts::NOWHERE => own_or_note(needed(), &mut local).flatten(),
        _ => None,
    };
    let terms = Terms {
        dtype: Some(own.dtype()),
        op: Some(op),
        root: Some(root),
        count: own.elements(),
        reach,
        ..Terms::NONE
    };
    let riding = candidates.ride().then_some(own);
    let agreed = call.agree(terms, local, riding).await?;
    let (mut agreed, scratch) = match call.fold_together(terms, agreed, scratch, needed, &plan).await? {
        Outcome::Folded => return Ok(()),
        Outcome::Otherwise(agreed, scratch) => (agreed, scratch),
    };
    match (candidates.taken(call, &agreed), scratch) {
        (Algorithm::Frames, _) => {
            if is_root {
                fold_frames(call, &agreed, 0..call.ranks(), 0, own, result, op).await?;
            }
            agreed.over()
        }
        (_, None) => direct(call, None, own, result, op, root, &mut agreed).await,
        (algorithm, Some(inputs)) => {
            let fetched = &inputs.fetched;
            fetched.fetch(own, &mut agreed).await;
            let (own, here) = (fetched.own(own), fetched.result(result));
            match algorithm {
                Algorithm::Levels => {
                    let result = Some(&here).filter(|_| is_root);
                    inputs
                        .in_levels(call, &own, result, op, Some(root), &mut agreed)
                        .await
                }
                Algorithm::Blocks => in_blocks(call, &inputs, &own, &here, op, root, &mut agreed).await,
                _ => {
                    let inputs = Some(&inputs).filter(|_| is_root);
                    direct(call, inputs, &own, &here, op, root, &mut agreed).await
                }
            }?;
            match is_root {
                true => fetched.deliver(result, own.elements()).await,
                false => Ok(()),
            }
        }
    }
}

/// The algorithms that a reduction may take: which one, the ranks know when they have agreed, because it depends on where
/// the elements of all are. Memory must be there before, since a rank that has none says so in the agreement.
#[derive(Clone, Copy)]
pub(super) struct Candidates {
    /// Where the elements of all are on hosts.
    on_hosts: Algorithm,
    /// Where those of some are on a GPU.
    on_device: Algorithm,
}

impl Candidates {
    #[inline]
    pub(super) fn new(call: &Call<'_>, own: &Span<'_>) -> Candidates {
        let on_device = call.would_take(own.bytes(), true);
        let on_hosts = match call.on_device || on_device == Algorithm::Frames {
            true => on_device,
            false => call.would_take(own.bytes(), false),
        };
        Candidates { on_hosts, on_device }
    }

    /// Whether the elements ride in frames, wherever they are.
    #[inline]
    pub(super) fn ride(self) -> bool {
        self.have(Algorithm::Frames)
    }

    #[inline]
    pub(super) fn have(self, algorithm: Algorithm) -> bool {
        [self.on_hosts, self.on_device].contains(&algorithm)
    }

    /// Whether this rank folds: only the root does what comes whole.
    fn fold(self, is_root: bool) -> bool {
        is_root || self.have(Algorithm::Blocks) || self.have(Algorithm::Levels)
    }

    /// The one that all ranks take.
    #[inline]
    pub(super) fn taken(self, call: &Call<'_>, agreed: &Agreed<'_>) -> Algorithm {
        call.takes(if agreed.on_device {
            self.on_device
        } else {
            self.on_hosts
        })
    }
}

/// The value, or nothing if there was an error, which `local` gets if it has none yet.
pub(super) fn own_or_note<T>(value: Result<T>, local: &mut Result<()>) -> Option<T> {
    match value {
        Ok(value) => Some(value),
        Err(error) => {
            if local.is_ok() {
                *local = Err(error);
            }
            None
        }
    }
}

/// Folds contributions that were in the frames of `ranks`, from byte `first` on: so few that the host is done before
/// a kernel has started.
pub(super) async fn fold_frames(
    call: &Call<'_>,
    agreed: &Agreed<'_>,
    ranks: Range<usize>,
    first: usize,
    own: &Span<'_>,
    result: &Span<'_>,
    op: Op,
) -> Result<()> {
    if own.place() == Place::Host && result.place() == Place::Host {
        return fold_payloads(call, agreed, ranks, first, own, result, op);
    }
    // Boxed, so that elements on hosts need no room for copies.
    let copied = async {
        let mut rooms = [Room::default(), Room::default()];
        let [mine, folded] = &mut rooms;
        let bytes = own.bytes();
        let own = match own.place() {
            Place::Host => own.alias(),
            Place::Device => {
                own.read(&mut mine.bytes_mut()[..bytes]).await?;
                mine.span(own)
            }
        };
        let target = match result.place() {
            Place::Host => result.alias(),
            Place::Device => folded.span(&own),
        };
        fold_payloads(call, agreed, ranks, first, &own, &target, op)?;
        match result.place() {
            Place::Host => Ok(()),
            Place::Device => {
                // SAFETY: the fold has written the room's elements.
                let folded = unsafe { std::slice::from_raw_parts(target.pointer(), bytes) };
                result.write(folded).await
            }
        }
    };
    Box::pin(copied).await
}

/// Folds contributions that were in the frames of `ranks`, all of them and the result in host memory.
fn fold_payloads(
    call: &Call<'_>,
    agreed: &Agreed<'_>,
    ranks: Range<usize>,
    first: usize,
    own: &Span<'_>,
    result: &Span<'_>,
    op: Op,
) -> Result<()> {
    let inputs = ranks.map(|rank| match rank == call.rank() {
        true => Ok(own.pointer().cast_const()),
        false => match agreed.payload(rank).get(first..first + own.bytes()) {
            Some(payload) => Ok(payload.as_ptr()),
            None => Err(Error::invalid("a frame without its elements")),
        },
    });
    fold(own, inputs.collect::<Result<_>>()?, own, result, op)
}

/// Host memory for what rides in a frame, aligned for every element.
#[derive(Default)]
#[repr(align(16))]
struct Room([[u8; 32]; FRAME_PAYLOAD_BYTES / 32]);

impl Room {
    fn bytes_mut(&mut self) -> &mut [u8] {
        self.0.as_flattened_mut()
    }

    /// The elements of `like`, here.
    fn span(&mut self, like: &Span<'_>) -> Span<'_> {
        Span::scratch(
            self.bytes_mut().as_mut_ptr(),
            like.elements(),
            like.dtype(),
            Place::Host,
            None,
        )
    }
}

/// Every rank sends all its elements to the root, which folds them.
async fn direct(
    call: &Call<'_>,
    inputs: Option<&Inputs>,
    own: &Span<'_>,
    result: &Span<'_>,
    op: Op,
    root: usize,
    agreed: &mut Agreed<'_>,
) -> Result<()> {
    let mut courier = Courier::new(call, agreed);
    match inputs {
        Some(inputs) => {
            inputs.receive(call, &mut courier, own);
            courier.finish().await;
            if !courier.has_failed() {
                courier.note(inputs.fold(call, own, result, op).await);
            }
        }
        None => {
            // SAFETY: only read.
            unsafe { courier.send(root, own) };
            courier.finish().await;
        }
    }
    courier.outcome()
}

/// Each rank folds one block; the root collects the blocks.
async fn in_blocks(
    call: &Call<'_>,
    inputs: &Inputs,
    own: &Span<'_>,
    result: &Span<'_>,
    op: Op,
    root: usize,
    agreed: &mut Agreed<'_>,
) -> Result<()> {
    let rank = call.rank();
    let blocks = Blocks::even(own.elements(), call.ranks());
    let block = allgather::block(own, &blocks, rank)?;
    // The buffers of other ranks stay as they are: the block is folded into the first contribution.
    let folded = match rank == root {
        true => allgather::block(result, &blocks, rank)?,
        false => inputs.of(call, (rank + 1) % call.ranks(), &block),
    };
    let mut courier = Courier::new(call, agreed);
    reduce_scatter(call, &mut courier, inputs, own, &blocks, &folded, op).await?;
    courier.finish().await;
    if rank == root {
        for other in call.others() {
            // SAFETY: blocks do not overlap; the elements that were in them have been sent.
            unsafe { courier.receive(other, &allgather::block(result, &blocks, other)?) };
        }
        courier.finish().await;
        return courier.outcome();
    }
    // SAFETY: nobody writes the scratch any more.
    unsafe { courier.send(root, &folded) };
    courier.finish().await;
    courier.outcome()
}

/// How many chunks of a block are on their way beside the one that is awaited.
const AHEAD: usize = 1;

/// Sends each rank its block of this rank's elements, and folds this rank's into `result`: where elements are on GPUs, a
/// chunk of a long block as soon as all have sent it, while the next one is on its way.
///
/// In place, a chunk of the result may be where chunks of others' blocks were that were sent before or with it.
pub(super) async fn reduce_scatter(
    call: &Call<'_>,
    courier: &mut Courier<'_>,
    inputs: &Inputs,
    own: &Span<'_>,
    blocks: &Blocks,
    result: &Span<'_>,
    op: Op,
) -> Result<()> {
    let own_block = allgather::block(own, blocks, call.rank())?;
    let longest = (0..call.ranks())
        .map(|rank| blocks.count(rank))
        .max()
        .unwrap_or(0);
    let chunk = courier.chunk(longest, own.dtype()).max(1);
    let part = |round: usize, count: usize| {
        let first = (round * chunk).min(count);
        first..(first + chunk).min(count)
    };
    let rounds = longest.div_ceil(chunk);
    if rounds > 1 {
        // The receives behind a fold must not wait for more than those before it.
        let home = inputs.home(own);
        courier.note(home.after(own).and_then(|()| home.after(result)));
    }
    let mut posted = VecDeque::new();
    for round in 0..rounds + AHEAD {
        if round < rounds {
            let before = courier.posted();
            inputs.receive_part(call, courier, &own_block, part(round, own_block.elements()))?;
            for other in call.others() {
                let part = part(round, blocks.count(other));
                let block = allgather::block(own, blocks, other)?;
                // SAFETY: not written before it is gone.
                unsafe { courier.send(other, &block.part(part.start, part.len())?) };
            }
            let after = courier.posted();
            posted.push_back([after[0] - before[0], after[1] - before[1]]);
        }
        let Some(round) = round.checked_sub(AHEAD) else {
            continue;
        };
        courier.pass(posted.pop_front().unwrap_or_default()).await;
        if !courier.has_failed() {
            let part = part(round, own_block.elements());
            courier.note(inputs.fold_part(call, &own_block, result, op, part).await);
        }
    }
    Ok(())
}
