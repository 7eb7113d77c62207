//! Measurements made up as a noisy machine makes them, where it is known whether anything has changed.
//!
//! A launch lands in one of two placements, which slow its measurements down by up to a quarter, each by another part; the machine
//! drifts; now and then somebody else uses it for the time of a measurement, or of a launch; samples have a heavy tail.

use std::collections::BTreeMap;

use super::launches::Compared;
use super::verdict::{Change, Thresholds, Verdict, judge};
use crate::reading::Measured;
use crate::record::{End, Key, Machine, Row, Run};
use crate::statistics::Summary;

const OPERATIONS: [&str; 10] = [
    "latency",
    "bandwidth",
    "bcast",
    "gather",
    "allgather",
    "alltoall",
    "reduce",
    "allreduce",
    "scan",
    "reduce_scatter",
];

const THRESHOLDS: Thresholds = Thresholds {
    latency: 0.1,
    throughput: 0.1,
};

/// Splitmix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// From 0 to 1.
    fn part(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Around 0, with standard deviation 1.
    fn normal(&mut self) -> f64 {
        (-2.0 * (1.0 - self.part()).ln()).sqrt() * (std::f64::consts::TAU * self.part()).cos()
    }

    fn happens(&mut self, chance: f64) -> bool {
        self.part() < chance
    }
}

/// A made-up machine with a program on it.
struct Lab {
    random: Random,
    launches: usize,
}

impl Lab {
    fn new(seed: u64) -> Lab {
        Lab {
            random: Random(seed),
            launches: 0,
        }
    }

    /// Launches of a program whose operation of this name takes so many times as long.
    fn runs(&mut self, number: usize, slow: &str, factor: f64) -> Vec<Measured> {
        (0..number).map(|_| self.launch(slow, factor)).collect()
    }

    fn launch(&mut self, slow: &str, factor: f64) -> Measured {
        let other_placement = self.random.happens(0.5);
        let drift = 0.03 * (self.launches as f64 / 5.0).sin();
        let disturbed = if self.random.happens(0.05) { 0.2 } else { 0.0 };
        self.launches += 1;
        let mut rows = Vec::new();
        for (at, operation) in OPERATIONS.into_iter().enumerate() {
            for step in 0..10 {
                // The same in each launch.
                let affected = Random((at * 10 + step) as u64).part();
                let mut logarithm = drift + disturbed + 0.02 * self.random.normal();
                if other_placement {
                    logarithm += 0.25 * affected;
                }
                if self.random.happens(0.02) {
                    logarithm += 0.4 * self.random.part();
                }
                if operation == slow {
                    logarithm += factor.ln();
                }
                let bytes = 8 << (2 * step);
                let seconds = (1e-6 + bytes as f64 / 1e9) * logarithm.exp();
                rows.push(self.row(operation, bytes, seconds));
            }
        }
        Measured {
            run: run(),
            rows,
            left_out: Vec::new(),
            end: Some(End {
                complete: true,
                reason: None,
            }),
        }
    }

    fn row(&mut self, operation: &str, bytes: u64, seconds: f64) -> Row {
        let samples: Vec<f64> = (0..20)
            .map(|_| {
                let tail = if self.random.happens(0.1) {
                    self.random.part() * 5.0
                } else {
                    0.0
                };
                seconds * (1.0 + 0.02 * self.random.normal().abs() + tail)
            })
            .collect();
        Row {
            key: Key {
                operation: operation.to_owned(),
                by: "warpcomm".to_owned(),
                place: "host".to_owned(),
                path: None,
                dtype: "f32".to_owned(),
                op: None,
                ranks: 2,
                bytes,
            },
            algorithm: None,
            checked: true,
            repeats: 10,
            seconds: Summary::of(&samples).unwrap(),
            samples,
            algorithm_bandwidth: None,
            bus_bandwidth: None,
            message_rate: None,
            overlap: None,
        }
    }
}

fn run() -> Run {
    Run {
        format: 1,
        program: "warpcomm 0.1.0".to_owned(),
        commit: None,
        date: "2026-11-22T17:00:00Z".to_owned(),
        command: Vec::new(),
        machine: Machine {
            host: "node".to_owned(),
            processor: "a processor".to_owned(),
            processors: 2,
            kernel: "6.1".to_owned(),
            load_average: [0.0; 3],
        },
        job: None,
        ranks: 2,
        nodes: 1,
        gpus: Vec::new(),
        simulated: false,
        variables: BTreeMap::new(),
    }
}

fn changes(first: &[Measured], second: &[Measured]) -> Vec<Change> {
    judge(&Compared::new(first, second, |_| true), THRESHOLDS)
}

fn count(changes: &[Change], verdict: Verdict) -> usize {
    changes.iter().filter(|change| change.verdict == verdict).count()
}

#[test]
#[ignore = "tells how often the test is wrong, for who changes it"]
fn rates() {
    for launches in [5, 6, 8, 10] {
        let (mut alarms, mut found, mut rows, mut wrong) = (0, 0, 0, 0);
        for seed in 0..100 {
            let mut lab = Lab::new(seed);
            let before = lab.runs(launches, "", 1.0);
            let same = changes(&before, &lab.runs(launches, "", 1.0));
            alarms += usize::from(count(&same, Verdict::Slower) > 0);
            let slower = changes(&before, &lab.runs(launches, "allreduce", 1.2));
            let of = |is_slow| {
                let slower = slower.iter().filter(|change| change.verdict == Verdict::Slower);
                slower
                    .filter(|change| (change.key.operation == "allreduce") == is_slow)
                    .count()
            };
            found += usize::from(of(true) > 0);
            rows += of(true);
            wrong += of(false);
        }
        println!(
            "{launches} launches: {alarms} of 100 alarms, found {found} of 100 by {rows} of 1000 rows, {wrong} wrong rows"
        );
    }
}
