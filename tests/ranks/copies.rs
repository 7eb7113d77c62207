//! How often elements are copied on their way, and how often anybody waits for a GPU: as the simulated driver counts.

use std::sync::{Barrier, PoisonError, RwLock};

use warpcomm::{Algorithm, Buffer, Communicator, Config, DeviceBuffer, ErrorKind, Op, Path, Tag};

use super::simulated::Simulated;
use crate::harness::{Failure, Outcome, expect_error};
use crate::oracle::{assert_same, folded, vector};

cases! {
    between_gpus_of_one_process: 1..=1, threads;
    between_processes: 2..=3, mpi;
    between_processes_from_a_buffer_of_the_library: 2..=3, mpi;
    of_a_rank_to_itself: 2..=3, mpi;
    reductions_of_few_elements: 2..=3, mpi;
    the_host_folds_what_the_program_says: 2..=3, mpi;
    long_blocks_are_folded_as_they_come: 2..=3, mpi;
    chunks_of_any_length: 1..=1, threads;
}

/// Elements of a message in several pieces of any length.
const LENGTH: usize = 100_000;

/// The bytes of a message.
const BYTES: u64 = (LENGTH * size_of::<f64>()) as u64;

/// What a process has copied, in bytes, how many kernels it has started, and how often it has waited.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub to_device: u64,
    pub to_host: u64,
    pub on_device: u64,
    pub launches: u64,
    pub waits: u64,
}

impl Counts {
    pub fn now() -> Result<Counts, Failure> {
        let driver = Simulated::load()?;
        Ok(Counts {
            to_device: driver.count("bytes_to_device"),
            to_host: driver.count("bytes_to_host"),
            on_device: driver.count("bytes_on_device"),
            launches: driver.count("launch"),
            waits: driver.count("host_waits"),
        })
    }

    pub fn since(self, before: Counts) -> Counts {
        Counts {
            to_device: self.to_device - before.to_device,
            to_host: self.to_host - before.to_host,
            on_device: self.on_device - before.on_device,
            launches: self.launches - before.launches,
            waits: self.waits - before.waits,
        }
    }
}

fn between_gpus_of_one_process(_: &Communicator) -> Outcome {
    let (together, counts) = (Barrier::new(2), RwLock::new(Counts::default()));
    let moved = Communicator::threads(2, |comm| {
        let stream = comm.device()?.new_stream()?;
        let message = vector::<f64>(1, 0, LENGTH);
        let own = stream.clone_htod(&message)?;
        let mut found = stream.alloc_zeros::<f64>(LENGTH)?;
        stream.synchronize()?;
        together.wait();
        if comm.rank() == 0 {
            *counts.write().unwrap_or_else(PoisonError::into_inner) = Counts::now()?;
        }
        together.wait();
        match comm.rank() {
            0 => comm.send(&own, 1, Tag(1))?,
            _ => drop(comm.recv(&mut found, 0, Tag(1))?),
        }
        together.wait();
        let moved = Counts::now()?.since(*counts.read().unwrap_or_else(PoisonError::into_inner));
        together.wait();
        if comm.rank() == 1 {
            assert_same(&stream.clone_dtoh(&found)?, &message, || "the message".to_owned());
        }
        Ok::<Counts, Failure>(moved)
    })?;
    for moved in moved {
        let moved = moved?;
        // One for each rank.
        assert!(moved.waits <= 2, "{moved:?}");
        let once = Counts {
            on_device: BYTES,
            waits: moved.waits,
            ..Counts::default()
        };
        assert_eq!(moved, once);
    }
    Ok(())
}

fn between_processes(comm: &Communicator) -> Outcome {
    let stream = comm.device()?.new_stream()?;
    let own = stream.clone_htod(&message())?;
    between_two_processes(comm, &own, false)
}

fn between_processes_from_a_buffer_of_the_library(comm: &Communicator) -> Outcome {
    let stream = comm.device()?.new_stream()?;
    let own = DeviceBuffer::from_slice(&stream, &message())?;
    between_two_processes(comm, &own, true)
}

fn message() -> Vec<f64> {
    vector::<f64>(2, 0, LENGTH)
}

