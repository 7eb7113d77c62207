//! `exscan` and `exscan_in_place`.

use warpcomm::{ErrorKind, Op};

use super::common::lengths;
use super::reduce::{contributions, lengths_of_ways, results};
use super::scan::missing_here;
use crate::harness::{Outcome, covered, expect_error, unsupported};
use crate::oracle::{Value, assert_same, folded, untouched, vector};
use crate::placed::Communicator;

cases! {
    every_type_and_op: 1..=7;
    every_type_and_op_in_place: 1..=7;
    every_length: 1..=7;
    rank_0_needs_no_buffer: 1..=7;
    pairs_that_do_not_exist: 1..=7;
    mpich_exscan: 1..=7;
}

fn every_type_and_op(comm: &Communicator) -> Outcome {
    for_every_element!(scanned(comm)?);
    Ok(())
}

fn scanned<T: Value>(comm: &Communicator) -> Outcome {
    const TAIL: usize = 2;
    let rank = comm.rank();
    for length in lengths_of_ways(comm.size(), size_of::<T>()) {
        let of_ranks = contributions::<T>(comm.size(), length);
        for (_, op, result) in results::<T>(rank.max(1), length).filter(|(_, op, _)| *op != Op::Avg) {
            let mut buffer: Vec<T> = untouched(length + TAIL);
            let mut expected = buffer.clone();
            if rank > 0 {
                expected[..length].copy_from_slice(&result);
            }
            comm.exscan(&of_ranks[rank], &mut buffer, op)?;
            assert_same(&buffer, &expected, || format!("{op} of {length} elements"));
            covered("exscan", Some(T::DTYPE), Some(op));
        }
    }
    Ok(())
}

fn every_type_and_op_in_place(comm: &Communicator) -> Outcome {
    for_every_element!(scanned_in_place(comm)?);
    Ok(())
}

fn scanned_in_place<T: Value>(comm: &Communicator) -> Outcome {
    let rank = comm.rank();
    for length in lengths_of_ways(comm.size(), size_of::<T>()) {
        let of_ranks = contributions::<T>(comm.size(), length);
        for (_, op, result) in results::<T>(rank.max(1), length).filter(|(_, op, _)| *op != Op::Avg) {
            let mut buffer = of_ranks[rank].clone();
            comm.exscan_in_place(&mut buffer, op)?;
            let expected: &[T] = if rank == 0 { &of_ranks[0] } else { &result };
            assert_same(&buffer, expected, || format!("{op} of {length} elements"));
            covered("exscan_in_place", Some(T::DTYPE), Some(op));
        }
    }
    Ok(())
}

fn every_length(comm: &Communicator) -> Outcome {
    let rank = comm.rank();
    for length in lengths(comm.size(), size_of::<f64>()) {
        let of_ranks = contributions::<f64>(comm.size(), length);
        let mut buffer = untouched::<f64>(length);
        comm.exscan(&of_ranks[rank], &mut buffer, Op::Sum)?;
        let expected = match rank {
            0 => untouched(length),
            _ => folded(Op::Sum, &of_ranks[..rank]).unwrap_or_default(),
        };
        assert_same(&buffer, &expected, || format!("{length} elements"));
    }
    Ok(())
}

fn rank_0_needs_no_buffer(comm: &Communicator) -> Outcome {
    for length in [3, 900, 5000] {
        let own: Vec<i64> = vector(1, comm.rank(), length);
        let mut buffer = vec![0; if comm.rank() == 0 { 0 } else { length }];
        comm.exscan(&own, &mut buffer, Op::Max)?;
        if comm.rank() > 0 {
            let of_ranks: Vec<Vec<i64>> = (0..comm.rank()).map(|rank| vector(1, rank, length)).collect();
            assert_same(&buffer, &folded(Op::Max, &of_ranks).unwrap_or_default(), || {
                format!("{length} elements")
            });
        }
    }
    Ok(())
}

fn pairs_that_do_not_exist(comm: &Communicator) -> Outcome {
    for_every_element!(refused(comm)?);
    Ok(())
}

fn refused<T: Value>(comm: &Communicator) -> Outcome {
    for op in missing_here::<T>() {
        let own: Vec<T> = vector(0, 0, 2);
        let mut buffer: Vec<T> = untouched(2);
        expect_error(comm.exscan(&own, &mut buffer, op), ErrorKind::Unsupported);
        assert_same(&buffer, &untouched(2), || "the buffer".to_owned());
        unsupported("exscan", T::DTYPE, op);
        let mut buffer = own.clone();
        expect_error(comm.exscan_in_place(&mut buffer, op), ErrorKind::Unsupported);
        assert_same(&buffer, &own, || "the buffer".to_owned());
        unsupported("exscan_in_place", T::DTYPE, op);
    }
    Ok(())
}

/// What the tests `coll/exscan` and `exscan2` of MPICH are about: sums whose results are known, of lengths that
/// double, in place too, and rank 0's buffer as it was.
fn mpich_exscan(comm: &Communicator) -> Outcome {
    let rank = comm.rank();
    let mut length = 1;
    while length < 10_000 {
        let own: Vec<i32> = (0..length).map(|index| (rank + index) as i32).collect();
        let sum = |index: usize| (rank * index + rank * rank.saturating_sub(1) / 2) as i32;
        let sums: Vec<i32> = (0..length).map(sum).collect();
        let mut received = vec![-1; length];
        comm.exscan(&own, &mut received, Op::Sum)?;
        let expected = if rank == 0 { vec![-1; length] } else { sums.clone() };
        assert_same(&received, &expected, || format!("{length} elements"));
        let mut buffer = own.clone();
        comm.exscan_in_place(&mut buffer, Op::Sum)?;
        let expected = if rank == 0 { own } else { sums };
        assert_same(&buffer, &expected, || format!("{length} elements in place"));
        length *= 4;
    }
    Ok(())
}
