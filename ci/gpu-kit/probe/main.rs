//! What the CUDA driver says of this machine's GPUs, whether it does what other libraries only hope for, and what its
//! calls cost: a table, and JSON with `--json FILE`. Fails where there is no GPU. What one GPU lacks is said.

mod found;
mod gpu;
mod sharing;
mod table;
mod timing;

use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use serde::Serialize;
use warpcomm::cudarc::driver::{result, sys};

use gpu::Gpu;

/// Whatever went wrong; it is only shown.
type Failure = Box<dyn Error>;

/// Reports on the GPUs of this machine.
#[derive(Parser)]
struct Arguments {
    /// Also write the report as JSON.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    #[command(subcommand)]
    part: Option<Part>,
}

/// What the program does as the other process, which it starts itself.
#[derive(Subcommand)]
enum Part {
    /// Open the memory behind a handle.
    #[command(hide = true)]
    Memory(sharing::Handle),
    /// Open the event behind a handle.
    #[command(hide = true)]
    Event(sharing::Handle),
}

#[derive(Serialize)]
struct Report {
    warpcomm: &'static str,
    /// Whether the driver is the simulated one: then no time is that of a GPU.
    is_simulated: bool,
    driver_version: i32,
    kernel_module: Option<String>,
    mps: String,
    gpus: Vec<Gpu>,
    /// For each GPU the others whose memory it can access.
    peers: Vec<Vec<usize>>,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let outcome = match &arguments.part {
        Some(Part::Memory(handle)) => start().and_then(|()| sharing::open_memory(handle)),
        Some(Part::Event(handle)) => start().and_then(|()| sharing::open_event(handle)),
        None => report(&arguments),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("gpu_probe: {error}");
            ExitCode::FAILURE
        }
    }
}

fn report(arguments: &Arguments) -> Result<(), Failure> {
    let report = probe()?;
    if let Some(file) = &arguments.json {
        std::fs::write(file, serde_json::to_string_pretty(&report)? + "\n")?;
    }
    table::print(&report);
    Ok(())
}

fn probe() -> Result<Report, Failure> {
    start()?;
    let count = usize::try_from(result::device::get_count()?)?;
    if count == 0 {
        return Err("the CUDA driver finds no GPU".into());
    }
    let mut driver_version = 0;
    // SAFETY: writes one number.
    unsafe { sys::cuDriverGetVersion(&mut driver_version) }.result()?;
    let module = std::fs::read_to_string("/proc/driver/nvidia/version").ok();
    let gpus: Vec<Gpu> = (0..count).map(gpu::describe).collect::<Result<_, _>>()?;
    Ok(Report {
        warpcomm: env!("CARGO_PKG_VERSION"),
        is_simulated: gpus.iter().any(Gpu::is_simulated),
        driver_version,
        kernel_module: module.and_then(|text| text.lines().next().map(str::to_owned)),
        mps: mps(),
        peers: (0..count)
            .map(|of| gpu::peers(of, count))
            .collect::<Result<_, _>>()?,
        gpus,
    })
}

/// Initializes the driver, of which no other function may be called where its library is missing.
fn start() -> Result<(), Failure> {
    // SAFETY: looks for the library and its functions.
    if !unsafe { sys::is_culib_present() } {
        return Err("there is no CUDA driver (libcuda.so.1)".into());
    }
    Ok(result::init()?)
}

/// Whether processes share GPUs through a server: the driver looks for its pipe too.
fn mps() -> String {
    let directory = std::env::var_os("CUDA_MPS_PIPE_DIRECTORY").unwrap_or_else(|| "/tmp/nvidia-mps".into());
    let pipe = Path::new(&directory).join("control");
    match pipe.exists() {
        true => format!("a server has {}", pipe.display()),
        false => format!("no, there is no {}", pipe.display()),
    }
}
