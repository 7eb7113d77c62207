//! The command `warpcomm`. It links no MPI, so that it also runs where MPI is missing or broken.

mod arguments;
mod awaited;
mod bench;
mod build_id;
mod completions;
mod crossover;
mod diff;
mod doctor;
mod gpu_files;
mod info;
#[path = "../shared/launched.rs"]
mod launched;
mod launcher;
mod man;
#[path = "../shared/nvidia.rs"]
mod nvidia;
#[allow(dead_code, reason = "the ranks need more of it")]
#[path = "../shared/operation.rs"]
mod operation;
#[path = "../shared/overview/mod.rs"]
mod overview;
#[path = "../shared/plan.rs"]
mod plan;
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
#[path = "../../config/settings.rs"]
mod settings;
mod sim;
mod sizes;
mod standard_output;
#[allow(dead_code, reason = "the ranks need more of it")]
#[path = "../shared/statistics.rs"]
mod statistics;
#[path = "../shared/task.rs"]
mod task;
mod tune;
mod units;
#[path = "../shared/variables.rs"]
mod variables;

use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};

const MORE_HELP: &str = "\
Examples:
  warpcomm doctor
  warpcomm run -n 4 ./program
  warpcomm bench compare allreduce -n 4 --json allreduce.json
  warpcomm plot allreduce.json

`warpcomm COMMAND --help` has more of each command.";

/// GPU-accelerated message passing for Rust.
#[derive(Parser)]
#[command(name = "warpcomm", version, arg_required_else_help = true, after_help = MORE_HELP)]
struct Arguments {
    #[command(subcommand)]
    command: Action,
}

#[derive(Subcommand)]
enum Action {
    Doctor(doctor::Arguments),
    Info(info::Arguments),
    Run(run::Arguments),
    #[command(hide = true)]
    BindRank(run::rank::Arguments),
    Bench(Box<bench::Arguments>),
    Plot(plot::Arguments),
    Diff(diff::Arguments),
    Tune(tune::Arguments),
    Completions(completions::Arguments),
    Man(man::Arguments),
}

fn main() -> ExitCode {
    match Arguments::parse().command {
        Action::Doctor(arguments) => doctor::run(&arguments),
        Action::Info(arguments) => info::run(&arguments),
        Action::Run(arguments) => run::run(&arguments),
        Action::BindRank(arguments) => run::rank::run(&arguments),
        Action::Bench(arguments) => bench::run(*arguments),
        Action::Plot(arguments) => plot::run(&arguments),
        Action::Diff(arguments) => diff::run(&arguments),
        Action::Tune(arguments) => tune::run(&arguments),
        Action::Completions(arguments) => completions::run(&arguments, Arguments::command()),
        Action::Man(arguments) => man::run(&arguments, Arguments::command()),
    }
}
