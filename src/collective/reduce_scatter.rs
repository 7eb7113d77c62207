//! `reduce_scatter`, and what `reduce_scatter_block` shares with it.

use super::agreement::{Agreed, Terms};
use super::courier::Courier;
use super::fold_plan::{FoldPlan, Shape, are_read_in_time};
use super::forms::{apart_forms, in_place_forms};
use super::inputs::Inputs;
use super::pairs::{self, Part};
use super::reduce::{self, own_or_note};
use super::temporary::Temporary;
use super::together::Outcome;
use super::{Apart, Call, Collective, InPlace, check_room, copy};
use crate::buffer::{Blocks, Buffer, BufferMut, Span};
use crate::comm::Communicator;
use crate::error::Result;
use crate::op::Op;
use crate::plan::Operation;
use crate::transport::Whereabouts;
use std::borrow::Cow;

impl Communicator {
    /// Folds every rank's buffer element by element, and gives rank `r` the `r`-th block of the result, of any
    /// length.
    ///
    /// `blocks` are those of `send`, the same counts on every rank; they may overlap. `recv` has the elements of this
    /// rank's block, or more, which are left alone. The elements are combined in the canonical order (see [`Op`]).
    ///
    /// MPI standard, section 6.10.2 (`MPI_Reduce_scatter`, whose blocks are adjacent: [`Blocks::packed`]).
    ///
    /// # Errors
    /// [`InvalidArgument`](crate::ErrorKind::InvalidArgument) for blocks that leave the buffer or are not one for
    /// each rank and a receive buffer too short, [`Unsupported`](crate::ErrorKind::Unsupported) for an operation that
    /// the element type does not have, and [`PeerFailed`](crate::ErrorKind::PeerFailed) on the other ranks;
    /// [`Mismatch`](crate::ErrorKind::Mismatch) on every rank if counts, types or operations differ.
    ///
    /// ```
    /// use warpcomm::{Blocks, Communicator, Op};
    ///
    /// let sums = Communicator::threads(3, |comm| {
    ///     let blocks = Blocks::even(4, 3);
    ///     let mut sum = vec![0; blocks.count(comm.rank())];
    ///     comm.reduce_scatter(&[1u64, 2, 3, 4], &blocks, &mut sum, Op::Sum).map(|()| sum)
    /// })?;
    /// assert_eq!(sums.into_iter().collect::<Result<Vec<_>, _>>()?, [vec![3, 6], vec![9], vec![12]]);
    /// # Ok::<(), warpcomm::Error>(())
    /// ```
    pub fn reduce_scatter<S, R>(&self, send: &S, blocks: &Blocks, recv: &mut R, op: Op) -> Result<()>
    where
        S: Buffer + ?Sized,
        R: BufferMut<Element = S::Element> + ?Sized,
    {
        let blocks = Cow::Borrowed(blocks);
        self.collective(ReduceScatter { blocks, op }, (send.lower(), recv.lower_mut()))
    }

    /// Folds every rank's buffer element by element, and gives rank `r` the `r`-th block of the result, of any
    /// length, at the start of its buffer, the rest of which is left alone.
    ///
    /// MPI standard, section 6.10.2 (`MPI_Reduce_scatter` with `MPI_IN_PLACE`).
    ///
    /// # Errors
    /// As for [`reduce_scatter`](Self::reduce_scatter).
    ///
    /// ```
    /// use warpcomm::{Blocks, Communicator, Op};
    ///
    /// let sums = Communicator::threads(2, |comm| {
    ///     let mut buffer = [1u8, 2, 3];
    ///     comm.reduce_scatter_in_place(&mut buffer, &Blocks::packed([1, 2]), Op::Sum).map(|()| buffer)
    /// })?;
    /// assert_eq!(sums.into_iter().collect::<Result<Vec<_>, _>>()?, [[2, 2, 3], [4, 6, 3]]);
    /// # Ok::<(), warpcomm::Error>(())
    /// ```
    pub fn reduce_scatter_in_place<B: BufferMut + ?Sized>(
        &self,
        buffer: &mut B,
        blocks: &Blocks,
        op: Op,
    ) -> Result<()> {
        let blocks = Cow::Borrowed(blocks);
        self.collective(ReduceScatter { blocks, op }, buffer.lower_mut())
    }
}

struct ReduceScatter<'b> {
    blocks: Cow<'b, Blocks>,
    op: Op,
}

impl Collective<Apart<'_>> for ReduceScatter<'_> {
    const OPERATION: Operation = Operation::ReduceScatter;

    async fn run(&self, call: &Call<'_>, (own, result): &Apart<'_>) -> Result<()> {
        reduce_scatter(call, own, &self.blocks, result, self.op, Ok(())).await
    }
}

impl Collective<InPlace<'_>> for ReduceScatter<'_> {
    const OPERATION: Operation = Operation::ReduceScatter;

