//! `scatterv`.

use super::agreement::Terms;
use super::allgather::block;
use super::courier::Courier;
use super::forms::{apart_forms, in_place_forms};
use super::gatherv::own_block;
use super::{Apart, Call, Collective, InPlace, copy, pairs};
use crate::buffer::lower::Lower;
use crate::buffer::{Blocks, Buffer, BufferMut, Span};
use crate::comm::Communicator;
use crate::error::{Error, ErrorKind, Result};
use crate::plan::{Algorithm, Operation};
use std::borrow::Cow;

impl Communicator {
    /// Distributes blocks of `root`'s buffer, of any length: rank `r` gets the `r`-th.
    ///
    /// `blocks` tells where in the root's `send` the blocks are; they may overlap. Each receive buffer has the
    /// length of its block. Elsewhere `send` and `blocks` are not used and may be empty.
    ///
    /// MPI standard, section 6.6 (`MPI_Scatterv`).
    ///
    /// # Errors
    /// [`InvalidArgument`](crate::ErrorKind::InvalidArgument) for a root out of range and for blocks that leave
    /// the buffer or are not one for each rank, and [`PeerFailed`](crate::ErrorKind::PeerFailed) on the other
    /// ranks; [`Mismatch`](crate::ErrorKind::Mismatch) on every rank if roots or types differ, or a rank receives
    /// another number of elements than the root has in its `blocks`.
    ///
    /// ```
    /// use warpcomm::{Blocks, Communicator};
    ///
    /// let parts = Communicator::threads(4, |comm| {
    ///     let blocks = Blocks::even(15, 4);
    ///     let all: Vec<i32> = if comm.rank() == 0 { (0..15).collect() } else { vec![] };
    ///     let mut part = vec![0; blocks.count(comm.rank())];
    ///     comm.scatterv(&all, &blocks, &mut part, 0).map(|()| part)
    /// })?;
    /// assert_eq!(parts[1].as_ref().unwrap(), &[4, 5, 6, 7]);
    /// assert_eq!(parts[3].as_ref().unwrap(), &[12, 13, 14]);
    /// # Ok::<(), warpcomm::Error>(())
    /// ```
    pub fn scatterv<S, R>(&self, send: &S, blocks: &Blocks, recv: &mut R, root: usize) -> Result<()>
    where
        S: Buffer + ?Sized,
        R: BufferMut<Element = S::Element> + ?Sized,
    {
        let blocks = Cow::Borrowed(blocks);
        self.collective(Scatterv { blocks, root }, (send.lower(), recv.lower_mut()))
    }

    /// Distributes blocks of `root`'s buffer, whose own block stays where it is.
    ///
    /// Elsewhere the buffer is what is received into, and `blocks` may be empty.
    ///
    /// MPI standard, section 6.6 (`MPI_Scatterv` with `MPI_IN_PLACE`).
    ///
    /// # Errors
    /// As for [`scatterv`](Self::scatterv).
    ///
    /// ```
    /// use warpcomm::{Blocks, Communicator};
    ///
    /// let parts = Communicator::threads(2, |comm| {
    ///     let mut buffer = if comm.rank() == 0 { vec![1u8, 2, 3] } else { vec![0; 2] };
    ///     comm.scatterv_in_place(&mut buffer, &Blocks::packed([1, 2]), 0).map(|()| buffer)
    /// })?;
    /// assert_eq!(parts.into_iter().collect::<Result<Vec<_>, _>>()?, [vec![1, 2, 3], vec![2, 3]]);
    /// # Ok::<(), warpcomm::Error>(())
    /// ```
    pub fn scatterv_in_place<B: BufferMut + ?Sized>(
        &self,
        buffer: &mut B,
        blocks: &Blocks,
        root: usize,
    ) -> Result<()> {
        let blocks = Cow::Borrowed(blocks);
        self.collective(Scatterv { blocks, root }, buffer.lower_mut())
    }
}

struct Scatterv<'b> {
    blocks: Cow<'b, Blocks>,
    root: usize,
}

impl Collective<Apart<'_>> for Scatterv<'_> {
    const OPERATION: Operation = Operation::Scatterv;

    async fn run(&self, call: &Call<'_>, (all, own): &Apart<'_>) -> Result<()> {
        scatterv(call, all, &self.blocks, own, self.root).await
    }
}

impl Collective<InPlace<'_>> for Scatterv<'_> {
    const OPERATION: Operation = Operation::Scatterv;

    async fn run(&self, call: &Call<'_>, all: &InPlace<'_>) -> Result<()> {
        let empty = Span::empty(all.dtype());
        let own = own_block(all, &self.blocks, self.root);
        let (all, own) = match call.rank() == self.root {
            true => (all, &own),
            false => (&empty, all),
        };
        scatterv(call, all, &self.blocks, own, self.root).await
    }
}

