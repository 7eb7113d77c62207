//! How long a blocking call waits: spinning, yielding, the hang report, the deadline.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use super::whereabouts::Pending;
use super::{Engine, Entry, Phase, Wait, reporter, survey};
use crate::error::{Error, ErrorKind, Result};

/// The fewest and the most rounds in vain before a thread lets others run after each: few where others want
/// the core, many where nobody does, because even a yield to nobody takes longer than a small message.
const SPINS: std::ops::RangeInclusive<u32> = 16..=1024;

/// A yield that takes longer than this gave the core to somebody.
const CROWDED: Duration = Duration::from_micros(3);

/// How long to spin, as learned from the yields of this process.
pub(super) struct Spins(AtomicU32);

impl Spins {
    #[inline]
    pub(super) fn new() -> Spins {
        Spins(AtomicU32::new(*SPINS.end()))
    }

    fn learn(&self, yielded: Duration) {
        let spins = self.0.load(Ordering::Relaxed);
        let spins = if yielded > CROWDED {
            spins / 4
        } else {
            spins + spins / 16 + 1
        };
        self.0
            .store(spins.clamp(*SPINS.start(), *SPINS.end()), Ordering::Relaxed);
    }
}

/// How long a call waits before it looks for the questions of rank 0, where no thread does so for it.
const ATTENTIVE_AFTER: Duration = Duration::from_millis(100);

/// Rounds between two looks at the clock and at what other threads have noticed.
const ROUNDS_PER_LOOK: u32 = 64;

/// The waiting of one blocking call.
pub(super) struct Patience<'a> {
    engine: &'a Engine,
    wait: &'a Wait<'a>,
    rounds: u32,
    spins: u32,
    since: Option<Instant>,
    reported: bool,
}

impl<'a> Patience<'a> {
    #[inline]
    pub(super) fn new(engine: &'a Engine, wait: &'a Wait<'a>) -> Patience<'a> {
        let spins = engine.spins.0.load(Ordering::Relaxed);
        Patience {
            engine,
            wait,
            rounds: 0,
            spins,
            since: None,
            reported: false,
        }
    }

    /// After a round in vain: lets others run, and says when to give up.
    #[inline]
    pub(super) fn round(&mut self, tasks: &[Entry]) -> Result<()> {
        self.rounds = self.rounds.wrapping_add(1);
        if self.rounds < self.spins {
            std::hint::spin_loop();
            return Ok(());
        }
        let before = Instant::now();
        self.engine.transport.idle(self.rounds);
        self.engine.spins.learn(before.elapsed());
        match self.rounds % ROUNDS_PER_LOOK {
            0 => self.look(tasks),
            _ if self.engine.inquiry.is_open() => self.look(tasks),
            _ => Ok(()),
        }
    }

    fn waited(&mut self) -> Duration {
        self.since.get_or_insert_with(Instant::now).elapsed()
    }

    /// Whether [`look`](Self::look) would print or fail; without the baton.
    pub(super) fn is_over(&mut self) -> bool {
        let waited = self.waited();
        let hang_report = self.engine.config.hang_report;
        self.engine.is_stopped()
            || self.wait.endpoint.poison().is_some()
            || self.engine.transport.lost().is_some()
            || self.wait.timeout.is_some_and(|timeout| waited >= timeout)
            || (!self.reported && waited >= hang_report)
    }

    /// Looks at the clock and at what others have noticed.
    #[cold]
    pub(super) fn look(&mut self, tasks: &[Entry]) -> Result<()> {
        let Wait {
            endpoint,
            activities,
            timeout,
        } = *self.wait;
        endpoint.check_peers()?;
        endpoint.check()?;
        // The age counts from the first look.
        for activity in activities {
            activity.age();
        }
        let waited = self.waited();
        if let Some(timeout) = timeout.filter(|&timeout| waited >= timeout) {
            let pending = activities
                .iter()
                .filter(|activity| activity.phase() != Phase::Over);
            let pending: Vec<String> = pending.map(ToString::to_string).collect();
            let message = format!(
                "not done within {} s: {}",
                timeout.as_secs_f64(),
                pending.join("; ")
            );
            let error = Error::new(ErrorKind::Timeout, message);
            self.report(waited, tasks);
            endpoint.poison_with(&error);
            return Err(error);
        }
        if !self.reported && waited >= self.engine.config.hang_report {
            self.reported = true;
            self.report(waited, tasks);
        }
        self.engine.inquiry.answer(tasks, self.wait);
        if self.engine.only_thread.is_some() && waited >= ATTENTIVE_AFTER {
            survey::attend(&endpoint.engine, || {
                Pending::of(self.engine, tasks, Some(self.wait))
            });
        }
        Ok(())
    }

    /// Prints what each pending operation of this rank waits for, and lets rank 0 ask the others.
    fn report(&self, waited: Duration, tasks: &[Entry]) {
        let Pending { lines, .. } = Pending::of(self.engine, tasks, Some(self.wait));
        let mut text = format!(
            "rank {} has waited for {:.1} s; pending here:\n",
            self.engine.rank,
            waited.as_secs_f64()
        );
        for line in lines {
            text.push_str("  ");
            text.push_str(&line);
            text.push('\n');
        }
        reporter::print(&text);
        self.engine.survey.want();
    }
}