/// Counts what a message from rank 0 to rank 1 costs, when its path is known.
fn between_two_processes(comm: &Communicator, own: &impl Buffer<Element = f64>, is_lent: bool) -> Outcome {
    let stream = comm.device()?.new_stream()?;
    let mut found = DeviceBuffer::zeros(&stream, LENGTH)?;
    // The first message finds out which path there is.
    match comm.rank() {
        0 => comm.send(own, 1, Tag(1))?,
        1 => drop(comm.recv(&mut found, 0, Tag(1))?),
        _ => {}
    }
    stream.memset_zeros(&mut found)?;
    stream.synchronize()?;
    comm.barrier()?;
    let before = Counts::now()?;
    match comm.rank() {
        0 => comm.send(own, 1, Tag(1))?,
        1 => drop(comm.recv(&mut found, 0, Tag(1))?),
        _ => {}
    }
    let moved = Counts::now()?.since(before);
    assert!(moved.waits <= 1, "{moved:?}");
    let path = expected_path(comm);
    let is_ipc = matches!(path, Path::SameGpuIpc | Path::PeerGpuIpc);
    let is_pinned = !is_ipc && path != Path::CudaAware;
    let once = |copies: bool| if copies { BYTES } else { 0 };
    let once = Counts {
        to_host: once(is_pinned && comm.rank() == 0),
        to_device: once(is_pinned && comm.rank() == 1),
        on_device: match path {
            // What MPI does by itself is its own affair.
            Path::CudaAware => moved.on_device,
            _ => once(is_ipc && (comm.rank() == 1 || comm.rank() == 0 && !is_lent)),
        },
        waits: moved.waits,
        ..Counts::default()
    };
    assert_eq!(moved, once);
    if comm.rank() == 0 {
        assert_eq!(comm.path(1)?.map(|chosen| chosen.path()), Some(path));
    }
    if comm.rank() == 1 {
        assert_same(&found.to_vec()?, &message(), || "the message".to_owned());
    }
    Ok(())
}

/// The path between GPUs of two processes that the job's settings leave: three ranks share one GPU, two do not.
pub fn expected_path(comm: &Communicator) -> Path {
    match std::env::var("WARPCOMM_PATHS").as_deref() {
        Ok("staged") => Path::Staged,
        Ok("cuda-aware,same-process") => Path::CudaAware,
        Ok("^staged,peer-gpu-ipc,same-gpu-ipc") => Path::SharedPinned,
        _ if comm.size() == 3 => Path::SameGpuIpc,
        _ => Path::PeerGpuIpc,
    }
}

fn of_a_rank_to_itself(comm: &Communicator) -> Outcome {
    let stream = comm.device()?.new_stream()?;
    let message = vector::<f64>(3, comm.rank(), LENGTH);
    let own = stream.clone_htod(&message)?;
    let mut found = stream.alloc_zeros::<f64>(LENGTH)?;
    stream.synchronize()?;
    let before = Counts::now()?;
    comm.sendrecv(&own, comm.rank(), Tag(1), &mut found, comm.rank(), Tag(1))?;
    let moved = Counts::now()?.since(before);
    assert!(moved.waits <= 1, "{moved:?}");
    // Where it may not go straight from GPU to GPU, it goes up and down.
    let path = comm.path(comm.rank())?.map(|chosen| chosen.path());
    let straight = match path {
        Some(Path::SameProcess) => BYTES,
        path => {
            assert_eq!(path, Some(Path::Staged));
            0
        }
    };
    let once = Counts {
        on_device: straight,
        to_host: BYTES - straight,
        to_device: BYTES - straight,
        waits: moved.waits,
        ..Counts::default()
    };
    assert_eq!(moved, once);
    assert_same(&stream.clone_dtoh(&found)?, &message, || "the message".to_owned());
    Ok(())
}

/// Up to so many bytes of elements on GPUs are folded on the host.
pub const HOST_FOLD_BYTES: usize = 64 << 10;

/// What an operation costs this rank.
fn counted(comm: &Communicator, operation: impl FnOnce() -> warpcomm::Result<()>) -> Result<Counts, Failure> {
    comm.device()?.synchronize()?;
    comm.barrier()?;
    let before = Counts::now()?;
    operation()?;
    Ok(Counts::now()?.since(before))
}

