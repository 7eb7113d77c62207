//! Sends an array of 100 numbers from rank 0 to each other rank, as `i32` and then as `f64`.
//!
//! ```text
//! $ warpcomm run -n 2 array
//! rank 0 sends 100 elements of type i32 with tag 77
//! rank 1 received 100 elements of type i32 with tag 77: 0, 1, ..., 99
//! rank 0 sends 100 elements of type f64 with tag 13
//! rank 1 received 100 elements of type f64 with tag 13: 0.0, 1.0, ..., 99.0
//! ```
//!
//! The first program of the mpi4py tutorial with arrays. The type of the message is that of the buffer; a
//! receive of another type is an error.

use std::process::ExitCode;

use warpcomm::{Place, Tag};

#[path = "shared/gpu.rs"]
mod gpu;
#[path = "shared/memory.rs"]
mod memory;
#[path = "shared/ranks.rs"]
mod ranks;

use memory::{Memory, Number, with_memory_at};
use ranks::{Failure, Rank};

const LENGTH: u8 = 100;

/// Sends an array of 100 numbers.
#[derive(clap::Args)]
struct Options {
    /// Where the array lies: host or device.
    #[arg(long, default_value = "host")]
    place: Place,
}

fn main() -> ExitCode {
    ranks::run("array", |rank, options: &Options| {
        with_memory_at!(options.place, rank, array)
    })
}

fn array<M: Memory>(rank: &Rank, memory: &M) -> Result<(), Failure> {
    send_array::<i32, M>(rank, memory, Tag(77))?;
    send_array::<f64, M>(rank, memory, Tag(13))
}

fn send_array<T: Number + From<u8>, M: Memory>(rank: &Rank, memory: &M, tag: Tag) -> Result<(), Failure> {
    let comm = &rank.comm;
    let numbers: Vec<T> = (0..LENGTH).map(T::from).collect();
    let mut data = rank.agree(match comm.rank() {
        0 => memory.put(&numbers),
        _ => memory.put(&vec![T::from(0); numbers.len()]),
    })?;

    let report;
    if comm.rank() == 0 {
        report = format!("rank 0 sends {LENGTH} elements of type {} with {tag}", T::DTYPE);
        for dest in 1..comm.size() {
            comm.send(&data, dest, tag)?;
        }
    } else {
        let status = comm.recv(&mut data, 0, tag)?;
        report = format!(
            "rank {} received {} elements of type {} with {}",
            comm.rank(),
            status.count(),
            status.dtype(),
            status.tag(),
        );
    }

    let received = rank.agree(memory.get(&data, numbers.len()))?;
    rank.agree_that("the array", &received, &numbers)?;
    rank.print_each(&match &received[..] {
        [first, second, .., last] if comm.rank() > 0 => {
            format!("{report}: {first:?}, {second:?}, ..., {last:?}")
        }
        _ => report,
    })
}
