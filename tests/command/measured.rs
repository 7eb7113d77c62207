//! `warpcomm bench`, with the launchers of this machine and real ranks.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use crate::machine::{output, start, text};
use crate::record::Row;
use crate::{reading, schema};

fn bench(directory: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_warpcomm"));
    command
        .arg("bench")
        .args(arguments)
        // What is proved of MPI is another matter.
        .env("WARPCOMM_CUDA_AWARE", "no")
        .current_dir(directory);
    command
}

#[test]
fn every_operation_is_measured_beside_mpi() {
    let operations = [
        "latency",
        "bandwidth",
        "bibandwidth",
        "message_rate",
        "overlap",
        "barrier",
        "bcast",
        "scatter",
        "scatterv",
        "gather",
        "gatherv",
        "allgather",
        "allgatherv",
        "alltoall",
        "alltoallv",
        "alltoallw",
        "reduce",
        "allreduce",
        "reduce_scatter",
        "reduce_scatter_block",
        "scan",
        "exscan",
    ];
    let directory = tempfile::tempdir().unwrap();
    let arguments = [
        "--place", "host", "--quick", "--sizes", "16K", "--json", "a.json", "--csv", "a.csv",
    ];
    let arguments = [
        &operations[..],
        &arguments[..],
        &["--seconds", "0.001", "--samples", "3"],
    ]
    .concat();
    let done = output(&mut bench(directory.path(), &arguments));
    let stdout = text(&done.stdout);
    assert!(done.status.success(), "{stdout}{}", text(&done.stderr));
    let file = directory.path().join("a.json");
    schema::check(&fs::read_to_string(&file).unwrap());
    let [measured] = &reading::read(&file).unwrap()[..] else {
        panic!("one run");
    };
    assert!(measured.is_complete());
    assert!(measured.left_out.is_empty(), "{:?}", measured.left_out);
    let found: Vec<_> = measured
        .rows
        .iter()
        .map(|row| (row.key.operation.as_str(), row.key.by.as_str()))
        .collect();
    let wanted: Vec<_> = operations
        .iter()
        .flat_map(|&operation| [(operation, "mpi"), (operation, "warpcomm")])
        .collect();
    assert_eq!(found, wanted);
    let is_checked = |row: &Row| row.checked && row.key.ranks == 2 && row.samples.len() <= 3;
    assert!(measured.rows.iter().all(is_checked));
    let csv = fs::read_to_string(directory.path().join("a.csv")).unwrap();
    assert_eq!(csv.lines().count(), 1 + wanted.len());
}

/// The processes with this word in an argument.
fn processes_with(word: &str) -> Vec<String> {
    let entries = fs::read_dir("/proc").unwrap().flatten();
    let lines = entries.filter_map(|entry| fs::read_to_string(entry.path().join("cmdline")).ok());
    lines.filter(|line| line.contains(word)).collect()
}

#[test]
fn an_interrupted_job_leaves_no_rank() {
    let directory = tempfile::tempdir().unwrap();
    let arguments = [
        "alltoall",
        "--place",
        "host",
        "--seconds",
        "600",
        "--samples",
        "1000000000",
        "--sizes",
        "7654321",
    ];
    let mut command = bench(
        directory.path(),
        &[&arguments[..], &["--json", "a.json"]].concat(),
    );
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = start(&mut command);
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    // The heading: the ranks are there.
    assert!(
        lines
            .by_ref()
            .map(Result::unwrap)
            .any(|line| line.starts_with("# ranks: 2"))
    );
    let sent = Command::new("/bin/sh")
        .args(["-c", "kill -s INT \"$0\"", &child.id().to_string()])
        .status();
    assert!(sent.unwrap().success());
    let done = child.wait_with_output().unwrap();
    assert_eq!(done.status.code(), Some(130), "{}", text(&done.stderr));
    let measured = &reading::read(&directory.path().join("a.json")).unwrap()[0];
    assert!(measured.end.as_ref().is_some_and(|end| !end.complete));
    assert_eq!(processes_with("7654321"), Vec::<String>::new());
}
