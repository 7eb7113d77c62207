//! How operations of a stream fail.

use super::status::Status;
use crate::ptx::Fault;

/// A failure that stays with its context.
#[derive(Clone, Debug)]
pub struct Failure {
    pub status: Status,
    /// What is printed.
    pub text: String,
}

/// How an operation of a stream ends.
pub type Outcome<T = ()> = Result<T, Failure>;

impl From<Fault> for Failure {
    fn from(fault: Fault) -> Self {
        let (status, text) = match fault {
            Fault::IllegalAddress(text) => (Status::ERROR_ILLEGAL_ADDRESS, text),
            Fault::Misaligned(text) => (Status::ERROR_MISALIGNED_ADDRESS, text),
            Fault::Illegal(text) => (Status::ERROR_ILLEGAL_INSTRUCTION, text),
        };
        Self { status, text }
    }
}
