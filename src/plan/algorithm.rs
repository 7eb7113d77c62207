//! The ways in which a collective moves its data.

use std::fmt;
use std::str::FromStr;

use super::Operation;
use super::choice::Choice;
use crate::error::{Error, Result};

/// How a collective moves its data after the ranks have agreed on it.
///
/// All of them give the same bits. Most operations have one beside the frames; what chooses among several is in
/// [`Communicator::explain`](crate::Communicator::explain).
///
/// ```
/// use warpcomm::Algorithm;
///
/// assert_eq!("blocks".parse::<Algorithm>()?, Algorithm::Blocks);
/// # Ok::<(), warpcomm::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
#[non_exhaustive]
pub enum Algorithm {
    /// The data were in the frames of the agreement; of `alltoallv`, `alltoallw` and `reduce_scatter` what the
    /// ranks tell each other about them.
    Frames,
    /// Every block goes straight from the rank that has it to the ranks that need it; a reduction is
    /// folded whole by each rank that needs its result.
    Direct,
    /// Down a binomial tree (bcast).
    Tree,
    /// Each rank gets or folds one block, then all gather the blocks (bcast, reduce, allreduce).
    Blocks,
    /// Kernels of one rank read the elements of all ranks, which share its GPU, and write their results (all reductions:
    /// one kernel for `reduce` and `allreduce`, and one for each rank that gets a result of its own): it is taken wherever
    /// that is possible, and cannot be chosen.
    Leader,
    /// Kernels of every rank read the elements of the ranks whose GPUs it reaches, and write its own result (all
    /// reductions): it is taken wherever that is possible, for `reduce` and `allreduce` of more than 2 ranks with short data
    /// only.
    OneShot,
    /// Each rank's kernel folds one block of what ranks have whose GPUs it reaches, and writes it into the results of all
    /// that get one (reduce, allreduce): it is taken where `OneShot` would be, for longer data.
    TwoShot,
    /// Each node combines what its ranks have, as far as they are a whole subtree of the canonical order, before it sends
    /// it to the ranks of others that fold blocks; each folded block goes to every node once (reduce, allreduce).
    Levels,
}

impl Algorithm {
    const ALL: [Algorithm; 8] = [
        Algorithm::Frames,
        Algorithm::Direct,
        Algorithm::Tree,
        Algorithm::Blocks,
        Algorithm::Leader,
        Algorithm::OneShot,
        Algorithm::TwoShot,
        Algorithm::Levels,
    ];

    /// What an operation can choose from for data that are too long for frames, the one for the shortest first; empty for
    /// operations that have no choice.
    ///
    /// ```
    /// use warpcomm::Algorithm;
    ///
    /// assert_eq!(Algorithm::of("bcast"), [Algorithm::Tree, Algorithm::Blocks]);
    /// assert_eq!(Algorithm::of("gather"), []);
    /// ```
    pub fn of(operation: &str) -> Vec<Algorithm> {
        candidates(
            Operation::of_name(operation)
                .and_then(Choice::of)
                .filter(|choice| choice.name() == operation),
        )
    }

    /// What an operation can choose from where the elements of all ranks are in `DeviceBuffer`s on GPUs that reach each
    /// other's memory, the one for the shortest first; empty for operations that have no choice there.
    ///
    /// ```
    /// use warpcomm::Algorithm;
    ///
    /// assert_eq!(Algorithm::of_neighbours("allreduce"), [Algorithm::OneShot, Algorithm::TwoShot]);
    /// assert_eq!(Algorithm::of_neighbours("scan"), []);
    /// ```
    pub fn of_neighbours(operation: &str) -> Vec<Algorithm> {
        candidates(Operation::of_name(operation).and_then(Choice::of_neighbours))
    }

    pub(crate) fn from_code(code: u8) -> Option<Algorithm> {
        Algorithm::ALL.get(usize::from(code)).copied()
    }
}

fn candidates(choice: Option<Choice>) -> Vec<Algorithm> {
    let candidates = choice.map_or(&[][..], Choice::candidates);
    candidates.iter().map(|candidate| candidate.algorithm).collect()
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Algorithm::Frames => "frames",
            Algorithm::Direct => "direct",
            Algorithm::Tree => "tree",
            Algorithm::Blocks => "blocks",
            Algorithm::Leader => "leader",
            Algorithm::OneShot => "one-shot",
            Algorithm::TwoShot => "two-shot",
            Algorithm::Levels => "levels",
        })
    }
}

impl FromStr for Algorithm {
    type Err = Error;

    fn from_str(text: &str) -> Result<Algorithm> {
        Algorithm::ALL
            .into_iter()
            .find(|algorithm| algorithm.to_string() == text)
            .ok_or_else(|| {
                Error::invalid(format!(
                    "{text:?} is none of frames, direct, tree, blocks, leader, one-shot, two-shot, levels"
                ))
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_and_names_are_read_as_they_are_written() {
        for algorithm in Algorithm::ALL {
            assert_eq!(Algorithm::from_code(algorithm as u8), Some(algorithm));
            assert_eq!(algorithm.to_string().parse::<Algorithm>().unwrap(), algorithm);
        }
        assert_eq!(Algorithm::from_code(99), None);
        assert!("ring".parse::<Algorithm>().is_err());
    }
}
