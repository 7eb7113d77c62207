//! Receives 4 numbers into a buffer that has room for 6.
//!
//! ```text
//! $ warpcomm run -n 2 larger_buffer
//! rank 0 sends [0.0, 1.0, 2.0, 3.0]
//! rank 1 received 4 elements from rank 0: [0.0, 1.0, 2.0, 3.0, -1.0, -1.0]
//! ```
//!
//! The status of the receive says how many elements came; what is behind them stays as it was. A buffer that is
//! too small for its message is an error, and nothing is written.

use std::process::ExitCode;

use warpcomm::{Place, Source, Tag};

#[path = "shared/gpu.rs"]
mod gpu;
#[path = "shared/memory.rs"]
mod memory;
#[path = "shared/ranks.rs"]
mod ranks;

use memory::{Memory, with_memory_at};
use ranks::{Failure, Rank};

const SENT: [f64; 4] = [0.0, 1.0, 2.0, 3.0];
const BEFORE: [f64; 6] = [-1.0; 6];
const AFTER: [f64; 6] = [0.0, 1.0, 2.0, 3.0, -1.0, -1.0];

/// Receives fewer numbers than there is room for.
#[derive(clap::Args)]
struct Options {
    /// Where the numbers lie: host or device.
    #[arg(long, default_value = "host")]
    place: Place,
}

fn main() -> ExitCode {
    ranks::run("larger_buffer", |rank, options: &Options| {
        with_memory_at!(options.place, rank, larger_buffer)
    })
}

fn larger_buffer<M: Memory>(rank: &Rank, memory: &M) -> Result<(), Failure> {
    let comm = &rank.comm;
    let data = rank.agree(memory.put(&SENT))?;
    let mut buffer = rank.agree(memory.put(&BEFORE))?;

    let (count, report);
    if comm.rank() == 0 {
        for dest in 1..comm.size() {
            comm.send(&data, dest, Tag(0))?;
        }
        (count, report) = (0, format!("rank 0 sends {SENT:?}"));
    } else {
        let status = comm.recv(&mut buffer, Source::Any, Tag::ANY)?;
        count = status.count() as usize;
        report = format!(
            "rank {} received {count} elements from rank {}: {AFTER:?}",
            comm.rank(),
            status.source()
        );
    }

    let found = rank.agree(memory.get(&buffer, BEFORE.len()))?;
    let (expected_count, expected) = match comm.rank() {
        0 => (0, BEFORE),
        _ => (SENT.len(), AFTER),
    };
    rank.agree_that("the buffer", &found, &expected)?;
    rank.agree_that("the count", &[count], &[expected_count])?;
    rank.print_each(&report)
}
