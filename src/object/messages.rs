//! Objects from one rank to another.

use std::pin::pin;
use std::sync::{Arc, PoisonError};

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::decode::decode;
use super::encode::encode;
use super::{Object, Received};
use crate::buffer::Span;
use crate::comm::Communicator;
use crate::dtype::Dtype;
use crate::engine::{self, Activity, Mode, Phase};
use crate::error::{Error, Peer, Result};
use crate::message::{PROC_NULL, Source, Status, Tag};
use crate::point_to_point::both;
use crate::request::Request;
use crate::route::Route;

impl Communicator {
    /// Sends a value of any type that serde serializes to rank `dest`; returns when the value may be used again.
    ///
    /// It is received by [`recv_object`](Self::recv_object) as a value of the same type, by name. So the type has
    /// to be one that can be received: a `String` or `Vec`, not a `&str` or slice. A value of more than 16 KiB is
    /// serialized twice, once to learn its length. Its form on the way is CBOR, which knows the names of fields and variants, so that
    /// all attributes of serde work; one loss that this form has is that `Some(None)` arrives as `None`. Numbers in
    /// bulk go faster in buffers, and bytes with the crate `serde_bytes`: these are copied once on each side.
    ///
    /// A message of at most the eager limit, with its type's name, is on its way then; a longer one waits for its
    /// receive. What is received is checked before it is believed: containers have the elements that they claim, at
    /// most 128 of them inside each other.
    ///
    /// MPI standard, section 3.2.1 (`MPI_Send`).
    ///
    /// # Errors
    /// [`InvalidArgument`](crate::ErrorKind::InvalidArgument) for a rank or tag out of range, and a value that
    /// cannot be serialized or is nested deeper: nothing is sent. [`Device`](crate::ErrorKind::Device) if there is
    /// no memory for its bytes. If a message above the eager limit meets a receive of elements,
    /// [`Mismatch`](crate::ErrorKind::Mismatch). [`Unsupported`](crate::ErrorKind::Unsupported) on a
    /// [plain](crate::Wire::Plain) communicator.
    ///
    /// ```
    /// use std::collections::HashMap;
    /// use warpcomm::{Communicator, Source, Tag};
    ///
    /// let received = Communicator::threads(2, |comm| {
    ///     let values = HashMap::from([("a".to_owned(), 7.0), ("b".to_owned(), 3.14)]);
    ///     if comm.rank() == 0 {
    ///         return comm.send_object(&values, 1, Tag(11));
    ///     }
    ///     let (received, status) = comm.recv_object::<HashMap<String, f64>>(Source::Any, Tag(11))?;
    ///     assert_eq!((received, status.source()), (values, 0));
    ///     Ok(())
    /// })?;
    /// assert!(received.iter().all(Result::is_ok));
    /// # Ok::<(), warpcomm::Error>(())
    /// ```
    pub fn send_object<T: Serialize + DeserializeOwned>(
        &self,
        value: &T,
        dest: usize,
        tag: Tag,
    ) -> Result<()> {
        let route = Route::To(dest, tag, Mode::Standard);
        let bytes = encode(value).map_err(|error| sent("send_object", error, dest, self.rank()))?;
        self.move_now("send_object", &lowered(&bytes), route).map(drop)
    }

