//! When one operation began, what it waited for from when on, and how it ended.

use std::cell::Cell;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};

use super::recorder::{Ended, Recorder};
use crate::engine::activity::{Activity, Phase};
use crate::error::ErrorKind;

/// The most phases that are kept of an operation; the last of them goes on until its end.
const PHASES: usize = 24;

thread_local! {
    /// The memory of the thread's latest operation, for its next one.
    static SPARE: Cell<Option<Box<Timeline>>> = const { Cell::new(None) };
}

/// The timeline of an operation, if it is kept for a file. Whoever drops it leaves its memory to the thread's next operation.
#[derive(Default)]
pub(in crate::engine) struct Kept(Option<Box<Timeline>>);

/// The times of an operation under way.
///
/// One thread at a time drives an operation, and what it tells here others read when it is over. What most operations
/// need of it is in one cache line.
#[repr(C, align(64))]
pub(in crate::engine) struct Timeline {
    recorder: &'static Recorder,
    start: AtomicU64,
    state: AtomicU8,
    outcome: AtomicU8,
    count: AtomicU8,
    phases: [AtomicU64; PHASES],
}

/// The states of a timeline.
const NOT_BEGUN: u8 = 0;
const UNDER_WAY: u8 = 1;
const OVER: u8 = 2;

/// What has become of an operation: these, or an error, whose code follows.
const UNKNOWN: u8 = 0;
const OK: u8 = 1;
const FAILED: u8 = 2;

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

impl Kept {
    /// Of an operation that has not begun.
    #[cold]
    pub(in crate::engine) fn by(recorder: &'static Recorder) -> Kept {
        // A thread that ends has no spare one any more.
        let timeline = match SPARE.try_with(Cell::take) {
            Ok(Some(mut timeline)) => {
                timeline.recorder = recorder;
                *timeline.state.get_mut() = NOT_BEGUN;
                *timeline.outcome.get_mut() = UNKNOWN;
                *timeline.count.get_mut() = 0;
                timeline
            }
            _ => Box::new(Timeline {
                recorder,
                start: AtomicU64::new(0),
                state: AtomicU8::new(NOT_BEGUN),
                outcome: AtomicU8::new(UNKNOWN),
                count: AtomicU8::new(0),
                phases: [const { AtomicU64::new(0) }; PHASES],
            }),
        };
        Kept(Some(timeline))
    }

    #[inline]
    pub(in crate::engine) fn get(&self) -> Option<&Timeline> {
        self.0.as_deref()
    }
}

impl Drop for Kept {
    #[inline]
    fn drop(&mut self) {
        if let Some(timeline) = self.0.take() {
            leave(timeline);
        }
    }
}

/// Leaves memory to the next operation.
#[cold]
fn leave(timeline: Box<Timeline>) {
    let _ = SPARE.try_with(|spare| spare.set(Some(timeline)));
}

impl Timeline {
    pub(in crate::engine) fn begin(&self) {
        self.state.store(UNDER_WAY, Ordering::Relaxed);
        self.start.store(self.recorder.ticks(), Ordering::Relaxed);
    }

    /// The ticks since its start: none, where another core is behind.
    fn since(&self) -> u64 {
        self.recorder
            .ticks()
            .saturating_sub(self.start.load(Ordering::Relaxed))
    }

    /// The phases so far.
    fn steps(&self) -> &[AtomicU64] {
        let count = usize::from(self.count.load(Ordering::Relaxed));
        self.phases.get(..count).unwrap_or(&self.phases)
    }

    /// Notes what the operation waits for from now on.
    #[cold]
    pub(in crate::engine) fn waits_for(&self, phase: Phase, awaited: Option<usize>) {
        let steps = self.steps();
        let Some(next) = self.phases.get(steps.len()) else {
            return;
        };
        if self.state.load(Ordering::Relaxed) != UNDER_WAY {
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
        let is_known = steps
            .last()
            .is_some_and(|last| Step::is_same(last.load(Ordering::Relaxed), word(0)));
        if !is_known {
            // A message has no turn to wait for: it begins with its first phase.
            let is_first = steps.is_empty() && matches!(phase, Phase::Envelope | Phase::Match);
            let since = if is_first { 0 } else { self.since() };
            next.store(word(since), Ordering::Relaxed);
            self.count.store(steps.len() as u8 + 1, Ordering::Relaxed);
        }
    }

    /// Remembers what has become of the operation, or of its latest step; the first error counts.
    pub(in crate::engine) fn note(&self, outcome: Result<(), ErrorKind>) {
        let known = self.outcome.load(Ordering::Relaxed);
        if known < FAILED {
            let code = outcome.map_or_else(|kind| FAILED + kind.code(), |()| OK);
            self.outcome.store(code, Ordering::Relaxed);
        }
    }

    /// Hands the operation to those who write it down, once.
    pub(in crate::engine) fn end(&self, activity: &Activity) {
        if self.state.load(Ordering::Relaxed) != UNDER_WAY {
            return;
        }
        self.state.store(OVER, Ordering::Relaxed);
        let steps = self.steps().iter().map(|step| step.load(Ordering::Relaxed));
        let last = steps.clone().next_back().map(Step::unpack);
        let duration = match last.filter(|step| step.phase == Phase::Over) {
            Some(over) => over.since,
            None => self.since(),
        };
        let outcome = match self.outcome.load(Ordering::Relaxed) {
            UNKNOWN => None,
            OK => Some(Ok(())),
            code => ErrorKind::from_code(code - FAILED).map(Err),
        };
        let ended = Ended {
            start: self.start.load(Ordering::Relaxed),
            duration,
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
