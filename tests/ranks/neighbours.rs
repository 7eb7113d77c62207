//! Reductions by kernels of all ranks, whose GPUs reach each other's memory.

use warpcomm::cudarc::driver::DeviceRepr;
use warpcomm::{Algorithm, Blocks, Communicator, DeviceBuffer, Op};

use super::common::still_works;
use super::copies::Counts;
use super::device::Gate;
use super::leader::{counted, stream};
use super::reduce::{contributions, results};
use super::simulated::Simulated;
use crate::harness::{Failure, Outcome};
use crate::oracle::{Value, assert_same, folded, vector};

cases! {
    nothing_moves_but_by_a_kernel_of_each: 2..=4;
    in_place_one_copy_at_most: 2..=4;
    every_type_and_op: 2..=4;
    blocks_that_lie_anyhow: 2..=4;
    a_result_beside_says_nothing_of_others: 2..=4;
    a_rank_with_another_buffer: 2..=4;
    a_rank_that_is_late: 2..=4;
    results_are_there_for_who_comes_next: 2..=4;
    requests_and_persistent_requests: 2..=4;
    shots_that_the_program_says: 2..=4;
    memory_that_cannot_be_reached: 2..=4;
    every_call_that_fails: 2..=4;
}

/// Elements that every rank folds whole.
const SHORT: usize = 2_501;

/// Elements of which 4 ranks fold a block each.
const LONG: usize = (512 << 10) / size_of::<f32>() + 1;

/// Whether the ranks are threads of one process, and whether their GPUs reach each other's memory.
fn kind() -> (bool, bool) {
    let is_apart = std::env::var("SIMGPU_PEER").is_ok_and(|set| set == "0");
    (!is_mpi(), !is_apart)
}

/// Whether the ranks are processes.
fn is_mpi() -> bool {
    ["OMPI_COMM_WORLD_SIZE", "PMI_SIZE"]
        .iter()
        .any(|name| std::env::var_os(name).is_some())
}

/// What every rank has.
fn of_ranks(ranks: usize, seed: u64, length: usize) -> Vec<Vec<f32>> {
    (0..ranks).map(|rank| vector(seed, rank, length)).collect()
}

/// Nothing, of nobody.
fn sum(of_ranks: &[Vec<f32>]) -> Vec<f32> {
    match of_ranks {
        [] => Vec::new(),
        of_ranks => folded(Op::Sum, of_ranks).unwrap_or_default(),
    }
}

/// Asserts that it was done by so many kernels of this rank, `of_all` of all ranks, with copies of so many bytes on the GPU;
/// or, where no kernel reaches the elements of others, in another way.
fn assert_kernels(comm: &Communicator, [own, of_all]: [usize; 2], copied: usize, counts: Counts) {
    let (is_one_process, is_near) = kind();
    let ranks = if is_one_process { comm.size() } else { 1 };
    let expected = Counts {
        launches: if is_one_process { of_all } else { own } as u64,
        on_device: (ranks * copied) as u64,
        waits: counts.waits,
        ..Counts::default()
    };
    assert_eq!(counts == expected, is_near, "{counts:?}, {expected:?}");
    assert!(!is_near || counts.waits <= 2 * ranks as u64, "{counts:?}");
}

