//! Every target of performance, as a part of the limit or peer that was measured in the same run, and what operations
//! should take beside what they do: `cargo bench --features cli --bench targets -- --json FILE`.
//!
//! The program starts itself again as the ranks of several jobs, one after the other: the limits of the GPU and of
//! messages between hosts first, then messages with each path forced, overlap, and collectives of 2 to 7 ranks, all on
//! one GPU. Medians of many rounds, of the slower rank; operands are used in turn, so that no cache holds them; what
//! carried the bytes is asked afterwards, and another way than the one that a row is about is a failure. A target that is
//! missed is reported, and is no failure.
//!
//! Without a GPU only what hosts do is measured. On a simulated one, with `--sim`, everything is run once, and nothing is
//! timed: its times mean nothing.

#[allow(unused_imports, reason = "the command has its tests")]
#[path = "../src/bin/shared/carried.rs"]
mod carried;
#[path = "targets/collectives.rs"]
mod collectives;
#[path = "against_mpi/contest.rs"]
mod contest;
#[path = "shared/document.rs"]
mod document;
#[path = "targets/gpu.rs"]
mod gpu;
#[path = "targets/hosts.rs"]
mod hosts;
#[path = "targets/kernels.rs"]
mod kernels;
#[path = "against_mpi/latency.rs"]
mod latency;
#[allow(dead_code, reason = "the command needs more of it")]
#[path = "../src/bin/warpcomm/launcher.rs"]
mod launcher;
#[path = "targets/limits.rs"]
mod limits;
#[path = "../src/bin/shared/machine.rs"]
mod machine;
#[path = "targets/messages.rs"]
mod messages;
#[path = "targets/model.rs"]
mod model;
#[path = "targets/modelled.rs"]
mod modelled;
#[path = "../src/bin/shared/mpi_call.rs"]
mod mpi_call;
#[path = "targets/overlap.rs"]
mod overlap;
#[path = "../src/bin/shared/provenance.rs"]
mod provenance;
#[path = "targets/rank.rs"]
mod rank;
#[allow(dead_code, reason = "only messages are compared here")]
#[path = "against_mpi/raw.rs"]
mod raw;
#[allow(dead_code, reason = "only the machine is described with it")]
#[path = "../src/bin/shared/record.rs"]
mod record;
#[allow(dead_code, unused_imports, reason = "the command has its tests")]
#[path = "../src/bin/shared/repeats.rs"]
mod repeats;
#[allow(dead_code, reason = "of its rows only the times are needed")]
#[path = "against_mpi/row.rs"]
mod row;
#[allow(dead_code, reason = "the command needs more of it")]
#[path = "../src/bin/warpcomm/sim.rs"]
mod sim;
#[path = "../src/bin/shared/simulated.rs"]
mod simulated;
#[allow(dead_code, reason = "records need it")]
#[path = "../src/bin/shared/statistics.rs"]
mod statistics;
#[path = "targets/timing.rs"]
mod timing;
#[path = "targets/verdict.rs"]
mod verdict;
#[path = "targets/way.rs"]
mod way;

use std::error::Error;
use std::ffi::OsString;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Parser;
use serde::Serialize;

use contest::Effort;
use document::{Document, Launch};
use gpu::Description;
use launcher::{Job, Launcher};
use model::{GpuLimits, HostLimits, Limits};
use modelled::Modelled;
use rank::{Forced, Measured, Part};
use sim::Driver;
use verdict::Verdict;

/// The setting that forces a job to a path.
const PATHS_VARIABLE: &str = "WARPCOMM_PATHS";

/// Whatever went wrong; it is only shown.
type Failure = Box<dyn Error>;

/// Measures every target of performance against the limits of this machine.
///
/// Without arguments, as `cargo test --benches` starts it, it only checks that what arrives is right.
#[derive(Parser)]
struct Arguments {
    /// Measure roughly, in about a minute, as without --json.
    #[arg(long, conflicts_with = "full")]
    quick: bool,
    /// Take the time that good figures need, as with --json.
    #[arg(long, conflicts_with_all = ["test", "sim"])]
    full: bool,
    /// Also write the figures and what they were measured with to a file.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["test", "sim"])]
    json: Option<PathBuf>,
    /// Only check that what arrives is right, without figures.
    #[arg(long)]
    test: bool,
    /// Simulate a GPU on the CPU, and only check; the library is looked for as `warpcomm run --sim` does.
    #[arg(long)]
    sim: bool,
    /// The MPI launcher to use, by path or by name; otherwise the first that fits.
    #[arg(long, value_name = "LAUNCHER")]
    launcher: Option<OsString>,
    /// Measure; `cargo bench` always passes this.
    #[arg(long, hide = true)]
    bench: bool,
    /// This process is a rank that takes this part.
    #[arg(long, hide = true, requires = "files")]
    part: Option<Part>,
    /// This rank's job is forced to a path.
    #[arg(long, hide = true, requires = "part")]
    forced: Option<Forced>,
    /// Where rank 0 finds the limits, and leaves what it has measured.
    #[arg(long, hide = true, value_names = ["LIMITS", "MEASURED"], num_args = 2)]
    files: Option<Vec<PathBuf>>,
}

