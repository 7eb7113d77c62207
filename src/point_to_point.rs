//! Messages from one rank to another.

mod buffered;
mod matched;
mod modes;
mod replace;

use std::future::Future;
use std::pin::{Pin, pin};
use std::task::Poll;

use crate::buffer::{Buffer, BufferMut, OwnedBuffer, OwnedBufferMut, Parked, Span};
use crate::comm::Communicator;
use crate::dtype::Dtype;
use crate::engine::{Mode, Phase};
use crate::error::Result;
use crate::message::{PROC_NULL, Source, Status, Tag};
use crate::request::Request;
use crate::route::{Route, Way};

pub use matched::Message;

impl Communicator {
    pub(crate) fn move_now(&self, operation: &'static str, span: &Span<'_>, route: Route) -> Result<Status> {
        let activity = self.message(operation, span, route);
        let inside = self.enter(&activity)?;
        self.run(
            &inside,
            &[&activity],
            pin!(async {
                self.check_route(route)?;
                self.travel(&activity, span, route).await
            }),
        )
    }

    /// Sends a buffer to rank `dest`; returns when the buffer may be used again.
    ///
    /// A message of at most the eager limit (4,000 bytes, see [`Config`](crate::Config)) is on its way
    /// then, though perhaps not received; a longer one waits for its receive.
    ///
    /// MPI standard, section 3.2.1 (`MPI_Send`).
    ///
    /// # Errors
    /// [`InvalidArgument`](crate::ErrorKind::InvalidArgument) for a rank or tag out of range. A message
    /// above the eager limit that the receiver refuses brings the receiver's error:
    /// [`Truncated`](crate::ErrorKind::Truncated) or [`Mismatch`](crate::ErrorKind::Mismatch).
    ///
    /// ```
    /// use warpcomm::{Communicator, Tag};
    ///
    /// Communicator::threads(2, |comm| {
    ///     if comm.rank() == 0 {
    ///         comm.send(&[1.5f64, 2.5], 1, Tag(7))
    ///     } else {
    ///         let mut buffer = [0f64; 4];
    ///         let status = comm.recv(&mut buffer, 0, Tag(7))?;
    ///         assert_eq!((status.count(), buffer), (2, [1.5, 2.5, 0.0, 0.0]));
    ///         Ok(())
    ///     }
    /// })?
    /// .into_iter()
    /// .collect::<Result<(), warpcomm::Error>>()
    /// # ?; Ok::<(), warpcomm::Error>(())
    /// ```
    pub fn send<B: Buffer + ?Sized>(&self, buffer: &B, dest: usize, tag: Tag) -> Result<()> {
        self.move_now("send", &buffer.lower(), Route::To(dest, tag, Mode::Standard))
            .map(drop)
    }

    /// Receives a message from `source` with `tag` into a buffer; returns when it is there.
    ///
    /// The buffer may be larger than the message: then only the message's elements are written, and
    /// [`Status::count`] tells how many there are.
    ///
    /// MPI standard, section 3.2.4 (`MPI_Recv`).
    ///
    /// # Errors
    /// [`InvalidArgument`](crate::ErrorKind::InvalidArgument) for a rank or tag out of range;
    /// [`Truncated`](crate::ErrorKind::Truncated) if the message has more elements than the buffer, and
    /// [`Mismatch`](crate::ErrorKind::Mismatch) if they are of another type: the message is consumed,
    /// nothing is written, and the next message is not affected;
    /// [`PeerFailed`](crate::ErrorKind::PeerFailed) if the sender could not send the elements.
    pub fn recv<B: BufferMut + ?Sized>(
        &self,
        buffer: &mut B,
        source: impl Into<Source>,
        tag: Tag,
    ) -> Result<Status> {
        self.move_now("recv", &buffer.lower_mut(), Route::From(source.into(), tag))
    }

    /// Sends one buffer and receives into another at the same time; returns when both are done.
    ///
    /// Ranks may send to each other, or to themselves, in any pattern.
    ///
    /// MPI standard, section 3.10 (`MPI_Sendrecv`).
    ///
    /// # Errors
    /// As for [`send`](Self::send) and [`recv`](Self::recv); if both fail, the error of the receive.
    ///
    /// ```
    /// use warpcomm::{Communicator, Tag};
    ///
    /// let left = Communicator::threads(3, |comm| {
    ///     let (rank, size) = (comm.rank(), comm.size());
    ///     let mut from_left = 0;
    ///     let (right, left) = ((rank + 1) % size, (rank + size - 1) % size);
    ///     comm.sendrecv(&rank_as_number(rank), right, Tag(0), &mut from_left, left, Tag(0))?;
    ///     Ok::<u64, warpcomm::Error>(from_left)
    /// })?;
    /// # fn rank_as_number(rank: usize) -> u64 { rank as u64 }
    /// assert_eq!(left.into_iter().collect::<Result<Vec<_>, _>>()?, [2, 0, 1]);
    /// # Ok::<(), warpcomm::Error>(())
    /// ```
    pub fn sendrecv<S: Buffer + ?Sized, R: BufferMut + ?Sized>(
        &self,
        send: &S,
        dest: usize,
        send_tag: Tag,
        recv: &mut R,
        source: impl Into<Source>,
        recv_tag: Tag,
    ) -> Result<Status> {
        let (out, into) = (send.lower(), recv.lower_mut());
        let there = Route::To(dest, send_tag, Mode::Standard);
        let here = Route::From(source.into(), recv_tag);
        let sending = self.message("sendrecv", &out, there);
        let receiving = self.message("sendrecv", &into, here);
        let inside = self.enter(&receiving)?;
        self.run(
            &inside,
            &[&receiving, &sending],
            pin!(async {
                self.check_route(there).map_err(|error| sending.name(error))?;
                self.check_route(here)?;
                let receive = pin!(self.travel(&receiving, &into, here));
                let send = pin!(self.travel(&sending, &out, there));
                let (received, sent) = both(receive, send).await;
                let status = received.map_err(|error| receiving.name(error))?;
                sent.map_err(|error| sending.name(error))?;
                Ok(status)
            }),
        )
    }

