//! Up to which lengths the host folds elements that are on a GPU: by default, as measured, or as the program says.

use super::table::Source;

/// The most bytes of a rank's elements on a GPU that the host folds in a reduction where nothing was measured, instead of a
/// kernel: a copy down and one up are over before a kernel would have had the elements of all ranks, each of which is a copy.
pub(super) const HOST_FOLD_BYTES: usize = 64 << 10;

/// What was measured of so many ranks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct HostFold {
    pub ranks: usize,
    /// The most bytes of a rank's elements that the host folds.
    pub most: usize,
}

/// What counts for a communicator.
#[derive(Clone, Copy, Debug)]
pub(crate) struct HostFoldLimit {
    pub most: usize,
    pub(super) source: Source,
}
