//! What the system allows processes: memory, processors, and each other.

use std::num::NonZeroUsize;
use std::path::Path;

use super::report::Finding;
use super::system::System;
use crate::launcher::surroundings::{Surroundings, numbers_in};
use crate::units::memory;

/// Below so many bytes adapters of networks, and drivers of GPUs on some systems, cannot lock the buffers of a job.
const LEAST_LOCKED: u64 = 64 << 20;

/// What containers have by default, which MPI and NCCL run out of.
const SMALL_SHARED: u64 = 64 << 20;

/// How much memory a process may lock.
pub fn locked_memory(system: &System) -> Finding {
    let check = "locked memory";
    let limit = system.field("/proc/self/limits", "Max locked memory");
    let Some(soft) = limit.as_deref().and_then(|limit| limit.split_whitespace().next()) else {
        return Finding::note(check, "the system does not tell the limit");
    };
    let has_network = !system.entries("/sys/class/infiniband").is_empty();
    let has_gpu = system.exists("/dev/nvidiactl");
    match soft.parse::<u64>() {
        Ok(bytes) if bytes < LEAST_LOCKED && (has_network || has_gpu) => Finding::warning(
            check,
            format!(
                "a process may lock {}, and buffers of networks and GPUs are locked",
                memory(bytes)
            ),
            "ulimit -l unlimited; for good: `* - memlock unlimited` in /etc/security/limits.conf, --ulimit memlock=-1 of \
             containers, PropagateResourceLimitsExcept=MEMLOCK of Slurm",
        ),
        Ok(bytes) => Finding::ok(check, format!("{} a process", memory(bytes))),
        Err(_) => Finding::ok(check, soft.to_owned()),
    }
}

/// Where MPI libraries put what processes of a node share.
pub fn shared_memory(system: &System) -> Finding {
    let check = "shared memory";
    let remedy = "mount a tmpfs there: --shm-size=1g or --ipc=host of containers";
    if !system.path("/dev/shm").is_dir() {
        return Finding::error(
            check,
            "/dev/shm is missing, through which MPI sends on one node",
            remedy,
        );
    }
    match shared_bytes(system) {
        Some(bytes) if bytes <= SMALL_SHARED => Finding::warning(
            check,
            format!("/dev/shm has {}, which MPI may run out of", memory(bytes)),
            remedy,
        ),
        Some(bytes) => Finding::ok(check, format!("/dev/shm has {}", memory(bytes))),
        None => Finding::ok(check, "/dev/shm is there"),
    }
}

/// The size that the file system was mounted with; by default it is half of the memory.
fn shared_bytes(system: &System) -> Option<u64> {
    let mounts = system.read("/proc/self/mounts")?;
    let options = mounts.lines().rev().find_map(|line| {
        let fields: Vec<&str> = line.split(' ').collect();
        (fields.get(1) == Some(&"/dev/shm")).then(|| fields.get(3).copied().unwrap_or_default().to_owned())
    })?;
    let Some(size) = options.split(',').find_map(|option| option.strip_prefix("size=")) else {
        let memory = system.field("/proc/meminfo", "MemTotal:")?;
        let kilobytes: u64 = memory.split_whitespace().next()?.parse().ok()?;
        return Some(kilobytes * 512);
    };
    match size.strip_suffix('k') {
        Some(kilobytes) => Some(kilobytes.parse::<u64>().ok()? << 10),
        None => size.parse().ok(),
    }
}

/// Whether there are more ranks than cores.
pub fn cores(ranks: Option<NonZeroUsize>) -> Option<Finding> {
    let check = "cores";
    let slots = Surroundings::of_this_process().slots;
    match (ranks, slots) {
        (Some(ranks), Some(slots)) if ranks > slots => Some(Finding::warning(
            check,
            format!("{ranks} ranks would share {slots} cores: each waits for others to be given one"),
            format!("start at most {slots} ranks on this host, or have the job on more hosts"),
        )),
        (Some(ranks), Some(slots)) => Some(Finding::ok(check, format!("{slots} for {ranks} ranks"))),
        (None, Some(slots)) => Some(Finding::ok(check, slots.to_string())),
        (_, None) => None,
    }
}