    async fn run(&self, call: &Call<'_>, all: &InPlace<'_>) -> Result<()> {
        let (blocks, op) = (&*self.blocks, self.op);
        let mut local = all
            .check()
            .and_then(|()| blocks.check_range(call.ranks(), all.elements()));
        if let Some(plain) = call.plain() {
            let room = |()| check_room(all, blocks.count(call.rank()));
            let local = local.and(op.check(all.dtype())).and_then(room);
            return Box::pin(plain.reduce_scatter_in_place(all, blocks, op, local)).await;
        }
        let beside = match local {
            Ok(()) if !are_read_in_time(blocks, call.rank()) => {
                own_or_note(Temporary::beside(all, blocks.count(call.rank())), &mut local)
            }
            _ => None,
        };
        let Some(beside) = beside.as_ref().map(Temporary::span) else {
            return reduce_scatter(call, all, blocks, all, op, local).await;
        };
        reduce_scatter(call, all, blocks, beside, op, local).await?;
        copy(beside, all).await
    }
}

apart_forms! {
    /// ```
    /// use warpcomm::{Blocks, Communicator, Op};
    ///
    /// let sums = Communicator::threads(2, |comm| {
    ///     let blocks = Blocks::packed([1, 2]);
    ///     let own = vec![0u8; blocks.count(comm.rank())];
    ///     let ((_, sums), _) = comm.ireduce_scatter(vec![1u8, 2, 3], &blocks, own, Op::Sum).wait()?;
    ///     Ok(sums)
    /// })?;
    /// assert_eq!(sums.into_iter().collect::<Result<Vec<_>, warpcomm::Error>>()?, [vec![2], vec![4, 6]]);
    /// # Ok::<(), warpcomm::Error>(())
    /// ```
    "reduce_scatter" "Reduce_scatter": ireduce_scatter reduce_scatter_init (send, blocks: &Blocks; recv, op: Op)
    => ReduceScatter { blocks: Cow::Owned(blocks.clone()), op }
}

in_place_forms! {
    "reduce_scatter_in_place" "Reduce_scatter": ireduce_scatter_in_place reduce_scatter_in_place_init (buffer, blocks: &Blocks, op: Op)
    => ReduceScatter { blocks: Cow::Owned(blocks.clone()), op }
}

async fn reduce_scatter(
    call: &Call<'_>,
    own: &Span<'_>,
    blocks: &Blocks,
    result: &Span<'_>,
    op: Op,
    local: Result<()>,
) -> Result<()> {
    let (ranks, count) = (call.ranks(), blocks.count(call.rank()));
    let mut local = local
        .and_then(|()| op.check(own.dtype()))
        .and_then(|()| blocks.check_range(ranks, own.elements()))
        .and_then(|()| own.check())
        .and_then(|()| result.check())
        .and_then(|()| check_room(result, count));
    if let Some(plain) = call.plain() {
        return Box::pin(plain.reduce_scatter(own, blocks, result, op, local)).await;
    }
    let needed = || Inputs::new(call, own, Some(result), count).map(Some);
    let plan = FoldPlan::new(Shape::OfBlocks(blocks), own, (count > 0).then_some(result), op);
    let reach = call.reach(&plan);
    let inputs = match (&local, reach) {
        (Ok(()), Whereabouts::NOWHERE) => own_or_note(needed(), &mut local).flatten(),
        _ => None,
    };
    let terms = Terms {
        dtype: Some(own.dtype()),
        op: Some(op),
        any_count: true,
        reach,
        ..Terms::NONE
    };
    let outgoing = Part::of_blocks(blocks, own.dtype(), ranks);
    let expected = vec![outgoing.get(call.rank()).copied(); ranks];
    let expected: Vec<Part> = expected.into_iter().flatten().collect();
    let agreed = pairs::agree(call, terms, local, &outgoing, &expected).await?;
    match call.fold_together(terms, agreed, inputs, needed, &plan).await? {
        Outcome::Otherwise(mut agreed, Some(inputs)) => {
            fold_own_block(call, &mut agreed, &inputs, (own, blocks), result, op).await
        }
        Outcome::Folded | Outcome::Otherwise(..) => Ok(()),
    }
}

/// Sends each rank its block, and folds what comes for this one.
pub(super) async fn fold_own_block(
    call: &Call<'_>,
    agreed: &mut Agreed<'_>,
    inputs: &Inputs,
    (own, blocks): (&Span<'_>, &Blocks),
    result: &Span<'_>,
    op: Op,
) -> Result<()> {
    let fetched = &inputs.fetched;
    fetched.fetch(own, agreed).await;
    let own = fetched.own(own);
    let mut courier = Courier::new(call, agreed);
    let here = fetched.result(result);
    reduce::reduce_scatter(call, &mut courier, inputs, &own, blocks, &here, op).await?;
    courier.finish().await;
    courier.outcome()?;
    fetched.deliver(result, blocks.count(call.rank())).await
}
