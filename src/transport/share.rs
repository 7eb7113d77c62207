//! What ranks give to kernels that fold the elements of all of them where they are.

use std::ops::Range;

use super::DeviceMemory;
use crate::device::Fold;

/// What a rank gives to a fold that kernels of the leader compute for all ranks, and what it gets.
#[cfg_attr(
    not(feature = "cuda"),
    expect(dead_code, reason = "there are no lanes, so there are no such elements")
)]
pub(crate) struct Share<'a> {
    pub leader: usize,
    /// Of the messages between the leader and the others.
    pub tag: i32,
    pub what: Fold,
    pub elements: DeviceMemory<'a>,
    /// Where the rank gets a result. It may be where the elements are.
    pub result: Option<DeviceMemory<'a>>,
    /// In the order in which they are run, one after the other.
    pub tasks: Vec<Task>,
}

/// What one kernel does; the same on all ranks, but for `first`.
#[cfg_attr(
    not(feature = "cuda"),
    expect(dead_code, reason = "there are no lanes, so there are no such elements")
)]
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Task {
    /// The ranks whose elements it folds, in the canonical order of so many.
    pub inputs: Range<usize>,
    /// The ranks that get the result.
    pub outputs: Range<usize>,
    /// How much it reads of each rank, and writes to each.
    pub bytes: usize,
    /// The byte of this rank's elements at which it starts to read.
    pub first: usize,
}
