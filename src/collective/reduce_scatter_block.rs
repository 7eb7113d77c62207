//! `reduce_scatter_block`.

use super::agreement::Terms;
use super::fold_plan::{FoldPlan, Shape};
use super::forms::{apart_forms, in_place_forms};
use super::gather::divides;
use super::inputs::Inputs;
use super::reduce::{fold_frames, own_or_note};
use super::reduce_scatter::fold_own_block;
use super::together::Outcome;
use super::{Apart, Call, Collective, InPlace, check_room};
use crate::buffer::{Blocks, Buffer, BufferMut, Span};
use crate::comm::Communicator;
use crate::error::Result;
use crate::op::Op;
use crate::plan::{Algorithm, Operation};
use crate::transport::Whereabouts;

impl Communicator {
    /// Folds every rank's buffer element by element, and gives rank `r` the `r`-th block of the result.
    ///
    /// `send` is [`size`](Self::size) blocks of the same length; `recv` has the elements of one, or more, which are
    /// left alone. The elements are combined in the canonical order (see [`Op`]): the result has the bits of
    /// [`allreduce`](Self::allreduce).
    ///
    /// MPI standard, section 6.10.1 (`MPI_Reduce_scatter_block`).
    ///
    /// # Errors
    /// [`InvalidArgument`](crate::ErrorKind::InvalidArgument) for a send buffer that cannot be divided among the
    /// ranks and a receive buffer too short, [`Unsupported`](crate::ErrorKind::Unsupported) for an operation that
    /// the element type does not have, and [`PeerFailed`](crate::ErrorKind::PeerFailed) on the other ranks;
    /// [`Mismatch`](crate::ErrorKind::Mismatch) on every rank if counts, types or operations differ.
    ///
    /// ```
    /// use warpcomm::{Communicator, Op};
    ///
    /// let sums = Communicator::threads(3, |comm| {
    ///     let mut sum = 0;
    ///     comm.reduce_scatter_block(&[1i32, 10, 100].map(|n| n * comm.rank() as i32), &mut sum, Op::Sum)?;
    ///     Ok(sum)
    /// })?;
    /// assert_eq!(sums.into_iter().collect::<Result<Vec<_>, warpcomm::Error>>()?, [3, 30, 300]);
    /// # Ok::<(), warpcomm::Error>(())
    /// ```
    pub fn reduce_scatter_block<S, R>(&self, send: &S, recv: &mut R, op: Op) -> Result<()>
    where
        S: Buffer + ?Sized,
        R: BufferMut<Element = S::Element> + ?Sized,
    {
        self.collective(ReduceScatterBlock { op }, (send.lower(), recv.lower_mut()))
    }

    /// Folds every rank's buffer element by element, and gives rank `r` the `r`-th block of the result at the start
    /// of its buffer, the rest of which is left alone.
    ///
    /// MPI standard, section 6.10.1 (`MPI_Reduce_scatter_block` with `MPI_IN_PLACE`).
    ///
    /// # Errors
    /// As for [`reduce_scatter_block`](Self::reduce_scatter_block).
    ///
    /// ```
    /// use warpcomm::{Communicator, Op};
    ///
    /// let largest = Communicator::threads(2, |comm| {
    ///     let mut buffer = [comm.rank() as f32, -(comm.rank() as f32)];
    ///     comm.reduce_scatter_block_in_place(&mut buffer, Op::Max).map(|()| buffer)
    /// })?;
    /// assert_eq!(largest.into_iter().collect::<Result<Vec<_>, _>>()?, [[1.0, 0.0], [0.0, -1.0]]);
    /// # Ok::<(), warpcomm::Error>(())
    /// ```
    pub fn reduce_scatter_block_in_place<B: BufferMut + ?Sized>(&self, buffer: &mut B, op: Op) -> Result<()> {
        self.collective(ReduceScatterBlock { op }, buffer.lower_mut())
    }
}

struct ReduceScatterBlock {
    op: Op,
}

