//! `gatherv`, and what `allgatherv` shares with it.

use super::agreement::Terms;
use super::allgather::block;
use super::courier::Courier;
use super::forms::{apart_forms, in_place_forms};
use super::{Apart, Call, Collective, InPlace, copy, pairs};
use crate::buffer::{Blocks, Buffer, BufferMut, Span};
use crate::comm::Communicator;
use crate::error::{Error, ErrorKind, Result};
use crate::plan::{Algorithm, Operation};
use std::borrow::Cow;

impl Communicator {
    /// Collects every rank's buffer, of any length, at `root`.
    ///
    /// `blocks` tells where in the root's `recv` each rank's elements go. Elements between the blocks are left
    /// alone. Elsewhere `recv` and `blocks` are not used and may be empty.
    ///
    /// MPI standard, section 6.5 (`MPI_Gatherv`).
    ///
    /// # Errors
    /// [`InvalidArgument`](crate::ErrorKind::InvalidArgument) for a root out of range and for blocks that
    /// overlap, leave the buffer, or are not one for each rank, and
    /// [`PeerFailed`](crate::ErrorKind::PeerFailed) on the other ranks;
    /// [`Mismatch`](crate::ErrorKind::Mismatch) on every rank if roots or types differ, or a rank sends another
    /// number of elements than the root has in its `blocks`.
    ///
    /// ```
    /// use warpcomm::{Blocks, Communicator};
    ///
    /// let rows = Communicator::threads(3, |comm| {
    ///     let blocks = Blocks::even(7, 3);
    ///     let own = vec![comm.rank() as u8; blocks.count(comm.rank())];
    ///     let mut all = if comm.rank() == 1 { vec![9; 7] } else { vec![] };
    ///     comm.gatherv(&own, &mut all, &blocks, 1).map(|()| all)
    /// })?;
    /// assert_eq!(rows[1].as_ref().unwrap(), &[0, 0, 0, 1, 1, 2, 2]);
    /// # Ok::<(), warpcomm::Error>(())
    /// ```
    pub fn gatherv<S, R>(&self, send: &S, recv: &mut R, blocks: &Blocks, root: usize) -> Result<()>
    where
        S: Buffer + ?Sized,
        R: BufferMut<Element = S::Element> + ?Sized,
    {
        let blocks = Cow::Borrowed(blocks);
        self.collective(Gatherv { blocks, root }, (send.lower(), recv.lower_mut()))
    }

    /// Collects every rank's elements, of any number, in `root`'s buffer, which holds the root's own in their
    /// block.
    ///
    /// Elsewhere the buffer is what is sent, and `blocks` may be empty.
    ///
    /// MPI standard, section 6.5 (`MPI_Gatherv` with `MPI_IN_PLACE`).
    ///
    /// # Errors
    /// As for [`gatherv`](Self::gatherv).
    ///
    /// ```
    /// use warpcomm::{Blocks, Communicator};
    ///
    /// let words = Communicator::threads(2, |comm| {
    ///     let mut buffer = if comm.rank() == 0 { b"in....".to_vec() } else { b"place".to_vec() };
    ///     buffer.resize(if comm.rank() == 0 { 8 } else { 5 }, b'.');
    ///     comm.gatherv_in_place(&mut buffer, &Blocks::new([2, 5], [0, 3]), 0).map(|()| buffer)
    /// })?;
    /// assert_eq!(words[0].as_ref().unwrap(), b"in.place");
    /// # Ok::<(), warpcomm::Error>(())
    /// ```
    pub fn gatherv_in_place<B: BufferMut + ?Sized>(
        &self,
        buffer: &mut B,
        blocks: &Blocks,
        root: usize,
    ) -> Result<()> {
        let blocks = Cow::Borrowed(blocks);
        self.collective(Gatherv { blocks, root }, buffer.lower_mut())
    }
}

struct Gatherv<'b> {
    blocks: Cow<'b, Blocks>,
    root: usize,
}

impl Collective<Apart<'_>> for Gatherv<'_> {
    const OPERATION: Operation = Operation::Gatherv;

    async fn run(&self, call: &Call<'_>, (own, all): &Apart<'_>) -> Result<()> {
        gatherv(call, own, all, &self.blocks, Some(self.root)).await
    }
}

impl Collective<InPlace<'_>> for Gatherv<'_> {
    const OPERATION: Operation = Operation::Gatherv;

    async fn run(&self, call: &Call<'_>, all: &InPlace<'_>) -> Result<()> {
        let empty = Span::empty(all.dtype());
        let own = own_block(all, &self.blocks, self.root);
        let (own, all) = match call.rank() == self.root {
            true => (&own, all),
            false => (all, &empty),
        };
        gatherv(call, own, all, &self.blocks, Some(self.root)).await
    }
}

