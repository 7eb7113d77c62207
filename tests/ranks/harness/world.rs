//! Where ranks live, and the command that starts them.

use std::ffi::OsString;
use std::fmt;
use std::path::Path;
use std::process::Command;

use super::simulate;

/// How ranks are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum World {
    /// As threads of one process.
    Threads,
    /// As processes, by the launcher of the MPI that this program is linked with.
    #[cfg(feature = "mpi")]
    Mpi,
    /// The same, with communicators whose messages are MPI's own.
    #[cfg(feature = "mpi")]
    Plain,
}

impl World {
    pub const ALL: &[World] = &[
        World::Threads,
        #[cfg(feature = "mpi")]
        World::Mpi,
        #[cfg(feature = "mpi")]
        World::Plain,
    ];
}

impl fmt::Display for World {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            World::Threads => "threads",
            #[cfg(feature = "mpi")]
            World::Mpi => "mpi",
            #[cfg(feature = "mpi")]
            World::Plain => "plain",
        })
    }
}

/// Variables and their values.
pub type Environment = Vec<(&'static str, OsString)>;

/// The command that starts this program with `ranks` ranks, of which the environment says what to do; they
/// find the libraries in the directory `driver` before all others.
pub fn command(
    world: World,
    ranks: usize,
    environment: Environment,
    driver: Option<&Path>,
) -> Result<Command, String> {
    let own = std::env::current_exe().map_err(|error| error.to_string())?;
    let (program, args) = simulate::with(driver, &own);
    let mut command = match world {
        World::Threads => {
            let mut command = Command::new(program);
            command.args(args).envs(environment);
            command
        }
        #[cfg(feature = "mpi")]
        World::Mpi | World::Plain => {
            use crate::launcher::{Job, Launcher};

            let launcher = Launcher::find(&own, None).map_err(|error| error.to_string())?;
            let ranks = ranks.try_into().map_err(|_| "a job without ranks")?;
            let environment = environment
                .into_iter()
                .map(|(name, value)| (name.into(), value))
                .collect();
            launcher.command(&Job {
                args,
                environment,
                ..Job::new(ranks, program)
            })
        }
    };
    let _ = ranks;
    for name in SETTINGS {
        // Settings of whoever runs the tests; launchers hand the environment on.
        if command.get_envs().all(|(set, _)| set != *name) {
            command.env_remove(name);
        }
    }
    // What was measured on this machine is no part of the tests, unless a job asks for it.
    if command.get_envs().all(|(set, _)| set != "WARPCOMM_TUNING") {
        command.env("WARPCOMM_TUNING", "none");
    }
    Ok(command)
}

/// The variables that change what the library does.
const SETTINGS: &[&str] = &[
    "WARPCOMM_TIMEOUT",
    "WARPCOMM_HANG_REPORT",
    "WARPCOMM_EAGER_LIMIT",
    "WARPCOMM_CHUNK",
    "WARPCOMM_PATHS",
    "WARPCOMM_NODE_ID",
    "WARPCOMM_CUDA_AWARE",
    "WARPCOMM_CACHE",
    "WARPCOMM_CHECK",
    "WARPCOMM_THREAD_LEVEL",
    "WARPCOMM_FAULT",
];
