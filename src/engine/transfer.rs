//! One send or receive of a transport, as a future that owns or borrows its memory.

use std::future::Future;
use std::io::Write;
use std::pin::Pin;
use std::task::{self, Poll};

use super::activity::Activity;
use super::slab::{SLAB_BYTES, Slab};
use crate::buffer::Span;
use crate::error::{Error, Result};
use crate::transport::{
    Body, Context, Delivery, DeviceMemory, End, Pieces, Posted, Share, Tags, Tested, Ticket, Transport,
    Waybill, taken_back,
};

/// A send or receive under way.
///
/// Dropped before its end it is taken back from the transport. Where that is impossible, a slab is
/// leaked; memory that was lent ends the job, because its owner will use it again.
pub(crate) struct Transfer<'t> {
    transport: &'t dyn Transport,
    state: State,
    slab: Option<Slab>,
}

enum State {
    Done(Delivery),
    Pending(Ticket),
    /// The end was reported.
    Over,
}

impl<'t> Transfer<'t> {
    #[inline]
    fn new(transport: &'t dyn Transport, posted: Posted, slab: Option<Slab>) -> Transfer<'t> {
        let state = match posted {
            Posted::Done(delivery) => State::Done(delivery),
            Posted::Pending(ticket) => State::Pending(ticket),
        };
        Transfer {
            transport,
            state,
            slab,
        }
    }

    /// Sends the first `bytes` bytes of a slab.
    #[inline]
    pub(crate) fn send_slab(
        transport: &'t dyn Transport,
        context: &Context,
        dest: usize,
        tag: i32,
        slab: Slab,
        bytes: usize,
    ) -> Result<Transfer<'t>> {
        debug_assert!(bytes <= SLAB_BYTES);
        // SAFETY: the slab is kept, or leaked, until the send has completed.
        let posted = unsafe { transport.isend(context, dest, tag, slab.pointer(), bytes) }?;
        Ok(Transfer::new(transport, posted, Some(slab)))
    }

