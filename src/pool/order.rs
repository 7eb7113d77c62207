//! What the master and its workers tell each other.
//!
//! They have two communicators of their own, one for each direction, so that the master's thread and a worker of its rank
//! do not find each other's messages. Fields have no names on the way: they would be most of a short message.

use serde::{Deserialize, Serialize};

use crate::message::Tag;

/// From the master: an [`Order`].
pub(super) const ORDER: Tag = Tag(0);
/// From the master: the tasks of an order, or a value.
pub(super) const BODY: Tag = Tag(1);
/// From the master: what is not wanted any more, a [`Cancelled`].
pub(super) const CANCEL: Tag = Tag(2);
/// From a worker: that it is there, its own time, a part of a named value.
pub(super) const REPLY: Tag = Tag(0);
/// From a worker: that a part of a named value follows, or why not.
pub(super) const PART: Tag = Tag(1);

/// Calls whose reports can be told apart; more of them are never open at a time.
const CALLS: u64 = 10_000;

/// From a worker: a [`Report`] on a call.
pub(super) fn report(call: u64) -> Tag {
    Tag(2 + 2 * (call % CALLS) as i32)
}

/// From a worker: the results of a report.
pub(super) fn results(call: u64) -> Tag {
    Tag(3 + 2 * (call % CALLS) as i32)
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) enum Order {
    /// Runs a function on the tasks that follow.
    Run(Run),
    /// Tells its time.
    Time,
    /// Takes the value that follows, as the one of this number.
    Push(usize),
    /// Sends the value of this number back.
    Pull(usize),
    /// Ends.
    Leave,
}

/// Which function, and on what.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) struct Run(
    /// The call.
    pub u64,
    /// The function, in the order in which they were made.
    pub usize,
    /// The first task.
    pub u64,
    /// How many tasks there are, one after the other.
    pub u64,
    /// Which attempt at them it is, from 1.
    pub u32,
);

/// A call, a task of it and which attempt at that; or [`ALL`] tasks and any attempt, 0.
pub(super) type Cancelled = [u64; 3];

/// The number of no task: all of a call.
pub(super) const ALL: u64 = u64::MAX;

impl Run {
    pub(super) fn call(&self) -> u64 {
        self.0
    }
    pub(super) fn function(&self) -> usize {
        self.1
    }
    pub(super) fn first(&self) -> u64 {
        self.2
    }
    pub(super) fn tasks(&self) -> u64 {
        self.3
    }
    pub(super) fn attempt(&self) -> u32 {
        self.4
    }
}

/// What became of an order.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Report {
    /// Of each task by itself.
    Each(Each),
    /// All tasks have results, which are in one message, and nobody asks when each of them ran.
    Brief(Brief),
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Each(
    /// The first task.
    pub u64,
    /// For each task, in order.
    pub Vec<Ran>,
    /// How many results each of the messages behind this one has.
    pub Vec<u64>,
    /// How many bytes the tasks had on the way.
    pub u64,
    /// The number of the GPU that the worker uses, if it does.
    pub Option<usize>,
);

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Brief(
    /// The first task.
    pub u64,
    /// How many there are.
    pub u64,
    /// When the first began.
    pub u64,
    /// When the last ended.
    pub u64,
    /// How many bytes they had on the way.
    pub u64,
);

impl From<Brief> for Each {
    fn from(Brief(first, count, begin, end, bytes): Brief) -> Each {
        // All the time is the first one's.
        let ran = |index| Ran(Outcome::Done, if index == 0 { begin } else { end }, end);
        Each(first, (0..count).map(ran).collect(), vec![count], bytes, None)
    }
}

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
