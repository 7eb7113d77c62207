//! Which ranks are on one node.

use std::mem::MaybeUninit;
use std::os::raw::c_int;

use mpi::ffi;

use super::check::check;
use super::communicator;
use crate::error::Result;
use crate::transport::Context;

/// What launchers call a rank's number on its node: Open MPI, Hydra (MPICH, Intel MPI), MVAPICH2, PALS, Flux.
const VARIABLES: &[&str] = &[
    "OMPI_COMM_WORLD_LOCAL_RANK",
    "MPI_LOCALRANKID",
    "MV2_COMM_WORLD_LOCAL_RANK",
    "PALS_LOCAL_RANKID",
    "FLUX_TASK_LOCAL_ID",
];

/// This rank's number on its node, where the launcher tells it.
pub(crate) fn local_rank_of_launcher() -> Option<usize> {
    let number = |variable: &&str| std::env::var(variable).ok()?.trim().parse().ok();
    // Slurm's is in the environment of everything in an allocation, whoever has started it; ranks of `srun` also have
    // a number from its process manager.
    let slurm = || {
        let is_rank_of_srun = ["PMI_RANK", "PMIX_RANK"]
            .iter()
            .any(|name| std::env::var_os(name).is_some());
        is_rank_of_srun.then(|| number(&"SLURM_LOCALID")).flatten()
    };
    VARIABLES.iter().find_map(number).or_else(slurm)
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