/// Asserts that so many elements were copied down and up, and nothing else was done.
fn assert_on_host(counts: Counts, [down, up]: [usize; 2], what: &str) {
    let bytes = |elements: usize| (elements * size_of::<f32>()) as u64;
    let once = Counts {
        to_host: bytes(down),
        to_device: bytes(up),
        waits: counts.waits,
        ..Counts::default()
    };
    assert_eq!(counts, once, "{what}");
    assert!(counts.waits <= 2, "{what}: {counts:?}");
}

fn reductions_of_few_elements(comm: &Communicator) -> Outcome {
    let stream = comm.device()?.new_stream()?;
    let (rank, size) = (comm.rank(), comm.size());
    let longest = HOST_FOLD_BYTES / size_of::<f32>() / size * size;
    for algorithm in Algorithm::of("allreduce") {
        let comm = comm
            .with_algorithm("allreduce", algorithm)?
            .with_algorithm("reduce", algorithm)?;
        for length in [100 * size, longest] {
            let of_ranks: Vec<Vec<f32>> = (0..size).map(|rank| vector(4, rank, length)).collect();
            let sum = |ranks: usize| folded(Op::Sum, &of_ranks[..ranks]).unwrap_or_default();
            let own = stream.clone_htod(&of_ranks[rank])?;
            let mut result = stream.alloc_zeros::<f32>(length + 1)?;
            let found = |result: &_| -> Result<Vec<f32>, Failure> { Ok(stream.clone_dtoh(result)?) };
            let what = |operation: &str| format!("{operation} of {length} elements, {algorithm}");

            let counts = counted(&comm, || comm.allreduce(&own, &mut result, Op::Sum))?;
            assert_on_host(counts, [length, length], &what("allreduce"));
            assert_same(&found(&result)?[..length], &sum(size), || what("allreduce"));

            let mut buffer = own.try_clone()?;
            let counts = counted(&comm, || comm.allreduce_in_place(&mut buffer, Op::Sum))?;
            assert_on_host(counts, [length, length], &what("allreduce_in_place"));
            assert_same(&found(&buffer)?, &sum(size), || what("allreduce_in_place"));

            stream.memset_zeros(&mut result)?;
            let up = if rank == size - 1 { length } else { 0 };
            let counts = counted(&comm, || comm.reduce(&own, &mut result, Op::Sum, size - 1))?;
            assert_on_host(counts, [length, up], &what("reduce"));
            let expected = if up > 0 { sum(size) } else { vec![0.0; length] };
            assert_same(&found(&result)?[..length], &expected, || what("reduce"));

            let block = length / size;
            let counts = counted(&comm, || comm.reduce_scatter_block(&own, &mut result, Op::Sum))?;
            assert_on_host(counts, [length, block], &what("reduce_scatter_block"));
            let expected = &sum(size)[rank * block..][..block];
            assert_same(&found(&result)?[..block], expected, || {
                what("reduce_scatter_block")
            });

            let counts = counted(&comm, || comm.scan(&own, &mut result, Op::Sum))?;
            assert_on_host(counts, [length, length], &what("scan"));
            assert_same(&found(&result)?[..length], &sum(rank + 1), || what("scan"));

            let up = if rank == 0 { 0 } else { length };
            let counts = counted(&comm, || comm.exscan(&own, &mut result, Op::Sum))?;
            assert_on_host(counts, [length, up], &what("exscan"));
            // The first that is too long.
            let length = longest + size;
            let own = stream.alloc_zeros::<f32>(length)?;
            let mut result = stream.alloc_zeros::<f32>(length)?;
            let counts = counted(&comm, || comm.allreduce(&own, &mut result, Op::Sum))?;
            assert_eq!(counts.launches, 1);
        }
    }
    Ok(())
}

fn the_host_folds_what_the_program_says(comm: &Communicator) -> Outcome {
    let stream = comm.device()?.new_stream()?;
    let (rank, size) = (comm.rank(), comm.size());
    let length = 2_500 * size;
    let bytes = length * size_of::<f32>();
    let of_ranks: Vec<Vec<f32>> = (0..size).map(|rank| vector(6, rank, length)).collect();
    let own = stream.clone_htod(&of_ranks[rank])?;
    let mut result = stream.alloc_zeros::<f32>(length)?;
    for (most, is_on_host) in [(0, false), (bytes - 1, false), (bytes, true), (usize::MAX, true)] {
        let comm = comm.with_host_fold(most)?;
        // What is made of it does the same.
        for comm in [comm.duplicate()?, comm] {
            stream.memset_zeros(&mut result)?;
            let counts = counted(&comm, || comm.allreduce(&own, &mut result, Op::Sum))?;
            assert_eq!(
                counts.launches,
                u64::from(!is_on_host),
                "up to {most} of {bytes}: {counts:?}"
            );
            let expected = folded(Op::Sum, &of_ranks).unwrap_or_default();
            assert_same(&stream.clone_dtoh(&result)?, &expected, || {
                format!("up to {most}")
            });
        }
    }
    expect_error(comm.with_host_fold(rank.min(1)), ErrorKind::Mismatch);
    Ok(())
}

