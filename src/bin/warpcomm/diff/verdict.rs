//! What is said about each measurement.

use serde::Serialize;

use super::launches::{Compared, Pair};
use super::test::{self, Evidence, LEVEL};
use crate::operation::Operation;
use crate::record::Key;

/// From how many bytes on the bandwidth of a message counts, and not its time.
pub const LONG: u64 = 64 * 1024;

/// By how much something has to change, in parts of one.
#[derive(Clone, Copy, Debug)]
pub struct Thresholds {
    /// Of the time of short messages.
    pub latency: f64,
    /// Of the bandwidth of long ones.
    pub throughput: f64,
}

/// What changes: the time, or what is moved in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    Latency,
    Throughput,
}

/// In order of severity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    Slower,
    /// It differs by more than the threshold, and there are too few launches to tell whether that is noise.
    TooFew,
    Faster,
    /// It is slower or faster, and not the library's: what the machine does has changed.
    Machine,
    Unchanged,
}

/// Whose rows are the library's.
const OWN: &str = "warpcomm";

/// Whose rows show what the machine does.
const YARDSTICK: &str = "mpi";

/// A measurement of both files.
#[derive(Clone, Debug, Serialize)]
pub struct Change {
    #[serde(flatten)]
    pub key: Key,
    pub kind: Kind,
    pub verdict: Verdict,
    /// The launches of each file.
    pub launches: [usize; 2],
    /// What a launch typically takes in each file, in seconds: the median over launches of their first deciles.
    pub seconds: [f64; 2],
    /// The time in the second file over that in the first.
    pub ratio: f64,
    /// Whether the ratio is one without what all measurements of a launch have in common.
    pub without_shared: bool,
    /// How likely noise makes any measurement as much slower, or faster; `None` where there are too few launches.
    pub chance: Option<f64>,
}

/// How a row has changed, in each way to look at it.
#[derive(Clone, Copy)]
struct Look {
    /// The logarithm of the ratio of the times.
    change: f64,
    evidence: Evidence,
    without_shared: bool,
}

impl Look {
    fn is_alike(&self, other: &Look) -> bool {
        self.without_shared == other.without_shared
    }
}

/// Judges all measurements of two files, the worst first.
///
/// Where both are of one machine with one MPI library, the rows of MPI itself are a yardstick: nobody has built it anew. What
/// changes in them is the machine's, and so is what changes as much in the library's rows of the same operation and length with
/// buffers of the host.
pub fn judge(compared: &Compared, thresholds: Thresholds, is_one_machine: bool) -> Vec<Change> {
    let can_tell = |pair: &&Pair| {
        let [first, second] = pair.number(&compared.is_second);
        test::can_tell(first, second)
    };
    let (told, untold): (Vec<&Pair>, Vec<&Pair>) = compared.rows.iter().partition(can_tell);
    let rows: Vec<&[Option<f64>]> = told.iter().map(|pair| &pair.launches[..]).collect();
    let evidences = test::compare(&rows, &compared.is_second);
    let looks: Vec<Vec<Look>> = told
        .iter()
        .zip(evidences.plain.iter().zip(&evidences.without_shared))
        .map(|(pair, (plain, without_shared))| looks(pair, &compared.is_second, *plain, *without_shared))
        .collect();
    let changes = told.iter().zip(&looks).map(|(pair, own_looks)| {
        let is_own = pair.key.by == OWN;
        let yardstick = yardstick(&pair.key);
        let measured = told.iter().position(|other| other.key == yardstick);
        // What slows hosts down says nothing about GPUs.
        let measured = measured.filter(|_| is_one_machine && is_own && pair.key.place == yardstick.place);
        // As far as the yardstick has not changed.
        let net = |look: &Look| {
            let of_machine = measured.and_then(|at| looks[at].iter().find(|other| other.is_alike(look)));
            look.change - of_machine.map_or(0.0, |look| look.change)
        };
        let base = unjudged(pair, &compared.is_second);
        told_of(base, own_looks, thresholds, net, is_own || !is_one_machine)
    });
    let untold = untold
        .into_iter()
        .map(|pair| untold_of(pair, &compared.is_second, thresholds));
    let mut changes: Vec<Change> = changes.chain(untold).collect();
    changes.sort_by(|one, other| {
        let severity = |change: &Change| change.ratio.ln().abs();
        let by_severity = severity(other).total_cmp(&severity(one));
        one.verdict
            .cmp(&other.verdict)
            .then(by_severity)
            .then_with(|| one.key.cmp(&other.key))
    });
    changes
}

