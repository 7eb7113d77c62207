//! `scan`, and what `exscan` shares with it.

use super::agreement::Terms;
use super::courier::Courier;
use super::fold_plan::{FoldPlan, Shape};
use super::forms::{apart_forms, in_place_forms};
use super::inputs::Inputs;
use super::reduce::{fold_frames, own_or_note};
use super::together::Outcome;
use super::{Apart, Call, Collective, InPlace, check_room};
use crate::buffer::{Buffer, BufferMut, Span};
use crate::comm::Communicator;
use crate::error::{Error, Result};
use crate::op::Op;
use crate::plan::{Algorithm, Operation};
use crate::transport::Whereabouts;
use std::ops::Range;

impl Communicator {
    /// Folds the buffers of the ranks up to this one, its own too, element by element into `recv`.
    ///
    /// The elements of these ranks are combined in the canonical order (see [`Op`]), so that the last rank gets the
    /// bits of [`allreduce`](Self::allreduce). `recv` has the elements of `send` or more, which are left alone.
    /// [`Op::Avg`] is not defined here.
    ///
    /// MPI standard, section 6.11.1 (`MPI_Scan`).
    ///
    /// # Errors
    /// [`InvalidArgument`](crate::ErrorKind::InvalidArgument) for a receive buffer too short,
    /// [`Unsupported`](crate::ErrorKind::Unsupported) for [`Op::Avg`] and for an operation that the element type does
    /// not have, and [`PeerFailed`](crate::ErrorKind::PeerFailed) on the other ranks;
    /// [`Mismatch`](crate::ErrorKind::Mismatch) on every rank if counts, types or operations differ.
    ///
    /// ```
    /// use warpcomm::{Communicator, Op};
    ///
    /// let sums = Communicator::threads(4, |comm| {
    ///     let mut sum = 0u32;
    ///     comm.scan(&(comm.rank() as u32 + 1), &mut sum, Op::Sum).map(|()| sum)
    /// })?;
    /// assert_eq!(sums.into_iter().collect::<Result<Vec<_>, _>>()?, [1, 3, 6, 10]);
    /// # Ok::<(), warpcomm::Error>(())
    /// ```
    pub fn scan<S, R>(&self, send: &S, recv: &mut R, op: Op) -> Result<()>
    where
        S: Buffer + ?Sized,
        R: BufferMut<Element = S::Element> + ?Sized,
    {
        self.collective(Scan { op }, (send.lower(), recv.lower_mut()))
    }

    /// Folds the buffers of the ranks up to this one, its own too, element by element into its own.
    ///
    /// MPI standard, section 6.11.1 (`MPI_Scan` with `MPI_IN_PLACE`).
    ///
    /// # Errors
    /// As for [`scan`](Self::scan).
    ///
    /// ```
    /// use warpcomm::{Communicator, Op};
    ///
    /// let products = Communicator::threads(3, |comm| {
    ///     let mut product = [2i16, -1];
    ///     comm.scan_in_place(&mut product, Op::Prod).map(|()| product)
    /// })?;
    /// assert_eq!(products.into_iter().collect::<Result<Vec<_>, _>>()?, [[2, -1], [4, 1], [8, -1]]);
    /// # Ok::<(), warpcomm::Error>(())
    /// ```
    pub fn scan_in_place<B: BufferMut + ?Sized>(&self, buffer: &mut B, op: Op) -> Result<()> {
        self.collective(Scan { op }, buffer.lower_mut())
    }
}

struct Scan {
    op: Op,
}

impl Collective<Apart<'_>> for Scan {
    const OPERATION: Operation = Operation::Scan;

    async fn run(&self, call: &Call<'_>, (own, result): &Apart<'_>) -> Result<()> {
        scan(call, own, result, self.op, 0..call.rank() + 1).await
    }
}

impl Collective<InPlace<'_>> for Scan {
    const OPERATION: Operation = Operation::Scan;

    async fn run(&self, call: &Call<'_>, buffer: &InPlace<'_>) -> Result<()> {
        scan(call, buffer, buffer, self.op, 0..call.rank() + 1).await
    }
}

