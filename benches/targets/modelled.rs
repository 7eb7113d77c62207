//! What collectives take beside what they should: for the ranks of this machine, and for up to 1,024.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::model::{Limits, Shape, Spread, Way};
use crate::row::Times;

/// Numbers of ranks of which each has what is shared here.
const MANY: [usize; 6] = [8, 16, 64, 128, 256, 1024];

/// The numbers of ranks that share this machine.
const FEW: std::ops::RangeInclusive<usize> = 2..=7;

/// The lengths of collectives in bytes: of hosts, and on the GPU.
pub const LENGTHS: [&[usize]; 2] = [&[8, 64 << 10, 1 << 20], &[8, 64 << 10, 1 << 20, 64 << 20]];

/// A collective that ranks here have measured.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Collective {
    pub operation: Operation,
    pub way: Way,
    /// What carried the bytes, as a trace has it.
    pub path: String,
    pub ranks: usize,
    pub bytes: usize,
    pub times: Times,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Operation {
    SendRecv,
    Allreduce,
    Bcast,
}

/// A formula's time, and the measured one where there is one.
#[derive(Clone, Debug, Serialize)]
pub struct Modelled {
    operation: Operation,
    way: Way,
    /// Of an allreduce.
    shape: Option<Shape>,
    spread: Spread,
    ranks: usize,
    bytes: usize,
    modelled_ns: f64,
    measured_ns: Option<f64>,
    /// Measured over modelled.
    ratio: Option<f64>,
    /// What carried the bytes where it was measured, as a trace has it.
    path: Option<String>,
}

/// Every row: operations of 2 to 7 ranks here, then of more with what each of them would have.
pub fn all(limits: &Limits, measured: &[Collective]) -> Vec<Modelled> {
    let mut rows = Vec::new();
    let few = FEW.map(|ranks| (Spread::OneMachine, ranks));
    let all: Vec<(Spread, usize)> = few.chain(MANY.map(|ranks| (Spread::OwnEach, ranks))).collect();
    for (way, lengths) in [
        (Way::Host, LENGTHS[0]),
        (Way::SharedPinned, LENGTHS[1]),
        (Way::Staged, LENGTHS[1]),
        (Way::SameGpuIpc, LENGTHS[1]),
    ] {
        for &bytes in lengths.iter().filter(|&&bytes| bytes > 8) {
            let seconds = limits.message(way, bytes);
            rows.extend(row(
                (Operation::SendRecv, way, None),
                (Spread::OneMachine, 2),
                bytes,
                seconds,
                &[],
            ));
        }
        for &bytes in lengths {
            for &(spread, ranks) in &all {
                for shape in shapes(way, bytes) {
                    let seconds = limits.allreduce(shape, way, spread, ranks, bytes);
                    let is_taken = shape == shapes(way, bytes)[0];
                    let own = if is_taken { measured } else { &[] };
                    let what = (Operation::Allreduce, way, Some(shape));
                    rows.extend(row(what, (spread, ranks), bytes, seconds, own));
                }
                // One GPU cannot be everybody's own.
                if way != Way::SameGpuIpc || spread == Spread::OneMachine {
                    let seconds = limits.bcast(way, spread, ranks, bytes);
                    rows.extend(row(
                        (Operation::Bcast, way, None),
                        (spread, ranks),
                        bytes,
                        seconds,
                        measured,
                    ));
                }
            }
        }
    }
    rows
}

/// The ways in which ranks could reduce so many bytes, first the one that they take.
fn shapes(way: Way, bytes: usize) -> Vec<Shape> {
    match way {
        _ if bytes == 8 => vec![Shape::TwoShot],
        Way::SameGpuIpc => vec![Shape::Leader, Shape::OneShot, Shape::TwoShot, Shape::Ring],
        _ => vec![Shape::TwoShot, Shape::Ring],
    }
}

fn row(
    (operation, way, shape): (Operation, Way, Option<Shape>),
    (spread, ranks): (Spread, usize),
    bytes: usize,
    seconds: Option<f64>,
    measured: &[Collective],
) -> Option<Modelled> {
    let modelled_ns = (seconds? * 1e11).round() / 100.0;
    let found = measured.iter().find(|found| {
        (found.operation, found.way, found.ranks, found.bytes) == (operation, way, ranks, bytes)
    });
    let found = found.filter(|_| spread == Spread::OneMachine);
    let measured_ns = found.map(|found| found.times.median_ns);
    Some(Modelled {
        operation,
        way,
        shape,
        spread,
        ranks,
        bytes,
        modelled_ns,
        measured_ns,
        ratio: measured_ns.map(|measured| (measured / modelled_ns * 1e4).round() / 1e4),
        path: found.map(|found| found.path.clone()),
    })
}

impl Modelled {
    /// The heads of the columns.
    pub fn heads() -> String {
        format!(
            "{:10} {:16} {:9} {:12} {:>5} {:>11} {:>14} {:>13} {:>7}  {}",
            "operation",
            "way",
            "shape",
            "spread",
            "ranks",
            "bytes",
            "modelled, us",
            "measured, us",
            "ratio",
            "path"
        )
    }
}

impl fmt::Display for Modelled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let number = |number: Option<f64>, scale: f64| {
            number.map_or(String::new(), |number| format!("{:.2}", number / scale))
        };
        let line = format!(
            "{:10} {:16} {:9} {:12} {:>5} {:>11} {:>14.2} {:>13} {:>7}  {}",
            format!("{:?}", self.operation).to_lowercase(),
            format!("{:?}", self.way),
            self.shape.map_or(String::new(), |shape| format!("{shape:?}")),
            format!("{:?}", self.spread),
            self.ranks,
            self.bytes,
            self.modelled_ns / 1e3,
            number(self.measured_ns, 1e3),
            number(self.ratio, 1.0),
            self.path.as_deref().unwrap_or_default()
        );
        f.write_str(line.trim_end())
    }
}