impl Arguments {
    fn effort(&self) -> Effort {
        match () {
            () if self.test || self.sim => Effort::Check,
            () if self.full => Effort::Full,
            () if self.quick => Effort::Quick,
            () if self.json.is_some() => Effort::Full,
            () if self.bench => Effort::Quick,
            () => Effort::Check,
        }
    }
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let outcome = match (arguments.part, arguments.files.as_deref()) {
        (Some(part), Some([limits, measured])) => {
            rank::run(part, arguments.forced, arguments.effort(), [limits, measured])
        }
        _ => run(&arguments),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("targets: {error}");
            ExitCode::FAILURE
        }
    }
}

/// What is written down.
#[derive(Serialize)]
struct Figures {
    /// Each job that was started.
    launches: Vec<Launch>,
    mpi_library: String,
    thread_level: String,
    /// None where there is none.
    gpu: Option<Description>,
    limits: Limits,
    targets: Vec<Verdict>,
    modelled: Vec<Modelled>,
}

/// Refuses the settings of the caller with which figures would be of something else.
fn check_settings() -> Result<(), Failure> {
    let of_others = [PATHS_VARIABLE, "WARPCOMM_TRACE"];
    match of_others.iter().find(|name| std::env::var_os(name).is_some()) {
        Some(name) => Err(format!("{name} is set, and every figure would be one with it; unset it").into()),
        None => Ok(()),
    }
}

/// Runs the jobs, and shows what they have measured.
fn run(arguments: &Arguments) -> Result<(), Failure> {
    check_settings()?;
    if let Some(file) = &arguments.json {
        document::check_directory(file)?;
    }
    // What describes the machine is asked before the ranks make it busy.
    let document = Document::new("targets");
    let mut jobs = Jobs::new(arguments)?;
    let kernels = jobs.run(Part::Kernels, 1, None)?;
    match &kernels.gpu {
        Some(gpu) if gpu.is_simulated => {
            println!("simulated GPU: everything is run once, and nothing is timed or judged");
            jobs.effort = Effort::Check;
        }
        Some(gpu) => println!("{}, driver {}", gpu.gpu, gpu.driver),
        None => println!("only what hosts do: {}", kernels.why_no_gpu),
    }
    let hosts = jobs.run(Part::Hosts, 2, None)?;
    let host = hosts.host_limits.ok_or("no limits of hosts were measured")?;
    let limits = Limits {
        // A rank may be bound to some.
        host: HostLimits {
            processors: std::thread::available_parallelism().map_or(1, usize::from),
            ..host
        },
        gpu: kernels.gpu_limits,
    };
    jobs.tell(&limits)?;
    let has_gpu = kernels.gpu.is_some();
    let (gpu, mpi_library, thread_level) = (
        kernels.gpu.clone(),
        hosts.mpi_library.clone(),
        hosts.thread_level.clone(),
    );
    let mut all = vec![kernels, hosts];
    if has_gpu {
        for forced in [Forced::SharedPinned, Forced::Staged, Forced::Ipc] {
            all.push(jobs.run(Part::Messages, 2, Some(forced))?);
        }
    }
    let counts = match jobs.effort {
        Effort::Check => 2..=3,
        _ => 2..=7,
    };
    for ranks in counts {
        let forced = has_gpu.then_some(Forced::Ipc);
        all.push(jobs.run(Part::Collectives, ranks, forced)?);
        if has_gpu {
            all.push(jobs.run(Part::Collectives, ranks, Some(Forced::SharedPinned))?);
        }
    }
    let (mut targets, mut observed) = (Vec::new(), Vec::new());
    for part in all {
        targets.extend(part.targets);
        observed.extend(part.observed);
    }
    if jobs.effort == Effort::Check {
        targets.iter().for_each(|row| println!("{}", row.unjudged()));
        let cases = targets.len() + observed.len();
        println!("targets: {cases} cases arrive as they should");
        return Ok(());
    }
    let modelled = modelled::all(&limits, &observed);
    show(&limits, &targets, &modelled);
    if let Some(file) = &arguments.json {
        let figures = Figures {
            launches: jobs.launches,
            mpi_library,
            thread_level,
            gpu,
            limits,
            targets,
            modelled,
        };
        document.write(&figures, file)?;
    }
    Ok(())
}

