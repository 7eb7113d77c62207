//! Which row of a trace an operation is in: operations that overlap are in different ones.
//!
//! That is found out when they are written, in the order in which they have ended, so that operations under way need not
//! know of each other.

/// The lanes of one kind of operations.
#[derive(Default)]
pub(super) struct Lanes {
    /// A tree, whose root is at 1 and whose children of `node` are at `2 * node` and behind it. The leaves, its second half,
    /// are the ticks at which lanes are free again, and a node is the least of its leaves.
    free_from: Vec<u64>,
}

impl Lanes {
    /// The first lane that is free when an operation starts; it is taken until the operation ends.
    pub(super) fn take(&mut self, start: u64, end: u64) -> u32 {
        while self.free_from.get(1).is_none_or(|&least| least > start) {
            self.grow();
        }
        let leaves = self.leaves();
        let mut node = 1;
        while node < leaves {
            node = 2 * node + usize::from(self.free_from[2 * node] > start);
        }
        let lane = node - leaves;
        self.free_from[node] = end;
        while node > 1 {
            node /= 2;
            self.update(node);
        }
        lane as u32
    }

    /// How many there are, or may be soon.
    fn leaves(&self) -> usize {
        self.free_from.len() / 2
    }

    fn update(&mut self, node: usize) {
        self.free_from[node] = self.free_from[2 * node].min(self.free_from[2 * node + 1]);
    }

    /// Adds as many lanes as there are, which have always been free.
    #[cold]
    fn grow(&mut self) {
        let before = self.leaves();
        let leaves = (2 * before).max(1);
        let mut tree = vec![0; 2 * leaves];
        tree[leaves..leaves + before].copy_from_slice(&self.free_from[before..]);
        self.free_from = tree;
        (1..leaves).rev().for_each(|node| self.update(node));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_first_that_is_free_is_taken() {
        let mut lanes = Lanes::default();
        for (start, end, lane) in [
            (10, 20, 0),
            (20, 30, 0),
            (25, 40, 1),
            (5, 50, 2),
            (30, 60, 0),
            (45, 70, 1),
            (45, 80, 3),
        ] {
            assert_eq!(lanes.take(start, end), lane, "{start} to {end}");
        }
    }

    proptest! {
        #[test]
        fn what_overlaps_is_in_different_ones(mut operations in prop::collection::vec((1u64..1000, 0u64..100), 0..200)) {
            operations.sort_by_key(|(start, duration)| start + duration);
            let (mut lanes, mut free_from) = (Lanes::default(), Vec::<u64>::new());
            for (start, duration) in operations {
                let lane = lanes.take(start, start + duration) as usize;
                let first = free_from.iter().position(|&free_from| free_from <= start);
                prop_assert_eq!(lane, first.unwrap_or(free_from.len()));
                free_from.resize(free_from.len().max(lane + 1), 0);
                free_from[lane] = start + duration;
            }
        }
    }
}
