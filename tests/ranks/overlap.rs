//! Non-blocking operations on GPUs beside the program's own work on them: the engine's thread drives them, and asks no
//! GPU for anything while there is nothing to drive.

use std::sync::Arc;

use warpcomm::cudarc::driver::{CudaSlice, CudaStream};
use warpcomm::{Communicator, DeviceBuffer, Op, Tag};

use super::common::{next, others, previous, still_works};
use super::device::Gate;
use super::futures::block_on;
use super::simulated::Simulated;
use crate::harness::{Failure, Outcome};
use crate::oracle::{assert_same, folded, vector};

cases! {
    beside_a_kernel_that_goes_on: 2..=4;
    an_idle_engine_asks_no_gpu: 2..=4;
}

/// Elements of a message in more than one piece.
const LENGTH: usize = 100_001;

/// What a rank's operations work on.
struct Buffers {
    own: CudaSlice<f64>,
    ghost: CudaSlice<f64>,
    summed: CudaSlice<f64>,
    lent: DeviceBuffer<f64>,
    told: CudaSlice<f64>,
}

impl Buffers {
    fn new(comm: &Communicator, stream: &Arc<CudaStream>, seed: u64) -> Result<Buffers, Failure> {
        let own = vector::<f64>(seed, comm.rank(), LENGTH);
        let buffers = Buffers {
            own: stream.clone_htod(&own)?,
            ghost: stream.alloc_zeros(LENGTH)?,
            summed: stream.clone_htod(&own)?,
            lent: DeviceBuffer::from_slice(stream, &own)?,
            told: stream.clone_htod(&own)?,
        };
        stream.synchronize()?;
        Ok(buffers)
    }

    /// Messages around the ring and collectives, which nobody waits for but by sleeping.
    fn through_operations(self, comm: &Communicator) -> Result<Buffers, Failure> {
        let receive = comm.irecv(self.ghost, previous(comm), Tag(1));
        let send = comm.isend(self.own, next(comm), Tag(1));
        let sum = comm.iallreduce_in_place(self.summed, Op::Sum);
        let lent = comm.iallreduce_in_place(self.lent, Op::Sum);
        let bcast = comm.ibcast(self.told, 0);
        let (buffers, _) = block_on(async {
            Ok(Buffers {
                ghost: receive.await?.0,
                own: send.await?.0,
                summed: sum.await?.0,
                lent: lent.await?.0,
                told: bcast.await?.0,
            })
        });
        buffers
    }

    fn check(self, comm: &Communicator, stream: &Arc<CudaStream>, seed: u64) -> Outcome {
        let of_ranks: Vec<Vec<f64>> = (0..comm.size()).map(|rank| vector(seed, rank, LENGTH)).collect();
        let sum = folded(Op::Sum, &of_ranks).unwrap_or_default();
        let found = |buffer: &CudaSlice<f64>| stream.clone_dtoh(buffer);
        assert_same(&found(&self.own)?, &of_ranks[comm.rank()], || "own".to_owned());
        assert_same(&found(&self.ghost)?, &of_ranks[previous(comm)], || {
            "a message".to_owned()
        });
        assert_same(&found(&self.summed)?, &sum, || "a sum".to_owned());
        assert_same(&found(&self.lent)?, &sum, || {
            "a sum in a buffer of the library".to_owned()
        });
        assert_same(&found(&self.told)?, &of_ranks[0], || "a broadcast".to_owned());
        Ok(())
    }
}

fn beside_a_kernel_that_goes_on(comm: &Communicator) -> Outcome {
    let device = comm.device()?;
    let (busy, stream) = (device.new_stream()?, device.new_stream()?);
    // Memory that is allocated would wait for the kernel: the first round has the library allocate its own.
    Buffers::new(comm, &stream, 1)?
        .through_operations(comm)?
        .check(comm, &stream, 1)?;
    let buffers = Buffers::new(comm, &stream, 2)?;
    let mut written = busy.clone_htod(&[1u8; 1000])?;
    busy.synchronize()?;
    comm.barrier()?;
    let gate = Gate::default();
    // SAFETY: the gate lives until the stream was waited for.
    unsafe { gate.stop(&busy) }?;
    let behind = busy.memset_zeros(&mut written);
    let outcome = buffers.through_operations(comm);
    // All ranks' kernels go on until all operations of all are over.
    let together = comm.barrier();
    gate.open();
    busy.synchronize()?;
    behind?;
    together?;
    outcome?.check(comm, &stream, 2)?;
    assert_eq!(busy.clone_dtoh(&written)?, [0; 1000]);
    Ok(())
}

/// More rounds than an engine's thread needs to look at what is pending.
const ROUNDS: usize = 500;

fn an_idle_engine_asks_no_gpu(comm: &Communicator) -> Outcome {
    let driver = Simulated::load()?;
    let stream = comm.device()?.new_stream()?;
    for seed in 1..3 {
        Buffers::new(comm, &stream, seed)?
            .through_operations(comm)?
            .check(comm, &stream, seed)?;
    }
    let host = comm.duplicate()?;
    // With nothing to do, and with a message that does not come.
    for is_awaited in [false, true] {
        let ghost = stream.alloc_zeros::<f64>(LENGTH)?;
        stream.synchronize()?;
        let receive = is_awaited.then(|| comm.irecv(ghost, previous(comm), Tag(1)));
        for _ in 0..ROUNDS {
            host.barrier()?;
        }
        let before = driver.calls();
        if comm.rank() == 0 {
            // Asleep: whatever happens meanwhile, the engine's thread does it.
            let tokens = others(comm).map(|other| host.irecv(vec![0u8], other, Tag(2)));
            for token in tokens.collect::<Vec<_>>() {
                block_on(token).0?;
            }
        } else {
            for _ in 0..ROUNDS {
                host.sendrecv(&[1u8], comm.rank(), Tag(3), &mut [0u8], comm.rank(), Tag(3))?;
            }
            host.send(&[1u8], 0, Tag(2))?;
        }
        host.barrier()?;
        let calls = driver.calls() - before;
        // Nobody asks a GPU for anything before all have counted.
        host.barrier()?;
        assert_eq!(calls, 0, "while a message is awaited: {is_awaited}");
        let own = stream.clone_htod(&vector::<f64>(3, comm.rank(), LENGTH))?;
        if let Some(receive) = receive {
            comm.send(&own, next(comm), Tag(1))?;
            let (ghost, _) = receive.wait()?;
            let expected = vector::<f64>(3, previous(comm), LENGTH);
            assert_same(&stream.clone_dtoh(&ghost)?, &expected, || {
                "the message".to_owned()
            });
        }
        comm.barrier()?;
    }
    still_works(comm)
}
