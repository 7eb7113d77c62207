//! `warpcomm run`: starts a program under the MPI launcher that fits it.

mod host;
mod parts;
pub mod rank;
mod time_limit;

use std::ffi::{OsStr, OsString};
use std::io::IsTerminal;
use std::num::NonZeroUsize;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::builder::{OsStringValueParser, TypedValueParser};
use clap::{Args, ValueEnum};

use crate::arguments::{ByLauncher, OnGpus};
use crate::launcher::binding::Binding;
use crate::launcher::hosts::Hosts;
use crate::launcher::library::MpiLibrary;
use crate::launcher::surroundings::Surroundings;
use crate::launcher::{Flavour, Job, Launcher, Part, is_executable, on_path, shell};
use crate::prove::Proof;
use crate::sim::{Driver, ranks_are_here};
use crate::standard_output::print;
use crate::units::count;

/// The variable that names the terminal to ranks, which have pipes.
const TERMINAL_VARIABLE: &str = "WARPCOMM_TERMINAL";

const MORE_HELP: &str = "\
Examples:
  warpcomm run -n 4 target/release/examples/hello
  warpcomm run -n 2 --env WARPCOMM_TIMEOUT=10 --dry-run ./solver --steps 100
  warpcomm run -n 4 --sim=2 target/release/examples/matvec --place device
  warpcomm run -n 6 --host node1:2,node2:4 ./solver
  warpcomm run -n 6 --hostfile hosts ./solver
  warpcomm run -n 4 --bind numa ./solver --place device
  warpcomm run -n 4 --tag-output --time-limit 10m ./solver
  warpcomm run -n 1 ./server : -n 3 ./worker --of server
  warpcomm run -n 2 -- ./calculator 6 : 3

The launcher is the first that fits the MPI library which PROGRAM is linked with: srun inside a Slurm
allocation, then mpirun, mpiexec and their usual other names on PATH. Where there are more ranks than
cores, it is told to share cores. The ranks on every host get the variables WARPCOMM_*, RUST_BACKTRACE
and RUST_LOG. srun starts MPI programs by the site's default method; SLURM_MPI_TYPE chooses another.
examples/slurm.sh is a batch script.

A lone colon begins another program, which needs its own -n; the options before the first program are for all ranks,
and all programs must be linked with the same MPI library. Behind -- a colon is an argument like any other.

Hosts are filled in their order. Each takes as many ranks as it has slots, which is 1 where no number is said. The lines
of a host file are NAME, NAME:SLOTS or NAME slots=SLOTS, whatever the launcher; # begins a comment. Programs must be at
the same place on all hosts.

--bind says which cores a rank may use:
  none         all
  round-robin  one; the next rank has the next core of the host, and from the first on again. With srun as many cores
               as the allocation has for a task, and an error where there are more ranks than tasks
  exclusive    one of its own, and where its host has GPUs, a GPU of its own, the only one that it sees; an error
               where they do not suffice
  numa         those of the NUMA node of its GPU; without a GPU, those of one node, the next rank of the next node
Whatever it says, ranks use the GPUs of their host (those in CUDA_VISIBLE_DEVICES) round robin. For numa and exclusive
they are counted as in /proc/driver/nvidia/gpus, in the order of the PCI bus. Without --bind the launcher chooses;
Open MPI is told to bind to none where ranks share cores.

When the time limit is over, the launcher is told to end the job, and is killed after 5 s more; nothing that it has
started on this host is left. The exit status is 124 then, as of timeout(1), which --dry-run shows in its place.

Where there is a GPU and nobody has tried yet whether this MPI takes addresses of its memory, two ranks try it
first, which takes some seconds, once; WARPCOMM_CUDA_AWARE=yes or no says it instead, and WARPCOMM_PATHS can leave
that path out. Jobs on other hosts do without: `warpcomm tune` tries it there.

With --sim the ranks, which must all run on this host, load libsimgpu.so in place of the CUDA driver: GPU
programs run on the CPU. The library is built by `cargo build --release -p simgpu`; it is looked for beside
this command and in `deps` there, or it is the file that the variable WARPCOMM_SIMGPU names.

