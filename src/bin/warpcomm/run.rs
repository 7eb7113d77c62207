//! `warpcomm run`: starts a program under the MPI launcher that fits it.

use std::ffi::{OsStr, OsString};
use std::io::Write;
use std::num::NonZeroUsize;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use clap::builder::{OsStringValueParser, TypedValueParser};

use crate::launcher::{Job, Launcher, is_executable, on_path, shell};
use crate::prove::Proof;
use crate::sim::Driver;

const MORE_HELP: &str = "\
Examples:
  warpcomm run -n 4 target/release/examples/hello
  warpcomm run -n 2 --env WARPCOMM_TIMEOUT=10 --dry-run ./solver --steps 100
  warpcomm run -n 4 --sim=2 target/release/examples/matvec --place device

The launcher is the first that fits the MPI library which PROGRAM is linked with: srun inside a Slurm
allocation, then mpirun, mpiexec and their usual other names on PATH. Where there are more ranks than
cores, it is told to share cores. The ranks on every host get the variables WARPCOMM_*, RUST_BACKTRACE
and RUST_LOG. srun starts MPI programs by the site's default method; SLURM_MPI_TYPE chooses another.

Where there is a GPU and nobody has tried yet whether this MPI takes addresses of its memory, two ranks try it
first, which takes some seconds, once; WARPCOMM_CUDA_AWARE=yes or no says it instead, and WARPCOMM_PATHS can leave
that path out.

With --sim the ranks, which must all run on this host, load libsimgpu.so in place of the CUDA driver: GPU
programs run on the CPU. The library is built by `cargo build --release -p simgpu`; it is looked for beside
this command and in `deps` there, or it is the file that the variable WARPCOMM_SIMGPU names.

The exit status is the launcher's own: 0, or what it makes of a rank that failed. It is 1 where the job
cannot be started, and 2 where the arguments are wrong.";

/// Start a program under the MPI launcher that fits it
#[derive(Args)]
#[command(
    override_usage = "warpcomm run -n <RANKS> [OPTIONS] <PROGRAM> [ARGS]...",
    after_help = MORE_HELP
)]
pub struct Arguments {
    /// How many ranks to start
    #[arg(short = 'n', long, value_parser = ranks)]
    ranks: NonZeroUsize,

    /// The launcher, a path or a name on PATH [default: WARPCOMM_LAUNCHER, else one that fits]
    #[arg(long, value_name = "LAUNCHER")]
    launcher: Option<OsString>,

    /// A variable to set for every rank; may be repeated
    #[arg(long = "env", value_name = "NAME=VALUE", value_parser = OsStringValueParser::new().try_map(assignment))]
    environment: Vec<(OsString, OsString)>,

    /// Simulate GPUs on the CPU, 1 to 16, instead of using those of the machine [default with --sim: 1]
    #[arg(long, value_name = "GPUS", num_args = 0..=1, require_equals = true, default_missing_value = "1",
          value_parser = clap::value_parser!(u8).range(1..=16))]
    sim: Option<u8>,

    /// Print the launcher's command line instead of running it; not with --sim, whose driver lasts as long as
    /// the job
    #[arg(long, conflicts_with = "sim")]
    dry_run: bool,

    /// The program, a path or a name on PATH, and its own arguments
    #[arg(value_name = "PROGRAM", required = true, trailing_var_arg = true)]
    command: Vec<OsString>,
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

/// Becomes the launcher; returns only after a dry run or a failure.
pub fn run(arguments: &Arguments) -> ExitCode {
    match start(arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("warpcomm run: {message}");
            ExitCode::FAILURE
        }
    }
}

fn start(arguments: &Arguments) -> Result<(), String> {
    let (program, program_arguments) = arguments.command.split_first().ok_or("no program is given")?;
    let file = find_program(program)?;
    let launcher = Launcher::find(&file, arguments.launcher.as_deref()).map_err(|error| error.to_string())?;
    let mut job = Job::new(arguments.ranks, program);
    job.args = program_arguments.to_vec();
    job.environment.extend(arguments.environment.iter().cloned());
    let environment = job.environment.clone();
    let driver = arguments.sim.map(Driver::new).transpose()?;
    if let Some(driver) = &driver {
        driver.put_before(&mut job);
    }
    if !arguments.dry_run
        && let Some(proof) = Proof::of(&file, &launcher, &environment, driver.as_ref())
    {
        proof.prove_unknown();
    }
    if let (Some(driver), Some(gpus)) = (driver, arguments.sim) {
        driver.outlive_this_program()?;
        let plural = if gpus == 1 { "" } else { "s" };
        eprintln!("warpcomm run: {gpus} simulated GPU{plural}");
    }
    let mut command = launcher.command(&job);
    if arguments.dry_run {
        let mut line = shell::line(&command).into_vec();
        line.push(b'\n');
        return std::io::stdout()
            .write_all(&line)
            .map_err(|error| format!("cannot write to the standard output: {error}"));
    }
    // The launcher takes this process's place, so that signals reach it whoever they are sent by, and its exit
    // status is the command's without translation. A child would live on when this process is terminated.
    let error = command.exec();
    Err(format!(
        "cannot start the launcher `{}`: {error}",
        launcher.program.display()
    ))
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
