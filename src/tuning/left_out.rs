//! What could not be measured on a machine, and why: it says nothing about that.

use crate::device::Place;
use crate::plan::{Algorithm, Choice, Row};

/// An algorithm that was not measured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct LeftOut {
    pub choice: Choice,
    pub place: Place,
    pub ranks: usize,
    pub algorithm: Algorithm,
    pub reason: String,
}

impl LeftOut {
    /// Whether it was left out of what was measured so.
    #[cfg_attr(
        not(feature = "serde"),
        allow(dead_code, reason = "there are no files to be read")
    )]
    pub(super) fn is_of(&self, row: &Row) -> bool {
        (self.choice, self.place, self.ranks) == (row.choice, row.place, row.ranks)
    }
}
