//! Collectives: the operations that collectives.py has under the same names.

use warpcomm::{AnyBuffer, AnyBufferMut, Blocks, Dtype, Op, Tag, wait_all};

use crate::buffers::{Held, Value};
use crate::contents::{UNTOUCHED, any_bytes};
use crate::rank::{Outcome, Run};

/// Runs a case, if it is of one of these operations.
pub fn run(run: &Run<'_>) -> Result<bool, Box<dyn std::error::Error>> {
    match run.case.op.as_str() {
        "barrier" => barrier(run)?,
        "alltoallw" => alltoallw(run)?,
        "bcast" | "gather" | "scatter" | "gatherv" | "scatterv" | "allgather" | "allgatherv" | "alltoall"
        | "alltoallv" => with_type!(run.dtype(), T => moved::<T>(run))?,
        "reduce" | "allreduce" | "reduce_scatter_block" | "reduce_scatter" | "scan" | "exscan" => {
            with_type!(run.dtype(), T => folded::<T>(run))?;
        }
        "at_once" => with_type!(run.dtype(), T => at_once::<T>(run))?,
        _ => return Ok(false),
    }
    Ok(true)
}

/// Calls the blocking form, or the non-blocking one and waits.
macro_rules! apart {
    ($run:expr, $name:ident $start:ident($send:expr $(, $before:expr)*; $recv:expr $(, $after:expr)*)) => {
        match $run.case.form.as_str() {
            "nonblocking" => $run.comm.scope(|s| {
                s.$start($send.shared(), $($before,)* $recv.exclusive() $(, $after)*)?.wait().map(drop)
            }),
            _ => $run.comm.$name($send.shared(), $($before,)* $recv.exclusive() $(, $after)*),
        }
    };
}

/// The same in place, with a request that owns the buffer.
macro_rules! in_place {
    ($run:expr, $name:ident $start:ident($buffer:ident $(, $after:expr)*)) => {
        match $run.case.form.as_str() {
            "nonblocking" | "nonblocking_in_place" => {
                $buffer = owned!($buffer, buffer => $run.comm.$start(buffer $(, $after)*).wait()?.0.into());
                Ok(())
            }
            _ => $run.comm.$name($buffer.exclusive() $(, $after)*),
        }
    };
}

impl Run<'_> {
    fn is_in_place(&self) -> bool {
        self.case.form.ends_with("in_place")
    }

    fn op(&self) -> Op {
        self.case.reduce.parse().expect("the name of a reduction")
    }

    fn blocks(&self) -> Blocks {
        Blocks::new(self.case.counts.clone(), self.case.displacements.clone())
    }

    /// A buffer to receive into that has some elements already.
    fn untouched_but<T: Value>(&self, count: usize, at: usize, own: &Held<T>) -> Held<T> {
        let (mut bytes, own) = (self.buffers.untouched_bytes::<T>(count), own.bytes());
        bytes[at * size_of::<T>()..][..own.len()].copy_from_slice(&own);
        self.buffers.held(&bytes, UNTOUCHED + 1)
    }
}

fn barrier(run: &Run<'_>) -> Outcome {
    match run.case.form.as_str() {
        "nonblocking" => run.comm.ibarrier().wait().map(drop)?,
        _ => run.comm.barrier()?,
    }
    run.record.text("barrier", "left");
    Ok(())
}

/// How far blocks reach.
fn extent(blocks: &Blocks) -> usize {
    let ends = (0..blocks.len()).filter(|&rank| blocks.count(rank) > 0);
    ends.map(|rank| blocks.range(rank).end).max().unwrap_or(0)
}

/// Blocks with `gap` elements before each of them.
fn with_gaps(counts: Vec<usize>, gap: usize) -> Blocks {
    let starts: Vec<usize> = (0..counts.len())
        .map(|rank| counts[..rank].iter().sum::<usize>() + gap * (rank + 1))
        .collect();
    Blocks::new(counts, starts)
}

