//! What an operation is doing, for hang reports and errors.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use super::sequence::Sequence;
use crate::error::{Error, Peer};
use crate::message::Tag;

/// What a pending operation waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Phase {
    /// Nothing yet.
    Start,
    /// The transport to take an envelope.
    Envelope,
    /// A send that matches.
    Match,
    /// The receiver to post its receive.
    Go,
    /// The elements of the message.
    Body,
    /// Another rank to enter the collective.
    Frame,
    /// Another rank's part of a collective.
    Data,
    /// The transport to make a communicator.
    Creation,
    /// Nothing any more.
    Over,
}

impl Phase {
    const ALL: [Phase; 9] = [
        Phase::Start,
        Phase::Envelope,
        Phase::Match,
        Phase::Go,
        Phase::Body,
        Phase::Frame,
        Phase::Data,
        Phase::Creation,
        Phase::Over,
    ];
}

/// No rank in particular.
const NOBODY: usize = usize::MAX;

/// One pending operation: what it is and what it waits for.
pub(crate) struct Activity {
    /// The name of the operation at the door.
    pub operation: &'static str,
    /// The ranks of the communicator, for the report.
    pub rank: usize,
    /// The name of the communicator, if it has one.
    pub communicator: Option<Arc<str>>,
    pub peer: Option<Peer>,
    pub tag: Option<Tag>,
    pub bytes: usize,
    /// The number of a collective on its communicator.
    pub sequence: Option<Sequence>,
    phase: AtomicU8,
    awaited: AtomicUsize,
    since: OnceLock<Instant>,
    cancelled: AtomicBool,
}

impl Activity {
    #[inline]
    pub(crate) fn new(operation: &'static str, rank: usize) -> Activity {
        Activity {
            operation,
            rank,
            communicator: None,
            peer: None,
            tag: None,
            bytes: 0,
            sequence: None,
            phase: AtomicU8::new(Phase::Start as u8),
            awaited: AtomicUsize::new(NOBODY),
            since: OnceLock::new(),
            cancelled: AtomicBool::new(false),
        }
    }

    #[inline]
    pub(crate) fn waits_for(&self, phase: Phase) {
        self.phase.store(phase as u8, Ordering::Relaxed);
    }

    #[inline]
    pub(crate) fn waits_for_rank(&self, phase: Phase, rank: usize) {
        self.phase.store(phase as u8, Ordering::Relaxed);
        self.awaited.store(rank, Ordering::Relaxed);
    }

    #[inline]
    pub(crate) fn phase(&self) -> Phase {
        let code = self.phase.load(Ordering::Relaxed);
        Phase::ALL.get(usize::from(code)).copied().unwrap_or(Phase::Start)
    }

    /// Whether the transport may be using memory that the operation's caller lent.
    pub(crate) fn lends(&self) -> bool {
        matches!(self.phase(), Phase::Body | Phase::Data)
    }

    /// Asks the operation to end as soon as it can do so without breaking a promise to its peer.
    pub(crate) fn cancel(&self) {
        self.cancelled.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_cancelled(&self) -> bool {
        self.cancelled.load(Ordering::Relaxed)
    }

    /// How long the operation has waited, counted from the first look at the clock.
    pub(crate) fn age(&self) -> Duration {
        self.since.get_or_init(Instant::now).elapsed()
    }

    /// Names this operation in an error from below.
    pub(crate) fn name(&self, error: Error) -> Error {
        let error = error.at(self.operation, self.rank).on(self.communicator.as_ref());
        match self.peer {
            Some(peer) => error.peer(peer),
            None => error,
        }
    }
}

impl fmt::Display for Activity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.operation)?;
        if let Some(sequence) = self.sequence {
            write!(f, " {sequence}")?;
        }
        if let Some(communicator) = &self.communicator {
            write!(f, " on {communicator:?}")?;
        }
        if let Some(peer) = self.peer {
            write!(f, " {peer}")?;
        }
        if let Some(tag) = self.tag {
            write!(f, ", {tag}")?;
        }
        if self.bytes > 0 {
            write!(f, ", {} bytes", self.bytes)?;
        }
        f.write_str(", waits for ")?;
        let awaited = self.awaited.load(Ordering::Relaxed);
        match self.phase() {
            Phase::Start => f.write_str("its turn"),
            Phase::Envelope => f.write_str("the transport to take the envelope"),
            Phase::Match => f.write_str("a matching send"),
            Phase::Go => f.write_str("a matching receive"),
            Phase::Body => f.write_str("the elements to be moved"),
            Phase::Frame => write!(f, "rank {awaited} to enter it"),
            Phase::Data => write!(f, "the part of rank {awaited}"),
            Phase::Creation => f.write_str("the communicator to be made"),
            Phase::Over => f.write_str("nothing any more"),
        }
    }
}
