//! Sends that copy what they send, and leave the rest to the engine.

use std::pin::pin;
use std::sync::Arc;

use crate::buffer::{Buffer, OwnedBuffer, Span};
use crate::comm::Communicator;
use crate::engine::{Memory, Mode, Room, task};
use crate::error::Result;
use crate::message::{PROC_NULL, Status, Tag};
use crate::request::Request;
use crate::route::Route;

impl Communicator {
    /// Copies a buffer and sends the copy to rank `dest`; returns when the buffer may be used again, without
    /// waiting for the receiver.
    ///
    /// The copy is in the memory of the host; that of a device buffer is made when the buffer's stream gets there,
    /// and the call waits for it. The engine frees a copy when it is sent, so there is nothing to attach or to
    /// detach; [`Config::buffered_limit`](crate::Config::buffered_limit) bounds what all copies take together.
    ///
    /// What goes wrong after the call nobody learns but the receiver. A copy that is not received when the program
    /// ends is reported as every pending operation is.
    ///
    /// MPI standard, section 3.4 (`MPI_Bsend`).
    ///
    /// # Errors
    /// [`InvalidArgument`](crate::ErrorKind::InvalidArgument) for a rank or tag out of range;
    /// [`Device`](crate::ErrorKind::Device) if there is no room for the copy, and then nothing was sent, or if the
    /// GPU fails, and then the receiver gets [`PeerFailed`](crate::ErrorKind::PeerFailed).
    ///
    /// ```
    /// use warpcomm::{Communicator, Tag};
    ///
    /// let received = Communicator::threads(2, |comm| {
    ///     let peer = 1 - comm.rank();
    ///     // A standard send of so much would wait for its receive, here on both ranks for ever.
    ///     comm.bsend(&vec![comm.rank() as u8; 100_000], peer, Tag(0))?;
    ///     let mut received = vec![9u8; 100_000];
    ///     comm.recv(&mut received, peer, Tag(0))?;
    ///     Ok::<u8, warpcomm::Error>(received[99_999])
    /// })?;
    /// assert_eq!(received.into_iter().collect::<Result<Vec<_>, _>>()?, [1, 0]);
    /// # Ok::<(), warpcomm::Error>(())
    /// ```
    pub fn bsend<B: Buffer + ?Sized>(&self, buffer: &B, dest: usize, tag: Tag) -> Result<()> {
        self.send_copy("bsend", &buffer.lower(), dest, tag).map(drop)
    }

    /// Copies a buffer and sends the copy to rank `dest`; the request is over from the beginning.
    ///
    /// It is [`bsend`](Self::bsend) with the form of its siblings: the copy is made before the call returns, so
    /// that messages keep their order.
    ///
    /// MPI standard, section 3.7.2 (`MPI_Ibsend`).
    ///
    /// # Errors
    /// Those of [`bsend`](Self::bsend), arguments included, arrive at [`Request::wait`].
    pub fn ibsend<B: OwnedBuffer>(&self, buffer: B, dest: usize, tag: Tag) -> Request<B> {
        let outcome = self.send_copy("ibsend", &buffer.lower(), dest, tag);
        Request::over(outcome, buffer)
    }

    fn send_copy(&self, operation: &'static str, span: &Span<'_>, dest: usize, tag: Tag) -> Result<Status> {
        let route = Route::To(dest, tag, Mode::Standard);
        let activity = Arc::new(self.message(operation, span, route));
        let inside = self.enter(&activity)?;
        self.check_route(route).map_err(|error| activity.name(error))?;
        if dest == PROC_NULL {
            return Ok(Status::null(span.dtype()));
        }
        let room = Room::new(&self.endpoint.engine, span.bytes()).map_err(|error| activity.name(error))?;
        let copy = self.run(&inside, &[&activity], pin!(async { Ok(room.fill(span).await) }))?;
        let failed = copy.check();
        let (own, about) = (self.clone(), Arc::clone(&activity));
        let kept = self.endpoint.plain.as_ref().map(|plain| plain.buffered());
        let sending = task(Arc::clone(&activity), Memory::Owned, async move {
            let outcome = own.travel(&about, &copy.span(), route).await;
            drop((own, kept));
            outcome
        });
        self.endpoint.engine.spawn(&sending);
        failed.map_err(|error| activity.name(error))?;
        Ok(Status {
            source: dest,
            tag,
            count: span.elements() as u64,
            dtype: span.dtype(),
            cancelled: false,
        })
    }
}