fn moved<T: Value>(run: &Run<'_>) -> Outcome {
    let (case, comm, buffers) = (run.case, run.comm, &run.buffers);
    let (rank, ranks, count, root) = (comm.rank(), comm.size(), case.count, case.root);
    let is_root = rank == root;
    let in_place = run.is_in_place();
    let all = |is_here: bool| if is_here { count * ranks } else { 0 };
    let blocks = run.blocks();
    let mut recv: Held<T>;
    let mut is_received = true;
    match case.op.as_str() {
        "bcast" => {
            recv = if is_root {
                buffers.full(count, 0)
            } else {
                buffers.untouched(count)
            };
            in_place!(run, bcast ibcast(recv, root))?;
            is_received = !is_root;
        }
        "gather" if in_place => {
            let own = buffers.full::<T>(count, 0);
            recv = if is_root {
                run.untouched_but(count * ranks, root * count, &own)
            } else {
                own
            };
            in_place!(run, gather_in_place igather_in_place(recv, root))?;
            is_received = is_root;
        }
        "gather" => {
            let send = buffers.full::<T>(count, 0);
            recv = buffers.untouched(all(is_root));
            apart!(run, gather igather(send; recv, root))?;
            is_received = is_root;
        }
        "scatter" if in_place => {
            recv = if is_root {
                buffers.full(count * ranks, 0)
            } else {
                buffers.untouched(count)
            };
            in_place!(run, scatter_in_place iscatter_in_place(recv, root))?;
        }
        "scatter" => {
            let send = buffers.full::<T>(all(is_root), 0);
            recv = buffers.untouched(count);
            apart!(run, scatter iscatter(send; recv, root))?;
        }
        "gatherv" if in_place => {
            let own = buffers.full::<T>(blocks.count(rank), 0);
            recv = match is_root {
                true => run.untouched_but(extent(&blocks), blocks.displacement(root), &own),
                false => own,
            };
            in_place!(run, gatherv_in_place igatherv_in_place(recv, &blocks, root))?;
            is_received = is_root;
        }
        "gatherv" => {
            let send = buffers.full::<T>(blocks.count(rank), 0);
            recv = buffers.untouched(if is_root { extent(&blocks) } else { 0 });
            apart!(run, gatherv igatherv(send; recv, &blocks, root))?;
            is_received = is_root;
        }
        "scatterv" if in_place => {
            recv = match is_root {
                true => buffers.full(extent(&blocks), 0),
                false => buffers.untouched(blocks.count(rank)),
            };
            in_place!(run, scatterv_in_place iscatterv_in_place(recv, &blocks, root))?;
        }
        "scatterv" => {
            let send = buffers.full::<T>(if is_root { extent(&blocks) } else { 0 }, 0);
            recv = buffers.untouched(blocks.count(rank));
            apart!(run, scatterv iscatterv(send, &blocks; recv, root))?;
        }
        "allgather" if in_place => {
            let own = buffers.full::<T>(count, 0);
            recv = run.untouched_but(count * ranks, rank * count, &own);
            in_place!(run, allgather_in_place iallgather_in_place(recv))?;
        }
        "allgather" => {
            let send = buffers.full::<T>(count, 0);
            recv = buffers.untouched(count * ranks);
            apart!(run, allgather iallgather(send; recv))?;
        }
        "allgatherv" if in_place => {
            let own = buffers.full::<T>(blocks.count(rank), 0);
            recv = run.untouched_but(extent(&blocks), blocks.displacement(rank), &own);
            in_place!(run, allgatherv_in_place iallgatherv_in_place(recv, &blocks))?;
        }
        "allgatherv" => {
            let send = buffers.full::<T>(blocks.count(rank), 0);
            recv = buffers.untouched(extent(&blocks));
            apart!(run, allgatherv iallgatherv(send; recv, &blocks))?;
        }
        "alltoall" if in_place => {
            recv = buffers.full(count * ranks, 0);
            in_place!(run, alltoall_in_place ialltoall_in_place(recv))?;
        }
        "alltoall" => {
            let send = buffers.full::<T>(count * ranks, 0);
            recv = buffers.untouched(count * ranks);
            apart!(run, alltoall ialltoall(send; recv))?;
        }
        _ => {
            let out = with_gaps(case.matrix[rank].clone(), 1);
            let back = with_gaps(case.matrix.iter().map(|row| row[rank]).collect(), 2);
            let send = buffers.full::<T>(out.total() + ranks, 0);
            if in_place {
                recv = send;
                in_place!(run, alltoallv_in_place ialltoallv_in_place(recv, &out))?;
            } else {
                recv = buffers.untouched(back.total() + 2 * ranks);
                apart!(run, alltoallv ialltoallv(send, &out; recv, &back))?;
            }
        }
    }
    if is_received {
        run.record.elements("received", T::DTYPE, &recv.bytes());
    }
    Ok(())
}

