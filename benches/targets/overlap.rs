//! How much of a non-blocking message of the GPU is hidden behind a kernel of the program.
//!
//! The part is 1 - (T - max(K, M)) / min(K, M), where K is the kernel alone, M the message alone and T both, from the
//! launch of the kernel until the message has been waited for and the kernel is over. With a kernel that lasts at least
//! as long as the message, which is seen to here, that is what the OSU benchmarks call overlap: 1 - (T - K) / M.

use warpcomm::{Communicator, Tag};

use crate::contest::Effort;
use crate::gpu::{Gpu, Product, all_are};
use crate::rank::{Forced, Measured};
use crate::verdict::{Case, Limit, Verdict};
use crate::{Failure, messages, timing};

/// The bytes of the message.
const BYTES: usize = 64 << 20;

/// The rows and columns of the matrix of each kernel: 256 MiB of f32.
const SHAPE: [usize; 2] = [32_768, 2048];

/// How many times as long as the message the kernels last.
const LONGER: f64 = 1.2;

/// Measures as one of two ranks: a message from rank 0 to rank 1 through pinned memory, and kernels of one of them.
pub fn measure(
    comm: &Communicator,
    gpu: &Gpu,
    effort: Effort,
    measured: &mut Measured,
) -> Result<(), Failure> {
    let (bytes, [rows, columns]) = match gpu.is_checked_only {
        true => (300_000, [5, 130]),
        false => (BYTES, SHAPE),
    };
    let count = gpu.sets(bytes);
    let mut buffers = Vec::with_capacity(count);
    for _ in 0..count {
        buffers.push(gpu.stream.clone_htod(&vec![1 - comm.rank() as u8; bytes])?);
    }
    let mut next = 0;
    let mut message = || {
        let buffer = &mut buffers[next % count];
        next += 1;
        comm.scope(|scope| {
            match comm.rank() {
                0 => scope.isend(&*buffer, 1, Tag(0)).map(drop)?,
                _ => scope.irecv(&mut *buffer, 0, Tag(0)).map(drop)?,
            }
            Ok(())
        })?;
        gpu.stream.synchronize().map_err(Failure::from)
    };
    let compute = gpu.context.new_stream()?;
    let matrices = gpu.sets(rows * columns * size_of::<f32>());
    let mut product = Product::new(gpu, rows, columns, matrices)?;
    let operations = [
        "overlap with the sender's kernel",
        "overlap with the receiver's kernel",
    ];
    for (busy, operation) in operations.into_iter().enumerate() {
        let is_busy = comm.rank() == busy;
        let mut kernel = |launches: usize| -> Result<(), Failure> {
            for _ in 0..if is_busy { launches } else { 0 } {
                product.launch(&compute)?;
            }
            Ok(())
        };
        let wait = || compute.synchronize().map_err(Failure::from);
        let [one, alone] = timing::in_turn(comm, effort, |number| match number {
            0 => kernel(1).and_then(|()| wait()),
            _ => message(),
        })?;
        // All ranks have the same times.
        let launches = LONGER * alone.median_ns / one.median_ns;
        let launches = launches.ceil().clamp(1.0, 10_000.0) as usize;
        let [kernels, alone, both] = timing::in_turn(comm, effort, |number| match number {
            0 => kernel(launches).and_then(|()| wait()),
            1 => message(),
            _ => kernel(launches).and_then(|()| message()).and_then(|()| wait()),
        })?;
        let (k, m) = (kernels.median_ns, alone.median_ns);
        // What goes beyond is noise.
        let part = (1.0 - (both.median_ns - k.max(m)) / k.min(m)).clamp(0.0, 1.0);
        measured.targets.push(Verdict::of_part(
            Case {
                operation,
                path: messages::path(comm, Forced::SharedPinned)?,
                ranks: 2,
                bytes,
            },
            Limit {
                what: "the longer of message and kernel",
                seconds: k.max(m) / 1e9,
                target: Some(0.8),
            },
            both,
            part,
        ));
    }
    if comm.rank() == 1 {
        all_are(
            &gpu.stream.clone_dtoh(&buffers[0])?,
            1,
            "a message beside a kernel",
        )?;
    }
    Ok(())
}
