//! Each rank sends a number to every rank: element j of rank i becomes element i of rank j.
//!
//! ```text
//! $ warpcomm run -n 3 alltoall
//! rank 0 sends [0, 1, 2] and receives [0, 0, 0]
//! rank 1 sends [0, 2, 4] and receives [1, 2, 3]
//! rank 2 sends [0, 3, 6] and receives [2, 4, 6]
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

/// Sends a number from every rank to every rank.
#[derive(clap::Args)]
struct Options {
    /// Where the numbers lie: host or device.
    #[arg(long, default_value = "host")]
    place: Place,
}

fn main() -> ExitCode {
    ranks::run("alltoall", |rank, options: &Options| {
        with_memory_at!(options.place, rank, alltoall)
    })
}

fn alltoall<M: Memory>(rank: &Rank, memory: &M) -> Result<(), Failure> {
    let comm = &rank.comm;
    let (me, size) = (comm.rank() as i64, comm.size());
    let sent: Vec<i64> = (0..size as i64).map(|dest| (me + 1) * dest).collect();
    let expected: Vec<i64> = (0..size as i64).map(|source| (source + 1) * me).collect();

    let send = rank.agree(memory.put(&sent))?;
    let mut recv = rank.agree(memory.put(&vec![-1; size]))?;
    comm.alltoall(&send, &mut recv)?;

    let received = rank.agree(memory.get(&recv, size))?;
    rank.agree_that("what is received", &received, &expected)?;
    rank.print_each(&format!("rank {me} sends {sent:?} and receives {received:?}"))
}
