//! Communicators: the operations that communicators.py has under the same names.

use warpcomm::mpi::traits::CommunicatorCollectives;
use warpcomm::{Communicator, Dtype, Tag, Wire};

use crate::buffers::Value;
use crate::rank::{Outcome, Run};

/// Runs a case, if it is of one of these operations.
pub fn run(run: &Run<'_>) -> Result<bool, Box<dyn std::error::Error>> {
    match run.case.op.as_str() {
        "split" => with_type!(run.dtype(), T => split::<T>(run))?,
        "duplicates" => with_type!(run.dtype(), T => duplicates::<T>(run))?,
        "native_parts" => with_type!(run.dtype(), T => native_parts::<T>(run))?,
        "bindings" => bindings(run)?,
        _ => return Ok(false),
    }
    Ok(true)
}

impl Run<'_> {
    fn tell_part(&self, part: &Communicator) {
        self.record
            .text("part", format!("rank {} of {}", part.rank(), part.size()));
    }

    fn allgather<T: Value>(&self, part: &Communicator) -> Outcome {
        let count = self.case.count;
        let mut everybody = self.buffers.untouched::<T>(part.size() * count);
        part.allgather(self.buffers.full::<T>(count, 0).shared(), everybody.exclusive())?;
        self.record.elements("everybody", T::DTYPE, &everybody.bytes());
        Ok(())
    }
}

/// Parts by color, in the order of keys; a rank without a color gets none.
fn split<T: Value>(run: &Run<'_>) -> Outcome {
    let rank = run.rank();
    let Some(part) = run.comm.split(run.case.colors[rank], run.case.keys[rank])? else {
        run.record.text("part", "none");
        return Ok(());
    };
    run.tell_part(&part);
    run.allgather::<T>(&part)?;
    part.free()?;
    Ok(())
}

/// Messages of a communicator and of its duplicate never meet.
fn duplicates<T: Value>(run: &Run<'_>) -> Outcome {
    let (case, comm, count) = (run.case, run.comm, run.case.count);
    let other = comm.duplicate()?;
    if run.rank() == case.from {
        comm.send(run.buffers.full::<T>(count, 0).shared(), case.to, Tag(1))?;
        other.send(run.buffers.full::<T>(count, 1).shared(), case.to, Tag(1))?;
    }
    if run.rank() == case.to {
        for each in [&other, comm] {
            let mut buffer = run.buffers.untouched::<T>(count);
            each.recv(buffer.exclusive(), case.from, Tag::ANY)?;
            run.record.elements("received", T::DTYPE, &buffer.bytes());
        }
    }
    other.free()?;
    Ok(())
}

/// Each program's ranks go on among themselves; those of warpcomm on a native communicator.
fn native_parts<T: Value>(run: &Run<'_>) -> Outcome {
    let (case, comm) = (run.case, run.comm);
    let part = comm.split(case.colors[run.rank()], 0)?.ok_or("no part")?;
    let part = part.into_native()?;
    if part.wire() != Wire::Native {
        return Err("it is not native".into());
    }
    run.tell_part(&part);
    run.allgather::<T>(&part)?;
    let (rank, size) = (part.rank(), part.size());
    let (right, left) = ((rank + 1) % size, (rank + size - 1) % size);
    let mut passed = run.buffers.untouched::<T>(case.count);
    let send = run.buffers.full::<T>(case.count, 1);
    part.sendrecv(send.shared(), right, Tag(1), passed.exclusive(), left, Tag(1))?;
    run.record.elements("passed", T::DTYPE, &passed.bytes());
    comm.barrier()?;
    Ok(())
}

/// A duplicate that is made for other bindings, and one that is made from these.
fn bindings(run: &Run<'_>) -> Outcome {
    let (count, ranks) = (run.case.count, run.comm.size());
    let theirs = run.comm.to_mpi()?;
    let ours = run.runtime.from_mpi(&theirs)?;
    let own = run.buffers.contents::<u8>(count, 0);
    let mut everybody = vec![0; count * ranks];
    theirs.all_gather_into(&own[..], &mut everybody[..]);
    run.record.elements("through the bindings", Dtype::U8, &everybody);
    let mut everybody = run.buffers.untouched::<u8>(count * ranks);
    ours.allgather(run.buffers.full::<u8>(count, 1).shared(), everybody.exclusive())?;
    run.record.elements("through ours", Dtype::U8, &everybody.bytes());
    ours.free()?;
    drop(theirs);
    Ok(())
}
