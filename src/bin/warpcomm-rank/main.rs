//! The program whose ranks the command `warpcomm` starts where something needs MPI: the command itself links none.

mod bench;
#[path = "../shared/carried.rs"]
mod carried;
#[cfg(feature = "cuda")]
mod gpus;
mod info;
#[path = "../shared/launched.rs"]
mod launched;
#[allow(dead_code, reason = "the library needs more of it")]
#[path = "../../plan/lengths.rs"]
mod lengths;
#[path = "../shared/machine.rs"]
mod machine;
#[path = "../shared/mpi_call.rs"]
mod mpi_call;
#[cfg(feature = "cuda")]
#[path = "../shared/nvidia.rs"]
mod nvidia;
#[path = "../shared/operation.rs"]
mod operation;
#[path = "../shared/overview/mod.rs"]
mod overview;
#[cfg(test)]
#[path = "../shared/plan.rs"]
mod plan;
#[cfg(feature = "cuda")]
mod proof;
#[allow(dead_code, reason = "files are the command's")]
#[path = "../shared/record.rs"]
mod record;
#[path = "../shared/repeats.rs"]
mod repeats;
#[path = "../../config/settings.rs"]
mod settings;
#[path = "../shared/simulated.rs"]
mod simulated;
#[path = "../shared/statistics.rs"]
mod statistics;
#[path = "../shared/task.rs"]
mod task;
mod tune;
#[path = "../shared/variables.rs"]
mod variables;

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use warpcomm::ErrorKind;

/// What `warpcomm` starts as the ranks of a job; not for use by hand.
#[derive(Parser)]
#[command(name = "warpcomm-rank", version)]
struct Arguments {
    #[command(subcommand)]
    command: Action,
}

#[derive(Subcommand)]
enum Action {
    Info(info::Arguments),
    Bench(bench::Arguments),
    Tune(tune::Arguments),
    #[cfg(feature = "cuda")]
    Proved(proof::Known),
    #[cfg(feature = "cuda")]
    Prove(proof::Tried),
}

/// Whatever went wrong; it is only shown.
type Failure = Box<dyn std::error::Error + Send + Sync>;

fn main() -> ExitCode {
    let (name, outcome) = match Arguments::parse().command {
        Action::Info(arguments) => ("info", info::run(&arguments)),
        Action::Bench(arguments) => ("bench", bench::run(&arguments)),
        Action::Tune(arguments) => ("tune", tune::run(&arguments)),
        #[cfg(feature = "cuda")]
        Action::Proved(arguments) => ("proved", proof::proved(&arguments)),
        #[cfg(feature = "cuda")]
        Action::Prove(arguments) => ("prove", proof::prove(&arguments)),
    };
    let Err(failure) = outcome else {
        return ExitCode::SUCCESS;
    };
    // The rank that has failed says why.
    let error = failure.downcast_ref::<warpcomm::Error>();
    let is_elsewhere = failure.is::<bench::Elsewhere>();
    if !is_elsewhere && error.is_none_or(|error| error.kind() != ErrorKind::PeerFailed) {
        eprintln!("warpcomm {name}: {failure}");
    }
    ExitCode::FAILURE
}
