//! A persistent request owns its buffer for good.

use warpcomm::{Communicator, Result, Tag};

fn write_under_way(comm: &Communicator) -> Result<()> {
    let mut data = vec![1.0; 4];
    let mut request = comm.send_init(data, 1, Tag(0));
    request.start()?;
    data[0] = 2.0;
    request.wait()?;
    Ok(())
}

fn write_by_an_early_borrow(comm: &Communicator) -> Result<()> {
    let mut request = comm.send_init(vec![1.0; 4], 1, Tag(0));
    let buffer = request.buffer_mut()?;
    request.start()?;
    buffer[0] = 2.0;
    request.wait()?;
    Ok(())
}

fn main() {}
