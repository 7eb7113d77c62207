//! The numbers of a communicator's collectives, which all ranks count alike.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;

use super::Endpoint;

/// The number of a collective on its communicator.
///
/// Ranks start collectives in the same order. Persistent ones may be started in any order, but are made in the same:
/// these are counted by themselves, when they are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sequence(u64);

/// Marks the numbers of persistent collectives.
const PERSISTENT: u64 = 1 << 63;

impl Sequence {
    /// The number on the wire.
    #[inline]
    pub(crate) fn code(self) -> u64 {
        self.0
    }

    pub(crate) fn from_code(code: u64) -> Sequence {
        Sequence(code)
    }

    /// The number alone.
    pub(super) fn number(self) -> u64 {
        self.0 & !PERSISTENT
    }

    #[inline]
    pub(super) fn is_persistent(self) -> bool {
        self.0 & PERSISTENT != 0
    }
}

impl fmt::Display for Sequence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.is_persistent() {
            true => write!(f, "#{} of the persistent ones", self.number()),
            false => write!(f, "#{}", self.number()),
        }
    }
}

/// What was counted on a communicator, and what is not over.
#[derive(Default)]
pub(super) struct Sequences {
    next: AtomicU64,
    next_persistent: AtomicU64,
    /// The non-blocking collectives under way.
    unfinished: Mutex<BTreeSet<u64>>,
    /// 1 + the first of them; 0 where there are none.
    oldest: AtomicU64,
    /// The tags of the persistent ones under way.
    taken: Mutex<BTreeSet<i32>>,
}

impl Sequences {
    /// Counts from `first` on.
    pub(super) fn from(first: u64) -> Sequences {
        Sequences {
            next: AtomicU64::new(first),
            ..Sequences::default()
        }
    }

    #[inline]
    pub(super) fn next(&self) -> Sequence {
        Sequence(self.next.fetch_add(1, Ordering::Relaxed))
    }

    /// How many there were, but for persistent ones.
    pub(super) fn count(&self) -> u64 {
        self.next.load(Ordering::Relaxed)
    }

    pub(super) fn next_persistent(&self) -> Sequence {
        Sequence(self.next_persistent.fetch_add(1, Ordering::Relaxed) | PERSISTENT)
    }

    fn taken(&self) -> MutexGuard<'_, BTreeSet<i32>> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, change: impl FnOnce(&mut BTreeSet<u64>)) {
        let mut unfinished = self.unfinished.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut unfinished);
        let oldest = unfinished.first().map_or(0, |first| first + 1);
        self.oldest.store(oldest, Ordering::Release);
    }
}

/// A non-blocking collective that is not over.
pub(crate) struct Unfinished {
    endpoint: Arc<Endpoint>,
    sequence: Sequence,
    /// Whether a persistent one has taken its tag.
    has_tag: bool,
}

impl Unfinished {
    pub(crate) fn new(endpoint: &Arc<Endpoint>, sequence: Sequence) -> Unfinished {
        if !sequence.is_persistent() {
            endpoint.sequences.change(|unfinished| {
                unfinished.insert(sequence.0);
            });
        }
        if let Some(plain) = &endpoint.plain {
            plain.will_start(sequence);
        }
        Unfinished {
            endpoint: Arc::clone(endpoint),
            sequence,
            has_tag: false,
        }
    }

    /// Waits until no other collective under way has the same tag: tags are numbers modulo a power of two.
    pub(crate) async fn has_its_turn(&mut self) {
        if !self.sequence.is_persistent() {
            return self.endpoint.has_its_turn(self.sequence).await;
        }
        let (endpoint, tag) = (&self.endpoint, self.endpoint.tags.collective(self.sequence));
        std::future::poll_fn(|_| match endpoint.sequences.taken().insert(tag) {
            true => Poll::Ready(()),
            false => Poll::Pending,
        })
        .await;
        self.has_tag = true;
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        if !self.sequence.is_persistent() {
            self.endpoint.sequences.change(|unfinished| {
                unfinished.remove(&self.sequence.0);
            });
        } else if self.has_tag {
            let tag = self.endpoint.tags.collective(self.sequence);
            self.endpoint.sequences.taken().remove(&tag);
        }
        if let Some(plain) = &self.endpoint.plain {
            plain.has_started(self.sequence);
        }
    }
}

impl Endpoint {
    /// Waits until no earlier collective under way has the same tag; for one that is not persistent.
    pub(crate) async fn has_its_turn(&self, sequence: Sequence) {
        std::future::poll_fn(|_| match self.is_in_window(sequence) {
            true => Poll::Ready(()),
            false => Poll::Pending,
        })
        .await;
    }

    #[inline]
    fn is_in_window(&self, sequence: Sequence) -> bool {
        let oldest = self.sequences.oldest.load(Ordering::Acquire);
        oldest == 0 || sequence.0 < oldest - 1 + self.tags.collectives()
    }
}
