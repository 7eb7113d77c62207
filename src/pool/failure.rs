//! What can become of tasks other than a result.

use std::fmt;
use std::time::Duration;

use crate::error::Error;

/// A task that has no result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskFailure {
    pub(super) task: u64,
    pub(super) rank: usize,
    pub(super) attempts: u32,
    pub(super) cause: Cause,
}

/// What a task has come to.
pub type Tried<R> = Result<R, TaskFailure>;

/// Why a task has no result.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Cause {
    /// It returned an error, with this text; or it, or its result, cannot be sent or read.
    Error(String),
    /// It panicked, with this text.
    Panic(String),
    /// It took longer than this. It may go on on its rank; what it returns is not taken any more.
    TimeLimit(Duration),
}

impl TaskFailure {
    /// The number of the task in its call, from 0.
    pub fn task(&self) -> u64 {
        self.task
    }

    /// The rank that tried it last.
    pub fn rank(&self) -> usize {
        self.rank
    }

    /// How often it was tried.
    pub fn attempts(&self) -> u32 {
        self.attempts
    }

    /// Why it has no result, the last time.
    pub fn cause(&self) -> &Cause {
        &self.cause
    }
}

impl fmt::Display for TaskFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let TaskFailure { task, rank, .. } = self;
        match &self.cause {
            Cause::Error(text) => write!(f, "task {task} failed on rank {rank}: {text}")?,
            Cause::Panic(text) => write!(f, "task {task} panicked on rank {rank}: {text}")?,
            Cause::TimeLimit(limit) => write!(f, "task {task} took more than {limit:?} on rank {rank}")?,
        }
        match self.attempts {
            1 => Ok(()),
            attempts => write!(f, " (attempt {attempts})"),
        }
    }
}

impl std::error::Error for TaskFailure {}

/// Why a call has ended before all its tasks.
#[derive(Debug)]
#[non_exhaustive]
pub enum Stopped {
    /// A task has failed, as often as it may be tried.
    Failed(TaskFailure),
    /// The call was cancelled.
    Cancelled,
    /// The program was interrupted: by Ctrl-C, or whoever ends jobs.
    Interrupted,
    /// The communicator has failed, such as because a worker is gone, or the function is of another pool; with the tasks that
    /// workers had then.
    Broken(Error, Vec<Held>),
}

/// Tasks that a worker had when the communicator failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    /// The worker.
    pub rank: usize,
    /// The numbers of its tasks.
    pub tasks: Vec<u64>,
}

impl fmt::Display for Stopped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Stopped::Failed(failure) => failure.fmt(f),
            Stopped::Cancelled => f.write_str("cancelled"),
            Stopped::Interrupted => f.write_str("interrupted"),
            Stopped::Broken(error, held) => {
                error.fmt(f)?;
                for Held { rank, tasks } in held {
                    let numbers: Vec<String> = tasks.iter().take(10).map(u64::to_string).collect();
                    write!(
                        f,
                        "; rank {rank} had {} tasks: {}",
                        tasks.len(),
                        numbers.join(", ")
                    )?;
                    if tasks.len() > numbers.len() {
                        f.write_str(", ...")?;
                    }
                }
                Ok(())
            }
        }
    }
}

/// A call that has ended before all its tasks, with the results that there are.
pub struct Incomplete<R> {
    pub(super) why: Stopped,
    pub(super) results: Vec<(u64, R)>,
}

impl<R> Incomplete<R> {
    /// Why it has ended.
    pub fn why(&self) -> &Stopped {
        &self.why
    }

    /// The results that there are, each with the number of its task, in the order of these.
    pub fn results(&self) -> &[(u64, R)] {
        &self.results
    }

    /// The same, taken out.
    pub fn into_results(self) -> Vec<(u64, R)> {
        self.results
    }
}

impl<R> fmt::Display for Incomplete<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}; {} tasks are done", self.why, self.results.len())
    }
}

impl<R> fmt::Debug for Incomplete<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Incomplete({self})")
    }
}

impl<R> std::error::Error for Incomplete<R> {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match &self.why {
            Stopped::Failed(failure) => Some(failure),
            Stopped::Broken(error, _) => Some(error),
            Stopped::Cancelled | Stopped::Interrupted => None,
        }
    }
}
