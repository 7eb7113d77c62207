//! The GPUs that the files of NVIDIA's driver show, and which of them a program sees: what can be told without its library.

use std::fs;
use std::path::{Path, PathBuf};

use crate::launcher::surroundings::numbers_in;
use crate::nvidia::{driver_version, numa_node};
use crate::overview::Gpu;

/// What a program may see of the GPUs; CUDA's own variable.
pub const VISIBLE_GPUS: &str = "CUDA_VISIBLE_DEVICES";

/// Which GPUs of the node a step of Slurm has, counted over all of the node.
const GPUS_OF_STEP: &str = "SLURM_STEP_GPUS";

/// Those of a host, whose files are below a root directory, in the order of their places on the bus.
pub fn gpus(root: &Path, host: &str) -> Vec<Gpu> {
    let entries = fs::read_dir(root.join("proc/driver/nvidia/gpus"));
    let entries = entries.into_iter().flatten().flatten();
    let mut places: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
    places.sort();
    let driver = driver_version(root).unwrap_or_else(|| "unknown".to_owned());
    let gpu = |(number, place): (usize, PathBuf)| {
        let text = fs::read_to_string(place.join("information")).ok()?;
        let field = |name: &str| {
            let value = text
                .lines()
                .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
            value.map(|value| value.trim().to_owned())
        };
        Some(Gpu {
            host: host.to_owned(),
            number,
            name: field("Model")?,
            uuid: field("GPU UUID").unwrap_or_default(),
            memory_bytes: None,
            driver: driver.clone(),
            numa_node: field("Bus Location").and_then(|bus| numa_node(root, &bus)),
        })
    };
    places.into_iter().enumerate().filter_map(gpu).collect()
}

/// Those of this host, whose files are below a root directory, that a program sees, in the order in which CUDA counts
/// those of one model: that of the PCI bus. `visible` is the value of [`VISIBLE_GPUS`] for it.
pub fn visible_gpus(root: &Path, visible: Option<&str>) -> Vec<Gpu> {
    let of_step = std::env::var(GPUS_OF_STEP).ok();
    visible_in_step(gpus(root, ""), visible, of_step.as_deref())
}

fn visible_in_step(all: Vec<Gpu>, visible: Option<&str>, of_step: Option<&str>) -> Vec<Gpu> {
    let mut all = all;
    if let Some(numbers) = of_step.and_then(numbers_in) {
        let of_number = |number: usize| all.get(number).cloned();
        all = numbers.into_iter().filter_map(of_number).collect();
    }
    match visible {
        // Slurm counts over the node where it does not hide the other GPUs, and over those of the step where it does.
        Some(visible) if of_step != Some(visible) => visible_of(&all, visible),
        _ => all,
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

#[cfg(test)]
mod tests {
    use super::*;

    fn write(root: &Path, path: &str, contents: &str) {
        let file = root.join(path);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, contents).unwrap();
    }

    /// A GPU on each of two nodes, and one on a node that is not known.
    fn machine() -> tempfile::TempDir {
        let directory = tempfile::tempdir().unwrap();
        for (address, uuid, node) in [
            ("0000:3B:00.0", "GPU-0a", "1"),
            ("0000:1A:00.0", "GPU-1b", "0"),
            ("0000:5E:00.0", "GPU-1c", "-1"),
        ] {
            let information = format!("Model: \t NVIDIA\nGPU UUID: \t {uuid}\nBus Location: \t {address}\n");
            let file = format!("proc/driver/nvidia/gpus/{address}/information");
            write(directory.path(), &file, &information);
            let file = format!("sys/bus/pci/devices/{}/numa_node", address.to_lowercase());
            write(directory.path(), &file, &format!("{node}\n"));
        }
        directory
    }

    #[test]
    fn gpus_are_counted_as_cuda_does() {
        let machine = machine();
        let nodes_in = |visible, of_step| {
            let gpus = visible_in_step(gpus(machine.path(), "a"), visible, of_step);
            gpus.iter().map(|gpu| gpu.numa_node).collect::<Vec<_>>()
        };
        let nodes = |visible| nodes_in(visible, None);
        assert_eq!(nodes(None), [Some(0), Some(1), None]);
        assert_eq!(nodes(Some("1, 0")), [Some(1), Some(0)]);
        assert_eq!(nodes(Some("2,-1,0")), [None]);
        assert_eq!(nodes(Some("GPU-1c,GPU-0")), [None, Some(1)]);
        assert_eq!(nodes(Some("GPU-typo,GPU-0")), []);
        assert_eq!(nodes(Some("MIG-1,MIG-2")).len(), 2);
        assert_eq!(nodes(Some("")), []);
        assert_eq!(nodes(Some("7")), []);
        assert_eq!(nodes_in(Some("1,2"), Some("1,2")), [Some(1), None]);
        assert_eq!(nodes_in(Some("0,1"), Some("1,2")), [Some(1), None]);
        assert_eq!(nodes_in(None, Some("1-2")), [Some(1), None]);
        assert_eq!(gpus(Path::new("/absent"), "a"), []);
    }
}
