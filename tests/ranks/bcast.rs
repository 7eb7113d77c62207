//! `bcast`.

use super::common::lengths;
use crate::harness::{Outcome, covered};
use crate::oracle::{Value, assert_same, untouched, vector};
use crate::placed::Communicator;

cases! {
    every_type_length_and_root: 1..=7;
    one_after_the_other: 2..=7;
}

fn every_type_length_and_root(comm: &Communicator) -> Outcome {
    for_every_element!(from_every_root(comm)?);
    Ok(())
}

fn from_every_root<T: Value>(comm: &Communicator) -> Outcome {
    for length in lengths(comm.size(), size_of::<T>()) {
        for root in 0..comm.size() {
            let expected: Vec<T> = vector(length as u64, root, length);
            let mut buffer = if comm.rank() == root {
                expected.clone()
            } else {
                untouched(length)
            };
            comm.bcast(&mut buffer, root)?;
            assert_same(&buffer, &expected, || format!("{length} elements from {root}"));
        }
    }
    covered("bcast", Some(T::DTYPE), None);
    Ok(())
}

fn one_after_the_other(comm: &Communicator) -> Outcome {
    // A rank that is early must not take the data of a later one; roots change, so that some are early.
    for round in 0..100u64 {
        let root = round as usize % comm.size();
        let length = if round % 3 == 0 { 500 } else { 2 };
        let expected: Vec<u64> = vector(round, root, length);
        let mut buffer = if comm.rank() == root {
            expected.clone()
        } else {
            vec![0; length]
        };
        comm.bcast(&mut buffer, root)?;
        assert_eq!(buffer, expected, "round {round}");
    }
    Ok(())
}
