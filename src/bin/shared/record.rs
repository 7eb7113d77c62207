//! What a measurement writes down: records, one a line, each an object of JSON.
//!
//! A file holds one run or several, one after the other: a [`Run`], its [`Row`]s and what was [left out](LeftOut) in the order
//! in which they were measured, and an [`End`]. A run without an end was killed. `docs/measurements.md` describes every field.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::statistics::Summary;

/// The version of the format. Readers refuse another one.
pub const FORMAT: u32 = 1;

/// A line.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "record", rename_all = "snake_case")]
pub enum Record {
    Run(Run),
    Row(Row),
    LeftOut(LeftOut),
    End(End),
}

/// What was measured with.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Run {
    /// [`FORMAT`].
    pub format: u32,
    /// Who has measured, with its version: `warpcomm 0.1.0`.
    pub program: String,
    /// The commit that the source has been at since the program was built, where that is known.
    pub commit: Option<String>,
    /// The build ID of the program whose processes were the ranks, where it has one.
    #[serde(default)]
    pub build: Option<String>,
    /// When it began, in UTC: `2026-11-22T17:00:00Z`.
    pub date: String,
    /// The program and its arguments.
    pub command: Vec<String>,
    pub machine: Machine,
    /// How the ranks were started; `None` where they are threads.
    pub job: Option<Job>,
    pub ranks: usize,
    pub nodes: usize,
    /// Those of the ranks, each once; none where no rank has one.
    pub gpus: Vec<Gpu>,
    /// Whether the GPUs are simulated: then times with buffers on them say nothing.
    pub simulated: bool,
    /// The variables that change what the library does.
    pub variables: BTreeMap<String, String>,
}

/// The machine of rank 0.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Machine {
    pub host: String,
    /// The processor's model.
    pub processor: String,
    /// How many hardware threads there are.
    pub processors: usize,
    pub kernel: String,
    /// What else ran when it began, over the last 1, 5 and 15 minutes.
    pub load_average: [f64; 3],
}

/// The ranks' MPI and who has started them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Job {
    /// The MPI library, in its own words.
    pub mpi: String,
    pub thread_level: String,
    /// `Open MPI 4.1.4`.
    pub launcher: String,
    /// What the launcher was told, without the program.
    pub arguments: Vec<String>,
}

/// The first words of what an MPI library says of itself: all about its build is in the lines behind them, or behind a comma.
pub fn mpi_version(text: &str) -> String {
    let words = text.split([',', '\n']).next().unwrap_or_default();
    // MPICH puts a tabulator between them.
    words.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// A GPU.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Gpu {
    pub name: String,
    pub uuid: String,
    pub memory_bytes: u64,
    /// The version of the driver.
    pub driver: String,
}

/// What makes rows comparable: those of one key are the same measurement.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Key {
    /// The name of an [`Operation`](crate::operation::Operation), or what a peer calls its own.
    pub operation: String,
    /// Whose implementation it is: `warpcomm`, `mpi`, `staging`, `nccl`, `mpi4py`, `c`.
    pub by: String,
    /// Where the buffers are: `host`, `pinned` or `device`.
    pub place: String,
    /// What carries elements on GPUs, where it was said: the name of a path.
    pub path: Option<String>,
    pub dtype: String,
    /// The reduction operation, if it is a reduction.
    pub op: Option<String>,
    pub ranks: usize,
    /// Of a message, of the block for one rank, or of the vector that is reduced.
    pub bytes: u64,
}

/// A figure.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Row {
    #[serde(flatten)]
    pub key: Key,
    /// By which algorithm, where the operation has a choice.
    pub algorithm: Option<String>,
    /// The path that elements on GPUs really went by, by its name; none where they rode in frames or envelopes.
    #[serde(default)]
    pub carried: Option<String>,
    /// Whether each element of the result was compared with what it should be.
    pub checked: bool,
    /// How many operations make a sample.
    pub repeats: u64,
    /// Seconds of one operation on the slowest rank, over the samples.
    pub seconds: Summary,
    /// The samples, in the order in which they were taken.
    pub samples: Vec<f64>,
    /// Bytes a second that the operation moves from the view of its caller, at the median.
    pub algorithm_bandwidth: Option<f64>,
    /// Bytes a second at the busiest link, at the median: what the hardware does, whatever the number of ranks.
    pub bus_bandwidth: Option<f64>,
    /// Messages a second, at the median.
    pub message_rate: Option<f64>,
    /// Which part of the communication a computation hides, from 0 to 1.
    pub overlap: Option<f64>,
}

/// What was wanted and could not be measured.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LeftOut {
    pub operation: String,
    pub by: String,
    pub place: String,
    pub path: Option<String>,
    pub dtype: String,
    pub op: Option<String>,
    /// The one length that was left out; `None` where it is every length that has no row.
    #[serde(default)]
    pub bytes: Option<u64>,
    pub reason: String,
}

impl LeftOut {
    /// Whether a row of this key is among what was left out.
    pub fn has(&self, key: &Key) -> bool {
        let own = (
            &self.operation,
            &self.by,
            &self.place,
            &self.path,
            &self.dtype,
            &self.op,
        );
        let of_key = (
            &key.operation,
            &key.by,
            &key.place,
            &key.path,
            &key.dtype,
            &key.op,
        );
        own == of_key && self.bytes.is_none_or(|bytes| bytes == key.bytes)
    }
}

/// How a run ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct End {
    /// Whether everything was measured that was wanted.
    pub complete: bool,
    /// Why not, if not.
    pub reason: Option<String>,
}
