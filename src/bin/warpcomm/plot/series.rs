//! What measurements show of each operation: a series of lengths for each way to do it.

use std::collections::BTreeMap;

use crate::reading::Measured;
use crate::record::{Key, Row, Run};
use crate::statistics::Summary;
use crate::units;

/// An operation, and how long it took in each way that was measured.
#[derive(Clone, Debug, PartialEq)]
pub struct Chart {
    pub operation: String,
    /// In the order in which they were measured.
    pub series: Vec<Series>,
}

/// The same measurement at several lengths.
#[derive(Clone, Debug, PartialEq)]
pub struct Series {
    /// What tells it from the others of its chart.
    pub label: String,
    pub way: Way,
    /// By their lengths, going up.
    pub points: Vec<Point>,
}

/// How an operation was done.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Way {
    pub by: String,
    pub place: String,
    pub path: Option<String>,
    pub dtype: String,
    pub op: Option<String>,
    pub ranks: usize,
    pub setting: Setting,
}

/// What it was measured with: of runs with the same setting, the rows of a key are pooled.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Setting {
    pub program: String,
    pub commit: Option<String>,
    pub host: String,
    pub nodes: usize,
    pub mpi: Option<String>,
    pub gpus: Vec<String>,
    pub simulated: bool,
    /// `WARPCOMM_CHECK=0`.
    pub variables: Vec<String>,
}

/// What was measured at one length.
#[derive(Clone, Debug, PartialEq)]
pub struct Point {
    pub bytes: u64,
    pub seconds: Summary,
    /// At the median, as the next ones.
    pub algorithm_bandwidth: Option<f64>,
    pub bus_bandwidth: Option<f64>,
    pub message_rate: Option<f64>,
    pub overlap: Option<f64>,
    pub algorithm: Option<String>,
    /// The path that elements on GPUs really took.
    pub carried: Option<String>,
    /// Whether the results were checked in all runs.
    pub checked: bool,
    pub runs: usize,
}

/// The charts of all operations, in the order in which these were first measured.
pub fn charts(runs: &[Measured]) -> Vec<Chart> {
    let mut operations: Vec<(String, Vec<Way>)> = Vec::new();
    let mut pooled: BTreeMap<(String, Way), BTreeMap<u64, Vec<&Row>>> = BTreeMap::new();
    for measured in runs {
        let setting = Setting::of(&measured.run);
        for row in &measured.rows {
            let (operation, way) = (&row.key.operation, Way::of(&row.key, &setting));
            let at = operations.iter().position(|(name, _)| name == operation);
            let at = at.unwrap_or_else(|| {
                operations.push((operation.clone(), Vec::new()));
                operations.len() - 1
            });
            if !operations[at].1.contains(&way) {
                operations[at].1.push(way.clone());
            }
            let lengths = pooled.entry((operation.clone(), way)).or_default();
            lengths.entry(row.key.bytes).or_default().push(row);
        }
    }
    let chart = |(operation, ways): (String, Vec<Way>)| {
        let labels = labels(&ways);
        let series = ways.into_iter().zip(labels).map(|(way, label)| {
            let lengths = pooled.get(&(operation.clone(), way.clone()));
            let points = lengths.into_iter().flatten();
            Series {
                label,
                points: points
                    .filter_map(|(bytes, rows)| Point::of(*bytes, rows))
                    .collect(),
                way,
            }
        });
        Chart {
            series: series.collect(),
            operation,
        }
    };
    operations.into_iter().map(chart).collect()
}

