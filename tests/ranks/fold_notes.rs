//! Folds by kernels whose ranks cannot send each other what they have to tell.

use std::sync::Arc;
use std::time::Duration;

use warpcomm::cudarc::driver::CudaStream;
use warpcomm::{Communicator, Config, DeviceBuffer, ErrorKind, Fault, FaultAction, Op, Result};

use super::simulated::Simulated;
use crate::harness::Outcome;
use crate::oracle::{assert_same, folded, vector};

cases! {
    a_note_of_a_led_fold_that_fails_twice: 1..=1, threads;
    a_note_of_a_fold_of_all_that_fails_twice: 1..=1, threads;
}

const RANKS: usize = 3;
const LENGTH: usize = 2_501;

/// Messages of a rank before its notes: the frames in which the ranks agree.
const FRAMES: u64 = RANKS as u64 - 1;

/// More notes than a rank sends.
const MANY: u64 = 20;

/// Whose GPU a rank's buffer is on.
#[derive(Clone, Copy)]
enum Where<'a> {
    /// That of one communicator, for all ranks.
    Of(&'a Communicator),
    Own,
}

impl Where<'_> {
    fn stream(self, comm: &Communicator) -> Result<Arc<CudaStream>> {
        let device = match self {
            Where::Of(other) => other.device()?,
            Where::Own => comm.device()?,
        };
        Ok(device.new_stream().expect("a stream"))
    }
}

/// What every rank has.
fn of_ranks(ranks: usize) -> Vec<Vec<f32>> {
    (0..ranks).map(|rank| vector(1, rank, LENGTH)).collect()
}

/// Adds up what the ranks have; what it brings is right.
fn summed(comm: &Communicator, place: Where<'_>) -> Result<()> {
    let all = of_ranks(comm.size());
    let stream = place.stream(comm)?;
    let mut buffer = DeviceBuffer::from_slice(&stream, &all[comm.rank()])?;
    comm.allreduce_in_place(&mut buffer, Op::Sum)?;
    let expected = folded(Op::Sum, &all).unwrap_or_default();
    assert_same(&buffer.to_vec()?, &expected, || "what was folded".to_owned());
    Ok(())
}

fn a_note_of_a_led_fold_that_fails_twice(comm: &Communicator) -> Outcome {
    with_every_note(Where::Of(comm), 1)
}

fn a_note_of_a_fold_of_all_that_fails_twice(_: &Communicator) -> Outcome {
    with_every_note(Where::Own, RANKS as u64)
}

/// Has each note of each rank fail, at both tries, in a fold that takes so many kernels.
fn with_every_note(place: Where<'_>, kernels: u64) -> Outcome {
    // Nobody needs the deadline: it only ends a test that fails.
    let config = Config::default().timeout(Duration::from_secs(20));
    let driver = Simulated::load()?;
    let before = driver.count("launch");
    let outcomes = Communicator::threads_with(&config, RANKS, |comm| summed(&comm, place))?;
    outcomes.into_iter().collect::<Result<Vec<()>>>()?;
    assert_eq!(driver.count("launch") - before, kernels);
    for faulty in 0..RANKS {
        for message in FRAMES + 1.. {
            assert!(message < MANY, "every message of rank {faulty} ends in an error");
            let name = format!("message {message} of rank {faulty}");
            println!("{name}");
            let fault = |message| Fault::new(FaultAction::Fail, message, Some(faulty));
            let config = config.clone().fault(fault(message)).fault(fault(message + 1));
            let mut outcomes = Communicator::threads_with(&config, RANKS, |comm| {
                let outcome = summed(&comm, place);
                let is_poisoned = comm.rank() == faulty && outcome.is_err();
                (outcome, is_poisoned.then(|| comm.barrier()))
            })?;
            let (own, after) = outcomes.remove(faulty);
            for (outcome, _) in outcomes {
                if let Err(error) = outcome {
                    assert_eq!(error.kind(), ErrorKind::PeerFailed, "{name}: {error}");
                    assert!(own.is_err(), "{name}: {error}");
                }
            }
            let Err(error) = own else { break };
            assert_eq!(error.kind(), ErrorKind::Mpi, "{name}: {error}");
            let error = after.and_then(Result::err);
            let text = error.map_or(String::new(), |error| error.to_string());
            assert!(text.contains("poisoned"), "{name}, afterwards: {text}");
        }
    }
    Ok(())
}
