//! What carried the bytes of an operation: as its span tells those who trace.

use std::fmt::Debug;
use std::sync::{Arc, Mutex, PoisonError};

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

use crate::Failure;

/// Keeps the path of the latest operation that has one.
#[derive(Clone, Default)]
struct Listener(Arc<Mutex<String>>);

impl Visit for Listener {
    fn record_debug(&mut self, _: &Field, _: &dyn Debug) {}

    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "path" {
            *self.0.lock().unwrap_or_else(PoisonError::into_inner) = value.to_owned();
        }
    }
}

impl Subscriber for Listener {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target() == "warpcomm"
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, values: &Record<'_>) {
        values.record(&mut self.clone());
    }

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, _: &Event<'_>) {}

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

/// Runs an operation once more, and tells what carried its bytes. It is never timed: who traces pays for it.
///
/// # Errors
/// Where they went another way than the one that was expected, or the operation fails.
pub fn carried(
    expected: Option<&str>,
    operation: impl FnOnce() -> Result<(), Failure>,
) -> Result<String, Failure> {
    let listener = Listener::default();
    tracing::subscriber::with_default(listener.clone(), operation)?;
    let path = listener.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
    match expected {
        Some(expected) if expected != path => {
            Err(format!("the bytes went by {path:?}, and not by {expected:?}").into())
        }
        _ => Ok(path),
    }
}
