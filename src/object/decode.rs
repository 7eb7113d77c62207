//! From the bytes of a message to a value, if they are one of the type that is asked for.

use std::any::type_name;
use std::convert::Infallible;

use cbor4ii::core::dec::{Read, Reference};
use cbor4ii::serde::{DecodeError, Deserializer};
use serde::de::DeserializeOwned;

use super::encode::{HEAD_BYTES, VERSION};
use super::shape;
use crate::error::{Error, ErrorKind, Result};

/// What is still to be read of a message; text and bytes are borrowed from it.
struct Rest<'a>(&'a [u8]);

impl<'a> Read<'a> for Rest<'a> {
    type Error = Infallible;

    #[inline]
    fn fill<'b>(&'b mut self, want: usize) -> Result<Reference<'a, 'b>, Infallible> {
        Ok(Reference::Long(&self.0[..want.min(self.0.len())]))
    }

    #[inline]
    fn advance(&mut self, bytes: usize) {
        self.0 = &self.0[bytes.min(self.0.len())..];
    }
}

/// The value in a message.
///
/// Whatever the bytes are, what is allocated is in proportion to them: the [shape](shape::check) says that as many
/// elements are there as the message claims.
pub(super) fn decode<T: DeserializeOwned>(message: &[u8]) -> Result<T> {
    let expected = type_name::<T>();
    let (name, body) = parted(message)?;
    if name != expected.as_bytes() {
        let name = String::from_utf8_lossy(name);
        return Err(Error::new(
            ErrorKind::Mismatch,
            format!("an object of the type {name} met a receive of the type {expected}"),
        ));
    }
    let malformed = |problem: &str| {
        Error::new(
            ErrorKind::Mismatch,
            format!("an object of {} bytes is no {expected}: {problem}", message.len()),
        )
    };
    shape::check(body).map_err(malformed)?;
    let mut deserializer = Deserializer::new(Rest(body));
    let value = T::deserialize(&mut deserializer).map_err(|error| match error {
        DecodeError::Core(error) => malformed(&error.to_string()),
        DecodeError::Custom(text) => malformed(&text),
    })?;
    match deserializer.into_inner() {
        Rest([]) => Ok(value),
        Rest(_) => Err(malformed("something follows it")),
    }
}

/// The name of a message's type, and the value behind it.
fn parted(message: &[u8]) -> Result<(&[u8], &[u8])> {
    let malformed = || {
        Error::new(
            ErrorKind::Mismatch,
            format!("a message of {} bytes is no object", message.len()),
        )
    };
    let (head, rest) = message.split_at_checked(HEAD_BYTES).ok_or_else(malformed)?;
    let &[version, a, b, c, d] = head else {
        return Err(malformed());
    };
    if version != VERSION {
        return Err(Error::new(
            ErrorKind::Mismatch,
            format!("an object of layout {version}, where {VERSION} is known: another version of warpcomm"),
        ));
    }
    let length = u32::from_le_bytes([a, b, c, d]) as usize;
    rest.split_at_checked(length).ok_or_else(malformed)
}
