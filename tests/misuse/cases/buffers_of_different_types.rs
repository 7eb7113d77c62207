//! Where elements are copied or reduced from one buffer into another, both are of one type.

use warpcomm::{Communicator, Op, Result};

fn allreduce(comm: &Communicator) -> Result<()> {
    let own = [1.0f32; 4];
    let mut sum = [0.0f64; 4];
    comm.allreduce(&own, &mut sum, Op::Sum)
}

fn allgather(comm: &Communicator) -> Result<()> {
    let mut all = vec![0u32; comm.size()];
    comm.allgather(&1i32, &mut all)
}

fn scatter(comm: &Communicator) -> Result<()> {
    let all = vec![0i64; comm.size()];
    let mut own = 0.0f64;
    comm.scatter(&all, &mut own, 0)
}

fn main() {}
