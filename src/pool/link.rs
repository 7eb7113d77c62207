//! A worker's end of what it has with the master.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use super::order::{self, ALL, Cancelled, Order};
use super::patience::Patience;
use super::payload::{Payload, unpack};
use super::post::{self, Inbox};
use crate::comm::Communicator;
use crate::error::{Error, Result};
use crate::message::Tag;

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
    inbox: Inbox,
    outbox: Vec<u8>,
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
            inbox: Inbox::default(),
            outbox: Vec::new(),
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
            if let Some(message) = self.down.improbe(self.master, order::ORDER)? {
                self.inbox.receive(message)?;
                return Ok(Order::read(self.inbox.message())?.0);
            }
            patience.wait();
        }
    }

    /// The values that belong to the order, and how many bytes they had on the way; or why there are none.
    ///
    /// # Errors
    /// Those of the communicator.
    pub(super) fn values<T: Payload>(&mut self) -> Result<std::result::Result<(Vec<T>, u64), Error>> {
        let (_, body) = Order::read(self.inbox.message())?;
        let values = unpack(body, &self.down, self.master, order::BUFFERS);
        self.inbox.trim();
        values
    }

    /// Memory for a message.
    pub(super) fn outbox(&mut self) -> Vec<u8> {
        let mut message = std::mem::take(&mut self.outbox);
        message.clear();
        message
    }

    /// Sends a message.
    pub(super) fn send(&mut self, mut message: Vec<u8>, tag: Tag) -> Result<()> {
        post::send(&mut message, &self.up, self.master, tag)?;
        self.outbox = message;
        Ok(())
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
            let bytes = bytemuck::bytes_of_mut(&mut cancelled);
            self.down.recv(bytes, self.master, order::CANCEL)?;
            self.cancelled.insert(cancelled);
        }
        Ok(())
    }
}

/// The nanoseconds since then.
pub(super) fn since(epoch: Instant) -> u64 {
    u64::try_from(epoch.elapsed().as_nanos()).unwrap_or(u64::MAX)
}
