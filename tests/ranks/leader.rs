//! Reductions by one kernel, of ranks that share a GPU.

use std::sync::Arc;

use warpcomm::cudarc::driver::CudaStream;
use warpcomm::{Communicator, DeviceBuffer, Op, Path};

use super::common::{FRAME_BYTES, still_works};
use super::copies::Counts;
use super::device::Gate;
use super::reduce::{contributions, results};
use crate::harness::{Failure, Outcome, Place};
use crate::oracle::{Value, assert_same, folded, vector};
use crate::placed;

cases! {
    nothing_moves_but_by_one_kernel: 2..=6;
    every_type_and_op_of_2_to_7_ranks: 1..=1, threads;
    a_rank_with_another_buffer: 2..=3;
    a_program_that_says_otherwise: 2..=3;
    a_rank_that_is_late: 2..=3;
    a_result_is_there_for_who_comes_next: 2..=3;
    requests_and_persistent_requests: 2..=3;
}

const LENGTH: usize = 10_001;

/// Whether the ranks share a process; and whether one kernel folds for all of them: in the tests three processes share a
/// GPU, two do not.
pub fn kind(comm: &Communicator) -> Result<(bool, bool), Failure> {
    let next = (comm.rank() + 1) % comm.size();
    let is_one_process = comm
        .path(next)?
        .is_some_and(|chosen| chosen.path() == Path::SameProcess);
    let is_led = is_one_process || comm.size().is_multiple_of(3) && !is_ipc_left_out();
    Ok((is_one_process, is_led))
}

fn is_ipc_left_out() -> bool {
    std::env::var("WARPCOMM_PATHS").is_ok_and(|paths| paths != "^staged")
}

/// What an operation of all ranks costs.
pub fn counted(
    comm: &Communicator,
    operation: impl FnOnce() -> warpcomm::Result<()>,
) -> Result<Counts, Failure> {
    comm.barrier()?;
    let before = Counts::now()?;
    comm.barrier()?;
    operation()?;
    comm.barrier()?;
    let counts = Counts::now()?.since(before);
    comm.barrier()?;
    Ok(counts)
}

/// Asserts that one kernel of `leader` has done it, or not.
fn assert_led(comm: &Communicator, leader: usize, is_led: bool, counts: Counts) -> Outcome {
    assert_led_by(comm, leader, 1, is_led, counts)
}

/// Asserts that so many kernels of `leader` have done it, or not.
pub fn assert_led_by(
    comm: &Communicator,
    leader: usize,
    kernels: u64,
    is_led: bool,
    counts: Counts,
) -> Outcome {
    let (is_one_process, _) = kind(comm)?;
    let launches = kernels * u64::from(is_one_process || comm.rank() == leader);
    let nothing = Counts {
        launches,
        waits: counts.waits,
        ..Counts::default()
    };
    // Otherwise kernels of all ranks may do it, where their GPUs reach each other's memory.
    if is_led || is_ipc_left_out() {
        assert_eq!(counts == nothing, is_led, "{counts:?}");
    }
    if is_led {
        let ranks = if is_one_process { comm.size() as u64 } else { 1 };
        assert!(counts.waits <= 2 * ranks, "{counts:?}");
    }
    Ok(())
}

pub fn stream(comm: &Communicator) -> Result<Arc<CudaStream>, Failure> {
    Ok(comm.device()?.new_stream()?)
}

fn sum(ranks: usize, seed: u64, length: usize) -> Vec<f32> {
    let of_ranks: Vec<Vec<f32>> = (0..ranks).map(|rank| vector(seed, rank, length)).collect();
    folded(Op::Sum, &of_ranks).unwrap_or_default()
}