pub fn nothing_moves_but_by_a_kernel_of_each(comm: &Communicator) -> Outcome {
    let stream = stream(comm)?;
    let (rank, size) = (comm.rank(), comm.size());
    for length in [SHORT, LONG] {
        let all = of_ranks(size, 1, length);
        let mut expected = sum(&all);
        expected.extend([0.0; 3]);
        let own = DeviceBuffer::from_slice(&stream, &all[rank])?;
        let mut result = DeviceBuffer::zeros(&stream, length + 3)?;
        // The first is without memory that both share, and the second makes it.
        for round in 0..3 {
            stream.memset_zeros(&mut result)?;
            stream.synchronize()?;
            let counts = counted(comm, || comm.allreduce(&own, &mut result, Op::Sum))?;
            assert_same(&result.to_vec()?, &expected, || format!("allreduce of {length}"));
            if round == 2 {
                assert_kernels(comm, [1, size], 0, counts);
            }
        }
        stream.memset_zeros(&mut result)?;
        stream.synchronize()?;
        let root = size - 1;
        let counts = counted(comm, || comm.reduce(&own, &mut result, Op::Sum, root))?;
        // Each folds a block for the root.
        let kernels = match length > SHORT && size > 2 {
            true => [1, size],
            false => [usize::from(rank == root), 1],
        };
        assert_kernels(comm, kernels, 0, counts);
        if rank == root {
            assert_same(&result.to_vec()?, &expected, || format!("reduce of {length}"));
        } else {
            assert_eq!(result.to_vec()?, vec![0.0; length + 3]);
        }
        assert_same(&own.to_vec()?, &all[rank], || "own".to_owned());
    }
    let all = of_ranks(size, 2, size * SHORT);
    let own = DeviceBuffer::from_slice(&stream, &all[rank])?;
    let mut result = DeviceBuffer::zeros(&stream, SHORT)?;
    stream.synchronize()?;
    let counts = counted(comm, || comm.reduce_scatter_block(&own, &mut result, Op::Sum))?;
    assert_kernels(comm, [1, size], 0, counts);
    let expected = &sum(&all)[rank * SHORT..][..SHORT];
    assert_same(&result.to_vec()?, expected, || "reduce_scatter_block".to_owned());
    let mut result = DeviceBuffer::zeros(&stream, size * SHORT)?;
    for (kernels, ranks) in [([1, size], rank + 1), ([usize::from(rank > 0), size - 1], rank)] {
        stream.memset_zeros(&mut result)?;
        stream.synchronize()?;
        let counts = counted(comm, || match ranks > rank {
            true => comm.scan(&own, &mut result, Op::Sum),
            false => comm.exscan(&own, &mut result, Op::Sum),
        })?;
        assert_kernels(comm, kernels, 0, counts);
        let mut expected = sum(&all[..ranks]);
        expected.resize(size * SHORT, 0.0);
        assert_same(&result.to_vec()?, &expected, || format!("of {ranks} ranks"));
    }
    still_works(comm)
}

fn shots_that_the_program_says(comm: &Communicator) -> Outcome {
    let stream = stream(comm)?;
    let (rank, size) = (comm.rank(), comm.size());
    let root = size - 1;
    for algorithm in Algorithm::of_neighbours("reduce") {
        let comm = comm
            .with_algorithm("reduce", algorithm)?
            .with_algorithm("allreduce", algorithm)?;
        let is_divided = algorithm == Algorithm::TwoShot && size > 2;
        for length in [SHORT, LONG] {
            let chosen = comm.explain_neighbours("reduce", length * size_of::<f32>())?;
            assert_eq!(chosen.algorithm() == Algorithm::TwoShot, is_divided, "{chosen}");
            let all = of_ranks(size, 9, length);
            let what = || format!("{algorithm} of {length}");
            let own = DeviceBuffer::from_slice(&stream, &all[rank])?;
            let mut result = DeviceBuffer::zeros(&stream, length)?;
            // The first makes memory that both share.
            for round in 0..2 {
                stream.memset_zeros(&mut result)?;
                stream.synchronize()?;
                let counts = counted(&comm, || comm.reduce(&own, &mut result, Op::Sum, root))?;
                let kernels = match is_divided {
                    true => [1, size],
                    false => [usize::from(rank == root), 1],
                };
                if round > 0 {
                    assert_kernels(&comm, kernels, 0, counts);
                }
                if rank == root {
                    assert_same(&result.to_vec()?, &sum(&all), what);
                }
            }
            comm.allreduce(&own, &mut result, Op::Sum)?;
            assert_same(&result.to_vec()?, &sum(&all), what);
        }
    }
    still_works(comm)
}

