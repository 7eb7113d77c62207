//! What this host has, as its kernel tells: NUMA nodes and cores.

use std::fs;
use std::path::Path;

use crate::launcher::surroundings::numbers_in;

/// The logical CPUs of each NUMA node, in the order of their numbers; none, where the kernel knows no nodes. `root` is
/// `/`, but for tests.
pub fn numa_nodes(root: &Path) -> Vec<(u32, Vec<usize>)> {
    let entries = fs::read_dir(root.join("sys/devices/system/node"));
    let mut nodes: Vec<(u32, Vec<usize>)> = entries
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

    /// Two nodes of two cores with two logical CPUs each.
    fn machine() -> tempfile::TempDir {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path();
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
