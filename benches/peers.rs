//! The product of a matrix and a vector on one GPU, by the kernel of `kernels/matvec.cu` and by cuBLAS, in one run:
//! `cargo bench --bench peers -- --json FILE`.
//!
//! cuBLAS is looked for when it runs; if it is not there, that is said, and is no failure. On a simulated GPU, or with
//! `--test`, only the results are checked. (What else moves the buffers of GPUs, NCCL and copies by hand, `warpcomm bench
//! compare` measures.)

#[path = "peers/cublas.rs"]
mod cublas;
#[path = "peers/matvec.rs"]
mod matvec;
#[path = "../src/bin/shared/simulated.rs"]
mod simulated;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use serde::Serialize;
use warpcomm::Place;
use warpcomm::cudarc::driver::CudaContext;

/// Whatever went wrong; it is only shown.
type Failure = Box<dyn std::error::Error>;

/// Measures a product on a GPU beside others' of the same run.
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
    gpu: String,
    matvec: matvec::Measured,
}

/// How much is done.
#[derive(Clone, Copy)]
struct Effort {
    is_checked_only: bool,
    rounds: usize,
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("peers: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<(), Failure> {
    if let Err(error) = Place::Device.check() {
        // Benches are smoke-tested on machines without a GPU too; who needs one says so.
        if std::env::var_os("WARPCOMM_REQUIRE_GPU").is_some_and(|value| value == "1") {
            return Err(error.into());
        }
        eprintln!("peers: nothing was measured: {error}");
        return Ok(());
    }
    let context = CudaContext::new(0)?;
    let gpu = context.name()?;
    let is_measured = arguments.bench || arguments.json.is_some();
    let is_checked_only = arguments.test || !is_measured || simulated::is_simulated(&gpu);
    let effort = Effort {
        is_checked_only,
        rounds: if is_checked_only { 2 } else { 31 },
    };
    println!("{gpu}");
    let matvec = matvec::measure(&context, effort)?;
    println!("{}", matvec.line(effort));
    if is_checked_only {
        println!("the results are right; nothing was measured");
        return Ok(());
    }
    let document = Document {
        warpcomm: env!("CARGO_PKG_VERSION"),
        gpu,
        matvec,
    };
    match &arguments.json {
        Some(file) => Ok(std::fs::write(
            file,
            serde_json::to_string_pretty(&document)? + "\n",
        )?),
        None => Ok(()),
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
