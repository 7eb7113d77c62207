//! Up to which lengths the host folds elements on GPUs faster than kernels, where no kernel reaches those of all ranks.

use std::fmt;

use warpcomm::{Communicator, Tuning};

use super::buffers::Memory;
use super::measure::{self, Case};
use super::{crossover, report};
use crate::Failure;

/// Who folds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Folder {
    Host,
    Kernels,
}

impl fmt::Display for Folder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Folder::Host => "host",
            Folder::Kernels => "kernels",
        })
    }
}

/// Measures it with the reduction that all ranks have the result of, prints it, and adds what it says.
pub fn measured(
    comm: &Communicator,
    sizes: &[usize],
    rounds: usize,
    tuning: &mut Tuning,
) -> Result<(), Failure> {
    let case = Case {
        operation: "allreduce",
        memory: Memory::Device,
        sizes,
        rounds,
    };
    let folders = [Folder::Host, Folder::Kernels];
    let candidates = [comm.with_host_fold(usize::MAX)?, comm.with_host_fold(0)?];
    let times = measure::times(comm, &case, &candidates)?;
    let steps = crossover::steps(&folders, sizes, &times);
    if comm.rank() == 0 {
        let title = format!(
            "who folds in {}, {}, {} ranks",
            case.operation,
            case.memory,
            comm.size()
        );
        report::measured(&title, &folders, sizes, &times, &steps);
    }
    tuning.add_host_fold(comm.size(), most(&steps, sizes))?;
    Ok(())
}

/// The most bytes that the host folds: kernels fold what is longer than all that was measured.
fn most(steps: &[(usize, Folder)], sizes: &[usize]) -> usize {
    let kernels = steps.iter().find(|(_, folder)| *folder == Folder::Kernels);
    match kernels {
        Some((from, _)) => from.saturating_sub(1),
        None => sizes.iter().copied().max().unwrap_or(0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kernels_fold_from_where_they_are_faster_first() {
        let (host, kernels) = (Folder::Host, Folder::Kernels);
        let most = |steps: &[(usize, Folder)]| most(steps, &[1000, 9000]);
        assert_eq!(most(&[(0, host), (5000, kernels)]), 4999);
        assert_eq!(most(&[(0, host), (2000, kernels), (5000, host)]), 1999);
        assert_eq!(most(&[(0, kernels), (5000, host)]), 0);
        assert_eq!(most(&[(0, host)]), 9000);
    }
}
