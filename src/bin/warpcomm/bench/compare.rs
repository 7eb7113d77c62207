//! `warpcomm bench compare`: every way of an operation, side by side.

use clap::Args;

use super::crossover::crossover;
use super::view::{View, elements, elements_of, microseconds, times_as_fast};
use super::way::Way;
use super::{BASELINES, Common};
use crate::operation::Operation;
use crate::record::{LeftOut, Row};

const MORE_HELP: &str = "\
Examples:
  warpcomm bench compare allreduce
  warpcomm bench compare allreduce --sim=2 --quick
  warpcomm bench compare bcast alltoall -n 8 --sizes 1K:64M:4 --json compared.json

Measures host buffers through MPI (mpi, the baseline) and by warpcomm (host), GPU buffers by warpcomm on each path to which
a job can be forced (staged, cuda-aware, shared-pinned, peer-gpu-ipc, same-gpu-ipc), GPU buffers that are copied to the host
and sent by MPI (staging), and NCCL where it is installed (nccl). For each operation the medians stand side by side, with
how many times as fast as the baseline each is, and from which length on it is and stays faster. What this machine does
not offer is named with the reason.";

/// Measure every way of an operation, side by side: MPI, warpcomm on each path, staging, NCCL
#[derive(Args)]
#[command(after_help = MORE_HELP)]
pub struct Arguments {
    /// What is measured; several one after the other
    #[arg(value_name = "OPERATION", required = true)]
    pub operations: Vec<Operation>,

    /// With which the others are compared
    #[arg(long, value_name = "WAY", default_value = "mpi", value_parser = BASELINES)]
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
}

/// An operation with its elements, and its ways in the order of [`ways`].
struct Compared {
    elements: String,
    ranks: usize,
    measured: Vec<Measured>,
}

/// A way, and what came of it.
struct Measured {
    way: Way,
    /// Lengths in bytes and medians in seconds, in the order in which they came.
    medians: Vec<(u64, f64)>,
    /// Why there are none, or no more.
    left_out: Option<String>,
}

impl Comparison {
    /// Compares with a baseline, if there is one.
    pub fn new(baseline: Option<Way>) -> Comparison {
        Comparison {
            baseline,
            operations: Vec::new(),
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
                    ranks: 0,
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
    fn row(&mut self, row: &Row) -> Vec<String> {
        if let Some(way) = Way::of_key(&row.key) {
            let elements = elements_of(&row.key);
            let measured = self.measured(elements.clone(), way);
            measured.medians.push((row.key.bytes, row.seconds.median));
            for compared in self
                .operations
                .iter_mut()
                .filter(|compared| compared.elements == elements)
            {
                compared.ranks = row.key.ranks;
            }
        }
        Vec::new()
    }

    fn left_out(&mut self, left_out: &LeftOut) -> Vec<String> {
        if let Some(way) = Way::of(&left_out.by, &left_out.place, left_out.path.as_deref()) {
            let elements = elements(&left_out.operation, &left_out.dtype, left_out.op.as_deref());
            self.measured(elements, way).left_out = Some(left_out.reason.clone());
        }
        Vec::new()
    }

    fn end(&mut self) -> Vec<String> {
        let baseline = self.baseline;
        self.operations
            .iter()
            .flat_map(|compared| compared.lines(baseline))
            .collect()
    }

    fn is_late(&self) -> bool {
        true
    }
}

impl Compared {
    fn lines(&self, baseline: Option<Way>) -> Vec<String> {
        let shown: Vec<&Measured> = self
            .measured
            .iter()
            .filter(|measured| !measured.medians.is_empty())
            .collect();
        let of_baseline = shown.iter().find(|measured| Some(measured.way) == baseline);
        let mut lines = vec![String::new()];
        if !shown.is_empty() {
            let mut title = format!("# {}, {} ranks: medians in us", self.elements, self.ranks);
            if let Some(baseline) = of_baseline {
                title += &format!(", and how many times as fast as {}", baseline.way.name);
            }
            lines.push(title);
            let names = shown.iter().map(|measured| format!(" {:>18}", measured.way.name));
            lines.push(format!("#{:>10}{}", "bytes", names.collect::<String>()));
            for bytes in lengths(&shown) {
                let cells = shown
                    .iter()
                    .map(|measured| measured.cell(bytes, of_baseline.copied()));
                lines.push(format!("{bytes:>11}{}", cells.collect::<String>()));
            }
        }
        lines.extend(
            self.measured
                .iter()
                .map(|measured| measured.legend(of_baseline.copied())),
        );
        lines
    }
}

impl Measured {
    fn median(&self, bytes: u64) -> Option<f64> {
        let found = self.medians.iter().find(|(other, _)| *other == bytes);
        found.map(|(_, seconds)| *seconds)
    }

    /// The time for a length, and how many times as fast as the baseline that is.
    fn cell(&self, bytes: u64, baseline: Option<&Measured>) -> String {
        let Some(seconds) = self.median(bytes) else {
            return format!(" {:>18}", "-");
        };
        let factor = match baseline.filter(|baseline| baseline.way != self.way) {
            Some(baseline) => baseline
                .median(bytes)
                .map(|of_baseline| times_as_fast(of_baseline / seconds)),
            None => None,
        };
        format!(" {:>11}{:>7}", microseconds(seconds), factor.unwrap_or_default())
    }

    /// What it is, and where it is faster than the baseline.
    fn legend(&self, baseline: Option<&Measured>) -> String {
        let mut line = format!("# {}: {}", self.way.name, self.way.meaning);
        if let Some(reason) = &self.left_out {
            line += &format!("; left out: {reason}");
        }
        if !self.medians.is_empty()
            && let Some(baseline) = baseline
        {
            line += &match baseline.way == self.way {
                true => "; the baseline".to_owned(),
                false => format!(
                    "; {}",
                    crossover(&in_order(&baseline.medians), &in_order(&self.medians))
                ),
            };
        }
        line
    }
}

fn in_order(medians: &[(u64, f64)]) -> Vec<(u64, f64)> {
    let mut medians = medians.to_vec();
    medians.sort_by_key(|(bytes, _)| *bytes);
    medians
}

/// All lengths, going up.
fn lengths(measured: &[&Measured]) -> Vec<u64> {
    let all = measured.iter().flat_map(|measured| &measured.medians);
    let mut lengths: Vec<u64> = all.map(|(bytes, _)| *bytes).collect();
    lengths.sort_unstable();
    lengths.dedup();
    lengths
}
