//! Which ranks are on one node.

use std::mem::MaybeUninit;
use std::os::raw::c_int;

use mpi::ffi;

use super::check::check;
use super::communicator;
use crate::error::Result;
use crate::transport::Context;

/// What launchers call a rank's number on its node: Open MPI, Hydra (MPICH, Intel MPI), MVAPICH2, Slurm, PALS,
/// Flux.
const VARIABLES: &[&str] = &[
    "OMPI_COMM_WORLD_LOCAL_RANK",
    "MPI_LOCALRANKID",
    "MV2_COMM_WORLD_LOCAL_RANK",
    "SLURM_LOCALID",
    "PALS_LOCAL_RANKID",
    "FLUX_TASK_LOCAL_ID",
];

/// This rank's number on its node, where the launcher tells it.
pub(crate) fn local_rank_of_launcher() -> Option<usize> {
    VARIABLES
        .iter()
        .find_map(|variable| std::env::var(variable).ok()?.trim().parse().ok())
}

/// This rank's number among those that share memory with it; all ranks of `parent` are here.
///
/// MPI standard, section 7.4.2 (`MPI_Comm_split_type`).
pub(crate) fn local_rank(parent: &Context) -> Result<usize> {
    let mut node = MaybeUninit::uninit();
    let mut rank: c_int = 0;
    // SAFETY: the parent is live, all its ranks have agreed to be here, and the communicator is freed by all.
    unsafe {
        let code = ffi::MPI_Comm_split_type(
            communicator(parent),
            ffi::RSMPI_COMM_TYPE_SHARED,
            0,
            ffi::RSMPI_INFO_NULL,
            node.as_mut_ptr(),
        );
        check(code, "MPI_Comm_split_type")?;
        let mut node = node.assume_init();
        check(ffi::MPI_Comm_rank(node, &mut rank), "MPI_Comm_rank")?;
        check(ffi::MPI_Comm_free(&mut node), "MPI_Comm_free")?;
    }
    Ok(usize::try_from(rank).unwrap_or(0))
}
