//! `allreduce`.

use std::future::Future;

use super::agreement::{Agreed, Terms};
use super::courier::Courier;
use super::fold_plan::{FoldPlan, Shape};
use super::forms::{apart_forms, in_place_forms};
use super::inputs::Inputs;
use super::reduce::{Candidates, fold_frames, own_or_note, reduce_scatter};
use super::together::Outcome;
use super::{Apart, Call, Collective, InPlace, allgather, check_room};
use crate::buffer::{Blocks, Buffer, BufferMut, Span};
use crate::comm::Communicator;
use crate::error::Result;
use crate::op::Op;
use crate::plan::{Algorithm, Operation};
use crate::transport::Whereabouts;

impl Communicator {
    /// Folds every rank's buffer element by element into every rank's `recv`.
    ///
    /// The elements are combined in the canonical order (see [`Op`]): the result has the same bits on every
    /// rank, in every run and on every path. `recv` has the elements of `send`, or more, which are left
    /// alone.
    ///
    /// MPI standard, section 6.9.6 (`MPI_Allreduce`).
    ///
    /// # Errors
    /// [`InvalidArgument`](crate::ErrorKind::InvalidArgument) for a receive buffer too short,
    /// [`Unsupported`](crate::ErrorKind::Unsupported) for an operation that the element type does not have,
    /// and [`PeerFailed`](crate::ErrorKind::PeerFailed) on the other ranks;
    /// [`Mismatch`](crate::ErrorKind::Mismatch) on every rank if counts, types or operations differ.
    ///
    /// ```
    /// use warpcomm::{Communicator, Op};
    ///
    /// let sums = Communicator::threads(4, |comm| {
    ///     let mut sum = [0f32; 2];
    ///     comm.allreduce(&[comm.rank() as f32, 0.5], &mut sum, Op::Sum).map(|()| sum)
    /// })?;
    /// assert!(sums.into_iter().all(|sum| sum.unwrap() == [6.0, 2.0]));
    /// # Ok::<(), warpcomm::Error>(())
    /// ```
    pub fn allreduce<S, R>(&self, send: &S, recv: &mut R, op: Op) -> Result<()>
    where
        S: Buffer + ?Sized,
        R: BufferMut<Element = S::Element> + ?Sized,
    {
        self.collective(Allreduce { op }, (send.lower(), recv.lower_mut()))
    }

    /// Folds every rank's buffer element by element into every rank's own.
    ///
    /// The result has the bits of [`allreduce`](Self::allreduce).
    ///
    /// MPI standard, section 6.9.6 (`MPI_Allreduce` with `MPI_IN_PLACE`).
    ///
    /// # Errors
    /// As for [`allreduce`](Self::allreduce).
    ///
    /// ```
    /// use warpcomm::{Communicator, Op};
    ///
    /// let largest = Communicator::threads(3, |comm| {
    ///     let mut values = [comm.rank() as i32, -(comm.rank() as i32)];
    ///     comm.allreduce_in_place(&mut values, Op::Max)?;
    ///     Ok::<_, warpcomm::Error>(values)
    /// })?;
    /// assert_eq!(largest.into_iter().collect::<Result<Vec<_>, _>>()?, [[2, 0]; 3]);
    /// # Ok::<(), warpcomm::Error>(())
    /// ```
    pub fn allreduce_in_place<B: BufferMut + ?Sized>(&self, buffer: &mut B, op: Op) -> Result<()> {
        self.collective(Allreduce { op }, buffer.lower_mut())
    }
}

struct Allreduce {
    op: Op,
}

impl Collective<Apart<'_>> for Allreduce {
    const OPERATION: Operation = Operation::Allreduce;

    fn run(&self, call: &Call<'_>, (own, result): &Apart<'_>) -> impl Future<Output = Result<()>> + Send {
        allreduce(call, own, result, self.op, Ok(()))
    }
}

impl Collective<InPlace<'_>> for Allreduce {
    const OPERATION: Operation = Operation::Allreduce;

    fn run(&self, call: &Call<'_>, buffer: &InPlace<'_>) -> impl Future<Output = Result<()>> + Send {
        allreduce(call, buffer, buffer, self.op, Ok(()))
    }
}

apart_forms! {
    /// ```
    /// use warpcomm::{Communicator, Op};
    ///
    /// let sums = Communicator::threads(4, |comm| {
    ///     let request = comm.iallreduce(vec![comm.rank() as f32, 0.5], vec![0f32; 2], Op::Sum);
    ///     // Compute something else here.
    ///     let ((_, sums), _) = request.wait()?;
    ///     Ok(sums)
    /// })?;
    /// assert_eq!(sums.into_iter().collect::<Result<Vec<_>, warpcomm::Error>>()?, vec![[6.0, 2.0]; 4]);
    /// # Ok::<(), warpcomm::Error>(())
    /// ```
    "allreduce" "Allreduce": iallreduce allreduce_init (send; recv, op: Op)
    => Allreduce { op }
}

