//! `warpcomm bench compare`: every way of an operation, side by side.

use clap::Args;

use super::view::{SIMULATED, View, elements, elements_of, times_as_fast};
use super::way::Way;
use super::{Common, baselines};
use crate::crossover::crossover;
use crate::operation::Operation;
use crate::record::{LeftOut, Row, Run};

const MORE_HELP: &str = "\
Examples:
  warpcomm bench compare allreduce
  warpcomm bench compare allreduce --sim=2 --quick
  warpcomm bench compare bcast alltoall -n 8 --sizes 1K:64M:4 --json compared.json

Measures host buffers through MPI (mpi, the baseline) and by warpcomm (host), GPU buffers by warpcomm on each path to which
a job can be forced (staged, cuda-aware, shared-pinned, peer-gpu-ipc, same-gpu-ipc), GPU buffers that are copied to the host
and sent by MPI (staging), and NCCL where it is installed (nccl). For each operation the medians stand side by side, with
how many times as fast as the baseline each is, and from about which length on it is and stays faster. What this machine does
not offer is named with the reason.";

/// Measure every way of an operation, side by side: MPI, warpcomm on each path, staging, NCCL
#[derive(Args)]
#[command(after_help = MORE_HELP)]
pub struct Arguments {
    /// What is measured; several one after the other
    #[arg(value_name = "OPERATION", required = true)]
    pub operations: Vec<Operation>,

    /// With which the others are compared
    #[arg(long, value_name = "WAY", default_value = "mpi", value_parser = baselines())]
    pub baseline: String,

    #[command(flatten)]
    pub common: Common,
}

/// What is measured of each operation.
pub fn ways() -> Vec<Way> {
    let names = ["mpi", "host"].into_iter();
    let paths = Way::forced().map(|way| way.name);
    names
        .chain(paths)
        .chain(["staging", "nccl"])
        .filter_map(Way::named)
        .collect()
}

/// What was measured, to be put side by side at the end.
pub struct Comparison {
    baseline: Option<Way>,
    operations: Vec<Compared>,
    ranks: usize,
    is_simulated: bool,
}

/// An operation with its elements, and its ways in the order of [`ways`].
struct Compared {
    elements: String,
    measured: Vec<Measured>,
}

/// A way, and what came of it.
struct Measured {
    way: Way,
    /// Lengths in bytes and medians in seconds, in the order in which they came.
    medians: Vec<(u64, f64)>,
    /// Single lengths that were left out, each with why.
    without: Vec<(u64, String)>,
    /// Why there are none, or no more.
    left_out: Option<String>,
}

impl Comparison {
    /// Compares with a baseline, if there is one.
    pub fn new(baseline: Option<Way>) -> Comparison {
        Comparison {
            baseline,
            operations: Vec::new(),
            ranks: 0,
            is_simulated: false,
        }
    }

    fn measured(&mut self, elements: String, way: Way) -> &mut Measured {
        let at = match self
            .operations
            .iter()
            .position(|other| other.elements == elements)
        {
            Some(at) => at,
            None => {
                self.operations.push(Compared {
                    elements,
                    measured: Vec::new(),
                });
                self.operations.len() - 1
            }
        };
        let measured = &mut self.operations[at].measured;
        let at = match measured.iter().position(|other| other.way == way) {
            Some(at) => at,
            None => {
                let order = ways();
                let place = |way: Way| order.iter().position(|other| *other == way);
                let at = measured.partition_point(|other| place(other.way) < place(way));
                let new = Measured {
                    way,
                    medians: Vec::new(),
                    without: Vec::new(),
                    left_out: None,
                };
                measured.insert(at, new);
                at
            }
        };
        &mut measured[at]
    }
}

impl View for Comparison {
    fn begin(&mut self, run: &Run) {
        self.ranks = run.ranks;
        self.is_simulated = run.simulated;
    }

    fn row(&mut self, row: &Row) -> Vec<String> {
        if let Some(way) = Way::of_key(&row.key) {
            let measured = self.measured(elements_of(&row.key), way);
            measured.medians.push((row.key.bytes, row.seconds.median));
        }
        Vec::new()
    }

    fn left_out(&mut self, left_out: &LeftOut) -> Vec<String> {
        if let Some(way) = Way::of(&left_out.by, &left_out.place, left_out.path.as_deref()) {
            let elements = elements(&left_out.operation, &left_out.dtype, left_out.op.as_deref());
            let measured = self.measured(elements, way);
            match left_out.bytes {
                Some(bytes) => measured.without.push((bytes, left_out.reason.clone())),
                None => measured.left_out = Some(left_out.reason.clone()),
            }
        }
        Vec::new()
    }

    fn end(&mut self) -> Vec<String> {
        self.operations
            .iter()
            .flat_map(|compared| self.lines(compared))
            .collect()
    }

    fn is_late(&self) -> bool {
        true
    }
}

