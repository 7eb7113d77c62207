//! Collectives as the library has them.

use warpcomm::{AnyBuffer, AnyBufferMut, Blocks, Communicator, Op};

use super::contents::Wrong;
use super::element::Sample;
use super::memory::Memory;
use super::shape::Shape;
use super::subject::{Contents, Made, Run, not_here};
use crate::Failure;
use crate::operation::Operation;

/// The buffers of a collective on one rank, and what they should hold.
pub struct Buffers<T: Sample, M: Memory<T>> {
    pub shape: Shape,
    pub memory: M,
    /// One, or one for each rank where the operation takes a list.
    pub send: Vec<M::Store>,
    pub recv: Vec<M::Store>,
    /// Whether results wrap around.
    wraps: bool,
    round: u64,
}

impl<T: Sample, M: Memory<T>> Buffers<T, M> {
    pub fn new(shape: Shape, memory: M, in_lists: bool, wraps: bool) -> Result<Self, Failure> {
        let parts = if in_lists { shape.ranks } else { 1 };
        let make = |elements: usize| -> Result<Vec<M::Store>, Failure> {
            (0..parts).map(|_| memory.reserve(elements / parts)).collect()
        };
        let (send, recv) = (make(shape.sent())?, make(shape.received())?);
        Ok(Buffers {
            shape,
            memory,
            send,
            recv,
            wraps,
            round: 0,
        })
    }
}

impl<T: Sample, M: Memory<T>> Contents for Buffers<T, M> {
    fn prepare(&mut self) -> Result<(), Failure> {
        self.round += 1;
        let Self { shape, memory, .. } = self;
        let kind = shape.kind(self.wraps, self.round);
        fill(memory, &mut self.send, &kind.sent(shape.rank, shape.sent()))?;
        let received = match shape.sends_from_results() {
            true => kind.sent(shape.rank, shape.received()),
            false => kind.spoiled(&shape.results(), shape.received()),
        };
        fill(memory, &mut self.recv, &received)
    }

    fn wrong(&self) -> Result<Option<Wrong>, Failure> {
        let kind = self.shape.kind(self.wraps, self.round);
        let results = self.shape.results();
        if let [only] = &self.recv[..] {
            return Ok(kind.wrong(&results, &self.memory.read(only)?));
        }
        let mut found: Vec<T> = Vec::with_capacity(self.shape.received());
        for part in &self.recv {
            found.extend_from_slice(&self.memory.read(part)?);
        }
        Ok(kind.wrong(&results, &found))
    }
}

fn fill<T: Sample, M: Memory<T>>(memory: &M, stores: &mut [M::Store], elements: &[T]) -> Result<(), Failure> {
    let each = elements.len() / stores.len().max(1);
    for (number, store) in stores.iter_mut().enumerate() {
        memory.write(store, &elements[number * each..(number + 1) * each])?;
    }
    Ok(())
}

/// A collective of warpcomm.
pub struct Collective<'c> {
    comm: &'c Communicator,
    blocks: Blocks,
    op: Op,
}

impl<'c> Collective<'c> {
    pub fn new<T: Sample, M: Memory<T>>(
        comm: &'c Communicator,
        shape: Shape,
        memory: M,
    ) -> Result<Made<Buffers<T, M>, Self>, Failure> {
        let in_lists = shape.operation == Operation::Alltoallw;
        let run = Collective {
            comm,
            // No operation is asked for where there is none.
            op: shape.op.unwrap_or(Op::Sum),
            blocks: Blocks::packed(shape.counts()),
        };
        let buffers = Buffers::new(shape, memory, in_lists, true)?;
        Ok(Made { buffers, run })
    }

    fn run_lists<T: Sample, M: Memory<T>>(
        &self,
        buffers: &mut Buffers<T, M>,
        repeats: u64,
    ) -> Result<(), Failure> {
        let Buffers {
            memory, send, recv, ..
        } = buffers;
        // Where streams order what happens, the lists are made for each operation.
        let (times, of_each) = match M::HAS_STREAMS {
            true => (repeats, 1),
            false => (1, repeats),
        };
        for _ in 0..times {
            let views = send.iter().map(|part| memory.view(part));
            let send: Vec<AnyBuffer<'_>> = views
                .map(|view| Ok(AnyBuffer::new(view?)))
                .collect::<Result<_, Failure>>()?;
            let views = recv.iter_mut().map(|part| memory.view_mut(part));
            let mut recv: Vec<AnyBufferMut<'_>> = views
                .map(|view| Ok(AnyBufferMut::new(view?)))
                .collect::<Result<_, Failure>>()?;
            for _ in 0..of_each {
                self.comm.alltoallw(&send, &mut recv)?;
            }
            drop((send, recv));
            memory.finish()?;
        }
        Ok(())
    }
}

impl<T: Sample, M: Memory<T>> Run<Buffers<T, M>> for Collective<'_> {
    const IS_OF_ANOTHER_LIBRARY: bool = false;

    fn run(&mut self, buffers: &mut Buffers<T, M>, repeats: u64) -> Result<(), Failure> {
        let (comm, op, blocks) = (self.comm, self.op, &self.blocks);
        let operation = buffers.shape.operation;
        if operation == Operation::Alltoallw {
            return self.run_lists(buffers, repeats);
        }
        let Buffers {
            memory, send, recv, ..
        } = buffers;
        let ([send], [recv]) = (&send[..], &mut recv[..]) else {
            return Err("a collective has several buffers".into());
        };
        let (send, recv) = (memory.view(send)?, memory.view_mut(recv)?);
        macro_rules! repeat {
            ($call:expr) => {
                for _ in 0..repeats {
                    $call?;
                    memory.finish()?;
                }
            };
        }
        match operation {
            Operation::Barrier => repeat!(comm.barrier()),
            Operation::Bcast => repeat!(comm.bcast(recv, 0)),
            Operation::Scatter => repeat!(comm.scatter(send, recv, 0)),
            Operation::Scatterv => repeat!(comm.scatterv(send, blocks, recv, 0)),
            Operation::Gather => repeat!(comm.gather(send, recv, 0)),
            Operation::Gatherv => repeat!(comm.gatherv(send, recv, blocks, 0)),
            Operation::Allgather => repeat!(comm.allgather(send, recv)),
            Operation::Allgatherv => repeat!(comm.allgatherv(send, recv, blocks)),
            Operation::Alltoall => repeat!(comm.alltoall(send, recv)),
            Operation::Alltoallv => repeat!(comm.alltoallv(send, blocks, recv, blocks)),
            Operation::Reduce => repeat!(comm.reduce(send, recv, op, 0)),
            Operation::Allreduce => repeat!(comm.allreduce(send, recv, op)),
            Operation::ReduceScatter => repeat!(comm.reduce_scatter(send, blocks, recv, op)),
            Operation::ReduceScatterBlock => repeat!(comm.reduce_scatter_block(send, recv, op)),
            Operation::Scan => repeat!(comm.scan(send, recv, op)),
            Operation::Exscan => repeat!(comm.exscan(send, recv, op)),
            other => return Err(not_here(format!("{other} is no collective"))),
        }
        Ok(())
    }
}
