//! `warpcomm tune`: measures which algorithms collectives should take on this machine.

use std::ffi::OsString;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use clap::error::ErrorKind;

use crate::arguments::{ByLauncher, OnGpus};
use crate::launcher::{Launcher, passed_on};
use crate::prove::Proof;
use crate::rank_program::{Ranks, become_launcher, rank_program, refuse_to_be_a_rank};
use crate::run::ranks;
use crate::sim::Driver;
use crate::sizes::{self, Sizes};
use crate::standard_output::print;

const MORE_HELP: &str = "\
Examples:
  warpcomm tune -n 4
  warpcomm tune -n 2 --place host --sizes 4K:1M:4 --output crossovers.json

Measures every algorithm that bcast, reduce and allreduce can choose, with 2, 4, ... and all ranks, prints the
times, and writes from which lengths on which is the fastest: levels where the ranks are on several nodes, one-shot and
two-shot where they are on GPUs that reach each other's memory; and up to which lengths the host folds elements on GPUs.
What this machine does not offer is in the file, too, with the reason, and has the default. Programs with as many ranks
on this host, with its GPUs and with this MPI library, read that file when they start. It is in the directory
WARPCOMM_CACHE, unless --output or the variable WARPCOMM_TUNING says another; with WARPCOMM_TUNING=none it is not written.

Where there is a GPU, two ranks try first whether MPI takes addresses of its memory, allocated by cuMemAlloc (plain) and
in the order of a stream (pool); what becomes of it is kept in the directory WARPCOMM_CACHE, for this host, GPU, MPI
library and its settings. WARPCOMM_CUDA_AWARE=yes or no says it instead.

Nothing else should run meanwhile. What --sim measures says nothing about any machine, and is in a file that is
read only where WARPCOMM_TUNING names it.

The exit status is the launcher's own: 0, or what it makes of a rank that failed. It is 1 where the job
cannot be started, and 2 where the arguments are wrong.";

/// Measure which algorithms collectives should take on this machine
#[derive(Args)]
#[command(after_help = MORE_HELP)]
pub struct Arguments {
    /// How many ranks to start
    #[arg(short = 'n', long, value_parser = ranks)]
    ranks: NonZeroUsize,

    #[command(flatten)]
    by: ByLauncher,

    #[command(flatten)]
    on: OnGpus,

    /// Where the buffers are, separated by commas [default: host, and device if there is a GPU]
    #[arg(long = "place", value_name = "PLACE", value_delimiter = ',', value_parser = ["host", "device"])]
    places: Vec<String>,

    /// The lengths to measure: bytes, or 64K and 1M; several behind commas, ranges as 4K:16M:4
    #[arg(long, value_name = "SIZES", default_value = "4K,64K,1M,16M", value_parser = lengths)]
    sizes: String,

    /// The most rounds of each measurement; slow ones have fewer
    #[arg(long, value_name = "ROUNDS", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,

    /// Only find out whether MPI takes addresses of GPU memory
    #[arg(long)]
    proof: bool,

    /// The file to write
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
}

/// Lengths, all of them too long for frames.
fn lengths(text: &str) -> Result<String, String> {
    let Sizes(sizes) = sizes::sizes(text)?;
    if sizes.first().is_none_or(|&first| first <= 256) {
        return Err("up to 256 bytes there is no choice".to_owned());
    }
    let words: Vec<String> = sizes.iter().map(u64::to_string).collect();
    Ok(words.join(","))
}

/// Becomes the launcher of the measuring ranks; returns after a failure, or where nothing is to be measured.
pub fn run(arguments: &Arguments) -> ExitCode {
    if let Err(message) = refuse_to_be_a_rank("tune -n 4") {
        let message = message + "\n\nFor more information, try '--help'.\n";
        clap::Error::raw(ErrorKind::ValueValidation, message).exit();
    }
    match start(arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("warpcomm tune: {message}");
            ExitCode::FAILURE
        }
    }
}

fn start(arguments: &Arguments) -> Result<(), String> {
    let program = rank_program()?;
    let launcher =
        Launcher::find(&program, arguments.by.launcher.as_deref()).map_err(|error| error.to_string())?;
    let driver = arguments.on.sim.map(|gpus| Driver::for_job(gpus, None));
    let driver = driver.transpose()?;
    prove(&program, &launcher, driver.as_ref())?;
    if arguments.proof {
        return Ok(());
    }
    become_launcher(Ranks {
        number: arguments.ranks,
        program: &program,
        launcher: &launcher,
        driver,
        words: words(arguments)?,
    })
}

/// Has two ranks prove whether MPI takes addresses of GPU memory, and prints what is known then.
fn prove(program: &Path, launcher: &Launcher, driver: Option<&Driver>) -> Result<(), String> {
    let environment = passed_on();
    let proof = Proof::of(program, launcher, &environment, driver);
    let proved: Vec<_> = proof.iter().flat_map(Proof::prove_all).collect();
    for (kind, known) in &proved {
        print(format!("MPI takes addresses of GPU memory, {kind}: {known}\n"))?;
    }
    match proved.is_empty() {
        true => print(
            "whether MPI takes addresses of GPU memory was not tried: there is no GPU, a variable says it, or the ranks \
             would not be on this host\n",
        ),
        false => Ok(()),
    }
}

/// What the ranks are told.
fn words(arguments: &Arguments) -> Result<Vec<OsString>, String> {
    let rounds = arguments.rounds.to_string();
    let mut words: Vec<OsString> = ["tune", "--sizes", &arguments.sizes, "--rounds", &rounds]
        .map(OsString::from)
        .to_vec();
    if !arguments.places.is_empty() {
        words.extend(["--places".into(), arguments.places.join(",").into()]);
    }
    if let Some(file) = &arguments.output {
        // A launcher may start ranks elsewhere.
        let file = std::path::absolute(file).map_err(|error| error.to_string())?;
        words.extend(["--output".into(), file.into()]);
    }
    if arguments.on.sim.is_some() {
        words.push("--simulated".into());
    }
    Ok(words)
}
