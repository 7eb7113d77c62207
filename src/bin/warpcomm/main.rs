//! The command `warpcomm`. It links no MPI, so that it also runs where MPI is missing or broken.

mod diff;
mod launcher;
#[path = "../shared/operation.rs"]
mod operation;
mod plot;
mod prove;
mod rank_program;
#[path = "../shared/reading.rs"]
mod reading;
#[path = "../shared/record.rs"]
mod record;
mod run;
mod sim;
#[path = "../shared/statistics.rs"]
mod statistics;
#[path = "../shared/task.rs"]
mod task;
mod tune;
mod units;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// GPU-accelerated message passing for Rust.
#[derive(Parser)]
#[command(name = "warpcomm", version, arg_required_else_help = true)]
struct Arguments {
    #[command(subcommand)]
    command: Action,
}

#[derive(Subcommand)]
enum Action {
    Diff(diff::Arguments),
    Plot(plot::Arguments),
    Run(run::Arguments),
    Tune(tune::Arguments),
}

fn main() -> ExitCode {
    match Arguments::parse().command {
        Action::Diff(arguments) => diff::run(&arguments),
        Action::Plot(arguments) => plot::run(&arguments),
        Action::Run(arguments) => run::run(&arguments),
        Action::Tune(arguments) => tune::run(&arguments),
    }
}
