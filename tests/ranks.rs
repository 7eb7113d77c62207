//! Multi-rank tests, which start themselves: as ranks that are threads, and as ranks of an MPI job under the
//! launcher of the MPI that they are linked with.
//!
//! ```text
//! cargo test --test ranks                     all cases, with 1 to 4 ranks and one of 5 to 7
//! cargo test --test ranks allreduce           the cases of one operation
//! cargo test --test ranks -- 'np=3'           one number of ranks
//! cargo test --test ranks -- 'place=device'   buffers on GPUs, simulated ones where none is required
//! ```
//!
//! | variable | meaning | default |
//! |---|---|---|
//! | `WARPCOMM_TEST_DEADLINE` | seconds a case may take on a rank | 60 |
//! | `WARPCOMM_TEST_PROGRAMS` | random programs, with each number of ranks | 100 |
//! | `WARPCOMM_TEST_WHOLE` | `1`: every case and place of buffers with every number of ranks | samples, by MPI library |
//! | `WARPCOMM_TEST_CUDA_AWARE` | `1`: MPI is CUDA-aware, and gets device buffers as they are in jobs of their own | no such jobs |
//! | `WARPCOMM_REQUIRE_GPU` | `1`: device buffers are those of a real GPU, without one their cases fail | simulated GPUs |
//! | `WARPCOMM_TEST_BLESS` | `1`: a run of all cases writes `docs/support.md` | compare |
//! | `WARPCOMM_LAUNCHER` | the launcher, a path or a name on `PATH` | one that fits |
//!
//! A new case is a function and a row in the table of its module, in `tests/ranks/`.

#[cfg(feature = "mpi")]
#[allow(dead_code, reason = "the command uses more of it than these tests")]
#[path = "../src/bin/warpcomm/launcher.rs"]
mod launcher;

#[macro_use]
#[path = "ranks/harness/mod.rs"]
mod harness;
#[macro_use]
#[path = "ranks/oracle/mod.rs"]
mod oracle;
#[cfg(not(feature = "cuda"))]
#[path = "ranks/placed/host.rs"]
mod placed;
#[cfg(feature = "cuda")]
#[path = "ranks/placed/mod.rs"]
mod placed;
#[path = "random_programs/mod.rs"]
mod random_programs;
#[path = "ranks/mod.rs"]
mod suite;

use std::process::ExitCode;

fn main() -> ExitCode {
    harness::main(&suite::cases(), suite::solos(), suite::checks())
}
