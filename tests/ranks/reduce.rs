//! `reduce` and `reduce_in_place`.

use std::sync::Arc;

use warpcomm::{ErrorKind, Op};

use super::common::{KERNEL_BYTES, LARGE_BYTES, few_lengths, lengths, thinned};
use crate::harness::{Outcome, Place, covered, expect_error, is_plain, place, unsupported};
use crate::oracle::{Value, assert_same, folded, mpi_has, once, tame_vector, untouched, vector};
use crate::placed::Communicator;

cases! {
    every_type_and_op: 1..=7;
    every_type_and_op_in_place: 1..=7;
    every_length_and_root: 1..=7;
    pairs_that_do_not_exist: 1..=7;
    pairs_that_do_not_exist_in_place: 1..=7;
    other_ranks_need_no_buffer: 1..=7;
    mpich_red: 1..=7;
}

/// What all ranks contribute: on plain communicators, where MPI reduces in its own way, elements with which that
/// makes no difference.
pub fn contributions<T: Value>(ranks: usize, length: usize) -> Arc<Vec<Vec<T>>> {
    let of_rank = |rank| match is_plain() {
        true => tame_vector(length as u64, rank, length),
        false => vector(length as u64, rank, length),
    };
    once("contributions", ranks, length, || {
        (0..ranks).map(of_rank).collect()
    })
}

/// The operations that the type has, with their results of these [`contributions`]; of long vectors for some of them only.
pub fn results<T: Value>(ranks: usize, length: usize) -> impl Iterator<Item = (usize, Op, Arc<[T]>)> {
    let results = once("results", ranks, length, || {
        computed(&contributions(ranks, length)).collect::<Vec<_>>()
    });
    (0..results.len()).map(move |at| results[at].clone())
}

fn computed<T: Value>(of_ranks: &[Vec<T>]) -> impl Iterator<Item = (usize, Op, Arc<[T]>)> {
    let is_long = of_ranks[0].len() * size_of::<T>() >= LARGE_BYTES;
    let missing: Vec<Op> = missing::<T>().collect();
    let ops = Op::ALL.iter().copied().enumerate();
    let ops = ops.filter(move |(number, op)| !missing.contains(op) && (!is_long || number % 4 == 0));
    ops.filter_map(|(number, op)| Some((number, op, folded(op, of_ranks)?.into())))
}

/// The operations that the type does not have.
pub fn missing<T: Value>() -> impl Iterator<Item = Op> {
    let one: Vec<T> = vector(0, 0, 1);
    Op::ALL
        .iter()
        .copied()
        .filter(move |op| T::fold(*op, &one).is_none() || is_plain() && !mpi_has(*op, T::DTYPE))
}

/// Lengths for every way in which a reduction can go.
pub fn lengths_of_ways(ranks: usize, element_bytes: usize) -> Vec<usize> {
    let mut lengths = few_lengths(ranks, element_bytes);
    lengths.push(LARGE_BYTES / element_bytes + 1);
    if place() != Place::Host {
        lengths.push(KERNEL_BYTES / element_bytes);
    }
    thinned(lengths, ranks, element_bytes)
}

fn every_type_and_op(comm: &Communicator) -> Outcome {
    for_every_element!(reduced(comm)?);
    Ok(())
}

fn reduced<T: Value>(comm: &Communicator) -> Outcome {
    const TAIL: usize = 2;
    for length in lengths_of_ways(comm.size(), size_of::<T>()) {
        let of_ranks = contributions::<T>(comm.size(), length);
        for (number, op, result) in results::<T>(comm.size(), length) {
            let root = (number + length) % comm.size();
            let mut buffer: Vec<T> = untouched(length + TAIL);
            comm.reduce(&of_ranks[comm.rank()], &mut buffer, op, root)?;
            let mut expected: Vec<T> = untouched(length + TAIL);
            if comm.rank() == root {
                expected[..length].copy_from_slice(&result);
            }
            assert_same(&buffer, &expected, || {
                format!("{op} of {length} elements to {root}")
            });
            covered("reduce", Some(T::DTYPE), Some(op));
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
        for (number, op, result) in results::<T>(comm.size(), length) {
            let root = (number + length) % comm.size();
            let mut buffer = of_ranks[comm.rank()].clone();
            comm.reduce_in_place(&mut buffer, op, root)?;
            let expected: &[T] = if comm.rank() == root {
                &result
            } else {
                &of_ranks[comm.rank()]
            };
            assert_same(&buffer, expected, || {
                format!("{op} of {length} elements to {root}")
            });
            covered("reduce_in_place", Some(T::DTYPE), Some(op));
        }
    }
    Ok(())
}

fn every_length_and_root(comm: &Communicator) -> Outcome {
    for length in lengths(comm.size(), size_of::<f32>()) {
        let of_ranks = contributions::<f32>(comm.size(), length);
        let result = folded(Op::Sum, &of_ranks).unwrap_or_default();
        for root in 0..comm.size() {
            let mut buffer = untouched::<f32>(length);
            comm.reduce(&of_ranks[comm.rank()], &mut buffer, Op::Sum, root)?;
            let expected = if comm.rank() == root {
                result.clone()
            } else {
                untouched(length)
            };
            assert_same(&buffer, &expected, || format!("{length} elements to {root}"));
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
        let mut buffer: Vec<T> = untouched(2);
        let outcome = comm.reduce(&vector::<T>(0, 0, 2), &mut buffer, op, 0);
        expect_error(outcome, ErrorKind::Unsupported);
        assert_same(&buffer, &untouched(2), || "the buffer".to_owned());
        unsupported("reduce", T::DTYPE, op);
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
        expect_error(comm.reduce_in_place(&mut buffer, op, 0), ErrorKind::Unsupported);
        assert_same(&buffer, &untouched(2), || "the buffer".to_owned());
        unsupported("reduce_in_place", T::DTYPE, op);
    }
    Ok(())
}

fn other_ranks_need_no_buffer(comm: &Communicator) -> Outcome {
    for length in [3, 900, 5000] {
        let of_ranks = contributions::<f64>(comm.size(), length);
        let root = comm.size() / 2;
        let mut buffer = vec![0.0; if comm.rank() == root { length } else { 0 }];
        comm.reduce(&of_ranks[comm.rank()], &mut buffer, Op::Max, root)?;
        if comm.rank() == root {
            let result = folded(Op::Max, &of_ranks).unwrap_or_default();
            assert_same(&buffer, &result, || format!("{length} elements"));
        }
    }
    Ok(())
}

/// What the test `coll/reduce` of MPICH is about: sums whose results are known, to every root, of lengths that grow.
fn mpich_red(comm: &Communicator) -> Outcome {
    let size = comm.size() as i32;
    for root in 0..comm.size() {
        for length in [1, 8, 64, 512, 4096] {
            let own: Vec<i32> = (0..length).collect();
            let mut received = vec![-1; own.len()];
            comm.reduce(&own, &mut received, Op::Sum, root)?;
            let expected: Vec<i32> = match comm.rank() == root {
                true => own.iter().map(|index| size * index).collect(),
                false => vec![-1; own.len()],
            };
            assert_same(&received, &expected, || format!("{length} elements to {root}"));
        }
    }
    Ok(())
}
