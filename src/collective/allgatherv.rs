//! `allgatherv`.

use super::agreement::Terms;
use super::allgather::{block, exchange};
use super::courier::Courier;
use super::{Call, copy};
use crate::buffer::lower::LowerMut;
use crate::buffer::{Blocks, Buffer, BufferMut, Span};
use crate::comm::Communicator;
use crate::error::{Error, ErrorKind, Result};
use crate::plan::{Algorithm, DIRECT_FRAME_RANKS, Operation};

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
        call.run(allgatherv(&call, &own, &all, blocks))
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
        call.run(async {
            match block(&all, blocks, self.rank()) {
                Ok(own) => allgatherv(&call, &own, &all, blocks).await,
                // The agreement reports it to all.
                Err(_) => allgatherv(&call, &Span::empty(all.dtype()), &all, blocks).await,
            }
        })
    }
}

async fn allgatherv(call: &Call<'_>, own: &Span<'_>, all: &Span<'_>, blocks: &Blocks) -> Result<()> {
    let (rank, ranks) = (call.rank(), call.ranks());
    let local = blocks
        .check(ranks, all.elements())
        .and_then(|()| own.check())
        .and_then(|()| all.check());
    let terms = Terms {
        dtype: Some(own.dtype()),
        count: own.elements(),
        any_count: true,
        place: own.place(),
        ..Terms::NONE
    };
    let rides = |elements: usize| call.plan(elements * own.dtype().size()) == Algorithm::Frames;
    let riding = (rides(own.elements())).then_some(own);
    let mut agreed = call.agree(terms, local, riding).await?;
    // Who expects another count than is sent, says so to all.
    let (counts, mut expected) = match ranks <= DIRECT_FRAME_RANKS || !call.is_checked() {
        true => ((0..ranks).map(|other| agreed.count(other)).collect(), Ok(())),
        false => counts_of_all(call, own.elements() as u64).await?,
    };
    for (other, count) in counts.iter().enumerate() {
        let count = if other == rank {
            Some(own.elements() as u64)
        } else {
            *count
        };
        if let Some(count) = count.filter(|&count| count != blocks.count(other) as u64) {
            let there = blocks.count(other);
            let message = format!("rank {other} sends {count} elements where rank {rank} expects {there}");
            expected = expected.and(Err(Error::new(ErrorKind::Mismatch, message)));
        }
    }
    let mut verdict = call.agree(Terms::NONE, expected, None).await?;
    agreed.failure = agreed.failure.take().or(verdict.failure.take());
    let mut copied = copy(own, &block(all, blocks, rank)?).await;
    // A block travels in its frame if it fits, whatever the others do: every rank knows all counts.
    let in_frame = |other: usize| rides(blocks.count(other));
    for other in call.others().filter(|&other| in_frame(other)) {
        let block = block(all, blocks, other)?;
        copied = copied.and_then(|()| block.write(agreed.payload(other)));
    }
    let rest: Vec<usize> = (0..ranks)
        .map(|other| if in_frame(other) { 0 } else { blocks.count(other) })
        .collect();
    let first: Vec<usize> = (0..ranks).map(|other| blocks.displacement(other)).collect();
    let rest = Blocks::new(rest, first);
    let mut courier = Courier::new(call, &mut agreed);
    courier.note(copied);
    exchange(call, &mut courier, all, &rest)?;
    courier.finish().await;
    courier.outcome()
}

/// Every rank's count, where merged frames do not tell, and whether they could be exchanged.
async fn counts_of_all(call: &Call<'_>, own: u64) -> Result<(Vec<Option<u64>>, Result<()>)> {
    let mut counts = vec![0u64; call.ranks()];
    counts[call.rank()] = own;
    let outcome = {
        let span = counts.lower_mut();
        let mut courier = Courier::of(call);
        exchange(call, &mut courier, &span, &Blocks::packed(vec![1; call.ranks()]))?;
        courier.finish().await;
        courier.outcome()
    };
    let known = outcome.is_ok();
    Ok((
        counts.into_iter().map(|count| known.then_some(count)).collect(),
        outcome,
    ))
}
