//! Sending a buffer and receiving into the same one.

use std::pin::pin;

use super::both;
use crate::buffer::{BufferMut, Span};
use crate::comm::Communicator;
use crate::device::Scratch;
use crate::engine::Mode;
use crate::error::Result;
use crate::message::{Source, Status, Tag};
use crate::route::Route;

impl Communicator {
    /// Sends a buffer and receives a message into it at the same time; returns when both are done.
    ///
    /// What is sent is copied first, where the buffer is: on the GPU for a device buffer. The message received may
    /// have fewer elements than the buffer, whose other elements stay as they are.
    ///
    /// MPI standard, section 3.10 (`MPI_Sendrecv_replace`).
    ///
    /// # Errors
    /// As for [`sendrecv`](Self::sendrecv); [`Device`](crate::ErrorKind::Device) if there is no memory for the
    /// copy: then the peer gets [`PeerFailed`](crate::ErrorKind::PeerFailed).
    ///
    /// ```
    /// use warpcomm::{Communicator, Tag};
    ///
    /// let numbers = Communicator::threads(3, |comm| {
    ///     let (rank, size) = (comm.rank(), comm.size());
    ///     let mut number = rank as u64;
    ///     let (right, left) = ((rank + 1) % size, (rank + size - 1) % size);
    ///     comm.sendrecv_replace(&mut number, right, Tag(0), left, Tag(0))?;
    ///     Ok::<u64, warpcomm::Error>(number)
    /// })?;
    /// assert_eq!(numbers.into_iter().collect::<Result<Vec<_>, _>>()?, [2, 0, 1]);
    /// # Ok::<(), warpcomm::Error>(())
    /// ```
    pub fn sendrecv_replace<B: BufferMut + ?Sized>(
        &self,
        buffer: &mut B,
        dest: usize,
        send_tag: Tag,
        source: impl Into<Source>,
        recv_tag: Tag,
    ) -> Result<Status> {
        let span = buffer.lower_mut();
        let there = Route::To(dest, send_tag, Mode::Standard);
        let here = Route::From(source.into(), recv_tag);
        let sending = self.message("sendrecv_replace", &span, there);
        let receiving = self.message("sendrecv_replace", &span, here);
        let inside = self.enter(&receiving)?;
        self.run(
            &inside,
            &[&receiving, &sending],
            pin!(async {
                self.check_route(there).map_err(|error| sending.name(error))?;
                self.check_route(here)?;
                let copy = span.check().and_then(|()| copy_of(&span));
                let out = match &copy {
                    Ok(copy) => span.at(copy.pointer()),
                    // The receiver is told.
                    Err(error) => span.failed(error),
                };
                let receive = pin!(self.travel(&receiving, &span, here));
                let send = pin!(self.travel(&sending, &out, there));
                let (received, sent) = both(receive, send).await;
                let status = received.map_err(|error| receiving.name(error))?;
                sent.map_err(|error| sending.name(error))?;
                Ok(status)
            }),
        )
    }
}

/// The elements of a span once more, on the same device.
fn copy_of(span: &Span<'_>) -> Result<Scratch> {
    let copy = Scratch::new(span.lane(), span.bytes())?;
    // SAFETY: both are of the span's device and have that many bytes; the copy is new.
    unsafe { span.device().copy(span.pointer(), copy.pointer(), span.bytes()) }?;
    Ok(copy)
}
