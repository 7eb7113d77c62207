//! A request owns its buffer until `wait` gives it back.

use warpcomm::{Communicator, Result, Tag};

fn send_twice(comm: &Communicator) -> Result<()> {
    let data = vec![1.0; 4];
    let first = comm.isend(data, 1, Tag(0));
    let second = comm.isend(data, 2, Tag(0));
    first.wait()?;
    second.wait()?;
    Ok(())
}

fn read_early(comm: &Communicator) -> Result<f64> {
    let data = vec![0.0; 4];
    let request = comm.irecv(data, 0, Tag(0));
    let first = data[0];
    request.wait()?;
    Ok(first)
}

fn reduce_and_write(comm: &Communicator) -> Result<()> {
    let (own, mut sum) = (vec![1.0; 4], vec![0.0; 4]);
    let request = comm.iallreduce(own, sum, warpcomm::Op::Sum);
    sum[0] = 1.0;
    request.wait()?;
    Ok(())
}

fn main() {}
