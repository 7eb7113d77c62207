//! `allgatherv`.

use super::forms::{apart_forms, in_place_forms};
use super::gatherv::{gatherv, own_block};
use super::{Apart, Call, Collective, InPlace};
use crate::buffer::{Blocks, Buffer, BufferMut};
use crate::comm::Communicator;
use crate::error::Result;
use crate::plan::Operation;
use std::borrow::Cow;

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
        let blocks = Cow::Borrowed(blocks);
        self.collective(Allgatherv { blocks }, (send.lower(), recv.lower_mut()))
    }

    /// Collects every rank's block, of any length, at every rank; each holds its own in its place.
    ///
    /// MPI standard, section 6.7 (`MPI_Allgatherv` with `MPI_IN_PLACE`).
    ///
    /// # Errors
    /// As for [`allgatherv`](Self::allgatherv).
    pub fn allgatherv_in_place<B: BufferMut + ?Sized>(&self, buffer: &mut B, blocks: &Blocks) -> Result<()> {
        let blocks = Cow::Borrowed(blocks);
        self.collective(Allgatherv { blocks }, buffer.lower_mut())
    }
}

struct Allgatherv<'b> {
    blocks: Cow<'b, Blocks>,
}

impl Collective<Apart<'_>> for Allgatherv<'_> {
    const OPERATION: Operation = Operation::Allgatherv;

    async fn run(&self, call: &Call<'_>, (own, all): &Apart<'_>) -> Result<()> {
        gatherv(call, own, all, &self.blocks, None).await
    }
}

impl Collective<InPlace<'_>> for Allgatherv<'_> {
    const OPERATION: Operation = Operation::Allgatherv;

    async fn run(&self, call: &Call<'_>, all: &InPlace<'_>) -> Result<()> {
        if let Some(plain) = call.plain() {
            let blocks = &self.blocks;
            let local = all
                .check()
                .and_then(|()| blocks.check(call.ranks(), all.elements()));
            return Box::pin(plain.allgatherv_in_place(all, blocks, local)).await;
        }
        let own = own_block(all, &self.blocks, call.rank());
        gatherv(call, &own, all, &self.blocks, None).await
    }
}

apart_forms! {
    /// ```
    /// use warpcomm::{Blocks, Communicator};
    ///
    /// let all = Communicator::threads(3, |comm| {
    ///     let blocks = Blocks::even(4, 3);
    ///     let own = vec![comm.rank() as u8; blocks.count(comm.rank())];
    ///     let ((_, all), _) = comm.iallgatherv(own, vec![9u8; 4], &blocks).wait()?;
    ///     Ok(all)
    /// })?;
    /// assert_eq!(all.into_iter().collect::<Result<Vec<_>, warpcomm::Error>>()?, vec![[0, 0, 1, 2]; 3]);
    /// # Ok::<(), warpcomm::Error>(())
    /// ```
    "allgatherv" "Allgatherv": iallgatherv allgatherv_init (send; recv, blocks: &Blocks)
    => Allgatherv { blocks: Cow::Owned(blocks.clone()) }
}

in_place_forms! {
    "allgatherv_in_place" "Allgatherv": iallgatherv_in_place allgatherv_in_place_init (buffer, blocks: &Blocks)
    => Allgatherv { blocks: Cow::Owned(blocks.clone()) }
}