impl Point {
    /// What rows of one key say together; `None` if they say nothing.
    fn of(bytes: u64, rows: &[&Row]) -> Option<Point> {
        let samples: Vec<f64> = rows.iter().flat_map(|row| row.samples.iter().copied()).collect();
        let seconds = match rows {
            [row] => row.seconds,
            _ => Summary::of(&samples)?,
        };
        // What is moved is the same in all runs, the time is not.
        let rate = |of: fn(&Row) -> Option<f64>| {
            let (row, rate) = rows.iter().find_map(|row| Some((row, of(row)?)))?;
            match rows.len() {
                1 => Some(rate),
                _ => Some(rate * row.seconds.median / seconds.median).filter(|rate| rate.is_finite()),
            }
        };
        let overlaps: Vec<f64> = rows.iter().filter_map(|row| row.overlap).collect();
        Some(Point {
            bytes,
            seconds,
            algorithm_bandwidth: rate(|row| row.algorithm_bandwidth),
            bus_bandwidth: rate(|row| row.bus_bandwidth),
            message_rate: rate(|row| row.message_rate),
            overlap: Summary::of(&overlaps).map(|summary| summary.median),
            algorithm: rows.iter().find_map(|row| row.algorithm.clone()),
            carried: rows.iter().find_map(|row| row.carried.clone()),
            checked: rows.iter().all(|row| row.checked),
            runs: rows.len(),
        })
    }
}

impl Way {
    fn of(key: &Key, setting: &Setting) -> Way {
        Way {
            by: key.by.clone(),
            place: key.place.clone(),
            path: key.path.clone(),
            dtype: key.dtype.clone(),
            op: key.op.clone(),
            ranks: key.ranks,
            setting: setting.clone(),
        }
    }

    /// Whether the GPUs on which its buffers are do not exist, so that its times say nothing.
    pub fn is_simulated(&self) -> bool {
        self.setting.simulated && self.place == "device"
    }

    /// All that a label may say, the first two always.
    fn words(&self) -> Vec<String> {
        let place = match self.is_simulated() {
            // A picture may be looked at without the page that warns.
            true => format!("simulated {}", self.place),
            false => self.place.clone(),
        };
        let place = match &self.path {
            Some(path) => format!("{place}/{path}"),
            None => place,
        };
        let Setting {
            program,
            commit,
            host,
            nodes,
            mpi,
            gpus,
            simulated,
            variables,
        } = &self.setting;
        vec![
            self.by.clone(),
            place,
            self.dtype.clone(),
            self.op.clone().unwrap_or_default(),
            units::ranks(self.ranks),
            program.clone(),
            commit.clone().unwrap_or_else(|| "unknown commit".to_owned()),
            host.clone(),
            units::count(*nodes, "node"),
            mpi.clone().unwrap_or_else(|| "threads".to_owned()),
            gpus.join(", "),
            if *simulated && !self.is_simulated() {
                "simulated GPUs".to_owned()
            } else {
                String::new()
            },
            variables.join(" "),
        ]
    }
}

impl Setting {
    fn of(run: &Run) -> Setting {
        let mut gpus: Vec<String> = run.gpus.iter().map(|gpu| gpu.name.clone()).collect();
        gpus.sort();
        Setting {
            program: run.program.clone(),
            commit: run
                .commit
                .as_ref()
                .map(|commit| commit.chars().take(10).collect()),
            host: run.machine.host.clone(),
            nodes: run.nodes,
            mpi: run.job.as_ref().map(|job| first_words(&job.mpi)),
            gpus,
            simulated: run.simulated,
            variables: run
                .variables
                .iter()
                .map(|(name, value)| format!("{name}={value}"))
                .collect(),
        }
    }
}

/// What an MPI library says of itself, as far as its version goes.
fn first_words(text: &str) -> String {
    let line = text.lines().next().unwrap_or_default();
    let end = line.find(',').unwrap_or(line.len());
    line[..end].trim().to_owned()
}

/// What tells each way from the others: who does it and where, and what is not the same for all.
fn labels(ways: &[Way]) -> Vec<String> {
    let words: Vec<Vec<String>> = ways.iter().map(Way::words).collect();
    let differs = |at: usize| words.iter().any(|other| other[at] != words[0][at]);
    words
        .iter()
        .map(|own| {
            let shown = own
                .iter()
                .enumerate()
                .filter(|(at, word)| !word.is_empty() && (*at < 2 || differs(*at)));
            shown
                .map(|(_, word)| word.clone())
                .collect::<Vec<_>>()
                .join(" · ")
        })
        .collect()
}
