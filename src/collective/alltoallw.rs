//! `alltoallw`.

use super::agreement::Terms;
use super::exchange::exchange;
use super::forms::{list, lists};
use super::pairs::{self, Part};
use super::reduce::own_or_note;
use super::temporary::Temporary;
use super::{Call, Collective, Lists, copy};
use crate::buffer::{AnyBuffer, AnyBufferMut, AnyOwnedBuffer, AnyOwnedBufferMut, Span};
use crate::comm::Communicator;
use crate::error::{Error, Result};
use crate::plan::Operation;
use crate::request::{Persistent, Request};
use crate::scope::{Scope, ScopedRequest};

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
        let send = send.iter().map(AnyBuffer::alias).collect();
        let recv = recv.iter().map(AnyBufferMut::alias).collect();
        self.collective(Alltoallw, (send, recv))
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
        let buffers: Vec<Span<'_>> = buffers.iter().map(AnyBufferMut::alias).collect();
        self.collective(Alltoallw, buffers)
    }

    /// Starts what [`alltoallw`](Self::alltoallw) does; the request owns the buffers.
    ///
    /// It goes on by itself; waiting gives all buffers back. Ranks start their collectives in the same order.
    /// On a [native](crate::Wire::Native) communicator others may call the blocking form, and see no difference.
    ///
    /// MPI standard, section 6.12 (`MPI_Ialltoallw`).
    ///
    /// # Errors
    /// Those of [`alltoallw`](Self::alltoallw), arguments included, arrive at [`Request::wait`].
    ///
    /// ```
    /// use warpcomm::{AnyOwnedBuffer, AnyOwnedBufferMut, Communicator};
    ///
    /// let swapped = Communicator::threads(2, |comm| {
    ///     // A number for this rank, and a flag for the other.
    ///     let send = |rank| match rank == comm.rank() {
    ///         true => AnyOwnedBuffer::new(vec![comm.rank() as f64]),
    ///         false => AnyOwnedBuffer::new(vec![comm.rank() == 1]),
    ///     };
    ///     let recv = |rank| match rank == comm.rank() {
    ///         true => AnyOwnedBufferMut::new(vec![0f64]),
    ///         false => AnyOwnedBufferMut::new(vec![false]),
    ///     };
    ///     let request = comm.ialltoallw((0..2).map(send).collect(), (0..2).map(recv).collect());
    ///     let ((_, mut received), _) = request.wait()?;
    ///     let flag = received.swap_remove(1 - comm.rank()).into_inner::<Vec<bool>>();
    ///     Ok(flag.expect("a flag")[0])
    /// })?;
    /// assert_eq!(swapped.into_iter().collect::<Result<Vec<_>, warpcomm::Error>>()?, [true, false]);
    /// # Ok::<(), warpcomm::Error>(())
    /// ```
    pub fn ialltoallw(
        &self,
        send: Vec<AnyOwnedBuffer>,
        recv: Vec<AnyOwnedBufferMut>,
    ) -> Request<(Vec<AnyOwnedBuffer>, Vec<AnyOwnedBufferMut>)> {
        self.start_collective("ialltoallw", Alltoallw, (send, recv), lists)
    }

    /// Starts what [`alltoallw_in_place`](Self::alltoallw_in_place) does; the request owns the buffers.
    ///
    /// MPI standard, section 6.12 (`MPI_Ialltoallw`).
    ///
    /// # Errors
    /// As for [`ialltoallw`](Self::ialltoallw).
    pub fn ialltoallw_in_place(&self, buffers: Vec<AnyOwnedBufferMut>) -> Request<Vec<AnyOwnedBufferMut>> {
        self.start_collective("ialltoallw_in_place", Alltoallw, buffers, list)
    }

    /// Prepares what [`alltoallw`](Self::alltoallw) does, to be started many times.
    ///
    /// Nothing happens before [`Persistent::start`]. Ranks prepare their collectives in the same order, and start
    /// them in any.
    ///
    /// MPI standard, section 6.13 (`MPI_Alltoallw_init`).
    ///
    /// # Errors
    /// Those of [`alltoallw`](Self::alltoallw) arrive when it is started or waited for, and
    /// [`Unsupported`](crate::ErrorKind::Unsupported) on a [plain](crate::Wire::Plain) communicator.
    pub fn alltoallw_init(
        &self,
        send: Vec<AnyOwnedBuffer>,
        recv: Vec<AnyOwnedBufferMut>,
    ) -> Persistent<(Vec<AnyOwnedBuffer>, Vec<AnyOwnedBufferMut>)> {
        self.prepare_collective("persistent alltoallw", Alltoallw, (send, recv), lists)
    }

    /// Prepares what [`alltoallw_in_place`](Self::alltoallw_in_place) does; see
    /// [`alltoallw_init`](Self::alltoallw_init).
    ///
    /// MPI standard, section 6.13 (`MPI_Alltoallw_init`).
    ///
    /// # Errors
    /// As for [`alltoallw_init`](Self::alltoallw_init).
    pub fn alltoallw_in_place_init(
        &self,
        buffers: Vec<AnyOwnedBufferMut>,
    ) -> Persistent<Vec<AnyOwnedBufferMut>> {
        self.prepare_collective("persistent alltoallw_in_place", Alltoallw, buffers, list)
    }
}