    /// Receives up to `capacity` bytes into a slab; see [`slab`](Self::slab).
    #[inline]
    pub(crate) fn receive_slab(
        transport: &'t dyn Transport,
        context: &Context,
        source: Option<usize>,
        tag: Option<i32>,
        capacity: usize,
    ) -> Result<Transfer<'t>> {
        debug_assert!(capacity <= SLAB_BYTES);
        let mut slab = Slab::take();
        // SAFETY: the slab is kept, or leaked, until the receive has completed.
        let posted = unsafe { transport.irecv(context, source, tag, slab.pointer_mut(), capacity) }?;
        Ok(Transfer::new(transport, posted, Some(slab)))
    }

    /// Receives the earliest message that no receive was posted for into a slab, if there is one.
    pub(crate) fn receive_unexpected(
        transport: &'t dyn Transport,
        context: &Context,
    ) -> Result<Option<Transfer<'t>>> {
        let mut slab = Slab::take();
        // SAFETY: the slab is kept, or leaked, until the receive has completed.
        let posted = unsafe { transport.receive_unexpected(context, slab.pointer_mut(), SLAB_BYTES) }?;
        Ok(posted.map(|posted| Transfer::new(transport, posted, Some(slab))))
    }

    /// Sends a part of a span: `bytes` bytes from byte `first` on.
    ///
    /// # Safety
    /// The part is within the span, whose memory is not written until the transfer is over or was dropped.
    #[inline]
    pub(crate) unsafe fn send_part(
        transport: &'t dyn Transport,
        context: &Context,
        dest: usize,
        tag: i32,
        span: &Span<'_>,
        (first, bytes): (usize, usize),
    ) -> Result<Transfer<'t>> {
        // SAFETY: the caller's promise; dropping the transfer early takes the memory back or ends the job.
        let posted = unsafe {
            let pointer = span.pointer().add(first);
            match device_memory(span, pointer, bytes) {
                None => transport.isend(context, dest, tag, pointer, bytes),
                Some(body) => transport.isend_device(context, dest, tag, &[], &body),
            }
        }?;
        Ok(Transfer::new(transport, posted, None))
    }

    /// Sends a head, and behind it all elements of a span on a GPU. Where they cannot be read, the head is sent
    /// alone, and the transfer ends with the error.
    ///
    /// # Safety
    /// As for [`send_part`](Self::send_part).
    pub(crate) unsafe fn send_behind(
        transport: &'t dyn Transport,
        context: &Context,
        dest: usize,
        tag: i32,
        head: &[u8],
        span: &Span<'_>,
    ) -> Result<Transfer<'t>> {
        let body = on_gpu(span, span.bytes())?;
        // SAFETY: the caller's promise.
        let posted = unsafe { transport.isend_device(context, dest, tag, head, &body) }?;
        Ok(Transfer::new(transport, posted, None))
    }

    /// Finds out with the peer how elements get from the sender to the receiver, of which one has the span.
    pub(crate) fn handshake(
        transport: &'t dyn Transport,
        context: &Context,
        peer: usize,
        end: End,
        tags: Tags,
        waybill: &Waybill,
        span: &Span<'_>,
    ) -> Result<Transfer<'t>> {
        let posted = transport.handshake(context, peer, end, tags, waybill, &body(span))?;
        Ok(Transfer::new(transport, posted, None))
    }

    /// Sends the elements of a span a way of the transport's.
    ///
    /// # Safety
    /// As for [`send_part`](Self::send_part).
    pub(crate) unsafe fn send_body(
        transport: &'t dyn Transport,
        context: &Context,
        dest: usize,
        tags: Tags,
        span: &Span<'_>,
        pieces: Pieces,
        waybill: &Waybill,
    ) -> Result<Transfer<'t>> {
        // SAFETY: the caller's promise.
        let posted = unsafe { transport.isend_body(context, dest, tags, &body(span), pieces, waybill) }?;
        Ok(Transfer::new(transport, posted, None))
    }

    /// Receives the elements of a span a way of the transport's.
    ///
    /// # Safety
    /// As for [`receive_part`](Self::receive_part).
    pub(crate) unsafe fn receive_body(
        transport: &'t dyn Transport,
        context: &Context,
        source: usize,
        tags: Tags,
        span: &Span<'_>,
        pieces: Pieces,
        waybill: &Waybill,
    ) -> Result<Transfer<'t>> {
        // SAFETY: the caller's promise.
        let posted = unsafe { transport.irecv_body(context, source, tags, &body(span), pieces, waybill) }?;
        Ok(Transfer::new(transport, posted, None))
    }

    /// Tells the receiver of elements that would go through shared memory that none will come.
    pub(crate) fn withhold(
        transport: &'t dyn Transport,
        context: &Context,
        dest: usize,
        tags: Tags,
        waybill: &Waybill,
    ) -> Result<Transfer<'t>> {
        let posted = transport.withhold(context, dest, tags, waybill)?;
        Ok(Transfer::new(transport, posted, None))
    }

    /// Has kernels fold elements of the ranks where they are. Completes with no bytes where they do not reach them.
    ///
    /// # Safety
    /// As for [`Transport::fold_together`].
    pub(crate) unsafe fn fold_together(
        transport: &'t dyn Transport,
        context: &Context,
        share: Share<'_>,
    ) -> Result<Transfer<'t>> {
        // SAFETY: the caller's promise.
        let posted = unsafe { transport.fold_together(context, share) }?;
        Ok(Transfer::new(transport, posted, None))
    }

    /// Receives into a part of a span: `bytes` bytes from byte `first` on.
    ///
    /// # Safety
    /// The part is within the span, whose memory may be written and is used by nobody else until the transfer
    /// is over or was dropped.
    #[inline]
    pub(crate) unsafe fn receive_part(
        transport: &'t dyn Transport,
        context: &Context,
        source: usize,
        tag: i32,
        span: &Span<'_>,
        (first, bytes): (usize, usize),
    ) -> Result<Transfer<'t>> {
        // SAFETY: as for `send_part`.
        let posted = unsafe {
            let pointer = span.pointer().add(first);
            match device_memory(span, pointer, bytes) {
                None => transport.irecv(context, Some(source), Some(tag), pointer, bytes),
                Some(body) => transport.irecv_device(context, source, tag, &body),
            }
        }?;
        Ok(Transfer::new(transport, posted, None))
    }

    /// What was posted on memory that its owner keeps until the transfer is over or was dropped.
    pub(crate) fn posted(transport: &'t dyn Transport, posted: Posted) -> Transfer<'t> {
        Transfer::new(transport, posted, None)
    }

    /// The slab of a transfer that is over.
    #[inline]
    pub(crate) fn slab(&self) -> &[u8] {
        self.slab.as_ref().map_or(&[], Slab::bytes)
    }

    /// Takes the slab of a transfer that is over.
    pub(crate) fn into_slab(mut self) -> Slab {
        self.slab.take().unwrap_or_else(Slab::take)
    }

    /// The outcome, if the transport has finished; once.
    #[inline]
    pub(crate) fn poll_once(&mut self) -> Poll<Result<Delivery>> {
        match self.poll_end() {
            Poll::Pending => Poll::Pending,
            Poll::Ready(Ok(Some(delivery))) => Poll::Ready(Ok(delivery)),
            Poll::Ready(Ok(None)) => Poll::Ready(Err(taken_back())),
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
        }
    }

    /// The end: `None` where the transfer was taken back before.
    #[inline]
    fn poll_end(&mut self) -> Poll<Result<Option<Delivery>>> {
        let outcome = match &self.state {
            State::Done(delivery) => Ok(Some(*delivery)),
            State::Pending(ticket) => match self.transport.test(ticket) {
                Ok(Tested::Pending) => return Poll::Pending,
                Ok(Tested::Completed(delivery)) => Ok(Some(delivery)),
                Ok(Tested::Released) => Ok(None),
                Err(error) => Err(error),
            },
            State::Over => return Poll::Pending,
        };
        self.state = State::Over;
        Poll::Ready(outcome)
    }

    /// Waits for the end, or takes the transfer back when `activity` is cancelled: then `None`.
    pub(crate) async fn or_cancelled(&mut self, activity: &Activity) -> Result<Option<Delivery>> {
        std::future::poll_fn(|_| {
            match self.poll_end() {
                Poll::Ready(Ok(None)) if !activity.is_cancelled() => return Poll::Ready(Err(taken_back())),
                Poll::Pending if activity.is_cancelled() => {}
                end => return end,
            }
            match self.abandon() {
                Tested::Pending => Poll::Pending,
                Tested::Completed(delivery) => Poll::Ready(Ok(Some(delivery))),
                Tested::Released => Poll::Ready(Ok(None)),
            }
        })
        .await
    }

    fn abandon(&mut self) -> Tested {
        let abandoned = match &self.state {
            State::Pending(ticket) => self.transport.abandon(ticket),
            State::Done(delivery) => Tested::Completed(*delivery),
            State::Over => Tested::Released,
        };
        if abandoned != Tested::Pending {
            self.state = State::Over;
        }
        abandoned
    }
}

