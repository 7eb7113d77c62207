//! The collectives of a program: what each rank calls, and what it must have afterwards.

use warpcomm::{Blocks, Dtype, Op, Result};

use crate::oracle::{Value, bytes, folded, untouched, vector, vectors};
use crate::placed::Communicator;

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
    Reduce,
    Allreduce,
}

impl Call {
    pub const ALL: &[Call] = &[
        Call::Bcast,
        Call::Gather,
        Call::Scatter,
        Call::Allgather,
        Call::Allgatherv,
        Call::Reduce,
        Call::Allreduce,
    ];

    pub fn is_uneven(self) -> bool {
        self == Call::Allgatherv
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

    /// Calls it on this rank; the bytes of its receive buffer.
    pub fn run<T: Value>(&self, comm: &Communicator, salt: u64) -> Result<Vec<u8>> {
        let (rank, size, length, root) = (comm.rank(), self.size(), self.length(), self.root);
        let own: Vec<T> = vector(salt, rank, self.counts[rank]);
        let is_root = rank == root;
        let mut buffer = match (self.call, self.in_place) {
            (Call::Bcast, _) if is_root => own,
            (Call::Bcast, _) => untouched(length),
            (Call::Gather, true) if !is_root => own,
            (Call::Gather | Call::Allgather, true) => {
                let mut all = untouched(size * length);
                all[rank * length..][..length].copy_from_slice(&own);
                all
            }
            (Call::Allgatherv, true) => {
                let mut all = untouched(self.room_of_blocks());
                all[self.blocks().range(rank)].copy_from_slice(&own);
                all
            }
            (Call::Scatter, true) if is_root => vectors(salt, size, length),
            (Call::Scatter, true) => untouched(length),
            (Call::Reduce | Call::Allreduce, true) => own,
            _ => return self.run_out_of_place(comm, salt, &own),
        };
        match self.call {
            Call::Bcast => comm.bcast(&mut buffer, root)?,
            Call::Gather => comm.gather_in_place(&mut buffer, root)?,
            Call::Scatter => comm.scatter_in_place(&mut buffer, root)?,
            Call::Allgather => comm.allgather_in_place(&mut buffer)?,
            Call::Allgatherv => comm.allgatherv_in_place(&mut buffer, &self.blocks())?,
            Call::Reduce => comm.reduce_in_place(&mut buffer, self.op, root)?,
            Call::Allreduce => comm.allreduce_in_place(&mut buffer, self.op)?,
        }
        Ok(bytes(&buffer).to_vec())
    }

    fn run_out_of_place<T: Value>(&self, comm: &Communicator, salt: u64, own: &[T]) -> Result<Vec<u8>> {
        let (size, length, root) = (self.size(), self.length(), self.root);
        let mut buffer: Vec<T> = untouched(self.room());
        match self.call {
            Call::Bcast => comm.bcast(&mut buffer, root)?,
            Call::Gather => comm.gather(own, &mut buffer, root)?,
            Call::Scatter if comm.rank() == root => {
                comm.scatter(&vectors::<T>(salt, size, length), &mut buffer, root)?;
            }
            Call::Scatter => comm.scatter(&[], &mut buffer, root)?,
            Call::Allgather => comm.allgather(own, &mut buffer)?,
            Call::Allgatherv => comm.allgatherv(own, &mut buffer, &self.blocks())?,
            Call::Reduce => comm.reduce(own, &mut buffer, self.op, root)?,
            Call::Allreduce => comm.allreduce(own, &mut buffer, self.op)?,
        }
        Ok(bytes(&buffer).to_vec())
    }

    fn room_of_blocks(&self) -> usize {
        self.counts.iter().map(|count| count + self.gap).sum()
    }

    /// The length of a separate receive buffer.
    fn room(&self) -> usize {
        match self.call {
            Call::Bcast | Call::Scatter => self.length(),
            Call::Gather | Call::Allgather => self.size() * self.length() + self.gap,
            Call::Allgatherv => self.room_of_blocks(),
            Call::Reduce | Call::Allreduce => self.length() + self.gap,
        }
    }

    /// What `rank` must have afterwards in its receive buffer.
    pub fn expected<T: Value>(&self, rank: usize, salt: u64) -> Vec<u8> {
        let (size, length) = (self.size(), self.length());
        let is_root = rank == self.root;
        let own: Vec<T> = vector(salt, rank, self.counts[rank]);
        let before: Vec<T> = untouched(self.room());
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
            (Call::Allgatherv, _) => {
                let (mut all, blocks) = (before, self.blocks());
                for rank in 0..size {
                    all[blocks.range(rank)].copy_from_slice(&vector(salt, rank, self.counts[rank]));
                }
                all
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
