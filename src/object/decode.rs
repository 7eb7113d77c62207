//! From the bytes of a message to a value, if they are one of the type that is asked for.

use std::any::type_name;
use std::convert::Infallible;

use cbor4ii::core::dec::{Read, Reference};
use cbor4ii::serde::{DecodeError, Deserializer};
use serde::de::DeserializeOwned;

use super::encode::{HEAD_BYTES, VERSION};
use super::shape::{self, DEEPEST};
use crate::error::{Error, ErrorKind, Result};

/// A map of one pair.
const PAIR: u8 = 0xa1;

/// How many items may be decoded inside each other.
///
/// More than containers, because options and the forms of enums that serde looks at twice are decoded in several steps
/// at the same place. A type that is an option of itself has steps there without end.
const STEPS: usize = 4 * DEEPEST;

/// What is still to be read of a message; text and bytes are borrowed from it.
///
/// cbor4ii takes a name alone for a variant with a value, which it reads from what comes next, and it leaves the value
/// of a variant that has none. Values would be inside each other without containers, and items be taken for others. So
/// who decodes an item is held to that item.
struct Rest<'a> {
    bytes: &'a [u8],
    steps: usize,
    item: Item,
}

/// What is known of the innermost item that is being decoded. Places are told by the bytes behind them.
#[derive(Clone, Copy)]
enum Item {
    /// Nothing, or it is over.
    Unknown,
    /// It has no items inside and ends there.
    Leaf { end: usize },
    /// It is a map of one pair, as a variant with its value is; its key ends there.
    Pair { key_end: usize },
    /// A value was left.
    Left,
}

impl Rest<'_> {
    fn item(&self) -> Item {
        let behind = |first: usize| {
            let leaf = shape::leaf(self.bytes.get(first..)?)?;
            self.bytes.len().checked_sub(first + leaf)
        };
        match self.bytes.first() {
            Some(&PAIR) => behind(1).map_or(Item::Unknown, |key_end| Item::Pair { key_end }),
            _ => behind(0).map_or(Item::Unknown, |end| Item::Leaf { end }),
        }
    }

    /// The bytes that the innermost item may still have.
    fn left(&self) -> usize {
        match self.item {
            Item::Leaf { end } => self.bytes.len().saturating_sub(end),
            Item::Left => 0,
            Item::Unknown | Item::Pair { .. } => self.bytes.len(),
        }
    }
}

impl<'a> Read<'a> for Rest<'a> {
    type Error = Infallible;

    #[inline]
    fn fill<'b>(&'b mut self, want: usize) -> Result<Reference<'a, 'b>, Infallible> {
        Ok(Reference::Long(&self.bytes[..want.min(self.left())]))
    }

    #[inline]
    fn advance(&mut self, bytes: usize) {
        self.bytes = &self.bytes[bytes.min(self.left())..];
    }

    fn step_in(&mut self) -> bool {
        if self.steps == STEPS || self.left() == 0 {
            return false;
        }
        self.steps += 1;
        // Steps inside a leaf are pieces of its text, or at its beginning.
        if !matches!(self.item, Item::Leaf { .. }) {
            self.item = self.item();
        }
        true
    }

    fn step_out(&mut self) {
        self.steps -= 1;
        self.item = match self.item {
            Item::Pair { key_end } if key_end == self.bytes.len() => Item::Left,
            Item::Leaf { end } if end != self.bytes.len() => self.item,
            Item::Left => Item::Left,
            _ => Item::Unknown,
        };
    }
}

/// The value in a message.
///
/// Whatever the bytes are, what is allocated is in proportion to them: the [shape](shape::check) says that as many
/// elements are there as the message claims.
pub(crate) fn decode<T: DeserializeOwned>(message: &[u8]) -> Result<T> {
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
    let mut deserializer = Deserializer::new(Rest {
        bytes: body,
        steps: 0,
        item: Item::Unknown,
    });
    let value = T::deserialize(&mut deserializer).map_err(|error| match error {
        DecodeError::Core(error) => malformed(&error.to_string()),
        DecodeError::Custom(text) => malformed(&text),
    })?;
    match deserializer.into_inner().bytes {
        [] => Ok(value),
        _ => Err(malformed("something follows it")),
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
