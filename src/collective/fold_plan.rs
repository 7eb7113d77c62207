//! Which kernels fold the elements of all ranks where they are: what each reads and writes, in which order.

use std::ops::Range;

use super::Call;
use crate::buffer::{Blocks, Span};
use crate::op::Op;
use crate::plan::Algorithm;
use crate::transport::Task;

/// What kernels that reach the elements of other ranks are to fold, and what this rank has of it.
pub(super) struct FoldPlan<'a> {
    pub op: Op,
    pub own: &'a Span<'a>,
    /// Where this rank gets a result.
    pub result: Option<&'a Span<'a>>,
    shape: Shape<'a>,
}

/// Which ranks get what.
#[derive(Clone, Copy)]
pub(super) enum Shape<'a> {
    /// Every rank gets everything.
    ForAll,
    /// One rank does.
    ForRoot(usize),
    /// Each rank gets its block of what they have.
    OfBlocks(&'a Blocks),
    /// Each rank gets what those below it have, folded, or they and it.
    OfPrefixes { with_own: bool },
}

/// The rank whose kernels fold where no rank is another than the others.
const LEADER: usize = 0;

impl<'a> FoldPlan<'a> {
    pub(super) fn new(
        shape: Shape<'a>,
        own: &'a Span<'a>,
        result: Option<&'a Span<'a>>,
        op: Op,
    ) -> FoldPlan<'a> {
        FoldPlan {
            op,
            own,
            result,
            shape,
        }
    }

    fn size(&self) -> usize {
        self.own.dtype().size()
    }

    /// What all ranks know of the length of a rank's elements, in bytes.
    pub(super) fn bytes(&self) -> usize {
        match self.shape {
            Shape::OfBlocks(blocks) => blocks.total().saturating_mul(self.size()),
            _ => self.own.bytes(),
        }
    }

    /// The bytes of this rank's result.
    pub(super) fn result_bytes(&self, call: &Call<'_>) -> usize {
        match self.shape {
            Shape::OfBlocks(blocks) => blocks.count(call.rank()).saturating_mul(self.size()),
            _ => self.own.bytes(),
        }
    }

    /// The rank whose kernels they are, where it is one.
    pub(super) fn leader(&self, algorithm: Algorithm) -> Option<usize> {
        match (algorithm, self.shape) {
            (Algorithm::Leader, Shape::ForRoot(root)) => Some(root),
            (Algorithm::Leader, _) => Some(LEADER),
            _ => None,
        }
    }

    /// Whether kernels of others may still read this rank's elements when its own writes its result there.
    pub(super) fn overwrites(&self, algorithm: Algorithm) -> bool {
        let is_in_place = self
            .result
            .is_some_and(|result| result.pointer() == self.own.pointer());
        // The root's own kernel alone reads all that is there.
        algorithm == Algorithm::OneShot && is_in_place && !matches!(self.shape, Shape::ForRoot(_))
    }

    /// The kernels. Those of one rank run one after the other, so that in place none reads what an earlier one has written.
    pub(super) fn tasks(&self, call: &Call<'_>, algorithm: Algorithm) -> Vec<Task> {
        let (ranks, bytes) = (call.ranks(), self.own.bytes());
        let tasks = match (self.shape, algorithm) {
            (Shape::ForAll, Algorithm::Leader) => vec![whole(0..ranks, 0..ranks, bytes)],
            (Shape::ForAll, Algorithm::TwoShot) => self.divided(ranks, &(0..ranks)),
            (Shape::ForAll, _) => (0..ranks)
                .map(|rank| whole(0..ranks, rank..rank + 1, bytes))
                .collect(),
            (Shape::ForRoot(root), Algorithm::TwoShot) => self.divided(ranks, &(root..root + 1)),
            (Shape::ForRoot(root), _) => vec![whole(0..ranks, root..root.saturating_add(1), bytes)],
            (Shape::OfBlocks(blocks), _) => of_blocks(blocks, self.size()),
            (Shape::OfPrefixes { with_own }, _) => of_prefixes(ranks, with_own, bytes),
        };
        match self.leader(algorithm) {
            None => tasks,
            Some(leader) => tasks
                .into_iter()
                .map(|task| Task {
                    kernel_of: leader,
                    ..task
                })
                .collect(),
        }
    }

    /// One block for each rank's kernel, which writes it where it is in the results.
    fn divided(&self, ranks: usize, outputs: &Range<usize>) -> Vec<Task> {
        let blocks = Blocks::even(self.own.elements(), ranks);
        let tasks = of_blocks(&blocks, self.size()).into_iter();
        tasks
            .map(|task| Task {
                outputs: outputs.clone(),
                target: task.first,
                ..task
            })
            .collect()
    }
}