fn nothing_moves_but_by_one_kernel(comm: &Communicator) -> Outcome {
    let (stream, (_, is_led)) = (stream(comm)?, kind(comm)?);
    let (rank, size) = (comm.rank(), comm.size());
    let own = DeviceBuffer::from_slice(&stream, &vector::<f32>(1, rank, LENGTH))?;
    let mut result = DeviceBuffer::zeros(&stream, LENGTH + 3)?;
    // The first is without memory that both share, and the second makes it.
    for _ in 0..2 {
        comm.allreduce(&own, &mut result, Op::Sum)?;
        comm.reduce(&own, &mut result, Op::Sum, size - 1)?;
    }
    stream.memset_zeros(&mut result)?;
    stream.synchronize()?;
    let counts = counted(comm, || comm.allreduce(&own, &mut result, Op::Sum))?;
    assert_led(comm, 0, is_led, counts)?;
    let expected = [sum(size, 1, LENGTH), vec![0.0; 3]].concat();
    assert_same(&result.to_vec()?, &expected, || "allreduce".to_owned());
    stream.memset_zeros(&mut result)?;
    stream.synchronize()?;
    let counts = counted(comm, || comm.reduce(&own, &mut result, Op::Sum, size - 1))?;
    assert_led(comm, size - 1, is_led, counts)?;
    if rank == size - 1 {
        assert_same(&result.to_vec()?, &expected, || "reduce".to_owned());
    } else {
        assert_eq!(result.to_vec()?, vec![0.0; LENGTH + 3]);
    }
    let mut buffer = DeviceBuffer::from_slice(&stream, &vector::<f32>(1, rank, LENGTH))?;
    let counts = counted(comm, || comm.allreduce_in_place(&mut buffer, Op::Sum))?;
    assert_led(comm, 0, is_led, counts)?;
    assert_same(&buffer.to_vec()?, &expected[..LENGTH], || "in place".to_owned());
    assert_same(&own.to_vec()?, &vector::<f32>(1, rank, LENGTH), || {
        "own".to_owned()
    });
    still_works(comm)
}

/// Runs a part of a case with so many ranks as threads, whose buffers are on one GPU.
pub fn with_2_to_7_ranks(part: impl Fn(&placed::Communicator) -> Outcome + Sync) -> Outcome {
    for ranks in 2..=7 {
        let outcomes = Communicator::threads(ranks, |comm| -> Outcome {
            let stage = placed::stage(Place::Device, &comm)?;
            part(&placed::place(comm, &stage, false))
        })?;
        outcomes.into_iter().collect::<Result<(), Failure>>()?;
    }
    Ok(())
}

fn every_type_and_op_of_2_to_7_ranks(_: &Communicator) -> Outcome {
    with_2_to_7_ranks(|comm| {
        for_every_element!(reduced(comm)?);
        Ok(())
    })
}

fn reduced<T: Value>(comm: &placed::Communicator) -> Outcome {
    // Just more than rides in frames, and a number that no access divides.
    for length in [FRAME_BYTES / size_of::<T>() + 1, 1 + 512 / size_of::<T>()] {
        let of_ranks = contributions::<T>(comm.size(), length);
        for (number, op, result) in results::<T>(comm.size(), length) {
            let own = &of_ranks[comm.rank()];
            let what = || format!("{op} of {length} elements of {} ranks", comm.size());
            let mut buffer = own.clone();
            if number % 2 == 0 {
                comm.allreduce_in_place(&mut buffer, op)?;
            } else {
                comm.allreduce(own, &mut buffer, op)?;
            }
            assert_same(&buffer, &result, what);
        }
    }
    Ok(())
}

fn a_rank_with_another_buffer(comm: &Communicator) -> Outcome {
    let (stream, (is_one_process, is_led)) = (stream(comm)?, kind(comm)?);
    let own = vector::<f32>(2, comm.rank(), LENGTH);
    let expected = sum(comm.size(), 2, LENGTH);
    let mut buffer = DeviceBuffer::from_slice(&stream, &own)?;
    let mut other = stream.clone_htod(&own)?;
    let mut host = own.clone();
    stream.synchronize()?;
    // Threads reach any memory of the GPU.
    let counts = counted(comm, || match comm.rank() {
        1 => comm.allreduce_in_place(&mut other, Op::Sum),
        _ => comm.allreduce_in_place(&mut buffer, Op::Sum),
    })?;
    assert_led(comm, 0, is_one_process, counts)?;
    let found = match comm.rank() {
        1 => stream.clone_dtoh(&other)?,
        _ => buffer.to_vec()?,
    };
    assert_same(&found, &expected, || "with another buffer".to_owned());
    let mut buffer = DeviceBuffer::from_slice(&stream, &own)?;
    let counts = counted(comm, || match comm.rank() {
        0 => comm.allreduce_in_place(&mut host, Op::Sum),
        _ => comm.allreduce_in_place(&mut buffer, Op::Sum),
    })?;
    assert_led(comm, 0, false, counts)?;
    let found = match comm.rank() {
        0 => host,
        _ => buffer.to_vec()?,
    };
    assert_same(&found, &expected, || "with one on a host".to_owned());
    let mut buffer = DeviceBuffer::from_slice(&stream, &own)?;
    let counts = counted(comm, || comm.allreduce_in_place(&mut buffer, Op::Sum))?;
    assert_led(comm, 0, is_led, counts)?;
    assert_same(&buffer.to_vec()?, &expected, || "with the same".to_owned());
    still_works(comm)
}

