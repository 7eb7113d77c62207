//! What has really carried the elements of an operation, as its span tells.

use std::fmt::Debug;
use std::sync::{Arc, Mutex, PoisonError};

use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber, subscriber};
use warpcomm::Path;

use super::subject::Subject;
use crate::Failure;

/// Runs an operation once more, and tells how its elements went: the algorithm, and behind a comma the path of those on
/// GPUs.
pub fn carried(subject: &mut dyn Subject) -> Result<Option<String>, Failure> {
    let first = First::default();
    let done = subscriber::with_default(first.clone(), || subject.run(1));
    // Whoever has traced goes on paying for it until somebody else says that nothing is to be traced.
    subscriber::with_default(Nobody, || ());
    done?;
    let path = first.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
    Ok(Some(path).filter(|path| !path.is_empty()))
}

/// The path in what [`carried`] tells, by the name that forces it; none where the elements are those of hosts, or have
/// ridden in frames or envelopes.
pub fn path(carried: &str) -> Option<String> {
    let (algorithm, path) = carried.split_once(", ")?;
    let rode = algorithm == "frames" || algorithm == "inline";
    (!rode).then(|| name(path))
}

/// The name that forces a path, of the words that show it.
pub fn name(path: &str) -> String {
    let is_it = |other: &&Path| other.to_string() == path;
    let found = Path::ALL.iter().find(is_it);
    found.map_or(path, |path| path.name()).to_owned()
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
    use super::*;
    use crate::bench::contents::Wrong;
    use warpcomm::{Communicator, Op};

    struct Reduction<'c>(&'c Communicator);

    impl Subject for Reduction<'_> {
        fn prepare(&mut self) -> Result<(), Failure> {
            Ok(())
        }

        fn run(&mut self, _repeats: u64) -> Result<(), Failure> {
            Ok(self.0.allreduce_in_place(&mut vec![1u8; 20_000], Op::Max)?)
        }

        fn wrong(&self) -> Result<Option<Wrong>, Failure> {
            Ok(None)
        }
    }

    #[test]
    fn an_operation_tells_its_algorithm_and_nothing_is_traced_afterwards() {
        // What is traced is the same for all threads, and here ranks are threads.
        let told = Communicator::threads(2, |comm| match comm.rank() {
            0 => carried(&mut Reduction(&comm)).unwrap(),
            _ => Reduction(&comm).run(1).map(|()| None).unwrap(),
        });
        assert_eq!(told.unwrap(), [Some("blocks".to_owned()), None]);
        assert_eq!(LevelFilter::current(), LevelFilter::OFF);
    }

    #[test]
    fn paths_have_the_names_that_force_them() {
        assert_eq!(path("leader, same GPU IPC").as_deref(), Some("same-gpu-ipc"));
        assert_eq!(path("rendezvous, cuda-aware").as_deref(), Some("cuda-aware"));
        assert_eq!(path("blocks"), None);
        assert_eq!(path("frames, staged"), None);
    }
}
