//! Ranks that are processes: this program, started again under the launcher that fits.

use std::num::NonZeroUsize;
use std::path::Path;

use warpcomm::{Config, Runtime};

use crate::launcher::{Job, Launcher};
use crate::messages::{Effort, send_all};
use crate::turns::take_turns;
use crate::{Arguments, Failure, mpi_call};

const RANKS: NonZeroUsize = NonZeroUsize::new(2).unwrap();

/// To start processes takes longer than what they measure.
const TURNS: usize = 15;

const ROUNDS: u32 = 200;

/// Measures all of them, and prints what they take.
pub fn compare(arguments: &Arguments) -> Result<(), Failure> {
    let program = std::env::current_exe()?;
    let launcher = Launcher::find(&program, arguments.launcher.as_deref())?;
    let directory = tempfile::tempdir()?;
    let measured = directory.path().join("measured.json");
    let effort = Effort::new(arguments.is_measured(), ROUNDS);
    let turns = if arguments.is_measured() { TURNS } else { 1 };
    let figures = take_turns(turns, effort, |trace| {
        let mut job = Job::new(RANKS, &program);
        let kind = if arguments.is_measured() {
            "--bench"
        } else {
            "--test"
        };
        job.args = vec![kind.into(), "--measured".into(), measured.clone().into()];
        if let Some(file) = trace {
            job.args.extend(["--trace".into(), file.into()]);
        }
        let status = launcher.command(&job).status()?;
        if !status.success() {
            return Err(format!("the job under {launcher} ended with {status}").into());
        }
        Ok(serde_json::from_slice(&std::fs::read(&measured)?)?)
    })?;
    figures.tell(&format!("processes ({launcher})"), arguments.is_measured());
    Ok(())
}

/// Measures as one of the ranks.
pub fn rank(arguments: &Arguments, measured: &Path) -> Result<(), Failure> {
    let runtime = Runtime::init_with(&Config::default().trace(arguments.trace.clone()))?;
    if let Err(error) = measure(&runtime, arguments, measured) {
        // To end MPI properly would be to wait for the other rank, which may be waiting for this one.
        eprintln!("traces: {error}");
        mpi_call::abort();
    }
    Ok(runtime.finalize()?)
}

fn measure(runtime: &Runtime, arguments: &Arguments, measured: &Path) -> Result<(), Failure> {
    let comm = runtime.world()?;
    let taken = send_all(&comm, Effort::new(arguments.is_measured(), ROUNDS))?;
    if comm.rank() == 0 {
        std::fs::write(measured, serde_json::to_vec(&taken)?)?;
    }
    Ok(())
}
