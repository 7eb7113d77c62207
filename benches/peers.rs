//! Device buffers by warpcomm beside what else moves and multiplies them, in one run:
//! `cargo bench --bench peers -- --json FILE`.
//!
//! `allreduce` and `bcast` of two ranks: by warpcomm; by hand, which is a copy to the host, MPI's own operation there
//! and a copy back; and by NCCL. The product of a matrix and a vector: by the kernel of `kernels/matvec.cu`, and by
//! cuBLAS. NCCL and cuBLAS are looked for when it runs; what is not there is said, and is no failure. Times are medians
//! over rounds, those of the slower rank. On a simulated GPU, or with `--test`, only the results are checked.

#[path = "peers/collectives.rs"]
mod collectives;
#[path = "peers/cublas.rs"]
mod cublas;
#[allow(dead_code)]
#[path = "../src/bin/warpcomm/launcher.rs"]
mod launcher;
#[path = "peers/matvec.rs"]
mod matvec;
#[path = "peers/nccl.rs"]
mod nccl;
#[allow(dead_code, reason = "another bench needs the rest of it")]
#[path = "against_mpi/raw.rs"]
mod raw;

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use launcher::{Job, Launcher};
use serde::Serialize;
use warpcomm::{Communicator, Place, Runtime};

/// Whatever went wrong; it is only shown.
type Failure = Box<dyn std::error::Error>;

const RANKS: NonZeroUsize = NonZeroUsize::new(2).unwrap();

/// Set in the ranks of the MPI job.
const RANK_VARIABLE: &str = "WARPCOMM_TEST_BENCH_RANK";

/// Lets NCCL, from 2.30 on, take several ranks on one GPU.
const SEVERAL_RANKS: (&str, &str) = ("NCCL_MULTI_RANK_GPU_ENABLE", "1");

/// Measures operations on device buffers beside others' of the same run.
#[derive(Parser)]
struct Arguments {
    /// Also write the figures as JSON.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Only check that results are right, at small sizes.
    #[arg(long)]
    test: bool,
    /// `cargo bench` always passes this.
    #[arg(long, hide = true)]
    bench: bool,
}

/// What was measured on which GPU.
#[derive(Serialize)]
struct Document {
    warpcomm: &'static str,
    mpi_library: String,
    gpu: String,
    ranks: usize,
    collectives: collectives::Measured,
    matvec: matvec::Measured,
}

/// How much is done.
#[derive(Clone, Copy)]
struct Effort {
    is_checked_only: bool,
    rounds: usize,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let is_rank = std::env::var_os(RANK_VARIABLE).is_some();
    let outcome = match is_rank {
        true => rank(&arguments),
        false => launch(),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("peers: {error}");
            if is_rank {
                // To end MPI properly would be to wait for the other rank, which may be waiting for this one.
                raw::abort();
            }
            ExitCode::FAILURE
        }
    }
}

/// Starts this program again, as the ranks of an MPI job with the same arguments.
fn launch() -> Result<(), Failure> {
    if let Err(error) = Place::Device.check() {
        // Benches are smoke-tested on machines without a GPU too; who needs one says so.
        if std::env::var_os("WARPCOMM_REQUIRE_GPU").is_some_and(|value| value == "1") {
            return Err(error.into());
        }
        eprintln!("peers: nothing was measured: {error}");
        return Ok(());
    }
    let program = std::env::current_exe()?;
    let launcher = Launcher::find(&program, None)?;
    let mut job = Job::new(RANKS, program);
    job.args = std::env::args_os().skip(1).collect();
    job.environment.push((RANK_VARIABLE.into(), "1".into()));
    let (name, value) = SEVERAL_RANKS;
    job.environment.push((name.into(), value.into()));
    let status = launcher.command(&job).status()?;
    match status.success() {
        true => Ok(()),
        false => Err(format!("the job under {launcher} ended with {status}").into()),
    }
}

fn rank(arguments: &Arguments) -> Result<(), Failure> {
    let runtime = Runtime::init()?;
    let comm = runtime.world()?;
    measure(&runtime, &comm, arguments)?;
    drop(comm);
    Ok(runtime.finalize()?)
}

fn measure(runtime: &Runtime, comm: &Communicator, arguments: &Arguments) -> Result<(), Failure> {
    let gpu = comm.device()?.name()?;
    let is_measured = arguments.bench || arguments.json.is_some();
    let is_checked_only = arguments.test || !is_measured || gpu.to_lowercase().contains("simulated");
    let effort = Effort {
        is_checked_only,
        rounds: if is_checked_only { 2 } else { 31 },
    };
    let say = |line: &str| {
        if comm.rank() == 0 {
            println!("{line}");
        }
    };
    say(&gpu);
    let collectives = collectives::measure(comm, effort, &say)?;
    // The product is one rank's; the other waits.
    let matvec = match comm.rank() {
        0 => Some(matvec::measure(comm, effort)?),
        _ => None,
    };
    comm.barrier()?;
    let Some(matvec) = matvec else { return Ok(()) };
    say(&matvec.line(effort));
    if effort.is_checked_only {
        println!("the results are right; nothing was measured");
    }
    let document = Document {
        warpcomm: env!("CARGO_PKG_VERSION"),
        mpi_library: runtime.library_version().to_owned(),
        gpu,
        ranks: comm.size(),
        collectives,
        matvec,
    };
    match &arguments.json {
        Some(file) if !effort.is_checked_only => Ok(std::fs::write(
            file,
            serde_json::to_string_pretty(&document)? + "\n",
        )?),
        _ => Ok(()),
    }
}

/// The middle one of times in seconds.
fn median(times: &mut [f64]) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

/// A time, or why there is none.
#[derive(Serialize)]
#[serde(untagged)]
enum Peer {
    Seconds(f64),
    Not { error: String },
}

impl Peer {
    fn words(&self) -> String {
        match self {
            Peer::Seconds(seconds) => format!("{:.1} us", seconds * 1e6),
            Peer::Not { error } => error.clone(),
        }
    }
}
