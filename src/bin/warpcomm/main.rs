//! The command `warpcomm`. It links no MPI, so that it also runs where MPI is missing or broken.

mod launcher;
mod prove;
mod rank_program;
mod run;
mod sim;
mod tune;

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
    Run(run::Arguments),
    #[command(hide = true)]
    BindRank(run::rank::Arguments),
    Tune(tune::Arguments),
}

fn main() -> ExitCode {
    match Arguments::parse().command {
        Action::Run(arguments) => run::run(&arguments),
        Action::BindRank(arguments) => run::rank::run(&arguments),
        Action::Tune(arguments) => tune::run(&arguments),
    }
}
