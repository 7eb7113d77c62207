//! Who forgets a request would not learn whether it succeeded.

#![deny(unused_must_use)]

use warpcomm::{Communicator, Op, Result, Source, Tag};

fn ignored(comm: &Communicator) -> Result<()> {
    comm.isend(vec![1.0; 4], 1, Tag(0));
    comm.irecv(vec![1.0; 4], 0, Tag(0));
    comm.iallreduce(vec![1.0; 4], vec![0.0; 4], Op::Sum);
    comm.mprobe(Source::Any, Tag::ANY)?;
    comm.irecv(vec![1.0; 4], 0, Tag(0)).test()?;
    comm.send(&[1.0; 4], 1, Tag(0));
    Ok(())
}

fn main() {}
