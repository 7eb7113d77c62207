//! The calls of MPI that the raw loops are made of.

use std::ffi::c_int;
use std::time::Duration;

use mpi::ffi;

use crate::mpi_call::{MpiError, check};

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
