//! The cases, a module for each operation or promise.

mod allgather;
mod allgatherv;
mod allreduce;
mod alltoall;
mod alltoallv;
mod alltoallw;
#[cfg(all(feature = "mpi", feature = "cuda"))]
mod awareness;
mod barrier;
mod bcast;
mod blocks;
mod common;
mod communicators;
mod completion;
mod concurrency;
#[cfg(feature = "cuda")]
mod copies;
mod deadlock;
#[cfg(feature = "cuda")]
mod device;
#[cfg(feature = "cuda")]
mod device_buffers;
mod errors;
mod exscan;
mod faults;
#[cfg(feature = "cuda")]
mod fold_notes;
#[cfg(all(feature = "mpi", feature = "cuda"))]
mod folds;
#[cfg(feature = "cuda")]
mod foreign_memory;
mod futures;
mod gather;
mod gatherv;
mod groups;
#[cfg(feature = "mpi")]
mod hangs;
mod intercommunicators;
mod large;
#[cfg(feature = "cuda")]
mod leader;
#[cfg(feature = "cuda")]
mod leader_of_parts;
#[cfg(all(feature = "mpi", feature = "cuda"))]
mod leaks;
#[cfg(all(feature = "mpi", feature = "cuda"))]
mod lent_buffers;
#[cfg(all(feature = "mpi", feature = "cuda"))]
mod levels;
#[cfg(feature = "mpi")]
mod lifecycle;
#[cfg(feature = "cuda")]
mod many_ranks;
mod matched;
mod mismatch;
#[cfg(feature = "cuda")]
mod neighbours;
mod nonblocking_collectives;
#[cfg(feature = "serde")]
mod objects;
mod ops;
#[cfg(feature = "cuda")]
mod overlap;
#[cfg(all(feature = "mpi", feature = "cuda"))]
mod paths;
mod persistent;
mod persistent_collectives;
#[cfg(feature = "mpi")]
mod plain;
mod point_to_point;
#[cfg(feature = "pool")]
mod pool;
#[cfg(all(feature = "pool", feature = "cuda"))]
mod pool_on_gpus;
mod proc_null;
mod programs;
mod reduce;
mod reduce_scatter;
mod reduce_scatter_block;
mod refusals;
mod requests;
mod scan;
mod scatter;
mod scatterv;
mod scope;
mod selftest;
mod send_modes;
mod send_recv;
mod sendrecv;
#[cfg(all(feature = "mpi", feature = "cuda"))]
mod short;
#[cfg(feature = "cuda")]
mod simulated;
#[cfg(feature = "cuda")]
mod sweep;
mod threads;
#[cfg(feature = "mpi")]
mod trace_files;
#[cfg(all(feature = "mpi", feature = "cuda"))]
mod transfers;
mod tuning;
#[cfg(all(feature = "mpi", feature = "cuda"))]
mod two_networks;
mod wildcards;
#[cfg(feature = "cuda")]
mod without_gpu;

#[cfg(all(feature = "mpi", feature = "cuda"))]
use crate::harness::is_cuda_aware;
use crate::harness::{Case, Check, Solo};

/// All cases, in the order in which a job runs them.
pub fn cases() -> Vec<Case> {
    [
        send_recv::CASES,
        wildcards::CASES,
        send_modes::CASES,
        proc_null::CASES,
        matched::CASES,
        requests::CASES,
        completion::CASES,
        futures::CASES,
        persistent::CASES,
        point_to_point::CASES,
        #[cfg(feature = "mpi")]
        plain::CASES,
        scope::CASES,
        sendrecv::CASES,
        barrier::CASES,
        bcast::CASES,
        gather::CASES,
        gatherv::CASES,
        scatter::CASES,
        scatterv::CASES,
        allgather::CASES,
        allgatherv::CASES,
        alltoall::CASES,
        alltoallv::CASES,
        alltoallw::CASES,
        reduce::CASES,
        allreduce::CASES,
        reduce_scatter_block::CASES,
        reduce_scatter::CASES,
        scan::CASES,
        exscan::CASES,
        #[cfg(feature = "cuda")]
        neighbours::CASES,
        nonblocking_collectives::CASES,
        persistent_collectives::CASES,
        #[cfg(feature = "serde")]
        objects::CASES,
        #[cfg(feature = "pool")]
        pool::CASES,
        ops::CASES,
        communicators::CASES,
        groups::CASES,
        intercommunicators::CASES,
        errors::CASES,
        blocks::CASES,
        refusals::CASES,
        mismatch::CASES,
        deadlock::CASES,
        concurrency::CASES,
        large::CASES,
        threads::CASES,
        tuning::CASES,
        faults::CASES,
        programs::CASES,
        #[cfg(feature = "cuda")]
        device::CASES,
        #[cfg(feature = "cuda")]
        foreign_memory::CASES,
        #[cfg(feature = "cuda")]
        device_buffers::CASES,
        #[cfg(all(feature = "pool", feature = "cuda"))]
        pool_on_gpus::CASES,
        #[cfg(feature = "cuda")]
        many_ranks::CASES,
        #[cfg(feature = "cuda")]
        copies::CASES,
        #[cfg(all(feature = "mpi", feature = "cuda"))]
        short::CASES,
        #[cfg(feature = "cuda")]
        leader::CASES,
        #[cfg(feature = "cuda")]
        leader_of_parts::CASES,
        #[cfg(feature = "cuda")]
        fold_notes::CASES,
        #[cfg(feature = "cuda")]
        overlap::CASES,
        #[cfg(feature = "cuda")]
        sweep::CASES,
        #[cfg(feature = "cuda")]
        without_gpu::CASES,
        selftest::cases(),
    ]
    .concat()
}

/// The cases that need a job of their own.
pub fn solos() -> Vec<&'static Solo> {
    #[cfg(feature = "mpi")]
    {
        let solos = lifecycle::SOLOS
            .iter()
            .chain(hangs::SOLOS)
            .chain(trace_files::SOLOS);
        #[cfg(feature = "cuda")]
        let solos = solos
            .chain(paths::SOLOS)
            .chain(lent_buffers::SOLOS)
            .chain(folds::SOLOS)
            .chain(short::SOLOS)
            .chain(leaks::SOLOS)
            .chain(levels::SOLOS)
            .chain(two_networks::SOLOS)
            .chain(awareness::SOLOS);
        #[cfg(feature = "serde")]
        let solos = solos.chain(tuning::SOLOS);
        #[cfg(feature = "cuda")]
        let solos = solos.chain(awareness::AWARE_SOLOS.iter().filter(|_| is_cuda_aware()));
        solos.collect()
    }
    #[cfg(not(feature = "mpi"))]
    Vec::new()
}

/// Checks of the test program itself.
pub fn checks() -> &'static [Check] {
    selftest::CHECKS
}
