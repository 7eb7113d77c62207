//! Every `WARPCOMM_*` variable of the library: what it says, what counts without it, and which values it can have.
//!
//! This file needs nothing but the standard library: the command `warpcomm`, which links no MPI and so not the library,
//! includes it as it is.

use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The most bytes of payload that travel inside an envelope.
///
/// Just above 4,032 bytes in all, Open MPI changes its protocol and a message costs four times as
/// much; an envelope's header takes the rest.
pub(crate) const LARGEST_EAGER_LIMIT: usize = 4000;

/// How many bytes a piece of a staged message may have: from a page to what four of which GPUs, messages and the pool
/// can bear.
pub(crate) const CHUNK_BYTES: RangeInclusive<usize> = 4096..=64 << 20;

const THREAD_LEVELS: [&str; 4] = ["single", "funneled", "serialized", "multiple"];

const PATHS: [&str; 6] = [
    "staged",
    "cuda-aware",
    "shared-pinned",
    "peer-gpu-ipc",
    "same-gpu-ipc",
    "same-process",
];

const FAULTS: [&str; 4] = ["fail", "delay", "drop", "reorder"];

/// A `WARPCOMM_*` variable that [`Config::from_env`](crate::Config::from_env) reads.
#[derive(Clone, Copy, Debug)]
pub struct Setting {
    name: &'static str,
    meaning: &'static str,
    default: &'static str,
    check: fn(&str) -> Result<(), String>,
}

impl Setting {
    /// All of them, in the order in which [`Config`](crate::Config) documents them.
    pub(crate) const ALL: &'static [Setting] = &[
        Setting {
            name: "WARPCOMM_TIMEOUT",
            meaning: "seconds a call may wait before it gives Timeout",
            default: "none: calls wait",
            check: |value| seconds(value).map(drop),
        },
        Setting {
            name: "WARPCOMM_HANG_REPORT",
            meaning: "seconds after which a waiting call prints a report, and goes on",
            default: "300",
            check: |value| seconds(value).map(drop),
        },
        Setting {
            name: "WARPCOMM_EAGER_LIMIT",
            meaning: "largest message in bytes that travels with its envelope, at most 4000; the same on all ranks",
            default: "4000",
            check: |value| bytes_within(value, 0..=LARGEST_EAGER_LIMIT).map(drop),
        },
        Setting {
            name: "WARPCOMM_CHUNK",
            meaning: "bytes, 4096 to 64 MiB, of the pieces in which long messages from or to GPUs are staged, and of the \
                      chunks in which long blocks are folded, which have 32 KiB or more; the same on all ranks",
            default: "by the length of the message, 256 KiB to 4 MiB",
            check: |value| bytes_within(value, CHUNK_BYTES).map(drop),
        },
        Setting {
            name: "WARPCOMM_PATHS",
            meaning: "paths that long messages from or to GPUs may take, separated by commas: staged, cuda-aware, \
                      shared-pinned, peer-gpu-ipc, same-gpu-ipc, same-process; behind ^ those that they may not; the same on \
                      all ranks",
            default: "all",
            check: paths,
        },
        Setting {
            name: "WARPCOMM_CUDA_AWARE",
            meaning: "yes: MPI takes addresses of GPU memory, whatever it says and was proved; no: it does not; the same on \
                      all ranks",
            default: "none: what warpcomm run and warpcomm tune have proved on the rank's host",
            check: |value| one_of(value, ["no", "yes"]).map(drop),
        },
        Setting {
            name: "WARPCOMM_CACHE",
            meaning: "the directory in which what was proved or measured is kept",
            default: "warpcomm in XDG_CACHE_HOME, else in ~/.cache",
            check: |value| absolute(value).map(drop),
        },
        Setting {
            name: "WARPCOMM_NODE_ID",
            meaning: "any text: ranks are on one node where it is the same, whatever the system says",
            default: "none: the system says",
            check: |_| Ok(()),
        },
        Setting {
            name: "WARPCOMM_BUFFERED_LIMIT",
            meaning: "most bytes that the copies of a rank's buffered sends take together",
            default: "1 GiB (1073741824)",
            check: |value| bytes(value).map(drop),
        },
        Setting {
            name: "WARPCOMM_CHECK",
            meaning: "1: collectives compare their arguments before they move data; 0: they trust them; the same on all ranks",
            default: "1",
            check: |value| one_of(value, ["0", "1"]).map(drop),
        },
        Setting {
            name: "WARPCOMM_TUNING",
            meaning: "the file that warpcomm tune writes and ranks read, or none; that of rank 0 counts for all ranks",
            default: "the file for this machine in WARPCOMM_CACHE, if there is one",
            check: |value| file(value).map(drop),
        },
        Setting {
            name: "WARPCOMM_THREAD_LEVEL",
            meaning: "single, funneled, serialized or multiple, asked of MPI",
            default: "multiple",
            check: thread_level,
        },
        Setting {
            name: "WARPCOMM_FAULT",
            meaning: "faults to inject, separated by commas",
            default: "none",
            check: |value| value.split(',').try_for_each(|one| fault(one.trim())),
        },
        Setting {
            name: "WARPCOMM_TRACE",
            meaning: "a file: every rank writes down its operations, in FILE.RANK.json for FILE.json",
            default: "none",
            check: |value| trace_file(value).map(drop),
        },
    ];

    /// The variable.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// What it says, in a few words.
    pub fn meaning(&self) -> &'static str {
        self.meaning
    }

    /// What counts where it is not set, in a few words.
    pub fn default(&self) -> &'static str {
        self.default
    }

    /// The value that it has in this process, if it is set.
    pub fn value(&self) -> Option<String> {
        std::env::var_os(self.name).map(|value| value.to_string_lossy().into_owned())
    }

    /// Checks that the variable can have a value.
    ///
    /// # Errors
    /// Why it cannot, in a few words.
    ///
    /// ```
    /// let timeout = warpcomm::Config::settings().first().expect("there are some");
    /// assert_eq!(timeout.name(), "WARPCOMM_TIMEOUT");
    /// assert!(timeout.check("1.5").is_ok());
    /// assert_eq!(timeout.check("soon"), Err("not a number of seconds above 0".to_owned()));
    /// ```
    pub fn check(&self, value: &str) -> Result<(), String> {
        (self.check)(value.trim())
    }
}

