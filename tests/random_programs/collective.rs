//! The collectives of a program: what each rank calls, and what it must have afterwards.

use warpcomm::{Blocks, Dtype, Op, Result};

use crate::oracle::{Value, bytes, folded, untouched, vector, vectors};
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

    /// Whether it combines the elements of only some of the ranks.
    pub fn is_partial(self) -> bool {
        matches!(self, Call::Scan | Call::Exscan)
    }
}

impl Collective {
    fn length(&self) -> usize {
        self.counts[0]
    }

    fn size(&self) -> usize {
        self.counts.len()
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

    fn exchange<T: Value>(&self, comm: &Communicator, salt: u64) -> Result<Vec<u8>> {
        let mut buffer: Vec<T> = self.outgoing(comm.rank(), salt);
        let blocks = self.blocks_of_exchange::<T>(comm.rank());
        let received = || untouched::<T>(blocks.total() + self.gap);
        match (self.call, self.in_place) {
            (Call::Alltoall, true) => comm.alltoall_in_place(&mut buffer)?,
            (Call::Alltoall, false) => {
                let mut all = received();
                comm.alltoall(&buffer, &mut all)?;
                buffer = all;
            }
            (Call::Alltoallv, true) => comm.alltoallv_in_place(&mut buffer, &blocks)?,
            (Call::Alltoallv, false) => {
                let mut all = received();
                comm.alltoallv(&buffer, &blocks, &mut all, &blocks)?;
                buffer = all;
            }
            _ => {
                let part = |to| Box::new(self.exchanged::<T>(comm.rank(), to, salt)) as Box<dyn Part>;
                let mut parts: Vec<Box<dyn Part>> = (0..self.size()).map(part).collect();
                if self.in_place {
                    alltoallw_in_place(comm, &mut parts)?;
                } else {
                    let blank = |from| Box::new(untouched::<T>(blocks.count(from))) as Box<dyn Part>;
                    let mut received: Vec<Box<dyn Part>> = (0..self.size()).map(blank).collect();
                    alltoallw(comm, &parts, &mut received)?;
                    parts = received;
                }
                return Ok(parts.iter().flat_map(|part| part.bytes()).collect());
            }
        }
        Ok(bytes(&buffer).to_vec())
    }

    /// What a rank contributes where each gets a block of the result.
    fn contribution<T: Value>(&self, rank: usize, salt: u64) -> Vec<T> {
        vector(salt, rank, self.counts.iter().sum())
    }

    fn reduce_scatter<T: Value>(&self, comm: &Communicator, salt: u64) -> Result<Vec<u8>> {
        let mut own: Vec<T> = self.contribution(comm.rank(), salt);
        let mut buffer: Vec<T> = untouched(self.counts[comm.rank()] + self.gap);
        let (op, blocks) = (self.op, Blocks::packed(self.counts.clone()));
        match (self.call, self.in_place) {
            (Call::ReduceScatterBlock, true) => comm.reduce_scatter_block_in_place(&mut own, op)?,
            (Call::ReduceScatterBlock, false) => comm.reduce_scatter_block(&own, &mut buffer, op)?,
            (_, true) => comm.reduce_scatter_in_place(&mut own, &blocks, op)?,
            (_, false) => comm.reduce_scatter(&own, &blocks, &mut buffer, op)?,
        }
        Ok(bytes(if self.in_place { &own } else { &buffer }).to_vec())
    }

    /// The root's buffer of a `scatterv`, with a gap behind each block.
    fn with_gaps<T: Value>(&self, salt: u64) -> Vec<T> {
        let (mut all, blocks) = (untouched(self.room_of_blocks()), self.blocks());
        for rank in 0..self.size() {
            all[blocks.range(rank)].copy_from_slice(&vector(salt, rank, self.counts[rank]));
        }
        all
    }

    /// Calls it on this rank; the bytes of its receive buffer.
    pub fn run<T: Value>(&self, comm: &Communicator, salt: u64) -> Result<Vec<u8>> {
        match self.call {
            Call::Alltoall | Call::Alltoallv | Call::Alltoallw => return self.exchange::<T>(comm, salt),
            Call::ReduceScatterBlock | Call::ReduceScatter => return self.reduce_scatter::<T>(comm, salt),
            _ => {}
        }
        let (rank, size, length, root) = (comm.rank(), self.size(), self.length(), self.root);
        let own: Vec<T> = vector(salt, rank, self.counts[rank]);
        let is_root = rank == root;
        let mut buffer = match (self.call, self.in_place) {
            (Call::Bcast, _) if is_root => own,
            (Call::Bcast, _) => untouched(length),
            (Call::Gather | Call::Gatherv, true) if !is_root => own,
            (Call::Gather | Call::Allgather, true) => {
                let mut all = untouched(size * length);
                all[rank * length..][..length].copy_from_slice(&own);
                all
            }
            (Call::Allgatherv | Call::Gatherv, true) => {
                let mut all = untouched(self.room_of_blocks());
                all[self.blocks().range(rank)].copy_from_slice(&own);
                all
            }
            (Call::Scatter, true) if is_root => vectors(salt, size, length),
            (Call::Scatter, true) => untouched(length),
            (Call::Scatterv, true) if is_root => self.with_gaps(salt),
            (Call::Scatterv, true) => untouched(self.counts[rank]),
            (Call::Reduce | Call::Allreduce | Call::Scan | Call::Exscan, true) => own,
            _ => return self.run_out_of_place(comm, salt, &own),
        };
        match self.call {
            Call::Bcast => comm.bcast(&mut buffer, root)?,
            Call::Gather => comm.gather_in_place(&mut buffer, root)?,
            Call::Scatter => comm.scatter_in_place(&mut buffer, root)?,
            Call::Allgather => comm.allgather_in_place(&mut buffer)?,
            Call::Allgatherv => comm.allgatherv_in_place(&mut buffer, &self.blocks())?,
            Call::Gatherv => comm.gatherv_in_place(&mut buffer, &self.blocks(), root)?,
            Call::Scatterv => comm.scatterv_in_place(&mut buffer, &self.blocks(), root)?,
            Call::Reduce => comm.reduce_in_place(&mut buffer, self.op, root)?,
            Call::Allreduce => comm.allreduce_in_place(&mut buffer, self.op)?,
            Call::Scan => comm.scan_in_place(&mut buffer, self.op)?,
            Call::Exscan => comm.exscan_in_place(&mut buffer, self.op)?,
            _ => unreachable!("dealt with above"),
        }
        Ok(bytes(&buffer).to_vec())
    }

    fn run_out_of_place<T: Value>(&self, comm: &Communicator, salt: u64, own: &[T]) -> Result<Vec<u8>> {
        let (size, length, root) = (self.size(), self.length(), self.root);
        let mut buffer: Vec<T> = untouched(self.room(comm.rank()));
        match self.call {
            Call::Bcast => comm.bcast(&mut buffer, root)?,
            Call::Gather => comm.gather(own, &mut buffer, root)?,
            Call::Scatter if comm.rank() == root => {
                comm.scatter(&vectors::<T>(salt, size, length), &mut buffer, root)?;
            }
            Call::Scatter => comm.scatter(&[], &mut buffer, root)?,
            Call::Allgather => comm.allgather(own, &mut buffer)?,
            Call::Allgatherv => comm.allgatherv(own, &mut buffer, &self.blocks())?,
            Call::Gatherv => comm.gatherv(own, &mut buffer, &self.blocks(), root)?,
            Call::Scatterv => {
                comm.scatterv(&self.with_gaps::<T>(salt), &self.blocks(), &mut buffer, root)?;
            }
            Call::Reduce => comm.reduce(own, &mut buffer, self.op, root)?,
            Call::Allreduce => comm.allreduce(own, &mut buffer, self.op)?,
            Call::Scan => comm.scan(own, &mut buffer, self.op)?,
            Call::Exscan => comm.exscan(own, &mut buffer, self.op)?,
            _ => unreachable!("dealt with above"),
        }
        Ok(bytes(&buffer).to_vec())
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
        let own: Vec<T> = vector(salt, rank, self.counts[rank]);
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
                let of_ranks: Vec<Vec<T>> = (0..end).map(|rank| vector(salt, rank, length)).collect();
                let result = folded(self.op, &of_ranks).expect("the op was chosen for the type");
                if in_place { result } else { with(before, result) }
            }
            (Call::Reduce, true) if !is_root => own,
            (Call::Reduce, false) if !is_root => before,
            (Call::Reduce | Call::Allreduce, in_place) => {
                let of_ranks: Vec<Vec<T>> = (0..size).map(|rank| vector(salt, rank, length)).collect();
                let result = folded(self.op, &of_ranks).expect("the op was chosen for the type");
                if in_place { result } else { with(before, result) }
            }
        };
        bytes(&after).to_vec()
    }
}
