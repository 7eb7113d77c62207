//! Where the ranks run.

use warpcomm::{Communicator, Op, Runtime};

use crate::Failure;
use crate::machine::this_machine;
use crate::record::Gpu;
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
        simulated: gpus
            .iter()
            .any(|gpu| gpu.name.to_lowercase().contains("simulated")),
        gpus,
    })
}

/// This rank's, if it has one.
#[cfg(feature = "cuda")]
fn own_gpu(comm: &Communicator) -> Option<Gpu> {
    let context = comm.device().ok()?;
    Some(Gpu {
        name: context.name().ok()?,
        uuid: uuid(&context.uuid().ok()?.bytes.map(|byte| byte as u8)),
        memory_bytes: context.total_mem().ok()? as u64,
        driver: driver(),
    })
}

#[cfg(not(feature = "cuda"))]
fn own_gpu(_comm: &Communicator) -> Option<Gpu> {
    None
}

/// As `nvidia-smi -L` writes it.
#[cfg_attr(not(feature = "cuda"), allow(dead_code, reason = "there are no GPUs"))]
fn uuid(bytes: &[u8; 16]) -> String {
    let digits: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    let parts = [
        &digits[..8],
        &digits[8..12],
        &digits[12..16],
        &digits[16..20],
        &digits[20..],
    ];
    format!("GPU-{}", parts.join("-"))
}

/// The version of the kernel's module.
#[cfg_attr(not(feature = "cuda"), allow(dead_code, reason = "there are no GPUs"))]
fn driver() -> String {
    let text = std::fs::read_to_string("/proc/driver/nvidia/version").unwrap_or_default();
    driver_in(&text).unwrap_or_else(|| "unknown".to_owned())
}

/// The first word that is a version in what the module says of itself.
#[cfg_attr(not(feature = "cuda"), allow(dead_code, reason = "there are no GPUs"))]
fn driver_in(text: &str) -> Option<String> {
    let is_version = |word: &&str| {
        let mut parts = word.split('.');
        let are_numbers =
            parts.all(|part| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit()));
        word.contains('.') && are_numbers
    };
    let words = text.lines().next()?.split_whitespace();
    words.into_iter().find(is_version).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifiers_are_written_as_the_tools_do() {
        let bytes = std::array::from_fn(|at| (at * 17) as u8);
        assert_eq!(uuid(&bytes), "GPU-00112233-4455-6677-8899-aabbccddeeff");
    }

    #[test]
    fn the_module_tells_its_version() {
        let closed = "NVRM version: NVIDIA UNIX x86_64 Kernel Module  535.104.05  Sat Aug 19 01:15:15 UTC 2023\nGCC 12.1\n";
        assert_eq!(driver_in(closed).as_deref(), Some("535.104.05"));
        let open = "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  570.86.15  Release Build\n";
        assert_eq!(driver_in(open).as_deref(), Some("570.86.15"));
        assert_eq!(driver_in(""), None);
    }
}
