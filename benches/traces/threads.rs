//! Ranks that are threads of this process.

use std::path::PathBuf;
use std::time::Duration;

use warpcomm::{Communicator, Config};

use crate::messages::{Effort, send_all};
use crate::turns::take_turns;
use crate::{Arguments, Failure};

const TURNS: usize = 40;

const ROUNDS: u32 = 100;

/// Measures all of them, and prints what they take.
pub fn compare(arguments: &Arguments) -> Result<(), Failure> {
    let effort = Effort::new(arguments.is_measured(), ROUNDS);
    let turns = if arguments.is_measured() { TURNS } else { 1 };
    let figures = take_turns(turns, effort, |trace| launch(trace, effort))?;
    figures.tell("threads", arguments.is_measured());
    Ok(())
}

fn launch(trace: Option<PathBuf>, effort: Effort) -> Result<Vec<Vec<Duration>>, Failure> {
    let config = Config::default().trace(trace);
    let outcomes = Communicator::threads_with(&config, 2, |comm| send_all(&comm, effort))?;
    let outcomes = outcomes.into_iter().collect::<warpcomm::Result<Vec<_>>>()?;
    Ok(outcomes.into_iter().next().unwrap_or_default())
}
