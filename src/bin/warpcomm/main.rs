//! The command `warpcomm`. It links no MPI, so that it also runs where MPI is missing or broken.

mod doctor;
mod gpu_files;
mod info;
#[path = "../shared/launched.rs"]
mod launched;
mod launcher;
#[path = "../shared/nvidia.rs"]
mod nvidia;
#[path = "../shared/overview/mod.rs"]
mod overview;
#[path = "../shared/plan.rs"]
mod plan;
mod prove;
mod rank_program;
mod run;
#[path = "../../config/settings.rs"]
mod settings;
mod sim;
mod tune;
#[path = "../shared/variables.rs"]
mod variables;

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
    Doctor(doctor::Arguments),
    Info(info::Arguments),
    Run(run::Arguments),
    #[command(hide = true)]
    BindRank(run::rank::Arguments),
    Tune(tune::Arguments),
}

fn main() -> ExitCode {
    match Arguments::parse().command {
        Action::Doctor(arguments) => doctor::run(&arguments),
        Action::Info(arguments) => info::run(&arguments),
        Action::Run(arguments) => run::run(&arguments),
        Action::BindRank(arguments) => run::rank::run(&arguments),
        Action::Tune(arguments) => tune::run(&arguments),
    }
}
