//! What measurements show of each operation: a series of lengths for each way to do it.

use std::collections::BTreeMap;

use crate::reading::Measured;
use crate::record::{Key, Row, Run, mpi_version};
use crate::statistics::Summary;
use crate::units;

/// The digits of a commit or a build that are shown.
const DIGITS: usize = 10;

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
    /// That of the ranks' program.
    pub build: Option<String>,
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
pub fn charts<'a>(runs: impl Iterator<Item = &'a Measured> + Clone) -> Vec<Chart> {
    // A build may have been measured before and after it was committed.
    let mut commits: BTreeMap<&str, &str> = BTreeMap::new();
    for Measured { run, .. } in runs.clone() {
        if let (Some(build), Some(commit)) = (&run.build, &run.commit) {
            commits.entry(build).or_insert(commit);
        }
    }
    let mut operations: Vec<(String, Vec<Way>)> = Vec::new();
    let mut pooled: BTreeMap<(String, Way), BTreeMap<u64, Vec<&Row>>> = BTreeMap::new();
    for measured in runs {
        let run = &measured.run;
        let of_build = run.build.as_deref().and_then(|build| commits.get(build).copied());
        let setting = Setting::of(run, of_build.or(run.commit.as_deref()));
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
            build,
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
            build
                .as_ref()
                .map(|build| format!("build {build}"))
                .unwrap_or_default(),
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
    /// That of a run, whose build is known to be of this commit.
    fn of(run: &Run, commit: Option<&str>) -> Setting {
        let mut gpus: Vec<String> = run.gpus.iter().map(|gpu| gpu.name.clone()).collect();
        gpus.sort();
        Setting {
            program: run.program.clone(),
            commit: commit.map(shortened),
            build: run.build.as_deref().map(shortened),
            host: run.machine.host.clone(),
            nodes: run.nodes,
            mpi: run.job.as_ref().map(|job| mpi_version(&job.mpi)),
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

/// As many digits of a commit or a build as tell it from others, and what is said behind them.
fn shortened(id: &str) -> String {
    let (digits, mark) = id.split_at(id.find(' ').unwrap_or(id.len()));
    digits.chars().take(DIGITS).chain(mark.chars()).collect()
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// A run of this commit and build with one row.
    fn measured(commit: Option<&str>, build: Option<&str>) -> Measured {
        let run = json!({
            "format": 1, "program": "warpcomm 0.1.0", "commit": commit, "build": build, "date": "2026-11-22T17:00:00Z",
            "command": ["warpcomm"],
            "machine": {"host": "node", "processor": "a CPU", "processors": 2, "kernel": "6.1", "load_average": [0.0, 0.0, 0.0]},
            "job": null, "ranks": 2, "nodes": 1, "gpus": [], "simulated": false, "variables": {}
        });
        let row = json!({
            "operation": "latency", "by": "mpi", "place": "host", "path": null, "dtype": "u8", "op": null, "ranks": 2, "bytes": 8,
            "algorithm": null, "checked": true, "repeats": 1,
            "seconds": {"minimum": 1.0, "median": 1.0, "p99": 1.0, "maximum": 1.0}, "samples": [1.0],
            "algorithm_bandwidth": null, "bus_bandwidth": null, "message_rate": null, "overlap": null
        });
        Measured {
            run: serde_json::from_value(run).unwrap(),
            rows: vec![serde_json::from_value(row).unwrap()],
            left_out: Vec::new(),
            end: None,
        }
    }

    /// The labels of the series, each with how many runs are in it.
    fn pooled(runs: &[Measured]) -> Vec<(String, usize)> {
        let charts = charts(runs.iter());
        let series = charts[0].series.iter();
        series
            .map(|series| (series.label.clone(), series.points[0].runs))
            .collect()
    }

    #[test]
    fn builds_are_told_apart_however_alike_their_commits_are() {
        let commit = Some("0123456789abcdef");
        let changed = Some("0123456789abcdef and changes");
        let labelled = |labels: &[(&str, usize)]| -> Vec<(String, usize)> {
            labels
                .iter()
                .map(|(label, runs)| (format!("mpi · host{label}"), *runs))
                .collect()
        };
        let runs = [
            measured(commit, None),
            measured(changed, None),
            measured(commit, None),
        ];
        let expected = labelled(&[(" · 0123456789", 2), (" · 0123456789 and changes", 1)]);
        assert_eq!(pooled(&runs), expected);
        let [one, other] = [Some("aaaaaaaaaaaaaaaa"), Some("bbbbbbbbbbbbbbbb")];
        let runs = [measured(commit, one), measured(commit, other)];
        let expected = labelled(&[(" · build aaaaaaaaaa", 1), (" · build bbbbbbbbbb", 1)]);
        assert_eq!(pooled(&runs), expected);
        let runs = [measured(changed, one), measured(None, one), measured(commit, one)];
        assert_eq!(pooled(&runs), labelled(&[("", 3)]));
    }
}
