//! What ranks give to kernels that fold the elements of all of them where they are, and which kernels reach them.

use std::ops::Range;
use std::sync::{Arc, OnceLock};

use super::DeviceMemory;
use crate::device::Fold;
use crate::error::Error;

/// What a rank gives to a fold that kernels compute for all ranks, and what it gets.
#[cfg_attr(
    not(feature = "cuda"),
    expect(dead_code, reason = "there are no lanes, so there are no such elements")
)]
pub(crate) struct Share<'a> {
    /// Where all kernels are those of one rank: that one.
    pub leader: Option<usize>,
    /// Of the messages between the ranks.
    pub tag: i32,
    pub what: Fold,
    pub elements: DeviceMemory<'a>,
    /// Where the rank gets a result. It may be where the elements are.
    pub result: Option<DeviceMemory<'a>>,
    /// Those of one rank are run one after the other, in this order.
    pub tasks: Vec<Task>,
    /// Why this rank cannot take part, though the others wait for it.
    pub failure: Option<Error>,
    /// Set where another rank cannot be told what it waits for: what every later call on the communicator fails with.
    pub poison: Arc<OnceLock<Error>>,
}

/// What one kernel does; the same on all ranks, but for `first`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Task {
    /// The rank whose kernel it is.
    pub kernel_of: usize,
    /// The ranks whose elements it folds, in the canonical order of so many.
    pub inputs: Range<usize>,
    /// The ranks that get the result.
    pub outputs: Range<usize>,
    /// How much it reads of each rank, and writes to each.
    pub bytes: usize,
    /// The byte of this rank's elements at which it starts to read.
    pub first: usize,
    /// The byte of the results at which it starts to write.
    pub target: usize,
}

/// Where a rank's elements are, for kernels of others. What two ranks say alike is the same to both.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Whereabouts {
    /// The GPU; 0 where others cannot reach the elements.
    pub gpu: u16,
    /// The GPUs that can be given access to them; 0 where none can. Not without a GPU.
    pub neighbours: u16,
}

impl Whereabouts {
    /// In `neighbours`, where kernels may reach the elements from other GPUs only: the program has ruled the rest out.
    pub(crate) const APART: u16 = 1 << 15;

    pub(crate) const NOWHERE: Whereabouts = Whereabouts {
        gpu: 0,
        neighbours: 0,
    };

    /// As it travels.
    pub(crate) fn word(self) -> u32 {
        u32::from(self.neighbours) << 16 | u32::from(self.gpu)
    }

    pub(crate) fn of_word(word: u32) -> Whereabouts {
        Whereabouts {
            gpu: word as u16,
            neighbours: (word >> 16) as u16,
        }
    }
}
