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
    Unchanged,
}

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

/// Judges all measurements of two files, the worst first.
pub fn judge(compared: &Compared, thresholds: Thresholds) -> Vec<Change> {
    let can_tell = |pair: &&Pair| {
        let [first, second] = pair.number(&compared.is_second);
        test::can_tell(first, second)
    };
    let (told, untold): (Vec<&Pair>, Vec<&Pair>) = compared.rows.iter().partition(can_tell);
    let rows: Vec<&[Option<f64>]> = told.iter().map(|pair| &pair.launches[..]).collect();
    let evidences = test::compare(&rows, &compared.is_second);
    let both = evidences.plain.into_iter().zip(evidences.without_shared);
    let told = told.into_iter().zip(both).map(|(pair, (plain, without_shared))| {
        told_of(pair, &compared.is_second, thresholds, plain, without_shared)
    });
    let untold = untold
        .into_iter()
        .map(|pair| untold_of(pair, &compared.is_second, thresholds));
    let mut changes: Vec<Change> = told.chain(untold).collect();
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

fn told_of(
    pair: &Pair,
    is_second: &[bool],
    thresholds: Thresholds,
    plain: Option<Evidence>,
    without_shared: Option<Evidence>,
) -> Change {
    let base = unjudged(pair, is_second);
    for (evidence, without_shared) in [(plain, false), (without_shared, true)] {
        let Some(evidence) = evidence else { continue };
        // The test takes launches that are far too slow for less slow ones; medians need not.
        let change = if without_shared {
            evidence.change
        } else {
            base.ratio.ln()
        };
        let (chance, verdict) = match change > 0.0 {
            true => (evidence.slower, Verdict::Slower),
            false => (evidence.faster, Verdict::Faster),
        };
        if chance <= LEVEL && exceeds(base.kind, change, thresholds) {
            return Change {
                verdict,
                ratio: change.exp(),
                without_shared,
                chance: Some(chance),
                ..base
            };
        }
    }
    let chance = plain.map(|evidence| evidence.slower.min(evidence.faster));
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