/// A part of a span as a transport sees it, if it is on a GPU.
#[inline]
fn device_memory<'a>(span: &'a Span<'_>, pointer: *mut u8, bytes: usize) -> Option<DeviceMemory<'a>> {
    span.lane().map(|lane| DeviceMemory {
        lane,
        address: pointer as usize,
        bytes,
    })
}

/// The first bytes of a span that must be on a GPU, as a transport sees them.
pub(crate) fn on_gpu<'a>(span: &'a Span<'_>, bytes: usize) -> Result<DeviceMemory<'a>> {
    device_memory(span, span.pointer(), bytes).ok_or_else(|| Error::invalid("elements that are not on a GPU"))
}

/// All of a span as a transport sees it.
fn body<'a>(span: &'a Span<'_>) -> Body<'a> {
    Body {
        lane: span.lane(),
        address: span.pointer() as usize,
        bytes: span.bytes(),
    }
}

impl Future for Transfer<'_> {
    type Output = Result<Delivery>;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, _: &mut task::Context<'_>) -> Poll<Result<Delivery>> {
        self.poll_once()
    }
}

impl Drop for Transfer<'_> {
    #[inline]
    fn drop(&mut self) {
        if matches!(self.state, State::Pending(_)) && self.abandon() == Tested::Pending {
            match self.slab.take() {
                Some(slab) => std::mem::forget(slab),
                None => {
                    // A panic here would give the memory back.
                    let _ = std::io::stderr().write_all(
                        b"warpcomm: MPI still uses memory that its owner is about to take back; the job is aborted\n",
                    );
                    super::trace::write_all();
                    self.transport.abort();
                }
            }
        }
    }
}
