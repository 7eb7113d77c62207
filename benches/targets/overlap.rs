//! How much of a non-blocking message of the GPU is hidden behind a kernel of the program.
//!
//! The part is 1 - (T - max(K, M)) / min(K, M), where K is the kernel alone, M the message alone and T both, from the
//! launch of the kernel until the message has been waited for and the kernel is over. With a kernel that lasts at least
//! as long as the message, which is seen to here, that is what the OSU benchmarks call overlap: 1 - (T - K) / M.

use warpcomm::{Communicator, Op, Tag};

use crate::carried::carried;
use crate::contest::Effort;
use crate::gpu::{Gpu, Product, all_are};
use crate::rank::{Forced, Measured};
use crate::verdict::{Case, Limit, Verdict};
use crate::{Failure, messages, timing};

/// The bytes of the message.
const BYTES: usize = 64 << 20;

/// The rows and columns of the matrix of each kernel: 256 MiB of f32.
const SHAPE: [usize; 2] = [32_768, 2048];

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
    let mut message = |meanwhile: &mut dyn FnMut() -> Result<(), Failure>| {
        let buffer = &mut buffers[next % count];
        next += 1;
        let mut waited = Ok(());
        comm.scope(|scope| {
            match comm.rank() {
                0 => scope.isend(&*buffer, 1, Tag(0)).map(drop)?,
                _ => scope.irecv(&mut *buffer, 0, Tag(0)).map(drop)?,
            }
            waited = meanwhile();
            Ok(())
        })?;
        waited?;
        gpu.stream.synchronize().map_err(Failure::from)
    };
    let compute = gpu.context.new_stream()?;
    let mut product = Product::new(gpu, rows, columns, gpu.sets(rows * columns * size_of::<f32>()))?;
    let alone = timing::times(comm, effort, 1.0, || message(&mut || Ok(())))?;
    for (busy, operation) in [
        "overlap with the sender's kernel",
        "overlap with the receiver's kernel",
    ]
    .into_iter()
    .enumerate()
    {
        let is_busy = comm.rank() == busy;
        let mut launches = 1;
        let mut compute_for = |launches: usize| -> Result<(), Failure> {
            for _ in 0..if is_busy { launches } else { 0 } {
                product.launch(&compute)?;
            }
            Ok(())
        };
        let one = timing::times(comm, effort, 1.0, || {
            compute_for(1)?;
            Ok(compute.synchronize()?)
        })?;
        if effort != Effort::Check {
            launches = (1.2 * alone.median_ns / one.median_ns)
                .ceil()
                .clamp(1.0, 10_000.0) as usize;
            let mut agreed = launches as u64;
            comm.allreduce_in_place(&mut agreed, Op::Max)?;
            launches = agreed as usize;
        }
        let kernel = timing::times(comm, effort, 1.0, || {
            compute_for(launches)?;
            Ok(compute.synchronize()?)
        })?;
        let both = timing::times(comm, effort, 1.0, || {
            compute_for(launches)?;
            message(&mut || Ok(()))?;
            Ok(compute.synchronize()?)
        })?;
        let (k, m) = (kernel.median_ns, alone.median_ns);
        let part = 1.0 - (both.median_ns - k.max(m)) / k.min(m);
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
    carried(None, || message(&mut || Ok(())))?;
    if comm.rank() == 1 {
        all_are(
            &gpu.stream.clone_dtoh(&buffers[0])?,
            1,
            "a message beside a kernel",
        )?;
    }
    Ok(())
}