fn in_place_one_copy_at_most(comm: &Communicator) -> Outcome {
    let stream = stream(comm)?;
    let (rank, size) = (comm.rank(), comm.size());
    for length in [SHORT, LONG] {
        let all = of_ranks(size, 3, length);
        let is_divided = length > SHORT && size > 2;
        let copied = if is_divided { 0 } else { length * size_of::<f32>() };
        for round in 0..3 {
            let mut buffer = DeviceBuffer::from_slice(&stream, &all[rank])?;
            stream.synchronize()?;
            let counts = counted(comm, || comm.allreduce_in_place(&mut buffer, Op::Sum))?;
            assert_same(&buffer.to_vec()?, &sum(&all), || format!("allreduce of {length}"));
            if round == 2 {
                assert_kernels(comm, [1, size], copied, counts);
            }
        }
        let mut buffer = DeviceBuffer::from_slice(&stream, &all[rank])?;
        stream.synchronize()?;
        let counts = counted(comm, || comm.reduce_in_place(&mut buffer, Op::Sum, 0))?;
        let kernels = match is_divided {
            true => [1, size],
            false => [usize::from(rank == 0), 1],
        };
        assert_kernels(comm, kernels, 0, counts);
        let expected = if rank == 0 { sum(&all) } else { all[rank].clone() };
        assert_same(&buffer.to_vec()?, &expected, || format!("reduce of {length}"));
    }
    let all = of_ranks(size, 4, size * SHORT);
    let mut buffer = DeviceBuffer::from_slice(&stream, &all[rank])?;
    stream.synchronize()?;
    let counts = counted(comm, || comm.reduce_scatter_block_in_place(&mut buffer, Op::Sum))?;
    assert_kernels(comm, [1, size], SHORT * size_of::<f32>(), counts);
    let expected = [&sum(&all)[rank * SHORT..][..SHORT], &all[rank][SHORT..]].concat();
    assert_same(&buffer.to_vec()?, &expected, || "reduce_scatter_block".to_owned());
    let mut buffer = DeviceBuffer::from_slice(&stream, &all[rank])?;
    stream.synchronize()?;
    let counts = counted(comm, || comm.scan_in_place(&mut buffer, Op::Sum))?;
    assert_kernels(comm, [1, size], size * SHORT * size_of::<f32>(), counts);
    assert_same(&buffer.to_vec()?, &sum(&all[..=rank]), || "scan".to_owned());
    comm.exscan_in_place(&mut buffer, Op::Sum)?;
    let scanned: Vec<Vec<f32>> = (0..size).map(|rank| sum(&all[..=rank])).collect();
    let expected = match rank {
        0 => scanned[0].clone(),
        rank => sum(&scanned[..rank]),
    };
    assert_same(&buffer.to_vec()?, &expected, || "exscan".to_owned());
    still_works(comm)
}

fn every_type_and_op(comm: &Communicator) -> Outcome {
    for_every_element!(reduced(comm)?);
    Ok(())
}

fn reduced<T: Value + DeviceRepr>(comm: &Communicator) -> Outcome {
    let stream = stream(comm)?;
    let (rank, size) = (comm.rank(), comm.size());
    // A number that no access divides.
    let count = 1 + 512 / size_of::<T>();
    let of_ranks = contributions::<T>(size, size * count);
    let own = DeviceBuffer::from_slice(&stream, &of_ranks[rank])?;
    let mut result = DeviceBuffer::from_slice(&stream, &of_ranks[rank])?;
    for (number, op, expected) in results::<T>(size, size * count) {
        if number % 2 == 0 {
            comm.allreduce(&own, &mut result, op)?;
            assert_same(&result.to_vec()?, &expected, || format!("{op} of {size} ranks"));
        } else {
            comm.reduce_scatter_block(&own, &mut result, op)?;
            assert_same(
                &result.to_vec()?[..count],
                &expected[rank * count..][..count],
                || format!("{op} of blocks of {size} ranks"),
            );
        }
    }
    for (_, op, expected) in results::<T>(rank + 1, size * count).filter(|(_, op, _)| *op != Op::Avg) {
        comm.scan(&own, &mut result, op)?;
        assert_same(&result.to_vec()?, &expected, || format!("{op} up to rank {rank}"));
    }
    Ok(())
}

