//! `barrier`.

use std::fs::{self, File};

use crate::harness::{Outcome, covered, job_directory};
use crate::placed::Communicator;

cases! {
    nobody_leaves_before_everybody_has_come: 1..=7;
    many_in_a_row: 1..=7;
}

fn nobody_leaves_before_everybody_has_come(comm: &Communicator) -> Outcome {
    // Files are seen by all ranks at once, whatever the library does.
    let directory = job_directory().join("barrier");
    fs::create_dir_all(&directory)?;
    let path = |round: usize, rank: usize| directory.join(format!("{round}-{rank}"));
    for round in 0..20 {
        File::create(path(round, comm.rank()))?;
        comm.barrier()?;
        for rank in 0..comm.size() {
            assert!(
                path(round, rank).exists(),
                "round {round}: rank {rank} had not come"
            );
        }
    }
    covered("barrier", None, None);
    Ok(())
}

fn many_in_a_row(comm: &Communicator) -> Outcome {
    for _ in 0..1000 {
        comm.barrier()?;
    }
    Ok(())
}
