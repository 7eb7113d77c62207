//! Sends that say more about their receive than a standard send: that it has matched, or that it is posted.

use crate::buffer::{Buffer, OwnedBuffer};
use crate::comm::Communicator;
use crate::engine::Mode;
use crate::error::Result;
use crate::message::Tag;
use crate::request::Request;
use crate::route::Route;

impl Communicator {
    /// Sends a buffer to rank `dest`; returns when a receive has matched the message and the buffer may be used
    /// again.
    ///
    /// Whatever its size the message waits for its receive, so the sender learns of a refusal too. To itself a
    /// rank can send so only while it has a receive under way.
    ///
    /// MPI standard, section 3.4 (`MPI_Ssend`).
    ///
    /// # Errors
    /// As for [`send`](Self::send), but the receiver's error comes back for short messages as well.
    ///
    /// ```
    /// use warpcomm::{Communicator, ErrorKind, Tag};
    ///
    /// let kinds = Communicator::threads(2, |comm| {
    ///     if comm.rank() == 0 {
    ///         comm.ssend(&[1u8, 2, 3], 1, Tag(0)).map_err(|error| error.kind())
    ///     } else {
    ///         comm.recv(&mut [0u8; 2], 0, Tag(0)).map(drop).map_err(|error| error.kind())
    ///     }
    /// })?;
    /// assert_eq!(kinds, [Err(ErrorKind::Truncated), Err(ErrorKind::Truncated)]);
    /// # Ok::<(), warpcomm::Error>(())
    /// ```
    pub fn ssend<B: Buffer + ?Sized>(&self, buffer: &B, dest: usize, tag: Tag) -> Result<()> {
        self.move_now("ssend", &buffer.lower(), Route::To(dest, tag, Mode::Synchronous))
            .map(drop)
    }

    /// Starts a synchronous send of a buffer, which the request owns: the request is over when a receive has
    /// matched the message and the buffer may be used again.
    ///
    /// MPI standard, section 3.7.2 (`MPI_Issend`).
    ///
    /// # Errors
    /// Those of [`ssend`](Self::ssend), arguments included, arrive at [`Request::wait`].
    ///
    /// ```
    /// use warpcomm::{Communicator, Tag};
    ///
    /// let was_done = Communicator::threads(2, |comm| {
    ///     if comm.rank() == 1 {
    ///         comm.barrier()?;
    ///         return comm.recv(&mut [0u8], 0, Tag(0)).map(|_| false);
    ///     }
    ///     let request = comm.issend(vec![7u8], 1, Tag(0));
    ///     let was_done = request.is_done(); // not before there is a receive
    ///     comm.barrier()?;
    ///     request.wait()?;
    ///     Ok::<bool, warpcomm::Error>(was_done)
    /// })?;
    /// assert_eq!(was_done.into_iter().collect::<Result<Vec<_>, _>>()?, [false, false]);
    /// # Ok::<(), warpcomm::Error>(())
    /// ```
    pub fn issend<B: OwnedBuffer>(&self, buffer: B, dest: usize, tag: Tag) -> Request<B> {
        self.start_to_send("issend", buffer, Route::To(dest, tag, Mode::Synchronous))
    }

    /// Sends a buffer to a rank that has posted the receive already; returns when the buffer may be used again.
    ///
    /// The caller promises that the receive is posted. It is sent as by [`send`](Self::send), which MPI allows:
    /// a broken promise is not noticed, and no harm comes of it here, but a program that breaks it is wrong under
    /// other implementations.
    ///
    /// MPI standard, section 3.4 (`MPI_Rsend`).
    ///
    /// # Errors
    /// As for [`send`](Self::send).
    ///
    /// ```
    /// use warpcomm::{Communicator, Tag};
    ///
    /// let received = Communicator::threads(2, |comm| {
    ///     if comm.rank() == 0 {
    ///         comm.barrier()?; // the receive is posted
    ///         return comm.rsend(&[7u8], 1, Tag(0)).map(|()| vec![]);
    ///     }
    ///     let request = comm.irecv(vec![0u8], 0, Tag(0));
    ///     comm.barrier()?;
    ///     Ok::<Vec<u8>, warpcomm::Error>(request.wait()?.0)
    /// })?;
    /// assert_eq!(received.into_iter().collect::<Result<Vec<_>, _>>()?, [vec![], vec![7]]);
    /// # Ok::<(), warpcomm::Error>(())
    /// ```
    pub fn rsend<B: Buffer + ?Sized>(&self, buffer: &B, dest: usize, tag: Tag) -> Result<()> {
        self.move_now("rsend", &buffer.lower(), Route::To(dest, tag, Mode::Standard))
            .map(drop)
    }

    /// Starts to send a buffer, which the request owns, to a rank that has posted the receive already.
    ///
    /// See [`rsend`](Self::rsend) for what that promise means.
    ///
    /// MPI standard, section 3.7.2 (`MPI_Irsend`).
    ///
    /// # Errors
    /// Those of [`send`](Self::send), arguments included, arrive at [`Request::wait`].
    pub fn irsend<B: OwnedBuffer>(&self, buffer: B, dest: usize, tag: Tag) -> Request<B> {
        self.start_to_send("irsend", buffer, Route::To(dest, tag, Mode::Standard))
    }
}