impl Comparison {
    /// The table of an operation, and below it what its columns are.
    fn lines(&self, compared: &Compared) -> Vec<String> {
        let shown = || {
            compared
                .measured
                .iter()
                .filter(|measured| !measured.medians.is_empty())
        };
        let baseline = shown().find(|measured| Some(measured.way) == self.baseline);
        let mut lines = vec![String::new()];
        if shown().next().is_some() {
            let mut title = format!("# {}, {} ranks: medians in us", compared.elements, self.ranks);
            if let Some(baseline) = baseline {
                title += &format!(", and how many times as fast as {}", baseline.way.name);
            }
            lines.push(title);
            let row = |first: String, cell: &dyn Fn(&Measured) -> String| -> Vec<String> {
                [first].into_iter().chain(shown().map(cell)).collect()
            };
            let mut rows = vec![row("bytes".to_owned(), &|measured| measured.way.name.to_owned())];
            for bytes in lengths(shown()) {
                rows.push(row(bytes.to_string(), &|measured| {
                    measured.cell(bytes, self.comparable(measured, baseline))
                }));
            }
            lines.extend(below_each_other(&rows));
        }
        for measured in &compared.measured {
            let mut line = measured.legend(self.comparable(measured, baseline));
            if self.means_nothing(measured) && !measured.medians.is_empty() {
                line += &format!("; {SIMULATED}");
            }
            lines.push(line);
        }
        lines
    }

    /// The baseline, where a way can be compared with it.
    fn comparable<'a>(&self, measured: &Measured, baseline: Option<&'a Measured>) -> Option<&'a Measured> {
        baseline.filter(|baseline| !self.means_nothing(measured) && !self.means_nothing(baseline))
    }

    /// Whether the times are those of GPUs that do not exist.
    fn means_nothing(&self, measured: &Measured) -> bool {
        self.is_simulated && measured.way.place == "device"
    }
}

impl Measured {
    fn median(&self, bytes: u64) -> Option<f64> {
        let found = self.medians.iter().find(|(other, _)| *other == bytes);
        found.map(|(_, seconds)| *seconds)
    }

    /// How many times as fast as the baseline it is at each length that both have, going up.
    fn ratios(&self, baseline: &Measured) -> Vec<(u64, f64)> {
        let mut ratios: Vec<(u64, f64)> = self
            .medians
            .iter()
            .filter_map(|&(bytes, seconds)| Some((bytes, baseline.median(bytes)? / seconds)))
            .filter(|(_, ratio)| ratio.is_finite() && *ratio > 0.0)
            .collect();
        ratios.sort_by_key(|(bytes, _)| *bytes);
        ratios
    }

    /// The time for a length, and how many times as fast as the baseline that is.
    fn cell(&self, bytes: u64, baseline: Option<&Measured>) -> String {
        let Some(seconds) = self.median(bytes) else {
            return "-".to_owned();
        };
        let baseline = baseline.filter(|baseline| baseline.way != self.way);
        let of_baseline = baseline.and_then(|baseline| baseline.median(bytes));
        match of_baseline {
            Some(of_baseline) => format!("{} {:>6}", short(seconds), times_as_fast(of_baseline / seconds)),
            None => short(seconds),
        }
    }

    /// What it is, and where it is faster than the baseline.
    fn legend(&self, baseline: Option<&Measured>) -> String {
        let mut line = format!("# {}: {}", self.way.name, self.way.meaning);
        line += &match (&self.left_out, baseline) {
            // What there is of it says nothing about greater lengths.
            (Some(reason), _) => format!("; left out: {reason}"),
            (None, Some(baseline)) if baseline.way == self.way => "; the baseline".to_owned(),
            (None, Some(_)) if self.medians.is_empty() => String::new(),
            (None, Some(baseline)) => match crossover(&self.ratios(baseline)) {
                Some(crossover) => format!("; {crossover}"),
                None => "; no length in common".to_owned(),
            },
            (None, None) => String::new(),
        };
        line += &match &self.without[..] {
            [] => String::new(),
            [(bytes, reason)] => format!("; left out at {bytes} bytes: {reason}"),
            [(first, reason), .., (last, _)] => format!(
                "; left out at {} lengths from {first} to {last} bytes, the first because: {reason}",
                self.without.len()
            ),
        };
        line
    }
}

/// All lengths, going up.
fn lengths<'a>(measured: impl Iterator<Item = &'a Measured>) -> Vec<u64> {
    let mut lengths: Vec<u64> = measured
        .flat_map(|measured| &measured.medians)
        .map(|(bytes, _)| *bytes)
        .collect();
    lengths.sort_unstable();
    lengths.dedup();
    lengths
}

/// A time in microseconds, with about as many digits as are worth comparing.
fn short(seconds: f64) -> String {
    let microseconds = seconds * 1e6;
    match microseconds {
        ..100.0 => format!("{microseconds:.2}"),
        100.0..1000.0 => format!("{microseconds:.1}"),
        _ => format!("{microseconds:.0}"),
    }
}

/// The rows as lines, the first of which is commented out.
fn below_each_other(rows: &[Vec<String>]) -> Vec<String> {
    let columns = rows.first().map_or(0, Vec::len);
    let widths: Vec<usize> = (0..columns)
        .map(|column| rows.iter().map(|row| row[column].len()).max().unwrap_or(0) + 2)
        .collect();
    let line = |row: &Vec<String>| -> String {
        let cells = row.iter().zip(&widths);
        cells.map(|(cell, &width)| format!("{cell:>width$}")).collect()
    };
    let mut lines: Vec<String> = rows.iter().map(line).collect();
    if let Some(first) = lines.first_mut() {
        first.replace_range(..1, "#");
    }
    lines
}