impl<'scope> Scope<'scope, '_> {
    /// Starts what [`alltoallw`](Communicator::alltoallw) does, on borrowed buffers.
    ///
    /// # Errors
    /// Those of [`alltoallw`](Communicator::alltoallw), at [`ScopedRequest::wait`] or at the end of the scope.
    pub fn ialltoallw<'b>(
        &'scope self,
        send: &'scope [AnyBuffer<'b>],
        recv: &'scope mut [AnyBufferMut<'b>],
    ) -> Result<ScopedRequest<'scope, (&'scope [AnyBuffer<'b>], &'scope mut [AnyBufferMut<'b>])>> {
        // SAFETY: borrowed for 'scope, which ends after every task of the scope is over.
        let sent = send.iter().map(|buffer| unsafe { buffer.alias().detach() });
        // SAFETY: as above.
        let received = recv.iter().map(|buffer| unsafe { buffer.alias().detach() });
        let spans = (sent.collect(), received.collect());
        self.start_collective("ialltoallw", Alltoallw, (send, recv), spans)
    }

    /// Starts what [`alltoallw_in_place`](Communicator::alltoallw_in_place) does, on borrowed buffers.
    ///
    /// # Errors
    /// As for [`ialltoallw`](Self::ialltoallw).
    pub fn ialltoallw_in_place<'b>(
        &'scope self,
        buffers: &'scope mut [AnyBufferMut<'b>],
    ) -> Result<ScopedRequest<'scope, &'scope mut [AnyBufferMut<'b>]>> {
        // SAFETY: borrowed for 'scope, which ends after every task of the scope is over.
        let spans = buffers.iter().map(|buffer| unsafe { buffer.alias().detach() });
        let spans: Vec<Span<'static>> = spans.collect();
        self.start_collective("ialltoallw_in_place", Alltoallw, buffers, spans)
    }
}

struct Alltoallw;

impl Collective<Lists<'_>> for Alltoallw {
    const OPERATION: Operation = Operation::Alltoallw;

    async fn run(&self, call: &Call<'_>, (send, recv): &Lists<'_>) -> Result<()> {
        let send: Vec<&Span<'_>> = send.iter().collect();
        alltoallw(call, &send, recv, Ok(())).await
    }
}

impl Collective<Vec<Span<'_>>> for Alltoallw {
    const OPERATION: Operation = Operation::Alltoallw;

    async fn run(&self, call: &Call<'_>, buffers: &Vec<Span<'_>>) -> Result<()> {
        if let Some(plain) = call.plain() {
            let all: Vec<&Span<'_>> = buffers.iter().collect();
            let local = check(call, &all, buffers);
            return Box::pin(plain.alltoallw_in_place(buffers, local)).await;
        }
        let mut local = Ok(());
        let copies = own_or_note(copies(buffers).await, &mut local);
        let send: Vec<&Span<'_>> = match &copies {
            Some(copies) => copies.iter().map(|copy| -> &Span<'_> { copy.span() }).collect(),
            None => buffers.iter().collect(),
        };
        alltoallw(call, &send, buffers, local).await
    }
}

async fn copies(spans: &[Span<'_>]) -> Result<Vec<Temporary>> {
    let mut copies = Vec::with_capacity(spans.len());
    for span in spans {
        span.check()?;
        let temporary = Temporary::beside(span, span.elements())?;
        copy(span, temporary.span()).await?;
        copies.push(temporary);
    }
    Ok(copies)
}

/// Whether there is a buffer for each rank, and each can be used.
fn check(call: &Call<'_>, send: &[&Span<'_>], recv: &[Span<'_>]) -> Result<()> {
    if send.len() != call.ranks() || recv.len() != call.ranks() {
        return Err(Error::invalid(format!(
            "{} buffers to send and {} to receive into for {} ranks",
            send.len(),
            recv.len(),
            call.ranks()
        )));
    }
    send.iter().copied().chain(recv).try_for_each(Span::check)
}

async fn alltoallw(call: &Call<'_>, send: &[&Span<'_>], recv: &[Span<'_>], local: Result<()>) -> Result<()> {
    let local = local.and_then(|()| check(call, send, recv));
    if let Some(plain) = call.plain() {
        return Box::pin(plain.alltoallw(send, recv, local)).await;
    }
    let terms = Terms {
        any_count: true,
        ..Terms::NONE
    };
    let outgoing: Vec<Part> = send.iter().map(|span| Part::of(span)).collect();
    let expected: Vec<Part> = recv.iter().map(Part::of).collect();
    let mut agreed = pairs::agree(call, terms, local, &outgoing, &expected).await?;
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
