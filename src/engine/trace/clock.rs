//! Times that the ranks of a node have in common: those of the system's clock, as it was when the process first traced.
//!
//! From then on they go on evenly, whatever is done to that clock. Between nodes they differ as much as the clocks do.
//!
//! Reading a clock is most of what a phase costs. So what is noted are the ticks of the processor's counter, where the system
//! itself takes its times from it; whoever writes them down reads both again and again, and finds the times in between.

use std::sync::OnceLock;
use std::time::{Duration, Instant, SystemTime};

/// Of several readings the one counts in which the two clocks were read closest together.
const READINGS: usize = 32;

/// Times count from a midnight in UTC, so that a double holds them in microseconds with all digits.
const DAY: u64 = 86400;

/// So many readings of both clocks are remembered, of which there are forty in a second.
const READINGS_KEPT: usize = 8192;

/// A clock of the process.
#[derive(Clone, Copy)]
pub(super) struct Clock {
    /// When times begin, in seconds since 1970.
    pub origin: u64,
    /// When ticks of no counter began.
    started: Instant,
    /// From the origin to the start, in nanoseconds.
    before: u64,
    has_counter: bool,
}

/// What the ticks of a clock are in nanoseconds since its origin.
pub(super) struct Times {
    clock: Clock,
    /// In their order.
    read: Vec<Reading>,
}

/// Ticks and nanoseconds, read together.
struct Reading {
    ticks: u64,
    time: u64,
    /// The nanoseconds of a tick from here to the next reading.
    rate: f64,
}

impl Reading {
    fn goes_on_to(&mut self, next: &Reading) {
        self.rate = (next.time - self.time) as f64 / (next.ticks - self.ticks) as f64;
    }
}

impl Clock {
    /// The one of this process.
    pub(super) fn of_process() -> Clock {
        static CLOCK: OnceLock<Clock> = OnceLock::new();
        *CLOCK.get_or_init(Clock::start)
    }

    fn start() -> Clock {
        let readings = (0..READINGS).map(|_| {
            let (first, system, last) = (Instant::now(), SystemTime::now(), Instant::now());
            (last - first, first, system)
        });
        let (took, first, system) = readings
            .min_by_key(|(took, ..)| *took)
            .unwrap_or_else(|| (Duration::ZERO, Instant::now(), SystemTime::now()));
        let since_1970 = system.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let origin = since_1970.as_secs() / DAY * DAY;
        Clock {
            origin,
            started: first + took / 2,
            before: (since_1970 - Duration::from_secs(origin)).as_nanos() as u64,
            has_counter: has_counter(),
        }
    }

    /// The ticks until now.
    #[inline]
    pub(super) fn ticks(&self) -> u64 {
        match self.has_counter {
            true => counter(),
            false => self.now(),
        }
    }

    /// The nanoseconds until now.
    fn now(&self) -> u64 {
        self.before + self.started.elapsed().as_nanos() as u64
    }

    /// Both at the same time.
    fn both(&self) -> (u64, u64) {
        let readings = (0..READINGS).map(|_| {
            let (first, now, last) = (self.ticks(), self.now(), self.ticks());
            (
                last.saturating_sub(first),
                first + last.saturating_sub(first) / 2,
                now,
            )
        });
        readings
            .min_by_key(|(took, ..)| *took)
            .map_or((0, 0), |(_, ticks, now)| (ticks, now))
    }
}

/// Whether the system takes its times from the processor's counter, which then is the same on all cores.
#[cfg(target_arch = "x86_64")]
fn has_counter() -> bool {
    let source = std::fs::read("/sys/devices/system/clocksource/clocksource0/current_clocksource");
    source.is_ok_and(|source| source.starts_with(b"tsc"))
}

#[cfg(not(target_arch = "x86_64"))]
fn has_counter() -> bool {
    false
}

#[cfg(target_arch = "x86_64")]
#[inline]
fn counter() -> u64 {
    // SAFETY: every processor of this architecture has the instruction, and the system has not forbidden it: it uses it.
    unsafe { std::arch::x86_64::_rdtsc() }
}

