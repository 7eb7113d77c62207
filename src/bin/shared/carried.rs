//! What has really carried the elements of an operation, as its span tells.

use std::fmt::Debug;
use std::sync::{Arc, Mutex, PoisonError};

use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber, subscriber};

/// Runs an operation, and tells how its elements went: the algorithm, and behind a comma the path of those on GPUs. Of
/// several operations it is the first that has any elements.
///
/// It is never timed: who traces pays for it.
pub fn carried<E>(operation: impl FnOnce() -> Result<(), E>) -> Result<Option<String>, E> {
    let first = First::default();
    let done = subscriber::with_default(first.clone(), operation);
    // Whoever has traced goes on paying for it until somebody else says that nothing is to be traced.
    subscriber::with_default(Nobody, || ());
    done?;
    let path = first.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
    Ok(Some(path).filter(|path| !path.is_empty()))
}

/// How the elements of the first operation that has any have travelled.
#[derive(Clone, Default)]
struct First(Arc<Mutex<String>>);

impl Visit for &First {
    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "path" {
            let mut first = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            // Behind the elements that are measured an answer may come.
            if first.is_empty() {
                value.clone_into(&mut first);
            }
        }
    }

    fn record_debug(&mut self, _field: &Field, _value: &dyn Debug) {}
}

/// The rest of a subscriber that keeps no spans.
macro_rules! keeps_no_spans {
    () => {
        fn new_span(&self, _attributes: &Attributes<'_>) -> Id {
            // Nobody asks which it is.
            Id::from_u64(1)
        }

        fn record_follows_from(&self, _span: &Id, _follows: &Id) {}

        fn event(&self, _event: &Event<'_>) {}

        fn enter(&self, _span: &Id) {}

        fn exit(&self, _span: &Id) {}
    };
}

impl Subscriber for First {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.is_span() && *metadata.level() <= Level::DEBUG && metadata.target() == "warpcomm"
    }

    fn record(&self, _span: &Id, values: &Record<'_>) {
        values.record(&mut &*self);
    }

    keeps_no_spans!();
}

/// One that traces nothing, and says so.
struct Nobody;

impl Subscriber for Nobody {
    fn enabled(&self, _metadata: &Metadata<'_>) -> bool {
        false
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(LevelFilter::OFF)
    }

    fn record(&self, _span: &Id, _values: &Record<'_>) {}

    keeps_no_spans!();
}

#[cfg(test)]
mod tests {
    use warpcomm::{Communicator, Op};

    use super::*;

    #[test]
    fn an_operation_tells_its_algorithm_and_nothing_is_traced_afterwards() {
        // What is traced is the same for all threads, and here ranks are threads.
        let told = Communicator::threads(2, |comm| {
            let sum = || comm.allreduce_in_place(&mut vec![1u8; 20_000], Op::Max);
            match comm.rank() {
                0 => carried(sum),
                _ => sum().map(|()| None),
            }
        });
        let told: Result<Vec<_>, _> = told.unwrap().into_iter().collect();
        assert_eq!(told.unwrap(), [Some("blocks".to_owned()), None]);
        assert_eq!(LevelFilter::current(), LevelFilter::OFF);
    }
}
