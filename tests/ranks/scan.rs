//! `scan` and `scan_in_place`.

use warpcomm::{ErrorKind, Op};

use super::common::lengths;
use super::reduce::{contributions, lengths_of_ways, missing, results};
use crate::harness::{Outcome, covered, expect_error, is_plain, unsupported};
use crate::oracle::{Value, assert_same, folded, untouched, vector};
use crate::placed::Communicator;

cases! {
    every_type_and_op: 1..=7;
    every_type_and_op_in_place: 1..=7;
    every_length: 1..=7;
    the_last_has_the_bits_of_allreduce: 1..=7;
    pairs_that_do_not_exist: 1..=7;
}

/// The operations that a type does not have here.
pub fn missing_here<T: Value>() -> impl Iterator<Item = Op> {
    missing::<T>().filter(|op| *op != Op::Avg).chain([Op::Avg])
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
        for (_, op, result) in results::<T>(rank + 1, length).filter(|(_, op, _)| *op != Op::Avg) {
            let mut buffer: Vec<T> = untouched(length + TAIL);
            let mut expected = buffer.clone();
            expected[..length].copy_from_slice(&result);
            comm.scan(&of_ranks[rank], &mut buffer, op)?;
            assert_same(&buffer, &expected, || format!("{op} of {length} elements"));
            covered("scan", Some(T::DTYPE), Some(op));
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
        for (_, op, result) in results::<T>(rank + 1, length).filter(|(_, op, _)| *op != Op::Avg) {
            let mut buffer = of_ranks[rank].clone();
            comm.scan_in_place(&mut buffer, op)?;
            assert_same(&buffer, &result, || format!("{op} of {length} elements"));
            covered("scan_in_place", Some(T::DTYPE), Some(op));
        }
    }
    Ok(())
}

fn every_length(comm: &Communicator) -> Outcome {
    let rank = comm.rank();
    for length in lengths(comm.size(), size_of::<f64>()) {
        let of_ranks = contributions::<f64>(comm.size(), length);
        let mut buffer = untouched::<f64>(length);
        comm.scan(&of_ranks[rank], &mut buffer, Op::Sum)?;
        let result = folded(Op::Sum, &of_ranks[..=rank]).unwrap_or_default();
        assert_same(&buffer, &result, || format!("{length} elements"));
    }
    Ok(())
}

fn the_last_has_the_bits_of_allreduce(comm: &Communicator) -> Outcome {
    if is_plain() {
        // MPI has no such sums.
        return Ok(());
    }
    for length in [5, 500, 9000] {
        let own: Vec<half::bf16> = vector(1, comm.rank(), length);
        let (mut scanned, mut all) = (own.clone(), own);
        comm.scan_in_place(&mut scanned, Op::Sum)?;
        comm.allreduce_in_place(&mut all, Op::Sum)?;
        if comm.rank() == comm.size() - 1 {
            assert_same(&scanned, &all, || format!("{length} elements"));
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
        expect_error(comm.scan(&own, &mut buffer, op), ErrorKind::Unsupported);
        assert_same(&buffer, &untouched(2), || "the buffer".to_owned());
        unsupported("scan", T::DTYPE, op);
        let mut buffer = own.clone();
        expect_error(comm.scan_in_place(&mut buffer, op), ErrorKind::Unsupported);
        assert_same(&buffer, &own, || "the buffer".to_owned());
        unsupported("scan_in_place", T::DTYPE, op);
    }
    Ok(())
}
