//! Calls of MPI's own functions, each checked as a C program would check it.

use std::ffi::c_int;
use std::fmt;

use mpi::ffi;

/// A call of MPI that failed.
#[derive(Debug)]
pub struct MpiError {
    call: &'static str,
    code: c_int,
}

impl fmt::Display for MpiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} returned {}", self.call, self.code)
    }
}

impl std::error::Error for MpiError {}

/// Looks at what a function has returned.
#[inline]
pub fn check(code: c_int, call: &'static str) -> Result<(), MpiError> {
    match code == ffi::MPI_SUCCESS as c_int {
        true => Ok(()),
        false => Err(MpiError { call, code }),
    }
}

/// Ends the job: a rank that just returned its error would leave the others waiting for it.
pub fn abort() {
    // SAFETY: MPI is initialized wherever ranks measure, and nothing is expected to follow.
    unsafe { ffi::MPI_Abort(ffi::RSMPI_COMM_WORLD, 1) };
}
