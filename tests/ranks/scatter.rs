//! `scatter` and `scatter_in_place`.

use super::common::lengths;
use crate::harness::{Outcome, covered};
use crate::oracle::{Value, assert_same, untouched, vector, vectors};
use crate::placed::Communicator;

cases! {
    every_type_length_and_root: 1..=7;
    every_type_length_and_root_in_place: 1..=7;
}

fn every_type_length_and_root(comm: &Communicator) -> Outcome {
    for_every_element!(from_every_root(comm)?);
    Ok(())
}

fn from_every_root<T: Value>(comm: &Communicator) -> Outcome {
    let size = comm.size();
    for length in lengths(size, size_of::<T>()) {
        let salt = length as u64;
        let all: Vec<T> = vectors(salt, size, length);
        for root in 0..size {
            let send = if comm.rank() == root { &all[..] } else { &[] };
            let mut own: Vec<T> = untouched(length);
            comm.scatter(send, &mut own, root)?;
            assert_same(&own, &vector(salt, comm.rank(), length), || {
                format!("{length} elements from {root}")
            });
        }
    }
    covered("scatter", Some(T::DTYPE), None);
    Ok(())
}

fn every_type_length_and_root_in_place(comm: &Communicator) -> Outcome {
    for_every_element!(in_place_from_every_root(comm)?);
    Ok(())
}

fn in_place_from_every_root<T: Value>(comm: &Communicator) -> Outcome {
    let size = comm.size();
    for length in lengths(size, size_of::<T>()) {
        let salt = length as u64;
        let all: Vec<T> = vectors(salt, size, length);
        for root in 0..size {
            if comm.rank() == root {
                let mut buffer = all.clone();
                comm.scatter_in_place(&mut buffer, root)?;
                assert_same(&buffer, &all, || format!("{length} elements, the root"));
            } else {
                let mut own: Vec<T> = untouched(length);
                comm.scatter_in_place(&mut own, root)?;
                assert_same(&own, &vector(salt, comm.rank(), length), || {
                    format!("{length} elements from {root}")
                });
            }
        }
    }
    covered("scatter_in_place", Some(T::DTYPE), None);
    Ok(())
}
