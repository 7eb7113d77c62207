//! Which ranks are on one node, without asking MPI.

use std::fs;
use std::os::unix::fs::MetadataExt;

use crate::error::{Error, Result};
use crate::fingerprint::fingerprint;

/// A number that the ranks of a node have in common, and no other rank has.
///
/// Ranks are on one node if one kernel runs them, under one host name, and they see the same shared memory: then they
/// can share memory, which is what a node is for. All three must agree, because a rank that is taken for near and is
/// not makes programs fail, and one that is taken for far makes them slow. Where the program has named the node, that
/// counts.
pub(crate) fn identity(named: Option<&str>) -> Result<i64> {
    if let Some(name) = named {
        return Ok(fingerprint(format!("named {name}").into_bytes()));
    }
    // Of the boot, not of the machine: the images of virtual machines are copied.
    let boot = read("/proc/sys/kernel/random/boot_id");
    let host = host_name();
    // Containers on one kernel have each their own, or share one.
    let shared_memory = fs::metadata("/dev/shm").map_or(0, |directory| directory.dev());
    if boot.is_empty() && host.is_empty() {
        return Err(Error::unsupported("this system does not say which node it is"));
    }
    Ok(combined(&boot, &host, shared_memory))
}

/// What the system is called; nothing where it does not say.
pub(crate) fn host_name() -> String {
    read("/proc/sys/kernel/hostname")
}

fn read(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default().trim().to_owned()
}

fn combined(boot: &str, host: &str, shared_memory: u64) -> i64 {
    fingerprint(format!("{boot}\n{host}\n{shared_memory}").into_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_is_a_kernel_a_name_and_a_shared_memory() {
        let here = combined("1-2", "a", 26);
        for there in [
            combined("1-3", "a", 26),
            combined("1-2", "b", 26),
            combined("1-2", "a", 27),
        ] {
            assert_ne!(here, there);
        }
        assert_eq!(identity(None).unwrap(), identity(None).unwrap());
    }

    #[test]
    fn a_node_with_a_name_is_that_of_others_with_the_name() {
        assert_eq!(identity(Some("a")).unwrap(), identity(Some("a")).unwrap());
        assert_ne!(identity(Some("a")).unwrap(), identity(Some("b")).unwrap());
        assert_ne!(identity(Some("")).unwrap(), identity(None).unwrap());
    }
}
