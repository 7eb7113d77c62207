//! Ranks that are processes: this program, started again under the launcher that fits.

use std::num::NonZeroUsize;
use std::path::Path;

use warpcomm::Runtime;

use crate::launcher::{Job, Launcher};
use crate::measured::Measured;
use crate::plan::Plan;
use crate::{Arguments, Failure, cases, mpi_call};

/// Starts the ranks; what they have measured.
pub fn start(arguments: &Arguments, plan: &Plan) -> Result<Measured, Failure> {
    let program = std::env::current_exe()?;
    let launcher = Launcher::find(&program, arguments.launcher.as_deref())?;
    let scratch = tempfile::tempdir()?;
    let [plan_file, measured] = ["plan", "measured"].map(|name| scratch.path().join(name));
    std::fs::write(&plan_file, serde_json::to_vec(plan)?)?;
    let mut job = Job::new(NonZeroUsize::new(arguments.ranks()).ok_or("no ranks")?, program);
    let words = ["--part", "rank", "--plan"].map(Into::into);
    job.args = words.into();
    job.args
        .extend([plan_file.into(), "--measured".into(), measured.clone().into()]);
    let status = launcher.command(&job).status()?;
    if !status.success() {
        return Err(format!("the job under {launcher} ended with {status}").into());
    }
    Ok(serde_json::from_slice(&std::fs::read(&measured)?)?)
}

/// Measures as one of the ranks; the master leaves it in a file.
pub fn rank(plan: &Plan, file: &Path) -> Result<(), Failure> {
    let runtime = Runtime::init()?;
    if let Err(error) = measure(&runtime, plan, file) {
        // To end MPI properly would be to wait for the other ranks, which may be waiting for this one.
        eprintln!("pool: {error}");
        mpi_call::abort();
    }
    Ok(runtime.finalize()?)
}

fn measure(runtime: &Runtime, plan: &Plan, file: &Path) -> Result<(), Failure> {
    match cases::measure(&runtime.world()?, plan)? {
        Some(rows) => Measured::new(rows, Some(runtime.library_version().trim())).write(file),
        None => Ok(()),
    }
}
