//! Times that the ranks of a node have in common: those of the system's clock, as it was when the process first traced.
//!
//! From then on they go on evenly, whatever is done to that clock. Between nodes they differ as much as the clocks do.

use std::sync::OnceLock;
use std::time::{Duration, Instant, SystemTime};

/// Of several readings the one counts in which the two clocks were read closest together.
const READINGS: usize = 32;

/// Times count from a midnight in UTC, so that a double holds them in microseconds with all digits.
const DAY: u64 = 86400;

/// A clock that counts nanoseconds from its origin.
#[derive(Clone, Copy)]
pub(super) struct Clock {
    /// In seconds since 1970.
    pub origin: u64,
    started: Instant,
    /// From the origin to the start.
    before: u64,
}

impl Clock {
    /// The one of this process.
    pub(super) fn of_process() -> Clock {
        static CLOCK: OnceLock<Clock> = OnceLock::new();
        *CLOCK.get_or_init(Clock::start)
    }

    fn start() -> Clock {
        let read = || {
            let (first, system, last) = (Instant::now(), SystemTime::now(), Instant::now());
            (last - first, first, system)
        };
        let readings = (0..READINGS).map(|_| read());
        let (took, first, system) = readings.min_by_key(|(took, ..)| *took).unwrap_or_else(read);
        let since_1970 = system.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let origin = since_1970.as_secs() / DAY * DAY;
        Clock {
            origin,
            started: first + took / 2,
            before: (since_1970 - Duration::from_secs(origin)).as_nanos() as u64,
        }
    }

    #[inline]
    pub(super) fn now(&self) -> u64 {
        self.before + self.started.elapsed().as_nanos() as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_shows_the_time_of_the_system() {
        let before = SystemTime::now();
        let clock = Clock::of_process();
        let now =
            SystemTime::UNIX_EPOCH + Duration::from_secs(clock.origin) + Duration::from_nanos(clock.now());
        // Somebody may set the system's clock meanwhile, but hardly by a minute.
        let difference = now
            .duration_since(before)
            .unwrap_or_else(|error| error.duration());
        assert!(difference < Duration::from_secs(60), "{difference:?}");
        let first = clock.now();
        assert!(clock.now() >= first);
        assert!(clock.before < DAY * 1_000_000_000);
    }
}
