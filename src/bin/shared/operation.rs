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
            // In both directions, and between all pairs.
            Operation::Bibandwidth => 2.0,
            Operation::MessageRate => (ranks / 2) as f64,
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
            _ if self.is_point_to_point() => 1.0,
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_the_methods() {
        let names: Vec<String> = Operation::value_variants()
            .iter()
            .map(|operation| operation.name())
            .collect();
        assert_eq!(names.len(), 22);
        for (name, operation) in names.iter().zip(Operation::value_variants()) {
            assert_eq!(Operation::from_str(name, false).as_ref(), Ok(operation));
        }
        assert!(names.contains(&"reduce_scatter_block".to_owned()));
    }

    /// The factors of nccl-tests, whose sizes are those of the longest buffer.
    #[test]
    fn bandwidths_are_those_of_nccl_tests() {
        let bytes = 8.0;
        // The bytes of a row, as this program counts them, and those that nccl-tests would divide by the time.
        for (operation, algorithm, bus) in [
            (Operation::Allreduce, bytes, 2.0 * 0.75 * bytes),
            (Operation::Allgather, 4.0 * bytes, 0.75 * 4.0 * bytes),
            (Operation::Alltoall, 4.0 * bytes, 0.75 * 4.0 * bytes),
            (Operation::ReduceScatter, bytes, 0.75 * bytes),
            (Operation::Bcast, bytes, bytes),
            (Operation::Reduce, bytes, bytes),
            (Operation::Latency, bytes, bytes),
        ] {
            let factor = operation.algorithm_factor(4);
            assert_eq!(factor * bytes, algorithm, "{operation}");
            assert_eq!(factor * bytes * operation.bus_factor(4), bus, "{operation}");
        }
    }

    #[test]
    fn one_rank_moves_nothing_and_two_move_what_is_sent() {
        for operation in Operation::value_variants() {
            assert!((0.0..=2.0).contains(&operation.bus_factor(1)), "{operation}");
            assert!(operation.bus_factor(2) <= 1.0, "{operation}");
        }
        assert_eq!(Operation::Allreduce.bus_factor(1), 0.0);
        assert_eq!(Operation::Allreduce.bus_factor(2), 1.0);
        assert_eq!(Operation::Bibandwidth.algorithm_factor(2), 2.0);
        assert_eq!(Operation::MessageRate.algorithm_factor(5), 2.0);
    }

    #[test]
    fn kinds_of_operations_are_told_apart() {
        let of =
            |is: fn(Operation) -> bool| Operation::value_variants().iter().filter(|&&one| is(one)).count();
        assert_eq!(of(Operation::is_point_to_point), 5);
        assert_eq!(of(Operation::is_reduction), 6);
        assert_eq!(of(Operation::has_elements), 21);
    }
}
