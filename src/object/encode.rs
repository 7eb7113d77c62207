//! From a value to the bytes of its message.
//!
//! ```text
//! version, 1 byte | length of the type's name, 4 bytes | the name | the value as CBOR
//! ```
//!
//! A short value is serialized once, into memory that grows. A longer one is serialized twice, once to learn the length,
//! and once into memory that has just that length: so its bytes are copied once, and no growing vector copies them again.

use std::any::type_name;

use cbor4ii::core::enc::{self, Write};
use cbor4ii::serde::{EncodeError, Serializer};
use serde::Serialize;

use super::shape::Shape;
use crate::buffer::{reserve, reserved};
use crate::error::{Error, Result};

/// The layout of a message.
pub(super) const VERSION: u8 = 1;

/// The bytes ahead of the type's name.
pub(super) const HEAD_BYTES: usize = 5;

/// Messages of more bytes are measured before they are made.
pub(super) const SHORT: usize = 16 * 1024;

/// Why writing has stopped.
#[derive(Debug, thiserror::Error)]
enum Stopped {
    /// What is written is no object.
    #[error("{0}")]
    Refused(&'static str),
    #[error("it is longer than {SHORT} bytes")]
    Long,
    #[error("no memory for it")]
    NoMemory,
}

/// Writes to the end of a vector that grows, up to a length, and stops at what no receiver would take.
struct Grow<'a> {
    bytes: &'a mut Vec<u8>,
    longest: usize,
    shape: &'a mut Shape,
}

impl Write for Grow<'_> {
    type Error = Stopped;

    fn push(&mut self, input: &[u8]) -> Result<(), Stopped> {
        if input.len() > self.longest - self.bytes.len() {
            return Err(Stopped::Long);
        }
        self.shape.push(input).map_err(Stopped::Refused)?;
        self.bytes
            .try_reserve(input.len())
            .map_err(|_| Stopped::NoMemory)?;
        self.bytes.extend_from_slice(input);
        Ok(())
    }
}

/// Counts what is written, and stops at what no receiver would take: a value that is nested deeper is not followed to
/// its end.
struct Measure<'a> {
    bytes: usize,
    shape: &'a mut Shape,
}

impl Write for Measure<'_> {
    type Error = Stopped;

    fn push(&mut self, input: &[u8]) -> Result<(), Stopped> {
        self.bytes = self.bytes.saturating_add(input.len());
        self.shape.push(input).map_err(Stopped::Refused)
    }
}

/// Writes to the end of a vector, within its capacity.
struct Fill<'a>(&'a mut Vec<u8>);

/// More is written than was measured.
#[derive(Debug, thiserror::Error)]
#[error("it was serialized to another length the second time")]
struct Changed;

impl Write for Fill<'_> {
    type Error = Changed;

    fn push(&mut self, input: &[u8]) -> Result<(), Changed> {
        match input.len() <= self.0.capacity() - self.0.len() {
            true => {
                self.0.extend_from_slice(input);
                Ok(())
            }
            false => Err(Changed),
        }
    }
}

/// The message of a value.
pub(super) fn encode<T: Serialize>(value: &T) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    append(value, &mut bytes)?;
    Ok(bytes)
}

/// Puts the message of a value behind what there is; after an error there is what there was.
pub(crate) fn append<T: Serialize>(value: &T, bytes: &mut Vec<u8>) -> Result<()> {
    let first = bytes.len();
    let appended = append_short(value, bytes).and_then(|is_there| match is_there {
        true => Ok(()),
        false => {
            bytes.truncate(first);
            let length = length(value)?;
            reserve(bytes, length, "an object")?;
            append_measured(value, length, bytes)
        }
    });
    if appended.is_err() {
        bytes.truncate(first);
    }
    appended
}

/// As [`append`], of a short message; says whether it is one.
fn append_short<T: Serialize>(value: &T, bytes: &mut Vec<u8>) -> Result<bool> {
    let first = bytes.len();
    let head = HEAD_BYTES + type_name::<T>().len();
    // Most are much shorter.
    reserve(bytes, head + 64, "an object")?;
    append_head::<T>(bytes);
    let mut shape = Shape::new();
    let written = value.serialize(&mut Serializer::new(Grow {
        longest: first + head + SHORT,
        bytes,
        shape: &mut shape,
    }));
    match written {
        Ok(()) => shape.end().map_err(unserializable::<T>).map(|()| true),
        Err(EncodeError::Core(enc::Error::Write(Stopped::Long))) => Ok(false),
        Err(error) => Err(cannot::<T, _>(error)),
    }
}

/// The messages of many values, one behind the other, and their lengths.
pub(super) fn encode_all<'a, T: Serialize + 'a>(
    values: impl Iterator<Item = Option<&'a T>> + Clone,
) -> Result<(Vec<u8>, Vec<usize>)> {
    let lengths: Result<Vec<usize>> = values.clone().map(|value| value.map_or(Ok(0), length)).collect();
    let lengths = lengths?;
    let total = lengths
        .iter()
        .fold(0usize, |total, &length| total.saturating_add(length));
    let mut bytes = reserved(total, "objects")?;
    for (value, &length) in values.zip(&lengths) {
        if let Some(value) = value {
            append_measured(value, length, &mut bytes)?;
        }
    }
    Ok((bytes, lengths))
}

/// The length of a value's message in bytes.
fn length<T: Serialize>(value: &T) -> Result<usize> {
    let mut shape = Shape::new();
    let mut measure = Serializer::new(Measure {
        bytes: 0,
        shape: &mut shape,
    });
    value.serialize(&mut measure).map_err(cannot::<T, _>)?;
    let bytes = measure.into_inner().bytes;
    shape.end().map_err(unserializable::<T>)?;
    Ok(bytes.saturating_add(HEAD_BYTES + type_name::<T>().len()))
}

fn append_measured<T: Serialize>(value: &T, length: usize, bytes: &mut Vec<u8>) -> Result<()> {
    let first = bytes.len();
    append_head::<T>(bytes);
    value
        .serialize(&mut Serializer::new(Fill(bytes)))
        .map_err(cannot::<T, _>)?;
    if bytes.len() - first != length {
        return Err(cannot::<T, _>(EncodeError::from(Changed)));
    }
    Ok(())
}

/// What is ahead of the value.
fn append_head<T>(bytes: &mut Vec<u8>) {
    let name = type_name::<T>();
    bytes.push(VERSION);
    bytes.extend((name.len() as u32).to_le_bytes());
    bytes.extend(name.as_bytes());
}

/// The error of a value that cannot be serialized.
fn cannot<T, E: std::error::Error>(error: EncodeError<E>) -> Error {
    match error {
        EncodeError::Core(enc::Error::Write(error)) => unserializable::<T>(&error.to_string()),
        EncodeError::Core(error) => unserializable::<T>(&error.to_string()),
        EncodeError::Custom(text) => unserializable::<T>(&text),
    }
}

fn unserializable<T>(problem: &str) -> Error {
    Error::invalid(format!("a {} cannot be serialized: {problem}", type_name::<T>()))
}
