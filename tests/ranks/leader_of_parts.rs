//! Reductions whose ranks get different results, by kernels of one rank of those that share a GPU.

use warpcomm::{Blocks, Communicator, DeviceBuffer, Op};

use super::common::still_works;
use super::leader::{assert_led_by, counted, kind, stream, with_2_to_7_ranks};
use super::reduce::{contributions, results};
use crate::harness::Outcome;
use crate::oracle::{Value, assert_same, folded, vector};
use crate::placed;

cases! {
    nothing_moves_but_by_kernels: 2..=6;
    nothing_moves_but_by_kernels_in_place: 2..=6;
    every_type_and_op_of_2_to_7_ranks: 1..=1, threads;
    blocks_that_a_result_would_overwrite: 2..=3;
    ranks_without_a_result: 2..=3;
    a_rank_with_another_buffer: 2..=3;
    results_are_there_for_who_comes_next: 2..=3;
    requests_and_persistent_requests: 2..=3;
}

/// The elements of each block, or of each rank of a scan.
const LENGTH: usize = 2_501;

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

/// Blocks of which the first is the longest.
fn uneven(ranks: usize) -> Blocks {
    Blocks::packed((0..ranks).map(|rank| LENGTH - rank).collect::<Vec<_>>())
}

fn nothing_moves_but_by_kernels(comm: &Communicator) -> Outcome {
    let (stream, (_, is_led)) = (stream(comm)?, kind(comm)?);
    let (rank, size) = (comm.rank(), comm.size());
    let (kernels, blocks) = (size as u64, uneven(size));
    let all = of_ranks(size, 1, size * LENGTH);
    let result_of = |range: std::ops::Range<usize>| {
        let mut expected = sum(&all)[range.clone()].to_vec();
        expected.resize(LENGTH + 3, 0.0);
        expected
    };
    let own = DeviceBuffer::from_slice(&stream, &all[rank])?;
    let mut result = DeviceBuffer::zeros(&stream, LENGTH + 3)?;
    // The first is without memory that both share, and the second makes it.
    for round in 0..3 {
        stream.memset_zeros(&mut result)?;
        stream.synchronize()?;
        let counts = counted(comm, || comm.reduce_scatter_block(&own, &mut result, Op::Sum))?;
        let expected = result_of(rank * LENGTH..(rank + 1) * LENGTH);
        assert_same(&result.to_vec()?, &expected, || "reduce_scatter_block".to_owned());
        if round == 2 {
            assert_led_by(comm, 0, kernels, is_led, counts)?;
        }
    }
    stream.memset_zeros(&mut result)?;
    stream.synchronize()?;
    let counts = counted(comm, || comm.reduce_scatter(&own, &blocks, &mut result, Op::Sum))?;
    assert_led_by(comm, 0, kernels, is_led, counts)?;
    let expected = result_of(blocks.range(rank));
    assert_same(&result.to_vec()?, &expected, || "reduce_scatter".to_owned());

    let all = of_ranks(size, 2, LENGTH);
    let own = DeviceBuffer::from_slice(&stream, &all[rank])?;
    for (name, kernels, ranks) in [("scan", size, rank + 1), ("exscan", size - 1, rank)] {
        stream.memset_zeros(&mut result)?;
        stream.synchronize()?;
        let counts = counted(comm, || match name {
            "scan" => comm.scan(&own, &mut result, Op::Sum),
            _ => comm.exscan(&own, &mut result, Op::Sum),
        })?;
        assert_led_by(comm, 0, kernels as u64, is_led, counts)?;
        let mut expected = sum(&all[..ranks]);
        expected.resize(LENGTH + 3, 0.0);
        assert_same(&result.to_vec()?, &expected, || name.to_owned());
    }
    assert_same(&own.to_vec()?, &all[rank], || "own".to_owned());
    still_works(comm)
}