/// All elements of some ranks, folded for others by a kernel of the first of these.
fn whole(inputs: Range<usize>, outputs: Range<usize>, bytes: usize) -> Task {
    Task {
        kernel_of: outputs.start,
        inputs,
        outputs,
        bytes,
        first: 0,
        target: 0,
    }
}

/// A block for each rank, by its own kernel.
fn of_blocks(blocks: &Blocks, size: usize) -> Vec<Task> {
    let task = |rank| Task {
        first: blocks.displacement(rank).saturating_mul(size),
        ..whole(
            0..blocks.len(),
            rank..rank + 1,
            blocks.count(rank).saturating_mul(size),
        )
    };
    (0..blocks.len()).map(task).collect()
}

/// The highest rank first: nobody else needs its elements, where its result may be.
fn of_prefixes(ranks: usize, with_own: bool, bytes: usize) -> Vec<Task> {
    let task = |rank| whole(0..rank + usize::from(with_own), rank..rank + 1, bytes);
    let tasks = (0..ranks).rev().map(task);
    tasks.filter(|task| !task.inputs.is_empty()).collect()
}

/// Whether the result of `rank` may be at the start of its elements, when the blocks are folded in the order of the ranks:
/// the later ones lie elsewhere, and its own there exactly, or elsewhere too.
pub(super) fn are_read_in_time(blocks: &Blocks, rank: usize) -> bool {
    let end = blocks.count(rank);
    let is_elsewhere = |block: usize| blocks.count(block) == 0 || blocks.displacement(block) >= end;
    let is_own_in_time = blocks.displacement(rank) == 0 || is_elsewhere(rank);
    is_own_in_time && (rank + 1..blocks.len()).all(is_elsewhere)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether a later task reads elements that an earlier one has overwritten, in place, or the same one does but where it
    /// reads itself; of ranks that have these blocks, or the same part of their elements for every task.
    fn reads_too_late(tasks: &[Task], elements: usize) -> bool {
        let range = |task: &Task| task.first..task.first + task.bytes;
        let overlap = |one: Range<usize>, other: Range<usize>| one.start < other.end && other.start < one.end;
        assert!(tasks.iter().all(|task| range(task).end <= elements));
        tasks.iter().enumerate().any(|(at, task)| {
            let written = 0..task.bytes;
            let later = tasks[at + 1..].iter().any(|later| {
                let reads_it = task.outputs.clone().any(|output| later.inputs.contains(&output));
                reads_it && overlap(range(later), written.clone())
            });
            let own = task.outputs.clone().any(|output| task.inputs.contains(&output));
            later || own && task.first != 0 && overlap(range(task), written)
        })
    }

    #[test]
    fn prefixes_are_folded_from_the_last_rank_on() {
        let inputs = |tasks: Vec<Task>| tasks.into_iter().map(|task| task.inputs).collect::<Vec<_>>();
        assert_eq!(inputs(of_prefixes(3, true, 8)), [0..3, 0..2, 0..1]);
        assert_eq!(inputs(of_prefixes(3, false, 8)), [0..2, 0..1]);
        for ranks in 1..17 {
            for with_own in [false, true] {
                assert!(!reads_too_late(&of_prefixes(ranks, with_own, 8), 8));
            }
        }
    }

    #[test]
    fn blocks_are_folded_in_place_where_none_is_overwritten_before() {
        let is_in_time = |blocks: &Blocks| (0..blocks.len()).all(|rank| are_read_in_time(blocks, rank));
        for (blocks, expected) in [
            (Blocks::even(12, 3), true),
            (Blocks::even(11, 4), true),
            (Blocks::packed([3, 0, 3]), true),
            // The second result reaches into the second block, and into the third.
            (Blocks::packed([1, 2, 1]), false),
            (Blocks::packed([0, 2, 3]), false),
            (Blocks::packed([0, 1, 1]), true),
            (Blocks::packed([2, 1, 3]), true),
            (Blocks::new([2, 2], [2, 0]), false),
            (Blocks::new([2, 2], [0, 0]), false),
            (Blocks::new([2, 0], [4, 0]), true),
        ] {
            assert_eq!(is_in_time(&blocks), expected, "{blocks:?}");
            assert_eq!(
                reads_too_late(&of_blocks(&blocks, 1), 12),
                !expected,
                "{blocks:?}"
            );
        }
    }
}