apart_forms! {
    /// ```
    /// use warpcomm::{Blocks, Communicator};
    ///
    /// let parts = Communicator::threads(3, |comm| {
    ///     let blocks = Blocks::even(4, 3);
    ///     let send = if comm.rank() == 0 { vec![1u8, 2, 3, 4] } else { vec![] };
    ///     let own = vec![0u8; blocks.count(comm.rank())];
    ///     let ((_, own), _) = comm.iscatterv(send, &blocks, own, 0).wait()?;
    ///     Ok(own)
    /// })?;
    /// assert_eq!(parts.into_iter().collect::<Result<Vec<_>, warpcomm::Error>>()?, [vec![1, 2], vec![3], vec![4]]);
    /// # Ok::<(), warpcomm::Error>(())
    /// ```
    "scatterv" "Scatterv": iscatterv scatterv_init (send, blocks: &Blocks; recv, root: usize)
    => Scatterv { blocks: Cow::Owned(blocks.clone()), root }
}

in_place_forms! {
    "scatterv_in_place" "Scatterv": iscatterv_in_place scatterv_in_place_init (buffer, blocks: &Blocks, root: usize)
    => Scatterv { blocks: Cow::Owned(blocks.clone()), root }
}

pub(super) async fn scatterv(
    call: &Call<'_>,
    all: &Span<'_>,
    blocks: &Blocks,
    own: &Span<'_>,
    root: usize,
) -> Result<()> {
    let (rank, ranks) = (call.rank(), call.ranks());
    let mut local = call
        .check_root(root)
        .and_then(|()| match rank == root {
            true => blocks
                .check_range(ranks, all.elements())
                .and_then(|()| all.check()),
            false => Ok(()),
        })
        .and_then(|()| own.check());
    if let Some(plain) = call.plain() {
        return Box::pin(plain.scatterv(all, blocks, own, root, local)).await;
    }
    // The root's frame carries all blocks, one behind the other.
    let mut packed = Vec::new();
    if rank == root && local.is_ok() {
        let bytes = blocks.total().saturating_mul(all.dtype().size());
        if call.plan(bytes) == Algorithm::Frames {
            packed.resize(bytes, 0u8);
            local = pack(all, blocks, &mut packed).await;
        }
    }
    let terms = Terms {
        dtype: Some(own.dtype()),
        root: Some(root),
        count: own.elements(),
        any_count: true,
        ..Terms::NONE
    };
    let riding = packed.lower();
    let mut agreed = call
        .agree(terms, local, (!packed.is_empty()).then_some(&riding))
        .await?;
    let is_root = |rank: usize| rank == root;
    let counts = pairs::counts(call, &agreed, own.elements(), is_root).await;
    let found = counts.and_then(|counts| match rank == root {
        true => check_counts(root, blocks, &counts),
        false => Ok(()),
    });
    pairs::settle(call, &mut agreed, found).await?;
    if rank == root {
        let copied = copy(&block(all, blocks, rank)?, own).await;
        let mut courier = Courier::new(call, &mut agreed);
        courier.note(copied);
        for other in call.others().filter(|_| packed.is_empty()) {
            // SAFETY: only read; the root's own block was copied before.
            unsafe { courier.send(other, &block(all, blocks, other)?) };
        }
        courier.finish().await;
        return courier.outcome();
    }
    let payload = agreed.payload(root);
    call.activity.takes(match payload.is_empty() {
        true => Algorithm::Direct,
        false => Algorithm::Frames,
    });
    if !payload.is_empty() {
        let before: u64 = (0..rank).filter_map(|other| agreed.count(other)).sum();
        let first = before as usize * own.dtype().size();
        let block = payload.get(first..first + own.bytes());
        own.write(block.ok_or_else(|| Error::invalid("a frame without its block"))?)
            .await?;
        return agreed.over();
    }
    let mut courier = Courier::new(call, &mut agreed);
    // SAFETY: may be written, and is not used before `finish`.
    unsafe { courier.receive(root, own) };
    courier.finish().await;
    courier.outcome()
}

/// Fetches all blocks, one behind the other.
async fn pack(all: &Span<'_>, blocks: &Blocks, mut packed: &mut [u8]) -> Result<()> {
    for rank in 0..blocks.len() {
        let block = block(all, blocks, rank)?;
        let (bytes, rest) = packed.split_at_mut(block.bytes());
        block.read(bytes).await?;
        packed = rest;
    }
    Ok(())
}

/// Compares what each rank receives, as far as it was told, with its block at the root.
fn check_counts(root: usize, blocks: &Blocks, counts: &[Option<u64>]) -> Result<()> {
    for (other, count) in counts.iter().enumerate() {
        let here = blocks.count(other);
        if let Some(count) = count.filter(|&count| count != here as u64) {
            return Err(Error::new(
                ErrorKind::Mismatch,
                format!("rank {other} expects {count} elements where the root, rank {root}, sends {here}"),
            ));
        }
    }
    Ok(())
}