apart_forms! {
    /// ```
    /// use warpcomm::{Blocks, Communicator};
    ///
    /// let gathered = Communicator::threads(3, |comm| {
    ///     let blocks = Blocks::even(4, 3);
    ///     let own = vec![comm.rank() as u8; blocks.count(comm.rank())];
    ///     let recv = if comm.rank() == 2 { vec![9u8; 4] } else { vec![] };
    ///     let ((_, all), _) = comm.igatherv(own, recv, &blocks, 2).wait()?;
    ///     Ok(all)
    /// })?;
    /// assert_eq!(gathered.into_iter().collect::<Result<Vec<_>, warpcomm::Error>>()?, [vec![], vec![], vec![0, 0, 1, 2]]);
    /// # Ok::<(), warpcomm::Error>(())
    /// ```
    "gatherv" "Gatherv": igatherv gatherv_init (send; recv, blocks: &Blocks, root: usize)
    => Gatherv { blocks: Cow::Owned(blocks.clone()), root }
}

in_place_forms! {
    "gatherv_in_place" "Gatherv": igatherv_in_place gatherv_in_place_init (buffer, blocks: &Blocks, root: usize)
    => Gatherv { blocks: Cow::Owned(blocks.clone()), root }
}

/// This rank's block of a buffer in which it is to stay. Blocks that leave the buffer the agreement reports to all.
pub(super) fn own_block<'a>(all: &'a Span<'_>, blocks: &Blocks, rank: usize) -> Span<'a> {
    block(all, blocks, rank).unwrap_or_else(|_| Span::empty(all.dtype()))
}

/// Collects at `root`, or at every rank.
pub(super) async fn gatherv(
    call: &Call<'_>,
    own: &Span<'_>,
    all: &Span<'_>,
    blocks: &Blocks,
    root: Option<usize>,
) -> Result<()> {
    let (rank, ranks) = (call.rank(), call.ranks());
    let collects = |rank: usize| root.is_none_or(|root| root == rank);
    let local = root
        .map_or(Ok(()), |root| call.check_root(root))
        .and_then(|()| match collects(rank) {
            true => blocks.check(ranks, all.elements()).and_then(|()| all.check()),
            false => Ok(()),
        })
        .and_then(|()| own.check());
    if let Some(plain) = call.plain() {
        return Box::pin(plain.gatherv(own, all, blocks, root, local)).await;
    }
    let terms = Terms {
        dtype: Some(own.dtype()),
        root,
        count: own.elements(),
        any_count: true,
        ..Terms::NONE
    };
    let rides = |elements: usize| call.plan(elements * own.dtype().size()) == Algorithm::Frames;
    let riding = rides(own.elements()).then_some(own);
    let mut agreed = call.agree(terms, local, riding).await?;
    let counts = pairs::counts(call, &agreed, own.elements(), collects).await;
    let found = counts.and_then(|counts| match collects(rank) {
        true => check_counts(rank, blocks, &counts),
        false => Ok(()),
    });
    pairs::settle(call, &mut agreed, found).await?;
    let mut copied = Ok(());
    if collects(rank) {
        copied = copy(own, &block(all, blocks, rank)?).await;
        // A block travels in its frame if it fits, whatever the others do: who collects knows all counts.
        for other in call.others().filter(|&other| rides(blocks.count(other))) {
            let block = block(all, blocks, other)?;
            if copied.is_ok() {
                copied = block.fill(agreed.payload(other)).await;
            }
        }
    }
    let mut courier = Courier::new(call, &mut agreed);
    courier.note(copied);
    for other in call.others() {
        if collects(rank) && !rides(blocks.count(other)) {
            // SAFETY: blocks do not overlap, and each is received once; the span may be written.
            unsafe { courier.receive(other, &block(all, blocks, other)?) };
        }
    }
    for other in call.others() {
        if collects(other) && riding.is_none() {
            // SAFETY: only read; in place nobody receives into this rank's own block.
            unsafe { courier.send(other, own) };
        }
    }
    courier.finish().await;
    courier.outcome()
}

/// Compares what each rank sends, as far as it was told, with its block here.
fn check_counts(rank: usize, blocks: &Blocks, counts: &[Option<u64>]) -> Result<()> {
    for (other, count) in counts.iter().enumerate() {
        let there = blocks.count(other);
        if let Some(count) = count.filter(|&count| count != there as u64) {
            return Err(Error::new(
                ErrorKind::Mismatch,
                format!("rank {other} sends {count} elements where rank {rank} expects {there}"),
            ));
        }
    }
    Ok(())
}