fn folded<T: Value>(run: &Run<'_>) -> Outcome {
    let (case, comm, buffers, op) = (run.case, run.comm, &run.buffers, run.op());
    let (rank, ranks, count, root) = (comm.rank(), comm.size(), case.count, case.root);
    let in_place = run.is_in_place();
    let mut length = count;
    let mut is_received = true;
    let mut send: Held<T> = match case.op.as_str() {
        "reduce_scatter_block" => buffers.full(count * ranks, 0),
        "reduce_scatter" => buffers.full(case.counts.iter().sum(), 0),
        _ => buffers.full(count, 0),
    };
    let mut recv: Held<T> = buffers.untouched(match case.op.as_str() {
        "reduce" if rank != root => 0,
        "reduce_scatter" => case.counts[rank],
        _ => count,
    });
    match case.op.as_str() {
        "reduce" => {
            is_received = rank == root;
            match in_place {
                true => in_place!(run, reduce_in_place ireduce_in_place(send, op, root))?,
                false => apart!(run, reduce ireduce(send; recv, op, root))?,
            }
        }
        "allreduce" => match in_place {
            true => in_place!(run, allreduce_in_place iallreduce_in_place(send, op))?,
            false => apart!(run, allreduce iallreduce(send; recv, op))?,
        },
        "scan" => match in_place {
            true => in_place!(run, scan_in_place iscan_in_place(send, op))?,
            false => apart!(run, scan iscan(send; recv, op))?,
        },
        "exscan" => {
            let before = if in_place { send.bytes() } else { recv.bytes() };
            match in_place {
                true => in_place!(run, exscan_in_place iexscan_in_place(send, op))?,
                false => apart!(run, exscan iexscan(send; recv, op))?,
            }
            // MPI leaves the first rank's result undefined; warpcomm leaves it alone.
            is_received = rank > 0;
            if rank == 0 && before != if in_place { send.bytes() } else { recv.bytes() } {
                return Err("exscan has written on the first rank".into());
            }
        }
        "reduce_scatter_block" => match in_place {
            true => in_place!(run, reduce_scatter_block_in_place ireduce_scatter_block_in_place(send, op))?,
            false => apart!(run, reduce_scatter_block ireduce_scatter_block(send; recv, op))?,
        },
        _ => {
            let blocks = Blocks::packed(case.counts.clone());
            length = case.counts[rank];
            match in_place {
                true => in_place!(run, reduce_scatter_in_place ireduce_scatter_in_place(send, &blocks, op))?,
                false => apart!(run, reduce_scatter ireduce_scatter(send, &blocks; recv, op))?,
            }
        }
    }
    if is_received {
        let result = if in_place { send.bytes() } else { recv.bytes() };
        run.record
            .elements("result", T::DTYPE, &result[..length * size_of::<T>()]);
    }
    Ok(())
}

/// A buffer of some type.
trait Part {
    fn any(&self) -> AnyBuffer<'_>;
    fn any_mut(&mut self) -> AnyBufferMut<'_>;
    fn contents(&self) -> Vec<u8>;
}

