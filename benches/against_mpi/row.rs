//! A row of the result: one operation at one size.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::contest::Outcome;

/// How long an operation takes, in nanoseconds.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Times {
    /// In the best round.
    pub minimum_ns: f64,
    /// In the round in the middle.
    pub median_ns: f64,
}

impl Times {
    /// The times of some rounds, at least one.
    pub fn of(mut rounds: Vec<f64>) -> Times {
        rounds.sort_by(f64::total_cmp);
        let (below, above) = ((rounds.len() - 1) / 2, rounds.len() / 2);
        Times {
            minimum_ns: rounded(rounds[0]),
            median_ns: rounded((rounds[below] + rounds[above]) / 2.0),
        }
    }
}

/// What is aimed at, of the medians.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Target {
    /// At most so much longer than raw MPI.
    DifferenceNs(f64),
    /// At most so many times as long as raw MPI.
    Ratio(f64),
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Target::DifferenceNs(most) => write!(f, "+{most} ns"),
            Target::Ratio(most) => write!(f, "x {most:.2}"),
        }
    }
}

/// One operation at one size.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Row {
    /// What is done.
    pub operation: String,
    /// With how much.
    pub bytes: usize,
    /// How often the loops were timed.
    pub rounds: usize,
    /// How often the operation was repeated in a loop.
    pub repetitions: u32,
    /// One operation in raw MPI.
    pub raw: Times,
    /// One operation in warpcomm.
    pub ours: Times,
    /// How much longer ours takes, of the medians.
    pub difference_ns: f64,
    /// How many times as long ours takes, of the medians.
    pub ratio: f64,
    /// What is aimed at, where anything is.
    pub target: Option<Target>,
    /// Whether that is reached.
    pub reached: Option<bool>,
}

impl Row {
    /// The row of an outcome.
    pub fn new(operation: &str, bytes: usize, outcome: &Outcome, target: Option<Target>) -> Row {
        let difference = outcome.ours.median_ns - outcome.raw.median_ns;
        let ratio = outcome.ours.median_ns / outcome.raw.median_ns;
        let reached = target.map(|target| match target {
            Target::DifferenceNs(most) => difference <= most,
            Target::Ratio(most) => ratio <= most,
        });
        Row {
            operation: operation.to_owned(),
            bytes,
            rounds: outcome.rounds,
            repetitions: outcome.repetitions,
            raw: outcome.raw,
            ours: outcome.ours,
            difference_ns: rounded(difference),
            ratio: (ratio * 1e4).round() / 1e4,
            target,
            reached,
        }
    }

    /// The heads of the columns.
    pub fn heads() -> String {
        format!(
            "{:33}{:>20}{:>22}\n{:10}{:>9}{:>7}{:>7}{:>10}{:>10}{:>12}{:>10}{:>12}{:>7}  {:9} {}",
            "",
            "raw MPI, us",
            "warpcomm, us",
            "operation",
            "bytes",
            "rounds",
            "each",
            "minimum",
            "median",
            "minimum",
            "median",
            "more, ns",
            "ratio",
            "target",
            "reached"
        )
    }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let reached = match self.reached {
            Some(true) => "yes",
            Some(false) => "no",
            None => "",
        };
        let target = self.target.map(|target| target.to_string()).unwrap_or_default();
        let line = format!(
            "{:10}{:>9}{:>7}{:>7}{:>10.3}{:>10.3}{:>12.3}{:>10.3}{:>12.0}{:>7.2}  {target:9} {reached}",
            self.operation,
            self.bytes,
            self.rounds,
            self.repetitions,
            self.raw.minimum_ns / 1e3,
            self.raw.median_ns / 1e3,
            self.ours.minimum_ns / 1e3,
            self.ours.median_ns / 1e3,
            self.difference_ns,
            self.ratio,
        );
        f.write_str(line.trim_end())
    }
}

/// To a hundredth: what comes behind is noise.
fn rounded(nanoseconds: f64) -> f64 {
    (nanoseconds * 100.0).round() / 100.0
}
