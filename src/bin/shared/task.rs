//! What the command asks of the ranks that measure, as one argument of JSON; they answer with lines on the standard output
//! of rank 0: an [`Answer`] each. Other lines are not theirs.

use serde::{Deserialize, Serialize};

use crate::record::{Gpu, LeftOut, Machine, Row};

/// What the ranks of one job measure.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Task {
    pub series: Vec<Series>,
    /// In bytes, going up.
    pub sizes: Vec<u64>,
    pub effort: Effort,
}

/// A line of a picture: the same operation at several lengths.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Series {
    /// The name of an operation.
    pub operation: String,
    /// `warpcomm`, `mpi`, `staging` or `nccl`.
    pub by: String,
    pub place: String,
    /// To which path the job is forced, by its variables.
    pub path: Option<String>,
    pub dtype: String,
    pub op: Option<String>,
}

/// How much time is spent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Effort {
    /// Operations before the samples of a length.
    pub warm_up: u64,
    /// About how long the samples of a length take, in seconds.
    pub seconds: f64,
    /// The most samples of a length.
    pub samples: usize,
    /// Whether each element of results is compared with what it should be.
    pub check: bool,
}

/// What rank 0 says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "snake_case")]
pub enum Answer {
    /// First of all: where it runs.
    Job(JobAnswer),
    Row(Row),
    LeftOut(LeftOut),
    /// Everything is measured.
    Done,
}

/// What only the ranks know of their job.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct JobAnswer {
    /// The MPI library, in its own words.
    pub mpi: String,
    pub thread_level: String,
    /// That of rank 0.
    pub machine: Machine,
    pub nodes: usize,
    /// Those of the ranks, each once.
    pub gpus: Vec<Gpu>,
    pub simulated: bool,
}
