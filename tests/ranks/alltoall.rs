//! `alltoall` and `alltoall_in_place`.

use super::common::lengths;
use crate::harness::{Outcome, covered};
use crate::oracle::{Value, assert_same, untouched, vector};
use crate::placed::Communicator;

cases! {
    every_type_and_length: 1..=7;
    every_type_and_length_in_place: 1..=7;
    no_elements_at_all: 1..=3;
}

/// What `from` sends to `to`.
fn block<T: Value>(from: usize, to: usize, length: usize) -> Vec<T> {
    vector(to as u64 + 100, from, length)
}

fn outgoing<T: Value>(comm: &Communicator, length: usize) -> Vec<T> {
    (0..comm.size())
        .flat_map(|to| block(comm.rank(), to, length))
        .collect()
}

fn incoming<T: Value>(comm: &Communicator, length: usize) -> Vec<T> {
    (0..comm.size())
        .flat_map(|from| block(from, comm.rank(), length))
        .collect()
}

fn every_type_and_length(comm: &Communicator) -> Outcome {
    for_every_element!(exchanged(comm)?);
    Ok(())
}

fn exchanged<T: Value>(comm: &Communicator) -> Outcome {
    const TAIL: usize = 3;
    for length in lengths(comm.size(), size_of::<T>()) {
        let mut buffer: Vec<T> = untouched(comm.size() * length + TAIL);
        let mut expected = buffer.clone();
        expected[..comm.size() * length].copy_from_slice(&incoming(comm, length));
        comm.alltoall(&outgoing::<T>(comm, length), &mut buffer)?;
        assert_same(&buffer, &expected, || format!("{length} elements"));
    }
    covered("alltoall", Some(T::DTYPE), None);
    Ok(())
}

fn every_type_and_length_in_place(comm: &Communicator) -> Outcome {
    for_every_element!(exchanged_in_place(comm)?);
    Ok(())
}

fn exchanged_in_place<T: Value>(comm: &Communicator) -> Outcome {
    for length in lengths(comm.size(), size_of::<T>()) {
        let mut buffer: Vec<T> = outgoing(comm, length);
        comm.alltoall_in_place(&mut buffer)?;
        assert_same(&buffer, &incoming(comm, length), || format!("{length} elements"));
    }
    covered("alltoall_in_place", Some(T::DTYPE), None);
    Ok(())
}

fn no_elements_at_all(comm: &Communicator) -> Outcome {
    let mut nothing: [f32; 0] = [];
    comm.alltoall(&[0f32; 0], &mut nothing)?;
    comm.alltoall_in_place(&mut nothing)?;
    Ok(())
}
