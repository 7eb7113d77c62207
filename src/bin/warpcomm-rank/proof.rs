//! Whether MPI takes addresses of GPU memory: what is known of it, and two ranks that try it.
//!
//! The proof is messages from and to such memory, of lengths at which MPI libraries change what they do, with other
//! memory each time, since some remember addresses. A "no" is written down before they start, so that it is what stays
//! where MPI crashes or hangs.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use warpcomm::cudarc::driver::{CudaContext, CudaSlice, CudaStream, result, sys};
use warpcomm::{Allocation, Communicator, Config, ErrorKind, Op, Path, Runtime, Tag};

use crate::Failure;

type Done = Result<(), Failure>;

/// How long a message may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// Lengths of messages in bytes, none of which travels with its envelope.
const LENGTHS: [usize; 5] = [4_001, 20_000, 100_000, 1 << 20, (5 << 20) + 3];

/// Bytes before a message in its memory.
const BEFORE: usize = 52;

/// Print what is known of each kind of memory on this host; nothing where there is no GPU.
#[derive(Args)]
pub struct Known {
    /// Of messages that leave the node
    #[arg(long)]
    several_nodes: bool,
}

/// Try messages of one kind of memory.
#[derive(Args)]
pub struct Tried {
    /// How it is allocated: plain or pool
    kind: Allocation,
}

pub fn proved(&Known { several_nodes }: &Known) -> Done {
    // SAFETY: looks for the driver's shared library; any other call of the driver panics where there is none.
    let has_driver = unsafe { sys::is_culib_present() };
    if !has_driver || result::init().is_err() || result::device::get_count()? == 0 {
        return Ok(());
    }
    let gpu = CudaContext::new(0)?.name()?;
    let config = Config::from_env()?;
    for allocation in Allocation::ALL {
        let known = match Runtime::cuda_awareness(&config, &gpu, several_nodes, allocation) {
            None => "unknown".to_owned(),
            Some(Ok(())) => "yes".to_owned(),
            Some(Err(reason)) => format!("no: {reason}"),
        };
        println!("{allocation} = {known}");
    }
    Ok(())
}

/// Tries messages of such memory, and writes down what becomes of them.
pub fn prove(&Tried { kind: allocation }: &Tried) -> Done {
    let config = Config::from_env()?
        .paths(&[Path::CudaAware])
        .cuda_aware(true)
        .tuning(None)
        // The files are those of the job to come.
        .trace(None)
        .timeout(PATIENCE);
    let runtime = Runtime::init_with(&config)?;
    let comm = runtime.world()?;
    if !runtime.says_cuda_aware() {
        for allocation in Allocation::ALL {
            runtime.record_cuda_awareness(allocation, Err("it says that it is not".to_owned()))?;
        }
        return Ok(());
    }
    let context = comm.device()?;
    if allocation == Allocation::Pool && !context.has_async_alloc() {
        runtime.record_cuda_awareness(allocation, Err("the GPU has no such memory".to_owned()))?;
        return Ok(());
    }
    let ended = "a job of two ranks that tried it has crashed or hung";
    runtime.record_cuda_awareness(allocation, Err(ended.to_owned()))?;
    comm.barrier()?;
    let tried = exchange(&comm, &context.new_stream()?, allocation);
    // Written down at once: the other rank may wait for this one until both give up.
    if let Err(error) = &tried
        && !is_of_another_rank(&**error)
    {
        runtime.record_cuda_awareness(allocation, Err(error.to_string()))?;
    }
    let mut all_succeeded = u8::from(tried.is_ok());
    comm.allreduce_in_place(std::slice::from_mut(&mut all_succeeded), Op::Min)?;
    // Otherwise another rank has said why.
    if all_succeeded == 1 {
        runtime.record_cuda_awareness(allocation, Ok(()))?;
    }
    Ok(())
}

fn is_of_another_rank(error: &(dyn Error + 'static)) -> bool {
    let error = error.downcast_ref::<warpcomm::Error>();
    error.is_some_and(|error| error.kind() == ErrorKind::PeerFailed)
}

/// Messages between all places, to the next rank and to the rank itself.
fn exchange(comm: &Communicator, stream: &Arc<CudaStream>, allocation: Allocation) -> Done {
    let (rank, ranks) = (comm.rank(), comm.size());
    let (next, previous) = ((rank + 1) % ranks, (rank + ranks - 1) % ranks);
    for round in 0..2 {
        for length in LENGTHS {
            let contents = |rank: usize| -> Vec<u8> {
                let byte = |at: usize| (at * 7 + at / 251 + rank * 31 + length + round) as u8;
                (0..BEFORE + length).map(byte).collect()
            };
            let own = contents(rank);
            for (to, from) in [(next, previous), (rank, rank)] {
                let expected = &contents(from)[BEFORE..];
                let check = |found: &[u8], how: &str| match found == expected {
                    true => Ok(()),
                    false => Err(format!("wrong elements in a message of {length} bytes {how}")),
                };
                let mut source = Memory::new(stream, BEFORE + length, allocation)?;
                let mut target = Memory::new(stream, BEFORE + length, allocation)?;
                stream.memcpy_htod(&own, source.slice()?)?;
                let mut found = vec![0; length];
                {
                    let mut elements = target.slice()?.slice_mut(BEFORE..);
                    let source = source.slice()?.slice(BEFORE..);
                    comm.sendrecv(&source, to, Tag(0), &mut elements, from, Tag(0))?;
                    stream.memcpy_dtoh(&elements, &mut found)?;
                    stream.synchronize()?;
                    check(&found, "between GPUs")?;
                    stream.memset_zeros(&mut elements)?;
                    comm.sendrecv(&own[BEFORE..], to, Tag(1), &mut elements, from, Tag(1))?;
                    stream.memcpy_dtoh(&elements, &mut found)?;
                    stream.synchronize()?;
                    check(&found, "to a GPU")?;
                    found.fill(0);
                    comm.sendrecv(&source, to, Tag(2), &mut found, from, Tag(2))?;
                    check(&found, "from a GPU")?;
                }
            }
        }
    }
    Ok(())
}

/// Memory of a GPU, allocated in one of the ways.
struct Memory {
    slice: Option<CudaSlice<u8>>,
    allocation: Allocation,
}

impl Memory {
    fn new(stream: &Arc<CudaStream>, bytes: usize, allocation: Allocation) -> Result<Memory, Failure> {
        let slice = match allocation {
            Allocation::Pool => stream.alloc_zeros(bytes)?,
            Allocation::Plain => {
                stream.context().bind_to_thread()?;
                // SAFETY: memory of that many bytes, which nobody else has and which is filled at once.
                let mut slice = unsafe {
                    let address = result::malloc_sync(bytes)?;
                    stream.upgrade_device_ptr(address, bytes)
                };
                stream.memset_zeros(&mut slice)?;
                slice
            }
        };
        Ok(Memory {
            slice: Some(slice),
            allocation,
        })
    }

    fn slice(&mut self) -> Result<&mut CudaSlice<u8>, &'static str> {
        self.slice.as_mut().ok_or("the memory is gone")
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        if let Some(slice) = self.slice.take()
            && self.allocation == Allocation::Plain
        {
            let _ = slice.stream().synchronize();
            // SAFETY: allocated by `malloc_sync`, and nobody uses it any more. A failure leaves it to the end.
            let _ = unsafe { result::free_sync(slice.leak()) };
        }
    }
}
