//! What tasks and results are made of, and how they travel.

use std::panic::{AssertUnwindSafe, catch_unwind};

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::function::text_of;
use crate::comm::Communicator;
#[cfg(feature = "cuda")]
use crate::device::cuda::DeviceBuffer;
#[cfg(feature = "cuda")]
use crate::dtype::Element;
use crate::error::{Error, ErrorKind, Result};
use crate::message::Tag;
use crate::object::{append, decode};

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

pub trait Travels: Send + Sized + 'static {
    /// Whether values go behind the message that tells of them, one at a time, and only to a worker that waits for them.
    const IS_BUFFER: bool;

    /// Puts a batch behind what a message has, if it travels in messages.
    ///
    /// # Errors
    /// What cannot be serialized.
    #[expect(clippy::ptr_arg, reason = "what travels is a vector")]
    fn pack(batch: &Vec<Self>, message: &mut Vec<u8>) -> Result<()>;

    /// Sends what does not travel in messages; returns when it may be used again.
    ///
    /// # Errors
    /// Those of the communicator.
    fn send(&self, comm: &Communicator, dest: usize, tag: Tag) -> Result<()>;

    /// The same, which goes on when this returns.
    fn isend(self, comm: &Communicator, dest: usize, tag: Tag);

    /// A batch, from its part of a message or from what follows this; and how many bytes it had on the way.
    ///
    /// # Errors
    /// [`Mismatch`](crate::ErrorKind::Mismatch), [`Device`](crate::ErrorKind::Device) and
    /// [`Unsupported`](crate::ErrorKind::Unsupported) if what was sent is consumed and its values cannot be made; others
    /// where the communicator has failed.
    fn unpack(part: &[u8], comm: &Communicator, source: usize, tag: Tag) -> Result<(Vec<Self>, u64)>;
}

impl<T: Serialize + DeserializeOwned + Send + 'static> Travels for T {
    const IS_BUFFER: bool = false;

    fn pack(batch: &Vec<T>, message: &mut Vec<u8>) -> Result<()> {
        append(batch, message)
    }

    fn send(&self, _: &Communicator, _: usize, _: Tag) -> Result<()> {
        Ok(())
    }

    fn isend(self, _: &Communicator, _: usize, _: Tag) {}

    fn unpack(part: &[u8], _: &Communicator, _: usize, _: Tag) -> Result<(Vec<T>, u64)> {
        Ok((decode(part)?, part.len() as u64))
    }
}

#[cfg(feature = "cuda")]
impl<E: Element> Travels for DeviceBuffer<E> {
    const IS_BUFFER: bool = true;

    fn pack(_: &Vec<Self>, _: &mut Vec<u8>) -> Result<()> {
        Ok(())
    }

    fn send(&self, comm: &Communicator, dest: usize, tag: Tag) -> Result<()> {
        match comm.send(self, dest, tag) {
            // Whoever cannot have it says so in a report.
            Err(error) if error.kind() == ErrorKind::PeerFailed => Ok(()),
            sent => sent,
        }
    }

    fn isend(self, comm: &Communicator, dest: usize, tag: Tag) {
        drop(comm.isend(self, dest, tag));
    }

    fn unpack(_: &[u8], comm: &Communicator, source: usize, tag: Tag) -> Result<(Vec<Self>, u64)> {
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

/// Puts a batch behind what a message has; after an error there is what there was.
pub(super) fn pack<T: Payload>(batch: &Vec<T>, message: &mut Vec<u8>) -> Result<()> {
    let before = message.len();
    guarded(|| T::pack(batch, message)).inspect_err(|_| message.truncate(before))
}

/// A batch, from its part of a message or from what follows this; or why there is none.
///
/// # Errors
/// Those of the communicator.
pub(super) fn unpack<T: Payload>(
    part: &[u8],
    comm: &Communicator,
    source: usize,
    tag: Tag,
) -> Result<std::result::Result<(Vec<T>, u64), Error>> {
    match guarded(|| T::unpack(part, comm, source, tag)) {
        Ok(unpacked) => Ok(Ok(unpacked)),
        Err(error) => match error.kind() {
            ErrorKind::InvalidArgument | ErrorKind::Mismatch | ErrorKind::Device | ErrorKind::Unsupported => {
                Ok(Err(error))
            }
            _ => Err(error),
        },
    }
}

/// A panic of what serializes or reads a value is an error of that value.
fn guarded<V>(travel: impl FnOnce() -> Result<V>) -> Result<V> {
    catch_unwind(AssertUnwindSafe(travel)).unwrap_or_else(|panic| {
        let text = format!("panicked: {}", text_of(&*panic));
        Err(Error::new(ErrorKind::Mismatch, text))
    })
}
