//! Broadcasts an array of 100 numbers from rank 0 to all ranks.
//!
//! ```text
//! $ warpcomm run -n 3 bcast
//! rank 0 has 0, 1, ..., 99
//! rank 1 has 0, 1, ..., 99
//! rank 2 has 0, 1, ..., 99
//! ```

use std::process::ExitCode;

use warpcomm::Place;

#[path = "shared/gpu.rs"]
mod gpu;
#[path = "shared/memory.rs"]
mod memory;
#[path = "shared/ranks.rs"]
mod ranks;

use memory::{Memory, with_memory_at};
use ranks::{Failure, Rank};

const LENGTH: i32 = 100;

/// Broadcasts an array.
#[derive(clap::Args)]
struct Options {
    /// Where the array lies: host or device.
    #[arg(long, default_value = "host")]
    place: Place,
}

fn main() -> ExitCode {
    ranks::run("bcast", |rank, options: &Options| {
        with_memory_at!(options.place, rank, bcast)
    })
}

fn bcast<M: Memory>(rank: &Rank, memory: &M) -> Result<(), Failure> {
    let comm = &rank.comm;
    let numbers: Vec<i32> = (0..LENGTH).collect();
    let mut data = rank.agree(match comm.rank() {
        0 => memory.put(&numbers),
        _ => memory.put(&vec![0; numbers.len()]),
    })?;

    comm.bcast(&mut data, 0)?;

    let received = rank.agree(memory.get(&data, numbers.len()))?;
    rank.agree_that("the array", &received, &numbers)?;
    let last = received.len() - 1;
    rank.print_each(&format!(
        "rank {} has {}, {}, ..., {}",
        comm.rank(),
        received[0],
        received[1],
        received[last],
    ))
}
