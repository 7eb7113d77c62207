//! The peers of `warpcomm bench`, with the launchers of this machine, and those of the pool.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::machine::{output, text};
use crate::record::{FORMAT, Key, Record, Row};
use crate::statistics::Summary;

/// The Python in which `ci/setup.sh --tests` has installed mpi4py, or the one that a variable names.
fn python() -> Option<PathBuf> {
    let installed = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/venv/bin/python");
    let python = std::env::var_os("WARPCOMM_TEST_PYTHON").map_or(installed, PathBuf::from);
    let found = Command::new(&python)
        .args(["-c", "import mpi4py, numpy"])
        .output();
    let found = found.is_ok_and(|output| output.status.success());
    let required = std::env::var("WARPCOMM_TEST_REQUIRE_MPI4PY").is_ok_and(|value| value == "1");
    assert!(found || !required, "{} has no mpi4py", python.display());
    if !found {
        eprintln!("skipped: {} has no mpi4py", python.display());
    }
    found.then_some(python)
}

/// What run.py does with arguments, roughly and on two ranks, and the file that it writes.
fn run(python: &Path, arguments: &[&str]) -> (Output, String) {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("peers.json");
    let mut command = Command::new(python);
    command
        .arg("-B")
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/benches/peers/host/run.py"))
        .args(["--warpcomm", env!("CARGO_BIN_EXE_warpcomm"), "--json"])
        .arg(&file)
        .args(["--seconds", "0.001", "--samples", "3"])
        .args(arguments)
        // What is compiled is none of cargo's.
        .env("CARGO_TARGET_DIR", directory.path());
    let done = output(&mut command);
    (done, std::fs::read_to_string(file).unwrap_or_default())
}

/// The rows of a run, without whose they are.
fn keys(rows: &[Row], by: &str) -> BTreeSet<Key> {
    let own = rows.iter().filter(|row| row.key.by == by);
    own.map(|row| Key {
        by: String::new(),
        ..row.key.clone()
    })
    .collect()
}

#[test]
fn both_programs_measure_the_same_operations_and_check_them() {
    let Some(python) = python() else { return };
    let (done, file) = run(&python, &["--sizes", "8,4K", "--by", "c", "--by", "mpi4py"]);
    assert!(done.status.success(), "{}", text(&done.stderr));
    let records = file.lines().map(|line| serde_json::from_str(line).unwrap());
    let (mut rows, mut programs, mut complete) = (Vec::new(), Vec::new(), 0);
    for record in records {
        match record {
            Record::Run(run) => {
                assert_eq!((run.format, run.ranks, run.nodes), (FORMAT, 2, 1));
                assert!(run.job.is_some_and(|job| !job.mpi.is_empty()));
                programs.push(run.program);
            }
            Record::Row(row) => rows.push(row),
            Record::LeftOut(left_out) => panic!("{left_out:?}"),
            Record::End(end) => {
                assert_eq!(end.reason, None);
                complete += usize::from(end.complete);
            }
        }
    }
    assert!(
        programs[0].starts_with("C, ") && programs[1].starts_with("mpi4py "),
        "{programs:?}"
    );
    assert_eq!(complete, 2);
    for row in &rows {
        assert!(row.checked, "{row:?}");
        let summary = Summary::of(&row.samples).unwrap();
        for (written, expected) in [
            (row.seconds.minimum, summary.minimum),
            (row.seconds.median, summary.median),
            (row.seconds.p99, summary.p99),
            (row.seconds.maximum, summary.maximum),
        ] {
            // Numbers lose their last bits when they are read.
            assert!((written / expected - 1.0).abs() < 1e-12, "{row:?}");
        }
    }
    // A barrier has no length.
    let expected = 13 * 2 + 1;
    assert_eq!(keys(&rows, "c").len(), expected);
    assert_eq!(keys(&rows, "c"), keys(&rows, "mpi4py"));
    assert_eq!(rows.len(), 2 * expected);
}

#[test]
fn what_they_do_not_know_is_refused_with_what_is_nearest() {
    let Some(python) = python() else { return };
    for (wrong, expected) in [
        (&["allreduced"][..], "did you mean 'allreduce'?"),
        (
            &["--sizes", "64:8"],
            "'64:8' is neither SIZE nor FIRST:LAST nor FIRST:LAST:FACTOR",
        ),
        (
            &["--sizes", "6"],
            "6 bytes are no whole number of elements of type f32, which have 4",
        ),
        (&["--dtype", "f16"], "invalid choice: 'f16' (choose from "),
        (&["-n", "1", "latency"], "2 ranks are needed, and 1 were given"),
    ] {
        let (refused, file) = run(&python, wrong);
        assert_eq!(refused.status.code(), Some(2));
        let message = text(&refused.stderr);
        assert!(message.contains(expected), "{message}");
        assert_eq!(file, "");
    }
}

#[test]
fn a_pool_of_others_does_what_the_plan_says() {
    let Some(python) = python() else { return };
    let directory = tempfile::tempdir().unwrap();
    let [plan, measured] = ["plan", "measured"].map(|name| directory.path().join(name));
    // As benches/pool/plan.rs has it.
    let text_of_plan = r#"{"seconds": 0, "samples": 2, "most_tasks": 99, "most_bytes": 65536, "payloads": [1024, 32768],
        "delays": [0.002, 0.001]}"#;
    std::fs::write(&plan, text_of_plan).unwrap();
    let mut command = Command::new(python);
    command
        .arg("-B")
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/benches/peers/pool/peer.py"))
        .args(["multiprocessing", "2"])
        .args([&plan, &measured]);
    let done = output(&mut command);
    assert!(done.status.success(), "{}", text(&done.stderr));
    let measured: serde_json::Value = serde_json::from_slice(&std::fs::read(measured).unwrap()).unwrap();
    let found: Vec<String> = measured["rows"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| {
            let calls = row["seconds"].as_array().unwrap().len();
            format!(
                "{} {} {} {} {calls}",
                row["case"], row["bytes"], row["chunk"], row["tasks"]
            )
        })
        .collect();
    let kinds = [
        ("empty", 0, 16, 2),
        ("payload", 1024, 16, 2),
        ("payload", 32768, 2, 2),
        ("uneven", 0, 2, 1),
    ];
    let expected = kinds.iter().flat_map(|(case, bytes, tasks, calls)| {
        ["1", "quarter", "share"].map(|chunk| format!("{case:?} {bytes} {chunk:?} {tasks} {calls}"))
    });
    assert_eq!(found, expected.collect::<Vec<_>>());
}
