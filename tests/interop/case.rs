//! The cases, which are data.

use std::path::{Path, PathBuf};

use serde::Deserialize;

/// Where warpcomm's buffers lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Place {
    Host,
    Pinned,
    Device,
    /// Any of these, another one for each buffer and rank.
    Mixed,
}

/// One operation, as all ranks of a job read it. What an operation does not look at is left out.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Case {
    pub name: String,
    pub op: String,
    /// The number of ranks.
    pub np: usize,
    /// Who they are, each once: `r` is warpcomm, `p` is mpi4py.
    pub ranks: Vec<String>,
    pub place: Place,
    /// The communicator: `world`, `reversed` ranks, or else a duplicate.
    #[serde(default)]
    pub on: String,
    #[serde(default = "bytes")]
    pub dtype: String,
    #[serde(default)]
    pub count: usize,
    /// The elements that a receive has room for.
    pub room: Option<usize>,
    pub messages: Option<usize>,
    pub tag: Option<i32>,
    pub tags: Option<Vec<i32>>,
    pub wanted: Option<Vec<Option<i32>>>,
    #[serde(default)]
    pub any_source: bool,
    #[serde(default)]
    pub any_tag: bool,
    #[serde(default)]
    pub from: usize,
    #[serde(default)]
    pub to: usize,
    /// How a message is sent, and how it is received.
    #[serde(default)]
    pub send: String,
    #[serde(default)]
    pub recv: String,
    /// Whether the first rank follows the last.
    pub periodic: Option<bool>,
    /// Of a collective: blocking or not, in place or not.
    #[serde(default)]
    pub form: String,
    #[serde(default)]
    pub root: usize,
    #[serde(default)]
    pub counts: Vec<usize>,
    #[serde(default)]
    pub displacements: Vec<usize>,
    /// The elements that each rank sends to each.
    #[serde(default)]
    pub matrix: Vec<Vec<usize>>,
    /// The types of `alltoallw`.
    #[serde(default)]
    pub types: Vec<String>,
    #[serde(default)]
    pub reduce: String,
    #[serde(default)]
    pub colors: Vec<Option<u32>>,
    #[serde(default)]
    pub keys: Vec<i32>,
    /// The MPI library that cannot do it, with whatever program.
    pub except: Option<String>,
}

fn bytes() -> String {
    "u8".to_owned()
}

/// The directory of the cases and of the program for mpi4py.
pub fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/interop")
}

/// All cases, each with its line.
pub fn all() -> Vec<(Case, String)> {
    let mut all = Vec::new();
    for file in ["picked.jsonl", "generated.jsonl"] {
        let text =
            std::fs::read_to_string(directory().join(file)).unwrap_or_else(|error| panic!("{file}: {error}"));
        for line in text.lines() {
            let case = serde_json::from_str(line).unwrap_or_else(|error| panic!("{file}: {error}: {line}"));
            all.push((case, line.to_owned()));
        }
    }
    all
}
