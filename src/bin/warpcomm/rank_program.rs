//! Starts the ranks of what needs MPI: `warpcomm-rank`, which lies beside this command.

use std::ffi::OsString;
use std::num::NonZeroUsize;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};

use crate::launcher::{Job, Launcher, is_executable};
use crate::sim::simulate;

/// The file of the program.
const PROGRAM: &str = "warpcomm-rank";

/// What the ranks are told to do, and where.
pub struct Ranks<'a> {
    pub number: NonZeroUsize,
    /// The launcher that is wanted, if one is.
    pub launcher: Option<&'a OsString>,
    /// How many GPUs are simulated, if they are.
    pub sim: Option<u8>,
    pub words: Vec<OsString>,
}

/// Becomes the launcher of the ranks; returns only after a failure.
pub fn become_launcher(ranks: Ranks<'_>) -> Result<(), String> {
    let program = find()?;
    let launcher = Launcher::find(&program, ranks.launcher.map(OsString::as_os_str));
    let launcher = launcher.map_err(|error| error.to_string())?;
    let mut job = Job::new(ranks.number, program);
    job.args = ranks.words;
    if let Some(gpus) = ranks.sim {
        simulate(&mut job, gpus)?;
    }
    let error = launcher.command(&job).exec();
    Err(format!(
        "cannot start the launcher `{}`: {error}",
        launcher.program.display()
    ))
}

fn find() -> Result<PathBuf, String> {
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
