//! What this host has, as its kernel tells: GPUs, NUMA nodes and cores.

use std::fs;
use std::path::Path;

use crate::launcher::surroundings::numbers_in;

/// What a program may see of the GPUs; CUDA's own variable.
pub const VISIBLE_GPUS: &str = "CUDA_VISIBLE_DEVICES";

/// Which GPUs of the node a step of Slurm has, counted over all of the node.
const GPUS_OF_STEP: &str = "SLURM_STEP_GPUS";

/// A GPU of NVIDIA.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gpu {
    uuid: String,
    /// The NUMA node of its place on the PCI bus, where the kernel knows it.
    pub numa_node: Option<usize>,
}

/// The GPUs that a program sees, in the order in which CUDA counts those of one model: that of the PCI bus. `visible` is
/// the value of [`VISIBLE_GPUS`] for it.
pub fn visible_gpus(visible: Option<&str>) -> Vec<Gpu> {
    let of_step = std::env::var(GPUS_OF_STEP).ok();
    gpus(Path::new("/"), visible, of_step.as_deref())
}

fn gpus(root: &Path, visible: Option<&str>, of_step: Option<&str>) -> Vec<Gpu> {
    let entries = fs::read_dir(root.join("proc/driver/nvidia/gpus"));
    let mut addresses: Vec<String> = entries
        .into_iter()
        .flatten()
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .collect();
    addresses.sort();
    let mut all: Vec<Gpu> = addresses.iter().map(|address| gpu(root, address)).collect();
    if let Some(numbers) = of_step.and_then(numbers_in) {
        all = numbers
            .into_iter()
            .filter_map(|number| all.get(number).cloned())
            .collect();
    }
    match visible {
        // Slurm counts over the node where it does not hide the other GPUs, and over those of the step where it does.
        Some(visible) if of_step != Some(visible) => visible_of(&all, visible),
        _ => all,
    }
}

fn gpu(root: &Path, address: &str) -> Gpu {
    let read = |path: String| fs::read_to_string(root.join(path)).unwrap_or_default();
    let information = read(format!("proc/driver/nvidia/gpus/{address}/information"));
    let uuid = information
        .lines()
        .find_map(|line| line.strip_prefix("GPU UUID:"))
        .unwrap_or_default();
    // Minus one, where it is not known.
    let numa_node = read(format!(
        "sys/bus/pci/devices/{}/numa_node",
        address.to_lowercase()
    ));
    Gpu {
        uuid: uuid.trim().to_owned(),
        numa_node: numa_node.trim().parse().ok(),
    }
}

/// Those that CUDA shows for such a value of its variable: up to the first word that is none of them.
fn visible_of(all: &[Gpu], visible: &str) -> Vec<Gpu> {
    let of_word = |word: &str| match word.parse::<usize>() {
        Ok(number) => all.get(number),
        // Parts of a GPU are not told apart.
        Err(_) if word.starts_with("MIG-") => all.first(),
        Err(_) => all
            .iter()
            .find(|gpu| !word.is_empty() && gpu.uuid.starts_with(word)),
    };
    visible
        .split(',')
        .map_while(|word| of_word(word.trim()).cloned())
        .collect()
}

/// The logical CPUs of each NUMA node, in the order of their numbers; none, where the kernel knows no nodes. `root` is
/// `/`, but for tests.
pub fn numa_nodes(root: &Path) -> Vec<(usize, Vec<usize>)> {
    let entries = fs::read_dir(root.join("sys/devices/system/node"));
    let mut nodes: Vec<(usize, Vec<usize>)> = entries
        .into_iter()
        .flatten()
        .filter_map(|entry| {
            let entry = entry.ok()?;
            let number = entry.file_name().to_str()?.strip_prefix("node")?.parse().ok()?;
            let list = fs::read_to_string(entry.path().join("cpulist")).ok()?;
            Some((number, numbers_in(list.trim()).unwrap_or_default()))
        })
        .collect();
    nodes.sort();
    nodes
}