/// The limits, each target with its verdict, and the model.
fn show(limits: &Limits, targets: &[Verdict], modelled: &[Modelled]) {
    let HostLimits {
        latency_seconds,
        bytes_per_second,
        fold_bytes_per_second,
        processors,
    } = limits.host;
    println!(
        "\nhosts: message {:.2} us, {:.1} GB/s; fold {:.1} GB/s; {processors} hardware threads",
        latency_seconds * 1e6,
        bytes_per_second / 1e9,
        fold_bytes_per_second / 1e9
    );
    if let Some(gpu) = &limits.gpu {
        let GpuLimits {
            copy_bytes_per_second,
            down_bytes_per_second,
            up_bytes_per_second,
            both_bytes_per_second,
            copy_and_event_seconds,
            launch_seconds,
            synchronize_seconds,
        } = gpu;
        println!(
            "GPU: copies {:.1} GB/s; pinned memory {:.1} down, {:.1} up, {:.1} each way at once; copy and event {:.2} us, \
             launch {:.2} us, wait {:.2} us",
            copy_bytes_per_second / 1e9,
            down_bytes_per_second / 1e9,
            up_bytes_per_second / 1e9,
            both_bytes_per_second / 1e9,
            copy_and_event_seconds * 1e6,
            launch_seconds * 1e6,
            synchronize_seconds * 1e6
        );
    }
    println!("\n{}", Verdict::heads());
    targets.iter().for_each(|row| println!("{row}"));
    let aimed = targets.iter().filter(|row| row.reached.is_some()).count();
    let reached = targets.iter().filter(|row| row.reached == Some(true)).count();
    println!(
        "\n{reached} of {aimed} targets reached\n\n{}",
        modelled::table(modelled)
    );
}

/// The jobs of this run.
struct Jobs {
    program: PathBuf,
    launcher: Launcher,
    /// Where the simulated driver lies, if it is used.
    driver: Option<Driver>,
    scratch: tempfile::TempDir,
    effort: Effort,
    launches: Vec<Launch>,
}

impl Jobs {
    fn new(arguments: &Arguments) -> Result<Jobs, Failure> {
        let program = std::env::current_exe()?;
        Ok(Jobs {
            launcher: Launcher::find(&program, arguments.launcher.as_deref())?,
            driver: arguments.sim.then(|| Driver::for_job(1, None)).transpose()?,
            scratch: tempfile::tempdir()?,
            effort: arguments.effort(),
            launches: Vec::new(),
            program,
        })
    }

    fn file(&self, name: &str) -> PathBuf {
        self.scratch.path().join(name)
    }

    /// Lets later jobs know the limits.
    fn tell(&self, limits: &Limits) -> Result<(), Failure> {
        Ok(std::fs::write(self.file("limits"), serde_json::to_vec(limits)?)?)
    }

    /// What so many ranks measure, with one path forced or none.
    fn run(&mut self, part: Part, ranks: usize, forced: Option<Forced>) -> Result<Measured, Failure> {
        let number = NonZeroUsize::new(ranks).ok_or("no ranks")?;
        let (limits, measured) = (self.file("limits"), self.file("measured"));
        let mut job = Job::new(number, &self.program);
        job.args = vec![
            self.effort.flag().into(),
            "--part".into(),
            part.to_string().into(),
            "--files".into(),
            limits.into(),
            measured.clone().into(),
        ];
        if let Some(forced) = forced {
            job.args.extend(["--forced".into(), forced.paths().into()]);
            job.environment
                .push((PATHS_VARIABLE.into(), forced.paths().into()));
        }
        // All ranks on one GPU, the first of those that may be used.
        let visible = std::env::var("CUDA_VISIBLE_DEVICES").unwrap_or_default();
        let first = match visible.split(',').next() {
            None | Some("") => "0",
            Some(first) => first,
        };
        job.environment
            .push(("CUDA_VISIBLE_DEVICES".into(), first.into()));
        if let Some(driver) = &self.driver {
            driver.put_before(&mut job);
        }
        let mut command = self.launcher.command(&job);
        let launch = Launch::new(&self.launcher, &job, &command);
        let status = command
            .status()
            .map_err(|error| format!("{} cannot be started: {error}", self.launcher.program.display()))?;
        if !status.success() {
            return Err(format!(
                "the job of {ranks} ranks for {part} under {} ended with {status}",
                self.launcher
            )
            .into());
        }
        self.launches.push(launch);
        read(&measured)
    }
}

/// What another process of this run has written.
fn read<T: serde::de::DeserializeOwned>(file: &Path) -> Result<T, Failure> {
    Ok(serde_json::from_slice(&std::fs::read(file)?)?)
}
