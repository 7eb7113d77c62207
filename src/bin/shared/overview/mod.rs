//! What `warpcomm info` tells: one object, printed as text or as JSON. `docs/info.md` describes every field.

mod text;

use serde::{Deserialize, Serialize};

use crate::variables::{Unknown, Variable};

/// The version of the format.
pub const FORMAT: u32 = 2;

/// A machine and a job on it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Overview {
    /// [`FORMAT`].
    pub format: u32,
    /// Who tells it, with its version: `warpcomm 0.1.0`.
    pub program: String,
    /// The host of rank 0, or that of the command where there are no ranks.
    pub host: String,
    /// What the ranks know; none where none could be started.
    pub job: Option<Job>,
    /// Why there is no job, if there is none.
    pub why_no_job: Option<String>,
    /// Those that the ranks see, each once; without a job, those that the driver's files show.
    pub gpus: Vec<Gpu>,
    /// Every variable that is read.
    pub settings: Vec<Variable>,
    /// Variables that look like settings and are none.
    pub unknown_variables: Vec<Unknown>,
    /// Which algorithms an operation takes, if that was asked.
    pub plan: Option<Plan>,
}

/// What only the ranks know.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Job {
    /// The MPI library, in its own words.
    pub mpi: String,
    /// What MPI grants: `single`, `funneled`, `serialized` or `multiple`.
    pub thread_level: String,
    /// Who has started the ranks, as far as that is known.
    pub launcher: Option<String>,
    pub nodes: usize,
    /// Whether the GPUs are simulated.
    pub simulated: bool,
    pub cuda_awareness: CudaAwareness,
    /// In the order of their numbers.
    pub ranks: Vec<Rank>,
    /// From every rank to every rank, in this order.
    pub paths: Vec<Route>,
    /// What is not as it should be.
    pub warnings: Vec<String>,
}

/// Whether MPI takes addresses of GPU memory.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CudaAwareness {
    /// What the library says; none where warpcomm was built without CUDA.
    pub says: Option<bool>,
    /// What two ranks have proved of each kind of memory; empty where rank 0 has no GPU.
    pub proved: Vec<Proved>,
    /// What `WARPCOMM_CUDA_AWARE` says, if it is set.
    pub configuration: Option<String>,
}

/// What was proved of messages of one kind of memory.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Proved {
    /// `plain` (`cuMemAlloc`) or `pool` (`cuMemAllocAsync`).
    pub memory: String,
    /// None where nobody has tried.
    pub works: Option<bool>,
    /// Why not, if not.
    pub reason: Option<String>,
}

/// A GPU.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Gpu {
    pub host: String,
    /// Its number for the first rank that sees it, or in the order of the driver's files.
    pub number: usize,
    pub name: String,
    pub uuid: String,
    /// None where only the driver can tell it.
    pub memory_bytes: Option<u64>,
    /// The version of the driver.
    pub driver: String,
    pub numa_node: Option<u32>,
}

/// Where a rank is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Rank {
    pub rank: usize,
    pub host: String,
    /// Ranks of one node have the same number.
    pub node: usize,
    /// The processors that it may use: `0-3,8`.
    pub processors: String,
    /// Those that these processors are on.
    pub numa_nodes: Vec<u32>,
    /// That of its GPU, if it has one.
    pub gpu: Option<String>,
    pub gpu_numa_node: Option<u32>,
    /// Why it has no GPU, if it has none.
    pub why_no_gpu: Option<String>,
}

/// How long messages go from the GPU of one rank to that of another.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Route {
    pub from: usize,
    pub to: usize,
    /// Its name, as `WARPCOMM_PATHS` has it; none where no path is left.
    pub path: Option<String>,
    pub reason: String,
}

/// Which algorithms a collective takes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    pub operation: String,
    pub bytes: u64,
    pub ranks: usize,
    pub choices: Vec<Choice>,
}

/// The algorithm for elements at one place.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Choice {
    /// `host`, `device`, or `neighbours`: in `DeviceBuffer`s on GPUs of one node that reach each other's memory.
    pub place: String,
    pub algorithm: String,
    pub reason: String,
}
