//! MPI's collectives, blocking and not.

use std::mem::MaybeUninit;
use std::os::raw::{c_int, c_void};

use mpi::ffi;

use super::super::check::check;
use super::datatype::{Units, at_address, datatype, in_place, reduction, units};
use crate::error::{Error, Result};
use crate::transport::plain::{Call, Elements};

/// Calls the blocking form of a collective, or starts the non-blocking one where there is a place for a request.
macro_rules! either {
    ($request:expr, $blocking:ident $starting:ident ($($argument:expr),* $(,)?)) => {
        match $request {
            None => check(ffi::$blocking($($argument),*), stringify!($blocking)),
            Some(request) => check(ffi::$starting($($argument,)* request), stringify!($starting)),
        }
    };
}

/// What MPI goes on reading until a collective is over.
type Kept = Vec<(Vec<c_int>, Vec<ffi::MPI_Datatype>)>;

/// # Safety
/// As for [`Plain::call`](crate::transport::plain::Plain::call).
pub(super) unsafe fn call(communicator: ffi::MPI_Comm, call: &Call) -> Result<()> {
    // SAFETY: the caller's promise.
    unsafe { enter(communicator, call, None, &mut Kept::new()) }
}

/// # Safety
/// As for [`Plain::start`](crate::transport::plain::Plain::start).
pub(super) unsafe fn start(communicator: ffi::MPI_Comm, call: &Call) -> Result<(ffi::MPI_Request, Memory)> {
    let mut request = MaybeUninit::uninit();
    let mut kept = Kept::new();
    // SAFETY: the caller's promise; MPI sets the request.
    unsafe {
        enter(communicator, call, Some(request.as_mut_ptr()), &mut kept)?;
        Ok((request.assume_init(), Memory(kept)))
    }
}