    /// Starts to send a buffer, which the request owns until it is waited for.
    ///
    /// MPI standard, section 3.7.2 (`MPI_Isend`).
    ///
    /// # Errors
    /// Those of [`send`](Self::send), arguments included, arrive at [`Request::wait`].
    ///
    /// ```
    /// use warpcomm::{Communicator, Tag};
    ///
    /// let sums = Communicator::threads(2, |comm| {
    ///     let peer = 1 - comm.rank();
    ///     let outgoing = comm.isend(vec![comm.rank() as f32; 10_000], peer, Tag(0));
    ///     let incoming = comm.irecv(vec![0f32; 10_000], peer, Tag(0));
    ///     let (received, status) = incoming.wait()?;
    ///     let (sent, _) = outgoing.wait()?;
    ///     assert_eq!(status.count(), 10_000);
    ///     Ok::<f32, warpcomm::Error>(sent[0] + received[9_999])
    /// })?;
    /// assert_eq!(sums.into_iter().collect::<Result<Vec<_>, _>>()?, [1.0, 1.0]);
    /// # Ok::<(), warpcomm::Error>(())
    /// ```
    pub fn isend<B: OwnedBuffer>(&self, buffer: B, dest: usize, tag: Tag) -> Request<B> {
        self.start_to_send("isend", buffer, Route::To(dest, tag, Mode::Standard))
    }

    fn start_to_send<B: OwnedBuffer>(&self, operation: &'static str, buffer: B, route: Route) -> Request<B> {
        let mut buffer = Parked::new(buffer);
        // SAFETY: the request keeps the buffer, whose elements stay in place and are not written, until
        // the task is over, or leaks it.
        let span = unsafe { buffer.get_mut().lower().owned() };
        Request::start(self, operation, buffer, span, route, Way::Open(route))
    }

    /// Starts to receive into a buffer, which the request owns until it is waited for.
    ///
    /// MPI standard, section 3.7.2 (`MPI_Irecv`).
    ///
    /// # Errors
    /// Those of [`recv`](Self::recv), arguments included, arrive at [`Request::wait`].
    ///
    /// ```
    /// use warpcomm::{Communicator, Source, Tag};
    ///
    /// let received = Communicator::threads(2, |comm| {
    ///     if comm.rank() == 1 {
    ///         return comm.send(&[1.5f64, 2.5], 0, Tag(3)).map(|()| vec![]);
    ///     }
    ///     let request = comm.irecv(vec![0f64; 3], Source::Any, Tag::ANY);
    ///     // Compute something else here.
    ///     let (mut buffer, status) = request.wait()?;
    ///     assert_eq!((status.source(), status.tag()), (1, Tag(3)));
    ///     buffer.truncate(status.count() as usize);
    ///     Ok(buffer)
    /// })?;
    /// assert_eq!(received.into_iter().collect::<Result<Vec<_>, warpcomm::Error>>()?, [vec![1.5, 2.5], vec![]]);
    /// # Ok::<(), warpcomm::Error>(())
    /// ```
    pub fn irecv<B: OwnedBufferMut>(&self, buffer: B, source: impl Into<Source>, tag: Tag) -> Request<B> {
        let route = Route::From(source.into(), tag);
        self.start_to_receive("irecv", buffer, route, Way::Open(route))
    }

    fn start_to_receive<B: OwnedBufferMut>(
        &self,
        operation: &'static str,
        buffer: B,
        route: Route,
        way: Way,
    ) -> Request<B> {
        let mut buffer = Parked::new(buffer);
        // SAFETY: the request keeps the buffer, whose elements stay in place and are used by nobody else,
        // until the task is over, or leaks it.
        let span = unsafe { buffer.get_mut().lower_mut().owned() };
        Request::start(self, operation, buffer, span, route, way)
    }

