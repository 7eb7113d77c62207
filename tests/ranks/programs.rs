//! Random programs, which agree with a sequential model.

use crate::harness::{Failure, Outcome, Place, place};
use crate::placed::Communicator;
use crate::random_programs::{Program, difference, execute, expected};

cases! {
    agree_with_the_model: 2..=4;
}

fn agree_with_the_model(comm: &Communicator) -> Outcome {
    let count = std::env::var("WARPCOMM_TEST_PROGRAMS")
        .ok()
        .and_then(|text| text.parse().ok())
        // Simulated GPUs take their time.
        .unwrap_or(if place() == Place::Host { 100 } else { 30 });
    for seed in 0..count {
        let steps = 1 + seed as usize % 30;
        let program = Program::new(seed, comm.size(), steps, comm.wire());
        println!("seed {seed}, {steps} steps");
        let told = |why: String| {
            Failure(format!(
                "seed {seed}, {} ranks, {steps} steps\n{why}\n{program:#?}",
                program.ranks()
            ))
        };
        let world = comm.duplicate()?;
        let seen = execute(&program, &world).map_err(|error| told(format!("{error:?}")))?;
        if let Some(difference) = difference(&seen, &expected(&program, comm.rank())) {
            return Err(told(difference));
        }
    }
    Ok(())
}
