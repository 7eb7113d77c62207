//! A target: an operation beside the limit or peer that it is held against.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::row::Times;

/// One operation at one size, and how near to its limit it comes.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Verdict {
    pub operation: String,
    /// What carried the bytes, as a trace has it.
    pub path: String,
    pub ranks: usize,
    pub bytes: usize,
    /// What it is held against.
    pub limit: String,
    /// How long the limit lets it take.
    pub limit_ns: f64,
    /// How long it takes.
    pub times: Times,
    /// The limit's time over the median; of an overlap, the part that is hidden.
    pub part: f64,
    /// The least part that is aimed at, where any is.
    pub target: Option<f64>,
    /// Whether that is reached.
    pub reached: Option<bool>,
}

/// What is held against a limit.
pub struct Case<'a> {
    pub operation: &'a str,
    pub path: String,
    pub ranks: usize,
    pub bytes: usize,
}

/// A limit, and the least part of it that is aimed at.
pub struct Limit<'a> {
    pub what: &'a str,
    pub seconds: f64,
    pub target: Option<f64>,
}

impl Verdict {
    pub fn new(case: Case<'_>, limit: Limit<'_>, times: Times) -> Verdict {
        let part = limit.seconds * 1e9 / times.median_ns;
        Verdict::of_part(case, limit, times, part)
    }

    /// A verdict on a part that is no quotient of times.
    pub fn of_part(case: Case<'_>, limit: Limit<'_>, times: Times, part: f64) -> Verdict {
        Verdict {
            operation: case.operation.to_owned(),
            path: case.path,
            ranks: case.ranks,
            bytes: case.bytes,
            limit: limit.what.to_owned(),
            limit_ns: (limit.seconds * 1e11).round() / 100.0,
            times,
            part: (part * 1e4).round() / 1e4,
            target: limit.target,
            reached: limit.target.map(|target| part >= target),
        }
    }

    /// The row without its figures, where they mean nothing.
    pub fn unjudged(&self) -> String {
        format!(
            "{:34} {:28} {:>5} {:>11}  not judged",
            self.operation, self.path, self.ranks, self.bytes
        )
    }

    /// The heads of the columns.
    pub fn heads() -> String {
        format!(
            "{:34} {:28} {:>5} {:>11} {:>12} {:>12} {:>7} {:>7}  {:7} of",
            "operation", "path", "ranks", "bytes", "median, us", "limit, us", "part", "target", "verdict"
        )
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verdict = match self.reached {
            Some(true) => "met",
            Some(false) => "missed",
            None => "",
        };
        let target = self.target.map_or(String::new(), |target| format!("{target:.2}"));
        write!(
            f,
            "{:34} {:28} {:>5} {:>11} {:>12.2} {:>12.2} {:>7.3} {:>7}  {:7} {}",
            self.operation,
            self.path,
            self.ranks,
            self.bytes,
            self.times.median_ns / 1e3,
            self.limit_ns / 1e3,
            self.part,
            target,
            verdict,
            self.limit
        )
    }
}
