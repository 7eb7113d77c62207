//! The calls of MPI that the raw loops are made of, each checked as a C program would check it.

use std::ffi::c_int;
use std::fmt;
use std::time::Duration;

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

#[inline]
fn check(code: c_int, call: &'static str) -> Result<(), MpiError> {
    match code == ffi::MPI_SUCCESS as c_int {
        true => Ok(()),
        false => Err(MpiError { call, code }),
    }
}

/// Sends bytes to a rank of `MPI_COMM_WORLD`.
#[inline]
pub fn send(buffer: &[u8], dest: c_int) -> Result<(), MpiError> {
    // SAFETY: the buffer has as many bytes as the call reads; no benchmark has 2 GiB.
    let code = unsafe {
        ffi::MPI_Send(
            buffer.as_ptr().cast(),
            buffer.len() as c_int,
            ffi::RSMPI_UINT8_T,
            dest,
            0,
            ffi::RSMPI_COMM_WORLD,
        )
    };
    check(code, "MPI_Send")
}

/// Receives bytes from a rank of `MPI_COMM_WORLD`.
#[inline]
pub fn recv(buffer: &mut [u8], source: c_int) -> Result<(), MpiError> {
    // SAFETY: the buffer has as many bytes as the call writes at most, and any value is a `u8`.
    let code = unsafe {
        ffi::MPI_Recv(
            buffer.as_mut_ptr().cast(),
            buffer.len() as c_int,
            ffi::RSMPI_UINT8_T,
            source,
            0,
            ffi::RSMPI_COMM_WORLD,
            ffi::RSMPI_STATUS_IGNORE,
        )
    };
    check(code, "MPI_Recv")
}

/// Sums the buffers of all ranks into `result`, which is as long.
#[inline]
pub fn allreduce_sum(own: &[f64], result: &mut [f64]) -> Result<(), MpiError> {
    debug_assert_eq!(own.len(), result.len());
    // SAFETY: both buffers have the elements that the call reads and writes, and any value is an `f64`.
    let code = unsafe {
        ffi::MPI_Allreduce(
            own.as_ptr().cast(),
            result.as_mut_ptr().cast(),
            own.len().min(result.len()) as c_int,
            ffi::RSMPI_DOUBLE,
            ffi::RSMPI_SUM,
            ffi::RSMPI_COMM_WORLD,
        )
    };
    check(code, "MPI_Allreduce")
}

/// Gives all ranks what rank 0 has.
#[inline]
pub fn bcast(buffer: &mut [f64]) -> Result<(), MpiError> {
    // SAFETY: the buffer has the elements that the call reads or writes, and any value is an `f64`.
    let code = unsafe {
        ffi::MPI_Bcast(
            buffer.as_mut_ptr().cast(),
            buffer.len() as c_int,
            ffi::RSMPI_DOUBLE,
            0,
            ffi::RSMPI_COMM_WORLD,
        )
    };
    check(code, "MPI_Bcast")
}

/// The longest that each of these took on any rank.
pub fn longest<const N: usize>(own: [Duration; N]) -> Result<[Duration; N], MpiError> {
    let own = own.map(|duration| duration.as_secs_f64());
    let mut longest = [0f64; N];
    // SAFETY: both arrays have N elements, and any value is an `f64`.
    let code = unsafe {
        ffi::MPI_Allreduce(
            own.as_ptr().cast(),
            longest.as_mut_ptr().cast(),
            N as c_int,
            ffi::RSMPI_DOUBLE,
            ffi::RSMPI_MAX,
            ffi::RSMPI_COMM_WORLD,
        )
    };
    check(code, "MPI_Allreduce")?;
    Ok(longest.map(Duration::from_secs_f64))
}

/// Waits for all ranks.
pub fn barrier() -> Result<(), MpiError> {
    // SAFETY: the call takes no memory.
    check(unsafe { ffi::MPI_Barrier(ffi::RSMPI_COMM_WORLD) }, "MPI_Barrier")
}

/// Ends the job: a rank that just returned its error would leave the other waiting for it.
pub fn abort() {
    // SAFETY: MPI is initialized wherever ranks run, and nothing is expected to follow.
    unsafe { ffi::MPI_Abort(ffi::RSMPI_COMM_WORLD, 1) };
}