pub(crate) fn seconds(text: &str) -> Result<Duration, String> {
    let seconds = text.parse::<f64>().ok().filter(|seconds| *seconds > 0.0);
    seconds
        .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
        .ok_or_else(|| "not a number of seconds above 0".to_owned())
}

pub(crate) fn bytes(text: &str) -> Result<usize, String> {
    text.parse().map_err(|_| "not a number of bytes".to_owned())
}

pub(crate) fn bytes_within(text: &str, range: RangeInclusive<usize>) -> Result<usize, String> {
    let bytes = text.parse().ok().filter(|bytes| range.contains(bytes));
    bytes.ok_or_else(|| format!("not a number of bytes from {} to {}", range.start(), range.end()))
}

/// Whether it is the second of two words, and not the first.
pub(crate) fn one_of(text: &str, [no, yes]: [&str; 2]) -> Result<bool, String> {
    match text {
        text if text == no => Ok(false),
        text if text == yes => Ok(true),
        _ => Err(format!("neither {yes} nor {no}")),
    }
}

pub(crate) fn absolute(text: &str) -> Result<PathBuf, String> {
    match Path::new(text).is_absolute() {
        true => Ok(PathBuf::from(text)),
        false => Err("not the absolute path of a directory".to_owned()),
    }
}

/// A file that is named, or nothing.
pub(crate) fn file(text: &str) -> Result<Option<PathBuf>, String> {
    match text {
        "" => Err("neither a file nor none".to_owned()),
        "none" => Ok(None),
        file => Ok(Some(PathBuf::from(file))),
    }
}

/// A path that ends with a name.
pub(crate) fn trace_file(text: &str) -> Result<PathBuf, String> {
    let file = PathBuf::from(text);
    match file.file_name() {
        Some(_) => Ok(file),
        None => Err("not the name of a file".to_owned()),
    }
}

/// As [`Paths`](crate::path::Paths) reads it.
fn paths(text: &str) -> Result<(), String> {
    let (names, are_excluded) = match text.strip_prefix('^') {
        Some(names) => (names, true),
        None => (text, false),
    };
    let names: Vec<&str> = names.split(',').map(str::trim).collect();
    if names.iter().any(|name| !PATHS.contains(name)) {
        return Err(
            "not a list of staged, cuda-aware, shared-pinned, peer-gpu-ipc, same-gpu-ipc and same-process, or of what is \
             left out behind ^"
                .to_owned(),
        );
    }
    match are_excluded && PATHS.iter().all(|path| names.contains(path)) {
        true => Err("no path is left".to_owned()),
        false => Ok(()),
    }
}

/// As [`ThreadLevel`](crate::ThreadLevel) is read.
fn thread_level(text: &str) -> Result<(), String> {
    match THREAD_LEVELS.contains(&text) {
        true => Ok(()),
        false => Err(format!("{text:?} is none of {}", THREAD_LEVELS.join(", "))),
    }
}

/// As [`Fault`](crate::Fault) is read.
fn fault(text: &str) -> Result<(), String> {
    let read = || {
        let (action, place) = text.split_once(':')?;
        let (message, rank) = match place.split_once('@') {
            Some((message, rank)) => (message, Some(rank)),
            None => (place, None),
        };
        let is_rank = rank.is_none_or(|rank| rank.parse::<usize>().is_ok());
        let is_message = message.parse::<u64>().is_ok_and(|message| message > 0);
        (FAULTS.contains(&action) && is_message && is_rank).then_some(())
    };
    read().ok_or_else(|| {
        format!("{text:?} is not ACTION:N or ACTION:N@RANK with the action fail, delay, drop or reorder")
    })
}
