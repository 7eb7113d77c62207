//! What was proved of an MPI library's CUDA awareness: kept in files, so that it is proved once.
//!
//! Libraries say that they are CUDA-aware and are not, or not for all memory, and a program that believes them ends by
//! a signal. So a job of two ranks tries it, and what becomes of that is written down: a "no" before it is tried, a
//! "yes" when it has succeeded. Each file is about one [`Subject`], which it names in full.

use std::env;
use std::fmt;
use std::fs;
use std::io;
use std::path::PathBuf;
use std::str::FromStr;

use crate::error::{Error, Result};
use crate::fingerprint::fingerprint;
use crate::replace::replace;

/// What a verdict is about; about anything else it says nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Subject {
    /// The model of the GPU.
    pub gpu: String,
    /// The MPI library's name and version, in its own words.
    pub library: String,
    /// Whether messages leave the node.
    pub several_nodes: bool,
}

/// How memory of a GPU was allocated: MPI libraries treat one kind in another way than the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Allocation {
    /// By `cuMemAlloc`: other processes can be given access to it.
    Plain,
    /// In the order of a stream, by `cuMemAllocAsync`, or in any other way that gives no other process access.
    Pool,
}

impl Allocation {
    /// All of them.
    pub const ALL: [Allocation; 2] = [Allocation::Plain, Allocation::Pool];
}

impl fmt::Display for Allocation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Allocation::Plain => "plain",
            Allocation::Pool => "pool",
        })
    }
}

impl FromStr for Allocation {
    type Err = Error;

    fn from_str(text: &str) -> Result<Allocation> {
        let named = Allocation::ALL
            .into_iter()
            .find(|allocation| allocation.to_string() == text);
        named.ok_or_else(|| Error::invalid(format!("{text:?} is neither plain nor pool")))
    }
}

/// Whether messages of such memory were proved to work, or why they do not.
pub(crate) type Verdict = Result<(), String>;

/// Variables that decide how MPI libraries treat memory of GPUs: a verdict with other values is another one. The rest of
/// what such libraries read, launchers set too, to other values in each job.
const PREFIXES: [&str; 3] = ["UCX_", "I_MPI_OFFLOAD", "MPIR_CVAR_"];
const NAMES: [&str; 7] = [
    "I_MPI_FABRICS",
    "OMPI_MCA_pml",
    "OMPI_MCA_btl",
    "OMPI_MCA_mtl",
    "OMPI_MCA_accelerator",
    "OMPI_MCA_opal_cuda_support",
    "MV2_USE_CUDA",
];

/// What MPICH's launcher tells its ranks, in the same words.
const OF_LAUNCHERS: &str = "MPIR_CVAR_CH3_";

fn settings() -> String {
    let mut found: Vec<String> = env::vars_os()
        .map(|(name, value)| (name.to_string_lossy().into_owned(), value))
        .filter(|(name, _)| {
            PREFIXES.iter().any(|prefix| name.starts_with(prefix)) && !name.starts_with(OF_LAUNCHERS)
                || NAMES.contains(&name.as_str())
        })
        .map(|(name, value)| format!("{name}={}", value.to_string_lossy()))
        .collect();
    found.sort();
    on_one_line(&found.join(" "))
}

fn on_one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

impl Subject {
    /// The first lines of its file.
    fn heading(&self) -> String {
        let host = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        format!(
            "host = {}\ngpu = {}\nmpi = {}\nsettings = {}\nnodes = {}\n",
            host.trim(),
            on_one_line(&self.gpu),
            on_one_line(&self.library),
            settings(),
            if self.several_nodes { "several" } else { "one" },
        )
    }
}

/// The verdicts that are kept.
#[derive(Clone, Debug)]
pub(crate) struct Verdicts {
    directory: Option<PathBuf>,
}

impl Verdicts {
    /// Those in a directory, if there is one.
    pub(crate) fn new(directory: Option<PathBuf>) -> Verdicts {
        Verdicts { directory }
    }

