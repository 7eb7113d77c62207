//! `warpcomm info`: what this machine, its MPI and its GPUs are, and how ranks reach each other.

use std::ffi::OsString;
use std::fs;
use std::num::NonZeroUsize;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, ExitCode};

use clap::Args;
use clap::error::ErrorKind;

use crate::arguments::{ByLauncher, OnGpus};
use crate::gpu_files::gpus;
use crate::launched::launched;
use crate::launcher::{Job, Launcher};
use crate::overview::{FORMAT, Overview};
use crate::plan::OPERATIONS;
use crate::rank_program::{Ranks, become_launcher, rank_program};
use crate::run::ranks;
use crate::sim::Driver;
use crate::sizes;
use crate::standard_output;
use crate::variables::{self, nearest};

const MORE_HELP: &str = "\
Examples:
  warpcomm info
  warpcomm info -n 4 --sim=2
  mpirun -n 4 warpcomm info
  warpcomm info -n 4 --plan allreduce 1M
  warpcomm info --json | jq '.job.paths[].reason'

Tells the MPI library with its version and thread level, whether it takes addresses of GPU memory (what it says, what two
ranks have proved, what WARPCOMM_CUDA_AWARE says), the GPUs, where each rank is with its GPU and its NUMA nodes, the path of
long messages between each two ranks with the reason, and every WARPCOMM_* variable with its value, default and meaning.

What needs MPI is told by ranks: those of the job under a launcher, or else as many as -n says, which this command starts.
Where that cannot be, it says why, and tells the rest. It proves nothing: `warpcomm tune -n 2 --proof` does.

With --plan it tells instead which algorithm a collective takes and why: for elements on the host, on GPUs, and, of
reductions, in DeviceBuffers on GPUs that reach each other's memory. SIZE is in bytes, or with K, M or G behind it, as
`Communicator::explain` counts it.

With --json it prints one object with all of that, which docs/info.md describes.

The exit status is 0, or 1 where ranks were asked for by -n, --sim or --plan and cannot be started, or where they fail,
or the launcher's own; it is 2 where the arguments are wrong.";

/// Show what MPI, the GPUs and the ranks of a job are, and how ranks reach each other
#[derive(Args)]
#[command(after_help = MORE_HELP)]
pub struct Arguments {
    /// How many ranks to start [default: those of the launcher that has started this command, else 1]
    #[arg(short = 'n', long, value_parser = ranks)]
    ranks: Option<NonZeroUsize>,

    #[command(flatten)]
    by: ByLauncher,

    #[command(flatten)]
    on: OnGpus,

    /// Tell which algorithms a collective takes for so many bytes, and why
    #[arg(long, num_args = 2, value_names = ["OPERATION", "SIZE"])]
    plan: Option<Vec<String>>,

    /// Print an object of JSON
    #[arg(long)]
    json: bool,
}

/// A collective and a length.
struct Question<'a> {
    operation: &'a str,
    bytes: u64,
}