apart_forms! {
    /// ```
    /// use warpcomm::{Communicator, Op};
    ///
    /// let sums = Communicator::threads(3, |comm| {
    ///     let own = vec![comm.rank() as u64 + 1];
    ///     let ((_, sum), _) = comm.iscan(own, vec![0u64], Op::Sum).wait()?;
    ///     Ok(sum[0])
    /// })?;
    /// assert_eq!(sums.into_iter().collect::<Result<Vec<_>, warpcomm::Error>>()?, [1, 3, 6]);
    /// # Ok::<(), warpcomm::Error>(())
    /// ```
    "scan" "Scan": iscan scan_init (send; recv, op: Op)
    => Scan { op }
}

in_place_forms! {
    "scan_in_place" "Scan": iscan_in_place scan_in_place_init (buffer, op: Op)
    => Scan { op }
}

/// Folds what `ranks` contribute; on a rank where that is nobody, `result` is not used.
///
/// Each rank sends its elements to all above, and folds them itself: partial results are rounded, and combined in
/// another order.
pub(super) async fn scan(
    call: &Call<'_>,
    own: &Span<'_>,
    result: &Span<'_>,
    op: Op,
    ranks: Range<usize>,
) -> Result<()> {
    let algorithm = call.plan(own.bytes());
    let mut local = op
        .check(own.dtype())
        .and_then(|()| match op {
            Op::Avg => Err(Error::unsupported("avg is not defined on a part of the ranks")),
            _ => own.check(),
        })
        .and_then(|()| match ranks.is_empty() {
            true => Ok(()),
            false => result.check().and_then(|()| check_room(result, own.elements())),
        });
    if let Some(plain) = call.plain() {
        return Box::pin(plain.scan(own, result, op, local)).await;
    }
    let folded = (!ranks.is_empty()).then_some(result);
    let needed = || match algorithm {
        Algorithm::Frames => Ok(None),
        _ => Inputs::of_ranks(call, ranks.clone(), own, folded, own.elements()).map(Some),
    };
    let shape = Shape::OfPrefixes {
        with_own: ranks.contains(&call.rank()),
    };
    let plan = FoldPlan::new(shape, own, folded, op);
    let reach = call.reach(&plan);
    let inputs = match reach {
        Whereabouts::NOWHERE => own_or_note(needed(), &mut local).flatten(),
        _ => None,
    };
    let terms = Terms {
        dtype: Some(own.dtype()),
        op: Some(op),
        count: own.elements(),
        reach,
        ..Terms::NONE
    };
    let riding = (algorithm == Algorithm::Frames).then_some(own);
    let agreed = call.agree(terms, local, riding).await?;
    let (mut agreed, inputs) = match call.fold_together(terms, agreed, inputs, needed, &plan).await? {
        Outcome::Folded => return Ok(()),
        Outcome::Otherwise(agreed, inputs) => (agreed, inputs),
    };
    let Some(inputs) = inputs else {
        if !ranks.is_empty() {
            fold_frames(call, &agreed, ranks, 0, own, result, op).await?;
        }
        return agreed.over();
    };
    let fetched = &inputs.fetched;
    fetched.fetch(own, &mut agreed).await;
    let own = fetched.own(own);
    let mut courier = Courier::new(call, &mut agreed);
    inputs.receive(call, &mut courier, &own);
    for above in call.rank() + 1..call.ranks() {
        // SAFETY: in place, the result is written after `finish`.
        unsafe { courier.send(above, &own) };
    }
    courier.finish().await;
    if let Some(result) = folded.filter(|_| !courier.has_failed()) {
        let folded = inputs.fold(call, &own, &fetched.result(result), op).await;
        courier.note(folded);
        if !courier.has_failed() {
            courier.note(fetched.deliver(result, own.elements()).await);
        }
    }
    courier.outcome()
}
