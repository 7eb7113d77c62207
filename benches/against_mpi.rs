//! How much longer operations take than the same loop in raw MPI, in one run with both:
//! `cargo bench --bench against_mpi`.
//!
//! The program starts itself again with two ranks under the launcher that fits. These run both loops in turn, in
//! many short rounds, so that whatever else the machine does meets both. What is compared is the median over
//! the rounds of the time of the slower rank. A target that is missed is reported, and is no failure.
//!
//! Both loops run in one process, hence with the thread level that warpcomm asks of MPI; that makes raw MPI
//! slower by some 0.03 us for a small message.

#[path = "against_mpi/allreduce.rs"]
mod allreduce;
#[path = "against_mpi/contest.rs"]
mod contest;
#[path = "shared/document.rs"]
mod document;
#[path = "against_mpi/latency.rs"]
mod latency;
#[allow(dead_code)]
#[path = "../src/bin/warpcomm/launcher.rs"]
mod launcher;
#[path = "../src/bin/shared/machine.rs"]
mod machine;
#[path = "../src/bin/shared/mpi_call.rs"]
mod mpi_call;
#[path = "../src/bin/shared/provenance.rs"]
mod provenance;
#[path = "against_mpi/rank.rs"]
mod rank;
#[path = "against_mpi/raw.rs"]
mod raw;
#[allow(dead_code, reason = "only the machine is described with it")]
#[path = "../src/bin/shared/record.rs"]
mod record;
#[path = "against_mpi/row.rs"]
mod row;
#[allow(dead_code, reason = "records need it")]
#[path = "../src/bin/shared/statistics.rs"]
mod statistics;

use std::error::Error;
use std::ffi::OsString;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Parser;
use serde::Serialize;

use contest::Effort;
use document::{Document, Launch};
use launcher::{Job, Launcher};
use rank::Measured;

/// Whatever went wrong; it is only shown.
type Failure = Box<dyn Error>;

const RANKS: NonZeroUsize = NonZeroUsize::new(2).unwrap();

/// Compares operations of warpcomm with the same loops in raw MPI, on two ranks.
///
/// Without arguments, as `cargo test --benches` starts it, it only checks that what arrives is right.
#[derive(Parser)]
struct Arguments {
    /// Measure roughly, in less than 10 seconds, as without --json.
    #[arg(long, conflicts_with = "full")]
    quick: bool,
    /// Take the time that good figures need, as with --json.
    #[arg(long, conflicts_with = "test")]
    full: bool,
    /// Also write the figures and what they were measured with to a file.
    #[arg(long, value_name = "FILE", conflicts_with = "test")]
    json: Option<PathBuf>,
    /// Only check that what arrives is right, without figures.
    #[arg(long)]
    test: bool,
    /// The MPI launcher to use, by path or by name; otherwise the first that fits.
    #[arg(long, value_name = "LAUNCHER")]
    launcher: Option<OsString>,
    /// Measure; `cargo bench` always passes this.
    #[arg(long, hide = true)]
    bench: bool,
    /// This process is a rank, and rank 0 leaves what it has measured in this file.
    #[arg(long, hide = true, value_name = "FILE")]
    measured: Option<PathBuf>,
}

impl Arguments {
    fn effort(&self) -> Effort {
        match () {
            () if self.test => Effort::Check,
            () if self.full => Effort::Full,
            () if self.quick => Effort::Quick,
            () if self.json.is_some() => Effort::Full,
            () if self.bench => Effort::Quick,
            () => Effort::Check,
        }
    }
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let outcome = match &arguments.measured {
        Some(file) => rank::run(arguments.effort(), file),
        None => launch(&arguments),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("against_mpi: {error}");
            ExitCode::FAILURE
        }
    }
}

/// What is written down.
#[derive(Serialize)]
struct Figures {
    launch: Launch,
    #[serde(flatten)]
    measured: Measured,
}

/// Starts the ranks, and writes down what they have measured.
fn launch(arguments: &Arguments) -> Result<(), Failure> {
    if let Some(file) = &arguments.json {
        document::check_directory(file)?;
    }
    let program = std::env::current_exe()?;
    let launcher = Launcher::find(&program, arguments.launcher.as_deref())?;
    // Where the program was built; where it was brought to, there is no such directory.
    let built = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let scratch = match built.is_dir() {
        true => tempfile::tempdir_in(built)?,
        false => tempfile::tempdir()?,
    };
    let file = scratch.path().join("measured.json");
    let mut job = Job::new(RANKS, program);
    job.args = vec![
        arguments.effort().flag().into(),
        "--measured".into(),
        file.clone().into(),
    ];
    let mut command = launcher.command(&job);
    let launch = Launch::new(&launcher, &job, &command);
    // What describes the machine is asked before the ranks make it busy.
    let document = Document::new("against_mpi");
    let status = command
        .status()
        .map_err(|error| format!("{} cannot be started: {error}", launcher.program.display()))?;
    if !status.success() {
        return Err(format!("the job under {launcher} ended with {status}").into());
    }
    if let Some(json) = &arguments.json {
        let measured: Measured = serde_json::from_slice(&std::fs::read(&file)?)?;
        document.write(&Figures { launch, measured }, json)?;
    }
    Ok(())
}
