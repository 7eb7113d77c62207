//! Folds of more ranks than one kernel takes inputs, on GPUs.

use warpcomm::{Communicator, Op};

use super::common::FRAME_BYTES;
use super::reduce::{contributions, results};
use crate::harness::{Failure, Outcome, Place};
use crate::oracle::{Value, assert_same};
use crate::placed;

cases! {
    every_type_and_op_of_16_ranks: 1..=1, threads;
    every_type_and_op_of_17_ranks: 1..=1, threads;
    every_type_and_op_of_31_ranks: 1..=1, threads;
    every_type_and_op_of_33_ranks: 1..=1, threads;
    every_type_and_op_of_64_ranks: 1..=1, threads;
}

fn every_type_and_op_of_16_ranks(_: &Communicator) -> Outcome {
    of(16)
}

fn every_type_and_op_of_17_ranks(_: &Communicator) -> Outcome {
    of(17)
}

fn every_type_and_op_of_31_ranks(_: &Communicator) -> Outcome {
    of(31)
}

fn every_type_and_op_of_33_ranks(_: &Communicator) -> Outcome {
    of(33)
}

fn every_type_and_op_of_64_ranks(_: &Communicator) -> Outcome {
    of(64)
}

fn of(ranks: usize) -> Outcome {
    let outcomes = Communicator::threads(ranks, |comm| -> Outcome {
        let stage = placed::stage(Place::Device, &comm)?;
        let comm = placed::place(comm, &stage, false);
        for_every_element!(reduced(&comm)?);
        Ok(())
    })?;
    outcomes.into_iter().collect::<Result<(), Failure>>()
}

fn reduced<T: Value>(comm: &placed::Communicator) -> Outcome {
    // Just more than fits into frames, which the host folds: one rank's GPU folds everything.
    let length = FRAME_BYTES / size_of::<T>() + 1;
    let of_ranks = contributions::<T>(comm.size(), length);
    for (number, op, result) in results(&of_ranks) {
        let root = (7 * number + length) % comm.size();
        let mut buffer = of_ranks[comm.rank()].clone();
        comm.reduce_in_place(&mut buffer, op, root)?;
        let expected = if comm.rank() == root {
            &result
        } else {
            &of_ranks[comm.rank()]
        };
        assert_same(&buffer, expected, || format!("{op} of {length} elements"));
        if op == Op::Sum || op == Op::MaxLoc {
            let mut buffer = of_ranks[comm.rank()].clone();
            comm.allreduce_in_place(&mut buffer, op)?;
            assert_same(&buffer, &result, || {
                format!("{op} of {length} elements, everywhere")
            });
        }
    }
    Ok(())
}
