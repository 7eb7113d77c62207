//! `gather` and `gather_in_place`.

use super::common::lengths;
use crate::harness::{Outcome, covered};
use crate::oracle::{Value, assert_same, untouched, vector, vectors};
use crate::placed::Communicator;

cases! {
    every_type_length_and_root: 1..=7;
    every_type_length_and_root_in_place: 1..=7;
    other_ranks_need_no_buffer: 1..=7;
}

fn every_type_length_and_root(comm: &Communicator) -> Outcome {
    for_every_element!(to_every_root(comm)?);
    Ok(())
}

fn to_every_root<T: Value>(comm: &Communicator) -> Outcome {
    const TAIL: usize = 3;
    let size = comm.size();
    for length in lengths(size, size_of::<T>()) {
        let salt = length as u64;
        let own: Vec<T> = vector(salt, comm.rank(), length);
        let all: Vec<T> = vectors(salt, size, length);
        let before: Vec<T> = untouched(size * length + TAIL);
        for root in 0..size {
            let mut gathered = before.clone();
            comm.gather(&own, &mut gathered, root)?;
            let mut expected = before.clone();
            if comm.rank() == root {
                expected[..size * length].copy_from_slice(&all);
            }
            assert_same(&gathered, &expected, || format!("{length} elements to {root}"));
        }
    }
    covered("gather", Some(T::DTYPE), None);
    Ok(())
}

fn every_type_length_and_root_in_place(comm: &Communicator) -> Outcome {
    for_every_element!(in_place_to_every_root(comm)?);
    Ok(())
}

fn in_place_to_every_root<T: Value>(comm: &Communicator) -> Outcome {
    let (rank, size) = (comm.rank(), comm.size());
    for length in lengths(size, size_of::<T>()) {
        let salt = length as u64;
        let own: Vec<T> = vector(salt, rank, length);
        for root in 0..size {
            if rank == root {
                let mut all: Vec<T> = untouched(size * length);
                all[rank * length..][..length].copy_from_slice(&own);
                comm.gather_in_place(&mut all, root)?;
                assert_same(&all, &vectors(salt, size, length), || {
                    format!("{length} elements to {root}")
                });
            } else {
                let mut buffer = own.clone();
                comm.gather_in_place(&mut buffer, root)?;
                assert_same(&buffer, &own, || format!("{length} elements, not the root"));
            }
        }
    }
    covered("gather_in_place", Some(T::DTYPE), None);
    Ok(())
}

fn other_ranks_need_no_buffer(comm: &Communicator) -> Outcome {
    for length in [2, 3000] {
        let own: Vec<f64> = vector(1, comm.rank(), length);
        let root = comm.size() - 1;
        let mut gathered = vec![
            0.0;
            if comm.rank() == root {
                comm.size() * length
            } else {
                0
            }
        ];
        comm.gather(&own, &mut gathered, root)?;
        if comm.rank() == root {
            assert_same(&gathered, &vectors(1, comm.size(), length), || {
                format!("{length} elements")
            });
        }
    }
    Ok(())
}
