//! The collectives of a program: what each rank calls, and what it must have afterwards.

use std::marker::PhantomData;

use warpcomm::{
    AnyBuffer, AnyBufferMut, AnyOwnedBuffer, AnyOwnedBufferMut, Blocks, Dtype, Op, Persistent, Request,
    Result, Status,
};

use crate::oracle::{Value, bytes, folded, tame_vector, untouched, vector, vectors};
use crate::placed::{Communicator, Part, alltoallw, alltoallw_in_place};

/// A collective with its arguments.
#[derive(Clone, Debug)]
pub struct Collective {
    pub call: Call,
    pub dtype: Dtype,
    pub op: Op,
    pub root: usize,
    /// Elements of each rank; the same for all but v-collectives.
    pub counts: Vec<usize>,
    /// Elements of the receive buffer that stay as they are, behind all or behind each block.
    pub gap: usize,
    pub in_place: bool,
    /// Whether only values are reduced whose order makes no difference.
    pub is_tame: bool,
}

/// Which collective it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Call {
    Bcast,
    Gather,
    Scatter,
    Allgather,
    Allgatherv,
    Gatherv,
    Scatterv,
    Alltoall,
    Alltoallv,
    Alltoallw,
    Reduce,
    Allreduce,
    ReduceScatterBlock,
    ReduceScatter,
    Scan,
    Exscan,
}

impl Call {
    pub const ALL: &[Call] = &[
        Call::Bcast,
        Call::Gather,
        Call::Scatter,
        Call::Allgather,
        Call::Allgatherv,
        Call::Gatherv,
        Call::Scatterv,
        Call::Alltoall,
        Call::Alltoallv,
        Call::Alltoallw,
        Call::Reduce,
        Call::Allreduce,
        Call::ReduceScatterBlock,
        Call::ReduceScatter,
        Call::Scan,
        Call::Exscan,
    ];

    pub fn is_uneven(self) -> bool {
        matches!(
            self,
            Call::Allgatherv
                | Call::Gatherv
                | Call::Scatterv
                | Call::Alltoallv
                | Call::Alltoallw
                | Call::ReduceScatter
        )
    }

    pub fn reduces(self) -> bool {
        matches!(
            self,
            Call::Reduce
                | Call::Allreduce
                | Call::ReduceScatterBlock
                | Call::ReduceScatter
                | Call::Scan
                | Call::Exscan
        )
    }

    /// Whether it combines the elements of only some of the ranks.
    pub fn is_partial(self) -> bool {
        matches!(self, Call::Scan | Call::Exscan)
    }
}

/// What a rank calls a collective with.
enum Buffers<T> {
    InPlace(Vec<T>),
    Apart(Vec<T>, Vec<T>),
    Parts(Vec<Vec<T>>, Vec<Vec<T>>),
    PartsInPlace(Vec<Vec<T>>),
}

fn boxed<T: Value>(parts: Vec<Vec<T>>) -> Vec<Box<dyn Part>> {
    parts
        .into_iter()
        .map(|part| -> Box<dyn Part> { Box::new(part) })
        .collect()
}

/// Starts a collective in place: as a request or in a scope.
macro_rules! start_in_place {
    ($on:expr, $what:expr, $buffer:expr, $blocks:expr) => {
        match $what.call {
            Call::Bcast => $on.ibcast($buffer, $what.root),
            Call::Gather => $on.igather_in_place($buffer, $what.root),
            Call::Scatter => $on.iscatter_in_place($buffer, $what.root),
            Call::Allgather => $on.iallgather_in_place($buffer),
            Call::Allgatherv => $on.iallgatherv_in_place($buffer, $blocks),
            Call::Gatherv => $on.igatherv_in_place($buffer, $blocks, $what.root),
            Call::Scatterv => $on.iscatterv_in_place($buffer, $blocks, $what.root),
            Call::Alltoall | Call::Alltoallw => $on.ialltoall_in_place($buffer),
            Call::Alltoallv => $on.ialltoallv_in_place($buffer, $blocks),
            Call::Reduce => $on.ireduce_in_place($buffer, $what.op, $what.root),
            Call::Allreduce => $on.iallreduce_in_place($buffer, $what.op),
            Call::ReduceScatterBlock => $on.ireduce_scatter_block_in_place($buffer, $what.op),
            Call::ReduceScatter => $on.ireduce_scatter_in_place($buffer, $blocks, $what.op),
            Call::Scan => $on.iscan_in_place($buffer, $what.op),
            Call::Exscan => $on.iexscan_in_place($buffer, $what.op),
        }
    };
}

