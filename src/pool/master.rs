//! The rank that gives tasks to workers and takes their results.

use std::cell::{Cell, OnceCell, RefCell};
use std::fmt;
use std::time::Instant;

use super::clock::Clock;
use super::direct::Direct;
use super::failure::Incomplete;
use super::function::Function;
use super::interrupt::Interrupts;
use super::link::since;
use super::load_balanced::LoadBalanced;
use super::order::Order;
use super::payload::Payload;
use super::post::Inbox;
use super::progress_bar::Bars;
use super::timeline::{Entry, Timeline};
use crate::comm::Communicator;
use crate::error::{Error, Result};

/// What the closure of [`Pool::run`](super::Pool::run) has on the master: it gives tasks to workers and takes their results.
///
/// Calls go on while their results are waited for, and several can be under way at a time. What they promise:
///
/// - Every task has exactly one result or one failure, whatever becomes of workers' attempts at it.
/// - A task that fails, fails alone: it returned an error, it panicked, it or its result cannot be sent or read, or it took
///   longer than it may.
/// - Nobody has more than a few tasks or results: a worker as many [orders](LoadBalanced::in_flight) as it may have at a
///   time, and the master what nobody has taken yet.
pub struct Master {
    pub(super) down: Communicator,
    pub(super) up: Communicator,
    pub(super) epoch: Instant,
    /// The pool whose functions and values it knows.
    pool: u64,
    workers: Vec<usize>,
    calls: Cell<u64>,
    /// Memory for reports.
    pub(super) inbox: Cell<Inbox>,
    /// Memory for orders.
    pub(super) outbox: Cell<Vec<u8>>,
    clock: Clock,
    entries: Option<RefCell<Vec<Entry>>>,
    interrupts: Interrupts,
    /// None before a call has one.
    pub(super) bars: OnceCell<Bars>,
}

impl Master {
    pub(super) fn new(
        pool: u64,
        [down, up]: [Communicator; 2],
        workers: Vec<usize>,
        epoch: Instant,
        interrupts: Interrupts,
    ) -> Master {
        Master {
            down,
            up,
            epoch,
            pool,
            workers,
            calls: Cell::new(0),
            inbox: Cell::default(),
            outbox: Cell::default(),
            clock: Clock::default(),
            entries: None,
            interrupts,
            bars: OnceCell::new(),
        }
    }

    /// Begins to note tasks for the timeline.
    pub(super) fn record(&mut self) -> Result<()> {
        self.clock = Clock::measure(self)?;
        self.entries = Some(RefCell::default());
        Ok(())
    }

    /// The ranks that work, in order.
    pub fn workers(&self) -> &[usize] {
        &self.workers
    }

    /// Whether the program was interrupted, by Ctrl-C or whoever ends jobs: calls give no more tasks then, and end with
    /// [`Stopped::Interrupted`](super::Stopped::Interrupted). A second interrupt ends the process.
    pub fn is_interrupted(&self) -> bool {
        self.interrupts.has_come()
    }

    /// Tasks go to whoever is free; options are set on what this returns.
    pub fn load_balanced(&self) -> LoadBalanced<'_> {
        LoadBalanced::new(self)
    }

    /// All workers, or some of them, each addressed by its rank.
    pub fn direct(&self) -> Direct<'_> {
        Direct::new(self)
    }

    /// The results of all tasks, in the order of these: [`LoadBalanced::map`] with everything left as it is.
    ///
    /// # Errors
    /// As there.
    pub fn map<T: Payload, R: Payload>(
        &self,
        function: Function<T, R>,
        tasks: impl IntoIterator<Item = T>,
    ) -> std::result::Result<Vec<R>, Incomplete<R>> {
        self.load_balanced().map(function, tasks)
    }

    /// The tasks that have been run so far; of a pool that was not [asked for it](super::Pool::timeline), none.
    pub fn timeline(&self) -> Timeline {
        Timeline {
            workers: self.workers.clone(),
            clock_errors: self.workers.iter().map(|&rank| self.clock.error(rank)).collect(),
            entries: self
                .entries
                .as_ref()
                .map_or_else(Vec::new, |entries| entries.borrow().clone()),
        }
    }

    /// Notes a task, if tasks are noted.
    pub(super) fn note(&self, entry: impl FnOnce(&Clock) -> Entry) {
        if let Some(entries) = &self.entries {
            entries.borrow_mut().push(entry(&self.clock));
        }
    }

    /// Whether a function or a value is of this pool.
    pub(super) fn check(&self, pool: u64) -> Result<()> {
        match pool == self.pool {
            true => Ok(()),
            false => {
                let error = Error::invalid("a function or a value of another pool");
                Err(error.at("pool", self.up.rank()))
            }
        }
    }

    /// The number of the next call.
    pub(super) fn number_call(&self) -> u64 {
        let number = self.calls.get();
        self.calls.set(number + 1);
        number
    }

    /// The master's time in nanoseconds.
    pub(super) fn now(&self) -> u64 {
        since(self.epoch)
    }

    /// Lets all workers end. Whoever is gone is not told.
    pub(super) fn dismiss(&self) -> Result<()> {
        let leave = |&rank: &usize| Order::Leave.send(&self.down, rank);
        let told: Vec<Result<()>> = self.workers.iter().map(leave).collect();
        told.into_iter().collect()
    }
}

impl fmt::Debug for Master {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut f = f.debug_struct("Master");
        f.field("workers", &self.workers)
            .field("calls", &self.calls.get())
            .finish()
    }
}