/// How many cores are online, each with one or more logical CPUs.
pub fn cores(root: &Path) -> Option<usize> {
    let cpus = root.join("sys/devices/system/cpu");
    let online = fs::read_to_string(cpus.join("online")).ok()?;
    let mut cores: Vec<String> = numbers_in(online.trim())?
        .into_iter()
        .map(|cpu| fs::read_to_string(cpus.join(format!("cpu{cpu}/topology/thread_siblings_list"))).ok())
        .collect::<Option<_>>()?;
    cores.sort();
    cores.dedup();
    Some(cores.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(root: &Path, path: &str, contents: &str) {
        let file = root.join(path);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, contents).unwrap();
    }

    /// Two nodes of two cores with two logical CPUs each, and a GPU on each node and on one that is not known.
    fn machine() -> tempfile::TempDir {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path();
        for (address, uuid, node) in [
            ("0000:3B:00.0", "GPU-0a", "1"),
            ("0000:1A:00.0", "GPU-1b", "0"),
            ("0000:5E:00.0", "GPU-1c", "-1"),
        ] {
            let information = format!("Model: \t NVIDIA\nGPU UUID: \t {uuid}\nBus Location: \t {address}\n");
            write(
                root,
                &format!("proc/driver/nvidia/gpus/{address}/information"),
                &information,
            );
            write(
                root,
                &format!("sys/bus/pci/devices/{}/numa_node", address.to_lowercase()),
                &format!("{node}\n"),
            );
        }
        write(root, "sys/devices/system/node/node1/cpulist", "2-3,6-7\n");
        write(root, "sys/devices/system/node/node0/cpulist", "0-1,4-5\n");
        write(root, "sys/devices/system/node/possible", "0-1\n");
        write(root, "sys/devices/system/cpu/online", "0-7\n");
        for cpu in 0..8 {
            let siblings = format!("{},{}\n", cpu % 4, cpu % 4 + 4);
            write(
                root,
                &format!("sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list"),
                &siblings,
            );
        }
        directory
    }

    #[test]
    fn gpus_are_counted_as_cuda_does() {
        let machine = machine();
        let nodes_in = |visible, of_step| {
            let gpus = gpus(machine.path(), visible, of_step);
            gpus.iter().map(|gpu| gpu.numa_node).collect::<Vec<_>>()
        };
        let nodes = |visible| nodes_in(visible, None);
        assert_eq!(nodes(None), [Some(0), Some(1), None]);
        assert_eq!(nodes(Some("1, 0")), [Some(1), Some(0)]);
        assert_eq!(nodes(Some("2,-1,0")), [None]);
        assert_eq!(nodes(Some("GPU-1c,GPU-0")), [None, Some(1)]);
        assert_eq!(nodes(Some("MIG-1,MIG-2")).len(), 2);
        assert_eq!(nodes(Some("")), []);
        assert_eq!(nodes(Some("7")), []);
        assert_eq!(nodes_in(Some("1,2"), Some("1,2")), [Some(1), None]);
        assert_eq!(nodes_in(Some("0,1"), Some("1,2")), [Some(1), None]);
        assert_eq!(nodes_in(None, Some("1-2")), [Some(1), None]);
        assert_eq!(gpus(Path::new("/absent"), None, None), []);
    }

    #[test]
    fn nodes_and_cores_are_those_of_the_kernel() {
        let machine = machine();
        assert_eq!(
            numa_nodes(machine.path()),
            [(0, vec![0, 1, 4, 5]), (1, vec![2, 3, 6, 7])]
        );
        assert_eq!(cores(machine.path()), Some(4));
        assert_eq!(numa_nodes(Path::new("/absent")), []);
        assert_eq!(cores(Path::new("/absent")), None);
        assert!(cores(Path::new("/")).unwrap() > 0);
    }
}
