//! Where the launcher will run: how many ranks fit, and as which user.

use std::collections::BTreeSet;
use std::num::NonZeroUsize;

use super::Job;

/// Variables that say that a batch system or a host file gives the hosts, in a form not read here.
const HOSTS_FROM_ELSEWHERE: [&str; 5] = [
    "PBS_NODEFILE",
    "LSB_DJOB_HOSTFILE",
    "PE_HOSTFILE",
    "OMPI_MCA_orte_default_hostfile",
    "PRTE_MCA_prte_default_hostfile",
];

/// What a launcher's options depend on beside the job.
#[derive(Clone, Copy, Debug)]
pub struct Surroundings {
    /// How many ranks can run without sharing a core; `None` where only the launcher knows.
    pub slots: Option<NonZeroUsize>,
    /// Whether the slots are those of a Slurm allocation.
    pub in_slurm_allocation: bool,
    /// Whether this process is part of a step of Slurm's, which has cores of the allocation to itself.
    pub in_slurm_step: bool,
    /// Whether the effective user is root.
    pub root: bool,
}

impl Surroundings {
    /// The surroundings of a launcher that this process starts.
    pub fn of_this_process() -> Self {
        let in_slurm_allocation = in_slurm_allocation();
        let slots = if in_slurm_allocation {
            slots_of_allocation()
        } else {
            slots_of_this_host()
        };
        Self {
            slots,
            in_slurm_allocation,
            in_slurm_step: in_slurm_step(),
            root: effective_user_is_root(),
        }
    }

    /// How many ranks of `job` can run without sharing a core, where it is known.
    pub fn slots_for(&self, job: &Job) -> Option<NonZeroUsize> {
        let is_elsewhere = job.hosts.as_ref().is_some_and(|hosts| !hosts.are_here());
        self.slots.filter(|_| self.in_slurm_allocation || !is_elsewhere)
    }

    /// Whether ranks of `job` have to share cores, as far as it is known.
    pub fn are_crowded_by(&self, job: &Job) -> bool {
        self.slots_for(job).is_some_and(|slots| job.size() > slots)
    }
}

/// Whether this process runs inside a Slurm allocation.
pub fn in_slurm_allocation() -> bool {
    std::env::var_os("SLURM_JOB_ID").is_some()
}

/// Whether the ranks of a job here may be on several nodes, as far as the batch system says.
pub fn is_on_several_nodes() -> bool {
    let nodes = std::env::var("SLURM_JOB_NUM_NODES").ok();
    nodes.and_then(|nodes| nodes.parse().ok()).unwrap_or(1_u32) > 1
}

/// Whether this process is part of a step that has cores to itself, as a shell by `srun --pty`; that of salloc, and others
/// whose numbers are not normal ones (slurm.h), have none.
fn in_slurm_step() -> bool {
    const MAX_NORMAL_STEP_ID: u32 = 0xffff_fff0;
    let step = std::env::var("SLURM_STEP_ID").ok();
    step.and_then(|step| step.parse::<u32>().ok())
        .is_some_and(|step| step <= MAX_NORMAL_STEP_ID)
}

fn slots_of_allocation() -> Option<NonZeroUsize> {
    let tasks = std::env::var("SLURM_NTASKS")
        .ok()
        .and_then(|tasks| tasks.parse().ok());
    // Without --ntasks Slurm sets only this one, which is also what Open MPI counts as slots.
    tasks.or_else(|| tasks_on_all_nodes(&std::env::var("SLURM_TASKS_PER_NODE").ok()?))
}

fn slots_of_this_host() -> Option<NonZeroUsize> {
    if HOSTS_FROM_ELSEWHERE
        .iter()
        .any(|name| std::env::var_os(name).is_some())
    {
        return None;
    }
    let threads = std::thread::available_parallelism().ok()?;
    Some(usable_cores().map_or(threads, |cores| cores.min(threads)))
}

/// The sum over a list like `4(x2),1`: four tasks on each of two nodes, one on a third.
pub fn tasks_on_all_nodes(list: &str) -> Option<NonZeroUsize> {
    let tasks = list.split(',').map(|group| match group.split_once("(x") {
        Some((tasks, nodes)) => {
            let nodes: usize = nodes.strip_suffix(')')?.parse().ok()?;
            tasks.parse::<usize>().ok()?.checked_mul(nodes)
        }
        None => group.parse().ok(),
    });
    NonZeroUsize::new(tasks.sum::<Option<usize>>()?)
}

/// How many cores this process may use. Open MPI counts cores, `available_parallelism` hardware threads.
fn usable_cores() -> Option<NonZeroUsize> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let allowed = status
        .lines()
        .find_map(|line| line.strip_prefix("Cpus_allowed_list:"))?;
    let cores: BTreeSet<String> = numbers_in(allowed.trim())?
        .into_iter()
        .map(|cpu| {
            let siblings = format!("/sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list");
            std::fs::read_to_string(siblings).ok()
        })
        .collect::<Option<_>>()?;
    NonZeroUsize::new(cores.len())
}

/// The numbers of a list like `0-2,8`.
pub fn numbers_in(list: &str) -> Option<Vec<usize>> {
    let mut numbers = Vec::new();
    for range in list.split(',') {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        numbers.extend(first.parse::<usize>().ok()?..=last.parse().ok()?);
    }
    Some(numbers)
}

fn effective_user_is_root() -> bool {
    // The owner of /proc/self would be simpler, but that is root for every process that may not be traced.
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let users = status.lines().find_map(|line| line.strip_prefix("Uid:"));
    users.and_then(|users| users.split_whitespace().nth(1)) == Some("0")
}
