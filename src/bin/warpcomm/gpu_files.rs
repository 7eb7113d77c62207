//! The GPUs that the files of NVIDIA's driver show: what can be told of them without its library.

use std::fs;
use std::path::{Path, PathBuf};

use crate::nvidia::{driver_version, numa_node};
use crate::overview::Gpu;

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
