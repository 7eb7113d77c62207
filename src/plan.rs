//! Which algorithm an operation uses: a pure function of what all ranks know alike.
//!
//! Crossovers by default are in [`choice`], and what was measured is in the [`table`]; [`lengths`] are not measured.

mod algorithm;
mod choice;
mod chosen;
#[cfg_attr(
    not(feature = "mpi"),
    allow(dead_code, reason = "ranks that are threads have one table")
)]
mod encode;
mod host_fold;
mod lengths;
mod levels;
mod table;

pub use algorithm::Algorithm;
pub use chosen::ChosenAlgorithm;

use choice::Candidate;
pub(crate) use choice::Choice;
pub(crate) use chosen::{Planned, Reason};
pub(crate) use host_fold::HostFold;
pub(crate) use lengths::{UNOFFERED_BYTES, chunk_bytes, fold_chunk_bytes};
pub(crate) use levels::Levels;
#[cfg(all(test, feature = "serde"))]
pub(crate) use table::tests::rows;
pub(crate) use table::{Ladder, Ladders, Row, Step, Table};
use table::{Rung, Source};

/// Stamps the table of the operations into an enum. A row is the variant, the name of the method, and what
/// ranks do in it.
macro_rules! operations {
    ($($variant:ident: $name:literal, $kind:ident;)*) => {
        /// A collective operation.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(u8)]
        pub(crate) enum Operation {
            $($variant,)*
        }

        impl Operation {
            const ALL: &'static [Operation] = &[$(Operation::$variant,)*];

            /// The name of the method.
            pub(crate) fn name(self) -> &'static str {
                match self {
                    $(Operation::$variant => $name,)*
                }
            }

            #[inline]
            fn kind(self) -> Kind {
                match self {
                    $(Operation::$variant => Kind::$kind,)*
                }
            }
        }
    };
}

operations! {
    Barrier: "barrier", Agreement;
    Bcast: "bcast", Data;
    Gather: "gather", Data;
    Gatherv: "gatherv", Data;
    Scatter: "scatter", Data;
    Scatterv: "scatterv", Data;
    Allgather: "allgather", Data;
    Allgatherv: "allgatherv", Data;
    Alltoall: "alltoall", Data;
    Alltoallv: "alltoallv", Data;
    Alltoallw: "alltoallw", Data;
    Reduce: "reduce", Data;
    Allreduce: "allreduce", Data;
    ReduceScatterBlock: "reduce_scatter_block", Data;
    ReduceScatter: "reduce_scatter", Data;
    Scan: "scan", Data;
    Exscan: "exscan", Data;
    Duplicate: "duplicate", Steps;
    Split: "split", Steps;
    SplitShared: "split_shared", Steps;
    Create: "create", Steps;
    CreateGroup: "create_group", Steps;
    CreateIntercommunicator: "create_intercommunicator", Steps;
    Merge: "merge", Steps;
    World: "world", Steps;
    IntoNative: "into_native", Agreement;
    ToMpi: "to_mpi", Agreement;
    Finalize: "finalize", Agreement;
    BcastObject: "bcast_object", Steps;
    GatherObject: "gather_object", Steps;
    ScatterObject: "scatter_object", Steps;
    AllgatherObject: "allgather_object", Steps;
    AlltoallObject: "alltoall_object", Steps;
    ReduceObject: "reduce_object", Steps;
    AllreduceObject: "allreduce_object", Steps;
}

/// What ranks do in an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// They agree, and that is all.
    Agreement,
    /// They move the caller's data.
    Data,
    /// They agree several times, and go through it together.
    Steps,
}

impl Operation {
    /// Whether it moves the caller's data, and not only knowledge of the ranks about each other.
    #[inline]
    pub(crate) fn moves_data(self) -> bool {
        self.kind() == Kind::Data
    }

    /// Whether ranks fold elements.
    pub(crate) fn folds(self) -> bool {
        matches!(
            self,
            Operation::Reduce
                | Operation::Allreduce
                | Operation::ReduceScatterBlock
                | Operation::ReduceScatter
                | Operation::Scan
                | Operation::Exscan
        )
    }

