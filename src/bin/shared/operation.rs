//! What can be measured.

use std::fmt;

use clap::ValueEnum;

/// An operation that `warpcomm bench` measures.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, ValueEnum)]
#[value(rename_all = "snake_case")]
pub enum Operation {
    /// A message back and forth between two ranks: half of a round trip
    Latency,
    /// Many messages in one direction, and an answer when all have arrived
    Bandwidth,
    /// Many messages in both directions at once
    Bibandwidth,
    /// Short messages a second, of all pairs of ranks
    MessageRate,
    /// Which part of a non-blocking message a computation hides
    Overlap,
    Barrier,
    Bcast,
    Scatter,
    Scatterv,
    Gather,
    Gatherv,
    Allgather,
    Allgatherv,
    Alltoall,
    Alltoallv,
    Alltoallw,
    Reduce,
    Allreduce,
    ReduceScatter,
    ReduceScatterBlock,
    Scan,
    Exscan,
}

impl Operation {
    /// The name on the command line and in files.
    pub fn name(self) -> String {
        self.to_possible_value()
            .map_or_else(String::new, |value| value.get_name().to_owned())
    }

    /// Whether it is between pairs of ranks.
    pub fn is_point_to_point(self) -> bool {
        self <= Operation::Overlap
    }

    /// Whether it takes a reduction operation.
    pub fn is_reduction(self) -> bool {
        self >= Operation::Reduce
    }

    /// Whether it has elements.
    pub fn has_elements(self) -> bool {
        self != Operation::Barrier
    }

    /// By what the bytes of a row are multiplied for the bandwidth that its caller sees: the longest buffer of a rank.
    ///
    /// As in nccl-tests, whose sizes are these buffers.
    pub fn algorithm_factor(self, ranks: usize) -> f64 {
        match self {
            Operation::Scatter
            | Operation::Scatterv
            | Operation::Gather
            | Operation::Gatherv
            | Operation::Allgather
            | Operation::Allgatherv
            | Operation::Alltoall
            | Operation::Alltoallv
            | Operation::Alltoallw => ranks as f64,
            _ => 1.0,
        }
    }

    /// By what the bandwidth that the caller sees is multiplied for that of the busiest link (nccl-tests,
    /// "Performance reported by NCCL tests").
    pub fn bus_factor(self, ranks: usize) -> f64 {
        let others = (ranks - 1) as f64 / ranks as f64;
        match self {
            Operation::Allreduce => 2.0 * others,
            Operation::ReduceScatter | Operation::ReduceScatterBlock => others,
            _ if self.algorithm_factor(ranks) != 1.0 => others,
            _ => 1.0,
        }
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name())
    }
}
