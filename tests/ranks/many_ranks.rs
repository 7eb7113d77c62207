//! Folds of more ranks than one kernel takes inputs, on GPUs.

use half::f16;
use warpcomm::{Algorithm, Communicator};

use super::common::KERNEL_BYTES;
use super::ops::for_each_of;
use super::reduce::{contributions, results};
use crate::harness::{Failure, Outcome, Place};
use crate::oracle::{Value, assert_same};
use crate::placed;

cases! {
    some_types_of_16_ranks: 1..=1, threads;
    every_type_of_17_ranks: 1..=1, threads;
    some_types_of_31_ranks: 1..=1, threads;
    some_types_of_33_ranks: 1..=1, threads;
    some_types_of_64_ranks: 1..=1, threads;
}

fn some_types_of_16_ranks(_: &Communicator) -> Outcome {
    some_types_of(16)
}

fn every_type_of_17_ranks(_: &Communicator) -> Outcome {
    every_type_of(17)
}

fn some_types_of_31_ranks(_: &Communicator) -> Outcome {
    some_types_of(31)
}

fn some_types_of_33_ranks(_: &Communicator) -> Outcome {
    some_types_of(33)
}

fn some_types_of_64_ranks(_: &Communicator) -> Outcome {
    some_types_of(64)
}

fn every_type_of(ranks: usize) -> Outcome {
    of(ranks, |comm| {
        for_every_element!(reduced(comm)?);
        Ok(())
    })
}

/// Of so many ranks simulated GPUs fold for long.
fn some_types_of(ranks: usize) -> Outcome {
    of(ranks, |comm| {
        for_each_of!([f16 f64 u64] reduced(comm)?);
        Ok(())
    })
}

fn of(ranks: usize, case: impl Fn(&placed::Communicator) -> Outcome + Sync) -> Outcome {
    let outcomes = Communicator::threads(ranks, |comm| -> Outcome {
        let stage = placed::stage(Place::Device, &comm)?;
        let comm = comm.with_algorithm("reduce", Algorithm::Direct)?;
        case(&placed::place(comm, &stage, false))
    })?;
    outcomes.into_iter().collect::<Result<(), Failure>>()
}

fn reduced<T: Value>(comm: &placed::Communicator) -> Outcome {
    // More than hosts fold: one rank's GPU folds everything.
    let length = KERNEL_BYTES / size_of::<T>();
    let of_ranks = contributions::<T>(comm.size(), length);
    for (number, op, result) in results::<T>(comm.size(), length) {
        let root = (7 * number + length) % comm.size();
        let mut buffer = of_ranks[comm.rank()].clone();
        comm.reduce_in_place(&mut buffer, op, root)?;
        let expected: &[T] = if comm.rank() == root {
            &result
        } else {
            &of_ranks[comm.rank()]
        };
        assert_same(&buffer, expected, || format!("{op} of {length} elements"));
    }
    Ok(())
}
