//! How far a call is.

use std::time::Duration;

use super::call::Tally;

/// How far a call is.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Progress {
    /// Tasks that have a result.
    pub done: u64,
    /// Tasks that have failed for good.
    pub failed: u64,
    /// Tasks that workers have now.
    pub running: u64,
    /// All tasks, if that is known.
    pub total: Option<u64>,
    /// Seconds since the call began.
    pub seconds: f64,
    /// For each worker, the share of these in which it ran tasks of the call that it has reported, 0 to 1.
    pub load: Vec<f64>,
}

impl Progress {
    /// How far a call is that has gone on for so long.
    pub(super) fn of(tally: &Tally, running: u64, total: Option<u64>, elapsed: Duration) -> Progress {
        let seconds = elapsed.as_secs_f64();
        let load = |&busy: &u64| (busy as f64 / 1e9 / seconds.max(1e-9)).min(1.0);
        Progress {
            done: tally.done,
            failed: tally.failed,
            running,
            total,
            seconds,
            load: tally.busy.iter().map(load).collect(),
        }
    }

    /// Tasks that are over, a second.
    pub fn rate(&self) -> f64 {
        match self.seconds > 0.0 {
            true => (self.done + self.failed) as f64 / self.seconds,
            false => 0.0,
        }
    }

    /// Seconds until all are over, if they go on as they have; none where that is not known.
    pub fn remaining(&self) -> Option<f64> {
        let left = self.total?.saturating_sub(self.done + self.failed);
        let rate = self.rate();
        (rate > 0.0).then(|| left as f64 / rate)
    }
}
