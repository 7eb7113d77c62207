//! What tasks and results are made of, and how they travel.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::comm::Communicator;
#[cfg(feature = "cuda")]
use crate::device::cuda::DeviceBuffer;
#[cfg(feature = "cuda")]
use crate::dtype::Element;
use crate::error::Result;
#[cfg(feature = "cuda")]
use crate::error::{Error, ErrorKind};
use crate::message::Tag;
use crate::request::{Request, Tested};

/// What a task, a result or a named value of a [`Pool`](super::Pool) can be: any type that serde serializes and reads, or a
/// [`DeviceBuffer`](crate::DeviceBuffer), which travels from GPU to GPU.
///
/// Values of serde's travel as [objects](Communicator::send_object), many of them in a message where they are small. Bytes
/// in bulk go faster with the crate `serde_bytes`. Device buffers travel one at a time, each on a stream of its own, and to
/// a worker that waits for them.
///
/// Sealed: there is nothing else.
pub trait Payload: Travels {}

impl<P: Travels> Payload for P {}

/// A send that is under way.
pub trait Sending {
    /// Whether it is over; drives it on.
    fn is_over(&self) -> bool;
}

impl<B: Send + 'static> Sending for Request<B> {
    fn is_over(&self) -> bool {
        self.is_done()
    }
}

pub trait Travels: Send + Sized + 'static {
    /// Whether values go one at a time, and only to a worker that waits for them.
    const IS_BUFFER: bool;

    /// Sends a batch in one message, which may go on when this returns.
    ///
    /// # Errors
    /// What cannot be serialized, which is not sent.
    #[expect(clippy::ptr_arg, reason = "what travels is a vector")]
    fn send(
        batch: &Vec<Self>,
        comm: &Communicator,
        dest: usize,
        tag: Tag,
    ) -> Result<Option<Box<dyn Sending>>>;

    /// Sends one value in a message, which may go on when this returns.
    ///
    /// # Errors
    /// As for [`send`](Self::send).
    fn send_one(self, comm: &Communicator, dest: usize, tag: Tag) -> Result<Option<Box<dyn Sending>>> {
        Self::send(&vec![self], comm, dest, tag)
    }

    /// Receives a batch, and how many bytes it had on the way.
    ///
    /// # Errors
    /// [`Mismatch`](crate::ErrorKind::Mismatch), [`Device`](crate::ErrorKind::Device) and
    /// [`Unsupported`](crate::ErrorKind::Unsupported) if the message is consumed and its values cannot be made; others
    /// where the communicator has failed.
    fn receive(comm: &Communicator, source: usize, tag: Tag) -> Result<(Vec<Self>, u64)>;
}

impl<T: Serialize + DeserializeOwned + Send + 'static> Travels for T {
    const IS_BUFFER: bool = false;

    fn send(batch: &Vec<T>, comm: &Communicator, dest: usize, tag: Tag) -> Result<Option<Box<dyn Sending>>> {
        match comm.isend_object(batch, dest, tag).test() {
            Ok(Tested::Done(..)) => Ok(None),
            Ok(Tested::Pending(request)) => Ok(Some(Box::new(request))),
            Err(failed) => Err(failed.into_parts().0),
        }
    }

    fn receive(comm: &Communicator, source: usize, tag: Tag) -> Result<(Vec<T>, u64)> {
        let (batch, status) = comm.recv_object(source, tag)?;
        Ok((batch, status.count()))
    }
}

#[cfg(feature = "cuda")]
impl<E: Element> Travels for DeviceBuffer<E> {
    const IS_BUFFER: bool = true;

    fn send(
        batch: &Vec<Self>,
        comm: &Communicator,
        dest: usize,
        tag: Tag,
    ) -> Result<Option<Box<dyn Sending>>> {
        for buffer in batch {
            match comm.send(buffer, dest, tag) {
                // Whoever cannot have it says so in a report.
                Err(error) if error.kind() == ErrorKind::PeerFailed => {}
                sent => sent?,
            }
        }
        Ok(None)
    }

    fn send_one(self, comm: &Communicator, dest: usize, tag: Tag) -> Result<Option<Box<dyn Sending>>> {
        Ok(Some(Box::new(comm.isend(self, dest, tag))))
    }

    fn receive(comm: &Communicator, source: usize, tag: Tag) -> Result<(Vec<Self>, u64)> {
        let message = comm.mprobe(source, tag)?;
        let elements = usize::try_from(message.status().count()).unwrap_or(usize::MAX);
        let made = comm.device().and_then(|device| {
            let stream = device.new_stream();
            let stream =
                stream.map_err(|error| Error::new(ErrorKind::Device, "no stream").with_source(error))?;
            DeviceBuffer::<E>::zeros(&stream, elements)
        });
        match made {
            Ok(mut buffer) => {
                message.recv(&mut buffer)?;
                Ok((vec![buffer], (elements * size_of::<E>()) as u64))
            }
            Err(error) => {
                // Its sender waits until somebody takes it: it is refused.
                drop(message.recv(&mut Vec::<E>::new()));
                Err(error)
            }
        }
    }
}
