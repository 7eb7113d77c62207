//! Where this process is.

use std::fs;
use std::path::Path;

/// The name of the host.
pub fn host() -> String {
    line_of("/proc/sys/kernel/hostname")
}

/// The processors that this process may use: `0-3,8`.
pub fn processors() -> String {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let allowed = status
        .lines()
        .find_map(|line| line.strip_prefix("Cpus_allowed_list:"));
    allowed.unwrap_or_default().trim().to_owned()
}

/// The NUMA nodes that have some of these processors.
pub fn numa_nodes(processors: &str) -> Vec<u32> {
    let own = numbers(processors);
    let nodes = fs::read_dir("/sys/devices/system/node")
        .into_iter()
        .flatten()
        .flatten();
    let node = |entry: fs::DirEntry| {
        let number = entry.file_name().to_str()?.strip_prefix("node")?.parse().ok()?;
        let processors = numbers(&line_of(entry.path().join("cpulist")));
        processors
            .iter()
            .any(|processor| own.contains(processor))
            .then_some(number)
    };
    let mut nodes: Vec<u32> = nodes.filter_map(node).collect();
    nodes.sort_unstable();
    nodes
}

/// The numbers of a list like `0-2,8`.
fn numbers(list: &str) -> Vec<usize> {
    let range = |range: &str| {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        Some(first.trim().parse::<usize>().ok()?..=last.trim().parse().ok()?)
    };
    list.split(',').filter_map(range).flatten().collect()
}

fn line_of(file: impl AsRef<Path>) -> String {
    fs::read_to_string(file).unwrap_or_default().trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_processors_are_read() {
        assert_eq!(numbers("0-2,8"), [0, 1, 2, 8]);
        assert_eq!(numbers(""), [0_usize; 0]);
        assert!(!processors().is_empty());
    }
}
