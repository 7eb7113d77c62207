//! Starts all messages at once and waits for them later: `isend` and `irecv`.
//!
//! ```text
//! $ warpcomm run -n 3 nonblocking
//! rank 0 sends [0.0, 1.0, 2.0, 3.0]
//! rank 1 received [0.0, 1.0, 2.0, 3.0] with tag 1
//! rank 2 received [0.0, 1.0, 2.0, 3.0] with tag 2
//! ```
//!
//! Rank 0 sends one buffer to all others; they borrow it until the scope ends. The request of a receive owns its
//! buffer until `wait` gives it back. Either way the compiler refuses to touch a buffer while it is in use.

use std::process::ExitCode;

use warpcomm::{Place, Tag};

#[path = "shared/gpu.rs"]
mod gpu;
#[path = "shared/memory.rs"]
mod memory;
#[path = "shared/ranks.rs"]
mod ranks;

use memory::{Memory, with_memory_at};
use ranks::{Failure, Rank};

const DATA: [f64; 4] = [0.0, 1.0, 2.0, 3.0];

/// Sends and receives without waiting.
#[derive(clap::Args)]
struct Options {
    /// Where the numbers lie: host or device.
    #[arg(long, default_value = "host")]
    place: Place,
}

fn main() -> ExitCode {
    ranks::run("nonblocking", |rank, options: &Options| {
        with_memory_at!(options.place, rank, nonblocking)
    })
}

fn nonblocking<M: Memory>(rank: &Rank, memory: &M) -> Result<(), Failure> {
    let comm = &rank.comm;
    let own = if comm.rank() == 0 { DATA } else { [0.0; 4] };
    let mut data = rank.agree(memory.put(&own))?;

    let report;
    if comm.rank() == 0 {
        comm.scope(|scope| {
            for dest in 1..comm.size() {
                scope.isend(&data, dest, Tag(dest as i32))?;
            }
            // Here is time to compute something.
            Ok(())
        })?;
        report = format!("rank 0 sends {DATA:?}");
    } else {
        let request = comm.irecv(data, 0, Tag(comm.rank() as i32));
        // Here too.
        let status;
        (data, status) = request.wait()?;
        report = format!("rank {} received {DATA:?} with {}", comm.rank(), status.tag());
    }

    let received = rank.agree(memory.get(&data, DATA.len()))?;
    rank.agree_that("the data", &received, &DATA)?;
    rank.print_each(&report)
}
