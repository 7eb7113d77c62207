//! What is measured: an operation at one length, on buffers that were made for it.

use super::contents::Wrong;
use crate::Failure;

/// An operation at one length, on one of its ranks; all ranks make the same calls.
pub trait Subject {
    /// Gives the buffers that are sent new elements, and those that are received into others than they should get.
    fn prepare(&mut self) -> Result<(), Failure>;

    /// Runs so many operations, each until a program could use its result.
    fn run(&mut self, repeats: u64) -> Result<(), Failure>;

    /// The first element of the latest result that is not what it should be.
    fn wrong(&self) -> Result<Option<Wrong>, Failure>;

    /// Whether another library makes the result, MPI or NCCL: if that is wrong it is left out, and said; what carries it nobody
    /// knows.
    fn is_of_another_library(&self) -> bool {
        false
    }

    /// Lets each operation compute for so many steps of [`compute`] between its start and its end.
    fn compute(&mut self, _steps: u64) {}
}

/// The buffers of an operation on one rank, which know what they should hold.
pub trait Contents {
    /// As [`Subject::prepare`].
    fn prepare(&mut self) -> Result<(), Failure>;

    /// As [`Subject::wrong`].
    fn wrong(&self) -> Result<Option<Wrong>, Failure>;
}

/// How an operation is done on its buffers.
pub trait Run<B> {
    /// As [`Subject::is_of_another_library`].
    const IS_OF_ANOTHER_LIBRARY: bool;

    /// As [`Subject::run`].
    fn run(&mut self, buffers: &mut B, repeats: u64) -> Result<(), Failure>;

    /// As [`Subject::compute`].
    fn compute(&mut self, _steps: u64) {}
}

/// An operation with the buffers that were made for it.
pub struct Made<B, R> {
    pub buffers: B,
    pub run: R,
}

impl<B: Contents, R: Run<B>> Subject for Made<B, R> {
    fn prepare(&mut self) -> Result<(), Failure> {
        self.buffers.prepare()
    }

    fn run(&mut self, repeats: u64) -> Result<(), Failure> {
        self.run.run(&mut self.buffers, repeats)
    }

    fn wrong(&self) -> Result<Option<Wrong>, Failure> {
        self.buffers.wrong()
    }

    fn is_of_another_library(&self) -> bool {
        R::IS_OF_ANOTHER_LIBRARY
    }

    fn compute(&mut self, steps: u64) {
        self.run.compute(steps);
    }
}

/// A series that cannot be measured here, and why; the others can.
#[derive(Debug)]
pub struct NotHere(pub String);

impl std::fmt::Display for NotHere {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for NotHere {}

/// That a series cannot be measured here.
pub fn not_here(reason: impl Into<String>) -> Failure {
    Box::new(NotHere(reason.into()))
}

/// So many steps of a computation that needs no memory and that the compiler cannot leave out.
pub fn compute(steps: u64) {
    let mut value = 1.0f64;
    for _ in 0..steps {
        value = std::hint::black_box(value * 0.999 + 0.001);
    }
}
