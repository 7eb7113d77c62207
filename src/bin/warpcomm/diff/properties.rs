//! Measurements made up as a noisy machine makes them, where it is known whether anything has changed.
//!
//! A launch lands in one of two placements, which slow its measurements down by up to a quarter, each by another part; the machine
//! drifts; now and then somebody else uses it for the time of a measurement, or of a launch; samples have a heavy tail.

use std::collections::BTreeMap;

use proptest::collection::vec;
use proptest::prelude::*;

use super::launches::Compared;
use super::test::compare;
use super::verdict::{Change, Kind, Thresholds, Verdict, judge};
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
            carried: None,
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
        build: None,
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
    judge(&Compared::new(first, second, |_| true), THRESHOLDS, true)
}

fn count(changes: &[Change], verdict: Verdict) -> usize {
    changes.iter().filter(|change| change.verdict == verdict).count()
}

/// Another thing than the operation that is slower has become slower.
fn wrong(changes: &[Change], slow: &str) -> usize {
    let slower = changes.iter().filter(|change| change.verdict == Verdict::Slower);
    slower.filter(|change| change.key.operation != slow).count()
}

#[test]
fn one_build_is_never_slower_than_itself() {
    let mut lab = Lab::new(1);
    let first = lab.runs(6, "", 1.0);
    for repetition in 0..20 {
        let changes = changes(&first, &lab.runs(6, "", 1.0));
        assert_eq!(changes.len(), 100);
        assert_eq!(count(&changes, Verdict::Slower), 0, "repetition {repetition}");
        assert_eq!(count(&changes, Verdict::TooFew), 0, "repetition {repetition}");
    }
}

#[test]
fn an_operation_that_is_a_fifth_slower_is_found() {
    for seed in 0..5 {
        let mut lab = Lab::new(seed);
        let changes = changes(&lab.runs(7, "", 1.0), &lab.runs(7, "allreduce", 1.2));
        let found = count(&changes, Verdict::Slower);
        assert!(found >= 5, "seed {seed}: {found} of 10");
        assert_eq!(wrong(&changes, "allreduce"), 0, "seed {seed}");
        assert_eq!(changes[0].verdict, Verdict::Slower, "the worst is first");
    }
}

#[test]
fn three_launches_are_enough_against_twenty() {
    let mut lab = Lab::new(3);
    let first = lab.runs(20, "", 1.0);
    assert_eq!(count(&changes(&first, &lab.runs(3, "", 1.0)), Verdict::Slower), 0);
    let slower = changes(&first, &lab.runs(3, "scan", 1.5));
    assert!(count(&slower, Verdict::Slower) > 0);
    assert_eq!(wrong(&slower, "scan"), 0);
}

/// Launches with MPI's own rows beside those of the library, of which some take so many times as long.
fn beside_mpi(lab: &mut Lab, own: f64, mpi: f64) -> Vec<Measured> {
    let mut runs = lab.runs(8, "", 1.0);
    for run in &mut runs {
        let mut beside = run.rows.clone();
        let scaled = |row: &mut Row, factor: f64| row.samples.iter_mut().for_each(|sample| *sample *= factor);
        for row in &mut beside {
            row.key.by = "mpi".to_owned();
            scaled(
                row,
                if row.key.operation == "allreduce" {
                    mpi
                } else {
                    1.0
                },
            );
        }
        let of_allreduce = run.rows.iter_mut().filter(|row| row.key.operation == "allreduce");
        of_allreduce.for_each(|row| scaled(row, own));
        run.rows.append(&mut beside);
    }
    runs
}

#[test]
fn what_mpi_does_too_is_the_machine() {
    for (own, mpi, slower, machine) in [
        (1.3, 1.3, false, true),
        (1.3, 1.0, true, false),
        (1.0, 1.3, false, true),
    ] {
        let mut lab = Lab::new(7);
        let (first, second) = (beside_mpi(&mut lab, 1.0, 1.0), beside_mpi(&mut lab, own, mpi));
        let changes = changes(&first, &second);
        assert_eq!(count(&changes, Verdict::Slower) > 0, slower, "{own} {mpi}");
        assert_eq!(count(&changes, Verdict::Machine) > 0, machine, "{own} {mpi}");
        assert_eq!(wrong(&changes, "allreduce"), 0);
        let elsewhere = judge(&Compared::new(&first, &second, |_| true), THRESHOLDS, false);
        assert_eq!(
            count(&elsewhere, Verdict::Machine),
            0,
            "of two machines all rows count"
        );
        assert!(count(&elsewhere, Verdict::Slower) > 0);
        let on_gpus = |mut runs: Vec<Measured>| {
            let rows = runs.iter_mut().flat_map(|run| &mut run.rows);
            for row in rows.filter(|row| row.key.by == "warpcomm") {
                row.key.place = "device".to_owned();
            }
            runs
        };
        let on_gpus = judge(
            &Compared::new(&on_gpus(first), &on_gpus(second), |_| true),
            THRESHOLDS,
            true,
        );
        assert_eq!(
            count(&on_gpus, Verdict::Slower) > 0,
            own > 1.0,
            "on GPUs: {own} {mpi}"
        );
    }
}

