//! What measured crossovers are of: other machines, libraries and numbers of ranks have others.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;

/// A machine as far as measured crossovers depend on it.
///
/// ```
/// let machine = warpcomm::Machine::here("Open MPI v4.1.4, package: Debian OpenMPI", 4);
/// assert_eq!((&*machine.mpi, machine.ranks), ("Open MPI v4.1.4", 4));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(deny_unknown_fields))]
#[non_exhaustive]
pub struct Machine {
    /// The name of the host that rank 0 is on.
    pub host: String,
    /// The models of that host's GPUs, and how many there are of each; empty without one.
    pub gpu: String,
    /// The MPI library and its version.
    pub mpi: String,
    /// The number of ranks of the job.
    pub ranks: usize,
    /// The number of nodes that they are on.
    pub nodes: usize,
}

impl Machine {
    /// This host, with an MPI library that calls itself so, and a number of ranks on one node.
    ///
    /// The driver's files tell of GPUs; no GPU is used.
    pub fn here(mpi: &str, ranks: usize) -> Machine {
        Machine {
            host: line_of("/proc/sys/kernel/hostname"),
            gpu: counted(models()),
            mpi: library(mpi),
            ranks,
            nodes: 1,
        }
    }

    /// The same with the ranks on so many nodes.
    pub fn on_nodes(self, nodes: usize) -> Machine {
        Machine { nodes, ..self }
    }

    /// A name for a file. Other machines may have the same: what is in the file tells them apart.
    pub(super) fn file_name(&self) -> String {
        let gpu = if self.gpu.is_empty() { "no gpu" } else { &self.gpu };
        let ranks = format!("{} ranks{}", self.ranks, self.of_nodes());
        [&*self.host, gpu, &*self.mpi, &*ranks].map(plain).join("_")
    }

    /// On how many nodes, if not on one.
    fn of_nodes(&self) -> String {
        match self.nodes {
            1 => String::new(),
            nodes => format!(" on {nodes} nodes"),
        }
    }
}

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Machine {
            host,
            gpu,
            mpi,
            ranks,
            ..
        } = self;
        let gpu = if gpu.is_empty() { "no GPU" } else { gpu };
        write!(f, "{host} with {gpu}, {mpi} and {ranks} ranks{}", self.of_nodes())
    }
}

/// The name and version at the start of what a library tells of itself.
fn library(version: &str) -> String {
    let first = version.lines().next().unwrap_or_default();
    let name = first.split(',').next().unwrap_or_default();
    name.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The text with nothing but what a file's name can have everywhere.
fn plain(text: &str) -> String {
    let kept = |c: char| {
        if c.is_ascii_alphanumeric() || c == '.' {
            c
        } else {
            '-'
        }
    };
    text.chars().map(kept).collect()
}

fn line_of(file: &str) -> String {
    fs::read_to_string(file).unwrap_or_default().trim().to_owned()
}

/// The models of the GPUs that NVIDIA's driver shows.
fn models() -> Vec<String> {
    let gpus = fs::read_dir("/proc/driver/nvidia/gpus")
        .into_iter()
        .flatten()
        .flatten();
    let model = |gpu: fs::DirEntry| {
        let text = fs::read_to_string(gpu.path().join("information")).ok()?;
        let model = text.lines().find_map(|line| line.strip_prefix("Model:"))?;
        Some(model.trim().to_owned())
    };
    gpus.filter_map(model).collect()
}

/// Each model with the number of its GPUs.
fn counted(models: Vec<String>) -> String {
    let mut counts = BTreeMap::new();
    for model in models {
        *counts.entry(model).or_insert(0) += 1;
    }
    let words: Vec<String> = counts
        .iter()
        .map(|(model, count)| format!("{count} x {model}"))
        .collect();
    words.join(" + ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libraries_are_named_in_short() {
        assert_eq!(
            library("Open MPI v4.1.4, package: Debian OpenMPI, ident: 4.1.4"),
            "Open MPI v4.1.4"
        );
        assert_eq!(
            library("MPICH Version:\t4.0.2\nMPICH Release date:\tThu"),
            "MPICH Version: 4.0.2"
        );
        assert_eq!(library(""), "");
    }

    #[test]
    fn models_are_counted_in_any_order() {
        let models = |names: &[&str]| counted(names.iter().map(|name| name.to_string()).collect());
        assert_eq!(models(&[]), "");
        assert_eq!(models(&["B", "A", "B"]), "1 x A + 2 x B");
        assert_eq!(models(&["B", "B", "A"]), "1 x A + 2 x B");
    }

    #[test]
    fn names_of_files_have_no_directories_in_them() {
        let machine = Machine {
            host: "../a b".to_owned(),
            gpu: String::new(),
            mpi: "MPICH Version: 4.0.2".to_owned(),
            ranks: 4,
            nodes: 1,
        };
        assert_eq!(machine.file_name(), "..-a-b_no-gpu_MPICH-Version--4.0.2_4-ranks");
        assert_eq!(
            machine.to_string(),
            "../a b with no GPU, MPICH Version: 4.0.2 and 4 ranks"
        );
        let machine = machine.on_nodes(2);
        assert_eq!(
            machine.file_name(),
            "..-a-b_no-gpu_MPICH-Version--4.0.2_4-ranks-on-2-nodes"
        );
        assert!(
            machine.to_string().ends_with("and 4 ranks on 2 nodes"),
            "{machine}"
        );
    }
}
