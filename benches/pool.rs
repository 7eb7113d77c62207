//! How fast a pool gives out tasks: `cargo bench --bench pool`.
//!
//! Empty tasks, tasks that take bytes and give them back, and uneven ones against list scheduling; with ranks that are
//! threads, and, where there is an MPI, with ranks that are processes. `benches/peers/pool` starts this program beside the
//! pools of others.

#[path = "pool/cases.rs"]
mod cases;
#[cfg(feature = "mpi")]
#[allow(dead_code)]
#[path = "../src/bin/warpcomm/launcher.rs"]
mod launcher;
#[path = "pool/measured.rs"]
mod measured;
#[cfg(feature = "mpi")]
#[allow(dead_code, reason = "other benches need the rest of it")]
#[path = "../src/bin/shared/mpi_call.rs"]
mod mpi_call;
#[path = "pool/plan.rs"]
mod plan;
#[cfg(feature = "mpi")]
#[path = "pool/processes.rs"]
mod processes;

#[cfg(feature = "mpi")]
use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, ValueEnum};
use warpcomm::Communicator;

use measured::Measured;
use plan::Plan;

/// Whatever went wrong; it is only shown.
type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Measures how fast a pool gives out tasks.
///
/// Without arguments, as `cargo test --benches` starts it, it only checks the results.
#[derive(Parser)]
struct Arguments {
    /// How many ranks work, beside the master.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..))]
    workers: u16,
    /// Only check the results, without figures.
    #[arg(long)]
    test: bool,
    /// Measure; `cargo bench` always passes this.
    #[arg(long, hide = true)]
    bench: bool,
    /// The MPI launcher to use, by path or by name; otherwise the first that fits.
    #[cfg(feature = "mpi")]
    #[arg(long, value_name = "LAUNCHER")]
    launcher: Option<OsString>,
    /// Measure what `--plan` says, and leave it in the file `--measured`.
    #[arg(long, hide = true, requires_all = ["plan", "measured"])]
    part: Option<Part>,
    #[arg(long, hide = true)]
    plan: Option<PathBuf>,
    #[arg(long, hide = true)]
    measured: Option<PathBuf>,
}

/// What this process is.
#[derive(Clone, Copy, ValueEnum)]
enum Part {
    /// One of the ranks.
    Rank,
    /// All of the ranks, as threads.
    Threads,
}

impl Arguments {
    fn is_measured(&self) -> bool {
        self.bench && !self.test
    }

    fn ranks(&self) -> usize {
        usize::from(self.workers) + 1
    }
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("pool: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<(), Failure> {
    if let (Some(part), Some(plan), Some(file)) = (arguments.part, &arguments.plan, &arguments.measured) {
        let plan = Plan::read(plan)?;
        return match part {
            #[cfg(feature = "mpi")]
            Part::Rank => processes::rank(&plan, file),
            #[cfg(not(feature = "mpi"))]
            Part::Rank => Err("this program was built without MPI".into()),
            Part::Threads => on_threads(arguments.ranks(), &plan)?.write(file),
        };
    }
    let plan = match arguments.is_measured() {
        true => Plan::rough(),
        false => Plan::check(),
    };
    let show = |ranks: &str, measured: &Measured| match arguments.is_measured() {
        true => measured.show(ranks, &plan, usize::from(arguments.workers)),
        false => println!(
            "pool: {} calls on {ranks} have the right results",
            measured.rows.len()
        ),
    };
    show("threads", &on_threads(arguments.ranks(), &plan)?);
    #[cfg(feature = "mpi")]
    show("processes", &processes::start(arguments, &plan)?);
    Ok(())
}

fn on_threads(ranks: usize, plan: &Plan) -> Result<Measured, Failure> {
    let outcomes = Communicator::threads(ranks, |comm| cases::measure(&comm, plan))?;
    let outcomes = outcomes.into_iter().collect::<Result<Vec<_>, _>>()?;
    let rows = outcomes.into_iter().flatten().next();
    Ok(Measured::new(
        rows.ok_or("the master has measured nothing")?,
        None,
    ))
}
