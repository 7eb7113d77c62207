//! What operations show to those who trace: a span of the crate `tracing`, and a range of NVTX.
//!
//! An operation is shown from its start to its end, whichever threads it is on meanwhile. Who does not trace pays
//! for a look at two numbers.

mod nvtx;

use tracing::field::Empty;
use tracing::level_filters::{LevelFilter, STATIC_MAX_LEVEL};
use tracing::span::EnteredSpan;
use tracing::{Level, Span};

use super::activity::Activity;
use super::sequence::Sequence;
use crate::error::{ErrorKind, Peer, Result};
use crate::message::{PROC_NULL, Tag};

/// What shows an operation while it is under way.
pub(super) struct Trace {
    span: Span,
    /// Ends with this value.
    _range: Option<nvtx::Range>,
    has_failed: bool,
}

/// Looks for a tool that shows NVTX ranges, once in a process.
pub(super) fn start() {
    nvtx::load();
}

/// Whether anybody may trace.
#[inline]
pub(super) fn is_on() -> bool {
    let spans = Level::DEBUG <= STATIC_MAX_LEVEL && Level::DEBUG <= LevelFilter::current();
    spans || nvtx::is_on()
}

/// The spans that a thread is inside of.
pub(super) struct Entered(Vec<EnteredSpan>);

/// Enters the parts of a blocking operation, but for operations that were shown before and are now waited for.
#[cold]
pub(super) fn enter(activities: &[&Activity]) -> Entered {
    let begun = activities.iter().filter_map(|activity| activity.begin());
    Entered(begun.map(Span::entered).collect())
}

impl Entered {
    /// Leaves them, with what has become of the operation.
    #[cold]
    pub(super) fn leave(mut self, activities: &[&Activity], outcome: Result<(), ErrorKind>) {
        activities.iter().for_each(|activity| activity.note(outcome));
        // The latest first, as scopes end.
        while self.0.pop().is_some() {}
    }
}

impl Trace {
    pub(super) fn begin(activity: &Activity) -> Trace {
        let span = tracing::debug_span!(
            target: "warpcomm",
            "operation",
            operation = activity.operation,
            rank = activity.rank,
            source = Empty,
            dest = Empty,
            tag = Empty,
            sequence = activity.sequence.map(Sequence::number),
            bytes = activity.bytes,
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
            _range: nvtx::Range::start(activity.operation, activity.bytes),
            has_failed: false,
        }
    }

    pub(super) fn span(&self) -> Span {
        self.span.clone()
    }

    /// Notes what has become of the operation, or of its latest step; the first error counts.
    pub(super) fn note(&mut self, activity: &Activity, outcome: Result<(), ErrorKind>) {
        if self.has_failed {
            return;
        }
        if let Some(dtype) = activity.dtype() {
            self.span.record("dtype", dtype.name());
        }
        if let Some(path) = activity.path() {
            self.span.record("path", path);
        }
        match outcome {
            Ok(()) => self.span.record("outcome", "ok"),
            Err(kind) => self.span.record("outcome", tracing::field::debug(kind)),
        };
        self.has_failed = outcome.is_err();
    }
}