    /// Whether it is made of several agreements, which all ranks must go through together.
    pub(crate) fn has_steps(self) -> bool {
        self.kind() == Kind::Steps
    }

    /// The operation by the name of its method.
    pub(crate) fn of_name(name: &str) -> Option<Operation> {
        Operation::ALL
            .iter()
            .copied()
            .find(|operation| operation.name() == name)
    }

    pub(crate) fn from_code(code: u8) -> Option<Operation> {
        Operation::ALL.get(usize::from(code)).copied()
    }
}

/// The most bytes of payload in a frame.
pub(crate) const FRAME_PAYLOAD_BYTES: usize = 256;

/// The most ranks that send their frames to each other; more merge them along a tree, without payload.
pub(crate) const DIRECT_FRAME_RANKS: usize = 64;

/// The most ranks whose elements one kernel reads, and whose results it writes.
pub(crate) const LEADER_RANKS: usize = 16;

/// How kernels of ranks reach the elements of others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Together {
    /// All are on one GPU.
    OneGpu,
    /// Their GPUs reach each other's memory.
    Neighbours,
}

/// What all ranks know of an operation.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Question {
    pub operation: Operation,
    pub ranks: usize,
    /// The longest payload that any rank would put into a frame.
    pub bytes: usize,
    /// Whether elements of any rank are on a GPU. It does not matter for what rides in frames.
    pub on_device: bool,
    /// Whether kernels of ranks reach the elements of others.
    pub together: Option<Together>,
    /// Whether the operation starts with an agreement.
    pub checked: bool,
}

/// The algorithm for an operation, and why it is this one.
#[inline]
pub(crate) fn plan(question: Question, ladders: &Ladders) -> Planned {
    let Question {
        operation,
        ranks,
        bytes,
        on_device,
        together,
        checked,
    } = question;
    if checked && ranks <= DIRECT_FRAME_RANKS && bytes <= FRAME_PAYLOAD_BYTES {
        return Planned {
            algorithm: Algorithm::Frames,
            reason: Reason::Rides,
        };
    }
    let rung = Choice::of(operation).map(|choice| (choice, ladders.rung(choice, on_device)));
    let is_said = matches!(&rung, Some((_, rung)) if rung.source == Source::Program);
    let can_fold_together = operation.folds() && (2..=LEADER_RANKS).contains(&ranks);
    if let Some(together) = together.filter(|_| can_fold_together && !is_said) {
        return match together {
            // Nothing moves less: elements are read where they are, and results written where they are wanted.
            Together::OneGpu => Planned {
                algorithm: Algorithm::Leader,
                reason: Reason::OneGpu,
            },
            Together::Neighbours => match Choice::of_neighbours(operation) {
                Some(choice) => by_length(choice, ladders.rung(choice, on_device), question),
                None => Planned {
                    algorithm: Algorithm::OneShot,
                    reason: Reason::Neighbours,
                },
            },
        };
    }
    let Some((choice, rung)) = rung else {
        return Planned {
            algorithm: Algorithm::Direct,
            reason: Reason::Only,
        };
    };
    if rung.ladder.at(bytes).0.algorithm == Algorithm::Levels && ladders.levels().is_none() {
        return Planned {
            algorithm: choice.first(),
            reason: Reason::OneLevel,
        };
    }
    by_length(choice, rung, question)
}

