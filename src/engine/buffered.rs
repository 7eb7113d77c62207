//! The copies that buffered sends make of their elements.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::Engine;
use crate::buffer::{self, Span};
use crate::device::Place;
use crate::dtype::Dtype;
use crate::error::{Error, ErrorKind, Result};

/// The bytes of all copies that are not sent yet.
#[derive(Default)]
pub(super) struct Usage(AtomicUsize);

/// The right to make a copy, until it is dropped.
pub(crate) struct Room {
    engine: Arc<Engine>,
    bytes: usize,
    memory: Vec<u8>,
}

/// A copy of a span's elements in the memory of the host.
pub(crate) struct Buffered {
    room: Room,
    elements: usize,
    dtype: Dtype,
    /// Why the elements could not be copied.
    failure: Option<Error>,
}

impl Room {
    /// Room for `bytes` bytes.
    pub(crate) fn new(engine: &Arc<Engine>, bytes: usize) -> Result<Room> {
        let limit = engine.config.buffered_limit;
        let add = |used: usize| used.checked_add(bytes).filter(|&total| total <= limit);
        let reserved = engine
            .buffered
            .0
            .fetch_update(Ordering::AcqRel, Ordering::Relaxed, add);
        reserved.map_err(|used| {
            Error::new(
                ErrorKind::Device,
                format!(
                    "no room for a copy of {bytes} bytes: buffered sends hold {used} of {limit} \
                     (WARPCOMM_BUFFERED_LIMIT)"
                ),
            )
        })?;
        let mut room = Room {
            engine: Arc::clone(engine),
            bytes,
            memory: Vec::new(),
        };
        room.memory = buffer::reserved(bytes, "a copy")?;
        room.memory.resize(bytes, 0);
        Ok(room)
    }

    /// Copies the elements of a span of that many bytes.
    pub(crate) async fn fill(mut self, span: &Span<'_>) -> Buffered {
        let failure = match span.check() {
            Ok(()) => span.read(&mut self.memory).await.err(),
            failed => failed.err(),
        };
        Buffered {
            room: self,
            elements: span.elements(),
            dtype: span.dtype(),
            failure,
        }
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        self.engine.buffered.0.fetch_sub(self.bytes, Ordering::AcqRel);
    }
}

impl Buffered {
    /// Whether the elements were copied.
    pub(crate) fn check(&self) -> Result<()> {
        match &self.failure {
            None => Ok(()),
            Some(error) => Err(error.duplicate()),
        }
    }

    /// The copy, to be read.
    pub(crate) fn span(&self) -> Span<'_> {
        let pointer = self.room.memory.as_ptr().cast_mut();
        let span = Span::scratch(pointer, self.elements, self.dtype, Place::Host, None);
        match &self.failure {
            None => span,
            Some(error) => span.failed(error),
        }
    }
}