The exit status is the launcher's own: 0, or what it makes of a rank that failed; 124 after the time limit. It is 1
where the job cannot be started, and 2 where the arguments are wrong.";

/// Start a program under the MPI launcher that fits it
#[derive(Args)]
#[command(
    override_usage = "warpcomm run -n <RANKS> [OPTIONS] <PROGRAM> [ARGS]... [: -n <RANKS> <PROGRAM> [ARGS]...]...",
    after_help = MORE_HELP
)]
pub struct Arguments {
    /// How many ranks to start
    #[arg(short = 'n', long, value_parser = ranks)]
    ranks: NonZeroUsize,

    /// The hosts of the ranks, with how many each takes: a:2,b:4 [default: the batch system's, else this host]
    #[arg(long, value_name = "HOSTS", value_parser = Hosts::of_list, conflicts_with = "hostfile")]
    host: Option<Hosts>,

    /// A file with the hosts of the ranks, one a line
    #[arg(long, value_name = "FILE", value_parser = OsStringValueParser::new().try_map(|file| Hosts::of_file(Path::new(&file))))]
    hostfile: Option<Hosts>,

    /// Which cores ranks may use, and which GPUs [default: the launcher's own choice]
    #[arg(long, value_name = "POLICY")]
    bind: Option<Bind>,

    /// Begin each line that a rank prints with its number, in the launcher's form
    #[arg(long)]
    tag_output: bool,

    /// End the job after so many seconds, or 90s, 10m, 2h, 1d; the exit status is 124 then
    #[arg(long, value_name = "TIME", value_parser = time_limit::duration)]
    time_limit: Option<Duration>,

    #[command(flatten)]
    by: ByLauncher,

    /// A variable to set for every rank; may be repeated
    #[arg(long = "env", value_name = "NAME=VALUE", value_parser = OsStringValueParser::new().try_map(assignment))]
    environment: Vec<(OsString, OsString)>,

    #[command(flatten)]
    on: OnGpus,

    /// Print the launcher's command line instead of running it; not with --sim, whose driver lasts as long as
    /// the job
    #[arg(long, conflicts_with = "sim")]
    dry_run: bool,

    /// The program, a path or a name on PATH, and its own arguments
    #[arg(value_name = "PROGRAM", required = true, trailing_var_arg = true)]
    command: Vec<OsString>,
}

/// Which cores and GPUs a rank uses.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Bind {
    /// All cores
    None,
    /// One core, the next rank the next
    RoundRobin,
    /// A core and a GPU of its own
    Exclusive,
    /// The NUMA node of its GPU
    Numa,
}

/// Why a job was not started.
enum Failure {
    /// The arguments are wrong.
    Usage(String),
    /// Something else is.
    Other(String),
}

impl From<String> for Failure {
    fn from(message: String) -> Self {
        Self::Other(message)
    }
}

pub fn ranks(text: &str) -> Result<NonZeroUsize, String> {
    let ranks: usize = text.parse().map_err(|error| format!("{error}"))?;
    NonZeroUsize::new(ranks).ok_or_else(|| "a job has at least one rank".to_owned())
}

fn assignment(word: OsString) -> Result<(OsString, OsString), String> {
    let bytes = word.as_bytes();
    match bytes.iter().position(|&byte| byte == b'=') {
        Some(length) if length > 0 => Ok((
            OsString::from_vec(bytes[..length].to_vec()),
            OsString::from_vec(bytes[length + 1..].to_vec()),
        )),
        _ => Err("it must be of the form NAME=VALUE".to_owned()),
    }
}

/// Becomes the launcher; returns only after a dry run, a failure, or a job with a time limit.
pub fn run(arguments: &Arguments) -> ExitCode {
    match start(arguments) {
        Ok(code) => code,
        Err(Failure::Usage(message)) => {
            eprintln!("error: {message}\n\nFor more information, try '--help'.");
            ExitCode::from(2)
        }
        Err(Failure::Other(message)) => {
            eprintln!("warpcomm run: {message}");
            ExitCode::FAILURE
        }
    }
}

