//! Neither a request nor its scope leaves the scope.

use warpcomm::{Communicator, Result, Tag};

fn kept_outside(comm: &Communicator) -> Result<()> {
    let edge = [0.0; 4];
    let mut kept = None;
    comm.scope(|scope| {
        kept = Some(scope.isend(&edge, 1, Tag(0))?);
        Ok(())
    })?;
    drop(kept);
    Ok(())
}

fn returned(comm: &Communicator) -> Result<()> {
    let edge = [0.0; 4];
    comm.scope(|scope| scope.isend(&edge, 1, Tag(0)))?.wait()?;
    Ok(())
}

fn main() {}
