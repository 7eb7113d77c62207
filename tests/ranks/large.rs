//! Long messages and buffers.

use warpcomm::{Blocks, Op, Tag};

use super::common::{next, previous};
use super::ops::Small;
use super::reduce::contributions;
use crate::harness::Outcome;
use crate::oracle::{Value, assert_same, bytes, folded, vector, vectors};
use crate::placed::Communicator;

cases! {
    a_mebibyte_by_the_usual_operations: 3..=3;
    a_mebibyte_by_the_usual_operations_of_five: 5..=5;
    an_odd_number_of_bytes: 2..=4;
    a_message_of_two_gibibytes: 2..=2;
    a_message_of_a_gibi_of_elements: 2..=2;
}

const MEBIBYTE: usize = 1 << 20;

fn a_mebibyte_by_the_usual_operations(comm: &Communicator) -> Outcome {
    usual_operations::<f32>(comm, MEBIBYTE / 4)?;
    usual_operations::<warpcomm::Complex<f64>>(comm, MEBIBYTE / 16)?;
    usual_operations::<half::f16>(comm, MEBIBYTE / 2)
}

fn a_mebibyte_by_the_usual_operations_of_five(comm: &Communicator) -> Outcome {
    usual_operations::<u64>(comm, MEBIBYTE / 8)
}

fn an_odd_number_of_bytes(comm: &Communicator) -> Outcome {
    usual_operations::<u8>(comm, 300_001)
}

fn usual_operations<T: Value>(comm: &Communicator, length: usize) -> Outcome {
    let (rank, size) = (comm.rank(), comm.size());
    let of_ranks = contributions::<T>(size, length);
    let own = &of_ranks[rank];
    let salt = length as u64;

    let mut received = own.clone();
    comm.sendrecv(own, next(comm), Tag(0), &mut received, previous(comm), Tag(0))?;
    assert_same(&received, &of_ranks[previous(comm)], || "sendrecv".to_owned());

    let sum = folded(Op::Sum, &of_ranks).unwrap_or_default();
    comm.allreduce(own, &mut received, Op::Sum)?;
    assert_same(&received, &sum, || "allreduce".to_owned());
    let mut in_place = own.clone();
    comm.allreduce_in_place(&mut in_place, Op::Sum)?;
    assert_same(&in_place, &sum, || "allreduce_in_place".to_owned());

    let root = size - 1;
    received.copy_from_slice(own);
    comm.reduce_in_place(&mut received, Op::Sum, root)?;
    assert_same(&received, if rank == root { &sum } else { own }, || {
        "reduce_in_place".to_owned()
    });
    received.copy_from_slice(own);
    comm.reduce(own, &mut received, Op::Sum, 0)?;
    assert_same(&received, if rank == 0 { &sum } else { own }, || {
        "reduce".to_owned()
    });

    received.copy_from_slice(own);
    comm.bcast(&mut received, 1)?;
    assert_same(&received, &of_ranks[1], || "bcast".to_owned());

    let expected: Vec<T> = vectors(salt, size, length);
    let mut all: Vec<T> = vector(1, 1, size * length);
    comm.allgather(own, &mut all)?;
    assert_same(&all, &expected, || "allgather".to_owned());
    let mut part = own.clone();
    comm.scatter(if rank == 1 { &all[..] } else { &[] }, &mut part, 1)?;
    assert_same(&part, own, || "scatter".to_owned());
    let mut all: Vec<T> = vector(2, 2, size * length);
    comm.gather(own, &mut all, root)?;
    let before = vector(2, 2, size * length);
    assert_same(&all, if rank == root { &expected } else { &before }, || {
        "gather".to_owned()
    });

    let blocks = Blocks::packed((0..size).map(|rank| length - rank * 1000).collect::<Vec<_>>());
    let mut all: Vec<T> = vector(3, 3, blocks.total());
    comm.allgatherv(&own[..blocks.count(rank)], &mut all, &blocks)?;
    for other in 0..size {
        assert_same(
            &all[blocks.range(other)],
            &of_ranks[other][..blocks.count(other)],
            || "allgatherv".to_owned(),
        );
    }
    Ok(())
}

/// More bytes than an `i32` can count.
pub const GIBIBYTES: usize = (1 << 31) + 100;

/// Elements of four bytes that are more bytes than a `u32` can count.
pub const GIBI_OF_ELEMENTS: usize = (1 << 30) + 3;

/// Where a long message is not zero: in every part that it may be cut into, at uneven distances, and around the numbers
/// at which something may overflow.
pub fn marks(length: usize) -> Vec<usize> {
    let around = |power: usize| (power.saturating_sub(2)..power + 2).chain([power + 2]);
    let edges = [0, 1 << 29, 1 << 30, 1 << 31, length]
        .into_iter()
        .flat_map(around);
    let spread = (0..length).step_by((13 << 20) + 7).enumerate();
    let spread = spread.map(|(number, position)| position + number * number);
    let mut marks: Vec<usize> = spread
        .chain(edges)
        .filter(|&position| position < length)
        .collect();
    marks.sort_unstable();
    marks.dedup();
    marks
}

/// The number at a mark, which is its place among the marks.
pub fn mark(number: usize) -> u8 {
    (number % 251) as u8 + 1
}

fn a_message_of_two_gibibytes(comm: &Communicator) -> Outcome {
    arrives_whole::<u8>(comm, GIBIBYTES)
}

fn a_message_of_a_gibi_of_elements(comm: &Communicator) -> Outcome {
    arrives_whole::<f32>(comm, GIBI_OF_ELEMENTS)
}

/// Memory that nobody writes takes no room, so that this needs little more than what one message needs.
fn arrives_whole<T: Small>(comm: &Communicator, length: usize) -> Outcome {
    let mut buffer = vec![T::small(0); length];
    if comm.rank() == 0 {
        for (number, position) in marks(length).into_iter().enumerate() {
            buffer[position] = T::small(mark(number));
        }
        return Ok(comm.send(&buffer, 1, Tag(0))?);
    }
    let status = comm.recv(&mut buffer, 0, Tag(0))?;
    assert_eq!(status.count(), length as u64);
    for (number, position) in marks(length).into_iter().enumerate() {
        let found = std::mem::replace(&mut buffer[position], T::small(0));
        assert_same(&[found], &[T::small(mark(number))], || {
            format!("element {position}")
        });
    }
    assert!(is_zero(&buffer), "elements between the marks");
    Ok(())
}

/// Whether all bits are zero.
pub fn is_zero<T: Value>(elements: &[T]) -> bool {
    let nothing = [0u8; 4096];
    bytes(elements)
        .chunks(nothing.len())
        .all(|chunk| chunk == &nothing[..chunk.len()])
}
