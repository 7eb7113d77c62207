//! What a pool runs on its workers: closures that every rank has compiled, called by number.

use std::fmt;
use std::marker::PhantomData;
use std::panic::{AssertUnwindSafe, catch_unwind};

use super::link::Link;
use super::order::{self, Brief, Each, Outcome, Ran, Report, Run};
use super::payload::Payload;
use super::worker::Worker;
use crate::error::{Error, ErrorKind, Result};

/// What a task ends with: its result, or whatever error `?` has found.
pub type TaskResult<R> = std::result::Result<R, Box<dyn std::error::Error + Send + Sync>>;

/// A function of a pool, from tasks `T` to results `R`; see [`Pool::function`](super::Pool::function).
pub struct Function<T, R> {
    /// Which pool of this process it is of.
    pub(super) pool: u64,
    pub(super) number: usize,
    types: PhantomData<fn(T) -> R>,
}

impl<T, R> Function<T, R> {
    pub(super) fn new(pool: u64, number: usize) -> Function<T, R> {
        Function {
            pool,
            number,
            types: PhantomData,
        }
    }
}

impl<T, R> Clone for Function<T, R> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T, R> Copy for Function<T, R> {}

impl<T, R> fmt::Debug for Function<T, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (task, result) = (std::any::type_name::<T>(), std::any::type_name::<R>());
        write!(f, "Function {} from {task} to {result}", self.number)
    }
}

/// A function whose types are forgotten.
pub(super) trait Erased<S>: Send + Sync {
    /// What the functions of this number have in common on all ranks.
    fn signature(&self) -> String;

    /// Runs an order, whose tasks follow, and reports.
    ///
    /// # Errors
    /// Those of the communicator, after which nothing more comes.
    fn run(&self, worker: &mut Worker<S>, run: Run) -> Result<()>;
}

/// A closure with the types that it has.
pub(super) struct Typed<F, T, R> {
    closure: F,
    types: PhantomData<fn(T) -> R>,
}

impl<F, T, R> Typed<F, T, R> {
    pub(super) fn new(closure: F) -> Typed<F, T, R> {
        Typed {
            closure,
            types: PhantomData,
        }
    }
}

impl<S, T, R, F> Erased<S> for Typed<F, T, R>
where
    T: Payload,
    R: Payload,
    F: Fn(&mut Worker<S>, T) -> TaskResult<R> + Send + Sync,
{
    fn signature(&self) -> String {
        let (task, result) = (std::any::type_name::<T>(), std::any::type_name::<R>());
        format!("{task} -> {result}")
    }

    fn run(&self, worker: &mut Worker<S>, run: Run) -> Result<()> {
        let link = &mut worker.link;
        let (tasks, bytes) = match guarded(|| T::receive(&link.down, link.master, order::BODY)) {
            Ok(received) => received,
            Err(error) if is_of_the_values(&error) => {
                let now = link.now();
                let failed = |_| {
                    Ran(
                        Outcome::Failed(format!("the task cannot be read: {error}")),
                        now,
                        now,
                    )
                };
                let ran = (0..run.tasks()).map(failed).collect();
                return link.report(run.call(), &Report::Each(Each(run.first(), ran, vec![], 0, None)));
            }
            Err(error) => return Err(error),
        };
        let (mut ran, mut results) = (Vec::with_capacity(tasks.len()), Vec::with_capacity(tasks.len()));
        let first_begin = link.now();
        let mut now = first_begin;
        for (task, index) in tasks.into_iter().zip(run.first()..) {
            let begin = now;
            if worker
                .link
                .is_cancelled(run.call(), index, run.attempt(), begin)?
            {
                ran.push(Ran(Outcome::Skipped, begin, begin));
                continue;
            }
            worker.begin(run.call(), index, run.attempt());
            // A panic leaves the worker's state as it is then, which is what the closure has made of it.
            let outcome = catch_unwind(AssertUnwindSafe(|| (self.closure)(worker, task)));
            let outcome = match outcome {
                Ok(Ok(result)) => {
                    results.push(result);
                    Outcome::Done
                }
                Ok(Err(error)) => Outcome::Failed(with_causes(&*error)),
                Err(panic) => Outcome::Panicked(text_of(&*panic)),
            };
            now = worker.link.now();
            ran.push(Ran(outcome, begin, now));
        }
        let gpu = worker.gpu();
        let batches = send(results, &mut ran, &mut worker.link, run)?;
        let report = match *batches {
            [count] if count == run.tasks() && !worker.has_timeline => {
                Report::Brief(Brief(run.first(), count, first_begin, now, bytes))
            }
            _ => Report::Each(Each(run.first(), ran, batches, bytes, gpu)),
        };
        worker.link.report(run.call(), &report)
    }
}

/// Sends results, in as few messages as possible; returns how many are in each. What cannot be sent has failed.
fn send<R: Payload>(mut results: Vec<R>, ran: &mut [Ran], link: &mut Link, run: Run) -> Result<Vec<u64>> {
    if results.is_empty() {
        return Ok(vec![]);
    }
    let tag = order::results(run.call());
    if !R::IS_BUFFER {
        let count = results.len() as u64;
        match guarded(|| R::send(&results, &link.up, link.master, tag)) {
            Ok(sending) => {
                link.keep(sending);
                return Ok(vec![count]);
            }
            // Some of them can be sent, perhaps.
            Err(error) if is_of_the_values(&error) => {}
            Err(error) => return Err(error),
        }
    }
    let mut batches = Vec::new();
    let mut results = results.drain(..);
    for ran in ran.iter_mut().filter(|ran| ran.0 == Outcome::Done) {
        let Some(result) = results.next() else {
            break;
        };
        match guarded(|| result.send_one(&link.up, link.master, tag)) {
            Ok(sending) => {
                link.keep(sending);
                batches.push(1);
            }
            Err(error) if is_of_the_values(&error) => {
                ran.0 = Outcome::Failed(format!("its result cannot be sent: {error}"));
            }
            Err(error) => return Err(error),
        }
    }
    Ok(batches)
}

/// A panic of what serializes or reads a value is an error of that value.
pub(super) fn guarded<V>(travel: impl FnOnce() -> Result<V>) -> Result<V> {
    catch_unwind(AssertUnwindSafe(travel)).unwrap_or_else(|panic| {
        let text = format!("panicked: {}", text_of(&*panic));
        Err(Error::new(ErrorKind::Mismatch, text))
    })
}

/// Whether an error is about what travels, and not about the way.
pub(super) fn is_of_the_values(error: &Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::InvalidArgument | ErrorKind::Mismatch | ErrorKind::Device | ErrorKind::Unsupported
    )
}

/// An error with what has caused it.
fn with_causes(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

/// What a panic says.
pub(super) fn text_of(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "a panic without a text".to_owned())
}