impl<T: Value> Part for Held<T> {
    fn any(&self) -> AnyBuffer<'_> {
        owned!(self, buffer => AnyBuffer::new(buffer))
    }

    fn any_mut(&mut self) -> AnyBufferMut<'_> {
        owned!(self, buffer => AnyBufferMut::new(buffer))
    }

    fn contents(&self) -> Vec<u8> {
        self.bytes()
    }
}

fn alltoallw(run: &Run<'_>) -> Outcome {
    let (case, comm, rank) = (run.case, run.comm, run.rank());
    // What two ranks send each other in place must have one type.
    let between = |other: usize| -> Dtype {
        let name = &case.types[(rank + other) % case.types.len()];
        name.parse().expect("the name of a type")
    };
    let part = |other: usize, buffer: u64, count: usize| -> Box<dyn Part> {
        let bytes = any_bytes(between(other), rank, buffer, count);
        with_type!(between(other), T => Box::new(run.buffers.held::<T>(&bytes, buffer)))
    };
    let others = || 0..comm.size();
    let mut send: Vec<_> = others()
        .map(|other| part(other, other as u64, case.matrix[rank][other]))
        .collect();
    let mut recv: Vec<_> = others()
        .map(|other| part(other, UNTOUCHED + other as u64, case.matrix[other][rank]))
        .collect();
    match case.form.as_str() {
        "in_place" | "nonblocking_in_place" => {
            let mut lent: Vec<_> = send.iter_mut().map(|part| part.any_mut()).collect();
            match case.form.as_str() {
                "in_place" => comm.alltoallw_in_place(&mut lent)?,
                _ => comm.scope(|s| s.ialltoallw_in_place(&mut lent)?.wait().map(drop))?,
            }
            drop(lent);
            recv = send;
        }
        form => {
            let out: Vec<_> = send.iter().map(|part| part.any()).collect();
            let mut back: Vec<_> = recv.iter_mut().map(|part| part.any_mut()).collect();
            match form {
                "blocking" => comm.alltoallw(&out, &mut back)?,
                _ => comm.scope(|s| s.ialltoallw(&out, &mut back)?.wait().map(drop))?,
            }
        }
    }
    for other in others() {
        let what = format!("from {other}");
        run.record
            .elements(&what, between(other), &recv[other].contents());
    }
    Ok(())
}

/// Several non-blocking collectives under way together, with a message between two ranks among them.
fn at_once<T: Value>(run: &Run<'_>) -> Outcome {
    let (count, comm, buffers) = (run.case.count, run.comm, &run.buffers);
    let (rank, ranks) = (comm.rank(), comm.size());
    let (mut sums, mut everybody) = (
        buffers.untouched::<T>(count),
        buffers.untouched::<T>(count * ranks),
    );
    let mut told = match rank {
        0 => buffers.full::<T>(count, 2),
        _ => buffers.untouched(count),
    };
    let send = [0, 1].map(|buffer| buffers.full::<T>(count, buffer));
    let (right, left) = ((rank + 1) % ranks, (rank + ranks - 1) % ranks);
    let mut passed = buffers.untouched::<T>(count);
    comm.scope(|s| {
        s.iallreduce(send[0].shared(), sums.exclusive(), run.op())?;
        s.iallgather(send[1].shared(), everybody.exclusive())?;
        s.ibcast(told.exclusive(), 0)?;
        let barrier = comm.ibarrier();
        comm.sendrecv(send[1].shared(), right, Tag(1), passed.exclusive(), left, Tag(1))?;
        wait_all(&[barrier]).map(drop)
    })?;
    for (what, buffer) in [
        ("sums", &sums),
        ("everybody", &everybody),
        ("told", &told),
        ("passed", &passed),
    ] {
        run.record.elements(what, T::DTYPE, &buffer.bytes());
    }
    Ok(())
}
