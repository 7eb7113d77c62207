//! A worker's end of what it has with the master.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use super::order::{self, ALL, Cancelled, Order, Report};
use super::patience::Patience;
use super::payload::Sending;
use crate::comm::Communicator;
use crate::error::Result;

/// How long a worker may go on with the tasks of a call before it notices that it was cancelled.
const LOOK: Duration = Duration::from_micros(200);

/// The way of orders to a worker, and of its reports back.
pub(super) struct Link {
    pub(super) down: Communicator,
    pub(super) up: Communicator,
    /// The master's rank.
    pub(super) master: usize,
    /// From when on this rank's time counts.
    epoch: Instant,
    /// What is still on its way to the master. The master never has more orders out than it takes reports of.
    sendings: Vec<Box<dyn Sending>>,
    /// What was cancelled.
    cancelled: HashSet<Cancelled>,
    /// When the last look at cancellations was, in nanoseconds.
    looked: u64,
}

impl Link {
    pub(super) fn new(down: Communicator, up: Communicator, master: usize, epoch: Instant) -> Link {
        Link {
            down,
            up,
            master,
            epoch,
            sendings: Vec::new(),
            cancelled: HashSet::new(),
            looked: 0,
        }
    }

    /// This rank's time in nanoseconds.
    pub(super) fn now(&self) -> u64 {
        since(self.epoch)
    }

    /// The next order.
    pub(super) fn order(&mut self) -> Result<Order> {
        let mut patience = Patience::default();
        loop {
            if self.down.iprobe(self.master, order::ORDER)?.is_some() {
                return Ok(self.down.recv_object(self.master, order::ORDER)?.0);
            }
            self.sendings.retain(|sending| !sending.is_over());
            patience.wait();
        }
    }

    /// Sends a report.
    pub(super) fn report(&mut self, call: u64, report: &Report) -> Result<()> {
        let sending = self.up.isend_object(report, self.master, order::report(call));
        self.keep((!sending.is_done()).then(|| Box::new(sending) as Box<dyn Sending>));
        Ok(())
    }

    /// Keeps what is under way until it is over.
    pub(super) fn keep(&mut self, sending: Option<Box<dyn Sending>>) {
        self.sendings.extend(sending);
    }

    /// Whether an attempt at a task is not wanted any more, by what has come some time before `now`.
    pub(super) fn is_cancelled(&mut self, call: u64, task: u64, attempt: u32, now: u64) -> Result<bool> {
        if now.saturating_sub(self.looked) > LOOK.as_nanos() as u64 {
            self.looked = now;
            self.look()?;
        }
        let is_one = |cancelled: Cancelled| self.cancelled.contains(&cancelled);
        Ok(!self.cancelled.is_empty() && (is_one([call, ALL, 0]) || is_one([call, task, attempt.into()])))
    }

    /// Takes what has come of cancellations.
    pub(super) fn look(&mut self) -> Result<()> {
        while self.down.iprobe(self.master, order::CANCEL)?.is_some() {
            let mut cancelled: Cancelled = [0; 3];
            self.down.recv(&mut cancelled, self.master, order::CANCEL)?;
            self.cancelled.insert(cancelled);
        }
        Ok(())
    }
}

/// The nanoseconds since then.
pub(super) fn since(epoch: Instant) -> u64 {
    u64::try_from(epoch.elapsed().as_nanos()).unwrap_or(u64::MAX)
}