/// What the steps of a choice say for a length, if there are enough ranks.
#[inline]
fn by_length(choice: Choice, rung: &Rung, Question { ranks, bytes, .. }: Question) -> Planned {
    let (step, below) = rung.ladder.at(bytes);
    match choice.candidate(step.algorithm) {
        Some(&Candidate {
            algorithm,
            least_ranks,
            ..
        }) if least_ranks > ranks => Planned {
            algorithm: choice.first(),
            reason: Reason::TooFew {
                wanted: algorithm,
                least: least_ranks,
            },
        },
        _ => Planned {
            algorithm: step.algorithm,
            reason: Reason::Length {
                from: step.from,
                below,
                source: rung.source,
            },
        },
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::device::Place;

    fn question(operation: Operation, ranks: usize, bytes: usize) -> Question {
        Question {
            operation,
            ranks,
            bytes,
            on_device: false,
            together: None,
            checked: true,
        }
    }

    fn planned(operation: Operation, ranks: usize, bytes: usize) -> Algorithm {
        plan(question(operation, ranks, bytes), Ladders::by_default()).algorithm
    }

    #[test]
    fn codes_are_positions() {
        for (position, operation) in Operation::ALL.iter().copied().enumerate() {
            assert_eq!(operation as usize, position);
            assert_eq!(Operation::from_code(position as u8), Some(operation));
        }
    }

    #[test]
    fn small_payloads_ride_in_frames_where_everybody_sees_them() {
        assert_eq!(planned(Operation::Allreduce, 64, 256), Algorithm::Frames);
        assert_eq!(planned(Operation::Allreduce, 65, 8), Algorithm::Direct);
        assert_eq!(planned(Operation::Allreduce, 2, 257), Algorithm::Direct);
        let unchecked = Question {
            checked: false,
            ..question(Operation::Bcast, 2, 8)
        };
        assert_eq!(plan(unchecked, Ladders::by_default()).algorithm, Algorithm::Tree);
    }

    #[test]
    fn large_ones_go_in_blocks() {
        assert_eq!(planned(Operation::Reduce, 3, 1 << 20), Algorithm::Blocks);
        assert_eq!(planned(Operation::Bcast, 3, 1 << 20), Algorithm::Blocks);
        assert_eq!(planned(Operation::Bcast, 2, 1 << 20), Algorithm::Tree);
        assert_eq!(planned(Operation::Gather, 3, 1 << 20), Algorithm::Direct);
        assert_eq!(planned(Operation::Scan, 3, 1 << 20), Algorithm::Direct);
    }

    #[test]
    fn the_default_crossovers_are_where_they_are_documented() {
        for (operation, ranks, crossover, below) in [
            (Operation::Allreduce, 2, 16 << 10, Algorithm::Direct),
            (Operation::Reduce, 2, 16 << 10, Algorithm::Direct),
            (Operation::Bcast, 3, 256 << 10, Algorithm::Tree),
            (Operation::BcastObject, 3, 256 << 10, Algorithm::Tree),
        ] {
            assert_eq!(planned(operation, ranks, crossover - 1), below);
            assert_eq!(planned(operation, ranks, crossover), Algorithm::Blocks);
            assert_eq!(planned(operation, ranks - 1, crossover), below);
        }
    }

    #[test]
    fn one_rank_folds_for_the_ranks_of_one_gpu() {
        let planned = |operation, ranks, bytes, ladders: &Ladders| {
            let question = Question {
                on_device: true,
                together: Some(Together::OneGpu),
                ..question(operation, ranks, bytes)
            };
            plan(question, ladders).algorithm
        };
        let by_default = Ladders::by_default();
        assert_eq!(
            planned(Operation::Allreduce, 2, 256, by_default),
            Algorithm::Frames
        );
        assert_eq!(
            planned(Operation::Allreduce, 2, 257, by_default),
            Algorithm::Leader
        );
        assert_eq!(
            planned(Operation::Reduce, 16, 1 << 30, by_default),
            Algorithm::Leader
        );
        assert_eq!(
            planned(Operation::Allreduce, 17, 1 << 30, by_default),
            Algorithm::Blocks
        );
        assert_eq!(
            planned(Operation::Allreduce, 1, 1 << 30, by_default),
            Algorithm::Direct
        );
        for operation in [
            Operation::ReduceScatterBlock,
            Operation::ReduceScatter,
            Operation::Scan,
            Operation::Exscan,
        ] {
            assert_eq!(planned(operation, 2, 256, by_default), Algorithm::Frames);
            assert_eq!(planned(operation, 2, 257, by_default), Algorithm::Leader);
            assert_eq!(planned(operation, 17, 257, by_default), Algorithm::Direct);
        }
        assert_eq!(
            planned(Operation::Bcast, 4, 1 << 30, by_default),
            Algorithm::Blocks
        );
        assert_eq!(
            planned(Operation::Alltoall, 4, 1 << 30, by_default),
            Algorithm::Direct
        );
        let said = Table::empty("").with(Choice::Allreduce, Algorithm::Direct);
        let said = Ladders::new(&Arc::new(said), 2);
        assert_eq!(
            planned(Operation::Allreduce, 2, 1 << 30, &said),
            Algorithm::Direct
        );
    }

    #[test]
    fn ranks_of_several_gpus_fold_whole_what_is_short() {
        let planned = |operation, ranks, bytes| {
            let ladders = Ladders::new(&Arc::new(Table::empty("there is no file")), ranks);
            plan(among_neighbours(operation, ranks, bytes), &ladders).algorithm
        };
        for operation in [Operation::Allreduce, Operation::Reduce] {
            assert_eq!(planned(operation, 2, 256), Algorithm::Frames);
            assert_eq!(planned(operation, 2, 1 << 30), Algorithm::OneShot);
            for (ranks, most) in [(3, 512 << 10), (4, 512 << 10), (5, 256 << 10), (16, 256 << 10)] {
                assert_eq!(planned(operation, ranks, most), Algorithm::OneShot);
                assert_eq!(planned(operation, ranks, most + 1), Algorithm::TwoShot);
            }
            assert_eq!(planned(operation, 17, 1 << 30), Algorithm::Blocks);
        }
        assert_eq!(planned(Operation::Scan, 8, 1 << 30), Algorithm::OneShot);
        assert_eq!(planned(Operation::ReduceScatter, 8, 1 << 30), Algorithm::OneShot);
    }

    /// Of reductions among ranks whose GPUs reach each other's memory.
    fn among_neighbours(operation: Operation, ranks: usize, bytes: usize) -> Question {
        Question {
            on_device: true,
            together: Some(Together::Neighbours),
            ..question(operation, ranks, bytes)
        }
    }

    #[test]
    fn ranks_of_several_gpus_fold_whole_what_was_measured_so() {
        let steps = [(0, Algorithm::OneShot), (1000, Algorithm::TwoShot)];
        let steps = steps.map(|(from, algorithm)| Step { from, algorithm });
        let row = Row {
            choice: Choice::NeighboursAllreduce,
            place: Place::Device,
            ranks: 4,
            has_levels: false,
            ladder: Ladder::new(Choice::NeighboursAllreduce, steps.to_vec()).unwrap(),
        };
        let table = Table::new(vec![row], Vec::new(), "/a/file");
        let explained = |table: &Table, operation, ranks, bytes| {
            let ladders = Ladders::new(&Arc::new(table.clone()), ranks);
            let question = among_neighbours(operation, ranks, bytes);
            ChosenAlgorithm::new(question, plan(question, &ladders), &ladders).to_string()
        };
        let of = |operation, ranks, bytes| explained(&table, operation, ranks, bytes);
        let reach = "the ranks' GPUs reach each other's memory";
        assert_eq!(
            of(Operation::Allreduce, 4, 999),
            format!("one-shot: {reach}, and 999 bytes are below 1000, as measured with 4 ranks: /a/file")
        );
        assert_eq!(
            of(Operation::Allreduce, 5, 1000),
            format!("two-shot: {reach}, and 1000 bytes are at least 1000, as measured with 4 ranks: /a/file")
        );
        assert_eq!(
            of(Operation::Allreduce, 2, 1000),
            format!("one-shot: {reach}, and two-shot is for 3 ranks or more, and there are 2")
        );
        assert_eq!(
            of(Operation::Reduce, 5, 1000),
            format!(
                "one-shot: {reach}, and 1000 bytes are below 262145, the default: /a/file has nothing for this"
            )
        );
        assert_eq!(of(Operation::Scan, 4, 1000), format!("one-shot: {reach}"));
        // What it says of other elements is another matter.
        let host = Question {
            together: None,
            on_device: false,
            ..among_neighbours(Operation::Allreduce, 4, 1000)
        };
        let ladders = Ladders::new(&Arc::new(table.clone()), 4);
        assert_eq!(plan(host, &ladders).algorithm, Algorithm::Direct);
        let said = table.with(Choice::NeighboursAllreduce, Algorithm::TwoShot);
        assert_eq!(
            explained(&said, Operation::Allreduce, 4, 300),
            format!("two-shot: {reach}, and at all lengths, as the program says")
        );
        let said = said.with(Choice::Allreduce, Algorithm::Direct);
        assert_eq!(
            explained(&said, Operation::Allreduce, 4, 300),
            "direct: at all lengths, as the program says; the host folds 300 bytes, at most 65536, the default: /a/file has \
             nothing for this"
        );
    }

    #[test]
    fn the_host_folds_as_many_bytes_as_measured() {
        let fold = HostFold { ranks: 2, most: 1000 };
        let measured = Table::new(Vec::new(), vec![fold], "/a/file");
        let folds = |table: &Table, operation, bytes, on_device| {
            let ladders = Ladders::new(&Arc::new(table.clone()), 3);
            let question = Question {
                on_device,
                ..question(operation, 3, bytes)
            };
            let chosen = ChosenAlgorithm::new(question, plan(question, &ladders), &ladders);
            chosen
                .to_string()
                .split_once("; ")
                .map(|(_, folds)| folds.to_owned())
        };
        let of = |table: &Table, bytes| folds(table, Operation::Scan, bytes, true).unwrap();
        assert_eq!(
            of(&measured, 1000),
            "the host folds 1000 bytes, at most 1000, as measured with 2 ranks: /a/file"
        );
        assert_eq!(
            of(&measured, 1001),
            "kernels fold 1001 bytes, more than 1000, as measured with 2 ranks: /a/file"
        );
        assert_eq!(
            of(&measured.with_host_fold(0), 1000),
            "kernels fold 1000 bytes, more than 0, as the program says"
        );
        assert_eq!(
            of(&Table::empty("there is no file"), 65536),
            "the host folds 65536 bytes, at most 65536, the default: there is no file"
        );
        for (operation, bytes, on_device) in [
            (Operation::Scan, 1000, false),
            (Operation::Scan, 256, true),
            (Operation::Gather, 1000, true),
        ] {
            assert_eq!(folds(&measured, operation, bytes, on_device), None);
        }
    }

    #[test]
    fn two_levels_are_for_nodes_that_have_whole_subtrees() {
        let table = Arc::new(Table::empty("there is no file"));
        let on = |nodes: &[u64], bytes| {
            let question = question(Operation::Allreduce, nodes.len(), bytes);
            let ladders = Ladders::on_nodes(&table, nodes);
            ChosenAlgorithm::new(question, plan(question, &ladders), &ladders).to_string()
        };
        assert_eq!(
            on(&[1, 1, 2], 1 << 16),
            "levels: 65536 bytes are at least 65536, the default: there is no file"
        );
        assert_eq!(
            on(&[1, 1, 2], (1 << 16) - 1),
            "blocks: 65535 bytes are at least 16384 and below 65536, the default: there is no file"
        );
        let without = "blocks: 65536 bytes are at least 16384, the default: there is no file";
        assert_eq!(on(&[1, 1, 1], 1 << 16), without);
        assert_eq!(on(&[1, 2, 1], 1 << 16), without);
        let said = Arc::new(table.with(Choice::Allreduce, Algorithm::Levels));
        let question = question(Operation::Allreduce, 3, 300);
        for (nodes, expected) in [
            ([1, 1, 2], "levels: at all lengths, as the program says"),
            (
                [1, 2, 1],
                "direct: levels is for several nodes of which one has all ranks of a subtree of several",
            ),
        ] {
            let ladders = Ladders::on_nodes(&said, &nodes);
            let chosen = ChosenAlgorithm::new(question, plan(question, &ladders), &ladders);
            assert_eq!(chosen.to_string(), expected);
        }
    }

    /// A table in which allreduce goes in blocks between 1,000 and 2,000 bytes, on 2 ranks and hosts.
    fn measured() -> Table {
        let steps = [
            (0, Algorithm::Direct),
            (1000, Algorithm::Blocks),
            (2000, Algorithm::Direct),
        ];
        let steps = steps.map(|(from, algorithm)| Step { from, algorithm });
        let row = Row {
            choice: Choice::Allreduce,
            place: Place::Host,
            ranks: 2,
            has_levels: false,
            ladder: Ladder::new(Choice::Allreduce, steps.to_vec()).unwrap(),
        };
        Table::new(vec![row], Vec::new(), "/a/file")
    }

    #[test]
    fn what_was_measured_counts_from_byte_to_byte() {
        let ladders = Ladders::new(&Arc::new(measured()), 4);
        let planned = |bytes| plan(question(Operation::Allreduce, 4, bytes), &ladders).algorithm;
        assert_eq!(
            [999, 1000, 1999, 2000, 1 << 30].map(planned),
            [
                Algorithm::Direct,
                Algorithm::Blocks,
                Algorithm::Blocks,
                Algorithm::Direct,
                Algorithm::Direct
            ]
        );
    }

    #[test]
    fn every_choice_has_its_reason() {
        let table = measured().with(Choice::Reduce, Algorithm::Blocks);
        let ladders = Ladders::new(&Arc::new(table), 2);
        let explained =
            |question| ChosenAlgorithm::new(question, plan(question, &ladders), &ladders).to_string();
        let of = |operation, bytes| explained(question(operation, 2, bytes));
        assert_eq!(
            of(Operation::Allreduce, 8),
            "frames: 8 bytes ride in the frames of the agreement, as up to 256 do among at most 64 ranks"
        );
        assert_eq!(of(Operation::Gather, 1000), "direct: gather has no other");
        assert_eq!(
            of(Operation::Allreduce, 999),
            "direct: 999 bytes are below 1000, as measured with 2 ranks: /a/file"
        );
        assert_eq!(
            of(Operation::Allreduce, 1000),
            "blocks: 1000 bytes are at least 1000 and below 2000, as measured with 2 ranks: /a/file"
        );
        assert_eq!(
            of(Operation::Allreduce, 2000),
            "direct: 2000 bytes are at least 2000, as measured with 2 ranks: /a/file"
        );
        assert_eq!(
            of(Operation::Reduce, 300),
            "blocks: at all lengths, as the program says"
        );
        assert_eq!(
            of(Operation::Bcast, 300),
            "tree: 300 bytes are below 262144, the default: /a/file has nothing for this"
        );
        assert_eq!(
            of(Operation::Bcast, 1 << 20),
            "tree: blocks is for 3 ranks or more, and there are 2"
        );
        let on_device = Question {
            on_device: true,
            ..question(Operation::Allreduce, 2, 16384)
        };
        assert_eq!(
            explained(on_device),
            "blocks: 16384 bytes are at least 16384, the default: /a/file has nothing for this; the host folds 16384 bytes, \
             at most 65536, the default: /a/file has nothing for this"
        );
        let nothing = Ladders::new(&Arc::new(Table::empty("there is no file")), 2);
        let question = question(Operation::Allreduce, 2, 300);
        let chosen = ChosenAlgorithm::new(question, plan(question, &nothing), &nothing);
        assert_eq!(
            chosen.reason(),
            "300 bytes are below 16384, the default: there is no file"
        );
        assert_eq!(chosen.algorithm(), Algorithm::Direct);
    }
}
