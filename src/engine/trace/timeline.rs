//! When one operation began, what it waited for from when on, and how it ended.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};

use super::recorder::{Ended, Recorder};
use crate::engine::activity::{Activity, Phase};
use crate::error::ErrorKind;

/// The most phases that are kept of an operation; the last of them goes on until its end.
const PHASES: usize = 24;

/// An operation that is in no lane: not begun, or over.
const NO_LANE: u32 = u32::MAX;

/// The times of an operation under way.
///
/// One thread at a time drives an operation, and what it tells here others read when it is over.
pub(in crate::engine) struct Timeline {
    recorder: &'static Recorder,
    lane: AtomicU32,
    start: AtomicU64,
    phases: [AtomicU64; PHASES],
    count: AtomicUsize,
    is_ok: AtomicBool,
    error: OnceLock<ErrorKind>,
}

/// From when on an operation was in a phase.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Step {
    /// In ticks from the start of the operation.
    pub since: u64,
    pub phase: Phase,
    /// The rank that it waited for.
    pub awaited: Option<usize>,
}

/// As many bits have the parts of a step in one word: what is larger counts as the largest.
const SINCE_BITS: u32 = 44;
/// The bits of a number of ticks that nobody misses; with the others it is enough for a day.
const FINE_BITS: u32 = 4;
const AWAITED_BITS: u32 = 16;
const NOBODY: u64 = (1 << AWAITED_BITS) - 1;

impl Step {
    fn pack(self) -> u64 {
        let since = (self.since >> FINE_BITS).min((1 << SINCE_BITS) - 1);
        let awaited = self.awaited.map_or(NOBODY, |rank| (rank as u64).min(NOBODY));
        (self.phase as u64) << (SINCE_BITS + AWAITED_BITS) | awaited << SINCE_BITS | since
    }

    pub(super) fn unpack(word: u64) -> Step {
        let awaited = word >> SINCE_BITS & NOBODY;
        Step {
            since: (word & ((1 << SINCE_BITS) - 1)) << FINE_BITS,
            phase: Phase::from_code((word >> (SINCE_BITS + AWAITED_BITS)) as u8),
            awaited: (awaited != NOBODY).then_some(awaited as usize),
        }
    }

    /// Whether two say the same but for the time.
    fn is_same(left: u64, right: u64) -> bool {
        left >> SINCE_BITS == right >> SINCE_BITS
    }
}

impl Timeline {
    /// Of an operation that has not begun.
    #[cold]
    pub(in crate::engine) fn new(recorder: &'static Recorder) -> Box<Timeline> {
        Box::new(Timeline {
            recorder,
            lane: AtomicU32::new(NO_LANE),
            start: AtomicU64::new(0),
            phases: [const { AtomicU64::new(0) }; PHASES],
            count: AtomicUsize::new(0),
            is_ok: AtomicBool::new(false),
            error: OnceLock::new(),
        })
    }

    pub(in crate::engine) fn begin(&self, activity: &Activity) {
        self.lane
            .store(self.recorder.take_lane(activity.is_task()), Ordering::Relaxed);
        // After the lane was free.
        self.start.store(self.recorder.ticks(), Ordering::Relaxed);
    }

    /// The ticks since its start: none, where another core is behind.
    fn since(&self) -> u64 {
        self.recorder
            .ticks()
            .saturating_sub(self.start.load(Ordering::Relaxed))
    }

    /// Notes what the operation waits for from now on.
    #[cold]
    pub(in crate::engine) fn waits_for(&self, phase: Phase, awaited: Option<usize>) {
        let count = self.count.load(Ordering::Relaxed);
        if self.lane.load(Ordering::Relaxed) == NO_LANE || count == PHASES {
            return;
        }
        let word = |since| {
            let step = Step {
                since,
                phase,
                awaited,
            };
            step.pack()
        };
        let is_known = count > 0 && Step::is_same(self.phases[count - 1].load(Ordering::Relaxed), word(0));
        if !is_known {
            // A message has no turn to wait for: it begins with its first phase.
            let is_first = count == 0 && matches!(phase, Phase::Envelope | Phase::Match);
            let since = if is_first { 0 } else { self.since() };
            self.phases[count].store(word(since), Ordering::Relaxed);
            self.count.store(count + 1, Ordering::Relaxed);
        }
    }

    /// Remembers what has become of the operation, or of its latest step; the first error counts.
    pub(in crate::engine) fn note(&self, outcome: Result<(), ErrorKind>) {
        match outcome {
            Ok(()) => self.is_ok.store(true, Ordering::Relaxed),
            Err(kind) => drop(self.error.set(kind)),
        }
    }

    /// Hands the operation to those who write it down, once.
    pub(in crate::engine) fn end(&self, activity: &Activity) {
        let lane = self.lane.swap(NO_LANE, Ordering::Relaxed);
        if lane == NO_LANE {
            return;
        }
        let start = self.start.load(Ordering::Relaxed);
        let count = self.count.load(Ordering::Relaxed);
        let steps = self.phases[..count]
            .iter()
            .map(|step| step.load(Ordering::Relaxed));
        let last = steps.clone().next_back().map(Step::unpack);
        let duration = match last.filter(|step| step.phase == Phase::Over) {
            Some(over) => over.since,
            None => self.since(),
        };
        let outcome = match (self.error.get(), self.is_ok.load(Ordering::Relaxed)) {
            (Some(kind), _) => Some(Err(*kind)),
            (None, true) => Some(Ok(())),
            (None, false) => None,
        };
        let ended = Ended {
            start,
            duration,
            lane,
            outcome,
        };
        self.recorder.record(activity, ended, steps);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_is_a_word() {
        for step in [
            Step {
                since: 0,
                phase: Phase::Start,
                awaited: Some(0),
            },
            Step {
                since: ((1 << SINCE_BITS) - 1) << FINE_BITS,
                phase: Phase::Over,
                awaited: None,
            },
            Step {
                since: 12345 << FINE_BITS,
                phase: Phase::Data,
                awaited: Some(65534),
            },
        ] {
            assert_eq!(Step::unpack(step.pack()), step);
        }
        let late = Step {
            since: u64::MAX,
            phase: Phase::Go,
            awaited: Some(1 << 20),
        };
        assert_eq!(Step::unpack(late.pack()).phase, Phase::Go);
    }
}
