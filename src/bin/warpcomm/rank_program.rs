//! Starts the ranks of what needs MPI: `warpcomm-rank`, which lies beside this command.

use std::ffi::OsString;
use std::num::NonZeroUsize;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};

use crate::launched::{Launched, launched};
use crate::launcher::{Job, Launcher, is_executable};
use crate::sim::Driver;

/// The file of the program.
const PROGRAM: &str = "warpcomm-rank";

/// What the ranks are told to do, and where.
pub struct Ranks<'a> {
    pub number: NonZeroUsize,
    /// What [`rank_program`] has found.
    pub program: &'a Path,
    pub launcher: &'a Launcher,
    /// The simulated driver, if there is one.
    pub driver: Option<Driver>,
    pub words: Vec<OsString>,
}

/// Becomes the launcher of the ranks; returns only after a failure.
pub fn become_launcher(ranks: Ranks<'_>) -> Result<(), String> {
    let Ranks {
        number,
        program,
        launcher,
        driver,
        words,
    } = ranks;
    let mut job = Job::new(number, program);
    job.args = words;
    if let Some(driver) = driver {
        driver.put_before(&mut job);
        driver.outlive_this_program()?;
    }
    let error = launcher.command(&job).exec();
    Err(format!(
        "cannot start the launcher `{}`: {error}",
        launcher.program.display()
    ))
}

/// Fails in a process that a launcher has started: each rank would start a job of its own, as by `example`.
///
/// # Errors
///
/// Who has started it, and what to do.
pub fn refuse_to_be_a_rank(example: &str) -> Result<(), String> {
    match launched() {
        None => Ok(()),
        Some(Launched { launcher, .. }) => Err(format!(
            "this is a rank of a job already, which {launcher} has started, and `warpcomm {example}` starts its own: leave the \
             launcher in front out; -n says how many ranks, and --launcher names the launcher"
        )),
    }
}

/// The program.
pub fn rank_program() -> Result<PathBuf, String> {
    let own = std::env::current_exe().map_err(|error| error.to_string())?;
    let beside = own.parent().unwrap_or(Path::new("/"));
    let program = beside.join(PROGRAM);
    match is_executable(&program) {
        true => Ok(program),
        false => Err(format!(
            "{PROGRAM} is not in `{}`. Build it with an MPI: `cargo build --release --features cli`",
            beside.display()
        )),
    }
}
