//! `alltoallv`.

use super::agreement::Terms;
use super::allgather::block;
use super::exchange::exchange;
use super::forms::{apart_forms, in_place_forms};
use super::pairs::{self, Part};
use super::reduce::own_or_note;
use super::temporary::Temporary;
use super::{Apart, Call, Collective, InPlace};
use crate::buffer::{Blocks, Buffer, BufferMut, Span};
use crate::comm::Communicator;
use crate::error::Result;
use crate::plan::Operation;
use std::borrow::Cow;

impl Communicator {
    /// Sends a block of every rank's buffer, of any length, to every rank.
    ///
    /// Rank `r` gets the `r`-th of `send_blocks`, which may overlap; what comes from rank `r` goes to the `r`-th of
    /// `recv_blocks`, which may not. Elements between these are left alone.
    ///
    /// MPI standard, section 6.8 (`MPI_Alltoallv`).
    ///
    /// # Errors
    /// [`InvalidArgument`](crate::ErrorKind::InvalidArgument) for blocks that leave their buffer or are not one
    /// for each rank, and for receive blocks that overlap, and [`PeerFailed`](crate::ErrorKind::PeerFailed) on
    /// the other ranks; [`Mismatch`](crate::ErrorKind::Mismatch) on every rank if types differ, or a rank sends
    /// another number of elements than its receiver expects of it.
    ///
    /// ```
    /// use warpcomm::{Blocks, Communicator};
    ///
    /// // Rank r sends r + 1 elements to each rank.
    /// let received = Communicator::threads(3, |comm| {
    ///     let own = vec![comm.rank() as u8; comm.rank() + 1];
    ///     let same = Blocks::new([own.len(); 3], [0; 3]);
    ///     let mut all = [9; 6];
    ///     comm.alltoallv(&own, &same, &mut all, &Blocks::packed([1, 2, 3])).map(|()| all)
    /// })?;
    /// assert!(received.into_iter().all(|all| all.unwrap() == [0, 1, 1, 2, 2, 2]));
    /// # Ok::<(), warpcomm::Error>(())
    /// ```
    pub fn alltoallv<S, R>(
        &self,
        send: &S,
        send_blocks: &Blocks,
        recv: &mut R,
        recv_blocks: &Blocks,
    ) -> Result<()>
    where
        S: Buffer + ?Sized,
        R: BufferMut<Element = S::Element> + ?Sized,
    {
        let arguments = Alltoallv {
            send_blocks: Cow::Borrowed(send_blocks),
            recv_blocks: Cow::Borrowed(recv_blocks),
        };
        self.collective(arguments, (send.lower(), recv.lower_mut()))
    }

    /// Sends the `r`-th block of every rank's buffer, of any length, to rank `r`, and puts what comes from there in
    /// its place.
    ///
    /// So two ranks send each other the same number of elements.
    ///
    /// MPI standard, section 6.8 (`MPI_Alltoallv` with `MPI_IN_PLACE`).
    ///
    /// # Errors
    /// As for [`alltoallv`](Self::alltoallv).
    ///
    /// ```
    /// use warpcomm::{Blocks, Communicator};
    ///
    /// let swapped = Communicator::threads(2, |comm| {
    ///     let mut buffer = [comm.rank() as i64; 5];
    ///     let blocks = if comm.rank() == 0 { Blocks::packed([1, 3]) } else { Blocks::packed([3, 2]) };
    ///     comm.alltoallv_in_place(&mut buffer, &blocks).map(|()| buffer)
    /// })?;
    /// assert_eq!(swapped.into_iter().collect::<Result<Vec<_>, _>>()?, [[0, 1, 1, 1, 0], [0, 0, 0, 1, 1]]);
    /// # Ok::<(), warpcomm::Error>(())
    /// ```
    pub fn alltoallv_in_place<B: BufferMut + ?Sized>(&self, buffer: &mut B, blocks: &Blocks) -> Result<()> {
        let blocks = Cow::Borrowed(blocks);
        self.collective(AlltoallvInPlace { blocks }, buffer.lower_mut())
    }
}

struct Alltoallv<'b> {
    send_blocks: Cow<'b, Blocks>,
    recv_blocks: Cow<'b, Blocks>,
}