/// Starts a collective with two buffers: as a request or in a scope.
macro_rules! start_apart {
    ($on:expr, $what:expr, $send:expr, $recv:expr, $blocks:expr) => {
        match $what.call {
            Call::Gather => $on.igather($send, $recv, $what.root),
            Call::Scatter => $on.iscatter($send, $recv, $what.root),
            Call::Allgather => $on.iallgather($send, $recv),
            Call::Allgatherv => $on.iallgatherv($send, $recv, $blocks),
            Call::Gatherv => $on.igatherv($send, $recv, $blocks, $what.root),
            Call::Scatterv => $on.iscatterv($send, $blocks, $recv, $what.root),
            Call::Alltoall | Call::Alltoallw | Call::Bcast => $on.ialltoall($send, $recv),
            Call::Alltoallv => $on.ialltoallv($send, $blocks, $recv, $blocks),
            Call::Reduce => $on.ireduce($send, $recv, $what.op, $what.root),
            Call::Allreduce => $on.iallreduce($send, $recv, $what.op),
            Call::ReduceScatterBlock => $on.ireduce_scatter_block($send, $recv, $what.op),
            Call::ReduceScatter => $on.ireduce_scatter($send, $blocks, $recv, $what.op),
            Call::Scan => $on.iscan($send, $recv, $what.op),
            Call::Exscan => $on.iexscan($send, $recv, $what.op),
        }
    };
}

/// A request of any element type.
pub trait Waiting {
    fn wait(self: Box<Self>) -> Result<(Vec<u8>, Status)>;
}

/// A persistent request of any element type.
pub trait Startable: Waiting {
    fn start(&mut self) -> Result<()>;
}

/// A request with a buffer for each rank.
struct Parts<T, R> {
    request: R,
    elements: PhantomData<T>,
}

impl<T, R> Parts<T, R> {
    fn new(request: R) -> Parts<T, R> {
        Parts {
            request,
            elements: PhantomData,
        }
    }
}

/// What is received into, among the buffers of a request.
trait Received<T> {
    fn received(self) -> Vec<T>;
}

impl<T> Received<T> for Vec<T> {
    fn received(self) -> Vec<T> {
        self
    }
}

impl<T> Received<T> for (Vec<T>, Vec<T>) {
    fn received(self) -> Vec<T> {
        self.1
    }
}

impl<T: Value> Received<T> for Vec<AnyOwnedBufferMut> {
    fn received(self) -> Vec<T> {
        let parts = self.into_iter().map(|part| part.into_inner::<Vec<T>>());
        parts.flat_map(|part| part.expect("what was given")).collect()
    }
}

impl<T: Value> Received<T> for (Vec<AnyOwnedBuffer>, Vec<AnyOwnedBufferMut>) {
    fn received(self) -> Vec<T> {
        self.1.received()
    }
}

fn waited<T: Value, B: Received<T> + Send + 'static>(request: Request<B>) -> Result<(Vec<u8>, Status)> {
    let (buffers, status) = request.wait()?;
    Ok((bytes(&buffers.received()).to_vec(), status))
}

fn waited_again<T: Value, B: Received<T> + Send + 'static>(
    mut request: Persistent<B>,
) -> Result<(Vec<u8>, Status)> {
    let status = request.wait()?;
    Ok((bytes(&request.into_buffer()?.received()).to_vec(), status))
}

