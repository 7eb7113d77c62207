//! `allreduce` and `allreduce_in_place`.

use warpcomm::{ErrorKind, Op};

use super::common::lengths;
use super::ops::{Small, for_each_of};
use super::reduce::{contributions, lengths_of_ways, missing, results};
use crate::harness::{Outcome, covered, expect_error, unsupported};
use crate::oracle::{Value, assert_same, folded, untouched, vector};
use crate::placed::Communicator;

cases! {
    every_type_and_op: 1..=7;
    every_type_and_op_in_place: 1..=7;
    every_length: 1..=7;
    pairs_that_do_not_exist: 1..=7;
    pairs_that_do_not_exist_in_place: 1..=7;
    the_remainder_is_kept: 1..=7;
    mpich_allred: 1..=7;
}

fn every_type_and_op(comm: &Communicator) -> Outcome {
    for_every_element!(reduced(comm)?);
    Ok(())
}

fn reduced<T: Value>(comm: &Communicator) -> Outcome {
    const TAIL: usize = 2;
    for length in lengths_of_ways(comm.size(), size_of::<T>()) {
        let of_ranks = contributions::<T>(comm.size(), length);
        for (_, op, result) in results::<T>(comm.size(), length) {
            let mut buffer: Vec<T> = untouched(length + TAIL);
            comm.allreduce(&of_ranks[comm.rank()], &mut buffer, op)?;
            assert_same(&buffer[..length], &result, || {
                format!("{op} of {length} elements")
            });
            assert_same(&buffer[length..], &untouched(length + TAIL)[length..], || {
                "the tail".to_owned()
            });
            covered("allreduce", Some(T::DTYPE), Some(op));
        }
    }
    Ok(())
}

fn every_type_and_op_in_place(comm: &Communicator) -> Outcome {
    for_every_element!(reduced_in_place(comm)?);
    Ok(())
}

fn reduced_in_place<T: Value>(comm: &Communicator) -> Outcome {
    for length in lengths_of_ways(comm.size(), size_of::<T>()) {
        let of_ranks = contributions::<T>(comm.size(), length);
        for (_, op, result) in results::<T>(comm.size(), length) {
            let mut buffer = of_ranks[comm.rank()].clone();
            comm.allreduce_in_place(&mut buffer, op)?;
            assert_same(&buffer, &result, || format!("{op} of {length} elements"));
            covered("allreduce_in_place", Some(T::DTYPE), Some(op));
        }
    }
    Ok(())
}

fn every_length(comm: &Communicator) -> Outcome {
    for length in lengths(comm.size(), size_of::<f64>()) {
        let of_ranks = contributions::<f64>(comm.size(), length);
        let mut buffer = untouched::<f64>(length);
        comm.allreduce(&of_ranks[comm.rank()], &mut buffer, Op::Sum)?;
        let result = folded(Op::Sum, &of_ranks).unwrap_or_default();
        assert_same(&buffer, &result, || format!("{length} elements"));
    }
    Ok(())
}

fn pairs_that_do_not_exist(comm: &Communicator) -> Outcome {
    for_every_element!(refused(comm)?);
    Ok(())
}

fn refused<T: Value>(comm: &Communicator) -> Outcome {
    for op in missing::<T>() {
        let mut buffer: Vec<T> = untouched(2);
        expect_error(
            comm.allreduce(&vector::<T>(0, 0, 2), &mut buffer, op),
            ErrorKind::Unsupported,
        );
        assert_same(&buffer, &untouched(2), || "the buffer".to_owned());
        unsupported("allreduce", T::DTYPE, op);
    }
    Ok(())
}

fn pairs_that_do_not_exist_in_place(comm: &Communicator) -> Outcome {
    for_every_element!(refused_in_place(comm)?);
    Ok(())
}

fn refused_in_place<T: Value>(comm: &Communicator) -> Outcome {
    for op in missing::<T>() {
        let mut buffer: Vec<T> = untouched(2);
        expect_error(comm.allreduce_in_place(&mut buffer, op), ErrorKind::Unsupported);
        assert_same(&buffer, &untouched(2), || "the buffer".to_owned());
        unsupported("allreduce_in_place", T::DTYPE, op);
    }
    Ok(())
}

fn the_remainder_is_kept(comm: &Communicator) -> Outcome {
    // Blocks of a length that the ranks do not divide lose nothing.
    let own: Vec<u64> = (0..4096)
        .map(|number| {
            if number % comm.size() == comm.rank() {
                number as u64
            } else {
                0
            }
        })
        .collect();
    let mut sums = vec![0; 4096];
    comm.allreduce(&own, &mut sums, Op::Sum)?;
    assert_eq!(sums.iter().sum::<u64>(), 8_386_560);
    Ok(())
}

/// What the tests `coll/allred` and `allred2` of MPICH are about: results that are known, of every type of numbers, out
/// of place and in place.
fn mpich_allred(comm: &Communicator) -> Outcome {
    for_each_of!([i8 i16 i32 i64 u8 u16 u32 u64 half::f16 half::bf16 f32 f64] known(comm)?);
    Ok(())
}

fn known<T: Small>(comm: &Communicator) -> Outcome {
    let (rank, size) = (comm.rank() as u8, comm.size() as u8);
    for length in [10, 1000] {
        // So small that every type has the results.
        let vector = |of: &dyn Fn(u8) -> u8| -> Vec<T> {
            (0..length)
                .map(|index| T::small(of((index % 10) as u8)))
                .collect()
        };
        let check = |op: Op, own: Vec<T>, expected: Vec<T>| -> Outcome {
            let mut result: Vec<T> = untouched(own.len());
            comm.allreduce(&own, &mut result, op)?;
            assert_same(&result, &expected, || format!("{op} of {length} elements"));
            let mut buffer = own;
            comm.allreduce_in_place(&mut buffer, op)?;
            assert_same(&buffer, &expected, || {
                format!("{op} of {length} elements in place")
            });
            Ok(())
        };
        check(Op::Sum, vector(&|index| index), vector(&|index| size * index))?;
        check(
            Op::Max,
            vector(&|index| rank + index),
            vector(&|index| size - 1 + index),
        )?;
        check(Op::Min, vector(&|index| rank + index), vector(&|index| index))?;
        let power = |index: u8| (index % 2 + 1).pow(size.into());
        check(Op::Prod, vector(&|index| index % 2 + 1), vector(&power))?;
    }
    Ok(())
}