fn blocks_that_lie_anyhow(comm: &Communicator) -> Outcome {
    let stream = stream(comm)?;
    let (rank, size) = (comm.rank(), comm.size());
    for blocks in [
        Blocks::packed((0..size).map(|rank| SHORT - rank).collect::<Vec<_>>()),
        Blocks::packed((0..size).map(|rank| rank * SHORT).collect::<Vec<_>>()),
        Blocks::new(vec![SHORT; size], (0..size).collect::<Vec<_>>()),
    ] {
        let all = of_ranks(size, 5, size * size * SHORT);
        let own = DeviceBuffer::from_slice(&stream, &all[rank])?;
        let mut result = DeviceBuffer::zeros(&stream, blocks.count(rank))?;
        comm.reduce_scatter(&own, &blocks, &mut result, Op::Sum)?;
        let expected = &sum(&all)[blocks.range(rank)];
        assert_same(&result.to_vec()?, expected, || format!("{blocks:?}"));
        let mut buffer = DeviceBuffer::from_slice(&stream, &all[rank])?;
        comm.reduce_scatter_in_place(&mut buffer, &blocks, Op::Sum)?;
        let expected = [expected, &all[rank][expected.len()..]].concat();
        assert_same(&buffer.to_vec()?, &expected, || format!("{blocks:?} in place"));
    }
    still_works(comm)
}

fn a_result_beside_says_nothing_of_others(comm: &Communicator) -> Outcome {
    let stream = stream(comm)?;
    let (rank, size) = (comm.rank(), comm.size());
    // The first result would be where the second block is, in place.
    let blocks = Blocks::new(
        vec![SHORT; size],
        (0..size).map(|rank| rank.min(1)).collect::<Vec<_>>(),
    );
    let all = of_ranks(size, 10, SHORT + 1);
    let mut buffer = DeviceBuffer::from_slice(&stream, &all[rank])?;
    comm.reduce_scatter_in_place(&mut buffer, &blocks, Op::Sum)?;
    let expected = &sum(&all)[blocks.displacement(rank)..][..SHORT];
    assert_same(&buffer.to_vec()?[..SHORT], expected, || "in place".to_owned());

    let own = DeviceBuffer::from_slice(&stream, &all[rank])?;
    let mut result = DeviceBuffer::zeros(&stream, SHORT + 1)?;
    // The first makes memory that both share.
    for round in 0..2 {
        stream.synchronize()?;
        let counts = counted(comm, || comm.allreduce(&own, &mut result, Op::Sum))?;
        assert_same(&result.to_vec()?, &sum(&all), || "by kernels".to_owned());
        if round > 0 {
            assert_kernels(comm, [1, size], 0, counts);
        }
    }
    still_works(comm)
}

fn a_rank_with_another_buffer(comm: &Communicator) -> Outcome {
    let stream = stream(comm)?;
    let (rank, size) = (comm.rank(), comm.size());
    let all = of_ranks(size, 6, SHORT);
    for odd in 0..size {
        // Which other GPUs do not reach.
        let mut other = stream.clone_htod(&all[rank])?;
        let mut buffer = DeviceBuffer::from_slice(&stream, &all[rank])?;
        let found = match rank == odd {
            true => {
                comm.allreduce_in_place(&mut other, Op::Sum)?;
                stream.clone_dtoh(&other)?
            }
            false => {
                comm.allreduce_in_place(&mut buffer, Op::Sum)?;
                buffer.to_vec()?
            }
        };
        assert_same(&found, &sum(&all), || format!("rank {odd} has another buffer"));
    }
    // Threads do not try again: their other buffers said that they are on several GPUs.
    let own = DeviceBuffer::from_slice(&stream, &all[rank])?;
    let mut result = DeviceBuffer::zeros(&stream, SHORT)?;
    stream.synchronize()?;
    let (is_one_process, _) = kind();
    let counts = counted(comm, || comm.allreduce(&own, &mut result, Op::Sum))?;
    assert_same(&result.to_vec()?, &sum(&all), || "with the same".to_owned());
    if !is_one_process {
        assert_kernels(comm, [1, size], 0, counts);
    }
    still_works(comm)
}