fn nothing_moves_but_by_kernels_in_place(comm: &Communicator) -> Outcome {
    let (stream, (_, is_led)) = (stream(comm)?, kind(comm)?);
    let (rank, size) = (comm.rank(), comm.size());
    let (kernels, blocks) = (size as u64, uneven(size));
    let all = of_ranks(size, 3, size * LENGTH);
    // What is left of one's own elements behind the result.
    let result_of = |range: std::ops::Range<usize>| {
        let result = &sum(&all)[range];
        [result, &all[rank][result.len()..]].concat()
    };
    for round in 0..3 {
        let mut buffer = DeviceBuffer::from_slice(&stream, &all[rank])?;
        stream.synchronize()?;
        let counts = counted(comm, || comm.reduce_scatter_block_in_place(&mut buffer, Op::Sum))?;
        let expected = result_of(rank * LENGTH..(rank + 1) * LENGTH);
        assert_same(&buffer.to_vec()?, &expected, || "reduce_scatter_block".to_owned());
        if round == 2 {
            assert_led_by(comm, 0, kernels, is_led, counts)?;
        }
    }
    let mut buffer = DeviceBuffer::from_slice(&stream, &all[rank])?;
    stream.synchronize()?;
    let counts = counted(comm, || {
        comm.reduce_scatter_in_place(&mut buffer, &blocks, Op::Sum)
    })?;
    assert_led_by(comm, 0, kernels, is_led, counts)?;
    let expected = result_of(blocks.range(rank));
    assert_same(&buffer.to_vec()?, &expected, || "reduce_scatter".to_owned());

    let all = of_ranks(size, 4, LENGTH);
    for (name, kernels, ranks) in [("scan", size, rank + 1), ("exscan", size - 1, rank)] {
        let mut buffer = DeviceBuffer::from_slice(&stream, &all[rank])?;
        stream.synchronize()?;
        let counts = counted(comm, || match name {
            "scan" => comm.scan_in_place(&mut buffer, Op::Sum),
            _ => comm.exscan_in_place(&mut buffer, Op::Sum),
        })?;
        assert_led_by(comm, 0, kernels as u64, is_led, counts)?;
        let expected = match ranks {
            0 => all[rank].clone(),
            ranks => sum(&all[..ranks]),
        };
        assert_same(&buffer.to_vec()?, &expected, || name.to_owned());
    }
    still_works(comm)
}

fn every_type_and_op_of_2_to_7_ranks(_: &Communicator) -> Outcome {
    with_2_to_7_ranks(|comm| {
        for_every_element!(reduced(comm)?);
        Ok(())
    })
}

fn reduced<T: Value>(comm: &placed::Communicator) -> Outcome {
    let (rank, size) = (comm.rank(), comm.size());
    // A number that no access divides.
    let count = 1 + 512 / size_of::<T>();
    let of_ranks = contributions::<T>(size, size * count);
    for (number, op, result) in results::<T>(size, size * count) {
        let mut buffer = of_ranks[rank].clone();
        if number % 2 == 0 {
            comm.reduce_scatter_block_in_place(&mut buffer, op)?;
        } else {
            comm.reduce_scatter_block(&of_ranks[rank], &mut buffer, op)?;
        }
        assert_same(&buffer[..count], &result[rank * count..][..count], || {
            format!("{op} of blocks of {count} elements of {size} ranks")
        });
    }
    let of_ranks = contributions::<T>(size, count);
    for (number, op, result) in results::<T>(rank + 1, count).filter(|(_, op, _)| *op != Op::Avg) {
        let mut buffer = of_ranks[rank].clone();
        if number % 2 == 0 {
            comm.scan_in_place(&mut buffer, op)?;
        } else {
            comm.scan(&of_ranks[rank], &mut buffer, op)?;
        }
        assert_same(&buffer, &result, || {
            format!("{op} of {count} elements up to rank {rank} of {size}")
        });
    }
    Ok(())
}