/// Whether the control group gives less time than there are processors.
pub fn processor_time(system: &System) -> Finding {
    let check = "processor time";
    let allowed = system.field("/proc/self/status", "Cpus_allowed_list:");
    let Some(processors) = allowed.as_deref().and_then(numbers_in) else {
        return Finding::note(check, "the system does not tell which processors may be used");
    };
    let processors = processors.len();
    match quota(system) {
        Some(quota) if quota < processors as f64 => Finding::warning(
            check,
            format!(
                "the control group gives the time of {quota:.1} processors, and {processors} may be used: ranks that need \
                 more are halted"
            ),
            format!(
                "start at most {} ranks here, or ask for more: --cpus of containers, resources.limits.cpu of Kubernetes",
                (quota as usize).max(1)
            ),
        ),
        _ => Finding::ok(check, format!("that of {processors} processors")),
    }
}

/// The time of how many processors all control groups of this process leave it.
fn quota(system: &System) -> Option<f64> {
    let groups = system.read("/proc/self/cgroup")?;
    let mut least: Option<f64> = None;
    for line in groups.lines() {
        let mut fields = line.splitn(3, ':').skip(1);
        let (controllers, group) = (fields.next()?, fields.next()?);
        let mount = match controllers {
            "" => "/sys/fs/cgroup",
            list if list.split(',').any(|controller| controller == "cpu") => "/sys/fs/cgroup/cpu",
            _ => continue,
        };
        let group = Path::new(group.trim_start_matches('/'));
        for ancestor in group.ancestors() {
            let directory = Path::new(mount).join(ancestor);
            let found = unified(system, &directory).or_else(|| separate(system, &directory));
            least = match (least, found) {
                (Some(least), Some(found)) => Some(least.min(found)),
                (least, found) => least.or(found),
            };
        }
    }
    least
}

/// `cpu.max` of version 2: `200000 100000` or `max 100000`.
fn unified(system: &System, directory: &Path) -> Option<f64> {
    let text = system.line(directory.join("cpu.max"))?;
    let (quota, period) = text.split_once(' ')?;
    ratio(quota, period)
}

/// The two files of version 1; a quota of -1 is none.
fn separate(system: &System, directory: &Path) -> Option<f64> {
    let quota = system.line(directory.join("cpu.cfs_quota_us"))?;
    ratio(&quota, &system.line(directory.join("cpu.cfs_period_us"))?)
}

fn ratio(quota: &str, period: &str) -> Option<f64> {
    let (quota, period): (f64, f64) = (quota.parse().ok()?, period.parse().ok()?);
    (quota > 0.0 && period > 0.0).then(|| quota / period)
}

/// Whether processes of one user may look into each other, as CUDA IPC and MPI's copies without a buffer between do.
pub fn processes(system: &System) -> Finding {
    let check = "processes";
    let scope = system.line("/proc/sys/kernel/yama/ptrace_scope");
    let is_container = system.exists("/.dockerenv") || system.exists("/run/.containerenv");
    match scope.as_deref() {
        Some(scope @ ("2" | "3")) => Finding::warning(
            check,
            format!(
                "kernel.yama.ptrace_scope is {scope}: processes cannot copy from each other, and CUDA IPC may be refused"
            ),
            "sysctl kernel.yama.ptrace_scope=1, or 0",
        ),
        _ if is_container => Finding::note(
            check,
            "this is a container: ranks in others on this host share no memory with it, and use no CUDA IPC, unless all are \
             started with --ipc=host --pid=host",
        ),
        _ => Finding::ok(check, "those of one user can share memory"),
    }
}
