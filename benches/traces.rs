//! What it costs to write traces (`WARPCOMM_TRACE`): `cargo bench --bench traces`.
//!
//! Two ranks send a message there and back, in short rounds: ranks that are threads, and, where there is an MPI, ranks that
//! are processes. Launches without a trace, with one, and without one again take turns, so that whatever else the machine
//! does meets all; the last of them shows how far two that are the same differ. Each trace is read: it has every message.

#[cfg(feature = "mpi")]
#[allow(dead_code)]
#[path = "../src/bin/warpcomm/launcher.rs"]
mod launcher;
#[path = "traces/messages.rs"]
mod messages;
#[cfg(feature = "mpi")]
#[allow(dead_code, reason = "other benches need the rest of it")]
#[path = "../src/bin/shared/mpi_call.rs"]
mod mpi_call;
#[cfg(feature = "mpi")]
#[path = "traces/processes.rs"]
mod processes;
#[path = "traces/threads.rs"]
mod threads;
#[path = "traces/turns.rs"]
mod turns;
#[path = "traces/written.rs"]
mod written;

#[cfg(feature = "mpi")]
use std::ffi::OsString;
#[cfg(feature = "mpi")]
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;

/// Whatever went wrong; it is only shown.
type Failure = Box<dyn std::error::Error>;

/// Compares messages with and without a trace.
///
/// Without arguments, as `cargo test --benches` starts it, it only checks that the traces have all messages.
#[derive(Parser)]
struct Arguments {
    /// Only check that the traces have all messages, without figures.
    #[arg(long)]
    test: bool,
    /// Measure; `cargo bench` always passes this.
    #[arg(long, hide = true)]
    bench: bool,
    /// The MPI launcher to use, by path or by name; otherwise the first that fits.
    #[cfg(feature = "mpi")]
    #[arg(long, value_name = "LAUNCHER")]
    launcher: Option<OsString>,
    /// This process is a rank, and rank 0 leaves what it has measured in this file.
    #[cfg(feature = "mpi")]
    #[arg(long, hide = true, value_name = "FILE")]
    measured: Option<PathBuf>,
    /// The file of a trace that the ranks write.
    #[cfg(feature = "mpi")]
    #[arg(long, hide = true, value_name = "FILE")]
    trace: Option<PathBuf>,
}

impl Arguments {
    fn is_measured(&self) -> bool {
        self.bench && !self.test
    }
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("traces: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<(), Failure> {
    #[cfg(feature = "mpi")]
    if let Some(measured) = &arguments.measured {
        return processes::rank(arguments, measured);
    }
    threads::compare(arguments)?;
    #[cfg(feature = "mpi")]
    processes::compare(arguments)?;
    Ok(())
}
