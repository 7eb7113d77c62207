//! Messages that are values of any type which serde serializes.
//!
//! A value is encoded into bytes of its own ([`encode`]), which travel as a message that knows it is an object and
//! not `u8` elements, and decoded behind a check of what was received ([`decode`]).

mod collectives;
mod decode;
mod encode;
mod messages;
mod reductions;
mod shape;
#[cfg(test)]
mod tests;
mod work;

use std::fmt;
use std::marker::PhantomData;
use std::sync::{Arc, Mutex, PoisonError};

use serde::de::DeserializeOwned;

use crate::error::{Error, Result};

#[cfg(feature = "pool")]
pub(crate) use decode::decode;
#[cfg(feature = "pool")]
pub(crate) use encode::append;

/// What [`irecv_object`](crate::Communicator::irecv_object) receives: a value, when its request is over.
///
/// ```
/// use warpcomm::{Communicator, Tag};
///
/// let words = Communicator::threads(2, |comm| {
///     let incoming = comm.irecv_object::<String>(1 - comm.rank(), Tag(0));
///     comm.send_object(&format!("from {}", comm.rank()), 1 - comm.rank(), Tag(0))?;
///     let (object, _status) = incoming.wait()?;
///     object.into_value()
/// })?;
/// assert_eq!(words.into_iter().collect::<warpcomm::Result<Vec<_>>>()?, ["from 1", "from 0"]);
/// # Ok::<(), warpcomm::Error>(())
/// ```
pub struct Object<T> {
    /// Filled by the operation.
    message: Arc<Mutex<Option<Received>>>,
    value: PhantomData<fn() -> T>,
}

/// An encoded value and where it came from.
struct Received {
    bytes: Vec<u8>,
    source: usize,
    rank: usize,
}

impl<T> Object<T> {
    fn empty() -> Object<T> {
        Object {
            message: Arc::default(),
            value: PhantomData,
        }
    }
}

impl<T: DeserializeOwned> Object<T> {
    /// The value.
    ///
    /// # Errors
    /// [`Mismatch`](crate::ErrorKind::Mismatch) if the message is a value of another type, or none at all;
    /// [`InvalidArgument`](crate::ErrorKind::InvalidArgument) if there was no message, because the receive was
    /// cancelled.
    pub fn into_value(self) -> Result<T> {
        let message = self.message.lock().unwrap_or_else(PoisonError::into_inner).take();
        match message {
            Some(Received { bytes, source, rank }) => decode::decode(&bytes)
                .map_err(|error| messages::received("irecv_object", error, source, rank)),
            None => Err(Error::invalid("no object was received")),
        }
    }
}

impl<T> fmt::Debug for Object<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Object<{}>", std::any::type_name::<T>())
    }
}