fn start(arguments: &Arguments) -> Result<ExitCode, Failure> {
    let mut job = job(arguments)?;
    let file = program_to_fit(&job)?;
    let launcher =
        Launcher::find(&file, arguments.by.launcher.as_deref()).map_err(|error| error.to_string())?;
    check(&job, arguments, &launcher)?;
    let environment = job.environment.clone();
    let is_here = job.hosts.as_ref().is_none_or(Hosts::are_here);
    bind(&mut job, arguments)?;
    let hosts = job.hosts.as_ref();
    let driver = arguments.on.sim.map(|gpus| Driver::for_job(gpus, hosts));
    let driver = driver.transpose()?;
    if let Some(driver) = &driver {
        driver.put_before(&mut job);
    }
    if !arguments.dry_run
        && is_here
        && let Some(proof) = Proof::of(&file, &launcher, &environment, driver.as_ref())
    {
        proof.prove_unknown();
    }
    if let (Some(driver), Some(gpus)) = (driver, arguments.on.sim) {
        driver.outlive_this_program()?;
        eprintln!("warpcomm run: {}", count(usize::from(gpus), "simulated GPU"));
    }
    if !arguments.dry_run
        && ranks_are_here(job.hosts.as_ref()).is_ok()
        && let Some(terminal) = terminal()
    {
        job.environment
            .insert(0, (TERMINAL_VARIABLE.into(), terminal.into()));
    }
    let mut command = launcher.command(&job);
    if arguments.dry_run {
        let shown = match arguments.time_limit {
            Some(limit) => &time_limit::as_by_timeout(&command, limit),
            None => &command,
        };
        let mut line = shell::line(shown).into_vec();
        line.push(b'\n');
        print(line)?;
        return Ok(ExitCode::SUCCESS);
    }
    // The launcher takes this process's place, so that signals reach it whoever they are sent by, and its exit
    // status is the command's without translation. A child would live on when this process is terminated.
    let started = match arguments.time_limit {
        Some(limit) => time_limit::run(&mut command, limit),
        None => Err(command.exec()),
    };
    started.map_err(|error| {
        let launcher = launcher.program.display();
        Failure::Other(format!("cannot start the launcher `{launcher}`: {error}"))
    })
}

/// The file of the terminal that this command was started from, if its messages go there.
fn terminal() -> Option<PathBuf> {
    let stderr = std::io::stderr();
    stderr
        .is_terminal()
        .then(|| std::fs::read_link("/proc/self/fd/2").ok())?
}

/// The job that the arguments describe, as far as they say it alone.
fn job(arguments: &Arguments) -> Result<Job, Failure> {
    // clap has taken the hyphens away; the words behind them are the last ones.
    let before = std::env::args_os().rev().nth(arguments.command.len());
    let is_last = before.is_some_and(|word| word == "--");
    let (first, others) = parts::separated(&arguments.command, is_last).unwrap_or_else(|error| error.exit());
    let (program, program_arguments) = first
        .split_first()
        .ok_or_else(|| Failure::Usage("a program must stand before the colon".to_owned()))?;
    let mut job = Job::new(arguments.ranks, program);
    job.args = program_arguments.to_vec();
    job.others = others
        .into_iter()
        .filter_map(|part| {
            let (program, args) = part.command.split_first()?;
            Some(Part {
                ranks: part.ranks,
                program: program.clone(),
                args: args.to_vec(),
            })
        })
        .collect();
    job.environment.extend(arguments.environment.iter().cloned());
    job.hosts = arguments.host.as_ref().or(arguments.hostfile.as_ref()).cloned();
    job.tag_output = arguments.tag_output;
    job.time_limit = arguments.time_limit;
    Ok(job)
}

/// The file of the program whose MPI library the launcher must fit.
fn program_to_fit(job: &Job) -> Result<PathBuf, String> {
    let mut files = Vec::new();
    for part in job.parts() {
        let file = find_program(part.program)?;
        files.push((part.program, MpiLibrary::of(&file), file));
    }
    let mut linked = files
        .iter()
        .filter_map(|(program, library, file)| Some((program, (*library)?, file)));
    let Some((first, library, file)) = linked.next() else {
        // Scripts, or interpreters: any launcher will do.
        return Ok(files.swap_remove(0).2);
    };
    match linked.find(|(_, other, _)| *other != library) {
        Some((program, other, _)) => Err(format!(
            "`{}` is linked with {library}, but `{}` with {other}: their ranks would not find each other in one job",
            first.to_string_lossy(),
            program.to_string_lossy()
        )),
        None => Ok(file.clone()),
    }
}