#[cfg(not(target_arch = "x86_64"))]
fn counter() -> u64 {
    0
}

impl Times {
    pub(super) fn new(clock: Clock) -> Times {
        let (ticks, time) = clock.both();
        Times {
            clock,
            read: vec![Reading {
                ticks,
                time,
                rate: 0.0,
            }],
        }
    }

    /// Reads the clocks again, after all ticks whose times are asked for next.
    pub(super) fn go_on(&mut self) {
        if self.clock.has_counter {
            let (ticks, time) = self.clock.both();
            self.add(ticks, time);
        }
    }

    fn add(&mut self, ticks: u64, time: u64) {
        let next = Reading {
            ticks,
            time,
            rate: 0.0,
        };
        if let Some(last) = self.read.last_mut() {
            if ticks <= last.ticks || time < last.time {
                return;
            }
            last.goes_on_to(&next);
        }
        // What has begun long ago needs no more than a rough time.
        if self.read.len() == READINGS_KEPT {
            self.read.drain(1..READINGS_KEPT / 2);
            if let [first, second, ..] = &mut self.read[..] {
                first.goes_on_to(second);
            }
        }
        self.read.push(next);
    }

    /// The nanoseconds at a tick.
    pub(super) fn at(&self, ticks: u64) -> u64 {
        if !self.clock.has_counter {
            return ticks;
        }
        // Mostly between the last two. What is later never comes before what is earlier.
        let earlier = self.read.iter().rposition(|reading| reading.ticks <= ticks);
        let earlier = earlier.unwrap_or(0);
        let Some(reading) = self.read.get(earlier) else {
            return self.clock.before;
        };
        let passed = ticks.saturating_sub(reading.ticks) as f64 * reading.rate;
        let next = self.read.get(earlier + 1).map_or(reading.time, |next| next.time);
        (reading.time + passed as u64).min(next)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_shows_the_time_of_the_system() {
        let before = SystemTime::now();
        let clock = Clock::of_process();
        let mut times = Times::new(clock);
        let ticks: Vec<u64> = (0..1000).map(|_| clock.ticks()).collect();
        times.go_on();
        let shown: Vec<u64> = ticks.iter().map(|&ticks| times.at(ticks)).collect();
        assert!(shown.is_sorted());
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(clock.origin) + Duration::from_nanos(shown[0]);
        // Somebody may set the system's clock meanwhile, but hardly by a minute.
        let difference = now
            .duration_since(before)
            .unwrap_or_else(|error| error.duration());
        assert!(difference < Duration::from_secs(60), "{difference:?}");
        assert!(clock.before < DAY * 1_000_000_000);
    }

    #[test]
    fn times_lie_between_those_that_were_read() {
        let clock = Clock {
            has_counter: true,
            ..Clock::of_process()
        };
        let mut times = Times {
            clock,
            read: Vec::new(),
        };
        for (ticks, time) in [(1000, 50), (3000, 1050), (3000, 1060), (4000, 1250)] {
            times.add(ticks, time);
        }
        let pairs = [
            (999, 50),
            (1000, 50),
            (2000, 550),
            (3000, 1050),
            (3500, 1150),
            (4000, 1250),
            (5000, 1250),
        ];
        for (ticks, time) in pairs {
            assert_eq!(times.at(ticks), time, "{ticks}");
        }
        // However long it goes on, there is room.
        for second in 1..3 * READINGS_KEPT as u64 {
            times.add(5000 + second * 2, 1250 + second);
        }
        assert!(times.read.len() <= READINGS_KEPT);
        let last = 3 * READINGS_KEPT as u64;
        assert_eq!(times.at(5000 + 2 * (last - 9)), 1250 + last - 9);
        let rough: Vec<u64> = (0..last).map(|second| times.at(second * 2)).collect();
        assert!(rough.is_sorted());
    }
}
