//! `alltoall`.

use super::agreement::Terms;
use super::exchange::exchange;
use super::forms::{apart_forms, in_place_forms};
use super::gather::divides;
use super::reduce::own_or_note;
use super::temporary::Temporary;
use super::{Apart, Call, Collective, InPlace, check_room, copy};
use crate::buffer::{Blocks, Buffer, BufferMut, Span};
use crate::comm::Communicator;
use crate::error::{Error, Result};
use crate::plan::{Algorithm, Operation};

impl Communicator {
    /// Sends the `r`-th block of every rank's buffer to rank `r`, which gets them in the order of the ranks.
    ///
    /// `send` is [`size`](Self::size) blocks of the same length; `recv` has as many elements, or more, which are
    /// left alone.
    ///
    /// MPI standard, section 6.8 (`MPI_Alltoall`).
    ///
    /// # Errors
    /// [`InvalidArgument`](crate::ErrorKind::InvalidArgument) for a send buffer that cannot be divided among the
    /// ranks and a receive buffer too short, and [`PeerFailed`](crate::ErrorKind::PeerFailed) on the other ranks;
    /// [`Mismatch`](crate::ErrorKind::Mismatch) on every rank if counts or types differ.
    ///
    /// ```
    /// use warpcomm::Communicator;
    ///
    /// let columns = Communicator::threads(2, |comm| {
    ///     let row = [10 * comm.rank(), 10 * comm.rank() + 1].map(|number| number as i32);
    ///     let mut column = [0; 2];
    ///     comm.alltoall(&row, &mut column).map(|()| column)
    /// })?;
    /// assert_eq!(columns.into_iter().collect::<Result<Vec<_>, _>>()?, [[0, 10], [1, 11]]);
    /// # Ok::<(), warpcomm::Error>(())
    /// ```
    pub fn alltoall<S, R>(&self, send: &S, recv: &mut R) -> Result<()>
    where
        S: Buffer + ?Sized,
        R: BufferMut<Element = S::Element> + ?Sized,
    {
        self.collective(Alltoall, (send.lower(), recv.lower_mut()))
    }

    /// Sends the `r`-th block of every rank's buffer to rank `r`, and puts what comes from there in its place.
    ///
    /// MPI standard, section 6.8 (`MPI_Alltoall` with `MPI_IN_PLACE`).
    ///
    /// # Errors
    /// As for [`alltoall`](Self::alltoall).
    ///
    /// ```
    /// use warpcomm::Communicator;
    ///
    /// let columns = Communicator::threads(2, |comm| {
    ///     let mut matrix = [10 * comm.rank() as u64, 10 * comm.rank() as u64 + 1];
    ///     comm.alltoall_in_place(&mut matrix).map(|()| matrix)
    /// })?;
    /// assert_eq!(columns.into_iter().collect::<Result<Vec<_>, _>>()?, [[0, 10], [1, 11]]);
    /// # Ok::<(), warpcomm::Error>(())
    /// ```
    pub fn alltoall_in_place<B: BufferMut + ?Sized>(&self, buffer: &mut B) -> Result<()> {
        self.collective(Alltoall, buffer.lower_mut())
    }
}

struct Alltoall;

impl Collective<Apart<'_>> for Alltoall {
    const OPERATION: Operation = Operation::Alltoall;

    async fn run(&self, call: &Call<'_>, (send, recv): &Apart<'_>) -> Result<()> {
        alltoall(call, send, recv, Ok(())).await
    }
}

impl Collective<InPlace<'_>> for Alltoall {
    const OPERATION: Operation = Operation::Alltoall;

    async fn run(&self, call: &Call<'_>, all: &InPlace<'_>) -> Result<()> {
        let mut local = all.check().and_then(|()| divides(all, call.ranks()));
        if let Some(plain) = call.plain() {
            return Box::pin(plain.alltoall_in_place(all, local)).await;
        }
        // Frames are copies already.
        if call.plan(all.bytes()) == Algorithm::Frames || local.is_err() {
            return alltoall(call, all, all, local).await;
        }
        let blocks = Blocks::even(all.elements(), call.ranks());
        let copied = own_or_note(Temporary::copied(all, &blocks).await, &mut local);
        let send = copied.as_ref().map_or(all, |(copy, _)| copy.span());
        alltoall(call, send, all, local).await
    }
}

apart_forms! {
    /// ```
    /// use warpcomm::Communicator;
    ///
    /// let received = Communicator::threads(2, |comm| {
    ///     let own = vec![10 * comm.rank() as u32, 10 * comm.rank() as u32 + 1];
    ///     let ((_, received), _) = comm.ialltoall(own, vec![0u32; 2]).wait()?;
    ///     Ok(received)
    /// })?;
    /// assert_eq!(received.into_iter().collect::<Result<Vec<_>, warpcomm::Error>>()?, [[0, 10], [1, 11]]);
    /// # Ok::<(), warpcomm::Error>(())
    /// ```
    "alltoall" "Alltoall": ialltoall alltoall_init (send; recv)
    => Alltoall
}

in_place_forms! {
    "alltoall_in_place" "Alltoall": ialltoall_in_place alltoall_in_place_init (buffer)
    => Alltoall
}

pub(super) async fn alltoall(
    call: &Call<'_>,
    send: &Span<'_>,
    recv: &Span<'_>,
    local: Result<()>,
) -> Result<()> {
    let (rank, ranks) = (call.rank(), call.ranks());
    let count = send.elements() / ranks;
    let algorithm = call.plan(send.bytes());
    let local = local
        .and_then(|()| send.check())
        .and_then(|()| recv.check())
        .and_then(|()| divides(send, ranks))
        .and_then(|()| check_room(recv, send.elements()));
    if let Some(plain) = call.plain() {
        return Box::pin(plain.alltoall(send, recv, count, local)).await;
    }
    let terms = Terms {
        dtype: Some(send.dtype()),
        count,
        ..Terms::NONE
    };
    let riding = (algorithm == Algorithm::Frames).then_some(send);
    let mut agreed = call.agree(terms, local, riding).await?;
    let outgoing = |other: usize| send.part(other * count, count);
    let incoming = |other: usize| recv.part(other * count, count);
    if algorithm == Algorithm::Frames {
        let own = incoming(rank)?;
        copy(&outgoing(rank)?, &own).await?;
        let bytes = rank * own.bytes()..(rank + 1) * own.bytes();
        for other in call.others() {
            let block = agreed.payload(other).get(bytes.clone());
            let block = block.ok_or_else(|| Error::invalid("a frame without its block"))?;
            incoming(other)?.write(block).await?;
        }
        return agreed.over();
    }
    // SAFETY: blocks do not overlap, and the receive buffer is another one, which may be written.
    unsafe { exchange(call, &mut agreed, outgoing, incoming) }.await
}
