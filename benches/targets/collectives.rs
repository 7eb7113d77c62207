//! Collectives of any number of ranks, on hosts and on one GPU that all share.

use warpcomm::cudarc::driver::CudaSlice;
use warpcomm::{Buffer, BufferMut, Communicator, DeviceBuffer, Op};

use crate::contest::Effort;
use crate::gpu::{Gpu, all_are};
use crate::model::lengths::UNOFFERED_BYTES;
use crate::model::{GpuLimits, Limits, Way};
use crate::modelled::{LENGTHS, Observed, Operation};
use crate::rank::{Forced, Measured};
use crate::row::Times;
use crate::verdict::{Case, Limit, Verdict};
use crate::way::carried_by;
use crate::{Failure, timing};

/// Bytes that do not ride in frames, where nothing is timed.
const CHECKED: &[usize] = &[8, 120_000];

/// The bytes from which on an allreduce has a target, and that of the short one, with its ranks.
const LONG: usize = 64 << 20;
const SHORT: (usize, usize) = (8, 2);

/// The seconds that a short allreduce may take.
const SHORT_SECONDS: f64 = 15e-6;

/// Measures as one of the ranks: on the GPU by the path that is forced, if any is, and on hosts but where that is pinned
/// memory, for which as many ranks are started a second time.
pub fn measure(
    comm: &Communicator,
    forced: Option<Forced>,
    effort: Effort,
    limits: &Limits,
    measured: &mut Measured,
) -> Result<(), Failure> {
    let lengths = |of: usize| match effort {
        Effort::Check => CHECKED,
        _ => LENGTHS[of],
    };
    if forced != Some(Forced::SharedPinned) {
        for &bytes in lengths(0) {
            let of = |content, length| Ok(vec![content; length]);
            let read = |buffer: &Vec<f32>| Ok(buffer.clone());
            let run = Run {
                comm,
                effort,
                bytes,
                count: 1,
                way: Way::Host,
                expected: None,
            };
            measured.observed.extend(run.all(of, read, &|| Ok(()))?);
        }
    }
    let Some(forced) = forced else { return Ok(()) };
    let gpu = Gpu::new(comm.device()?, effort == Effort::Check)?;
    let of_gpu = limits.gpu.as_ref().ok_or("the GPU has no limits")?;
    let wait = || Ok(gpu.stream.synchronize()?);
    for &bytes in lengths(1) {
        let is_long = bytes > 256;
        let run = Run {
            comm,
            effort,
            bytes,
            count: if is_long { gpu.sets(comm.size() * bytes) } else { 1 },
            way: forced.way(),
            expected: is_long.then_some(forced),
        };
        let done = match forced {
            Forced::Ipc => {
                let of =
                    |content: f32, length| Ok(DeviceBuffer::from_slice(&gpu.stream, &vec![content; length])?);
                let read = |buffer: &DeviceBuffer<f32>| Ok(buffer.to_vec()?);
                run.all(of, read, &wait)?
            }
            Forced::SharedPinned | Forced::Staged => {
                let of = |content: f32, length| Ok(gpu.stream.clone_htod(&vec![content; length])?);
                let read = |buffer: &CudaSlice<f32>| Ok(gpu.stream.clone_dtoh(buffer)?);
                run.all(of, read, &wait)?
            }
        };
        for collective in &done {
            measured.targets.extend(verdict(collective, of_gpu));
        }
        measured.observed.extend(done);
    }
    Ok(())
}

/// The verdict on a collective that has a target.
fn verdict(collective: &Observed, limits: &GpuLimits) -> Option<Verdict> {
    if collective.operation != Operation::Allreduce || collective.way != Way::SameGpuIpc {
        return None;
    }
    let Observed {
        ranks, bytes, times, ..
    } = *collective;
    let limit = match bytes {
        LONG => Limit {
            what: "2 n p bytes read and written by a device copy",
            seconds: 2.0 * (ranks * bytes) as f64 / limits.copy_bytes_per_second,
            target: Some(0.85),
        },
        _ if (bytes, ranks) == SHORT => Limit {
            what: "15 us",
            seconds: SHORT_SECONDS,
            target: Some(1.0),
        },
        _ => return None,
    };
    let case = Case {
        operation: "allreduce, DeviceBuffer",
        path: collective.path.clone(),
        ranks,
        bytes,
    };
    Some(Verdict::new(case, limit, times))
}

/// Collectives of one length.
struct Run<'a> {
    comm: &'a Communicator,
    effort: Effort,
    bytes: usize,
    /// How many buffers are used in turn.
    count: usize,
    way: Way,
    /// The path of the elements, where they do not ride in frames.
    expected: Option<Forced>,
}

impl Run<'_> {
    /// Sums and broadcasts, of buffers that `of` makes.
    fn all<B>(
        &self,
        of: impl Fn(f32, usize) -> Result<B, Failure>,
        read: impl Fn(&B) -> Result<Vec<f32>, Failure>,
        wait: &dyn Fn() -> Result<(), Failure>,
    ) -> Result<[Observed; 2], Failure>
    where
        B: Buffer<Element = f32> + BufferMut,
    {
        let (comm, length) = (self.comm, self.bytes / size_of::<f32>());
        let make = |content: f32| -> Result<Vec<B>, Failure> {
            (0..self.count).map(|_| of(content, length)).collect()
        };
        let own = make(1.0)?;
        let mut into = make(0.0)?;
        let mut next = 0;
        let mut turn = || {
            next += 1;
            (next - 1) % self.count
        };
        let expected = self.expected.and_then(|forced| match self.way {
            Way::SameGpuIpc => Some(format!("leader, {}", forced.path())),
            _ if self.bytes / comm.size() <= UNOFFERED_BYTES => None,
            _ => Some(format!("blocks, {}", forced.path())),
        });
        let mut sum = || {
            let at = turn();
            comm.allreduce(&own[at], &mut into[at], Op::Sum)?;
            wait()
        };
        let times = timing::times(comm, self.effort, 1.0, &mut sum)?;
        let path = carried_by(expected.as_deref(), &mut sum)?;
        all_are(&read(&into[0])?, comm.size() as f32, "a sum")?;
        let sum = self.collective(Operation::Allreduce, path, times);
        // Of rank 0, whose elements are others than those of the rest.
        let mut told = match comm.rank() {
            0 => make(5.0)?,
            _ => make(0.0)?,
        };
        let mut bcast = || {
            let at = turn();
            comm.bcast(&mut told[at], 0)?;
            wait()
        };
        let times = timing::times(comm, self.effort, 1.0, &mut bcast)?;
        let path = carried_by(None, &mut bcast)?;
        if let Some(forced) = self.expected
            && !path.ends_with(&forced.path().to_string())
        {
            return Err(format!("a bcast went by {path:?}").into());
        }
        all_are(&read(&told[0])?, 5.0, "a bcast")?;
        Ok([sum, self.collective(Operation::Bcast, path, times)])
    }

    fn collective(&self, operation: Operation, path: String, times: Times) -> Observed {
        Observed {
            operation,
            way: self.way,
            path,
            ranks: self.comm.size(),
            bytes: self.bytes,
            times,
        }
    }
}
