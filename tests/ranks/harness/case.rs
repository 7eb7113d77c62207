//! A multi-rank test case, and the table of those in a module.

use std::ops::RangeInclusive;

use super::Failure;
use crate::placed::Communicator;

/// What a case reports on a rank; it may panic as well.
pub type Outcome = Result<(), Failure>;

/// In which kinds of worlds a case runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Worlds {
    /// In all of them.
    Both,
    /// With ranks that are threads.
    Threads,
    /// With ranks that are processes of an MPI job.
    Mpi,
    /// The same, on plain communicators.
    #[cfg_attr(
        not(feature = "mpi"),
        allow(dead_code, reason = "without MPI there are no such communicators")
    )]
    Plain,
    /// In all but those with plain communicators, which do not have the operation.
    Native,
}

/// One test case, run on every rank of a communicator of its own.
#[derive(Clone, Debug)]
pub struct Case {
    pub module: &'static str,
    pub name: &'static str,
    /// The numbers of ranks it runs with.
    pub ranks: RangeInclusive<usize>,
    pub worlds: Worlds,
    pub run: fn(&Communicator) -> Outcome,
}

impl Case {
    /// The name of the case with that of its module.
    pub fn full_name(&self) -> String {
        let module = self.module.rsplit("::").next().unwrap_or(self.module);
        format!("{module}::{}", self.name)
    }
}

/// The cases of a module, one row each: a function, the numbers of ranks it runs with and, if it does not run
/// in all of them, the kind of world. The function takes this communicator or the library's own, which only
/// moves the buffers that it is given.
macro_rules! cases {
    ($($name:ident: $ranks:expr $(, $world:ident)?;)*) => {
        pub const CASES: &[$crate::harness::Case] = &[$($crate::harness::Case {
            module: module_path!(),
            name: stringify!($name),
            ranks: $ranks,
            worlds: cases!(@worlds $($world)?),
            run: |comm| $name(comm),
        },)*];
    };
    (@worlds) => { $crate::harness::Worlds::Both };
    (@worlds threads) => { $crate::harness::Worlds::Threads };
    (@worlds mpi) => { $crate::harness::Worlds::Mpi };
    (@worlds native) => { $crate::harness::Worlds::Native };
    (@worlds plain) => { $crate::harness::Worlds::Plain };
}
