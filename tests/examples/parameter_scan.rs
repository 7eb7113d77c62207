//! A scan with a record: whatever ends it, no result is lost and none in the record is computed again.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use rustix::process::Signal;

use crate::RANKS;
use crate::arrays::{Files, load, save};
use crate::job::{Job, Outcome, run, run_alone, run_threads};

#[path = "../../examples/parameter_scan/henon.rs"]
mod henon;

/// A scan that takes long enough to be ended in the middle.
struct Scan {
    files: Files,
    rows: Vec<[f64; 2]>,
    steps: u64,
}

impl Scan {
    fn new(rows: usize, steps: u64) -> Scan {
        let row = |row| {
            [
                1.0 + 0.4 * row as f64 / rows as f64,
                0.3 - 0.002 * (row % 7) as f64,
            ]
        };
        let mut rows: Vec<[f64; 2]> = (0..rows).map(row).collect();
        // Its orbit goes to infinity.
        rows[2] = [3.0, 0.3];
        let files = Files::new();
        let shape = [rows.len() as u64, 2];
        save(&files.path().join("ab.npy"), &shape, rows.as_flattened());
        Scan { files, rows, steps }
    }

    /// Calls `run` with the options of the scan.
    fn with<R>(&self, run: impl FnOnce(&[&str]) -> R) -> R {
        let [parameters, out, record] =
            ["ab.npy", "exponents.npy", "record"].map(|name| self.files.file(name));
        let steps = self.steps.to_string();
        run(&[
            "--parameters",
            &parameters,
            "--out",
            &out,
            "--record",
            &record,
            "--steps",
            &steps,
        ])
    }

    /// Checks what a run says that found so many results in the record, and the exponents.
    fn check(&self, outcome: Outcome, recorded: usize) {
        let (rows, steps) = (self.rows.len(), self.steps);
        let summary = outcome.success();
        assert_eq!(summary.lines().count(), 1, "{summary}");
        let expected = format!(
            "parameter_scan: {rows} parameters, {steps} steps, {recorded} results from the record, {} computed, ",
            rows - recorded
        );
        assert!(
            summary.starts_with(&expected),
            "{summary:?} does not say {expected:?}"
        );
        let out = self.files.path().join("exponents.npy");
        let (shape, exponents) = load::<f64>(&out);
        std::fs::remove_file(out).unwrap();
        assert_eq!(shape, [rows as u64]);
        for (&row, exponent) in self.rows.iter().zip(exponents) {
            let expected = henon::exponent(row, steps);
            assert_eq!(exponent.to_bits(), expected.to_bits(), "{row:?}");
        }
        assert_eq!(self.recorded(), rows);
    }

    fn record(&self) -> Vec<u8> {
        std::fs::read(self.files.path().join("record")).unwrap_or_default()
    }

    fn set_record(&self, bytes: &[u8]) {
        self.files.write("record", bytes);
    }

    /// How many results are in the record as whole lines, each once.
    fn recorded(&self) -> usize {
        let record = self.record();
        let lines: Vec<&[u8]> = record.split_inclusive(|&byte| byte == b'\n').skip(1).collect();
        let lines = lines.iter().filter(|line| line.ends_with(b"\n"));
        let numbers: Vec<&[u8]> = lines
            .map(|line| line.split(|&byte| byte == b' ').next().unwrap())
            .collect();
        let distinct: BTreeSet<_> = numbers.iter().collect();
        assert_eq!(distinct.len(), numbers.len(), "a task was computed twice");
        numbers.len()
    }

    /// Runs it on threads until some results are in the record, and ends it by a signal before all are.
    fn end_by(&mut self, signal: Signal) -> Outcome {
        self.end(Job::of_threads, |job| job.signal(signal))
    }

    /// Runs a job of it until some results are in the record, and ends it before all are.
    fn end(&mut self, start: fn(&str, usize, &[&str]) -> Job, end: impl Fn(&Job)) -> Outcome {
        loop {
            let mut job = self.with(|options| start("parameter_scan", 3, options));
            while self.recorded() < 5 && job.goes_on() {
                std::thread::sleep(Duration::from_millis(1));
            }
            if job.goes_on() {
                end(&job);
            }
            let outcome = job.finish();
            if self.recorded() < self.rows.len() {
                return outcome;
            }
            // The whole scan took no longer than it takes a launcher, or this test, to end it.
            self.set_record(b"");
            self.steps *= 2;
        }
    }
}

#[test]
fn any_number_of_ranks_finds_the_same_exponents() {
    let scan = Scan::new(20, 500);
    for ranks in RANKS {
        scan.check(
            scan.with(|options| run_threads("parameter_scan", ranks, options)),
            0,
        );
        scan.set_record(b"");
    }
    scan.check(scan.with(|options| run("parameter_scan", 3, options)), 0);
    for ranks in [1, 2] {
        let summary = run("parameter_scan", ranks, &[]).success();
        let known = "parameter_scan: 64 parameters, 20000 steps, 0 results from the record, 64 computed, 13 chaotic, ";
        assert!(summary.starts_with(known), "{summary}");
    }
}

