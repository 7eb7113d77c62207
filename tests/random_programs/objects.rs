//! Objects in a program: what each rank calls, and what it must get.

use warpcomm::{Communicator, Result, Tag};

use crate::oracle::mixed;

/// An operation on objects with its arguments.
#[derive(Clone, Debug)]
pub struct Objects {
    pub call: Call,
    pub root: usize,
    /// How many numbers each object has.
    pub length: usize,
}

/// Which operation it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Call {
    /// To the rank so many places behind as the root's number.
    Messages,
    Bcast,
    Gather,
    Scatter,
    Allgather,
    Alltoall,
    Reduce,
    Allreduce,
}

impl Call {
    pub const ALL: &[Call] = &[
        Call::Messages,
        Call::Bcast,
        Call::Gather,
        Call::Scatter,
        Call::Allgather,
        Call::Alltoall,
        Call::Reduce,
        Call::Allreduce,
    ];
}

/// What is sent: of another size on each rank, with everything that serde knows to be of a variable size.
type Object = (String, Option<usize>, Vec<u64>);

/// Neither commutative nor without a trace of how it was folded.
fn fold(left: Object, right: Object) -> Object {
    let numbers = left.2.iter().zip(&right.2);
    (
        format!("({}{})", left.0, right.0),
        left.1.or(right.1),
        numbers.map(|(left, right)| left.wrapping_sub(*right)).collect(),
    )
}

impl Objects {
    fn object(&self, rank: usize, salt: u64) -> Object {
        let numbers = 0..(self.length + rank) as u64;
        (
            format!("of {rank}"),
            (!rank.is_multiple_of(2)).then_some(rank),
            numbers.map(|number| mixed(salt ^ number)).collect(),
        )
    }

    fn objects(&self, ranks: usize, salt: u64) -> Vec<Object> {
        (0..ranks).map(|rank| self.object(rank, salt)).collect()
    }

    /// What one rank sends to each.
    fn outgoing(&self, rank: usize, ranks: usize, salt: u64) -> Vec<Object> {
        self.objects(ranks, salt ^ mixed(rank as u64))
    }

    /// Calls it on this rank; the words for what it gets.
    pub fn run(&self, comm: &Communicator, salt: u64) -> Result<String> {
        let (rank, size, root) = (comm.rank(), comm.size(), self.root);
        let own = self.object(rank, salt);
        let of_root = |values: Vec<Object>| (rank == root).then_some(values);
        Ok(match self.call {
            Call::Messages => {
                let (to, from) = ((rank + root) % size, (rank + size - root) % size);
                let send = comm.isend_object(&own, to, Tag(0));
                let (received, _) = comm.recv_object::<Object>(from, Tag(0))?;
                send.wait()?;
                told(&received)
            }
            Call::Bcast => told(&comm.bcast_object((rank == root).then_some(own), root)?),
            Call::Gather => told(&comm.gather_object(&own, root)?),
            Call::Scatter => told(&comm.scatter_object(of_root(self.objects(size, salt)), root)?),
            Call::Allgather => told(&comm.allgather_object(&own)?),
            Call::Alltoall => told(&comm.alltoall_object(self.outgoing(rank, size, salt))?),
            Call::Reduce => told(&comm.reduce_object(own, fold, root)?),
            Call::Allreduce => told(&comm.allreduce_object(own, fold)?),
        })
    }

    /// The words for what a rank must get.
    pub fn expected(&self, rank: usize, size: usize, salt: u64) -> String {
        let root = self.root;
        let of_root = |values: Vec<Object>| (rank == root).then_some(values);
        match self.call {
            Call::Messages => told(&self.object((rank + size - root) % size, salt)),
            Call::Bcast => told(&self.object(root, salt)),
            Call::Gather => told(&of_root(self.objects(size, salt))),
            Call::Scatter => told(&self.object(rank, salt)),
            Call::Allgather => told(&self.objects(size, salt)),
            Call::Alltoall => {
                let to_this = |from| self.outgoing(from, size, salt).swap_remove(rank);
                told(&(0..size).map(to_this).collect::<Vec<_>>())
            }
            Call::Reduce => told(&(rank == root).then(|| folded(self.objects(size, salt)))),
            Call::Allreduce => told(&folded(self.objects(size, salt))),
        }
    }
}

/// In the order of all reductions: neighbours first.
fn folded(mut objects: Vec<Object>) -> Object {
    while objects.len() > 1 {
        let mut pairs = objects.into_iter();
        let mut next = Vec::new();
        while let Some(left) = pairs.next() {
            next.push(match pairs.next() {
                Some(right) => fold(left, right),
                None => left,
            });
        }
        objects = next;
    }
    objects.swap_remove(0)
}

fn told(value: &dyn std::fmt::Debug) -> String {
    format!("{value:?}")
}