macro_rules! requests {
    ($($buffers:ty),*) => {$(
        impl<T: Value> Waiting for Request<$buffers> {
            fn wait(self: Box<Self>) -> Result<(Vec<u8>, Status)> {
                waited::<T, _>(*self)
            }
        }

        impl<T: Value> Waiting for Persistent<$buffers> {
            fn wait(self: Box<Self>) -> Result<(Vec<u8>, Status)> {
                waited_again::<T, _>(*self)
            }
        }

        impl<T: Value> Startable for Persistent<$buffers> {
            fn start(&mut self) -> Result<()> {
                Persistent::start(self)
            }
        }
    )*};
}
requests!(Vec<T>, (Vec<T>, Vec<T>));

impl<T: Value, B: Received<T> + Send + 'static> Waiting for Parts<T, Request<B>> {
    fn wait(self: Box<Self>) -> Result<(Vec<u8>, Status)> {
        waited::<T, _>(self.request)
    }
}

impl<T: Value, B: Received<T> + Send + 'static> Waiting for Parts<T, Persistent<B>> {
    fn wait(self: Box<Self>) -> Result<(Vec<u8>, Status)> {
        waited_again::<T, _>(self.request)
    }
}

impl<T: Value, B: Received<T> + Send + 'static> Startable for Parts<T, Persistent<B>> {
    fn start(&mut self) -> Result<()> {
        self.request.start()
    }
}

impl Collective {
    fn length(&self) -> usize {
        self.counts[0]
    }

    fn size(&self) -> usize {
        self.counts.len()
    }

    /// What a rank contributes.
    fn elements<T: Value>(&self, rank: usize, salt: u64, length: usize) -> Vec<T> {
        match self.is_tame {
            true => tame_vector(salt, rank, length),
            false => vector(salt, rank, length),
        }
    }

    /// Blocks with a gap behind each.
    fn blocks(&self) -> Blocks {
        let mut end = 0;
        let displacements = self.counts.iter().map(|count| {
            let start = end;
            end += count + self.gap;
            start
        });
        let displacements: Vec<usize> = displacements.collect();
        Blocks::new(self.counts.clone(), displacements)
    }

    /// What one rank sends to another, where every two exchange something: of the length of the lower one's share, so
    /// that both send as much.
    fn exchanged<T: Value>(&self, from: usize, to: usize, salt: u64) -> Vec<T> {
        let length = match self.call {
            Call::Alltoall => self.length(),
            _ => self.counts[from.min(to)],
        };
        vector(salt ^ to as u64, from, length)
    }

    /// Blocks for what a rank exchanges with each.
    fn blocks_of_exchange<T: Value>(&self, rank: usize) -> Blocks {
        let counts = (0..self.size()).map(|other| self.exchanged::<T>(rank, other, 0).len());
        Blocks::packed(counts.collect::<Vec<_>>())
    }

    /// What a rank sends to all, one behind the other.
    fn outgoing<T: Value>(&self, rank: usize, salt: u64) -> Vec<T> {
        (0..self.size())
            .flat_map(|to| self.exchanged(rank, to, salt))
            .collect()
    }

    /// What a rank receives from all, one behind the other.
    fn incoming<T: Value>(&self, rank: usize, salt: u64) -> Vec<T> {
        (0..self.size())
            .flat_map(|from| self.exchanged(from, rank, salt))
            .collect()
    }

    /// What a rank contributes where each gets a block of the result.
    fn contribution<T: Value>(&self, rank: usize, salt: u64) -> Vec<T> {
        self.elements(rank, salt, self.counts.iter().sum())
    }

    /// The root's buffer of a `scatterv`, with a gap behind each block.
    fn with_gaps<T: Value>(&self, salt: u64) -> Vec<T> {
        let (mut all, blocks) = (untouched(self.room_of_blocks()), self.blocks());
        for rank in 0..self.size() {
            all[blocks.range(rank)].copy_from_slice(&vector(salt, rank, self.counts[rank]));
        }
        all
    }

    /// Blocks as the call takes them.
    fn blocks_of_call<T: Value>(&self, rank: usize) -> Blocks {
        match self.call {
            Call::Alltoallv => self.blocks_of_exchange::<T>(rank),
            Call::ReduceScatter => Blocks::packed(self.counts.clone()),
            _ => self.blocks(),
        }
    }

