//! What each rank of a collective sends, and what it should get.

use warpcomm::Op;

use super::contents::{Kind, Segment};
use crate::operation::Operation;

/// A collective of one length, on one of its ranks; the root is rank 0.
#[derive(Clone, Debug)]
pub struct Shape {
    pub operation: Operation,
    pub rank: usize,
    pub ranks: usize,
    pub op: Option<Op>,
    /// The elements of a block for one rank, or of the vector that is reduced.
    pub elements: usize,
}

impl Shape {
    /// The elements that a row of so many bytes has at least: whole ones, and as many for each rank where blocks are equal.
    pub fn elements_of(operation: Operation, ranks: usize, bytes: u64, size: usize) -> usize {
        let elements = usize::try_from(bytes).unwrap_or(usize::MAX).div_ceil(size);
        match operation {
            Operation::ReduceScatterBlock => elements.next_multiple_of(ranks),
            _ => elements,
        }
    }

    fn is_root(&self) -> bool {
        self.rank == 0
    }

    /// The counts of the blocks of what is sent or received in one for each rank.
    pub fn counts(&self) -> Vec<usize> {
        match self.operation {
            Operation::ReduceScatter | Operation::ReduceScatterBlock => {
                let (share, longer) = (self.elements / self.ranks, self.elements % self.ranks);
                (0..self.ranks)
                    .map(|rank| share + usize::from(rank < longer))
                    .collect()
            }
            _ => vec![self.elements; self.ranks],
        }
    }

    /// The elements of this rank's send buffer.
    pub fn sent(&self) -> usize {
        match self.operation {
            Operation::Barrier | Operation::Bcast => 0,
            Operation::Scatter | Operation::Scatterv if self.is_root() => self.ranks * self.elements,
            Operation::Scatter | Operation::Scatterv => 0,
            Operation::Alltoall | Operation::Alltoallv | Operation::Alltoallw => self.ranks * self.elements,
            _ => self.elements,
        }
    }

    /// The elements of this rank's receive buffer, in the order of their sources.
    pub fn results(&self) -> Vec<Segment> {
        let elements = self.elements;
        let copied = |rank: usize, from: usize| Segment {
            of: rank..rank + 1,
            from,
            elements,
        };
        let reduced = |ranks: usize| Segment {
            of: 0..ranks,
            from: 0,
            elements,
        };
        let of_all = || (0..self.ranks).map(|rank| copied(rank, 0)).collect();
        match self.operation {
            Operation::Bcast => vec![copied(0, 0)],
            Operation::Scatter | Operation::Scatterv => vec![copied(0, self.rank * elements)],
            Operation::Gather | Operation::Gatherv if self.is_root() => of_all(),
            Operation::Allgather | Operation::Allgatherv => of_all(),
            Operation::Alltoall | Operation::Alltoallv | Operation::Alltoallw => (0..self.ranks)
                .map(|rank| copied(rank, self.rank * elements))
                .collect(),
            Operation::Reduce if self.is_root() => vec![reduced(self.ranks)],
            Operation::Allreduce => vec![reduced(self.ranks)],
            Operation::ReduceScatter | Operation::ReduceScatterBlock => {
                let counts = self.counts();
                vec![Segment {
                    of: 0..self.ranks,
                    from: counts[..self.rank].iter().sum(),
                    elements: counts[self.rank],
                }]
            }
            Operation::Scan => vec![reduced(self.rank + 1)],
            Operation::Exscan if self.rank > 0 => vec![reduced(self.rank)],
            _ => Vec::new(),
        }
    }

    /// The elements of this rank's receive buffer.
    pub fn received(&self) -> usize {
        let written: usize = self.results().iter().map(|segment| segment.elements).sum();
        match self.operation {
            // A buffer that nothing is written to.
            Operation::Exscan => self.elements,
            _ => written,
        }
    }

    /// What the buffers are filled with, for the round of this number.
    pub fn kind(&self, wraps: bool, round: u64) -> Kind {
        Kind {
            ranks: self.ranks,
            op: self.op,
            wraps,
            round,
        }
    }

    /// Whether what this rank receives into holds what is sent.
    pub fn sends_from_results(&self) -> bool {
        self.operation == Operation::Bcast && self.is_root()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shape(operation: Operation, rank: usize, elements: usize) -> Shape {
        Shape {
            operation,
            rank,
            ranks: 3,
            op: operation.is_reduction().then_some(Op::Sum),
            elements,
        }
    }

    #[test]
    fn blocks_of_a_scattered_reduction_cover_the_vector() {
        for operation in [Operation::ReduceScatter, Operation::ReduceScatterBlock] {
            let mut next = 0;
            for rank in 0..3 {
                let results = shape(operation, rank, 6).results();
                assert_eq!(results[0].from, next);
                next += results[0].elements;
            }
            assert_eq!(next, 6);
        }
        assert_eq!(shape(Operation::ReduceScatter, 0, 5).counts(), [2, 2, 1]);
    }

    #[test]
    fn only_the_root_has_the_result_of_what_has_one() {
        for operation in [Operation::Gather, Operation::Gatherv, Operation::Reduce] {
            assert!(shape(operation, 0, 4).received() > 0);
            assert_eq!(shape(operation, 1, 4).received(), 0);
        }
        // Rank 0 keeps what it has.
        assert_eq!(shape(Operation::Exscan, 0, 4).results(), []);
        assert_eq!(shape(Operation::Exscan, 0, 4).received(), 4);
    }

    #[test]
    fn lengths_are_whole_elements_and_whole_blocks() {
        assert_eq!(Shape::elements_of(Operation::Bcast, 3, 8, 16), 1);
        assert_eq!(Shape::elements_of(Operation::ReduceScatterBlock, 3, 8, 4), 3);
        assert_eq!(Shape::elements_of(Operation::ReduceScatter, 3, 8, 4), 2);
    }
}
