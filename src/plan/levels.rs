//! Two levels of a reduction: inside of nodes, and between them.
//!
//! What a node may combine before it sends is a *whole subtree* of the canonical order, all of whose ranks are on it;
//! everything else goes as it is, so that no assignment of ranks to nodes changes a bit.

use std::ops::Range;

use crate::dtype::Dtype;

/// Which ranks are on which nodes, and who does what for whom.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Levels {
    /// The number of each rank's node.
    nodes: Vec<usize>,
    /// The ranks, those of a node behind each other.
    order: Vec<usize>,
    /// Where each rank is in that order: the number of the block that it folds.
    positions: Vec<usize>,
    /// Where those of each node are.
    blocks: Vec<Range<usize>>,
    /// The largest subtrees whose ranks are on one node, from left to right: all ranks are in one.
    subtrees: Vec<Range<usize>>,
}

impl Levels {
    /// Of ranks on these nodes; none where there is one node, or no node has all ranks of a subtree of several.
    pub(crate) fn new(nodes_of_ranks: &[u64]) -> Option<Levels> {
        let mut names = Vec::new();
        let mut nodes = Vec::with_capacity(nodes_of_ranks.len());
        for name in nodes_of_ranks {
            nodes.push(names.iter().position(|known| known == name).unwrap_or_else(|| {
                names.push(*name);
                names.len() - 1
            }));
        }
        let mut subtrees = Vec::new();
        divide(&nodes, 0..nodes.len(), &mut subtrees);
        if names.len() < 2 || subtrees.len() == nodes.len() {
            return None;
        }
        let mut order: Vec<usize> = (0..nodes.len()).collect();
        order.sort_by_key(|&rank| nodes[rank]);
        let mut positions = vec![0; order.len()];
        let mut blocks = vec![0..0; names.len()];
        for (position, &rank) in order.iter().enumerate() {
            positions[rank] = position;
            let of_node: &mut Range<usize> = &mut blocks[nodes[rank]];
            if of_node.end == 0 {
                of_node.start = position;
            }
            of_node.end = position + 1;
        }
        Some(Levels {
            nodes,
            order,
            positions,
            blocks,
            subtrees,
        })
    }

    pub(crate) fn nodes(&self) -> usize {
        self.blocks.len()
    }

    pub(crate) fn node_of(&self, rank: usize) -> usize {
        self.nodes[rank]
    }

    /// The number of the block that a rank folds.
    pub(crate) fn block_of(&self, rank: usize) -> usize {
        self.positions[rank]
    }

    /// The rank that folds a block.
    pub(crate) fn folds(&self, block: usize) -> usize {
        self.order[block]
    }

    /// The ranks of a node, ascending.
    pub(crate) fn ranks_on(&self, node: usize) -> &[usize] {
        &self.order[self.blocks[node].clone()]
    }

    pub(crate) fn subtrees(&self) -> &[Range<usize>] {
        &self.subtrees
    }

    /// The subtree that a rank is in.
    pub(crate) fn subtree_of(&self, rank: usize) -> Range<usize> {
        let found = self.subtrees.iter().find(|ranks| ranks.contains(&rank));
        found.cloned().unwrap_or(rank..rank + 1)
    }

    /// Whether the partial result of a subtree is shorter than the elements of its ranks.
    pub(crate) fn combines(subtree: &Range<usize>, dtype: Dtype) -> bool {
        subtree.len() * dtype.size() > dtype.accumulator().size()
    }

    /// The blocks that are folded on other nodes, divided among so many ranks of a node: those of one of them, which are
    /// one or two ranges.
    pub(crate) fn share(
        &self,
        node: usize,
        index: usize,
        ranks: usize,
    ) -> impl Iterator<Item = Range<usize>> {
        let own = &self.blocks[node];
        let others = self.nodes.len() - own.len();
        let (first, end) = (index * others / ranks, (index + 1) * others / ranks);
        let before = first..end.min(own.start);
        let behind = first.max(own.start) + own.len()..end + own.len();
        [before, behind].into_iter().filter(|range| !range.is_empty())
    }