#[test]
fn too_few_launches_do_not_tell() {
    let mut lab = Lab::new(4);
    let changes = changes(&lab.runs(5, "", 1.0), &lab.runs(5, "gather", 2.0));
    assert_eq!(
        count(&changes, Verdict::Slower) + count(&changes, Verdict::Faster),
        0
    );
    assert!(count(&changes, Verdict::TooFew) >= 9);
    assert!(changes.iter().all(|change| change.chance.is_none()));
}

#[test]
fn what_only_a_part_of_the_launches_has_measured_is_judged_by_those() {
    let mut lab = Lab::new(5);
    let first = lab.runs(6, "", 1.0);
    let mut second = lab.runs(6, "", 1.0);
    for run in &mut second[..3] {
        run.rows.retain(|row| row.key.operation != "bcast");
    }
    let changes = changes(&first, &second);
    let of_bcast: Vec<&Change> = changes
        .iter()
        .filter(|change| change.key.operation == "bcast")
        .collect();
    assert_eq!(of_bcast.len(), 10);
    assert!(
        of_bcast
            .iter()
            .all(|change| change.launches == [6, 3] && change.chance.is_none())
    );
    assert_eq!(count(&changes, Verdict::Slower), 0);
}

#[test]
fn short_messages_have_a_threshold_and_long_ones_another() {
    let mut lab = Lab::new(6);
    let (first, second) = (lab.runs(8, "", 1.0), lab.runs(8, "allreduce", 1.4));
    let compared = Compared::new(&first, &second, |key| key.operation == "allreduce");
    for (latency, throughput, kind) in [(0.1, 0.5, Kind::Latency), (0.9, 0.1, Kind::Throughput)] {
        let changes = judge(&compared, Thresholds { latency, throughput }, true);
        let slower = || changes.iter().filter(|change| change.verdict == Verdict::Slower);
        assert!(
            slower().count() > 0 && slower().all(|change| change.kind == kind),
            "{kind:?}"
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 16, ..ProptestConfig::default() })]

    /// What is slower one way round is faster the other.
    #[test]
    fn files_may_change_places(rows in vec(vec(-1.0..1.0_f64, 10), 1..20)) {
        let rows: Vec<Vec<Option<f64>>> = rows.iter().map(|row| row.iter().copied().map(Some).collect()).collect();
        let rows: Vec<&[Option<f64>]> = rows.iter().map(Vec::as_slice).collect();
        let is_second: Vec<bool> = (0..10).map(|launch| launch >= 5).collect();
        let is_first: Vec<bool> = is_second.iter().map(|second| !second).collect();
        let (there, back) = (compare(&rows, &is_second), compare(&rows, &is_first));
        let pairs = there.plain.iter().zip(&back.plain).chain(there.without_shared.iter().zip(&back.without_shared));
        for (there, back) in pairs {
            prop_assert_eq!(there.is_some(), back.is_some());
            if let (Some(there), Some(back)) = (there, back) {
                prop_assert!((there.change + back.change).abs() < 1e-9);
                prop_assert_eq!(there.slower, back.faster);
                prop_assert_eq!(there.faster, back.slower);
            }
        }
    }

    /// A chance is never less than that of one dealing of all, and shifts of whole rows do not matter.
    #[test]
    fn chances_are_parts_of_all_dealings(rows in vec(vec(-1.0..1.0_f64, 10), 1..20), shift in -9.0..9.0_f64) {
        let is_second: Vec<bool> = (0..10).map(|launch| launch >= 5).collect();
        let shifted = |shift: f64| -> Vec<f64> {
            let rows: Vec<Vec<Option<f64>>> =
                rows.iter().map(|row| row.iter().map(|value| Some(value + shift)).collect()).collect();
            let rows: Vec<&[Option<f64>]> = rows.iter().map(Vec::as_slice).collect();
            compare(&rows, &is_second).plain.iter().flatten().map(|evidence| evidence.slower).collect()
        };
        let chances = shifted(0.0);
        prop_assert_eq!(chances.len(), rows.len());
        prop_assert!(chances.iter().all(|chance| *chance >= 1.0 / 252.0 && *chance <= 1.0));
        for (one, other) in chances.iter().zip(shifted(shift)) {
            // Rounding may make dealings equal that are not.
            prop_assert!((one - other).abs() < 0.05, "{} {}", one, other);
        }
    }
}
