//! On which nodes ranks are, as far as they have told each other.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The nodes of ranks, by their numbers in the transport's world.
#[derive(Default)]
pub(crate) struct Nodes(Mutex<BTreeMap<usize, u64>>);

impl Nodes {
    fn known(&self) -> MutexGuard<'_, BTreeMap<usize, u64>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes what the ranks of a group have told all of them, before the group's first communicator plans.
    pub(crate) fn note(&self, group: &[usize], nodes: &[u64]) {
        self.known()
            .extend(group.iter().copied().zip(nodes.iter().copied()));
    }

    /// The nodes of a group's ranks, if all are known. Each of them knows the same, because whatever communicator a group
    /// comes from, all ranks of that have told each other.
    pub(crate) fn of(&self, group: &[usize]) -> Option<Vec<u64>> {
        let known = self.known();
        group.iter().map(|rank| known.get(rank).copied()).collect()
    }
}