fn blocks_that_a_result_would_overwrite(comm: &Communicator) -> Outcome {
    let (stream, (is_one_process, _)) = (stream(comm)?, kind(comm)?);
    let (rank, size) = (comm.rank(), comm.size());
    for blocks in [
        // Longer and longer, over each other, and the other way round.
        Blocks::packed((0..size).map(|rank| LENGTH + rank).collect::<Vec<_>>()),
        Blocks::new(vec![LENGTH; size], (0..size).collect::<Vec<_>>()),
        Blocks::new(
            vec![LENGTH; size],
            (0..size).rev().map(|rank| rank * LENGTH).collect::<Vec<_>>(),
        ),
    ] {
        let all = of_ranks(size, 5, size * (LENGTH + size));
        let mut buffer = DeviceBuffer::from_slice(&stream, &all[rank])?;
        stream.synchronize()?;
        let counts = counted(comm, || {
            comm.reduce_scatter_in_place(&mut buffer, &blocks, Op::Sum)
        })?;
        // In memory that ranks cannot lend to each other, and so few that hosts fold them.
        let kernels = if is_one_process { size as u64 } else { 0 };
        assert_eq!(counts.launches, kernels, "{counts:?}");
        let result = &sum(&all)[blocks.range(rank)];
        let expected = [result, &all[rank][result.len()..]].concat();
        assert_same(&buffer.to_vec()?, &expected, || format!("{blocks:?}"));
    }
    still_works(comm)
}

fn ranks_without_a_result(comm: &Communicator) -> Outcome {
    let (stream, (_, is_led)) = (stream(comm)?, kind(comm)?);
    let (rank, size) = (comm.rank(), comm.size());
    for leaves_out in 0..size {
        let counts: Vec<usize> = (0..size)
            .map(|rank| if rank == leaves_out { 0 } else { LENGTH })
            .collect();
        let blocks = Blocks::packed(counts);
        let all = of_ranks(size, 6, blocks.total());
        let own = DeviceBuffer::from_slice(&stream, &all[rank])?;
        let mut result = DeviceBuffer::zeros(&stream, blocks.count(rank))?;
        stream.synchronize()?;
        let counts = counted(comm, || comm.reduce_scatter(&own, &blocks, &mut result, Op::Sum))?;
        assert_led_by(comm, 0, size as u64 - 1, is_led, counts)?;
        let expected = &sum(&all)[blocks.range(rank)];
        assert_same(&result.to_vec()?, expected, || {
            format!("without rank {leaves_out}")
        });
    }
    let own = DeviceBuffer::from_slice(&stream, &vector::<f32>(7, rank, LENGTH))?;
    let mut result = DeviceBuffer::zeros(&stream, if rank == 0 { 0 } else { LENGTH })?;
    stream.synchronize()?;
    let counts = counted(comm, || comm.exscan(&own, &mut result, Op::Sum))?;
    assert_led_by(comm, 0, size as u64 - 1, is_led, counts)?;
    let expected = sum(&of_ranks(size, 7, LENGTH)[..rank]);
    assert_same(&result.to_vec()?, &expected, || "exscan".to_owned());
    still_works(comm)
}

fn a_rank_with_another_buffer(comm: &Communicator) -> Outcome {
    let stream = stream(comm)?;
    let (rank, size) = (comm.rank(), comm.size());
    let all = of_ranks(size, 8, size * LENGTH);
    let prefix = of_ranks(size, 9, LENGTH);
    let (block, scanned) = (&sum(&all)[rank * LENGTH..][..LENGTH], sum(&prefix[..=rank]));
    for odd in 0..size {
        let (found, found_prefix) = if rank == odd {
            let (mut found, mut found_prefix) = (vec![0.0; LENGTH], prefix[rank].clone());
            comm.reduce_scatter_block(&all[rank], &mut found, Op::Sum)?;
            comm.scan_in_place(&mut found_prefix, Op::Sum)?;
            (found, found_prefix)
        } else {
            let own = DeviceBuffer::from_slice(&stream, &all[rank])?;
            let mut found = DeviceBuffer::zeros(&stream, LENGTH)?;
            let mut found_prefix = DeviceBuffer::from_slice(&stream, &prefix[rank])?;
            comm.reduce_scatter_block(&own, &mut found, Op::Sum)?;
            comm.scan_in_place(&mut found_prefix, Op::Sum)?;
            (found.to_vec()?, found_prefix.to_vec()?)
        };
        assert_same(&found, block, || format!("rank {odd} has a host's buffer"));
        assert_same(&found_prefix, &scanned, || {
            format!("rank {odd} has a host's buffer")
        });
    }
    still_works(comm)
}