fn a_program_that_says_otherwise(comm: &Communicator) -> Outcome {
    let stream = stream(comm)?;
    for algorithm in warpcomm::Algorithm::of("allreduce") {
        let said = comm.with_algorithm("allreduce", algorithm)?;
        let mut buffer = DeviceBuffer::from_slice(&stream, &vector::<f32>(3, comm.rank(), LENGTH))?;
        let counts = counted(comm, || said.allreduce_in_place(&mut buffer, Op::Sum))?;
        assert_led(comm, 0, false, counts)?;
        let expected = sum(comm.size(), 3, LENGTH);
        assert_same(&buffer.to_vec()?, &expected, || algorithm.to_string());
    }
    Ok(())
}

/// More rounds of messages than a fold needs that does not wait.
const ROUNDS: usize = 100;

fn a_rank_that_is_late(comm: &Communicator) -> Outcome {
    let (stream, (_, is_led)) = (stream(comm)?, kind(comm)?);
    let (rank, late) = (comm.rank(), comm.size() - 1);
    let other = comm.duplicate()?;
    // The leader's own stream, another rank's, and the result's.
    for (late, is_result) in [(late, false), (0, false), (late, true)] {
        let own = vector::<f32>(4, rank, LENGTH);
        let mut buffer = DeviceBuffer::<f32>::zeros(&stream, LENGTH)?;
        let result = DeviceBuffer::<f32>::zeros(&stream, LENGTH)?;
        let gate = Gate::default();
        stream.synchronize()?;
        if rank == late && !is_result {
            // SAFETY: the gate lives until the stream was waited for.
            unsafe { gate.stop(&stream) }?;
        }
        stream.memcpy_htod(&own, &mut buffer)?;
        let slow = comm.device()?.new_stream()?;
        let mut result = match rank == late && is_result {
            true => {
                drop(result);
                let result = DeviceBuffer::<f32>::zeros(&slow, LENGTH)?;
                // SAFETY: as above.
                unsafe { gate.stop(&slow) }?;
                result
            }
            false => result,
        };
        if rank == late && is_result {
            slow.memset_zeros(&mut result)?;
        }
        let request = comm.iallreduce(buffer, result, Op::Sum);
        for _ in 0..ROUNDS {
            other.barrier()?;
        }
        // Without a leader, only that rank needs its result.
        let may_be_done = is_result && !is_led && rank != late;
        assert!(
            may_be_done || !request.is_done(),
            "rank {late} was not waited for"
        );
        other.barrier()?;
        gate.open();
        let outcome = request.wait();
        stream.synchronize()?;
        slow.synchronize()?;
        let ((_, result), _) = outcome?;
        assert_same(&result.to_vec()?, &sum(comm.size(), 4, LENGTH), || {
            format!("rank {late} is late")
        });
    }
    still_works(comm)
}

fn a_result_is_there_for_who_comes_next(comm: &Communicator) -> Outcome {
    let stream = stream(comm)?;
    let mut buffer = DeviceBuffer::<f32>::zeros(&stream, LENGTH)?;
    for seed in 0..30 {
        stream.memcpy_htod(&vector::<f32>(seed, comm.rank(), LENGTH), &mut buffer)?;
        comm.allreduce_in_place(&mut buffer, Op::Sum)?;
        assert_same(&buffer.to_vec()?, &sum(comm.size(), seed, LENGTH), || {
            format!("round {seed}")
        });
    }
    Ok(())
}

fn requests_and_persistent_requests(comm: &Communicator) -> Outcome {
    let stream = stream(comm)?;
    let own = |seed| DeviceBuffer::from_slice(&stream, &vector::<f32>(seed, comm.rank(), LENGTH));
    let requests: Vec<_> = (0..4)
        .map(|seed| Ok(comm.iallreduce_in_place(own(seed)?, Op::Sum)))
        .collect::<Result<_, Failure>>()?;
    for (seed, request) in requests.into_iter().enumerate().rev() {
        let (buffer, _) = request.wait()?;
        assert_same(&buffer.to_vec()?, &sum(comm.size(), seed as u64, LENGTH), || {
            format!("request {seed}")
        });
    }
    let mut persistent = comm.allreduce_init(own(9)?, DeviceBuffer::<f32>::zeros(&stream, LENGTH)?, Op::Sum);
    for round in 0..3 {
        persistent.start()?;
        persistent.wait()?;
        let (_, result) = persistent.buffer()?;
        assert_same(&result.to_vec()?, &sum(comm.size(), 9, LENGTH), || {
            format!("round {round}")
        });
    }
    Ok(())
}
