//! What the master and its workers tell each other.
//!
//! They have two communicators of their own, one for each direction, so that the master's thread and a worker of its rank
//! do not find each other's messages. An order is one message, and so is its report:
//!
//! ```text
//! order:  an Order, 6 words of 8 bytes | the tasks, or the value
//! report: a Head, 7 words of 8 bytes | the results | Details, unless all tasks are done and nobody asks when
//! ```
//!
//! What has a fixed length is not CBOR: it would be most of the work of a short message. Device buffers follow in messages
//! of their own.

use serde::{Deserialize, Serialize};

use crate::comm::Communicator;
use crate::error::{Error, ErrorKind, Result};
use crate::message::Tag;

/// From the master: an [`Order`] with what belongs to it.
pub(super) const ORDER: Tag = Tag(0);
/// From the master: the device buffers of an order.
pub(super) const BUFFERS: Tag = Tag(1);
/// From the master: what is not wanted any more, a [`Cancelled`].
pub(super) const CANCEL: Tag = Tag(2);
/// From a worker: that it is there, its own time, what became of a named value.
pub(super) const REPLY: Tag = Tag(0);
/// From a worker: a part of a named value.
pub(super) const PART: Tag = Tag(1);

/// Calls whose reports can be told apart; more of them are never open at a time.
const CALLS: u64 = 10_000;

/// From a worker: a report on a call, which begins with a [`Head`].
pub(super) fn report(call: u64) -> Tag {
    Tag(2 + 2 * (call % CALLS) as i32)
}

/// From a worker: the device buffers of a report.
pub(super) fn results(call: u64) -> Tag {
    Tag(3 + 2 * (call % CALLS) as i32)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    /// Runs a function on the tasks that follow.
    Run(Run),
    /// Tells its time.
    Time,
    /// Takes the value that follows, as the one of this number.
    Push(u64),
    /// Sends the value of this number back.
    Pull(u64),
    /// Ends.
    Leave,
}

/// Which function, and on what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Run {
    pub call: u64,
    /// In the order in which functions were made.
    pub function: u64,
    /// The number of the first task.
    pub first: u64,
    /// How many tasks there are, one after the other.
    pub tasks: u64,
    /// Which attempt at them it is, from 1.
    pub attempt: u32,
}

const ORDER_WORDS: usize = 6;

impl Order {
    /// Begins a message with it.
    pub(super) fn begin(&self, message: &mut Vec<u8>) {
        let words: [u64; ORDER_WORDS] = match *self {
            Order::Leave => [0; ORDER_WORDS],
            Order::Time => [1, 0, 0, 0, 0, 0],
            Order::Push(number) => [2, number, 0, 0, 0, 0],
            Order::Pull(number) => [3, number, 0, 0, 0, 0],
            Order::Run(run) => [
                4,
                run.function,
                run.call,
                run.first,
                run.tasks,
                run.attempt.into(),
            ],
        };
        message.clear();
        message.extend_from_slice(bytemuck::bytes_of(&words));
    }

    /// The order at the beginning of a message, and what follows it.
    pub(super) fn read(message: &[u8]) -> Result<(Order, &[u8])> {
        let ([kind, number, call, first, tasks, attempt], rest) = words(message)?;
        let order = match kind {
            0 => Order::Leave,
            1 => Order::Time,
            2 => Order::Push(number),
            3 => Order::Pull(number),
            _ => Order::Run(Run {
                call,
                function: number,
                first,
                tasks,
                attempt: attempt as u32,
            }),
        };
        Ok((order, rest))
    }

    /// Sends it to a worker, with nothing behind it.
    pub(super) fn send(&self, down: &Communicator, worker: usize) -> Result<()> {
        let mut message = Vec::new();
        self.begin(&mut message);
        down.send(&message, worker, ORDER)
    }
}

/// The first words of a message, and what follows them.
fn words<const N: usize>(message: &[u8]) -> Result<([u64; N], &[u8])> {
    match message.split_at_checked(N * size_of::<u64>()) {
        Some((head, rest)) => {
            let mut words = [0; N];
            bytemuck::cast_slice_mut(&mut words).copy_from_slice(head);
            Ok((words, rest))
        }
        None => {
            let text = format!("a message of {} bytes is none of a pool", message.len());
            Err(Error::new(ErrorKind::Mismatch, text))
        }
    }
}

/// A call, a task of it and which attempt at that; or [`ALL`] tasks and any attempt, 0.
pub(super) type Cancelled = [u64; 3];

/// The number of no task: all of a call.
pub(super) const ALL: u64 = u64::MAX;

/// What became of an order, as far as it is always known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Head {
    /// The number of the first task.
    pub first: u64,
    pub tasks: u64,
    /// When the first began and the last ended, in nanoseconds of the worker's time.
    pub time: [u64; 2],
    /// How many bytes the tasks had on the way.
    pub bytes: u64,
    /// The number of the GPU that the worker uses, if it does.
    pub gpu: Option<u32>,
    /// The bytes of the [`Details`] at the end; none if all tasks are done, with results in one batch, and nobody asks when
    /// each of them ran.
    pub details: u64,
}

const HEAD_WORDS: usize = 7;

impl Head {
    /// The bytes ahead of details and batches.
    pub(super) const BYTES: usize = HEAD_WORDS * size_of::<u64>();

    /// Writes it over the first [`BYTES`](Self::BYTES) of a message.
    pub(super) fn write(&self, message: &mut [u8]) {
        let gpu = self.gpu.map_or(0, |gpu| u64::from(gpu) + 1);
        let [begin, end] = self.time;
        let words: [u64; HEAD_WORDS] = [self.first, self.tasks, begin, end, self.bytes, gpu, self.details];
        message[..Head::BYTES].copy_from_slice(bytemuck::bytes_of(&words));
    }

    /// The head of a message, its batches, and its details, of which there may be none.
    pub(super) fn read(message: &[u8]) -> Result<(Head, &[u8], &[u8])> {
        let ([first, tasks, begin, end, bytes, gpu, details], rest) = words(message)?;
        let head = Head {
            first,
            tasks,
            time: [begin, end],
            bytes,
            gpu: gpu.checked_sub(1).map(|gpu| gpu as u32),
            details,
        };
        let details = usize::try_from(details).unwrap_or(usize::MAX);
        let (batches, details) = rest.split_at(rest.len() - rest.len().min(details));
        Ok((head, batches, details))
    }
}

/// What became of each task of an order.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Details(
    /// For each task, in order.
    pub Vec<Ran>,
    /// The batches of results ahead, one behind the other, or in messages of their own if they are buffers.
    pub Vec<Batch>,
);

/// How many results there are together, and in how many bytes.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) struct Batch(pub u64, pub u64);

/// What became of a task, and when it began and ended in nanoseconds of the worker's time.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Ran(pub Outcome, pub u64, pub u64);

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Outcome {
    Done,
    Failed(String),
    Panicked(String),
    /// It was not begun: the call was cancelled.
    Skipped,
}
