//! What a process could leave behind when it is killed: files and addresses with names, and itself.

use std::fs;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use super::counts::open_files;
use crate::harness::{Failure, Outcome, solo_directory};

/// Where files are in memory, or not for long.
const DIRECTORIES: [&str; 3] = ["/dev/shm/", "/tmp/", "/var/tmp/"];

/// What files of MPICH 5 begin with, which it does leave behind.
const MPICH: &str = "/dev/shm/mpich_shm_";

/// How long a launcher may take to end a job.
const PATIENCE: Duration = Duration::from_secs(10);

fn note(rank: usize) -> String {
    format!("remains-{rank}")
}

/// Writes down what this process has that has a name outside of it, one thing a line.
pub fn write_down(rank: usize) -> Outcome {
    let open = open_files()?;
    let mapped = fs::read_to_string("/proc/self/maps")?;
    // Programs and libraries are mapped too, for this process alone.
    let shared = mapped
        .lines()
        .filter(|line| line.contains("-s ") || line.contains("ws "));
    let mapped = shared.filter_map(|line| line.find('/').map(|at| line[at..].to_owned()));
    let temporary = |file: &String| DIRECTORIES.iter().any(|directory| file.starts_with(directory));
    // The job's own directory is the test's.
    let own = solo_directory().display().to_string();
    let files = open.iter().cloned().chain(mapped).filter(temporary);
    let files = files.filter(|file| ![own.as_str(), MPICH].iter().any(|start| file.starts_with(start)));
    let files = files.filter(|file| !file.ends_with("(deleted)"));
    let mut lines = vec![format!("process {}", std::process::id())];
    lines.extend(files.map(|file| format!("file {file}")));
    lines.extend(addresses()?.into_iter().filter_map(|(inode, name)| {
        let socket = format!("socket:[{inode}]");
        open.contains(&socket).then(|| format!("address {name}"))
    }));
    fs::write(solo_directory().join(note(rank)), lines.join("\n"))?;
    Ok(())
}

/// The addresses of sockets in the kernel's own name space, with their inodes.
fn addresses() -> Result<Vec<(String, String)>, Failure> {
    let table = fs::read_to_string("/proc/net/unix")?;
    let address = |line: &str| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let name = fields.get(7).filter(|name| name.starts_with('@'))?;
        Some((fields[6].to_owned(), (*name).to_owned()))
    };
    Ok(table.lines().filter_map(address).collect())
}

/// Whether a process is there, and not only its exit status.
fn is_running(process: &str) -> bool {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    status.contains("State:") && !status.contains("State:\tZ")
}

/// Asserts that nothing is left of what the ranks of a job have written down.
pub fn are_gone(job: &Path, ranks: usize) -> Result<(), String> {
    let mut things = Vec::new();
    for rank in 0..ranks {
        let noted = fs::read_to_string(job.join(note(rank)));
        things.extend(
            noted
                .map_err(|error| format!("rank {rank}: {error}"))?
                .lines()
                .map(str::to_owned),
        );
    }
    let listening = things
        .iter()
        .filter(|thing| thing.starts_with("address @warpcomm-"))
        .count();
    if listening == 0 {
        return Err(format!("no rank has listened: {things:?}"));
    }
    let is_left = |thing: &&String| match thing.split_once(' ') {
        Some(("process", process)) => is_running(process),
        Some(("file", file)) => Path::new(file).exists(),
        Some((_, name)) => addresses().is_ok_and(|all| all.iter().any(|(_, other)| other == name)),
        None => true,
    };
    let begun = Instant::now();
    loop {
        let left: Vec<&String> = things.iter().filter(is_left).collect();
        if left.is_empty() {
            return Ok(());
        }
        if begun.elapsed() > PATIENCE {
            for file in left.iter().filter_map(|thing| thing.strip_prefix("file ")) {
                // Nobody else does.
                let _ = fs::remove_file(file);
            }
            return Err(format!("left behind: {left:?}"));
        }
        thread::sleep(Duration::from_millis(10));
    }
}
