//! `reduce_scatter_block` and `reduce_scatter_block_in_place`.

use warpcomm::{ErrorKind, Op};

use super::reduce::{contributions, lengths_of_ways, missing, results};
use crate::harness::{Outcome, covered, expect_error, unsupported};
use crate::oracle::{Value, assert_same, folded, untouched, vector};
use crate::placed::Communicator;

cases! {
    every_type_and_op: 1..=7;
    every_type_and_op_in_place: 1..=7;
    pairs_that_do_not_exist: 1..=7;
    mpich_redscat_block: 1..=7;
}

/// Lengths of blocks for every way in which all of them can go.
fn lengths<T>(ranks: usize) -> Vec<usize> {
    let mut lengths: Vec<usize> = lengths_of_ways(ranks, size_of::<T>())
        .into_iter()
        .map(|total| total.div_ceil(ranks))
        .collect();
    lengths.dedup();
    lengths
}

fn every_type_and_op(comm: &Communicator) -> Outcome {
    for_every_element!(reduced(comm)?);
    Ok(())
}

fn reduced<T: Value>(comm: &Communicator) -> Outcome {
    const TAIL: usize = 2;
    for length in lengths::<T>(comm.size()) {
        let of_ranks = contributions::<T>(comm.size(), length * comm.size());
        for (_, op, result) in results::<T>(comm.size(), length * comm.size()) {
            let mut buffer: Vec<T> = untouched(length + TAIL);
            let mut expected = buffer.clone();
            expected[..length].copy_from_slice(&result[comm.rank() * length..][..length]);
            comm.reduce_scatter_block(&of_ranks[comm.rank()], &mut buffer, op)?;
            assert_same(&buffer, &expected, || format!("{op} of blocks of {length}"));
            covered("reduce_scatter_block", Some(T::DTYPE), Some(op));
        }
    }
    Ok(())
}

fn every_type_and_op_in_place(comm: &Communicator) -> Outcome {
    for_every_element!(reduced_in_place(comm)?);
    Ok(())
}

fn reduced_in_place<T: Value>(comm: &Communicator) -> Outcome {
    for length in lengths::<T>(comm.size()) {
        let of_ranks = contributions::<T>(comm.size(), length * comm.size());
        for (_, op, result) in results::<T>(comm.size(), length * comm.size()) {
            let mut buffer = of_ranks[comm.rank()].clone();
            let mut expected = buffer.clone();
            expected[..length].copy_from_slice(&result[comm.rank() * length..][..length]);
            comm.reduce_scatter_block_in_place(&mut buffer, op)?;
            assert_same(&buffer, &expected, || format!("{op} of blocks of {length}"));
            covered("reduce_scatter_block_in_place", Some(T::DTYPE), Some(op));
        }
    }
    Ok(())
}

fn pairs_that_do_not_exist(comm: &Communicator) -> Outcome {
    for_every_element!(refused(comm)?);
    Ok(())
}

fn refused<T: Value>(comm: &Communicator) -> Outcome {
    for op in missing::<T>() {
        let own: Vec<T> = vector(0, 0, comm.size());
        let mut buffer: Vec<T> = untouched(1);
        expect_error(
            comm.reduce_scatter_block(&own, &mut buffer, op),
            ErrorKind::Unsupported,
        );
        assert_same(&buffer, &untouched(1), || "the buffer".to_owned());
        unsupported("reduce_scatter_block", T::DTYPE, op);
        let mut buffer = own.clone();
        expect_error(
            comm.reduce_scatter_block_in_place(&mut buffer, op),
            ErrorKind::Unsupported,
        );
        assert_same(&buffer, &own, || "the buffer".to_owned());
        unsupported("reduce_scatter_block_in_place", T::DTYPE, op);
    }
    Ok(())
}

/// What the tests `coll/red_scat_block` and `redscatblk3` of MPICH are about: sums whose results are known, of one
/// element and of many for each rank.
fn mpich_redscat_block(comm: &Communicator) -> Outcome {
    let (rank, ranks) = (comm.rank(), comm.size());
    for length in [1, 3000] {
        let own: Vec<i32> = (0..ranks)
            .flat_map(|block| vec![(rank + block) as i32; length])
            .collect();
        let sum = (ranks * (ranks - 1) / 2 + ranks * rank) as i32;
        let mut received = vec![0; length];
        comm.reduce_scatter_block(&own, &mut received, Op::Sum)?;
        assert_same(&received, &vec![sum; length], || format!("{length} elements"));
    }
    let of_ranks = contributions::<f32>(ranks, 100 * ranks);
    let mut sums = vec![0.0; 100 * ranks];
    comm.allreduce(&of_ranks[rank], &mut sums, Op::Sum)?;
    let mut block = vec![0.0; 100];
    comm.reduce_scatter_block(&of_ranks[rank], &mut block, Op::Sum)?;
    assert_same(&block, &sums[100 * rank..][..100], || {
        "allreduce's bits".to_owned()
    });
    assert_same(&sums, &folded(Op::Sum, &of_ranks).unwrap_or_default(), || {
        "allreduce".to_owned()
    });
    Ok(())
}