impl<'a> Question<'a> {
    fn of(words: &'a [String]) -> Result<Option<Question<'a>>, String> {
        let [operation, size] = words else {
            return Ok(None);
        };
        if !OPERATIONS.contains(&operation.as_str()) {
            let tip = match nearest(operation, OPERATIONS.into_iter()) {
                Some(near) => format!("a similar value exists: '{near}'"),
                None => format!("the operations are {}", OPERATIONS.join(", ")),
            };
            return Err(format!(
                "invalid value '{operation}' for '--plan <OPERATION> <SIZE>'\n\n  tip: {tip}\n"
            ));
        }
        let bytes = sizes::size(size)
            .map_err(|error| format!("invalid value '{size}' for '--plan <OPERATION> <SIZE>': {error}\n"))?;
        Ok(Some(Question { operation, bytes }))
    }
}

/// Becomes a rank, or the launcher of some; returns where that cannot be.
pub fn run(arguments: &Arguments) -> ExitCode {
    let question = match Question::of(arguments.plan.as_deref().unwrap_or_default()) {
        Ok(question) => question,
        Err(message) => clap::Error::raw(ErrorKind::InvalidValue, message).exit(),
    };
    let Err(why) = start(arguments, question.as_ref());
    if question.is_some() {
        eprintln!("warpcomm info: {why}");
        return ExitCode::FAILURE;
    }
    // The first rank tells what all would tell.
    let is_first = launched().is_none_or(|launched| launched.rank.unwrap_or(0) == 0);
    if is_first && let Err(message) = print(arguments, &why) {
        eprintln!("warpcomm info: {message}");
        return ExitCode::FAILURE;
    }
    match arguments.ranks.is_some() || arguments.on.sim.is_some() {
        true => {
            eprintln!("warpcomm info: {why}");
            ExitCode::FAILURE
        }
        false => ExitCode::SUCCESS,
    }
}

/// Becomes what prints the whole.
fn start(arguments: &Arguments, question: Option<&Question<'_>>) -> Result<Never, String> {
    let program = rank_program()?;
    if arguments.ranks.is_none() && launched().is_some() {
        let words = words(arguments, question, None);
        return become_rank(
            &program,
            arguments.on.sim.map(Driver::for_this_host).transpose()?,
            words,
        );
    }
    if let Some((name, problem)) = variables::known()
        .into_iter()
        .find_map(|known| Some((known.name, known.problem?)))
    {
        return Err(format!("{name} cannot be used: {problem}"));
    }
    let launcher =
        Launcher::find(&program, arguments.by.launcher.as_deref()).map_err(|error| error.to_string())?;
    let driver = arguments.on.sim.map(|gpus| Driver::for_job(gpus, None));
    let driver = driver.transpose()?;
    let name = format!("{launcher} ({})", launcher.program.display());
    become_launcher(Ranks {
        number: arguments.ranks.unwrap_or(NonZeroUsize::MIN),
        program: &program,
        launcher: &launcher,
        driver,
        words: words(arguments, question, Some(name)),
    })?;
    Err("the launcher has not started".to_owned())
}

/// What there is none of: who succeeds becomes another program.
enum Never {}

/// Becomes the program of a rank that a launcher has started.
fn become_rank(program: &Path, driver: Option<Driver>, words: Vec<OsString>) -> Result<Never, String> {
    let mut job = Job::new(NonZeroUsize::MIN, program);
    job.args = words;
    if let Some(driver) = driver {
        driver.put_before(&mut job);
        driver.outlive_this_program()?;
    }
    let mut command = Command::new(&job.program);
    let error = command.args(&job.args).envs(job.environment).exec();
    Err(format!("cannot start `{}`: {error}", program.display()))
}

/// What the ranks are told.
fn words(arguments: &Arguments, question: Option<&Question<'_>>, launcher: Option<String>) -> Vec<OsString> {
    let mut words: Vec<OsString> = vec!["info".into()];
    if let Some(launcher) = launcher {
        words.extend(["--launcher".into(), launcher.into()]);
    }
    if let Some(Question { operation, bytes }) = question {
        words.extend(["--operation".into(), operation.into()]);
        words.extend(["--bytes".into(), bytes.to_string().into()]);
    }
    if arguments.json {
        words.push("--json".into());
    }
    if arguments.on.sim.is_some() {
        words.push("--simulated".into());
    }
    words
}

/// Prints what can be told without ranks.
fn print(arguments: &Arguments, why: &str) -> Result<(), String> {
    let host = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let host = host.trim().to_owned();
    let overview = Overview {
        format: FORMAT,
        program: concat!("warpcomm ", env!("CARGO_PKG_VERSION")).to_owned(),
        job: None,
        why_no_job: Some(why.to_owned()),
        gpus: gpus(Path::new("/"), &host),
        host,
        settings: variables::known(),
        unknown_variables: variables::unknown(),
        plan: None,
    };
    let text = match arguments.json {
        true => serde_json::to_string_pretty(&overview).map_err(|error| error.to_string())? + "\n",
        false => overview.to_string(),
    };
    standard_output::print(text)
}