/// More rounds of messages than a fold needs that does not wait.
const ROUNDS: usize = 100;

fn a_rank_that_is_late(comm: &Communicator) -> Outcome {
    let (_, is_near) = kind();
    if !is_near {
        // Other ways allocate, which may wait for the stream that is stopped.
        return Ok(());
    }
    let stream = stream(comm)?;
    let rank = comm.rank();
    let other = comm.duplicate()?;
    for late in [0, comm.size() - 1] {
        let own = vector::<f32>(7, rank, SHORT);
        let mut buffer = DeviceBuffer::<f32>::zeros(&stream, SHORT)?;
        let result = DeviceBuffer::<f32>::zeros(&stream, SHORT)?;
        let gate = Gate::default();
        stream.synchronize()?;
        if rank == late {
            // SAFETY: the gate lives until the stream was waited for.
            unsafe { gate.stop(&stream) }?;
        }
        stream.memcpy_htod(&own, &mut buffer)?;
        let request = comm.iallreduce(buffer, result, Op::Sum);
        for _ in 0..ROUNDS {
            other.barrier()?;
        }
        assert!(!request.is_done(), "rank {late} was not waited for");
        other.barrier()?;
        gate.open();
        let outcome = request.wait();
        stream.synchronize()?;
        let ((_, result), _) = outcome?;
        let expected = sum(&of_ranks(comm.size(), 7, SHORT));
        assert_same(&result.to_vec()?, &expected, || format!("rank {late} is late"));
    }
    still_works(comm)
}

fn results_are_there_for_who_comes_next(comm: &Communicator) -> Outcome {
    let stream = stream(comm)?;
    let (rank, size) = (comm.rank(), comm.size());
    for length in [SHORT, LONG] {
        let mut buffer = DeviceBuffer::<f32>::zeros(&stream, length)?;
        for seed in 0..if length > SHORT { 4 } else { 20 } {
            let all = of_ranks(size, seed, length);
            stream.memcpy_htod(&all[rank], &mut buffer)?;
            match seed % 2 {
                0 => comm.allreduce_in_place(&mut buffer, Op::Sum)?,
                _ => comm.scan_in_place(&mut buffer, Op::Sum)?,
            }
            // Who is done overwrites at once what the others have had of it.
            let found = buffer.to_vec()?;
            let ranks = if seed % 2 == 0 { size } else { rank + 1 };
            assert_same(&found, &sum(&all[..ranks]), || format!("round {seed}"));
        }
    }
    Ok(())
}

fn requests_and_persistent_requests(comm: &Communicator) -> Outcome {
    let stream = stream(comm)?;
    let (rank, size) = (comm.rank(), comm.size());
    let all = of_ranks(size, 8, size * SHORT);
    let own = || DeviceBuffer::from_slice(&stream, &all[rank]);
    let zeros = |length| DeviceBuffer::<f32>::zeros(&stream, length);
    let block = &sum(&all)[rank * SHORT..][..SHORT];
    let reduced = comm.iallreduce_in_place(own()?, Op::Sum);
    let scan = comm.iscan_in_place(own()?, Op::Sum);
    let of_block = comm.ireduce_scatter_block(own()?, zeros(SHORT)?, Op::Sum);
    let ((_, found), _) = of_block.wait()?;
    assert_same(&found.to_vec()?, block, || "reduce_scatter_block".to_owned());
    let (found, _) = scan.wait()?;
    assert_same(&found.to_vec()?, &sum(&all[..=rank]), || "scan".to_owned());
    let (found, _) = reduced.wait()?;
    assert_same(&found.to_vec()?, &sum(&all), || "allreduce".to_owned());
    let mut persistent = comm.allreduce_init(own()?, zeros(size * SHORT)?, Op::Sum);
    for round in 0..3 {
        persistent.start()?;
        persistent.wait()?;
        let (_, found) = persistent.buffer()?;
        assert_same(&found.to_vec()?, &sum(&all), || format!("round {round}"));
    }
    Ok(())
}

