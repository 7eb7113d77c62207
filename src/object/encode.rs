//! From a value to the bytes of its message.
//!
//! ```text
//! version, 1 byte | length of the type's name, 4 bytes | the name | the value as CBOR
//! ```
//!
//! A value is serialized twice: once to learn the length, and once into memory that has just that length. So its
//! bytes are copied once, and no growing vector copies them again.

use std::any::type_name;

use cbor4ii::core::enc::{self, Write};
use cbor4ii::serde::{EncodeError, Serializer};
use serde::Serialize;

use super::shape::Shape;
use crate::buffer::reserved;
use crate::error::{Error, Result};

/// The layout of a message.
pub(super) const VERSION: u8 = 1;

/// The bytes ahead of the type's name.
pub(super) const HEAD_BYTES: usize = 5;

/// Counts what is written, and stops at what no receiver would take: a value that is nested deeper is not followed to
/// its end.
struct Measure {
    bytes: usize,
    shape: Shape,
}

/// What is written is no object.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Refused(&'static str);

impl Write for Measure {
    type Error = Refused;

    fn push(&mut self, input: &[u8]) -> Result<(), Refused> {
        self.bytes = self.bytes.saturating_add(input.len());
        self.shape.push(input).map_err(Refused)
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
    let length = length(value)?;
    let mut bytes = reserved(length, "an object")?;
    append(value, length, &mut bytes)?;
    Ok(bytes)
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
            append(value, length, &mut bytes)?;
        }
    }
    Ok((bytes, lengths))
}

/// The length of a value's message in bytes.
fn length<T: Serialize>(value: &T) -> Result<usize> {
    let mut measure = Serializer::new(Measure {
        bytes: 0,
        shape: Shape::new(),
    });
    value.serialize(&mut measure).map_err(cannot::<T, _>)?;
    let Measure { bytes, shape } = measure.into_inner();
    shape.end().map_err(unserializable::<T>)?;
    Ok(bytes.saturating_add(HEAD_BYTES + type_name::<T>().len()))
}

fn append<T: Serialize>(value: &T, length: usize, bytes: &mut Vec<u8>) -> Result<()> {
    let first = bytes.len();
    let name = type_name::<T>();
    bytes.push(VERSION);
    bytes.extend((name.len() as u32).to_le_bytes());
    bytes.extend(name.as_bytes());
    value
        .serialize(&mut Serializer::new(Fill(bytes)))
        .map_err(cannot::<T, _>)?;
    if bytes.len() - first != length {
        return Err(cannot::<T, _>(EncodeError::from(Changed)));
    }
    Ok(())
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
