//! Which algorithm an operation uses: a pure function of what all ranks know alike.

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

    /// Whether it is made of several agreements, which all ranks must go through together.
    pub(crate) fn has_steps(self) -> bool {
        self.kind() == Kind::Steps
    }

    pub(crate) fn from_code(code: u8) -> Option<Operation> {
        Operation::ALL.get(usize::from(code)).copied()
    }
}

/// How an operation moves its data after the ranks have agreed on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Algorithm {
    /// The data were in the frames of the agreement; of `alltoallv`, `alltoallw` and `reduce_scatter` what the
    /// ranks tell each other about them.
    Frames,
    /// Every block goes straight from the rank that has it to the ranks that need it; a reduction is
    /// folded whole by each rank that needs its result.
    Direct,
    /// Down a binomial tree (bcast).
    Tree,
    /// Each rank gets or folds one block, then all gather the blocks (bcast, reduce, allreduce).
    Blocks,
}

/// The most bytes of payload in a frame.
pub(crate) const FRAME_PAYLOAD_BYTES: usize = 256;

/// The most ranks that send their frames to each other; more merge them along a tree, without payload.
pub(crate) const DIRECT_FRAME_RANKS: usize = 64;

/// From this many bytes on each rank folds one block of a reduction.
const REDUCE_BLOCKS_BYTES: usize = 16 * 1024;

/// From this many bytes on a bcast sends blocks instead of the whole along a tree.
const BCAST_BLOCKS_BYTES: usize = 256 * 1024;

/// What all ranks know of an operation.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Question {
    pub operation: Operation,
    pub ranks: usize,
    /// The longest payload that any rank would put into a frame.
    pub bytes: usize,
    /// Whether the operation starts with an agreement.
    pub checked: bool,
}

/// The algorithm for an operation.
#[inline]
pub(crate) fn plan(question: Question) -> Algorithm {
    let Question {
        operation,
        ranks,
        bytes,
        checked,
    } = question;
    if checked && ranks <= DIRECT_FRAME_RANKS && bytes <= FRAME_PAYLOAD_BYTES {
        return Algorithm::Frames;
    }
    match operation {
        Operation::Reduce | Operation::Allreduce if bytes >= REDUCE_BLOCKS_BYTES && ranks > 1 => {
            Algorithm::Blocks
        }
        Operation::Bcast | Operation::BcastObject | Operation::AllreduceObject
            if bytes >= BCAST_BLOCKS_BYTES && ranks > 2 =>
        {
            Algorithm::Blocks
        }
        Operation::Bcast | Operation::BcastObject | Operation::AllreduceObject => Algorithm::Tree,
        _ => Algorithm::Direct,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn planned(operation: Operation, ranks: usize, bytes: usize) -> Algorithm {
        plan(Question {
            operation,
            ranks,
            bytes,
            checked: true,
        })
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
            operation: Operation::Bcast,
            ranks: 2,
            bytes: 8,
            checked: false,
        };
        assert_eq!(plan(unchecked), Algorithm::Tree);
    }

    #[test]
    fn large_ones_go_in_blocks() {
        assert_eq!(planned(Operation::Reduce, 3, 1 << 20), Algorithm::Blocks);
        assert_eq!(planned(Operation::Bcast, 3, 1 << 20), Algorithm::Blocks);
        assert_eq!(planned(Operation::Bcast, 2, 1 << 20), Algorithm::Tree);
        assert_eq!(planned(Operation::Gather, 3, 1 << 20), Algorithm::Direct);
        assert_eq!(planned(Operation::Scan, 3, 1 << 20), Algorithm::Direct);
    }
}