    /// What a rank calls it with.
    fn buffers<T: Value>(&self, rank: usize, salt: u64) -> Buffers<T> {
        let (size, length, root) = (self.size(), self.length(), self.root);
        let own: Vec<T> = self.elements(rank, salt, self.counts[rank]);
        let is_root = rank == root;
        if self.call == Call::Alltoallw {
            let part = |to| self.exchanged(rank, to, salt);
            let blank = |from| untouched(self.exchanged::<T>(from, rank, salt).len());
            let parts = (0..size).map(part).collect();
            return match self.in_place {
                true => Buffers::PartsInPlace(parts),
                false => Buffers::Parts(parts, (0..size).map(blank).collect()),
            };
        }
        let received = || untouched(self.room(rank));
        match (self.call, self.in_place) {
            (Call::Bcast, _) if is_root => Buffers::InPlace(own),
            (Call::Bcast, _) => Buffers::InPlace(untouched(length)),
            (Call::Gather | Call::Gatherv, true) if !is_root => Buffers::InPlace(own),
            (Call::Gather | Call::Allgather, true) => {
                let mut all = untouched(size * length);
                all[rank * length..][..length].copy_from_slice(&own);
                Buffers::InPlace(all)
            }
            (Call::Allgatherv | Call::Gatherv, true) => {
                let mut all = untouched(self.room_of_blocks());
                all[self.blocks().range(rank)].copy_from_slice(&own);
                Buffers::InPlace(all)
            }
            (Call::Scatter, true) if is_root => Buffers::InPlace(vectors(salt, size, length)),
            (Call::Scatter, true) => Buffers::InPlace(untouched(length)),
            (Call::Scatterv, true) if is_root => Buffers::InPlace(self.with_gaps(salt)),
            (Call::Scatterv, true) => Buffers::InPlace(untouched(self.counts[rank])),
            (Call::Alltoall | Call::Alltoallv, true) => Buffers::InPlace(self.outgoing(rank, salt)),
            (Call::ReduceScatterBlock | Call::ReduceScatter, true) => {
                Buffers::InPlace(self.contribution(rank, salt))
            }
            (_, true) => Buffers::InPlace(own),
            (Call::Scatter, false) if is_root => Buffers::Apart(vectors(salt, size, length), received()),
            (Call::Scatter, false) => Buffers::Apart(Vec::new(), received()),
            (Call::Scatterv, false) => Buffers::Apart(self.with_gaps(salt), received()),
            (Call::Alltoall | Call::Alltoallv, false) => {
                Buffers::Apart(self.outgoing(rank, salt), received())
            }
            (Call::ReduceScatterBlock | Call::ReduceScatter, false) => {
                Buffers::Apart(self.contribution(rank, salt), received())
            }
            (_, false) => Buffers::Apart(own, received()),
        }
    }

