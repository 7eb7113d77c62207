//! What operations show to those who trace: a span of the crate `tracing`, a range of NVTX, and events in a file of the
//! rank's.
//!
//! An operation is shown from its start to its end, whichever threads it is on meanwhile. Who does not trace pays
//! for a look at two numbers, and for one look in each phase.

mod clock;
mod lanes;
mod names;
mod nvtx;
mod recorder;
mod text;
mod timeline;
mod writer;

use std::panic::{self, AssertUnwindSafe};
use std::sync::atomic::{AtomicUsize, Ordering};

use tracing::field::Empty;
use tracing::level_filters::{LevelFilter, STATIC_MAX_LEVEL};
use tracing::span::EnteredSpan;
use tracing::{Level, Span};

use super::activity::Activity;
use super::sequence::Sequence;
use crate::error::{ErrorKind, Peer, Result};
use crate::message::{PROC_NULL, Tag};

pub(crate) use recorder::Recorder;
pub(super) use recorder::write_all;
pub(super) use timeline::Kept;

/// How many there are who want to be shown operations, but for subscribers of the crate `tracing`: the tool behind NVTX,
/// and the ranks that keep a file.
static WATCHERS: AtomicUsize = AtomicUsize::new(0);

/// What shows an operation while it is under way.
pub(super) struct Trace {
    span: Span,
    /// Ends with this value.
    _range: Option<nvtx::Range>,
    /// Whether their number was known at the start.
    has_bytes: bool,
    /// Of the steps that are over.
    outcome: Option<Result<(), ErrorKind>>,
}

/// Looks for a tool that shows NVTX ranges, once in a process, and at whether this rank keeps a file.
pub(super) fn start(recorder: Option<&Recorder>) {
    if nvtx::load() {
        WATCHERS.fetch_add(1, Ordering::Relaxed);
    }
    if recorder.is_some() {
        WATCHERS.fetch_add(1, Ordering::Relaxed);
    }
}

/// Writes what a rank has kept, which shows nothing any more.
pub(super) fn stop(recorder: Option<&Recorder>) {
    if let Some(recorder) = recorder {
        WATCHERS.fetch_sub(1, Ordering::Relaxed);
        recorder.write();
    }
}

/// Whether there are subscribers to spans.
#[inline]
fn has_subscribers() -> bool {
    Level::DEBUG <= STATIC_MAX_LEVEL && Level::DEBUG <= LevelFilter::current()
}

/// Whether a span or a range may be shown.
pub(super) fn shows() -> bool {
    has_subscribers() || nvtx::is_on()
}

/// Whether anybody may trace.
#[inline]
pub(super) fn is_on() -> bool {
    has_subscribers() || WATCHERS.load(Ordering::Relaxed) > 0
}

/// Runs what calls those who trace where nothing may unwind: they are not ours, and a panic of theirs stays with them.
fn contained(call: impl FnOnce()) {
    // The hook has told of the panic.
    let _ = panic::catch_unwind(AssertUnwindSafe(call));
}

/// The spans that a thread is inside of.
pub(super) struct Entered(Vec<EnteredSpan>);

/// Enters the parts of a blocking operation, for one of its steps. Tasks have no thread.
#[cold]
pub(super) fn enter(activities: &[&Activity]) -> Entered {
    let own = activities.iter().filter(|activity| !activity.is_task());
    let spans = own.filter_map(|activity| {
        activity.begin();
        activity.span()
    });
    Entered(spans.map(Span::entered).collect())
}

impl Entered {
    /// Leaves them, with what has become of the step.
    #[cold]
    pub(super) fn leave(mut self, activities: &[&Activity], outcome: Result<(), ErrorKind>) {
        let own = activities.iter().filter(|activity| !activity.is_task());
        own.for_each(|activity| activity.note(outcome));
        // The latest first, as scopes end.
        while self.0.pop().is_some() {}
    }
}

impl Trace {
    pub(super) fn begin(activity: &Activity) -> Trace {
        let bytes = activity.bytes();
        let span = tracing::debug_span!(
            target: "warpcomm",
            "operation",
            operation = activity.operation,
            rank = activity.rank,
            source = Empty,
            dest = Empty,
            tag = Empty,
            sequence = activity.sequence.map(Sequence::number),
            bytes = Some(bytes).filter(|&bytes| bytes > 0),
            dtype = Empty,
            path = Empty,
            outcome = Empty,
        );
        match activity.peer {
            Some(Peer::From(PROC_NULL)) => span.record("source", "nobody"),
            Some(Peer::To(PROC_NULL)) => span.record("dest", "nobody"),
            Some(Peer::From(rank)) => span.record("source", rank),
            Some(Peer::FromAny) => span.record("source", "any"),
            Some(Peer::To(rank)) => span.record("dest", rank),
            None => &span,
        };
        match activity.tag {
            Some(Tag::ANY) => span.record("tag", "any"),
            Some(tag) => span.record("tag", tag.0),
            None => &span,
        };
        Trace {
            span,
            _range: nvtx::Range::start(activity.operation, bytes),
            has_bytes: bytes > 0,
            outcome: None,
        }
    }

    pub(super) fn span(&self) -> Span {
        self.span.clone()
    }

    /// Remembers what has become of the operation, or of its latest step; the first error counts.
    pub(super) fn note(&mut self, outcome: Result<(), ErrorKind>) {
        if !matches!(self.outcome, Some(Err(_))) {
            self.outcome = Some(outcome);
        }
    }

    /// Ends what is shown, with all that is known by now. It may run anywhere in the engine.
    pub(super) fn end(self, activity: &Activity) {
        let Trace {
            span,
            has_bytes,
            outcome,
            ..
        } = self;
        contained(|| {
            if !has_bytes {
                span.record("bytes", activity.bytes());
            }
            let carried = activity.carried();
            if let Some(dtype) = carried.dtype() {
                span.record("dtype", dtype.name());
            }
            if let Some(path) = carried.path() {
                span.record("path", path);
            }
            match outcome {
                None => &span,
                Some(Ok(())) => span.record("outcome", "ok"),
                Some(Err(kind)) => span.record("outcome", tracing::field::debug(kind)),
            };
        });
        contained(|| drop(span));
    }
}
