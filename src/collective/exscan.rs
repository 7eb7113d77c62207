//! `exscan`.

use super::Call;
use super::scan::scan;
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
        let (own, result) = (send.lower(), recv.lower_mut());
        let call = Call::enter(self, Operation::Exscan, own.bytes())?;
        call.run(scan(&call, &own, &result, op, 0..self.rank()))
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
        let span = buffer.lower_mut();
        let call = Call::enter(self, Operation::Exscan, span.bytes())?;
        call.run(scan(&call, &span, &span, op, 0..self.rank()))
    }
}