/// Says what cannot be, instead of leaving it to the launcher, which may ignore it.
fn check(job: &Job, arguments: &Arguments, launcher: &Launcher) -> Result<(), Failure> {
    let ranks = job.size();
    if let Some(hosts) = &job.hosts {
        let slots = hosts.slots();
        if ranks.get() > slots {
            return Err(Failure::Usage(format!(
                "{} are more than the {} of the hosts {hosts}",
                count(ranks.get(), "rank"),
                count(slots, "slot")
            )));
        }
    }
    if arguments.on.sim.is_some() {
        ranks_are_here(job.hosts.as_ref()).map_err(Failure::Usage)?;
    }
    let surroundings = Surroundings::of_this_process();
    let slots = surroundings.slots_for(job);
    if launcher.flavour == Flavour::Slurm {
        let is_bound = matches!(arguments.bind, Some(Bind::RoundRobin | Bind::Exclusive));
        if let Some(slots) =
            slots.filter(|&slots| surroundings.in_slurm_allocation && is_bound && ranks > slots)
        {
            return Err(Failure::Usage(format!(
                "srun binds no ranks that share cores: {ranks} are more than the {} of the allocation; use --bind none or \
                 numa",
                count(slots.get(), "task")
            )));
        }
    }
    if arguments.bind == Some(Bind::Exclusive) && runs_here(job, launcher) {
        let gpus = match arguments.on.sim {
            Some(gpus) => Some(usize::from(gpus)),
            None => rank::number_of_gpus(&job.environment),
        };
        rank::enough_for(ranks.get(), slots.map(NonZeroUsize::get), gpus).map_err(Failure::Usage)?;
    }
    Ok(())
}

/// Has launcher and ranks bind as the policy says.
fn bind(job: &mut Job, arguments: &Arguments) -> Result<(), String> {
    let Some(policy) = arguments.bind else {
        return Ok(());
    };
    job.binding = Some(match policy {
        Bind::None | Bind::Numa => Binding::Nothing,
        Bind::RoundRobin => Binding::RoundRobin,
        Bind::Exclusive => Binding::Exclusive,
    });
    match policy {
        Bind::Numa => rank::put_before(job, rank::Policy::Numa, arguments.on.sim),
        Bind::Exclusive => rank::put_before(job, rank::Policy::Exclusive, arguments.on.sim),
        Bind::None | Bind::RoundRobin => Ok(()),
    }
}

/// Whether all ranks are known to run on this host.
fn runs_here(job: &Job, launcher: &Launcher) -> bool {
    match &job.hosts {
        Some(hosts) => hosts.are_here(),
        None => {
            let surroundings = Surroundings::of_this_process();
            let is_batch = surroundings.in_slurm_allocation || launcher.flavour == Flavour::Slurm;
            // A batch system that is not read here may have given other hosts.
            !is_batch && surroundings.slots.is_some()
        }
    }
}

/// The file of `program`, looked up as a shell would; the error says what is wrong with it.
fn find_program(program: &OsStr) -> Result<PathBuf, String> {
    let shown = program.to_string_lossy();
    if !program.as_bytes().contains(&b'/') {
        return on_path(program).ok_or_else(|| {
            let hint = if Path::new(program).is_file() {
                format!("; did you mean `./{shown}`?")
            } else {
                String::new()
            };
            format!("the program `{shown}` is not on PATH{hint}")
        });
    }
    let path = PathBuf::from(program);
    match path.metadata() {
        Err(error) => Err(format!("the program `{shown}` cannot be found: {error}")),
        Ok(metadata) if metadata.is_dir() => Err(format!("the program `{shown}` is a directory")),
        Ok(_) if !is_executable(&path) => Err(format!("the program `{shown}` is not executable")),
        Ok(_) => Ok(path),
    }
}