impl Collective<Apart<'_>> for ReduceScatterBlock {
    const OPERATION: Operation = Operation::ReduceScatterBlock;

    async fn run(&self, call: &Call<'_>, (own, result): &Apart<'_>) -> Result<()> {
        reduce_scatter_block(call, own, result, self.op, Ok(())).await
    }
}

impl Collective<InPlace<'_>> for ReduceScatterBlock {
    const OPERATION: Operation = Operation::ReduceScatterBlock;

    async fn run(&self, call: &Call<'_>, all: &InPlace<'_>) -> Result<()> {
        let local = all.check();
        let count = all.elements() / call.ranks();
        if let Some(plain) = call.plain() {
            let op = self.op.check(all.dtype());
            let local = local.and(op).and_then(|()| divides(all, call.ranks()));
            return Box::pin(plain.reduce_scatter_block_in_place(all, self.op, count, local)).await;
        }
        // The result is where the first block is, which nobody needs any more when it comes.
        reduce_scatter_block(call, all, all, self.op, local).await
    }
}

apart_forms! {
    /// ```
    /// use warpcomm::{Communicator, Op};
    ///
    /// let sums = Communicator::threads(2, |comm| {
    ///     let ((_, sum), _) = comm.ireduce_scatter_block(vec![1u8, 2], vec![0u8], Op::Sum).wait()?;
    ///     Ok(sum)
    /// })?;
    /// assert_eq!(sums.into_iter().collect::<Result<Vec<_>, warpcomm::Error>>()?, [[2], [4]]);
    /// # Ok::<(), warpcomm::Error>(())
    /// ```
    "reduce_scatter_block" "Reduce_scatter_block": ireduce_scatter_block reduce_scatter_block_init (send; recv, op: Op)
    => ReduceScatterBlock { op }
}

in_place_forms! {
    "reduce_scatter_block_in_place" "Reduce_scatter_block": ireduce_scatter_block_in_place reduce_scatter_block_in_place_init (buffer, op: Op)
    => ReduceScatterBlock { op }
}

async fn reduce_scatter_block(
    call: &Call<'_>,
    own: &Span<'_>,
    result: &Span<'_>,
    op: Op,
    local: Result<()>,
) -> Result<()> {
    let (rank, ranks) = (call.rank(), call.ranks());
    let count = own.elements() / ranks;
    let algorithm = call.plan(own.bytes());
    let mut local = local
        .and_then(|()| op.check(own.dtype()))
        .and_then(|()| own.check())
        .and_then(|()| result.check())
        .and_then(|()| divides(own, ranks))
        .and_then(|()| check_room(result, count));
    if let Some(plain) = call.plain() {
        return Box::pin(plain.reduce_scatter_block(own, result, op, count, local)).await;
    }
    let blocks = Blocks::even(own.elements(), ranks);
    let needed = || match algorithm {
        Algorithm::Frames => Ok(None),
        _ => Inputs::new(call, own, Some(result), count).map(Some),
    };
    let plan = FoldPlan::new(Shape::OfBlocks(&blocks), own, (count > 0).then_some(result), op);
    let reach = call.reach(&plan);
    let inputs = match reach {
        Whereabouts::NOWHERE => own_or_note(needed(), &mut local).flatten(),
        _ => None,
    };
    let terms = Terms {
        dtype: Some(own.dtype()),
        op: Some(op),
        count,
        reach,
        ..Terms::NONE
    };
    let riding = (algorithm == Algorithm::Frames).then_some(own);
    let agreed = call.agree(terms, local, riding).await?;
    let (mut agreed, inputs) = match call.fold_together(terms, agreed, inputs, needed, &plan).await? {
        Outcome::Folded => return Ok(()),
        Outcome::Otherwise(agreed, inputs) => (agreed, inputs),
    };
    match inputs {
        Some(inputs) => fold_own_block(call, &mut agreed, &inputs, (own, &blocks), result, op).await,
        None => {
            let block = own.part(rank * count, count)?;
            let first = rank * block.bytes();
            fold_frames(call, &agreed, 0..ranks, first, &block, result, op).await?;
            agreed.over()
        }
    }
}
