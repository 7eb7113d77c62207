//! `allgather`.

use super::agreement::Terms;
use super::courier::Courier;
use super::exchange::start_exchange;
use super::forms::{apart_forms, in_place_forms};
use super::gather::divides;
use super::{Apart, Call, Collective, InPlace, check_room, copy, times};
use crate::buffer::{Blocks, Buffer, BufferMut, Span};
use crate::comm::Communicator;
use crate::error::Result;
use crate::plan::{Algorithm, Operation};

impl Communicator {
    /// Collects every rank's buffer at every rank, in the order of the ranks.
    ///
    /// `recv` has [`size`](Self::size) times the elements of `send`, or more, which are left alone.
    ///
    /// MPI standard, section 6.7 (`MPI_Allgather`).
    ///
    /// # Errors
    /// [`InvalidArgument`](crate::ErrorKind::InvalidArgument) for a receive buffer too short, and
    /// [`PeerFailed`](crate::ErrorKind::PeerFailed) on the other ranks;
    /// [`Mismatch`](crate::ErrorKind::Mismatch) on every rank if counts or types differ.
    ///
    /// ```
    /// use warpcomm::Communicator;
    ///
    /// let squares = Communicator::threads(3, |comm| {
    ///     let mut all = [0u64; 3];
    ///     comm.allgather(&(comm.rank() as u64).pow(2), &mut all).map(|()| all)
    /// })?;
    /// assert!(squares.into_iter().all(|all| all.unwrap() == [0, 1, 4]));
    /// # Ok::<(), warpcomm::Error>(())
    /// ```
    pub fn allgather<S, R>(&self, send: &S, recv: &mut R) -> Result<()>
    where
        S: Buffer + ?Sized,
        R: BufferMut<Element = S::Element> + ?Sized,
    {
        self.collective(Allgather, (send.lower(), recv.lower_mut()))
    }

    /// Collects every rank's block at every rank; each holds its own in its place.
    ///
    /// MPI standard, section 6.7 (`MPI_Allgather` with `MPI_IN_PLACE`).
    ///
    /// # Errors
    /// As for [`allgather`](Self::allgather); [`InvalidArgument`](crate::ErrorKind::InvalidArgument) if the
    /// buffer cannot be divided among the ranks.
    ///
    /// ```
    /// use warpcomm::Communicator;
    ///
    /// let all = Communicator::threads(3, |comm| {
    ///     let mut all = [0u8; 3];
    ///     all[comm.rank()] = comm.rank() as u8 + 5;
    ///     comm.allgather_in_place(&mut all)?;
    ///     Ok::<_, warpcomm::Error>(all)
    /// })?;
    /// assert_eq!(all.into_iter().collect::<Result<Vec<_>, _>>()?, [[5, 6, 7]; 3]);
    /// # Ok::<(), warpcomm::Error>(())
    /// ```
    pub fn allgather_in_place<B: BufferMut + ?Sized>(&self, buffer: &mut B) -> Result<()> {
        self.collective(Allgather, buffer.lower_mut())
    }
}

struct Allgather;

impl Collective<Apart<'_>> for Allgather {
    const OPERATION: Operation = Operation::Allgather;

    async fn run(&self, call: &Call<'_>, (own, all): &Apart<'_>) -> Result<()> {
        allgather(call, own, all, Ok(())).await
    }
}

impl Collective<InPlace<'_>> for Allgather {
    const OPERATION: Operation = Operation::Allgather;

    async fn run(&self, call: &Call<'_>, all: &InPlace<'_>) -> Result<()> {
        let count = all.elements() / call.ranks();
        let own = all.part(call.rank() * count, count)?;
        allgather(call, &own, all, divides(all, call.ranks())).await
    }
}

apart_forms! {
    /// ```
    /// use warpcomm::Communicator;
    ///
    /// let all = Communicator::threads(3, |comm| {
    ///     let ((_, all), _) = comm.iallgather(vec![comm.rank() as u8], vec![0u8; 3]).wait()?;
    ///     Ok(all)
    /// })?;
    /// assert_eq!(all.into_iter().collect::<Result<Vec<_>, warpcomm::Error>>()?, vec![[0, 1, 2]; 3]);
    /// # Ok::<(), warpcomm::Error>(())
    /// ```
    "allgather" "Allgather": iallgather allgather_init (send; recv)
    => Allgather
}

in_place_forms! {
    "allgather_in_place" "Allgather": iallgather_in_place allgather_in_place_init (buffer)
    => Allgather
}

pub(super) async fn allgather(
    call: &Call<'_>,
    own: &Span<'_>,
    all: &Span<'_>,
    local: Result<()>,
) -> Result<()> {
    let (ranks, count) = (call.ranks(), own.elements());
    let algorithm = call.plan(own.bytes());
    let local = local
        .and_then(|()| own.check())
        .and_then(|()| all.check())
        .and_then(|()| check_room(all, times(count, ranks)?));
    if let Some(plain) = call.plain() {
        return Box::pin(plain.allgather(own, all, local)).await;
    }
    let terms = Terms {
        dtype: Some(own.dtype()),
        count,
        ..Terms::NONE
    };
    let riding = (algorithm == Algorithm::Frames).then_some(own);
    let mut agreed = call.agree(terms, local, riding).await?;
    let blocks = Blocks::packed(vec![count; ranks]);
    let copied = copy(own, &block(all, &blocks, call.rank())?).await;
    if algorithm == Algorithm::Frames {
        copied?;
        for other in call.others() {
            block(all, &blocks, other)?.write(agreed.payload(other)).await?;
        }
        return agreed.over();
    }
    let mut courier = Courier::new(call, &mut agreed);
    courier.note(copied);
    exchange(call, &mut courier, all, &blocks)?;
    courier.finish().await;
    courier.outcome()
}

/// The block of `rank` in a buffer.
pub(super) fn block<'a>(all: &'a Span<'_>, blocks: &Blocks, rank: usize) -> Result<Span<'a>> {
    match blocks.count(rank) {
        // It does not matter where an empty block starts.
        0 => all.part(0, 0),
        count => all.part(blocks.displacement(rank), count),
    }
}

/// Starts to send this rank's block to all others and to receive theirs.
pub(super) fn exchange(
    call: &Call<'_>,
    courier: &mut Courier<'_>,
    all: &Span<'_>,
    blocks: &Blocks,
) -> Result<()> {
    let own = |_| block(all, blocks, call.rank());
    // SAFETY: blocks do not overlap, and nobody receives into this rank's own; the span may be written.
    unsafe { start_exchange(call, courier, own, |other| block(all, blocks, other)) }
}
