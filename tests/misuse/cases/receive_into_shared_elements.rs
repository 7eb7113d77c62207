//! Elements that have several owners are sent, not received into.

use std::sync::Arc;

use warpcomm::{Communicator, Result, Tag};

fn requests(comm: &Communicator) -> Result<()> {
    let shared: Arc<[f64]> = Arc::new([0.0; 4]);
    comm.isend(Arc::clone(&shared), 1, Tag(0)).wait()?;
    comm.irecv(shared, 1, Tag(0)).wait()?;
    Ok(())
}

fn calls(comm: &Communicator) -> Result<()> {
    let mut shared: Arc<[f64]> = Arc::new([0.0; 4]);
    comm.recv(&mut shared, 1, Tag(0))?;
    Ok(())
}

fn main() {}
