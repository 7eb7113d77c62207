//! Elements are of the types that all ranks agree about.

use warpcomm::{Communicator, Result, Tag};

struct Point {
    x: f64,
    y: f64,
}

fn structures(comm: &Communicator) -> Result<()> {
    comm.send(&[Point { x: 0.0, y: 1.0 }], 1, Tag(0))
}

fn pointers(comm: &Communicator) -> Result<()> {
    comm.bcast(&mut [&1.0], 0)
}

fn sizes_that_differ_by_machine(comm: &Communicator) -> Result<()> {
    comm.send(&1usize, 1, Tag(0))
}

fn main() {}
