//! How a collective is called: each call of a case in another form, with the same result.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::harness::is_plain;
use crate::oracle::mixed;

/// A form of a collective.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manner {
    Blocking,
    /// By a request, which owns copies of the buffers.
    NonBlocking,
    /// In a scope, on borrowed buffers.
    Scoped,
    /// By a persistent request, which is started twice.
    Persistent,
}

/// Chooses the forms of the collectives of a communicator, in the order in which its ranks call them.
pub struct Manners {
    are_varied: bool,
    calls: AtomicU64,
}

impl Manners {
    pub fn new(are_varied: bool) -> Manners {
        Manners {
            are_varied,
            calls: AtomicU64::new(0),
        }
    }

    /// The same for another communicator.
    pub fn anew(&self) -> Manners {
        Manners::new(self.are_varied)
    }

    /// The form of the next call of a rank. A persistent one is so on all ranks; of the others each takes another.
    pub fn next(&self, rank: usize) -> Manner {
        if !self.are_varied {
            return Manner::Blocking;
        }
        let random = mixed(self.calls.fetch_add(1, Ordering::Relaxed)) as usize;
        if is_plain() {
            // There are no persistent ones, and MPI does not match blocking ones with others.
            return match random % 2 {
                0 => Manner::Blocking,
                _ => [Manner::NonBlocking, Manner::Scoped][(random / 2 + rank) % 2],
            };
        }
        match random % 4 {
            0 => Manner::Persistent,
            _ => [Manner::Blocking, Manner::NonBlocking, Manner::Scoped][(random / 4 + rank) % 3],
        }
    }
}