    fn file(&self, heading: &str) -> Option<PathBuf> {
        let name = format!("cuda-aware-{:016x}", fingerprint(heading.bytes()));
        Some(self.directory.as_ref()?.join(name))
    }

    /// What is known of messages of such memory.
    pub(crate) fn of(&self, subject: &Subject, allocation: Allocation) -> Option<Verdict> {
        let heading = subject.heading();
        let text = fs::read_to_string(self.file(&heading)?).ok()?;
        read(text.strip_prefix(&heading)?, allocation)
    }

    /// Writes a verdict down; the file.
    #[cfg_attr(
        not(feature = "mpi"),
        allow(dead_code, reason = "only ranks of MPI have something to prove")
    )]
    pub(crate) fn record(
        &self,
        subject: &Subject,
        allocation: Allocation,
        verdict: &Verdict,
    ) -> io::Result<PathBuf> {
        let heading = subject.heading();
        let nowhere = || io::Error::other("there is no directory for it: set WARPCOMM_CACHE or HOME");
        let file = self.file(&heading).ok_or_else(nowhere)?;
        let mut text = heading;
        for kind in Allocation::ALL {
            let known = match kind == allocation {
                true => Some(verdict.clone()),
                false => self.of(subject, kind),
            };
            match known {
                Some(Ok(())) => text += &format!("{kind} = yes\n"),
                Some(Err(reason)) => text += &format!("{kind} = no: {}\n", on_one_line(&reason)),
                None => {}
            }
        }
        replace(&file, &text)?;
        Ok(file)
    }
}

/// The verdict in the lines below a heading.
fn read(lines: &str, allocation: Allocation) -> Option<Verdict> {
    let name = allocation.to_string();
    lines.lines().find_map(|line| {
        let (key, value) = line.split_once(" = ")?;
        match value.strip_prefix("no: ") {
            _ if key != name => None,
            Some(reason) => Some(Err(reason.to_owned())),
            None => (value == "yes").then_some(Ok(())),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subject(library: &str, several_nodes: bool) -> Subject {
        Subject {
            gpu: "NVIDIA H200".to_owned(),
            library: library.to_owned(),
            several_nodes,
        }
    }

    #[test]
    fn a_verdict_is_about_one_subject_and_kind_of_memory() {
        let directory = tempfile::tempdir().unwrap();
        let verdicts = Verdicts::new(Some(directory.path().to_owned()));
        let subjects = [
            subject("Open MPI v5.0.11", false),
            subject("Open MPI v5.0.11", true),
            subject("Open MPI\nv4.1.4", false),
        ];
        let known = |at: usize| Allocation::ALL.map(|allocation| verdicts.of(&subjects[at], allocation));
        assert_eq!(known(0), [None, None]);
        let no = || Err("it crashed\nor hung".to_owned());
        verdicts.record(&subjects[0], Allocation::Plain, &no()).unwrap();
        verdicts.record(&subjects[0], Allocation::Pool, &no()).unwrap();
        verdicts.record(&subjects[0], Allocation::Plain, &Ok(())).unwrap();
        verdicts.record(&subjects[2], Allocation::Pool, &Ok(())).unwrap();
        let crashed = Err("it crashed or hung".to_owned());
        assert_eq!(known(0), [Some(Ok(())), Some(crashed)]);
        assert_eq!(known(1), [None, None]);
        assert_eq!(known(2), [None, Some(Ok(()))]);
    }

    #[test]
    fn a_file_about_something_else_says_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let verdicts = Verdicts::new(Some(directory.path().to_owned()));
        let (one, other) = (subject("Open MPI v5.0.11", false), subject("MPICH 5.0.2", false));
        let file = verdicts.record(&one, Allocation::Plain, &Ok(())).unwrap();
        fs::rename(file, verdicts.file(&other.heading()).unwrap()).unwrap();
        assert_eq!(verdicts.of(&other, Allocation::Plain), None);
        for bad in ["", "plain", "plain = maybe", "plain = no", "pool = yes"] {
            assert_eq!(read(bad, Allocation::Plain), None, "{bad}");
        }
    }
}
