//! `exscan`.

use super::forms::{apart_forms, in_place_forms};
use super::scan::scan;
use super::{Apart, Call, Collective, InPlace};
use crate::buffer::{Buffer, BufferMut};
use crate::comm::Communicator;
use crate::error::Result;
use crate::op::Op;
use crate::plan::Operation;

impl Communicator {
    /// Folds the buffers of the ranks below this one element by element into `recv`.
    ///
    /// The elements of these ranks are combined in the canonical order (see [`Op`]). `recv` has the elements of
    /// `send` or more, which are left alone. Below rank 0 there is nobody: there `recv` is not used, and may be
    /// empty. [`Op::Avg`] is not defined here.
    ///
    /// MPI standard, section 6.11.2 (`MPI_Exscan`).
    ///
    /// # Errors
    /// As for [`scan`](Self::scan).
    ///
    /// ```
    /// use warpcomm::{Communicator, Op};
    ///
    /// // Where each rank's elements start in a common file.
    /// let starts = Communicator::threads(3, |comm| {
    ///     let (own, mut start) = (10 * (comm.rank() as u64 + 1), 0);
    ///     comm.exscan(&own, &mut start, Op::Sum).map(|()| start)
    /// })?;
    /// assert_eq!(starts.into_iter().collect::<Result<Vec<_>, _>>()?, [0, 10, 30]);
    /// # Ok::<(), warpcomm::Error>(())
    /// ```
    pub fn exscan<S, R>(&self, send: &S, recv: &mut R, op: Op) -> Result<()>
    where
        S: Buffer + ?Sized,
        R: BufferMut<Element = S::Element> + ?Sized,
    {
        self.collective(Exscan { op }, (send.lower(), recv.lower_mut()))
    }

    /// Folds the buffers of the ranks below this one element by element into its own, which rank 0 keeps.
    ///
    /// MPI standard, section 6.11.2 (`MPI_Exscan` with `MPI_IN_PLACE`).
    ///
    /// # Errors
    /// As for [`scan`](Self::scan).
    ///
    /// ```
    /// use warpcomm::{Communicator, Op};
    ///
    /// let largest = Communicator::threads(3, |comm| {
    ///     let mut largest = [5.0f64, 7.0, 6.0][comm.rank()];
    ///     comm.exscan_in_place(&mut largest, Op::Max).map(|()| largest)
    /// })?;
    /// assert_eq!(largest.into_iter().collect::<Result<Vec<_>, _>>()?, [5.0, 5.0, 7.0]);
    /// # Ok::<(), warpcomm::Error>(())
    /// ```
    pub fn exscan_in_place<B: BufferMut + ?Sized>(&self, buffer: &mut B, op: Op) -> Result<()> {
        self.collective(Exscan { op }, buffer.lower_mut())
    }
}

struct Exscan {
    op: Op,
}

impl Collective<Apart<'_>> for Exscan {
    const OPERATION: Operation = Operation::Exscan;

    async fn run(&self, call: &Call<'_>, (own, result): &Apart<'_>) -> Result<()> {
        scan(call, own, result, self.op, 0..call.rank()).await
    }
}

impl Collective<InPlace<'_>> for Exscan {
    const OPERATION: Operation = Operation::Exscan;

    async fn run(&self, call: &Call<'_>, buffer: &InPlace<'_>) -> Result<()> {
        scan(call, buffer, buffer, self.op, 0..call.rank()).await
    }
}

apart_forms! {
    /// ```
    /// use warpcomm::{Communicator, Op};
    ///
    /// let sums = Communicator::threads(3, |comm| {
    ///     let own = vec![comm.rank() as u64 + 1];
    ///     let ((_, sum), _) = comm.iexscan(own, vec![0u64], Op::Sum).wait()?;
    ///     Ok(sum[0])
    /// })?;
    /// assert_eq!(sums.into_iter().collect::<Result<Vec<_>, warpcomm::Error>>()?, [0, 1, 3]);
    /// # Ok::<(), warpcomm::Error>(())
    /// ```
    "exscan" "Exscan": iexscan exscan_init (send; recv, op: Op)
    => Exscan { op }
}

in_place_forms! {
    "exscan_in_place" "Exscan": iexscan_in_place exscan_in_place_init (buffer, op: Op)
    => Exscan { op }
}