/// Lists that MPI reads; datatypes of MPI may be pointers, which nobody follows here.
pub(super) struct Memory(#[expect(dead_code, reason = "it is kept, and not read")] Kept);

// SAFETY: plain numbers and handles, which are only dropped.
unsafe impl Send for Memory {}

/// The number of elements of a reduction, which MPI defines on no types but its own.
fn int_count(elements: &Elements) -> Result<c_int> {
    c_int::try_from(elements.count).map_err(|_| {
        Error::unsupported(format!(
            "{} elements in a reduction of MPI, which counts with 31 bits here",
            elements.count
        ))
    })
}

/// Where the elements to send are.
fn source(send: &Option<Elements>) -> *const c_void {
    send.map_or_else(in_place, |send| send.to_read())
}

/// # Safety
/// As for [`call`] or [`start`]; what is put into `kept` stays until the collective is over.
unsafe fn enter(
    communicator: ffi::MPI_Comm,
    call: &Call,
    request: Option<*mut ffi::MPI_Request>,
    kept: &mut Kept,
) -> Result<()> {
    // SAFETY: the caller's promise; MPI copies the handles of types and reductions, and keeps the types themselves.
    unsafe {
        match call {
            Call::Barrier => either!(request, MPI_Barrier MPI_Ibarrier(communicator)),
            Call::Bcast { buffer, root } => {
                let units = units(buffer)?;
                either!(request, MPI_Bcast MPI_Ibcast(
                    buffer.to_write(), units.count, units.handle, *root as c_int, communicator,
                ))
            }
            Call::Gather { send, recv, root } => {
                let (out, back) = (units(send)?, units(recv)?);
                either!(request, MPI_Gather MPI_Igather(
                    send.to_read(), out.count, out.handle,
                    recv.to_write(), back.count, back.handle, *root as c_int, communicator,
                ))
            }
            Call::Gatherv {
                send,
                recv,
                blocks,
                root,
            } => {
                let out = units(send)?;
                either!(request, MPI_Gatherv MPI_Igatherv(
                    send.to_read(), out.count, out.handle,
                    recv.to_write(), blocks.counts.as_ptr(), blocks.displacements.as_ptr(),
                    datatype(recv.dtype)?, *root as c_int, communicator,
                ))
            }
            Call::Scatter { send, recv, root } => {
                let (out, back) = (units(send)?, units(recv)?);
                either!(request, MPI_Scatter MPI_Iscatter(
                    send.to_read(), out.count, out.handle,
                    recv.to_write(), back.count, back.handle, *root as c_int, communicator,
                ))
            }
            Call::Scatterv {
                send,
                blocks,
                recv,
                root,
            } => {
                let back = units(recv)?;
                either!(request, MPI_Scatterv MPI_Iscatterv(
                    send.to_read(), blocks.counts.as_ptr(), blocks.displacements.as_ptr(),
                    datatype(send.dtype)?,
                    recv.to_write(), back.count, back.handle, *root as c_int, communicator,
                ))
            }
            Call::Allgather { send, recv } => {
                let (out, back) = (units(send.as_ref().unwrap_or(recv))?, units(recv)?);
                either!(request, MPI_Allgather MPI_Iallgather(
                    source(send), out.count, out.handle,
                    recv.to_write(), back.count, back.handle, communicator,
                ))
            }
            Call::Allgatherv { send, recv, blocks } => {
                let out = units(send.as_ref().unwrap_or(recv))?;
                let (recv, displacements) = match blocks.displacements[..] {
                    // MPICH 4.0.2 puts the block of a rank that is alone at the start, whatever its displacement.
                    [only] => (recv.from(only as usize), &[0][..]),
                    _ => (*recv, &blocks.displacements[..]),
                };
                either!(request, MPI_Allgatherv MPI_Iallgatherv(
                    source(send), out.count, out.handle,
                    recv.to_write(), blocks.counts.as_ptr(), displacements.as_ptr(),
                    datatype(recv.dtype)?, communicator,
                ))
            }
            Call::Alltoall { send, recv } => {
                let (out, back) = (units(send.as_ref().unwrap_or(recv))?, units(recv)?);
                either!(request, MPI_Alltoall MPI_Ialltoall(
                    source(send), out.count, out.handle,
                    recv.to_write(), back.count, back.handle, communicator,
                ))
            }
            Call::Alltoallv {
                send,
                recv,
                recv_blocks,
            } => {
                // In place MPI does not look at the lists of what is sent.
                let (out, out_blocks, dtype) = match send {
                    Some((send, blocks)) => (send.to_read(), blocks, send.dtype),
                    None => (in_place(), recv_blocks, recv.dtype),
                };
                either!(request, MPI_Alltoallv MPI_Ialltoallv(
                    out, out_blocks.counts.as_ptr(), out_blocks.displacements.as_ptr(), datatype(dtype)?,
                    recv.to_write(), recv_blocks.counts.as_ptr(), recv_blocks.displacements.as_ptr(),
                    datatype(recv.dtype)?, communicator,
                ))
            }
            Call::Alltoallw { send, recv } => {
                let types = |elements: &Vec<Elements>| {
                    elements.iter().map(at_address).collect::<Result<Vec<Units>>>()
                };
                let (out, back) = (types(send.as_ref().unwrap_or(recv))?, types(recv)?);
                for units in [&out, &back] {
                    let counts = units.iter().map(|units| units.count).collect();
                    kept.push((counts, units.iter().map(|units| units.handle).collect()));
                }
                let zeros = vec![0; recv.len()];
                kept.push((zeros, Vec::new()));
                let [(out_counts, out_types), (back_counts, back_types), (zeros, _)] = &kept[..] else {
                    return Err(Error::invalid("the lists of another collective"));
                };
                let source = match send {
                    // The types are at addresses of their own: the buffers are the origin.
                    Some(_) => std::ptr::null(),
                    None => in_place(),
                };
                either!(request, MPI_Alltoallw MPI_Ialltoallw(
                    source, out_counts.as_ptr(), zeros.as_ptr(), out_types.as_ptr(),
                    std::ptr::null_mut(), back_counts.as_ptr(), zeros.as_ptr(), back_types.as_ptr(),
                    communicator,
                ))
            }
            Call::Reduce { send, recv, op, root } => either!(request, MPI_Reduce MPI_Ireduce(
                send.to_read(), recv.to_write(), int_count(send)?, datatype(send.dtype)?,
                reduction(*op, send.dtype)?, *root as c_int, communicator,
            )),
            Call::Allreduce { send, recv, op } => either!(request, MPI_Allreduce MPI_Iallreduce(
                source(send), recv.to_write(), int_count(recv)?, datatype(recv.dtype)?,
                reduction(*op, recv.dtype)?, communicator,
            )),
            Call::ReduceScatterBlock { send, recv, op } => {
                either!(request, MPI_Reduce_scatter_block MPI_Ireduce_scatter_block(
                    source(send), recv.to_write(), int_count(recv)?, datatype(recv.dtype)?,
                    reduction(*op, recv.dtype)?, communicator,
                ))
            }
            Call::ReduceScatter {
                send,
                counts,
                recv,
                op,
            } => {
                either!(request, MPI_Reduce_scatter MPI_Ireduce_scatter(
                    source(send), recv.to_write(), counts.as_ptr(), datatype(recv.dtype)?,
                    reduction(*op, recv.dtype)?, communicator,
                ))
            }
            Call::Scan { send, recv, op } => either!(request, MPI_Scan MPI_Iscan(
                source(send), recv.to_write(), int_count(recv)?, datatype(recv.dtype)?,
                reduction(*op, recv.dtype)?, communicator,
            )),
            Call::Exscan { send, recv, op } => either!(request, MPI_Exscan MPI_Iexscan(
                source(send), recv.to_write(), int_count(recv)?, datatype(recv.dtype)?,
                reduction(*op, recv.dtype)?, communicator,
            )),
        }
    }
}
