//! What the files of NVIDIA's driver tell, without its library.

use std::fs;
use std::path::Path;

/// The version of the driver's kernel module, below a root directory.
pub fn driver_version(root: &Path) -> Option<String> {
    let text = fs::read_to_string(root.join("proc/driver/nvidia/version")).ok()?;
    version(&text)
}

/// `535.104.05` of `NVRM version: NVIDIA UNIX x86_64 Kernel Module  535.104.05  Sat Aug 19 ...`.
fn version(text: &str) -> Option<String> {
    let line = text.lines().find(|line| line.starts_with("NVRM version:"))?;
    let is_version = |word: &&str| {
        word.contains('.')
            && word
                .split('.')
                .all(|part| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit()))
    };
    line.split_whitespace().find(is_version).map(str::to_owned)
}

/// The NUMA node of a device on the PCI bus, if the machine has several.
pub fn numa_node(root: &Path, bus: &str) -> Option<u32> {
    let file = root
        .join("sys/bus/pci/devices")
        .join(bus.to_lowercase())
        .join("numa_node");
    // -1 where there is none.
    fs::read_to_string(file).ok()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_found_in_both_modules_words() {
        let closed = "NVRM version: NVIDIA UNIX x86_64 Kernel Module  535.104.05  Sat Aug 19 01:15:15 UTC 2023\nGCC version: 12.2.0";
        assert_eq!(version(closed).as_deref(), Some("535.104.05"));
        let open = "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  560.35.03  Release Build  (dvs-builder)";
        assert_eq!(version(open).as_deref(), Some("560.35.03"));
        assert_eq!(version("GCC version: 12.2.0"), None);
    }
}
