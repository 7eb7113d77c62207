//! `bcast`.

use super::agreement::{Agreed, Terms};
use super::courier::Courier;
use super::forms::in_place_forms;
use super::{Call, Collective, InPlace};
use crate::buffer::{Blocks, BufferMut, Span};
use crate::comm::Communicator;
use crate::error::Result;
use crate::plan::{Algorithm, Operation};

impl Communicator {
    /// Sends the elements of `root`'s buffer to every rank's.
    ///
    /// All buffers have the same number of elements.
    ///
    /// MPI standard, section 6.4 (`MPI_Bcast`).
    ///
    /// # Errors
    /// [`InvalidArgument`](crate::ErrorKind::InvalidArgument) for a root out of range, and
    /// [`PeerFailed`](crate::ErrorKind::PeerFailed) on the other ranks;
    /// [`Mismatch`](crate::ErrorKind::Mismatch) on every rank if roots, counts or types differ.
    ///
    /// ```
    /// use warpcomm::Communicator;
    ///
    /// let copies = Communicator::threads(3, |comm| {
    ///     let mut values = if comm.rank() == 1 { [1.0, 2.0] } else { [0.0; 2] };
    ///     comm.bcast(&mut values, 1).map(|()| values)
    /// })?;
    /// assert!(copies.into_iter().all(|copy| copy.unwrap() == [1.0, 2.0]));
    /// # Ok::<(), warpcomm::Error>(())
    /// ```
    pub fn bcast<B: BufferMut + ?Sized>(&self, buffer: &mut B, root: usize) -> Result<()> {
        self.collective(Bcast { root }, buffer.lower_mut())
    }
}

struct Bcast {
    root: usize,
}

impl Collective<InPlace<'_>> for Bcast {
    const OPERATION: Operation = Operation::Bcast;

    async fn run(&self, call: &Call<'_>, buffer: &InPlace<'_>) -> Result<()> {
        bcast(call, buffer, self.root, Ok(())).await
    }
}

in_place_forms! {
    /// ```
    /// use warpcomm::Communicator;
    ///
    /// let all = Communicator::threads(3, |comm| {
    ///     let own = if comm.rank() == 1 { vec![1.5f64, 2.5] } else { vec![0.0; 2] };
    ///     let (buffer, _) = comm.ibcast(own, 1).wait()?;
    ///     Ok(buffer)
    /// })?;
    /// assert_eq!(all.into_iter().collect::<Result<Vec<_>, warpcomm::Error>>()?, vec![[1.5, 2.5]; 3]);
    /// # Ok::<(), warpcomm::Error>(())
    /// ```
    "bcast" "Bcast": ibcast bcast_init (buffer, root: usize)
    => Bcast { root }
}

pub(super) async fn bcast(call: &Call<'_>, span: &Span<'_>, root: usize, local: Result<()>) -> Result<()> {
    let local = local
        .and_then(|()| call.check_root(root))
        .and_then(|()| span.check());
    if let Some(plain) = call.plain() {
        return Box::pin(plain.bcast(span, root, local)).await;
    }
    let rides = call.would_take(span.bytes(), call.on_device) == Algorithm::Frames;
    let terms = Terms {
        dtype: Some(span.dtype()),
        root: Some(root),
        count: span.elements(),
        ..Terms::NONE
    };
    let riding = (rides && call.rank() == root).then_some(span);
    let mut agreed = call.agree(terms, local, riding).await?;
    match call.takes(call.would_take(span.bytes(), agreed.on_device)) {
        Algorithm::Frames => {
            if call.rank() != root {
                span.fill(agreed.payload(root)).await?;
            }
            agreed.over()
        }
        Algorithm::Blocks => in_blocks(call, span, root, &mut agreed).await,
        _ => down_the_tree(call, span, root, &mut agreed).await,
    }
}

/// Down a binomial tree whose root is rank 0 of the ranks counted from `root`.
async fn down_the_tree(call: &Call<'_>, span: &Span<'_>, root: usize, agreed: &mut Agreed<'_>) -> Result<()> {
    let ranks = call.ranks();
    let place = (call.rank() + ranks - root) % ranks;
    let rank_at = |place: usize| (place + root) % ranks;
    let mut courier = Courier::new(call, agreed);
    let mut bit = 1;
    while bit < ranks && place & bit == 0 {
        bit <<= 1;
    }
    if place != 0 {
        // SAFETY: the span may be written, and is not used before `finish`.
        unsafe { courier.receive(rank_at(place & !bit), span) };
        courier.finish().await;
    }
    let mut below = bit >> 1;
    while below > 0 {
        if place | below < ranks {
            // SAFETY: nobody writes the span any more.
            unsafe { courier.send(rank_at(place | below), span) };
        }
        below >>= 1;
    }
    courier.finish().await;
    courier.outcome()
}

/// The root gives each rank a block; then all send theirs to the others.
async fn in_blocks(call: &Call<'_>, span: &Span<'_>, root: usize, agreed: &mut Agreed<'_>) -> Result<()> {
    let (rank, ranks) = (call.rank(), call.ranks());
    let blocks = Blocks::even(span.elements(), ranks);
    let block = |rank: usize| span.part(blocks.displacement(rank), blocks.count(rank));
    let mut courier = Courier::new(call, agreed);
    if rank == root {
        for other in call.others() {
            // SAFETY: the root's span is only read.
            unsafe { courier.send(other, &block(other)?) };
        }
    } else {
        // SAFETY: blocks do not overlap; each is received once, and sent after it has been received.
        unsafe { courier.receive(root, &block(rank)?) };
    }
    courier.finish().await;
    for other in call.others().filter(|&other| other != root) {
        // SAFETY: as above. The root's own block comes from the root.
        unsafe { courier.send(other, &block(rank)?) };
    }
    if rank != root {
        for other in call.others() {
            // SAFETY: as above.
            unsafe { courier.receive(other, &block(other)?) };
        }
    }
    courier.finish().await;
    courier.outcome()
}