#[test]
fn a_killed_scan_goes_on_where_it_was() {
    let mut scan = Scan::new(60, 400_000);
    assert_eq!(scan.end_by(Signal::KILL).status, None);
    let recorded = scan.recorded();
    assert!(recorded >= 5);
    scan.check(scan.with(|options| run("parameter_scan", 3, options)), recorded);
    let record = scan.record();
    scan.check(scan.with(|options| run("parameter_scan", 2, options)), 60);
    assert!(scan.record() == record, "nothing was to be done");
}

#[test]
fn an_interrupted_scan_keeps_what_is_done() {
    let mut scan = Scan::new(60, 400_000);
    let outcome = scan.end_by(Signal::INT);
    let recorded = scan.recorded();
    let said = format!("interrupted: {recorded} of 60 results are there and recorded");
    outcome.failure("parameter_scan", &[&said]);
    scan.check(
        scan.with(|options| run_threads("parameter_scan", 4, options)),
        recorded,
    );
}

#[cfg(all(feature = "mpi", feature = "cli"))]
#[test]
fn a_job_interrupted_from_its_terminal_keeps_what_is_done() {
    let mut scan = Scan::new(60, 2_000_000);
    let outcome = scan.end(Job::of_command, |job| job.signal_group(Signal::INT));
    let recorded = scan.recorded();
    outcome.failure(
        "parameter_scan",
        &[&format!(
            "interrupted: {recorded} of 60 results are there and recorded"
        )],
    );
    scan.check(scan.with(|options| run("parameter_scan", 3, options)), recorded);
}

#[test]
fn damaged_records_cost_no_more_than_the_damage() {
    let scan = Scan::new(8, 500);
    let again = || scan.with(|options| run_threads("parameter_scan", 2, options));
    scan.check(again(), 0);
    let whole = scan.record();
    let title = whole.iter().position(|&byte| byte == b'\n').unwrap() + 1;
    let last = whole[..whole.len() - 1]
        .iter()
        .rposition(|&byte| byte == b'\n')
        .unwrap()
        + 1;
    for (length, recorded) in [
        (whole.len() - 1, 7),
        (last + 5, 7),
        (last + 1, 7),
        (last, 7),
        (title, 0),
        (title - 1, 0),
        (4, 0),
        (0, 0),
    ] {
        scan.set_record(&whole[..length]);
        scan.check(again(), recorded);
        scan.check(again(), 8);
    }
}

#[test]
fn a_result_whose_bits_are_damaged_is_computed_again() {
    let scan = Scan::new(8, 500);
    let again = || scan.with(|options| run_threads("parameter_scan", 2, options));
    scan.check(again(), 0);
    let mut record = scan.record();
    let title = record.iter().position(|&byte| byte == b'\n').unwrap() + 1;
    // A digit of the first result.
    let digit = &mut record[title + 4];
    *digit = if *digit == b'0' { b'1' } else { b'0' };
    scan.set_record(&record);
    let summary = again().success();
    assert!(
        summary.contains("7 results from the record, 1 computed, "),
        "{summary}"
    );
    let (_, exponents) = load::<f64>(&scan.files.path().join("exponents.npy"));
    let expected = scan.rows.iter().map(|&row| henon::exponent(row, 500).to_bits());
    assert!(exponents.iter().map(|exponent| exponent.to_bits()).eq(expected));
}

#[test]
fn bad_scans_are_refused() {
    let files = Files::new();
    let refused = |arguments: &[&str], parts: &[&str]| {
        run_alone("parameter_scan", arguments).failure("parameter_scan", parts);
        run("parameter_scan", 3, arguments).failure("parameter_scan", parts);
    };
    let [missing, wide, record] = ["missing.npy", "wide.npy", "record"].map(|name| files.file(name));
    save(Path::new(&wide), &[2, 3], &[1.0; 6]);
    refused(&["--parameters", &missing], &[&missing, "No such file"]);
    refused(
        &["--parameters", &wide],
        &[&wide, "an array of 2x3; rows of 2 parameters are needed"],
    );
    run_threads("parameter_scan", 2, &["--record", &record, "--steps", "10"]).success();
    refused(
        &["--record", &record, "--steps", "11"],
        &[&record, "not a record of this scan"],
    );
    run_alone("parameter_scan", &["--record", "/dev/full"])
        .failure("parameter_scan", &["/dev/full", "not a regular file"]);
    run_alone("parameter_scan", &["--steps", "0"]).failure("parameter_scan", &["--steps"]);
}
