//! What a reduction has really taken, as its span tells: where kernels reach which elements, ranks know when they agree.

use std::fmt::Debug;
use std::sync::{Arc, Mutex, PoisonError};

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber, subscriber};
use warpcomm::{Algorithm, Communicator, Op};

use super::buffers::Buffers;
use super::measure::Case;
use crate::Failure;

/// Nothing if all ranks take the algorithm for so many bytes, or else what this rank takes.
pub fn takes(
    comm: &Communicator,
    case: &Case<'_>,
    bytes: usize,
    algorithm: Algorithm,
) -> Result<Result<(), String>, Failure> {
    let mut buffers = Buffers::new(comm, case.memory, bytes)?;
    let latest = Latest::default();
    subscriber::with_default(latest.clone(), || buffers.run(comm, case.operation))?;
    let taken = latest.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let name = taken.split(", ").next().unwrap_or_default();
    let mut all = u8::from(name == algorithm.to_string());
    comm.allreduce_in_place(&mut all, Op::Min)?;
    Ok(match all {
        0 => Err(format!("the ranks take {taken}")),
        _ => Ok(()),
    })
}

/// How the elements of the latest operation have travelled.
#[derive(Clone, Default)]
struct Latest(Arc<Mutex<String>>);

impl Visit for &Latest {
    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "path" {
            let mut latest = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            value.clone_into(&mut latest);
        }
    }

    fn record_debug(&mut self, _field: &Field, _value: &dyn Debug) {}
}

impl Subscriber for Latest {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.is_span() && *metadata.level() <= Level::DEBUG && metadata.target() == "warpcomm"
    }

    fn new_span(&self, _attributes: &Attributes<'_>) -> Id {
        // Nobody asks which it is.
        Id::from_u64(1)
    }

    fn record(&self, _span: &Id, values: &Record<'_>) {
        values.record(&mut &*self);
    }

    fn record_follows_from(&self, _span: &Id, _follows: &Id) {}

    fn event(&self, _event: &Event<'_>) {}

    fn enter(&self, _span: &Id) {}

    fn exit(&self, _span: &Id) {}
}
