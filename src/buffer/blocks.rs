//! How a buffer is laid out in one block for each rank.

use std::ops::Range;

use crate::error::{Error, Result};

/// Counts and displacements, in elements, of the blocks of a v-collective: one block for each rank.
///
/// ```
/// use warpcomm::Blocks;
///
/// let rows = Blocks::even(10, 4);
/// assert_eq!((0..4).map(|rank| rows.range(rank)).collect::<Vec<_>>(), [0..3, 3..6, 6..8, 8..10]);
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Blocks {
    counts: Vec<usize>,
    displacements: Vec<usize>,
}

impl Blocks {
    /// `total` elements in `ranks` adjacent blocks whose counts differ by at most one, the longer
    /// blocks first.
    pub fn even(total: usize, ranks: usize) -> Blocks {
        let share = total.checked_div(ranks).unwrap_or(0);
        let longer = total.checked_rem(ranks).unwrap_or(0);
        Blocks::packed(
            (0..ranks)
                .map(|rank| share + usize::from(rank < longer))
                .collect::<Vec<_>>(),
        )
    }

    /// Adjacent blocks with these counts in elements.
    pub fn packed(counts: impl Into<Vec<usize>>) -> Blocks {
        let counts = counts.into();
        let mut next = 0usize;
        let displacements = counts
            .iter()
            .map(|&count| {
                let first = next;
                next = next.saturating_add(count);
                first
            })
            .collect();
        Blocks {
            counts,
            displacements,
        }
    }

    /// Blocks with these counts that start at these elements of the buffer.
    ///
    /// Operations refuse blocks that leave the buffer, or that are not one for each rank; those that receive
    /// into the blocks also ones that overlap.
    pub fn new(counts: impl Into<Vec<usize>>, displacements: impl Into<Vec<usize>>) -> Blocks {
        Blocks {
            counts: counts.into(),
            displacements: displacements.into(),
        }
    }

    /// How many blocks there are.
    pub fn len(&self) -> usize {
        self.counts.len()
    }

    /// Whether there are no blocks.
    pub fn is_empty(&self) -> bool {
        self.counts.is_empty()
    }

    /// The elements in the block of `rank`; 0 where there is no such block.
    pub fn count(&self, rank: usize) -> usize {
        self.counts.get(rank).copied().unwrap_or(0)
    }

    /// The element at which the block of `rank` starts; 0 where there is no such block.
    pub fn displacement(&self, rank: usize) -> usize {
        self.displacements.get(rank).copied().unwrap_or(0)
    }

    /// The elements of the block of `rank`.
    pub fn range(&self, rank: usize) -> Range<usize> {
        let first = self.displacement(rank);
        first..first.saturating_add(self.count(rank))
    }

    /// The elements of all blocks together.
    pub fn total(&self) -> usize {
        self.counts
            .iter()
            .fold(0, |total, &count| total.saturating_add(count))
    }

    /// Whether there is one block for each of `ranks` ranks, and all are in a buffer of `elements` elements.
    pub(crate) fn check_range(&self, ranks: usize, elements: usize) -> Result<()> {
        if self.counts.len() != ranks || self.displacements.len() != ranks {
            return Err(Error::invalid(format!(
                "{} counts and {} displacements for {ranks} ranks",
                self.counts.len(),
                self.displacements.len()
            )));
        }
        let leaves = |rank: &usize| self.count(*rank) > 0 && self.range(*rank).end > elements;
        match (0..ranks).find(leaves) {
            Some(rank) => Err(Error::invalid(format!(
                "the block of rank {rank} ({:?}) is not in a buffer of {elements} elements",
                self.range(rank)
            ))),
            None => Ok(()),
        }
    }

    /// The same, and whether the blocks lie apart from each other.
    pub(crate) fn check(&self, ranks: usize, elements: usize) -> Result<()> {
        self.check_range(ranks, elements)?;
        let mut occupied: Vec<usize> = (0..ranks).filter(|&rank| self.count(rank) > 0).collect();
        occupied.sort_unstable_by_key(|&rank| self.displacement(rank));
        for pair in occupied.windows(2) {
            if self.range(pair[0]).end > self.displacement(pair[1]) {
                return Err(Error::invalid(format!(
                    "the blocks of ranks {} ({:?}) and {} ({:?}) overlap",
                    pair[0],
                    self.range(pair[0]),
                    pair[1],
                    self.range(pair[1])
                )));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn even_blocks_cover_everything_once(total in 0usize..1000, ranks in 1usize..40) {
            let blocks = Blocks::even(total, ranks);
            prop_assert!(blocks.check(ranks, total).is_ok());
            prop_assert_eq!(blocks.total(), total);
            let (least, most) = (blocks.count(ranks - 1), blocks.count(0));
            prop_assert!(most - least <= 1);
        }
    }

    #[test]
    fn refuses_what_overlaps_or_leaves_the_buffer() {
        let text = |blocks: Blocks, elements| blocks.check(2, elements).unwrap_err().to_string();
        assert!(text(Blocks::new([3, 2], [1, 0]), 9).contains("overlap"));
        assert!(text(Blocks::new([3, 2], [0, 3]), 4).contains("not in a buffer of 4"));
        assert!(text(Blocks::new([3, usize::MAX], [0, 3]), 4).contains("not in a buffer of 4"));
        assert!(text(Blocks::packed([3]), 4).contains("1 counts"));
        let overlapping = Blocks::new([3, 2], [1, 0]);
        assert!(overlapping.check_range(2, 4).is_ok() && overlapping.check_range(2, 3).is_err());
        assert!(Blocks::new([3, 0], [0, 99]).check(2, 3).is_ok());
        assert_eq!(Blocks::even(5, 0).total(), 0);
    }
}