/// The row of MPI itself, on the host, for what a row of the library measures.
fn yardstick(key: &Key) -> Key {
    Key {
        by: YARDSTICK.to_owned(),
        place: "host".to_owned(),
        path: None,
        ..key.clone()
    }
}

fn looks(
    pair: &Pair,
    is_second: &[bool],
    plain: Option<Evidence>,
    without_shared: Option<Evidence>,
) -> Vec<Look> {
    // The test takes launches that are far too slow for less slow ones; medians need not.
    let [first, second] = [false, true].map(|second| pair.typical(is_second, second));
    let plain = plain.map(|evidence| Look {
        change: (second / first).ln(),
        evidence,
        without_shared: false,
    });
    let without_shared = without_shared.map(|evidence| Look {
        change: evidence.change,
        evidence,
        without_shared: true,
    });
    plain.into_iter().chain(without_shared).collect()
}

fn told_of(
    base: Change,
    looks: &[Look],
    thresholds: Thresholds,
    net: impl Fn(&Look) -> f64,
    is_own: bool,
) -> Change {
    for look in looks {
        let (chance, verdict) = match look.change > 0.0 {
            true => (look.evidence.slower, Verdict::Slower),
            false => (look.evidence.faster, Verdict::Faster),
        };
        let net = net(look);
        let is_beyond = exceeds(base.kind, look.change, thresholds) && exceeds(base.kind, net, thresholds);
        if chance <= LEVEL && is_beyond && (net > 0.0) == (look.change > 0.0) {
            return Change {
                verdict: if is_own { verdict } else { Verdict::Machine },
                ratio: look.change.exp(),
                without_shared: look.without_shared,
                chance: Some(chance),
                ..base
            };
        }
    }
    let plain = looks.iter().find(|look| !look.without_shared);
    let chance = plain.map(|look| look.evidence.slower.min(look.evidence.faster));
    Change { chance, ..base }
}

fn untold_of(pair: &Pair, is_second: &[bool], thresholds: Thresholds) -> Change {
    let base = unjudged(pair, is_second);
    let verdict = match exceeds(base.kind, base.ratio.ln(), thresholds) {
        true => Verdict::TooFew,
        false => Verdict::Unchanged,
    };
    Change { verdict, ..base }
}

fn unjudged(pair: &Pair, is_second: &[bool]) -> Change {
    let seconds = [false, true].map(|second| pair.typical(is_second, second));
    Change {
        key: pair.key.clone(),
        kind: kind(&pair.key),
        verdict: Verdict::Unchanged,
        launches: pair.number(is_second),
        seconds,
        ratio: seconds[1] / seconds[0],
        without_shared: false,
        chance: None,
    }
}

/// Whether a change of the logarithm of the time is more than the threshold, in either direction.
fn exceeds(kind: Kind, change: f64, thresholds: Thresholds) -> bool {
    match kind {
        Kind::Latency => change > thresholds.latency.ln_1p() || change < (-thresholds.latency).ln_1p(),
        // More bandwidth is less time.
        Kind::Throughput => {
            -change > thresholds.throughput.ln_1p() || -change < (-thresholds.throughput).ln_1p()
        }
    }
}

/// What counts of a measurement.
fn kind(key: &Key) -> Kind {
    let rates = [
        Operation::Bandwidth,
        Operation::Bibandwidth,
        Operation::MessageRate,
    ];
    let is_rate = rates.iter().any(|rate| rate.name() == key.operation);
    match is_rate || key.bytes >= LONG {
        true => Kind::Throughput,
        false => Kind::Latency,
    }
}
