//! `allgatherv`.

use super::Call;
use super::gatherv::{gatherv, own_block};
use crate::buffer::{Blocks, Buffer, BufferMut};
use crate::comm::Communicator;
use crate::error::Result;
use crate::plan::Operation;

impl Communicator {
    /// Collects every rank's buffer, of any length, at every rank.
    ///
    /// `blocks` tells where in `recv` each rank's elements go, the same counts on every rank. Elements
    /// between the blocks are left alone.
    ///
    /// MPI standard, section 6.7 (`MPI_Allgatherv`).
    ///
    /// # Errors
    /// [`InvalidArgument`](crate::ErrorKind::InvalidArgument) for blocks that overlap, leave the buffer, or
    /// are not one for each rank, and [`PeerFailed`](crate::ErrorKind::PeerFailed) on the other ranks;
    /// [`Mismatch`](crate::ErrorKind::Mismatch) on every rank if types differ, or a rank sends another
    /// number of elements than some rank has in its `blocks`.
    ///
    /// ```
    /// use warpcomm::{Blocks, Communicator};
    ///
    /// let rows = Communicator::threads(3, |comm| {
    ///     let blocks = Blocks::even(7, 3);
    ///     let own = vec![comm.rank() as u8; blocks.count(comm.rank())];
    ///     let mut all = [0; 7];
    ///     comm.allgatherv(&own, &mut all, &blocks).map(|()| all)
    /// })?;
    /// assert!(rows.into_iter().all(|all| all.unwrap() == [0, 0, 0, 1, 1, 2, 2]));
    /// # Ok::<(), warpcomm::Error>(())
    /// ```
    pub fn allgatherv<S, R>(&self, send: &S, recv: &mut R, blocks: &Blocks) -> Result<()>
    where
        S: Buffer + ?Sized,
        R: BufferMut<Element = S::Element> + ?Sized,
    {
        let (own, all) = (send.lower(), recv.lower_mut());
        let call = Call::enter(self, Operation::Allgatherv, own.bytes())?;
        call.run(gatherv(&call, &own, &all, blocks, None))
    }

    /// Collects every rank's block, of any length, at every rank; each holds its own in its place.
    ///
    /// MPI standard, section 6.7 (`MPI_Allgatherv` with `MPI_IN_PLACE`).
    ///
    /// # Errors
    /// As for [`allgatherv`](Self::allgatherv).
    pub fn allgatherv_in_place<B: BufferMut + ?Sized>(&self, buffer: &mut B, blocks: &Blocks) -> Result<()> {
        let all = buffer.lower_mut();
        let call = Call::enter(self, Operation::Allgatherv, all.bytes())?;
        let own = own_block(&all, blocks, self.rank());
        call.run(gatherv(&call, &own, &all, blocks, None))
    }
}