    /// Calls it on this rank; the bytes of its receive buffer.
    pub fn run<T: Value>(&self, comm: &Communicator, salt: u64) -> Result<Vec<u8>> {
        let (op, root, blocks) = (self.op, self.root, &self.blocks_of_call::<T>(comm.rank()));
        match self.buffers::<T>(comm.rank(), salt) {
            Buffers::InPlace(mut buffer) => {
                let all = &mut buffer;
                match self.call {
                    Call::Bcast => comm.bcast(all, root),
                    Call::Gather => comm.gather_in_place(all, root),
                    Call::Scatter => comm.scatter_in_place(all, root),
                    Call::Allgather => comm.allgather_in_place(all),
                    Call::Allgatherv => comm.allgatherv_in_place(all, blocks),
                    Call::Gatherv => comm.gatherv_in_place(all, blocks, root),
                    Call::Scatterv => comm.scatterv_in_place(all, blocks, root),
                    Call::Alltoall | Call::Alltoallw => comm.alltoall_in_place(all),
                    Call::Alltoallv => comm.alltoallv_in_place(all, blocks),
                    Call::Reduce => comm.reduce_in_place(all, op, root),
                    Call::Allreduce => comm.allreduce_in_place(all, op),
                    Call::ReduceScatterBlock => comm.reduce_scatter_block_in_place(all, op),
                    Call::ReduceScatter => comm.reduce_scatter_in_place(all, blocks, op),
                    Call::Scan => comm.scan_in_place(all, op),
                    Call::Exscan => comm.exscan_in_place(all, op),
                }?;
                Ok(bytes(&buffer).to_vec())
            }
            Buffers::Apart(own, mut buffer) => {
                let all = &mut buffer;
                match self.call {
                    Call::Bcast => comm.bcast(all, root),
                    Call::Gather => comm.gather(&own, all, root),
                    Call::Scatter => comm.scatter(&own, all, root),
                    Call::Allgather => comm.allgather(&own, all),
                    Call::Allgatherv => comm.allgatherv(&own, all, blocks),
                    Call::Gatherv => comm.gatherv(&own, all, blocks, root),
                    Call::Scatterv => comm.scatterv(&own, blocks, all, root),
                    Call::Alltoall | Call::Alltoallw => comm.alltoall(&own, all),
                    Call::Alltoallv => comm.alltoallv(&own, blocks, all, blocks),
                    Call::Reduce => comm.reduce(&own, all, op, root),
                    Call::Allreduce => comm.allreduce(&own, all, op),
                    Call::ReduceScatterBlock => comm.reduce_scatter_block(&own, all, op),
                    Call::ReduceScatter => comm.reduce_scatter(&own, blocks, all, op),
                    Call::Scan => comm.scan(&own, all, op),
                    Call::Exscan => comm.exscan(&own, all, op),
                }?;
                Ok(bytes(&buffer).to_vec())
            }
            Buffers::Parts(own, buffers) => {
                let mut received = boxed(buffers);
                alltoallw(comm, &boxed(own), &mut received)?;
                Ok(received.iter().flat_map(|part| part.bytes()).collect())
            }
            Buffers::PartsInPlace(buffers) => {
                let mut received = boxed(buffers);
                alltoallw_in_place(comm, &mut received)?;
                Ok(received.iter().flat_map(|part| part.bytes()).collect())
            }
        }
    }

    /// Runs it in a scope, in which all ranks call `meanwhile` before anybody waits for it.
    pub fn run_in_scope<T: Value>(
        &self,
        comm: &warpcomm::Communicator,
        salt: u64,
        meanwhile: impl FnOnce() -> Result<()>,
    ) -> Result<Vec<u8>> {
        let blocks = self.blocks_of_call::<T>(comm.rank());
        match self.buffers::<T>(comm.rank(), salt) {
            Buffers::InPlace(mut buffer) => {
                let all = &mut buffer;
                comm.scope(|scope| {
                    start_in_place!(scope, self, all, &blocks)?;
                    meanwhile()
                })?;
                Ok(bytes(&buffer).to_vec())
            }
            Buffers::Apart(own, mut buffer) => {
                let all = &mut buffer;
                comm.scope(|scope| {
                    start_apart!(scope, self, &own, all, &blocks)?;
                    meanwhile()
                })?;
                Ok(bytes(&buffer).to_vec())
            }
            Buffers::Parts(own, mut buffers) => {
                let send: Vec<_> = own.iter().map(AnyBuffer::new).collect();
                let mut recv: Vec<_> = buffers.iter_mut().map(AnyBufferMut::new).collect();
                let lent = &mut recv;
                comm.scope(|scope| {
                    scope.ialltoallw(&send, lent)?;
                    meanwhile()
                })?;
                drop(recv);
                Ok(bytes(&buffers.concat()).to_vec())
            }
            Buffers::PartsInPlace(mut buffers) => {
                let mut all: Vec<_> = buffers.iter_mut().map(AnyBufferMut::new).collect();
                let lent = &mut all;
                comm.scope(|scope| {
                    scope.ialltoallw_in_place(lent)?;
                    meanwhile()
                })?;
                drop(all);
                Ok(bytes(&buffers.concat()).to_vec())
            }
        }
    }

