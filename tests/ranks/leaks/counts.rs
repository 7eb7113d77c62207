//! What a process has of everything that could get lost.

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use warpcomm::{pinned_usage, release_pinned};

use crate::harness::{Failure, Outcome, blocks};
use crate::suite::simulated::{LIVE, Simulated};

/// How long what goes on in the background may take to end.
const PATIENCE: Duration = Duration::from_secs(10);

/// What may be there afterwards beyond what was there before, and why.
const SLACK: &[(&str, u64)] = &[
    // Queues and tables keep the room that they once needed, and what threads of the background have for a moment counts
    // too.
    ("blocks", 64),
    // MPI and the allocator map memory by the piece.
    ("mappings", 32),
    // As many are kept for later as were ever in use at once, of which the transfers before have seen nearly all.
    ("streams", 4),
    // So are events; and what is free of the memory below has one each, of which there is more the more buffers there ever
    // were at once.
    ("events", 32),
    // The memory of buffers that other processes can copy from: at most 64 MiB of it are kept, and what was lent until it is
    // closed. A peer has it open meanwhile.
    ("device_allocations", 40),
    ("device_bytes", 128 << 20),
    ("ipc_handles", 120),
];

/// What there is nothing of when nothing is pending: memory that messages use.
const IDLE: [&str; 3] = ["slabs in use", "bytes in use", "bytes kept"];

/// Numbers with names.
#[derive(Clone, Debug)]
pub struct Counts(Vec<(&'static str, u64)>);

impl Counts {
    /// What this process has now. The simulated driver's own files and memory do not count: it keeps freed addresses. A
    /// real one does not tell what it has, nor which files and mappings are its own.
    pub fn now(driver: Option<&Simulated>) -> Result<Counts, Failure> {
        // What is kept is counted by the driver, if it is not given back.
        release_pinned();
        let usage = pinned_usage();
        let mut counts = vec![
            ("slabs in use", usage.slabs_in_use as u64),
            ("bytes in use", usage.bytes_in_use as u64),
            ("bytes kept", usage.bytes_kept as u64),
            ("bytes shared", usage.bytes_shared as u64),
            ("blocks", blocks()),
        ];
        let Some(driver) = driver else {
            return Ok(Counts(counts));
        };
        let maps = fs::read_to_string("/proc/self/maps")?;
        let mappings = maps.lines().filter(|line| !line.contains("simgpu")).count();
        counts.extend([
            ("files", open_files()?.len() as u64),
            ("mappings", mappings as u64),
        ]);
        counts.extend(LIVE.into_iter().zip(driver.live()));
        let more = ["device_bytes", "pinned_bytes", "contexts", "ipc_handles"];
        counts.extend(more.map(|what| (what, driver.count(what))));
        Ok(Counts(counts))
    }

    /// What this process has when no operation is pending.
    pub fn when_idle(driver: Option<&Simulated>) -> Result<Counts, Failure> {
        let begun = Instant::now();
        loop {
            let counts = Counts::now(driver)?;
            let is_idle = counts
                .0
                .iter()
                .all(|(what, count)| *count == 0 || !IDLE.contains(what));
            if is_idle {
                return Ok(counts);
            }
            if begun.elapsed() > PATIENCE {
                return Err(Failure(format!("there is always something: {counts:?}")));
            }
            thread::sleep(Duration::from_millis(1));
        }
    }

    /// What there is more of than before, and more than may be.
    fn beyond(&self, before: &Counts) -> Vec<String> {
        let slack = |what: &str| {
            SLACK
                .iter()
                .find(|(name, _)| *name == what)
                .map_or(0, |(_, slack)| *slack)
        };
        let pairs = self.0.iter().zip(&before.0);
        pairs
            .filter(|((what, now), (_, before))| *now > before + slack(what))
            .map(|((what, now), (_, before))| format!("{what}: {before}, now {now}"))
            .collect()
    }

    /// Waits until there is no more than before.
    pub fn wait_until_as_before(driver: Option<&Simulated>, before: &Counts) -> Outcome {
        let begun = Instant::now();
        loop {
            let beyond = Counts::now(driver)?.beyond(before);
            if beyond.is_empty() {
                return Ok(());
            }
            if begun.elapsed() > PATIENCE {
                return Err(Failure(format!("left behind: {beyond:?}")));
            }
            thread::sleep(Duration::from_millis(1));
        }
    }
}

/// What this process has open, beside what the simulated driver has.
pub fn open_files() -> Result<Vec<String>, Failure> {
    let listed = fs::read_dir("/proc/self/fd")?;
    let links = listed.filter_map(|file| fs::read_link(file.ok()?.path()).ok());
    let names = links.map(|link| link.display().to_string());
    Ok(names.filter(|name| !name.starts_with("/memfd:simgpu")).collect())
}
