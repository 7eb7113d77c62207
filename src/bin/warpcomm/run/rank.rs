//! What a rank does on its own host before it becomes its program: launchers know nothing about GPUs, and nobody
//! knows the cores of another host.

use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, ExitCode};

use clap::{Args, ValueEnum};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

use super::host::{cores, numa_nodes};
use crate::gpu_files::{VISIBLE_GPUS, visible_gpus};
use crate::launcher::Job;
use crate::units::count;

/// The name of the command, which nobody but `warpcomm run` uses.
const COMMAND: &str = "bind-rank";

/// What launchers call a rank's number on its node, as the library reads it: Open MPI, Hydra (MPICH, Intel MPI),
/// MVAPICH2, PALS, Flux, Slurm.
const LOCAL_RANK_VARIABLES: [&str; 6] = [
    "OMPI_COMM_WORLD_LOCAL_RANK",
    "MPI_LOCALRANKID",
    "MV2_COMM_WORLD_LOCAL_RANK",
    "PALS_LOCAL_RANKID",
    "FLUX_TASK_LOCAL_ID",
    "SLURM_LOCALID",
];

/// What the rank does.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Policy {
    /// It binds itself to its NUMA node.
    Numa,
    /// It makes sure that the host has a core and a GPU for it, and sees no other GPU.
    Exclusive,
}

/// Bind this rank to cores of its host, and become its program
#[derive(Args)]
pub struct Arguments {
    policy: Policy,

    /// Do not look for GPUs, since those of the rank are simulated, and how many there are
    #[arg(long)]
    simulated: Option<u8>,

    /// The program and its arguments
    #[arg(required = true, trailing_var_arg = true)]
    command: Vec<OsString>,
}

/// Has every rank of a job begin with this.
pub fn put_before(job: &mut Job, policy: Policy, simulated: Option<u8>) -> Result<(), String> {
    let own = std::env::current_exe().map_err(|error| error.to_string())?;
    let name = match policy {
        Policy::Numa => "numa",
        Policy::Exclusive => "exclusive",
    };
    let mut words: Vec<OsString> = [COMMAND, name].map(OsString::from).to_vec();
    if let Some(gpus) = simulated {
        words.push(format!("--simulated={gpus}").into());
    }
    words.push("--".into());
    job.run_by(own.as_os_str(), &words);
    Ok(())
}

/// Becomes the program; returns only after a failure.
pub fn run(arguments: &Arguments) -> ExitCode {
    let Err(message) = become_program(arguments);
    eprintln!("warpcomm run: {message}");
    ExitCode::FAILURE
}

fn become_program(arguments: &Arguments) -> Result<std::convert::Infallible, String> {
    let local_rank = LOCAL_RANK_VARIABLES
        .iter()
        .find_map(|name| std::env::var(name).ok()?.trim().parse().ok())
        .ok_or("the launcher does not tell a rank its number on its node, which --bind needs")?;
    let root = Path::new("/");
    let visible = std::env::var(VISIBLE_GPUS).ok();
    let gpu_nodes: Vec<Option<u32>> = match arguments.simulated {
        Some(gpus) => vec![None; usize::from(gpus)],
        None => visible_gpus(root, visible.as_deref())
            .iter()
            .map(|gpu| gpu.numa_node)
            .collect(),
    };
    let mut own_gpu = None;
    match arguments.policy {
        Policy::Numa => {
            let allowed =
                sched_getaffinity(None).map_err(|error| format!("cannot ask for the cores: {error}"))?;
            let allowed: Vec<usize> = (0..CpuSet::MAX_CPU).filter(|&cpu| allowed.is_set(cpu)).collect();
            let mut own = CpuSet::new();
            for cpu in cpus_of_node(local_rank, &gpu_nodes, &numa_nodes(root), &allowed)? {
                own.set(cpu);
            }
            sched_setaffinity(None, &own)
                .map_err(|error| format!("cannot bind a rank to its cores: {error}"))?;
        }
        Policy::Exclusive => {
            let gpus = Some(gpu_nodes.len()).filter(|&gpus| gpus > 0);
            enough_for(local_rank + 1, cores(root), gpus)?;
            own_gpu = gpus.map(|_| word_of_gpu(local_rank, visible.as_deref()));
        }
    }
    let (program, program_arguments) = arguments.command.split_first().ok_or("no program is given")?;
    let mut command = Command::new(program);
    command.args(program_arguments);
    if let Some(own_gpu) = own_gpu {
        command.env(VISIBLE_GPUS, own_gpu);
    }
    let error = command.exec();
    Err(format!("cannot start `{}`: {error}", program.to_string_lossy()))
}