    /// Starts it on this rank.
    pub fn start<T: Value>(&self, comm: &warpcomm::Communicator, salt: u64) -> Box<dyn Waiting> {
        let blocks = &self.blocks_of_call::<T>(comm.rank());
        match self.buffers::<T>(comm.rank(), salt) {
            Buffers::InPlace(all) => Box::new(start_in_place!(comm, self, all, blocks)),
            Buffers::Apart(own, all) => Box::new(start_apart!(comm, self, own, all, blocks)),
            Buffers::Parts(own, all) => Box::new(Parts::<T, _>::new(comm.ialltoallw(
                own.into_iter().map(AnyOwnedBuffer::new).collect(),
                all.into_iter().map(AnyOwnedBufferMut::new).collect(),
            ))),
            Buffers::PartsInPlace(all) => Box::new(Parts::<T, _>::new(
                comm.ialltoallw_in_place(all.into_iter().map(AnyOwnedBufferMut::new).collect()),
            )),
        }
    }

    /// Prepares it on this rank.
    pub fn prepare<T: Value>(&self, comm: &warpcomm::Communicator, salt: u64) -> Box<dyn Startable> {
        let (op, root, blocks) = (self.op, self.root, &self.blocks_of_call::<T>(comm.rank()));
        match self.buffers::<T>(comm.rank(), salt) {
            Buffers::InPlace(all) => Box::new(match self.call {
                Call::Bcast => comm.bcast_init(all, root),
                Call::Gather => comm.gather_in_place_init(all, root),
                Call::Scatter => comm.scatter_in_place_init(all, root),
                Call::Allgather => comm.allgather_in_place_init(all),
                Call::Allgatherv => comm.allgatherv_in_place_init(all, blocks),
                Call::Gatherv => comm.gatherv_in_place_init(all, blocks, root),
                Call::Scatterv => comm.scatterv_in_place_init(all, blocks, root),
                Call::Alltoall | Call::Alltoallw => comm.alltoall_in_place_init(all),
                Call::Alltoallv => comm.alltoallv_in_place_init(all, blocks),
                Call::Reduce => comm.reduce_in_place_init(all, op, root),
                Call::Allreduce => comm.allreduce_in_place_init(all, op),
                Call::ReduceScatterBlock => comm.reduce_scatter_block_in_place_init(all, op),
                Call::ReduceScatter => comm.reduce_scatter_in_place_init(all, blocks, op),
                Call::Scan => comm.scan_in_place_init(all, op),
                Call::Exscan => comm.exscan_in_place_init(all, op),
            }),
            Buffers::Apart(own, all) => Box::new(match self.call {
                Call::Gather => comm.gather_init(own, all, root),
                Call::Scatter => comm.scatter_init(own, all, root),
                Call::Allgather => comm.allgather_init(own, all),
                Call::Allgatherv => comm.allgatherv_init(own, all, blocks),
                Call::Gatherv => comm.gatherv_init(own, all, blocks, root),
                Call::Scatterv => comm.scatterv_init(own, blocks, all, root),
                Call::Alltoall | Call::Alltoallw | Call::Bcast => comm.alltoall_init(own, all),
                Call::Alltoallv => comm.alltoallv_init(own, blocks, all, blocks),
                Call::Reduce => comm.reduce_init(own, all, op, root),
                Call::Allreduce => comm.allreduce_init(own, all, op),
                Call::ReduceScatterBlock => comm.reduce_scatter_block_init(own, all, op),
                Call::ReduceScatter => comm.reduce_scatter_init(own, blocks, all, op),
                Call::Scan => comm.scan_init(own, all, op),
                Call::Exscan => comm.exscan_init(own, all, op),
            }),
            Buffers::Parts(own, all) => Box::new(Parts::<T, _>::new(comm.alltoallw_init(
                own.into_iter().map(AnyOwnedBuffer::new).collect(),
                all.into_iter().map(AnyOwnedBufferMut::new).collect(),
            ))),
            Buffers::PartsInPlace(all) => Box::new(Parts::<T, _>::new(
                comm.alltoallw_in_place_init(all.into_iter().map(AnyOwnedBufferMut::new).collect()),
            )),
        }
    }