in_place_forms! {
    "allreduce_in_place" "Allreduce": iallreduce_in_place allreduce_in_place_init (buffer, op: Op)
    => Allreduce { op }
}

pub(super) async fn allreduce(
    call: &Call<'_>,
    own: &Span<'_>,
    result: &Span<'_>,
    op: Op,
    local: Result<()>,
) -> Result<()> {
    let candidates = Candidates::new(call, own);
    let mut local = local
        .and_then(|()| op.check(own.dtype()))
        .and_then(|()| own.check())
        .and_then(|()| result.check())
        .and_then(|()| check_room(result, own.elements()));
    if let Some(plain) = call.plain() {
        return Box::pin(plain.allreduce(own, result, op, local)).await;
    }
    let needed = || Inputs::of_candidates(call, candidates, own, Some(result)).map(Some);
    let plan = FoldPlan::new(Shape::ForAll, own, Some(result), op);
    let reach = call.reach(&plan);
    let inputs = match candidates.ride() || reach != Whereabouts::NOWHERE {
        true => None,
        false => own_or_note(needed(), &mut local).flatten(),
    };
    let terms = Terms {
        dtype: Some(own.dtype()),
        op: Some(op),
        count: own.elements(),
        reach,
        ..Terms::NONE
    };
    let riding = candidates.ride().then_some(own);
    let agreed = call.agree(terms, local, riding).await?;
    let (agreed, inputs) = match call.fold_together(terms, agreed, inputs, needed, &plan).await? {
        Outcome::Folded => return Ok(()),
        Outcome::Otherwise(agreed, inputs) => (agreed, inputs),
    };
    let algorithm = candidates.taken(call, &agreed);
    match inputs {
        None => {
            fold_frames(call, &agreed, 0..call.ranks(), 0, own, result, op).await?;
            agreed.over()
        }
        // Boxed, so that what rides in frames needs no room for it.
        Some(inputs) => Box::pin(by_messages(call, algorithm, inputs, own, result, op, agreed)).await,
    }
}

/// Folds elements that are too many for frames.
async fn by_messages(
    call: &Call<'_>,
    algorithm: Algorithm,
    inputs: Inputs,
    own: &Span<'_>,
    result: &Span<'_>,
    op: Op,
    mut agreed: Agreed<'_>,
) -> Result<()> {
    let fetched = &inputs.fetched;
    fetched.fetch(own, &mut agreed).await;
    let (own, here) = (fetched.own(own), fetched.result(result));
    match algorithm {
        Algorithm::Levels => {
            inputs
                .in_levels(call, &own, Some(&here), op, None, &mut agreed)
                .await
        }
        Algorithm::Blocks => in_blocks(call, &inputs, &own, &here, op, &mut agreed).await,
        _ => direct(call, &inputs, &own, &here, op, &mut agreed).await,
    }?;
    fetched.deliver(result, own.elements()).await
}

/// Every rank sends all its elements to every other, and each folds everything.
async fn direct(
    call: &Call<'_>,
    inputs: &Inputs,
    own: &Span<'_>,
    result: &Span<'_>,
    op: Op,
    agreed: &mut Agreed<'_>,
) -> Result<()> {
    let mut courier = Courier::new(call, agreed);
    inputs.receive(call, &mut courier, own);
    for other in call.others() {
        // SAFETY: in place, the result is written after `finish`.
        unsafe { courier.send(other, own) };
    }
    courier.finish().await;
    if !courier.has_failed() {
        courier.note(inputs.fold(call, own, result, op).await);
    }
    courier.outcome()
}

/// Each rank folds one block of everybody's elements; then all gather the blocks.
async fn in_blocks(
    call: &Call<'_>,
    inputs: &Inputs,
    own: &Span<'_>,
    result: &Span<'_>,
    op: Op,
    agreed: &mut Agreed<'_>,
) -> Result<()> {
    let blocks = Blocks::even(own.elements(), call.ranks());
    let folded = allgather::block(result, &blocks, call.rank())?;
    let mut courier = Courier::new(call, agreed);
    reduce_scatter(call, &mut courier, inputs, own, &blocks, &folded, op).await?;
    // In place, the blocks that were sent are received into next.
    courier.finish().await;
    allgather::exchange(call, &mut courier, result, &blocks)?;
    courier.finish().await;
    courier.outcome()
}
