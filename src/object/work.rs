//! The caller's code in a collective: it may fail and panic, and no other rank may wait for it in vain.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use crate::collective::object::Steps;
use crate::comm::Communicator;
use crate::error::{Error, ErrorKind, Result};
use crate::plan::Operation;

/// A collective on objects under way on this rank.
pub(super) struct Work<'a> {
    pub steps: Steps<'a>,
    /// What the caller's code has panicked with; it goes on when all ranks know.
    panic: Option<Box<dyn Any + Send>>,
}

impl<'a> Work<'a> {
    pub(super) fn enter(comm: &'a Communicator, operation: Operation) -> Result<Work<'a>> {
        Ok(Work {
            steps: Steps::enter(comm, operation)?,
            panic: None,
        })
    }

    /// Runs code of the caller: serialization, deserialization or a fold.
    pub(super) fn of_caller<T>(&mut self, code: impl FnOnce() -> Result<T>) -> Result<T> {
        // What the code has left behind is used no more: the panic goes on.
        catch_unwind(AssertUnwindSafe(code)).unwrap_or_else(|panic| {
            let text = match (panic.downcast_ref::<&str>(), panic.downcast_ref::<String>()) {
                (Some(text), _) => text,
                (_, Some(text)) => text.as_str(),
                _ => "no text",
            };
            let error = Error::new(ErrorKind::PeerFailed, format!("a panic: {text}"));
            self.panic.get_or_insert(panic);
            Err(error)
        })
    }

    /// Begins the collective on all ranks, if all are ready for it; else all leave it.
    pub(super) fn begin<T>(&mut self, root: Option<usize>, ready: Result<T>) -> Result<T> {
        let (value, local) = parted(ready);
        let begun = self.steps.begin(root, local);
        if let Some(panic) = self.panic.take() {
            resume_unwind(panic);
        }
        begun.and(value)
    }

    /// Ends the collective on all ranks: an error of one is an error of all.
    pub(super) fn end<T>(self, outcome: Result<T>) -> Result<T> {
        let (value, local) = parted(outcome);
        let settled = self.steps.settle(local);
        if let Some(panic) = self.panic {
            resume_unwind(panic);
        }
        settled.and(value)
    }
}

/// An outcome, and whether it is one, for the other ranks.
fn parted<T>(outcome: Result<T>) -> (Result<T>, Result<()>) {
    let told = match &outcome {
        Ok(_) => Ok(()),
        Err(error) => Err(error.duplicate()),
    };
    (outcome, told)
}