struct AlltoallvInPlace<'b> {
    blocks: Cow<'b, Blocks>,
}

impl Collective<Apart<'_>> for Alltoallv<'_> {
    const OPERATION: Operation = Operation::Alltoallv;

    async fn run(&self, call: &Call<'_>, (send, recv): &Apart<'_>) -> Result<()> {
        let (send, recv) = ((send, &*self.send_blocks), (recv, &*self.recv_blocks));
        alltoallv(call, send, recv, Ok(())).await
    }
}

impl Collective<InPlace<'_>> for AlltoallvInPlace<'_> {
    const OPERATION: Operation = Operation::Alltoallv;

    async fn run(&self, call: &Call<'_>, all: &InPlace<'_>) -> Result<()> {
        let blocks = &*self.blocks;
        let mut local = all
            .check()
            .and_then(|()| blocks.check(call.ranks(), all.elements()));
        if let Some(plain) = call.plain() {
            return Box::pin(plain.alltoallv_in_place(all, blocks, local)).await;
        }
        let copied = match local {
            Ok(()) => own_or_note(Temporary::copied(all, blocks).await, &mut local),
            Err(_) => None,
        };
        let send = copied
            .as_ref()
            .map_or((all, blocks), |(copy, packed)| (copy.span(), packed));
        alltoallv(call, send, (all, blocks), local).await
    }
}

apart_forms! {
    /// ```
    /// use warpcomm::{Blocks, Communicator};
    ///
    /// let received = Communicator::threads(2, |comm| {
    ///     // Rank 0 sends one element to each, rank 1 two.
    ///     let counts = [[1, 1], [2, 2]][comm.rank()];
    ///     let send = vec![comm.rank() as u8; 2 * counts[0]];
    ///     let (to, from) = (Blocks::packed(counts), Blocks::packed([1, 2]));
    ///     let ((_, received), _) = comm.ialltoallv(send, &to, vec![9u8; 3], &from).wait()?;
    ///     Ok(received)
    /// })?;
    /// assert_eq!(received.into_iter().collect::<Result<Vec<_>, warpcomm::Error>>()?, vec![[0, 1, 1]; 2]);
    /// # Ok::<(), warpcomm::Error>(())
    /// ```
    "alltoallv" "Alltoallv": ialltoallv alltoallv_init (send, send_blocks: &Blocks; recv, recv_blocks: &Blocks)
    => Alltoallv { send_blocks: Cow::Owned(send_blocks.clone()), recv_blocks: Cow::Owned(recv_blocks.clone()) }
}

in_place_forms! {
    "alltoallv_in_place" "Alltoallv": ialltoallv_in_place alltoallv_in_place_init (buffer, blocks: &Blocks)
    => AlltoallvInPlace { blocks: Cow::Owned(blocks.clone()) }
}

pub(super) async fn alltoallv(
    call: &Call<'_>,
    (send, send_blocks): (&Span<'_>, &Blocks),
    (recv, recv_blocks): (&Span<'_>, &Blocks),
    local: Result<()>,
) -> Result<()> {
    let ranks = call.ranks();
    let local = local
        .and_then(|()| send_blocks.check_range(ranks, send.elements()))
        .and_then(|()| recv_blocks.check(ranks, recv.elements()))
        .and_then(|()| send.check())
        .and_then(|()| recv.check());
    if let Some(plain) = call.plain() {
        return Box::pin(plain.alltoallv((send, send_blocks), (recv, recv_blocks), local)).await;
    }
    let terms = Terms {
        dtype: Some(send.dtype()),
        any_count: true,
        ..Terms::NONE
    };
    let outgoing = Part::of_blocks(send_blocks, send.dtype(), ranks);
    let expected = Part::of_blocks(recv_blocks, recv.dtype(), ranks);
    let mut agreed = pairs::agree(call, terms, local, &outgoing, &expected).await?;
    // SAFETY: the blocks do not overlap, and the buffer that is received into is another one, which may be written.
    unsafe {
        exchange(
            call,
            &mut agreed,
            |other| block(send, send_blocks, other),
            |other| block(recv, recv_blocks, other),
        )
    }
    .await
}
