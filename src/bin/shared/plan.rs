//! The collectives whose algorithms `warpcomm info --plan` tells.

/// Those that move data, in the order of the documentation.
pub const OPERATIONS: [&str; 16] = [
    "bcast",
    "gather",
    "gatherv",
    "scatter",
    "scatterv",
    "allgather",
    "allgatherv",
    "alltoall",
    "alltoallv",
    "alltoallw",
    "reduce",
    "allreduce",
    "reduce_scatter_block",
    "reduce_scatter",
    "scan",
    "exscan",
];
