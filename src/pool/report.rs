//! What a worker tells of an order: what became of each task, and the results.

use super::link::Link;
use super::order::{self, Batch, Details, Head, Outcome, Ran, Run};
use super::payload::{Payload, pack};
use crate::error::Result;
use crate::object::append;

/// A report that is being made.
pub(super) struct Report {
    run: Run,
    /// How many bytes the tasks had on the way.
    pub bytes: u64,
    /// The number of the GPU that the worker uses, if it does.
    pub gpu: Option<u32>,
    begin: u64,
    /// When the last task so far has ended, in nanoseconds of the worker's time.
    pub end: u64,
    /// How many tasks it has.
    tasks: u64,
    /// The same one by one, once that is to be told.
    ran: Option<Vec<Ran>>,
}

impl Report {
    /// A report without tasks. Times are told for each if they `are_asked_for`.
    pub(super) fn new(run: Run, are_asked_for: bool, now: u64) -> Report {
        Report {
            run,
            bytes: 0,
            gpu: None,
            begin: now,
            end: now,
            tasks: 0,
            ran: are_asked_for.then(Vec::new),
        }
    }

    /// Adds the next task, which has ended `now`.
    pub(super) fn add(&mut self, outcome: Outcome, now: u64) {
        if outcome != Outcome::Done || self.ran.is_some() {
            let end = self.end;
            self.each().push(Ran(outcome, end, now));
        }
        self.tasks += 1;
        self.end = now;
    }

    /// What became of each task.
    fn each(&mut self) -> &mut Vec<Ran> {
        let (begin, end) = (self.begin, self.end);
        self.ran.get_or_insert_with(|| {
            // Nobody asks for their times, and all that they took is the first one's.
            let done = |task| Ran(Outcome::Done, if task == 0 { begin } else { end }, end);
            (0..self.tasks).map(done).collect()
        })
    }

    /// Sends it with the results of the tasks that are done. A result that cannot be sent is a task that has failed.
    ///
    /// # Errors
    /// Those of the communicator.
    pub(super) fn send<R: Payload>(mut self, mut results: Vec<R>, link: &mut Link) -> Result<()> {
        let mut message = link.outbox();
        message.resize(Head::BYTES, 0);
        let batches = match R::IS_BUFFER {
            true => results.iter().map(|_| Batch(1, 0)).collect(),
            false if results.is_empty() => Vec::new(),
            false => self.pack(&mut results, &mut message),
        };
        let is_brief = self.ran.is_none() && !R::IS_BUFFER;
        let packed = message.len();
        if !is_brief {
            let ran = std::mem::take(self.each());
            append(&Details(ran, batches), &mut message)?;
        }
        let head = Head {
            first: self.run.first,
            tasks: self.tasks,
            time: [self.begin, self.end],
            bytes: self.bytes,
            gpu: self.gpu,
            details: (message.len() - packed) as u64,
        };
        head.write(&mut message);
        link.send(message, order::report(self.run.call))?;
        for result in results {
            result.isend(&link.up, link.master, order::results(self.run.call));
        }
        Ok(())
    }

    /// Puts results into a message, in as few batches as possible.
    fn pack<R: Payload>(&mut self, results: &mut Vec<R>, message: &mut Vec<u8>) -> Vec<Batch> {
        let before = message.len();
        let since = |message: &Vec<u8>, before| (message.len() - before) as u64;
        if pack(results, message).is_ok() {
            let batch = Batch(results.len() as u64, since(message, before));
            // The message has them.
            results.clear();
            return vec![batch];
        }
        // Some of them can be sent, perhaps.
        let mut batches = Vec::new();
        let mut results = results.drain(..);
        for ran in self.each().iter_mut().filter(|ran| ran.0 == Outcome::Done) {
            let before = message.len();
            match results.next().map(|result| pack(&vec![result], message)) {
                Some(Ok(())) => batches.push(Batch(1, since(message, before))),
                Some(Err(error)) => ran.0 = Outcome::Failed(format!("its result cannot be sent: {error}")),
                None => break,
            }
        }
        batches
    }
}
