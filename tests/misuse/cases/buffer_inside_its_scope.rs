//! A buffer lives longer than the scope that borrows it.

use warpcomm::{Communicator, Result, Tag};

fn made_inside(comm: &Communicator) -> Result<()> {
    comm.scope(|scope| {
        let mut ghost = vec![0.0; 4];
        scope.irecv(&mut ghost, 0, Tag(0))?.wait()?;
        Ok(())
    })
}

fn main() {}
