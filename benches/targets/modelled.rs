//! What operations take beside what they should: for the ranks of this machine, and for up to 1,024.

use serde::{Deserialize, Serialize};

use crate::model::{Limits, Shape, Spread, Way};
use crate::row::Times;

/// Numbers of ranks of which each has what is shared here.
const MANY: [usize; 6] = [8, 16, 64, 128, 256, 1024];

/// The numbers of ranks that share this machine.
const FEW: std::ops::RangeInclusive<usize> = 2..=7;

/// The lengths of collectives in bytes: of hosts, and on the GPU.
pub const LENGTHS: [&[usize]; 2] = [&[8, 64 << 10, 1 << 20], &[8, 64 << 10, 1 << 20, 64 << 20]];

/// The lengths of messages in bytes.
const MESSAGES: [(Way, &[usize]); 5] = [
    (Way::Host, &[8, 4000, 64 << 10, 1 << 20, 16 << 20]),
    (Way::SharedPinned, &[1 << 20, 4 << 20, 16 << 20, 64 << 20]),
    (Way::Staged, &[1 << 20, 4 << 20, 16 << 20, 64 << 20]),
    (Way::SameGpuIpc, &[1 << 20, 64 << 20, 256 << 20]),
    (Way::SameGpuIpcByTwoCopies, &[256 << 20]),
];

/// An operation that ranks here have measured.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Observed {
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
    /// Of an allreduce that does not ride in frames.
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
pub fn all(limits: &Limits, measured: &[Observed]) -> Vec<Modelled> {
    let mut rows = Vec::new();
    let few = FEW.map(|ranks| (Spread::OneMachine, ranks));
    let all: Vec<(Spread, usize)> = few.chain(MANY.map(|ranks| (Spread::OwnEach, ranks))).collect();
    for (way, lengths) in MESSAGES {
        for &bytes in lengths {
            let what = (Operation::SendRecv, way, None);
            let seconds = limits.message(way, bytes);
            rows.extend(row(what, (Spread::OneMachine, 2), bytes, seconds, measured));
        }
    }
    for (way, lengths) in [
        (Way::Host, LENGTHS[0]),
        (Way::SharedPinned, LENGTHS[1]),
        (Way::Staged, LENGTHS[1]),
        (Way::SameGpuIpc, LENGTHS[1]),
    ] {
        // One GPU cannot be everybody's own.
        let possible =
            |(spread, _): &&(Spread, usize)| way != Way::SameGpuIpc || *spread == Spread::OneMachine;
        let all: Vec<_> = all.iter().filter(possible).copied().collect();
        for &bytes in lengths {
            for (number, shape) in shapes(way, bytes).into_iter().enumerate() {
                // What was measured is the first.
                let measured = if number == 0 { measured } else { &[] };
                for &(spread, ranks) in &all {
                    let what = (Operation::Allreduce, way, shape);
                    let shape = shape.unwrap_or(Shape::TwoShot);
                    let seconds = limits.allreduce(shape, way, spread, ranks, bytes);
                    rows.extend(row(what, (spread, ranks), bytes, seconds, measured));
                }
            }
            for &(spread, ranks) in &all {
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
    rows
}

/// The ways in which ranks could reduce so many bytes, first the one that they take; none for what rides in frames.
fn shapes(way: Way, bytes: usize) -> Vec<Option<Shape>> {
    let shapes = match way {
        _ if bytes <= 8 => return vec![None],
        Way::SameGpuIpc => &[Shape::Leader, Shape::OneShot, Shape::TwoShot, Shape::Ring][..],
        _ => &[Shape::TwoShot, Shape::Ring],
    };
    shapes.iter().copied().map(Some).collect()
}

fn row(
    (operation, way, shape): (Operation, Way, Option<Shape>),
    (spread, ranks): (Spread, usize),
    bytes: usize,
    seconds: Option<f64>,
    measured: &[Observed],
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

/// The rows of each operation, way, shape and length in one line, with a column for each number of ranks.
pub fn table(rows: &[Modelled]) -> String {
    let counts: Vec<usize> = FEW.chain(MANY).collect();
    let mut text = format!(
        "microseconds, measured / modelled, of ranks that share this machine; behind the line modelled, with a machine each\n\
         {:40}",
        "operation, way, shape, bytes"
    );
    for count in &counts {
        text += &format!("{}{count:>17}", bar(*count));
    }
    let mut rest = rows;
    while let Some(first) = rest.first() {
        let length = rest.iter().take_while(|row| row.what() == first.what()).count();
        let (line, later) = rest.split_at(length);
        rest = later;
        text += &format!("\n{:40}", first.what());
        for &count in &counts {
            let row = line.iter().find(|row| row.ranks == count);
            let cell = row.map_or(String::new(), |row| match row.measured_ns {
                Some(measured) => format!("{} / {}", short(measured), short(row.modelled_ns)),
                None => short(row.modelled_ns),
            });
            text += &format!("{}{cell:>17}", bar(count));
        }
        text.truncate(text.trim_end().len());
    }
    text
}

/// Between the ranks of this machine and more.
fn bar(count: usize) -> &'static str {
    if count == MANY[0] { " |" } else { "" }
}

/// Nanoseconds as microseconds of few digits.
fn short(nanoseconds: f64) -> String {
    let microseconds = nanoseconds / 1e3;
    match microseconds {
        _ if microseconds < 100.0 => format!("{microseconds:.2}"),
        _ => format!("{microseconds:.0}"),
    }
}

impl Modelled {
    fn what(&self) -> String {
        let operation = match self.operation {
            Operation::SendRecv => "send/recv",
            Operation::Allreduce => "allreduce",
            Operation::Bcast => "bcast",
        };
        let shape = match self.shape {
            None => "",
            Some(Shape::Leader) => ", leader",
            Some(Shape::OneShot) => ", one-shot",
            Some(Shape::TwoShot) => ", two-shot",
            Some(Shape::Ring) => ", ring",
        };
        let way = match self.way {
            Way::Host => "host",
            Way::Staged => "staged",
            Way::SharedPinned => "shared pinned",
            Way::SameGpuIpc => "same GPU IPC",
            Way::SameGpuIpcByTwoCopies => "same GPU IPC, two copies",
        };
        format!("{operation}, {way}{shape}, {}", self.bytes)
    }
}