fn results_are_there_for_who_comes_next(comm: &Communicator) -> Outcome {
    let stream = stream(comm)?;
    let (rank, size) = (comm.rank(), comm.size());
    let mut buffer = DeviceBuffer::<f32>::zeros(&stream, size * LENGTH)?;
    for seed in 0..20 {
        let all = of_ranks(size, seed, size * LENGTH);
        stream.memcpy_htod(&all[rank], &mut buffer)?;
        match seed % 2 {
            0 => comm.scan_in_place(&mut buffer, Op::Sum)?,
            _ => comm.reduce_scatter_block_in_place(&mut buffer, Op::Sum)?,
        }
        let found = buffer.to_vec()?;
        let (found, expected) = match seed % 2 {
            0 => (&found[..], sum(&all[..=rank])),
            _ => (&found[..LENGTH], sum(&all)[rank * LENGTH..][..LENGTH].to_vec()),
        };
        assert_same(found, &expected, || format!("round {seed}"));
    }
    Ok(())
}

fn requests_and_persistent_requests(comm: &Communicator) -> Outcome {
    let stream = stream(comm)?;
    let (rank, size) = (comm.rank(), comm.size());
    let all = of_ranks(size, 10, size * LENGTH);
    let own = || DeviceBuffer::from_slice(&stream, &all[rank]);
    let zeros = |length| DeviceBuffer::<f32>::zeros(&stream, length);
    let block = &sum(&all)[rank * LENGTH..][..LENGTH];
    let blocks = Blocks::even(size * LENGTH, size);
    let scan = comm.iscan_in_place(own()?, Op::Sum);
    let exscan = comm.iexscan(own()?, zeros(size * LENGTH)?, Op::Sum);
    let of_block = comm.ireduce_scatter_block(own()?, zeros(LENGTH)?, Op::Sum);
    let of_blocks = comm.ireduce_scatter_in_place(own()?, &blocks, Op::Sum);
    let (found, _) = of_blocks.wait()?;
    assert_same(&found.to_vec()?[..LENGTH], block, || "reduce_scatter".to_owned());
    let ((_, found), _) = of_block.wait()?;
    assert_same(&found.to_vec()?, block, || "reduce_scatter_block".to_owned());
    let ((_, found), _) = exscan.wait()?;
    if rank > 0 {
        assert_same(&found.to_vec()?, &sum(&all[..rank]), || "exscan".to_owned());
    }
    let (found, _) = scan.wait()?;
    assert_same(&found.to_vec()?, &sum(&all[..=rank]), || "scan".to_owned());

    let mut scan = comm.scan_init(own()?, zeros(size * LENGTH)?, Op::Sum);
    let mut of_block = comm.reduce_scatter_block_init(own()?, zeros(LENGTH)?, Op::Sum);
    for round in 0..3 {
        scan.start()?;
        of_block.start()?;
        of_block.wait()?;
        scan.wait()?;
        let (_, found) = scan.buffer()?;
        assert_same(&found.to_vec()?, &sum(&all[..=rank]), || format!("scan {round}"));
        let (_, found) = of_block.buffer()?;
        assert_same(&found.to_vec()?, block, || {
            format!("reduce_scatter_block {round}")
        });
    }
    Ok(())
}