fn long_blocks_are_folded_as_they_come(comm: &Communicator) -> Outcome {
    const BLOCK: usize = 1 << 18;
    let (stream, size) = (comm.device()?.new_stream()?, comm.size());
    let length = size * BLOCK;
    let of_ranks: Vec<Vec<f32>> = (0..size).map(|rank| vector(5, rank, length)).collect();
    let own = stream.clone_htod(&of_ranks[comm.rank()])?;
    let mut result = stream.alloc_zeros::<f32>(length)?;
    // The first finds out the paths.
    comm.allreduce(&own, &mut result, Op::Max)?;
    let counts = counted(comm, || comm.allreduce(&own, &mut result, Op::Sum))?;
    // One kernel for each chunk; and nothing is copied more often.
    let chunk = std::env::var("WARPCOMM_CHUNK").map_or(Ok(512 << 10), |bytes| bytes.parse::<usize>());
    let chunk = chunk.map_err(|error| Failure(error.to_string()))?;
    let kernels = (BLOCK * size_of::<f32>()).div_ceil(chunk) as u64;
    assert_eq!(counts.launches, kernels, "{counts:?}");
    let all = 2 * (size - 1) * BLOCK * size_of::<f32>();
    let copied = match expected_path(comm) {
        Path::SharedPinned | Path::Staged => all as u64,
        _ => 0,
    };
    assert_eq!((counts.to_host, counts.to_device), (copied, copied), "{counts:?}");
    let sum = folded(Op::Sum, &of_ranks).unwrap_or_default();
    assert_same(&stream.clone_dtoh(&result)?, &sum, || "allreduce".to_owned());
    let mut result = stream.alloc_zeros::<f32>(BLOCK)?;
    let counts = counted(comm, || comm.reduce_scatter_block(&own, &mut result, Op::Sum))?;
    assert_eq!(counts.launches, kernels, "{counts:?}");
    let expected = &sum[comm.rank() * BLOCK..][..BLOCK];
    assert_same(&stream.clone_dtoh(&result)?, expected, || {
        "reduce_scatter_block".to_owned()
    });
    Ok(())
}

fn chunks_of_any_length(_: &Communicator) -> Outcome {
    const RANKS: usize = 3;
    const BLOCK: usize = 100_000;
    // Shorter ones than these are not offered.
    const SHORTEST: usize = 32 << 10;
    for chunk in [4096, 40_000, 130_001, 1 << 20] {
        let config = Config::from_env()?.chunk(chunk);
        let before = Counts::now()?;
        let outcomes = Communicator::threads_with(&config, RANKS, |comm| -> Outcome {
            let comm = comm.with_algorithm("allreduce", Algorithm::Blocks)?;
            let stream = comm.device()?.new_stream()?;
            let of_ranks: Vec<Vec<f32>> = (0..RANKS).map(|rank| vector(6, rank, RANKS * BLOCK)).collect();
            let mut buffer = stream.clone_htod(&of_ranks[comm.rank()])?;
            comm.allreduce_in_place(&mut buffer, Op::Sum)?;
            let sum = folded(Op::Sum, &of_ranks).unwrap_or_default();
            assert_same(&stream.clone_dtoh(&buffer)?, &sum, || {
                format!("chunks of {chunk} bytes")
            });
            Ok(())
        })?;
        outcomes.into_iter().collect::<Result<(), Failure>>()?;
        let in_chunk = chunk.max(SHORTEST) / size_of::<f32>();
        let launches = Counts::now()?.since(before).launches;
        assert_eq!(
            launches,
            (RANKS * BLOCK.div_ceil(in_chunk)) as u64,
            "chunks of {chunk} bytes"
        );
    }
    Ok(())
}
