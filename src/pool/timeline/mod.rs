//! Who ran what, and when.

mod files;
mod text;

use serde::{Deserialize, Serialize};

/// A task that was run, as a [`Timeline`] has it. Times are in nanoseconds, and count from the pool's beginning on its
/// master.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// What its call is named.
    pub name: String,
    /// The number of its call, from 0.
    pub call: u64,
    /// Its number in the call, from 0.
    pub task: u64,
    /// Which attempt it was, from 1.
    pub attempt: u32,
    /// The rank that ran it.
    pub rank: usize,
    /// The number of that rank's GPU, if a task there had asked for it.
    pub gpu: Option<usize>,
    /// When the master gave it to the rank.
    pub given: u64,
    /// When it began, by the clock of the rank set to the master's.
    pub begin: u64,
    /// When it ended, by the same clock.
    pub end: u64,
    /// What it had on its way to the rank, in bytes; its share, if it travelled with others.
    pub bytes_in: u64,
    /// What its result had on its way back, in bytes; its share, if it travelled with others.
    pub bytes_out: u64,
    /// Whether it has no result.
    pub has_failed: bool,
}

impl Entry {
    /// How long it was under way to its rank, or waited there, in nanoseconds.
    pub fn waited(&self) -> u64 {
        self.begin.saturating_sub(self.given)
    }

    /// How long it ran, in nanoseconds.
    pub fn ran(&self) -> u64 {
        self.end.saturating_sub(self.begin)
    }
}

/// The tasks that a pool has run; see [`Pool::timeline`](super::Pool::timeline).
///
/// [`write`](Self::write) keeps it, [`write_trace`](Self::write_trace) writes what ui.perfetto.dev opens and `warpcomm plot`
/// draws, and [`to_text`](Self::to_text) draws it for a terminal.
///
/// ```
/// use warpcomm::Communicator;
/// use warpcomm::pool::Pool;
///
/// let timelines = Communicator::threads(3, |comm| {
///     let mut pool = Pool::new(&comm).timeline(true);
///     let square = pool.function(|_, number: u64| Ok(number * number));
///     pool.run(|master| {
///         master.load_balanced().name("squares").map(square, 0..64).unwrap();
///         master.timeline()
///     })
/// })?;
/// let timeline = timelines.into_iter().next().unwrap()?.unwrap();
/// assert_eq!((timeline.workers.len(), timeline.entries.len()), (2, 64));
/// println!("{}", timeline.to_text(80));
/// # Ok::<(), warpcomm::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Timeline {
    /// The ranks that work, in order.
    pub workers: Vec<usize>,
    /// For each of them, the most by which its times may be wrong, in nanoseconds.
    pub clock_errors: Vec<u64>,
    /// The tasks, in the order in which their reports came.
    pub entries: Vec<Entry>,
}

impl Timeline {
    /// From the first task's beginning to the last one's end, in nanoseconds.
    pub fn makespan(&self) -> u64 {
        let begin = self.entries.iter().map(|entry| entry.begin).min();
        let end = self.entries.iter().map(|entry| entry.end).max();
        end.unwrap_or(0).saturating_sub(begin.unwrap_or(0))
    }

    /// The share of that time in which workers ran no task, 0 to 1.
    pub fn idle(&self) -> f64 {
        let all = self.makespan() as f64 * self.workers.len() as f64;
        let busy: f64 = self.entries.iter().map(|entry| entry.ran() as f64).sum();
        match all > 0.0 {
            true => (1.0 - busy / all).max(0.0),
            false => 0.0,
        }
    }

    /// The tasks of one of the workers, in the order in which it ran them.
    pub fn row(&self, rank: usize) -> Vec<&Entry> {
        let mut row: Vec<&Entry> = self.entries.iter().filter(|entry| entry.rank == rank).collect();
        row.sort_by_key(|entry| entry.begin);
        row
    }

    /// The tasks of one call.
    pub fn of_call(&self, call: u64) -> Timeline {
        let entries = self.entries.iter().filter(|entry| entry.call == call);
        Timeline {
            workers: self.workers.clone(),
            clock_errors: self.clock_errors.clone(),
            entries: entries.cloned().collect(),
        }
    }
}