fn memory_that_cannot_be_reached(comm: &Communicator) -> Outcome {
    let (stream, driver) = (stream(comm)?, Simulated::load()?);
    let (is_one_process, is_near) = kind();
    if is_one_process {
        // Access is given once.
        return Ok(());
    }
    let (rank, size) = (comm.rank(), comm.size());
    let all = of_ranks(size, 9, SHORT);
    for (odd, fault) in [(0, "ipc_open:1=2"), (size - 1, "ipc_open:1=2")] {
        let comm = comm.duplicate()?;
        let mut buffer = DeviceBuffer::from_slice(&stream, &all[rank])?;
        // So that there is something to be opened.
        warpcomm::release_device();
        let large = DeviceBuffer::<f32>::zeros(&stream, (4 + 2 * odd) << 20)?;
        let mut result = DeviceBuffer::<f32>::zeros(&stream, (5 + 2 * odd) << 20)?;
        stream.synchronize()?;
        comm.barrier()?;
        let before = driver.fired();
        if rank == odd {
            driver.set(fault);
        }
        let part = large
            .try_slice(..SHORT)
            .ok_or_else(|| Failure("no part".to_owned()))?;
        let mut room = result
            .try_slice_mut(..SHORT)
            .ok_or_else(|| Failure("no part".to_owned()))?;
        comm.allreduce(&part, &mut room, Op::Sum)?;
        driver.set("");
        // Without access, ranks that share a GPU may open each other's all the same.
        let has_fired = driver.fired() > before;
        assert!(
            !is_near || has_fired == (rank == odd),
            "{has_fired} on rank {rank}"
        );
        comm.allreduce_in_place(&mut buffer, Op::Sum)?;
        assert_same(&buffer.to_vec()?, &sum(&all), || {
            format!("rank {odd} opens nothing")
        });
    }
    still_works(comm)
}

fn every_call_that_fails(comm: &Communicator) -> Outcome {
    let (_, is_near) = kind();
    if !is_near {
        // The sweeps have the calls of other ways.
        return Ok(());
    }
    let (stream, driver) = (stream(comm)?, Simulated::load()?);
    let (rank, size) = (comm.rank(), comm.size());
    let last = size - 1;
    let all = of_ranks(size, 10, LONG);
    for class in ["alloc", "launch", "record", "copy"] {
        for number in 1..50 {
            let mut buffer = DeviceBuffer::from_slice(&stream, &all[rank])?;
            stream.synchronize()?;
            let fired = driver.fired();
            comm.barrier()?;
            if rank == last {
                driver.set(&format!("{class}:{number}=2"));
            }
            comm.barrier()?;
            let outcome = comm.allreduce_in_place(&mut buffer, Op::Sum);
            comm.barrier()?;
            let mut has_fired = [u8::from(driver.fired() > fired)];
            comm.bcast(&mut has_fired, last)?;
            if rank == last {
                driver.set("");
            }
            comm.barrier()?;
            let _ = stream.context().check_err();
            if outcome.is_ok() {
                assert_same(&buffer.to_vec()?, &sum(&all), || format!("{class} {number}"));
            }
            if has_fired == [0] {
                outcome?;
                break;
            }
        }
    }
    still_works(comm)
}