    /// Receives a value that [`send_object`](Self::send_object) or [`isend_object`](Self::isend_object) sends.
    ///
    /// The status counts the bytes in which it travelled. So much memory is reserved as the sender's envelope says,
    /// and written only as the bytes arrive; what decoding allocates is in proportion to them.
    ///
    /// MPI standard, section 3.2.4 (`MPI_Recv`).
    ///
    /// # Errors
    /// [`InvalidArgument`](crate::ErrorKind::InvalidArgument) for a rank or tag out of range, and for
    /// [`PROC_NULL`], from which no value comes. [`Mismatch`](crate::ErrorKind::Mismatch) if the message is not an
    /// object, or one of another type, which the error names, or no value of its type: the message is consumed, and
    /// the next one is not affected. [`Device`](crate::ErrorKind::Device) if there is no memory for its bytes.
    /// [`Unsupported`](crate::ErrorKind::Unsupported) on a [plain](crate::Wire::Plain) communicator.
    ///
    /// ```
    /// use warpcomm::{Communicator, ErrorKind, Tag};
    ///
    /// let kinds = Communicator::threads(1, |comm| {
    ///     comm.send_object(&7u32, 0, Tag(0))?;
    ///     comm.send(&[1.5f32], 0, Tag(0))?;
    ///     let of_another_type = comm.recv_object::<String>(0, Tag(0)).unwrap_err();
    ///     let of_elements = comm.recv_object::<String>(0, Tag(0)).unwrap_err();
    ///     assert!(of_another_type.to_string().contains("u32"));
    ///     Ok::<_, warpcomm::Error>([of_another_type.kind(), of_elements.kind()])
    /// })?;
    /// assert_eq!(kinds.into_iter().collect::<Result<Vec<_>, _>>()?, [[ErrorKind::Mismatch; 2]]);
    /// # Ok::<(), warpcomm::Error>(())
    /// ```
    pub fn recv_object<T: DeserializeOwned>(
        &self,
        source: impl Into<Source>,
        tag: Tag,
    ) -> Result<(T, Status)> {
        let route = Route::From(source.into(), tag);
        let activity = self.message("recv_object", &Span::empty(Dtype::U8), route);
        let inside = self.enter(&activity)?;
        let incoming = pin!(async {
            self.check_route(route)?;
            self.object(&activity, route).await
        });
        let (bytes, status) = self.run(&inside, &[&activity], incoming)?;
        self.opened("recv_object", bytes, status)
    }

    /// Sends a value and receives another at the same time; returns when both are done.
    ///
    /// MPI standard, section 3.10 (`MPI_Sendrecv`).
    ///
    /// # Errors
    /// As for [`send_object`](Self::send_object) and [`recv_object`](Self::recv_object); if both fail, the error of
    /// the receive. To [`PROC_NULL`] nothing is sent; from there nothing can be received.
    ///
    /// ```
    /// use warpcomm::{Communicator, Tag};
    ///
    /// let lefts = Communicator::threads(3, |comm| {
    ///     let (rank, size) = (comm.rank(), comm.size());
    ///     let (right, left) = ((rank + 1) % size, (rank + size - 1) % size);
    ///     let own = format!("rank {rank}");
    ///     let (from_left, _) = comm.sendrecv_object(&own, right, Tag(0), left, Tag(0))?;
    ///     Ok::<String, warpcomm::Error>(from_left)
    /// })?;
    /// assert_eq!(lefts.into_iter().collect::<Result<Vec<_>, _>>()?, ["rank 2", "rank 0", "rank 1"]);
    /// # Ok::<(), warpcomm::Error>(())
    /// ```
    pub fn sendrecv_object<S, R>(
        &self,
        value: &S,
        dest: usize,
        send_tag: Tag,
        source: impl Into<Source>,
        recv_tag: Tag,
    ) -> Result<(R, Status)>
    where
        S: Serialize + DeserializeOwned,
        R: DeserializeOwned,
    {
        const NAME: &str = "sendrecv_object";
        let there = Route::To(dest, send_tag, Mode::Standard);
        let here = Route::From(source.into(), recv_tag);
        let encoded = encode(value).map_err(|error| sent(NAME, error, dest, self.rank()))?;
        let span = lowered(&encoded);
        let sending = self.message(NAME, &span, there);
        let receiving = self.message(NAME, &Span::empty(Dtype::U8), here);
        let inside = self.enter(&receiving)?;
        let exchange = pin!(async {
            self.check_route(there).map_err(|error| sending.name(error))?;
            self.check_route(here)?;
            check_source(here)?;
            let receive = pin!(self.object(&receiving, here));
            let send = pin!(self.travel(&sending, &span, there));
            let (received, sent) = both(receive, send).await;
            let received = received.map_err(|error| receiving.name(error))?;
            sent.map_err(|error| sending.name(error))?;
            Ok(received)
        });
        let (bytes, status) = self.run(&inside, &[&receiving, &sending], exchange)?;
        self.opened(NAME, bytes, status)
    }

