//! Ranks of warpcomm and of mpi4py in one job, on plain communicators, and the same operations by mpi4py alone: all
//! must end with the same bytes.
//!
//! The cases are data, in `tests/interop/*.jsonl`, a line each. A job is some ranks of this program, which relaunches
//! itself, and some of `tests/interop/peer.py`; both run the job's cases in turn, and write what they got to files,
//! which are compared.
//!
//! ```text
//! cargo test --test interop                   all cases
//! cargo test --test interop alltoallv         the cases of one operation
//! cargo test --test interop -- 'rpr'          warpcomm, mpi4py, warpcomm
//! ```
//!
//! | variable | meaning | default |
//! |---|---|---|
//! | `WARPCOMM_TEST_DEADLINE` | seconds a case may take on a rank | 60 |
//! | `WARPCOMM_TEST_REQUIRE_MPI4PY` | `1`: without mpi4py the tests fail | they say so and pass |
//! | `WARPCOMM_TEST_PYTHON` | the Python that has mpi4py | `target/venv/bin/python` |
//! | `WARPCOMM_LAUNCHER` | the launcher, a path or a name on `PATH` | one that fits |

#[allow(dead_code, reason = "the command uses more of it than these tests")]
#[path = "../src/bin/warpcomm/launcher.rs"]
mod launcher;

#[macro_use]
#[path = "interop/buffers.rs"]
mod buffers;
#[path = "interop/case.rs"]
mod case;
#[path = "interop/collectives.rs"]
mod collectives;
#[path = "interop/communicators.rs"]
mod communicators;
#[path = "interop/contents.rs"]
mod contents;
#[path = "interop/harness.rs"]
mod harness;
#[path = "interop/job.rs"]
mod job;
#[path = "interop/messages.rs"]
mod messages;
#[path = "interop/python.rs"]
mod python;
#[path = "interop/rank.rs"]
mod rank;
#[path = "interop/record.rs"]
mod record;
#[path = "interop/trials.rs"]
mod trials;

use std::process::ExitCode;

fn main() -> ExitCode {
    match std::env::var_os(job::JOB_VARIABLE) {
        Some(directory) => rank::main(directory.as_ref()),
        None => trials::main(),
    }
}