    fn room_of_blocks(&self) -> usize {
        self.counts.iter().map(|count| count + self.gap).sum()
    }

    /// The length of a separate receive buffer.
    fn room(&self, rank: usize) -> usize {
        match self.call {
            Call::Scatterv => self.counts[rank],
            Call::Bcast | Call::Scatter => self.length(),
            Call::Gather | Call::Allgather => self.size() * self.length() + self.gap,
            Call::Allgatherv | Call::Gatherv => self.room_of_blocks(),
            Call::Reduce | Call::Allreduce | Call::Scan | Call::Exscan => self.length() + self.gap,
            Call::Alltoall | Call::Alltoallv => self.incoming::<u8>(rank, 0).len() + self.gap,
            Call::Alltoallw => self.incoming::<u8>(rank, 0).len(),
            Call::ReduceScatterBlock | Call::ReduceScatter => self.counts[rank] + self.gap,
        }
    }

    /// What `rank` must have afterwards in its receive buffer.
    pub fn expected<T: Value>(&self, rank: usize, salt: u64) -> Vec<u8> {
        let (size, length) = (self.size(), self.length());
        let is_root = rank == self.root;
        let own: Vec<T> = self.elements(rank, salt, self.counts[rank]);
        let before: Vec<T> = untouched(self.room(rank));
        let with = |mut before: Vec<T>, result: Vec<T>| {
            before[..result.len()].copy_from_slice(&result);
            before
        };
        let after = match (self.call, self.in_place) {
            (Call::Bcast, _) => vector(salt, self.root, length),
            (Call::Scatter, true) if is_root => vectors(salt, size, length),
            (Call::Scatter, _) => own,
            (Call::Gather, true) if !is_root => own,
            (Call::Gather, false) if !is_root => before,
            (Call::Gather | Call::Allgather, true) => vectors(salt, size, length),
            (Call::Gather | Call::Allgather, false) => with(before, vectors(salt, size, length)),
            (Call::Gatherv, true) if !is_root => own,
            (Call::Gatherv, false) if !is_root => before,
            (Call::Allgatherv | Call::Gatherv, _) => self.with_gaps(salt),
            (Call::Scatterv, true) if is_root => self.with_gaps(salt),
            (Call::Scatterv, _) => own,
            (Call::Alltoall | Call::Alltoallv | Call::Alltoallw, in_place) => {
                let result = self.incoming(rank, salt);
                if in_place { result } else { with(before, result) }
            }
            (Call::ReduceScatterBlock | Call::ReduceScatter, in_place) => {
                let of_ranks: Vec<Vec<T>> = (0..size).map(|rank| self.contribution(rank, salt)).collect();
                let result = folded(self.op, &of_ranks).expect("the op was chosen for the type");
                let block = result[Blocks::packed(self.counts.clone()).range(rank)].to_vec();
                with(if in_place { of_ranks[rank].clone() } else { before }, block)
            }
            (Call::Exscan, in_place) if rank == 0 => {
                if in_place {
                    own
                } else {
                    before
                }
            }
            (Call::Scan | Call::Exscan, in_place) => {
                let end = rank + usize::from(self.call == Call::Scan);
                let of_ranks: Vec<Vec<T>> = (0..end).map(|rank| self.elements(rank, salt, length)).collect();
                let result = folded(self.op, &of_ranks).expect("the op was chosen for the type");
                if in_place { result } else { with(before, result) }
            }
            (Call::Reduce, true) if !is_root => own,
            (Call::Reduce, false) if !is_root => before,
            (Call::Reduce | Call::Allreduce, in_place) => {
                let of_ranks: Vec<Vec<T>> = (0..size).map(|rank| self.elements(rank, salt, length)).collect();
                let result = folded(self.op, &of_ranks).expect("the op was chosen for the type");
                if in_place { result } else { with(before, result) }
            }
        };
        bytes(&after).to_vec()
    }
}
