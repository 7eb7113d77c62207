//! Messages between two ranks' buffers on one GPU, beside the link or the copies of the GPU.

use std::sync::Arc;

use warpcomm::cudarc::driver::{CudaSlice, CudaStream};
use warpcomm::{Buffer, BufferMut, Communicator, DeviceBuffer, Tag};

use crate::contest::Effort;
use crate::gpu::{Gpu, all_are};
use crate::model::{Limits, Way};
use crate::modelled::{Observed, Operation};
use crate::rank::{Forced, Measured};
use crate::row::Times;
use crate::verdict::{Case, Limit, Verdict};
use crate::way::carried_by;
use crate::{Failure, overlap, timing};

const MIB: usize = 1 << 20;

/// Bytes of a message where nothing is timed: of more than one piece.
const CHECKED_BYTES: usize = 300_000;

/// Measures as one of two ranks, of which each message goes the way that is forced.
pub fn measure(
    comm: &Communicator,
    forced: Forced,
    effort: Effort,
    limits: &Limits,
    measured: &mut Measured,
) -> Result<(), Failure> {
    let gpu = Gpu::new(comm.device()?, effort == Effort::Check)?;
    let of_gpu = limits.gpu.as_ref().ok_or("the GPU has no limits")?;
    let link = "pinned memory, one way";
    let plain = |bytes| plain(comm, &gpu, (effort, forced), bytes);
    match forced {
        Forced::SharedPinned | Forced::Staged => {
            for (bytes, target) in [(16 * MIB, 0.8), (64 * MIB, 0.9)] {
                let (bytes, times) = plain(bytes)?;
                let limit = Limit {
                    what: link,
                    seconds: bytes as f64 / of_gpu.pinned(),
                    // What MPI carries is here to be seen beside it.
                    target: (forced == Forced::SharedPinned).then_some(target),
                };
                add(measured, comm, (forced, forced.way()), bytes, limit, times)?;
            }
        }
        Forced::Ipc => {
            let copy = |bytes: usize| 2.0 * bytes as f64 / of_gpu.copy_bytes_per_second;
            let (bytes, times) = lent(comm, &gpu, (effort, forced), 256 * MIB)?;
            let limit = Limit {
                what: "a device copy",
                seconds: copy(bytes),
                target: Some(0.9),
            };
            add(measured, comm, (forced, Way::SameGpuIpc), bytes, limit, times)?;
            let (bytes, times) = plain(256 * MIB)?;
            let limit = Limit {
                what: "a device copy, of which it takes two",
                seconds: copy(bytes),
                target: None,
            };
            let way = Way::SameGpuIpcByTwoCopies;
            add(measured, comm, (forced, way), bytes, limit, times)?;
        }
    }
    if forced == Forced::SharedPinned {
        overlap::measure(comm, &gpu, effort, measured)?;
    }
    Ok(())
}

/// Adds a row, after a look at what carried it.
fn add(
    measured: &mut Measured,
    comm: &Communicator,
    (forced, way): (Forced, Way),
    bytes: usize,
    limit: Limit<'_>,
    times: Times,
) -> Result<(), Failure> {
    let path = path(comm, forced)?;
    let operation = match way {
        Way::SameGpuIpc => "send/recv, DeviceBuffer",
        _ => "send/recv",
    };
    measured.observed.push(Observed {
        operation: Operation::SendRecv,
        way,
        path: path.clone(),
        ranks: 2,
        bytes,
        times,
    });
    let case = Case {
        operation,
        path,
        ranks: 2,
        bytes,
    };
    measured.targets.push(Verdict::new(case, limit, times));
    Ok(())
}

/// The path that messages to the other rank have taken, which must be the forced one.
pub fn path(comm: &Communicator, forced: Forced) -> Result<String, Failure> {
    match comm.path(1 - comm.rank())? {
        Some(chosen) if chosen.path() == forced.path() => Ok(chosen.path().to_string()),
        Some(chosen) => Err(format!("messages went otherwise: {chosen}").into()),
        None => Err("no long message was sent".into()),
    }
}

fn shortened(gpu: &Gpu, bytes: usize) -> usize {
    if gpu.is_checked_only { CHECKED_BYTES } else { bytes }
}

/// Messages from and to slices of cudarc.
fn plain(
    comm: &Communicator,
    gpu: &Gpu,
    how: (Effort, Forced),
    bytes: usize,
) -> Result<(usize, Times), Failure> {
    let bytes = shortened(gpu, bytes);
    let of = |content: u8| Ok(gpu.stream.clone_htod(&vec![content; bytes])?);
    let read = |buffer: &CudaSlice<u8>| Ok(gpu.stream.clone_dtoh(buffer)?);
    Ok((bytes, back_and_forth(comm, gpu, how, bytes, (of, read))?))
}

/// Messages from and to buffers that other processes copy from.
fn lent(
    comm: &Communicator,
    gpu: &Gpu,
    how: (Effort, Forced),
    bytes: usize,
) -> Result<(usize, Times), Failure> {
    let bytes = shortened(gpu, bytes);
    let of = |content: u8| Ok(DeviceBuffer::from_slice(&gpu.stream, &vec![content; bytes])?);
    let read = |buffer: &DeviceBuffer<u8>| Ok(buffer.to_vec()?);
    Ok((bytes, back_and_forth(comm, gpu, how, bytes, (of, read))?))
}

/// Half of a round trip, until the receiver can use what has come.
fn back_and_forth<B>(
    comm: &Communicator,
    gpu: &Gpu,
    (effort, forced): (Effort, Forced),
    bytes: usize,
    (of, read): (
        impl Fn(u8) -> Result<B, Failure>,
        impl Fn(&B) -> Result<Vec<u8>, Failure>,
    ),
) -> Result<Times, Failure>
where
    B: Buffer<Element = u8> + BufferMut,
{
    // As many as the other rank has: both share the cache.
    let count = gpu.sets(2 * bytes);
    let own = 1 + comm.rank() as u8;
    let outgoing = (0..count).map(|_| of(own)).collect::<Result<Vec<B>, _>>()?;
    let mut incoming = (0..count).map(|_| of(0)).collect::<Result<Vec<B>, _>>()?;
    let mut next = 0;
    let mut call = || {
        let number = next % count;
        next += 1;
        exchange(comm, &gpu.stream, &outgoing[number], &mut incoming[number])
    };
    let times = timing::times(comm, effort, 2.0, &mut call)?;
    let expected = format!("rendezvous, {}", forced.path());
    carried_by(Some(&expected), &mut call)?;
    all_are(&read(&incoming[0])?, 3 - own, "a message")?;
    Ok(times)
}

/// A message there and one back.
fn exchange<B>(
    comm: &Communicator,
    stream: &Arc<CudaStream>,
    outgoing: &B,
    incoming: &mut B,
) -> Result<(), Failure>
where
    B: Buffer<Element = u8> + BufferMut,
{
    let peer = 1 - comm.rank();
    let mut receive = || -> Result<(), Failure> {
        comm.recv(incoming, peer, Tag(0))?;
        Ok(stream.synchronize()?)
    };
    match comm.rank() {
        0 => {
            comm.send(outgoing, peer, Tag(0))?;
            receive()
        }
        _ => {
            receive()?;
            comm.send(outgoing, peer, Tag(0))?;
            Ok(())
        }
    }
}
