//! What a pool runs on its workers: closures that every rank has compiled, called by number.

use std::fmt;
use std::marker::PhantomData;
use std::panic::{AssertUnwindSafe, catch_unwind};

use super::order::{Outcome, Run};
use super::payload::Payload;
use super::report::Report;
use super::worker::Worker;
use crate::error::Result;

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
        let values = worker.link.values::<T>()?;
        let mut report = Report::new(run, worker.has_timeline, worker.link.now());
        let mut results: Vec<R> = Vec::new();
        match values {
            Ok((tasks, bytes)) => {
                report.bytes = bytes;
                results.reserve(tasks.len());
                for (task, index) in tasks.into_iter().zip(run.first..) {
                    let now = report.end;
                    if worker.link.is_cancelled(run.call, index, run.attempt, now)? {
                        report.add(Outcome::Skipped, now);
                        continue;
                    }
                    worker.begin(run.call, index, run.attempt);
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
                    report.add(outcome, worker.link.now());
                }
            }
            Err(error) => {
                for _ in 0..run.tasks {
                    let text = format!("the task cannot be read: {error}");
                    report.add(Outcome::Failed(text), report.end);
                }
            }
        }
        report.gpu = worker.gpu();
        report.send(results, &mut worker.link)
    }
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