    /// Starts to send a value of any type that serde serializes, which may be used again at once.
    ///
    /// The request owns the value's bytes.
    ///
    /// MPI standard, section 3.7.2 (`MPI_Isend`).
    ///
    /// # Errors
    /// Those of [`send_object`](Self::send_object), arguments included, arrive at [`Request::wait`].
    ///
    /// ```
    /// use warpcomm::{Communicator, Tag};
    ///
    /// let pairs = Communicator::threads(2, |comm| {
    ///     if comm.rank() == 0 {
    ///         comm.isend_object(&(1u8, "one".to_owned()), 1, Tag(0)).wait()?;
    ///         return Ok(None);
    ///     }
    ///     comm.recv_object::<(u8, String)>(0, Tag(0)).map(|(pair, _)| Some(pair))
    /// })?;
    /// let pairs: Vec<_> = pairs.into_iter().collect::<warpcomm::Result<_>>()?;
    /// assert_eq!(pairs, [None, Some((1, "one".to_owned()))]);
    /// # Ok::<(), warpcomm::Error>(())
    /// ```
    pub fn isend_object<T: Serialize + DeserializeOwned>(
        &self,
        value: &T,
        dest: usize,
        tag: Tag,
    ) -> Request<()> {
        const NAME: &str = "isend_object";
        let route = Route::To(dest, tag, Mode::Standard);
        let bytes = match encode(value) {
            Ok(bytes) => bytes,
            Err(error) => return Request::over(Err(sent(NAME, error, dest, self.rank())), ()),
        };
        Request::spawn(self, NAME, route, (), |comm, activity| async move {
            comm.travel(&activity, &lowered(&bytes), route).await
        })
    }

    /// Starts to receive a value of any type that serde serializes; the request gives an [`Object`], which becomes
    /// the value.
    ///
    /// MPI standard, section 3.7.2 (`MPI_Irecv`).
    ///
    /// # Errors
    /// Those of [`recv_object`](Self::recv_object) arrive at [`Request::wait`], and what is wrong with the value at
    /// [`Object::into_value`].
    pub fn irecv_object<T: DeserializeOwned + 'static>(
        &self,
        source: impl Into<Source>,
        tag: Tag,
    ) -> Request<Object<T>> {
        let route = Route::From(source.into(), tag);
        let object = Object::empty();
        let message = Arc::clone(&object.message);
        Request::spawn(self, "irecv_object", route, object, |comm, activity| async move {
            let (bytes, status) = comm.object(&activity, route).await?;
            *message.lock().unwrap_or_else(PoisonError::into_inner) = bytes.map(|bytes| Received {
                bytes,
                source: status.source(),
                rank: comm.rank(),
            });
            Ok(status)
        })
    }

    /// Receives an object along a checked route; none if the receive was cancelled.
    async fn object(&self, activity: &Activity, route: Route) -> Result<(Option<Vec<u8>>, Status)> {
        check_source(route)?;
        let Route::From(source, tag) = route else {
            return Err(Error::invalid("a receive needs a source"));
        };
        let received = engine::receive_object(&self.endpoint, activity, source, tag).await?;
        activity.waits_for(Phase::Over);
        Ok(received)
    }

    /// The value that a blocking call has received.
    fn opened<T: DeserializeOwned>(
        &self,
        operation: &'static str,
        bytes: Option<Vec<u8>>,
        status: Status,
    ) -> Result<(T, Status)> {
        let value = decode(&bytes.unwrap_or_default());
        let value = value.map_err(|error| received(operation, error, status.source(), self.rank()))?;
        Ok((value, status))
    }
}

fn lowered(bytes: &[u8]) -> Span<'_> {
    Span::object(bytes.as_ptr().cast_mut(), bytes.len())
}

/// Nobody sends no value.
fn check_source(route: Route) -> Result<()> {
    match route {
        Route::From(Source::Rank(PROC_NULL), _) => Err(Error::invalid("no object comes from nobody")),
        _ => Ok(()),
    }
}

fn sent(operation: &'static str, error: Error, dest: usize, rank: usize) -> Error {
    error.peer(Peer::To(dest)).at(operation, rank)
}

/// An error that a received message has caused.
pub(super) fn received(operation: &'static str, error: Error, source: usize, rank: usize) -> Error {
    error.peer(Peer::From(source)).at(operation, rank)
}
