//! What the ranks of one job do.

use std::fmt;
use std::path::Path;

use clap::ValueEnum;
use serde::{Deserialize, Serialize};
use warpcomm::{Place, Runtime};

use crate::contest::Effort;
use crate::gpu::Description;
use crate::model::{GpuLimits, HostLimits, Way};
use crate::modelled::Observed;
use crate::verdict::Verdict;
use crate::{Failure, collectives, hosts, kernels, messages, mpi_call, read};

/// What a job is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Part {
    /// The limits of the GPU, and its kernels beside them.
    Kernels,
    /// The limits of hosts, and their messages beside raw MPI's.
    Hosts,
    /// Messages between two ranks' buffers on the GPU.
    Messages,
    /// Collectives of any number of ranks.
    Collectives,
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Part::Kernels => "kernels",
            Part::Hosts => "hosts",
            Part::Messages => "messages",
            Part::Collectives => "collectives",
        })
    }
}

/// The one path that long messages of the GPU may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Forced {
    SharedPinned,
    Staged,
    #[value(name = "same-gpu-ipc")]
    Ipc,
}

impl Forced {
    /// The setting that forces it, which is its name on the command line, too.
    pub fn paths(self) -> &'static str {
        match self {
            Forced::SharedPinned => "shared-pinned",
            Forced::Staged => "staged",
            Forced::Ipc => "same-gpu-ipc",
        }
    }

    /// From a buffer that others can copy from, or of a path that takes any alike.
    pub fn way(self) -> Way {
        match self {
            Forced::SharedPinned => Way::SharedPinned,
            Forced::Staged => Way::Staged,
            Forced::Ipc => Way::SameGpuIpc,
        }
    }

    /// The path by its name.
    pub fn path(self) -> warpcomm::Path {
        match self {
            Forced::SharedPinned => warpcomm::Path::SharedPinned,
            Forced::Staged => warpcomm::Path::Staged,
            Forced::Ipc => warpcomm::Path::SameGpuIpc,
        }
    }
}

/// What rank 0 hands to the process that has started it.
#[derive(Default, Serialize, Deserialize)]
pub struct Measured {
    /// The MPI library, in its own words.
    pub mpi_library: String,
    /// The thread level that it granted.
    pub thread_level: String,
    /// None where there is none, and why.
    pub gpu: Option<Description>,
    pub why_no_gpu: String,
    pub gpu_limits: Option<GpuLimits>,
    pub host_limits: Option<HostLimits>,
    pub targets: Vec<Verdict>,
    /// Of which there is a model.
    pub observed: Vec<Observed>,
}

/// Takes part as one of the ranks; rank 0 writes what was measured.
pub fn run(
    part: Part,
    forced: Option<Forced>,
    effort: Effort,
    [limits, measured]: [&Path; 2],
) -> Result<(), Failure> {
    let runtime = Runtime::init()?;
    if let Err(error) = take(&runtime, part, forced, effort, [limits, measured]) {
        // To end MPI properly would be to wait for the other ranks, which may be waiting for this one.
        eprintln!("targets, {part}: {error}");
        mpi_call::abort();
    }
    Ok(runtime.finalize()?)
}

fn take(
    runtime: &Runtime,
    part: Part,
    forced: Option<Forced>,
    effort: Effort,
    [limits, file]: [&Path; 2],
) -> Result<(), Failure> {
    let comm = runtime.world()?;
    let mut measured = Measured {
        mpi_library: runtime.library_version().trim().to_owned(),
        thread_level: runtime.thread_level().to_string(),
        ..Measured::default()
    };
    match part {
        Part::Kernels => match Place::Device.check() {
            Ok(()) => kernels::measure(&comm, effort, &mut measured)?,
            // Benches are smoke-tested on machines without a GPU too; who needs one says so.
            Err(error) if std::env::var_os("WARPCOMM_REQUIRE_GPU").is_some_and(|value| value == "1") => {
                return Err(error.into());
            }
            Err(error) => measured.why_no_gpu = error.to_string(),
        },
        Part::Hosts => hosts::measure(&comm, effort, &mut measured)?,
        Part::Messages => {
            let forced = forced.ok_or("no path is forced")?;
            messages::measure(&comm, forced, effort, &read(limits)?, &mut measured)?;
        }
        Part::Collectives => collectives::measure(&comm, forced, effort, &read(limits)?, &mut measured)?,
    }
    if comm.rank() == 0 {
        std::fs::write(file, serde_json::to_vec(&measured)?)?;
    }
    Ok(())
}
