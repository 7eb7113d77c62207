//! Which kernels fold the elements of all ranks where they are: what each reads and writes, in which order.

use std::ops::Range;

use super::Call;
use crate::buffer::{Blocks, Span};
use crate::op::Op;
use crate::transport::Task;

/// What the leader's kernels do for all ranks, and what this rank has to do with it.
///
/// They run one after the other, so that in place none reads what an earlier one has written.
pub(super) struct FoldPlan<'a> {
    /// The rank whose kernels they are.
    pub leader: usize,
    pub op: Op,
    pub own: &'a Span<'a>,
    /// This rank's result, with its length in bytes, where it gets one.
    pub result: Option<(&'a Span<'a>, usize)>,
    /// What all ranks know of the length of a rank's elements.
    pub bytes: usize,
    pub tasks: Vec<Task>,
}

/// The rank whose kernels fold where no rank is another than the others.
const LEADER: usize = 0;

impl<'a> FoldPlan<'a> {
    /// One kernel folds everything, for every rank.
    pub(super) fn for_all(call: &Call<'_>, own: &'a Span<'a>, result: &'a Span<'a>, op: Op) -> FoldPlan<'a> {
        FoldPlan {
            leader: LEADER,
            tasks: vec![whole(0..call.ranks(), 0..call.ranks(), own.bytes())],
            ..FoldPlan::of(own, Some((result, own.bytes())), op)
        }
    }

    /// One kernel of the only rank that gets the result.
    pub(super) fn for_root(
        call: &Call<'_>,
        root: usize,
        own: &'a Span<'a>,
        result: Option<&'a Span<'a>>,
        op: Op,
    ) -> FoldPlan<'a> {
        FoldPlan {
            leader: root,
            tasks: vec![whole(0..call.ranks(), root..root.saturating_add(1), own.bytes())],
            ..FoldPlan::of(own, result.map(|result| (result, own.bytes())), op)
        }
    }

    /// One kernel for each rank, which folds its block. In place [`are_read_in_time`] says whether that can be.
    pub(super) fn of_blocks(
        call: &Call<'_>,
        (own, blocks): (&'a Span<'a>, &Blocks),
        result: &'a Span<'a>,
        op: Op,
    ) -> FoldPlan<'a> {
        let size = own.dtype().size();
        let bytes = |rank| blocks.count(rank).saturating_mul(size);
        let own_bytes = bytes(call.rank());
        let task = |rank| Task {
            inputs: 0..call.ranks(),
            outputs: rank..rank + 1,
            bytes: bytes(rank),
            first: blocks.displacement(rank).saturating_mul(size),
        };
        FoldPlan {
            leader: LEADER,
            bytes: blocks.total().saturating_mul(size),
            tasks: (0..call.ranks()).map(task).collect(),
            ..FoldPlan::of(own, (own_bytes > 0).then_some((result, own_bytes)), op)
        }
    }

    /// One kernel for each rank, which folds the elements of those up to it, or of those `below` it, this one's being
    /// `ranks`.
    pub(super) fn of_prefixes(
        call: &Call<'_>,
        ranks: &Range<usize>,
        own: &'a Span<'a>,
        result: &'a Span<'a>,
        op: Op,
    ) -> FoldPlan<'a> {
        let includes_itself = ranks.contains(&call.rank());
        FoldPlan {
            leader: LEADER,
            tasks: prefixes(call.ranks(), includes_itself, own.bytes()),
            ..FoldPlan::of(own, (!ranks.is_empty()).then_some((result, own.bytes())), op)
        }
    }

    fn of(own: &'a Span<'a>, result: Option<(&'a Span<'a>, usize)>, op: Op) -> FoldPlan<'a> {
        FoldPlan {
            leader: LEADER,
            op,
            own,
            result,
            bytes: own.bytes(),
            tasks: Vec::new(),
        }
    }
}

fn whole(inputs: Range<usize>, outputs: Range<usize>, bytes: usize) -> Task {
    Task {
        inputs,
        outputs,
        bytes,
        first: 0,
    }
}

/// The highest rank first: nobody else needs its elements, where its result may be.
fn prefixes(ranks: usize, include_themselves: bool, bytes: usize) -> Vec<Task> {
    let task = |rank| whole(0..rank + usize::from(include_themselves), rank..rank + 1, bytes);
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

    fn blocks_of(blocks: &Blocks) -> Vec<Task> {
        let task = |rank| Task {
            inputs: 0..blocks.len(),
            outputs: rank..rank + 1,
            bytes: blocks.count(rank),
            first: blocks.displacement(rank),
        };
        (0..blocks.len()).map(task).collect()
    }

    #[test]
    fn prefixes_are_folded_from_the_last_rank_on() {
        let inputs = |tasks: Vec<Task>| tasks.into_iter().map(|task| task.inputs).collect::<Vec<_>>();
        assert_eq!(inputs(prefixes(3, true, 8)), [0..3, 0..2, 0..1]);
        assert_eq!(inputs(prefixes(3, false, 8)), [0..2, 0..1]);
        for ranks in 1..17 {
            for include_themselves in [false, true] {
                assert!(!reads_too_late(&prefixes(ranks, include_themselves, 8), 8));
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
            assert_eq!(reads_too_late(&blocks_of(&blocks), 12), !expected, "{blocks:?}");
        }
    }
}
