//! The ways in which an operation is measured: by whom, and where its buffers are.

use crate::record::Key;
use crate::task::Series;

/// A way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Way {
    /// What it is called in tables and on the command line.
    pub name: &'static str,
    by: &'static str,
    pub place: &'static str,
    /// The path to which its job is forced.
    pub path: Option<&'static str>,
    /// What it is, in a few words.
    pub meaning: &'static str,
}

const fn way(
    name: &'static str,
    by: &'static str,
    place: &'static str,
    path: Option<&'static str>,
    meaning: &'static str,
) -> Way {
    Way {
        name,
        by,
        place,
        path,
        meaning,
    }
}

const fn on_path(path: &'static str, meaning: &'static str) -> Way {
    way(path, "warpcomm", "device", Some(path), meaning)
}

/// All ways. A path within one process is none of them: ranks of a job have a process each.
pub const WAYS: [Way; 11] = [
    way("mpi", "mpi", "host", None, "host buffers through MPI"),
    way("host", "warpcomm", "host", None, "host buffers by warpcomm"),
    way(
        "pinned",
        "warpcomm",
        "pinned",
        None,
        "page-locked buffers by warpcomm",
    ),
    way("device", "warpcomm", "device", None, "GPU buffers by warpcomm"),
    on_path(
        "staged",
        "GPU buffers by warpcomm, through page-locked memory and MPI",
    ),
    on_path(
        "cuda-aware",
        "GPU buffers by warpcomm, through MPI that takes their addresses",
    ),
    on_path(
        "shared-pinned",
        "GPU buffers by warpcomm, through page-locked memory of both ranks",
    ),
    on_path("peer-gpu-ipc", "GPU buffers by warpcomm, from one GPU to another"),
    on_path("same-gpu-ipc", "GPU buffers by warpcomm, within one GPU"),
    way(
        "staging",
        "staging",
        "device",
        None,
        "GPU buffers copied to the host, through MPI, and back",
    ),
    way("nccl", "nccl", "device", None, "GPU buffers through NCCL"),
];

impl Way {
    /// The way of a name.
    pub fn named(name: &str) -> Option<Way> {
        WAYS.into_iter().find(|way| way.name == name)
    }

    /// Those of buffers on GPUs for each of which the job is forced to its path.
    pub fn forced() -> impl Iterator<Item = Way> {
        WAYS.into_iter().filter(|way| way.path.is_some())
    }

    /// The way of what was measured.
    pub fn of(by: &str, place: &str, path: Option<&str>) -> Option<Way> {
        WAYS.into_iter()
            .find(|way| (way.by, way.place, way.path) == (by, place, path))
    }

    /// The way of a row.
    pub fn of_key(key: &Key) -> Option<Way> {
        Way::of(&key.by, &key.place, key.path.as_deref())
    }

    /// What is asked of the ranks to measure an operation in this way.
    pub fn series(self, operation: &str, dtype: &str, op: Option<&str>) -> Series {
        Series {
            operation: operation.to_owned(),
            by: self.by.to_owned(),
            place: self.place.to_owned(),
            path: self.path.map(str::to_owned),
            dtype: dtype.to_owned(),
            op: op.map(str::to_owned),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_ways_are_found_by_each_other() {
        for way in WAYS {
            assert_eq!(Way::named(way.name), Some(way));
            let series = way.series("allreduce", "f32", Some("sum"));
            let found = Way::of(&series.by, &series.place, series.path.as_deref());
            assert_eq!(found, Some(way));
        }
    }
}
