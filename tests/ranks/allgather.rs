//! `allgather` and `allgather_in_place`.

use super::common::lengths;
use crate::harness::{Outcome, covered};
use crate::oracle::{Value, assert_same, untouched, vector, vectors};
use crate::placed::Communicator;

cases! {
    every_type_and_length: 1..=7;
    every_type_and_length_in_place: 1..=7;
}

fn every_type_and_length(comm: &Communicator) -> Outcome {
    for_every_element!(gathered(comm)?);
    Ok(())
}

fn gathered<T: Value>(comm: &Communicator) -> Outcome {
    const TAIL: usize = 2;
    let size = comm.size();
    for length in lengths(size, size_of::<T>()) {
        let salt = length as u64;
        let own: Vec<T> = vector(salt, comm.rank(), length);
        let mut all: Vec<T> = untouched(size * length + TAIL);
        comm.allgather(&own, &mut all)?;
        assert_same(&all[..size * length], &vectors(salt, size, length), || {
            format!("{length} elements")
        });
        assert_same(
            &all[size * length..],
            &untouched(all.len())[size * length..],
            || "the tail".to_owned(),
        );
    }
    covered("allgather", Some(T::DTYPE), None);
    Ok(())
}

fn every_type_and_length_in_place(comm: &Communicator) -> Outcome {
    for_every_element!(gathered_in_place(comm)?);
    Ok(())
}

fn gathered_in_place<T: Value>(comm: &Communicator) -> Outcome {
    let (rank, size) = (comm.rank(), comm.size());
    for length in lengths(size, size_of::<T>()) {
        let salt = length as u64;
        let mut all: Vec<T> = untouched(size * length);
        all[rank * length..][..length].copy_from_slice(&vector(salt, rank, length));
        comm.allgather_in_place(&mut all)?;
        assert_same(&all, &vectors(salt, size, length), || {
            format!("{length} elements")
        });
    }
    covered("allgather_in_place", Some(T::DTYPE), None);
    Ok(())
}
