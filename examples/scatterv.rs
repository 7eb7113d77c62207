//! Scatters 15 numbers in uneven blocks, gathers them again, and adds up the sums of the blocks.
//!
//! ```text
//! $ warpcomm run -n 4 scatterv
//! after scatterv rank 0 has [0.0, 1.0, 2.0, 3.0], their sum is 6.0
//! after scatterv rank 1 has [4.0, 5.0, 6.0, 7.0], their sum is 22.0
//! after scatterv rank 2 has [8.0, 9.0, 10.0, 11.0], their sum is 38.0
//! after scatterv rank 3 has [12.0, 13.0, 14.0], their sum is 39.0
//! after gatherv rank 0 has [0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0, 10.0, 11.0, 12.0, 13.0, 14.0]
//! after reduce rank 0 has 105.0
//! ```
//!
//! A part of `length / ranks` for each rank would lose the remainder; `Blocks::even` keeps it.

use std::process::ExitCode;

use warpcomm::{Blocks, Op, Place};

#[path = "shared/gpu.rs"]
mod gpu;
#[path = "shared/memory.rs"]
mod memory;
#[path = "shared/ranks.rs"]
mod ranks;

use memory::{Memory, with_memory_at};
use ranks::{Failure, Rank};

const LENGTH: usize = 15;

/// Scatters, gathers and adds up 15 numbers.
#[derive(clap::Args)]
struct Options {
    /// Where the numbers lie: host or device.
    #[arg(long, default_value = "host")]
    place: Place,
}

fn main() -> ExitCode {
    ranks::run("scatterv", |rank, options: &Options| {
        with_memory_at!(options.place, rank, scatterv)
    })
}

fn scatterv<M: Memory>(rank: &Rank, memory: &M) -> Result<(), Failure> {
    let comm = &rank.comm;
    let numbers: Vec<f64> = (0..LENGTH).map(|index| index as f64).collect();
    let blocks = Blocks::even(LENGTH, comm.size());
    let mine = blocks.range(comm.rank());
    // The buffer that is scattered counts on rank 0 only.
    let root_only = |numbers: &[f64]| match comm.rank() {
        0 => memory.put(numbers),
        _ => memory.put(&[]),
    };

    let all = rank.agree(root_only(&numbers))?;
    let mut part = rank.agree(memory.put(&vec![0.0; mine.len()]))?;
    comm.scatterv(&all, &blocks, &mut part, 0)?;
    let block = rank.agree(memory.get(&part, mine.len()))?;
    rank.agree_that("the block", &block, &numbers[mine])?;
    let sum: f64 = block.iter().sum();
    rank.print_each(&format!(
        "after scatterv rank {} has {block:?}, their sum is {sum:?}",
        comm.rank()
    ))?;

    let mut gathered = rank.agree(root_only(&[0.0; LENGTH]))?;
    comm.gatherv(&part, &mut gathered, &blocks, 0)?;
    let sum = rank.agree(memory.put(&[sum]))?;
    let mut total = rank.agree(memory.put(&[0.0]))?;
    comm.reduce(&sum, &mut total, Op::Sum, 0)?;

    let (length, expected) = match comm.rank() {
        0 => (LENGTH, numbers.iter().sum()),
        _ => (0, 0.0),
    };
    let gathered = rank.agree(memory.get(&gathered, length))?;
    let total = rank.agree(memory.get(&total, 1))?;
    rank.agree_that("what is gathered", &gathered, &numbers[..length])?;
    rank.agree_that("the sum", &total, &[expected])?;
    rank.print(&format!("after gatherv rank 0 has {gathered:?}"))?;
    rank.print(&format!("after reduce rank 0 has {:?}", total[0]))
}
