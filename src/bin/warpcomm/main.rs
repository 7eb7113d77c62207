//! The command `warpcomm`. It links no MPI, so that it also runs where MPI is missing or broken.

mod bench;
mod completions;
mod diff;
mod launcher;
mod man;
#[allow(dead_code, reason = "the ranks need more of it")]
#[path = "../shared/operation.rs"]
mod operation;
mod plot;
mod prove;
#[path = "../shared/provenance.rs"]
mod provenance;
mod rank_program;
#[path = "../shared/reading.rs"]
mod reading;
#[path = "../shared/record.rs"]
mod record;
mod run;
mod sim;
#[allow(dead_code, reason = "the ranks need more of it")]
#[path = "../shared/statistics.rs"]
mod statistics;
#[path = "../shared/task.rs"]
mod task;
mod tune;
mod units;

use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};

/// GPU-accelerated message passing for Rust.
#[derive(Parser)]
#[command(name = "warpcomm", version, arg_required_else_help = true)]
struct Arguments {
    #[command(subcommand)]
    command: Action,
}

#[derive(Subcommand)]
enum Action {
    Bench(Box<bench::Arguments>),
    Completions(completions::Arguments),
    Diff(diff::Arguments),
    Man(man::Arguments),
    Plot(plot::Arguments),
    Run(run::Arguments),
    Tune(tune::Arguments),
}

fn main() -> ExitCode {
    match Arguments::parse().command {
        Action::Bench(arguments) => bench::run(*arguments),
        Action::Completions(arguments) => completions::run(&arguments, Arguments::command()),
        Action::Diff(arguments) => diff::run(&arguments),
        Action::Man(arguments) => man::run(&arguments, Arguments::command()),
        Action::Plot(arguments) => plot::run(&arguments),
        Action::Run(arguments) => run::run(&arguments),
        Action::Tune(arguments) => tune::run(&arguments),
    }
}