    /// Which of so many ranks of a node has a block of another node in its share.
    pub(crate) fn sharer(&self, node: usize, block: usize, ranks: usize) -> usize {
        let own = &self.blocks[node];
        let others = self.nodes.len() - own.len();
        let position = if block < own.start {
            block
        } else {
            block - own.len()
        };
        ((position + 1) * ranks - 1) / others
    }
}

/// Finds the largest subtrees of `ranks` that are on one node.
fn divide(nodes: &[usize], ranks: Range<usize>, found: &mut Vec<Range<usize>>) {
    let of_ranks = &nodes[ranks.clone()];
    if of_ranks.iter().all(|node| *node == of_ranks[0]) {
        found.push(ranks);
        return;
    }
    let middle = ranks.start + (1 << (ranks.len() - 1).ilog2());
    divide(nodes, ranks.start..middle, found);
    divide(nodes, middle..ranks.end, found);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn subtrees(nodes: &[u64]) -> Option<Vec<Range<usize>>> {
        Levels::new(nodes).map(|levels| levels.subtrees)
    }

    #[test]
    fn only_whole_subtrees_are_combined() {
        assert_eq!(subtrees(&[7, 7, 9, 9]), Some(vec![0..2, 2..4]));
        assert_eq!(subtrees(&[7, 9, 9, 9]), Some(vec![0..1, 1..2, 2..4]));
        assert_eq!(subtrees(&[7, 7, 7, 9, 9, 9]), Some(vec![0..2, 2..3, 3..4, 4..6]));
        assert_eq!(subtrees(&[7, 7, 7, 7, 9, 9, 9]), Some(vec![0..4, 4..7]));
        // Neighbours that no subtree has together, ranks in turn, and one node.
        assert_eq!(subtrees(&[7, 9, 9, 7]), None);
        assert_eq!(subtrees(&[7, 9, 7, 9, 7]), None);
        assert_eq!(subtrees(&[7, 7, 7, 7]), None);
        assert_eq!((subtrees(&[7]), subtrees(&[])), (None, None));
    }

    #[test]
    fn short_floats_of_two_ranks_are_as_short_as_their_sum() {
        assert!(!Levels::combines(&(0..2), Dtype::F16));
        assert!(Levels::combines(&(0..3), Dtype::Bf16));
        assert!(Levels::combines(&(0..2), Dtype::F32));
        assert!(!Levels::combines(&(0..1), Dtype::F64));
    }

    proptest! {
        #[test]
        fn every_block_of_another_node_is_in_one_share(nodes in prop::collection::vec(0u64..4, 1..20)) {
            let Some(levels) = Levels::new(&nodes) else { return Ok(()) };
            for node in 0..levels.nodes() {
                let own = levels.ranks_on(node);
                prop_assert!(own.iter().all(|&rank| levels.node_of(rank) == node));
                for ranks in 1..=own.len() {
                    let mut seen = vec![0; nodes.len()];
                    for index in 0..ranks {
                        for block in levels.share(node, index, ranks).flatten() {
                            seen[block] += 1;
                            prop_assert_eq!(levels.sharer(node, block, ranks), index);
                        }
                    }
                    for (block, seen) in seen.into_iter().enumerate() {
                        let is_elsewhere = levels.node_of(levels.folds(block)) != node;
                        prop_assert_eq!(seen, usize::from(is_elsewhere));
                    }
                }
            }
            for rank in 0..nodes.len() {
                prop_assert_eq!(levels.folds(levels.block_of(rank)), rank);
                prop_assert!(levels.subtree_of(rank).contains(&rank));
            }
            let all: Vec<usize> = levels.subtrees().iter().cloned().flatten().collect();
            prop_assert_eq!(all, (0..nodes.len()).collect::<Vec<_>>());
        }
    }
}
