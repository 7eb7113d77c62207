//! A scope borrows its buffers until it ends.

use warpcomm::{Communicator, Result, Tag};

fn read_what_is_being_received(comm: &Communicator) -> Result<f64> {
    let mut ghost = [0.0; 4];
    comm.scope(|scope| {
        scope.irecv(&mut ghost, 0, Tag(0))?;
        Ok(ghost[0])
    })
}

fn write_what_is_being_sent(comm: &Communicator) -> Result<()> {
    let mut edge = [0.0; 4];
    comm.scope(|scope| {
        scope.isend(&edge, 1, Tag(0))?;
        edge[0] = 1.0;
        Ok(())
    })
}

fn receive_twice_into_one(comm: &Communicator) -> Result<()> {
    let mut ghost = [0.0; 4];
    comm.scope(|scope| {
        scope.irecv(&mut ghost, 0, Tag(0))?;
        scope.irecv(&mut ghost, 1, Tag(0))?;
        Ok(())
    })
}

fn main() {}
