//! `reduce_scatter` and `reduce_scatter_in_place`.

use warpcomm::{Blocks, ErrorKind, Op};

use super::common::{layouts, needed};
use super::reduce::{contributions, lengths_of_ways, missing, results};
use crate::harness::{Outcome, covered, expect_error, unsupported};
use crate::oracle::{Value, assert_same, folded, untouched, vector};
use crate::placed::Communicator;

cases! {
    every_type_and_op: 1..=7;
    every_type_and_op_in_place: 1..=7;
    every_layout: 1..=7;
    every_layout_in_place: 1..=7;
    blocks_that_overlap: 1..=7;
    pairs_that_do_not_exist: 1..=7;
    mpich_redscat: 1..=7;
}

fn every_type_and_op(comm: &Communicator) -> Outcome {
    for_every_element!(reduced(comm)?);
    Ok(())
}

fn reduced<T: Value>(comm: &Communicator) -> Outcome {
    for length in lengths_of_ways(comm.size(), size_of::<T>()) {
        let blocks = Blocks::even(length, comm.size());
        let of_ranks = contributions::<T>(comm.size(), length);
        for (_, op, result) in results::<T>(comm.size(), length) {
            scattered(comm, &of_ranks, &blocks, op, &result)?;
            covered("reduce_scatter", Some(T::DTYPE), Some(op));
        }
    }
    Ok(())
}

fn scattered<T: Value>(
    comm: &Communicator,
    of_ranks: &[Vec<T>],
    blocks: &Blocks,
    op: Op,
    result: &[T],
) -> Outcome {
    const TAIL: usize = 2;
    let range = blocks.range(comm.rank());
    let mut buffer: Vec<T> = untouched(range.len() + TAIL);
    let mut expected = buffer.clone();
    expected[..range.len()].copy_from_slice(&result[range]);
    comm.reduce_scatter(&of_ranks[comm.rank()], blocks, &mut buffer, op)?;
    assert_same(&buffer, &expected, || format!("{op} of {blocks:?}"));
    Ok(())
}

fn every_type_and_op_in_place(comm: &Communicator) -> Outcome {
    for_every_element!(reduced_in_place(comm)?);
    Ok(())
}

fn reduced_in_place<T: Value>(comm: &Communicator) -> Outcome {
    for length in lengths_of_ways(comm.size(), size_of::<T>()) {
        let blocks = Blocks::even(length, comm.size());
        let of_ranks = contributions::<T>(comm.size(), length);
        for (_, op, result) in results::<T>(comm.size(), length) {
            scattered_in_place(comm, &of_ranks, &blocks, op, &result)?;
            covered("reduce_scatter_in_place", Some(T::DTYPE), Some(op));
        }
    }
    Ok(())
}

fn scattered_in_place<T: Value>(
    comm: &Communicator,
    of_ranks: &[Vec<T>],
    blocks: &Blocks,
    op: Op,
    result: &[T],
) -> Outcome {
    let range = blocks.range(comm.rank());
    let mut buffer = of_ranks[comm.rank()].clone();
    let mut expected = buffer.clone();
    expected[..range.len()].copy_from_slice(&result[range]);
    comm.reduce_scatter_in_place(&mut buffer, blocks, op)?;
    assert_same(&buffer, &expected, || format!("{op} of {blocks:?}"));
    Ok(())
}

fn every_layout(comm: &Communicator) -> Outcome {
    for length in [1, 60, 4000] {
        for blocks in layouts(comm.size(), length) {
            let of_ranks = contributions::<f32>(comm.size(), needed(&blocks));
            let result = folded(Op::Sum, &of_ranks).unwrap_or_default();
            scattered(comm, &of_ranks, &blocks, Op::Sum, &result)?;
        }
    }
    Ok(())
}

fn every_layout_in_place(comm: &Communicator) -> Outcome {
    for length in [1, 60, 4000] {
        for blocks in layouts(comm.size(), length) {
            let of_ranks = contributions::<f32>(comm.size(), needed(&blocks));
            let result = folded(Op::Sum, &of_ranks).unwrap_or_default();
            scattered_in_place(comm, &of_ranks, &blocks, Op::Sum, &result)?;
        }
    }
    Ok(())
}

fn blocks_that_overlap(comm: &Communicator) -> Outcome {
    let ranks = comm.size();
    for length in [2, 2000] {
        let blocks = Blocks::new(vec![length; ranks], (0..ranks).collect::<Vec<_>>());
        let of_ranks = contributions::<f64>(ranks, length + ranks);
        let result = folded(Op::Sum, &of_ranks).unwrap_or_default();
        scattered(comm, &of_ranks, &blocks, Op::Sum, &result)?;
        scattered_in_place(comm, &of_ranks, &blocks, Op::Sum, &result)?;
    }
    Ok(())
}

fn pairs_that_do_not_exist(comm: &Communicator) -> Outcome {
    for_every_element!(refused(comm)?);
    Ok(())
}

fn refused<T: Value>(comm: &Communicator) -> Outcome {
    let blocks = Blocks::even(comm.size(), comm.size());
    for op in missing::<T>() {
        let own: Vec<T> = vector(0, 0, comm.size());
        let mut buffer: Vec<T> = untouched(1);
        expect_error(
            comm.reduce_scatter(&own, &blocks, &mut buffer, op),
            ErrorKind::Unsupported,
        );
        assert_same(&buffer, &untouched(1), || "the buffer".to_owned());
        unsupported("reduce_scatter", T::DTYPE, op);
        let mut buffer = own.clone();
        expect_error(
            comm.reduce_scatter_in_place(&mut buffer, &blocks, op),
            ErrorKind::Unsupported,
        );
        assert_same(&buffer, &own, || "the buffer".to_owned());
        unsupported("reduce_scatter_in_place", T::DTYPE, op);
    }
    Ok(())
}

/// What the tests `coll/redscat` and `redscat3` of MPICH are about: sums whose results are known, of one element for
/// each rank and of many, and some ranks getting none.
fn mpich_redscat(comm: &Communicator) -> Outcome {
    let (rank, ranks) = (comm.rank(), comm.size());
    for length in [1, 3000] {
        for leaves_out in [usize::MAX, 0, ranks - 1] {
            let counts: Vec<usize> = (0..ranks)
                .map(|rank| if rank == leaves_out { 0 } else { length })
                .collect();
            let blocks = Blocks::packed(counts);
            let own: Vec<i32> = (0..ranks)
                .flat_map(|block| vec![(rank + block) as i32; blocks.count(block)])
                .collect();
            let sum = (ranks * (ranks - 1) / 2 + ranks * rank) as i32;
            let mut received = vec![0; blocks.count(rank)];
            comm.reduce_scatter(&own, &blocks, &mut received, Op::Sum)?;
            assert_same(&received, &vec![sum; blocks.count(rank)], || {
                format!("{length} elements")
            });
        }
    }
    Ok(())
}
