//! `alltoallw`.

use super::agreement::Terms;
use super::exchange::exchange;
use super::pairs::{self, Part};
use super::reduce::own_or_note;
use super::temporary::Temporary;
use super::{Call, copy};
use crate::buffer::{AnyBuffer, AnyBufferMut, Span};
use crate::comm::Communicator;
use crate::error::{Error, Result};
use crate::plan::Operation;

impl Communicator {
    /// Sends every rank a buffer of its own, of any type and length, and receives one from every rank.
    ///
    /// The `r`-th buffer of `send` goes to rank `r`, and what comes from there to the `r`-th of `recv`. Both have
    /// the same length, and the same type unless they are empty. Buffers may be in different places.
    ///
    /// MPI standard, section 6.8 (`MPI_Alltoallw`).
    ///
    /// # Errors
    /// [`InvalidArgument`](crate::ErrorKind::InvalidArgument) for lists that are not one buffer for each rank,
    /// and [`PeerFailed`](crate::ErrorKind::PeerFailed) on the other ranks;
    /// [`Mismatch`](crate::ErrorKind::Mismatch) on every rank if a rank sends another type or number of elements
    /// than its receiver expects of it.
    ///
    /// ```
    /// use warpcomm::{AnyBuffer, AnyBufferMut, Communicator};
    ///
    /// // Everybody sends numbers to rank 0 and a flag to rank 1.
    /// let outcomes = Communicator::threads(2, |comm| {
    ///     let (numbers, flag) = ([comm.rank() as f64; 3], comm.rank() == 1);
    ///     let send = [AnyBuffer::new(&numbers), AnyBuffer::new(&flag)];
    ///     if comm.rank() == 0 {
    ///         let mut all = [0.0; 6];
    ///         let (first, second) = all.split_at_mut(3);
    ///         comm.alltoallw(&send, &mut [AnyBufferMut::new(first), AnyBufferMut::new(second)])?;
    ///         Ok(all == [0.0, 0.0, 0.0, 1.0, 1.0, 1.0])
    ///     } else {
    ///         let (mut first, mut second) = (true, false);
    ///         comm.alltoallw(&send, &mut [AnyBufferMut::new(&mut first), AnyBufferMut::new(&mut second)])?;
    ///         Ok(!first && second)
    ///     }
    /// })?;
    /// assert_eq!(outcomes.into_iter().collect::<Result<Vec<_>, warpcomm::Error>>()?, [true, true]);
    /// # Ok::<(), warpcomm::Error>(())
    /// ```
    pub fn alltoallw(&self, send: &[AnyBuffer<'_>], recv: &mut [AnyBufferMut<'_>]) -> Result<()> {
        let send: Vec<&Span<'_>> = send.iter().map(AnyBuffer::span).collect();
        let recv: Vec<&Span<'_>> = recv.iter().map(AnyBufferMut::span).collect();
        let call = Call::enter(self, Operation::Alltoallw, bytes_of(&send))?;
        call.run(alltoallw(&call, &send, &recv, Ok(())))
    }

    /// Sends the `r`-th buffer to rank `r`, and puts what comes from there in its place.
    ///
    /// So two ranks send each other the same number of elements of the same type.
    ///
    /// MPI standard, section 6.8 (`MPI_Alltoallw` with `MPI_IN_PLACE`).
    ///
    /// # Errors
    /// As for [`alltoallw`](Self::alltoallw).
    ///
    /// ```
    /// use warpcomm::{AnyBufferMut, Communicator};
    ///
    /// let swapped = Communicator::threads(2, |comm| {
    ///     let (mut own, mut other) = (comm.rank() as u8, [comm.rank() as f32; 2]);
    ///     let mut buffers = [AnyBufferMut::new(&mut own), AnyBufferMut::new(&mut other)];
    ///     // Rank 1 has its own buffer behind the one that it swaps with rank 0.
    ///     if comm.rank() == 1 {
    ///         buffers.reverse();
    ///     }
    ///     comm.alltoallw_in_place(&mut buffers)?;
    ///     drop(buffers);
    ///     Ok::<_, warpcomm::Error>((own, other))
    /// })?;
    /// assert_eq!(swapped[0].as_ref().unwrap(), &(0, [1.0; 2]));
    /// assert_eq!(swapped[1].as_ref().unwrap(), &(1, [0.0; 2]));
    /// # Ok::<(), warpcomm::Error>(())
    /// ```
    pub fn alltoallw_in_place(&self, buffers: &mut [AnyBufferMut<'_>]) -> Result<()> {
        let recv: Vec<&Span<'_>> = buffers.iter().map(AnyBufferMut::span).collect();
        let call = Call::enter(self, Operation::Alltoallw, bytes_of(&recv))?;
        call.run(async {
            let mut local = Ok(());
            let copies = own_or_note(copies(&recv).await, &mut local);
            let send: Vec<&Span<'_>> = match &copies {
                Some(copies) => copies.iter().map(|copy| -> &Span<'_> { copy.span() }).collect(),
                None => recv.clone(),
            };
            alltoallw(&call, &send, &recv, local).await
        })
    }
}

fn bytes_of(spans: &[&Span<'_>]) -> usize {
    spans.iter().map(|span| span.bytes()).sum()
}

async fn copies(spans: &[&Span<'_>]) -> Result<Vec<Temporary>> {
    let mut copies = Vec::with_capacity(spans.len());
    for span in spans {
        span.check()?;
        let temporary = Temporary::beside(span, span.elements())?;
        copy(span, temporary.span()).await?;
        copies.push(temporary);
    }
    Ok(copies)
}

async fn alltoallw(
    call: &Call<'_>,
    send: &[&Span<'_>],
    recv: &[&Span<'_>],
    mut local: Result<()>,
) -> Result<()> {
    if send.len() != call.ranks() || recv.len() != call.ranks() {
        local = local.and(Err(Error::invalid(format!(
            "{} buffers to send and {} to receive into for {} ranks",
            send.len(),
            recv.len(),
            call.ranks()
        ))));
    }
    for span in send.iter().chain(recv) {
        local = local.and_then(|()| span.check());
    }
    let terms = Terms {
        any_count: true,
        ..Terms::NONE
    };
    let parts = |spans: &[&Span<'_>]| -> Vec<Part> { spans.iter().map(|span| Part::of(span)).collect() };
    let mut agreed = pairs::agree(call, terms, local, &parts(send), &parts(recv)).await?;
    // SAFETY: different borrows, those to receive into of buffers that may be written.
    unsafe {
        exchange(
            call,
            &mut agreed,
            |other| send[other].part(0, send[other].elements()),
            |other| recv[other].part(0, recv[other].elements()),
        )
    }
    .await
}