/// The logical CPUs, of those that are allowed, on the NUMA node of the rank's GPU; where there is none, or where its
/// node is not known, on a node that has any, round robin.
fn cpus_of_node(
    local_rank: usize,
    gpu_nodes: &[Option<u32>],
    nodes: &[(u32, Vec<usize>)],
    allowed: &[usize],
) -> Result<Vec<usize>, String> {
    let usable: Vec<(u32, Vec<usize>)> = nodes
        .iter()
        .map(|(node, cpus)| {
            (
                *node,
                cpus.iter().copied().filter(|cpu| allowed.contains(cpu)).collect(),
            )
        })
        .filter(|(_, cpus): &(u32, Vec<usize>)| !cpus.is_empty())
        .collect();
    let gpu = local_rank.checked_rem(gpu_nodes.len());
    let node_of_gpu = gpu.and_then(|gpu| gpu_nodes[gpu]);
    if let (Some(gpu), Some(node)) = (gpu, node_of_gpu) {
        let found = usable.into_iter().find(|(number, _)| *number == node);
        return found.map(|(_, cpus)| cpus).ok_or_else(|| {
            format!(
                "GPU {gpu} is on NUMA node {node}, of whose cores this job may use none; use another --bind"
            )
        });
    }
    Ok(match local_rank.checked_rem(usable.len()) {
        Some(at) => usable[at].1.clone(),
        None => allowed.to_vec(),
    })
}

/// How [`VISIBLE_GPUS`] calls the rank's GPU, where the program sees those of such a value.
fn word_of_gpu(local_rank: usize, visible: Option<&str>) -> String {
    let word = visible.and_then(|visible| visible.split(',').nth(local_rank));
    word.map_or_else(|| local_rank.to_string(), |word| word.trim().to_owned())
}

/// Whether so many ranks of one host have a core and, where it has GPUs, a GPU of their own each.
///
/// # Errors
///
/// When they do not; the message says how many there are.
pub fn enough_for(ranks: usize, cores: Option<usize>, gpus: Option<usize>) -> Result<(), String> {
    let lacks = |number: usize, what: &str, else_: &str| {
        Err(format!(
            "--bind exclusive: {ranks} ranks on one host, which has {}{else_}; start fewer, or share by --bind round-robin",
            count(number, what)
        ))
    };
    match (cores, gpus) {
        (Some(cores), _) if ranks > cores => lacks(cores, "core", ""),
        (_, Some(gpus)) if ranks > gpus => lacks(
            gpus,
            "GPU",
            &format!(" (or none, where --env {VISIBLE_GPUS}= says that the program uses none)"),
        ),
        _ => Ok(()),
    }
}

/// How many GPUs the ranks of a job on this host see, if any.
pub fn number_of_gpus(environment: &[(OsString, OsString)]) -> Option<usize> {
    let said = environment.iter().rfind(|(name, _)| name == VISIBLE_GPUS);
    let visible = said
        .map(|(_, value)| value.clone())
        .or_else(|| std::env::var_os(VISIBLE_GPUS));
    let visible = visible.as_ref().map(|visible| visible.to_string_lossy());
    let gpus = visible_gpus(Path::new("/"), visible.as_deref());
    (!gpus.is_empty()).then_some(gpus.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranks_are_on_the_node_of_their_gpu() {
        let nodes = [(0, vec![0, 1]), (1, vec![2, 3])];
        let all = [0, 1, 2, 3];
        let gpu_nodes = [Some(0), Some(0), Some(1)];
        let of = |rank| cpus_of_node(rank, &gpu_nodes, &nodes, &all).unwrap();
        assert_eq!([of(0), of(1), of(2), of(3)], [[0, 1], [0, 1], [2, 3], [0, 1]]);
        assert_eq!(cpus_of_node(2, &gpu_nodes, &nodes, &[1, 2]).unwrap(), [2]);
        let nowhere = cpus_of_node(2, &gpu_nodes, &nodes, &[0, 1]).unwrap_err();
        assert!(nowhere.starts_with("GPU 2 is on NUMA node 1, "), "{nowhere}");
    }

    #[test]
    fn ranks_without_a_gpu_are_spread_over_nodes() {
        let nodes = [(0, vec![0, 1]), (2, vec![2, 3]), (3, vec![])];
        let of = |rank, gpus: &[Option<u32>], allowed: &[usize]| {
            cpus_of_node(rank, gpus, &nodes, allowed).unwrap()
        };
        assert_eq!(of(0, &[], &[0, 1, 2, 3]), [0, 1]);
        assert_eq!(of(1, &[], &[0, 1, 2, 3]), [2, 3]);
        assert_eq!(of(2, &[], &[0, 1, 2, 3]), [0, 1]);
        assert_eq!(of(1, &[], &[0, 1]), [0, 1]);
        assert_eq!(of(1, &[Some(0), None], &[0, 1, 2, 3]), [2, 3]);
        assert_eq!(cpus_of_node(5, &[], &[], &[7, 8]).unwrap(), [7, 8]);
    }

    #[test]
    fn a_gpu_is_called_as_among_those_that_are_seen() {
        assert_eq!(word_of_gpu(1, None), "1");
        assert_eq!(word_of_gpu(1, Some("4, 6")), "6");
        assert_eq!(word_of_gpu(0, Some("GPU-1c,GPU-0a")), "GPU-1c");
    }

    #[test]
    fn what_is_exclusive_must_suffice() {
        assert_eq!(enough_for(2, Some(2), Some(2)), Ok(()));
        assert_eq!(enough_for(9, None, None), Ok(()));
        let cores = enough_for(3, Some(2), Some(1)).unwrap_err();
        assert!(
            cores.contains("3 ranks on one host, which has 2 cores;"),
            "{cores}"
        );
        let gpus = enough_for(2, Some(2), Some(1)).unwrap_err();
        assert!(gpus.contains("2 ranks on one host, which has 1 GPU ("), "{gpus}");
    }
}
