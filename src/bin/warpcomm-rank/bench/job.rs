//! Where the ranks run.

use warpcomm::{Communicator, Op, Runtime};

use crate::Failure;
#[cfg(feature = "cuda")]
use crate::gpus;
use crate::machine::this_machine;
use crate::record::Gpu;
use crate::simulated::is_simulated;
use crate::task::JobAnswer;

/// What all ranks know together of their job.
pub fn answer(runtime: &Runtime, comm: &Communicator) -> Result<JobAnswer, Failure> {
    let mut nodes = u64::from(comm.split_shared(0)?.rank() == 0);
    comm.allreduce_in_place(&mut nodes, Op::Sum)?;
    let mut gpus: Vec<Gpu> = Vec::new();
    for gpu in comm.allgather_object(&own_gpu(comm))?.into_iter().flatten() {
        if !gpus.contains(&gpu) {
            gpus.push(gpu);
        }
    }
    Ok(JobAnswer {
        mpi: runtime.library_version().trim().to_owned(),
        thread_level: runtime.thread_level().to_string(),
        machine: this_machine(),
        nodes: usize::try_from(nodes)?,
        simulated: gpus.iter().any(|gpu| is_simulated(&gpu.name)),
        gpus,
    })
}

/// This rank's, if it has one.
#[cfg(feature = "cuda")]
fn own_gpu(comm: &Communicator) -> Option<Gpu> {
    let context = comm.device().ok()?;
    Some(Gpu {
        name: context.name().ok()?,
        uuid: gpus::uuid(&context.uuid().ok()?),
        memory_bytes: context.total_mem().ok()? as u64,
        driver: gpus::driver(&context.name().ok()?).ok()?,
    })
}

#[cfg(not(feature = "cuda"))]
fn own_gpu(_comm: &Communicator) -> Option<Gpu> {
    None
}
