//! Messages that a probe takes, so that nobody else receives them.

use std::fmt;
use std::pin::pin;

use crate::buffer::{BufferMut, OwnedBufferMut, Span};
use crate::comm::Communicator;
use crate::dtype::Dtype;
use crate::engine::Matched;
use crate::error::Result;
use crate::message::{PROC_NULL, Source, Status, Tag};
use crate::request::Request;
use crate::route::{Route, Way};

/// A message that a matched probe has taken, to be received exactly once.
///
/// No other receive or probe finds it. A `Message` that is dropped without being received is put back at its
/// place among the messages that have arrived, where later receives and probes find it again; receives that are
/// under way by then do not.
///
/// MPI standard, section 3.8.2 (`MPI_Message`).
#[must_use = "a message that is dropped is put back"]
pub struct Message {
    comm: Communicator,
    status: Status,
    /// Taken when it is received; none from the beginning if it is from nobody.
    matched: Option<Matched>,
}

impl Communicator {
    /// Waits until a message from `source` with `tag` can be received, and takes it.
    ///
    /// Unlike after [`probe`](Self::probe) no other thread can receive it first.
    ///
    /// MPI standard, section 3.8.2 (`MPI_Mprobe`).
    ///
    /// # Errors
    /// As for [`probe`](Self::probe).
    ///
    /// ```
    /// use warpcomm::{Communicator, Source, Tag};
    ///
    /// let received = Communicator::threads(2, |comm| {
    ///     if comm.rank() == 0 {
    ///         comm.send(&[1u8, 2, 3], 1, Tag(4))?;
    ///         return Ok(vec![]);
    ///     }
    ///     let message = comm.mprobe(Source::Any, Tag::ANY)?;
    ///     let mut buffer = vec![0u8; message.status().count() as usize];
    ///     message.recv(&mut buffer)?;
    ///     Ok::<_, warpcomm::Error>(buffer)
    /// })?;
    /// assert_eq!(received.into_iter().collect::<Result<Vec<_>, _>>()?, [vec![], vec![1, 2, 3]]);
    /// # Ok::<(), warpcomm::Error>(())
    /// ```
    pub fn mprobe(&self, source: impl Into<Source>, tag: Tag) -> Result<Message> {
        let source = source.into();
        self.look_until("mprobe", (source, tag), || self.taken(source, tag))
    }

    /// Takes a message from `source` with `tag` if one can be received now.
    ///
    /// MPI standard, section 3.8.2 (`MPI_Improbe`).
    ///
    /// # Errors
    /// As for [`probe`](Self::probe).
    ///
    /// ```
    /// use warpcomm::{Communicator, Source, Tag};
    ///
    /// let numbers = Communicator::threads(1, |comm| {
    ///     assert!(comm.improbe(Source::Any, Tag::ANY)?.is_none());
    ///     comm.send(&[5i32], 0, Tag(1))?;
    ///     let message = comm.improbe(0, Tag(1))?.expect("it was sent");
    ///     assert!(comm.iprobe(0, Tag(1))?.is_none()); // nobody else finds it
    ///     let (numbers, _) = message.irecv(vec![0i32]).wait()?;
    ///     Ok::<_, warpcomm::Error>(numbers)
    /// })?;
    /// assert_eq!(numbers.into_iter().collect::<Result<Vec<_>, _>>()?, [[5]]);
    /// # Ok::<(), warpcomm::Error>(())
    /// ```
    pub fn improbe(&self, source: impl Into<Source>, tag: Tag) -> Result<Option<Message>> {
        let source = source.into();
        self.look_once("improbe", (source, tag), || self.taken(source, tag))
    }

    fn taken(&self, source: Source, tag: Tag) -> Result<Option<Message>> {
        let taken = match source {
            Source::Rank(PROC_NULL) => Some((None, Status::null(Dtype::U8))),
            source => {
                let found = self.endpoint.take(source, tag)?;
                found.map(|(matched, status)| (Some(matched), status))
            }
        };
        Ok(taken.map(|(matched, status)| Message {
            comm: self.clone(),
            status,
            matched,
        }))
    }
}

impl Message {
    /// What the message is: source, tag, count and type of the elements.
    pub fn status(&self) -> Status {
        self.status
    }

    fn route(&self) -> Route {
        Route::From(Source::Rank(self.status.source), self.status.tag)
    }

    fn way(&mut self) -> Way {
        match self.matched.take() {
            Some(matched) => Way::Matched(matched),
            None => Way::Open(self.route()),
        }
    }

    /// Receives the message into a buffer; returns when it is there.
    ///
    /// MPI standard, section 3.8.3 (`MPI_Mrecv`).
    ///
    /// # Errors
    /// As for [`Communicator::recv`]; the message is consumed.
    ///
    /// ```
    /// use warpcomm::{Communicator, Source, Tag};
    ///
    /// let received = Communicator::threads(2, |comm| {
    ///     if comm.rank() == 0 {
    ///         return comm.send(&[7u32, 8], 1, Tag(0)).map(|()| vec![]);
    ///     }
    ///     let message = comm.mprobe(Source::Any, Tag(0))?;
    ///     let mut buffer = vec![0u32; message.status().count() as usize];
    ///     message.recv(&mut buffer)?;
    ///     Ok(buffer)
    /// })?;
    /// assert_eq!(received.into_iter().collect::<Result<Vec<_>, warpcomm::Error>>()?, [vec![], vec![7, 8]]);
    /// # Ok::<(), warpcomm::Error>(())
    /// ```
    pub fn recv<B: BufferMut + ?Sized>(mut self, buffer: &mut B) -> Result<Status> {
        let span = buffer.lower_mut();
        let comm = self.comm.clone();
        let activity = comm.message("mrecv", &span, self.route());
        let inside = comm.enter(&activity)?;
        let way = self.way();
        comm.run(&inside, &[&activity], pin!(comm.go(&activity, &span, way)))
    }

    /// Starts to receive the message into a buffer, which the request owns until it is waited for.
    ///
    /// MPI standard, section 3.8.3 (`MPI_Imrecv`).
    ///
    /// # Errors
    /// Those of [`recv`](Self::recv) arrive at [`Request::wait`].
    pub fn irecv<B: OwnedBufferMut>(mut self, buffer: B) -> Request<B> {
        let route = self.route();
        if let Err(error) = self.comm.endpoint.check() {
            // The message is put back.
            let activity = self.comm.message("imrecv", &Span::empty(Dtype::U8), route);
            return Request::over(Err(activity.name(error)), buffer);
        }
        let way = self.way();
        self.comm.start_to_receive("imrecv", buffer, route, way)
    }
}

impl Drop for Message {
    fn drop(&mut self) {
        if let Some(matched) = self.matched.take() {
            self.comm.endpoint.put_back(matched);
        }
    }
}

impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Message({:?})", self.status)
    }
}