    /// Waits until a message from `source` with `tag` can be received, and describes it.
    ///
    /// The message stays to be received; a receive with the status's source and tag gets it, if no other
    /// thread receives it first.
    ///
    /// MPI standard, section 3.8.1 (`MPI_Probe`).
    ///
    /// # Errors
    /// [`InvalidArgument`](crate::ErrorKind::InvalidArgument) for a rank or tag out of range.
    ///
    /// ```
    /// use warpcomm::{Communicator, Source, Tag};
    ///
    /// let received = Communicator::threads(2, |comm| {
    ///     if comm.rank() == 0 {
    ///         comm.send(&[1u8, 2, 3], 1, Tag(4))?;
    ///         return Ok(vec![]);
    ///     }
    ///     let status = comm.probe(Source::Any, Tag::ANY)?;
    ///     let mut buffer = vec![0u8; status.count() as usize];
    ///     comm.recv(&mut buffer, status.source(), status.tag())?;
    ///     Ok::<_, warpcomm::Error>(buffer)
    /// })?;
    /// assert_eq!(received.into_iter().collect::<Result<Vec<_>, _>>()?, [vec![], vec![1, 2, 3]]);
    /// # Ok::<(), warpcomm::Error>(())
    /// ```
    pub fn probe(&self, source: impl Into<Source>, tag: Tag) -> Result<Status> {
        let source = source.into();
        self.look_until("probe", (source, tag), || self.found(source, tag))
    }

    /// Describes a message from `source` with `tag` if one can be received now.
    ///
    /// MPI standard, section 3.8.1 (`MPI_Iprobe`).
    ///
    /// # Errors
    /// As for [`probe`](Self::probe).
    ///
    /// ```
    /// use warpcomm::{Communicator, Source, Tag};
    ///
    /// let counts = Communicator::threads(1, |comm| {
    ///     assert!(comm.iprobe(Source::Any, Tag::ANY)?.is_none());
    ///     comm.bsend(&[1u8, 2, 3], 0, Tag(4))?;
    ///     let status = comm.iprobe(Source::Any, Tag::ANY)?.expect("it was sent");
    ///     comm.recv(&mut [0u8; 3], status.source(), status.tag())?;
    ///     Ok::<u64, warpcomm::Error>(status.count())
    /// })?;
    /// assert_eq!(counts.into_iter().collect::<Result<Vec<_>, _>>()?, [3]);
    /// # Ok::<(), warpcomm::Error>(())
    /// ```
    pub fn iprobe(&self, source: impl Into<Source>, tag: Tag) -> Result<Option<Status>> {
        let source = source.into();
        self.look_once("iprobe", (source, tag), || self.found(source, tag))
    }

    fn found(&self, source: Source, tag: Tag) -> Result<Option<Status>> {
        match source {
            Source::Rank(PROC_NULL) => Ok(Some(Status::null(Dtype::U8))),
            source => self.endpoint.probe(source, tag),
        }
    }

    /// Looks for a message until one is found.
    fn look_until<T: Send>(
        &self,
        operation: &'static str,
        (source, tag): (Source, Tag),
        look: impl Fn() -> Result<Option<T>> + Sync,
    ) -> Result<T> {
        let route = Route::From(source, tag);
        let activity = self.message(operation, &Span::empty(Dtype::U8), route);
        let inside = self.enter(&activity)?;
        self.run(
            &inside,
            &[&activity],
            pin!(async {
                self.check_route(route)?;
                activity.waits_for(Phase::Match);
                std::future::poll_fn(|_| match look() {
                    Ok(None) => Poll::Pending,
                    Ok(Some(found)) => Poll::Ready(Ok(found)),
                    Err(error) => Poll::Ready(Err(error)),
                })
                .await
            }),
        )
    }

    /// Looks for a message once.
    fn look_once<T: Send>(
        &self,
        operation: &'static str,
        (source, tag): (Source, Tag),
        look: impl Fn() -> Result<Option<T>> + Sync,
    ) -> Result<Option<T>> {
        let route = Route::From(source, tag);
        let activity = self.message(operation, &Span::empty(Dtype::U8), route);
        let inside = self.enter(&activity)?;
        // Who looks again and again must not hold up what the message waits for.
        self.endpoint.engine.poll_in_passing();
        self.run(
            &inside,
            &[&activity],
            pin!(async {
                self.check_route(route)?;
                let found = look()?;
                // What has come can be received all the same.
                if found.is_none() {
                    self.endpoint.check_peers()?;
                }
                Ok(found)
            }),
        )
    }
}

/// Runs two operations at the same time, to the end of both.
pub(crate) async fn both<A, B>(
    mut first: Pin<&mut impl Future<Output = A>>,
    mut second: Pin<&mut impl Future<Output = B>>,
) -> (A, B) {
    let (mut one, mut two) = (None, None);
    std::future::poll_fn(|context| {
        if one.is_none()
            && let Poll::Ready(output) = first.as_mut().poll(context)
        {
            one = Some(output);
        }
        if two.is_none()
            && let Poll::Ready(output) = second.as_mut().poll(context)
        {
            two = Some(output);
        }
        match (one.take(), two.take()) {
            (Some(one), Some(two)) => Poll::Ready((one, two)),
            (left, right) => {
                (one, two) = (left, right);
                Poll::Pending
            }
        }
    })
    .await
}
