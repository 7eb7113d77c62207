//! `warpcomm doctor`: what is missing or suspicious here, and what to do about it.

mod building;
mod gpus;
mod job;
mod limits;
mod report;
mod starting;
mod surroundings;
mod system;

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;

use crate::arguments::{ByLauncher, OnGpus};
use crate::launcher::Launcher;
use crate::launcher::library::MpiLibrary;
use crate::rank_program::rank_program;
use crate::run::ranks;
use crate::standard_output::print;
use report::{Finding, Report};
use system::System;

const MORE_HELP: &str = "\
Examples:
  warpcomm doctor
  warpcomm doctor -n 8 --program target/release/solver
  warpcomm doctor --json | jq '.findings[] | select(.level == \"error\")'

Looks at what building needs (an MPI's compiler, libclang), what starting ranks needs (warpcomm-rank, a launcher of the MPI
that the program is linked with), the CUDA driver and the GPUs, limits of the system and of control groups, and WARPCOMM_*
variables; then, where it can, two ranks, or as many as -n says if there are as many cores, find out whether they know of each
other and how their GPUs reach each other. Each error or warning is followed by what to do. It changes nothing.

The exit status is 1 if there is an error: something does not work. Warnings alone give 0: it works, and worse than it could.
It is 2 where the arguments are wrong.";

/// Find what is missing or suspicious on this machine, and what to do about it
#[derive(Args)]
#[command(after_help = MORE_HELP)]
pub struct Arguments {
    /// How many ranks are to be started on this machine
    #[arg(short = 'n', long, value_parser = ranks)]
    ranks: Option<NonZeroUsize>,

    /// The program whose ranks are to be started [default: warpcomm-rank, beside this command]
    #[arg(long, value_name = "FILE")]
    program: Option<PathBuf>,

    #[command(flatten)]
    by: ByLauncher,

    #[command(flatten)]
    on: OnGpus,

    /// Read the files of /proc, /sys, /dev and /usr below this directory, of another system; no ranks are started
    #[arg(long, value_name = "DIRECTORY", conflicts_with = "sim")]
    sysroot: Option<PathBuf>,

    /// Print an object of JSON
    #[arg(long)]
    json: bool,
}

/// Prints what is found; the exit status says whether something is wrong.
pub fn run(arguments: &Arguments) -> ExitCode {
    if let Some(program) = arguments.program.as_deref().filter(|program| !program.is_file()) {
        eprintln!("warpcomm doctor: there is no file `{}`", program.display());
        return ExitCode::FAILURE;
    }
    if let Some(root) = arguments.sysroot.as_deref().filter(|root| !root.is_dir()) {
        eprintln!("warpcomm doctor: there is no directory `{}`", root.display());
        return ExitCode::FAILURE;
    }
    let report = Report::new(findings(arguments));
    let text = match arguments.json {
        true => serde_json::to_string_pretty(&report)
            .map_err(|error| error.to_string())
            .map(|text| text + "\n"),
        false => Ok(report.to_string()),
    };
    if let Err(error) = text.and_then(print) {
        eprintln!("warpcomm doctor: {error}");
        return ExitCode::FAILURE;
    }
    match report.has_errors() {
        true => ExitCode::FAILURE,
        false => ExitCode::SUCCESS,
    }
}

fn findings(arguments: &Arguments) -> Vec<Finding> {
    let system = System::below(arguments.sysroot.as_deref().unwrap_or(Path::new("/")));
    let ranks = arguments.ranks;
    let rank_program = rank_program();
    let is_built = rank_program.is_ok();
    let mut findings = vec![starting::rank_program(&rank_program)];
    findings.extend(arguments.program.as_deref().map(starting::named_program));
    // Without a program any launcher is right.
    let unlinked = PathBuf::from("a program");
    let program = arguments
        .program
        .as_ref()
        .or(rank_program.as_ref().ok())
        .unwrap_or(&unlinked);
    let launcher = Launcher::find(program, arguments.by.launcher.as_deref());
    findings.extend(starting::launcher(program, &launcher));
    findings.push(building::compiler(MpiLibrary::of(program), is_built));
    findings.push(building::libclang(&system, is_built));
    match arguments.on.sim {
        Some(_) => findings.push(surroundings::simulation()),
        None => {
            findings.push(gpus::driver(&system));
            findings.extend(gpus::enough(&system, ranks));
        }
    }
    findings.push(limits::processes(&system));
    findings.push(limits::locked_memory(&system));
    findings.push(limits::shared_memory(&system));
    findings.extend(limits::cores(ranks));
    findings.push(limits::processor_time(&system));
    findings.push(surroundings::temporary_files());
    findings.extend(surroundings::settings());
    let is_possible = !findings
        .iter()
        .any(|finding| finding.level == report::Level::Error);
    // The ranks are those of warpcomm-rank, whichever program is asked about: its MPI may be another.
    if arguments.sysroot.is_none()
        && let Ok(rank_program) = &rank_program
    {
        let launcher = Launcher::find(rank_program, arguments.by.launcher.as_deref());
        match launcher {
            Ok(launcher) if is_possible => {
                findings.extend(job::findings(rank_program, &launcher, ranks, arguments.on.sim));
            }
            _ => findings.push(Finding::note(
                "job",
                "no ranks were tried, because of the errors above",
            )),
        }
    }
    findings
}
