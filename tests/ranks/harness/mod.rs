//! Runs multi-rank cases: as the test program, which starts jobs and reads their verdicts, and as a rank of
//! such a job.
//!
//! For each kind of world and each number of ranks there is one job, which runs all its cases in turn. A rank
//! writes what became of each case into a file of its own, so that nothing is lost when the job dies. A job
//! that dies or stalls in a case is started again with the cases behind it.

#[macro_use]
mod case;
#[cfg(any(feature = "pool", all(feature = "mpi", feature = "cuda")))]
mod allocations;
mod expect;
mod job;
mod jobs;
mod matrix;
mod place;
mod process;
mod rank;
mod record;
mod simulate;
#[cfg_attr(
    not(feature = "mpi"),
    allow(dead_code, reason = "without MPI there are no such cases")
)]
mod solo;
mod trials;
#[cfg(all(feature = "mpi", feature = "cuda"))]
mod two_networks;
mod watchdog;
mod world;

use std::process::ExitCode;
use std::time::Duration;

#[cfg(all(feature = "mpi", feature = "cuda"))]
pub use allocations::blocks;
#[cfg(feature = "pool")]
pub use allocations::most_bytes;
pub use case::{Case, Outcome, Worlds};
pub use expect::{Failure, expect_error, expect_text};
#[cfg(all(feature = "mpi", feature = "cuda"))]
pub use jobs::{is_cuda_aware, is_sample_of_second, is_whole_wanted};
pub use place::Place;
pub use rank::{is_plain, job_directory, place, say};
pub use record::{covered, unsupported};
#[cfg(all(feature = "mpi", feature = "cuda"))]
pub use simulate::{NO_PEERS, is_real_required};
#[cfg(all(feature = "mpi", feature = "cuda"))]
pub use solo::still_going;
pub use solo::{Check, Solo};
#[cfg(feature = "mpi")]
pub use solo::{Ended, Start, solo_directory, wait_for_file, wait_for_release};

/// Names the directory of the job that this process is a rank of.
const JOB_VARIABLE: &str = "WARPCOMM_TEST_JOB";
/// Names the solo case that this process is a rank of.
const SOLO_VARIABLE: &str = "WARPCOMM_TEST_SOLO";
/// The seconds that a case may take on a rank.
const DEADLINE_VARIABLE: &str = "WARPCOMM_TEST_DEADLINE";
/// Says where the buffers of this job's operations lie.
const PLACE_VARIABLE: &str = "WARPCOMM_TEST_PLACE";
/// Says what kind of world the ranks of this job are in.
const WORLD_VARIABLE: &str = "WARPCOMM_TEST_WORLD";
/// Set to 1 where device buffers must be those of a real GPU.
const REQUIRE_GPU_VARIABLE: &str = "WARPCOMM_REQUIRE_GPU";
/// Set to 1 for every place and setting with every number of ranks, and not samples of them.
const WHOLE_VARIABLE: &str = "WARPCOMM_TEST_WHOLE";
/// Set to 1 where MPI is CUDA-aware: then there are jobs whose device buffers it gets as they are.
#[cfg(feature = "mpi")]
const CUDA_AWARE_VARIABLE: &str = "WARPCOMM_TEST_CUDA_AWARE";
/// Set to 1 to write the page that is otherwise compared.
const BLESS_VARIABLE: &str = "WARPCOMM_TEST_BLESS";

/// Runs the program in the role that its environment gives it.
pub fn main(cases: &[Case], solos: Vec<&'static Solo>, checks: &'static [Check]) -> ExitCode {
    if let Some(directory) = std::env::var_os(JOB_VARIABLE) {
        return rank::main(cases, directory.as_ref());
    }
    if let Ok(name) = std::env::var(SOLO_VARIABLE) {
        return solo::main(&solos, &name);
    }
    trials::main(cases, solos, checks)
}

/// How long a case may take on a rank.
fn deadline() -> Duration {
    let seconds = std::env::var(DEADLINE_VARIABLE)
        .ok()
        .and_then(|text| text.parse().ok());
    Duration::from_secs(seconds.unwrap_or(60))
}
