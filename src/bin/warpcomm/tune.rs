//! `warpcomm tune`: finds out what the MPI and the GPUs of this machine can do, and keeps it for the jobs to come.

use std::ffi::OsString;
use std::process::ExitCode;

use clap::Args;

use crate::launcher::{Launcher, passed_on};
use crate::prove::{Proof, rank_program};
use crate::sim::Driver;

const MORE_HELP: &str = "\
Two ranks try whether MPI takes addresses of GPU memory, allocated by cuMemAlloc (plain) and in the order of a stream
(pool). Where it does, messages of such memory go straight to MPI, unless there is a faster path. What was found out
is kept in the directory WARPCOMM_CACHE, for this host, GPU, MPI library and its settings.";

/// Find out what MPI and the GPUs here can do, for the jobs to come
#[derive(Args)]
#[command(after_help = MORE_HELP)]
pub struct Arguments {
    /// The launcher, a path or a name on PATH [default: WARPCOMM_LAUNCHER, else one that fits]
    #[arg(long, value_name = "LAUNCHER")]
    launcher: Option<OsString>,

    /// Simulate GPUs on the CPU, 1 to 16, instead of using those of the machine [default with --sim: 1]
    #[arg(long, value_name = "GPUS", num_args = 0..=1, require_equals = true, default_missing_value = "1",
          value_parser = clap::value_parser!(u8).range(1..=16))]
    sim: Option<u8>,
}

/// Finds it out, and prints it.
pub fn run(arguments: &Arguments) -> ExitCode {
    match tune(arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("warpcomm tune: {message}");
            ExitCode::FAILURE
        }
    }
}

fn tune(arguments: &Arguments) -> Result<(), String> {
    let program = rank_program()?;
    let launcher =
        Launcher::find(&program, arguments.launcher.as_deref()).map_err(|error| error.to_string())?;
    let driver = arguments.sim.map(Driver::new).transpose()?;
    let environment = passed_on();
    let Some(proof) = Proof::of(&program, &launcher, &environment, driver.as_ref()) else {
        return Err(
            "nothing can be proved here: WARPCOMM_CUDA_AWARE says it, or the ranks would not be on this host"
                .to_owned(),
        );
    };
    let proved = proof.prove_all();
    if proved.is_empty() {
        println!("there is no GPU");
    }
    for (kind, known) in proved {
        println!("MPI takes addresses of GPU memory, {kind}: {known}");
    }
    Ok(())
}
