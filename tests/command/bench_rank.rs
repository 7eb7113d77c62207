//! `warpcomm-rank bench`: what the ranks that measure say, with the launchers of this machine.

use std::collections::BTreeMap;
use std::process::Command;

use serde_json::{Value, json};
use warpcomm::{Dtype, Op};

use crate::machine::{output, text};

const MESSAGES: [&str; 5] = ["latency", "bandwidth", "bibandwidth", "message_rate", "overlap"];

const COLLECTIVES: [&str; 11] = [
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
];

const REDUCTIONS: [&str; 6] = [
    "reduce",
    "allreduce",
    "reduce_scatter",
    "reduce_scatter_block",
    "scan",
    "exscan",
];

/// All operations, by `by` with buffers at `place`.
fn everything(by: &str, place: &str) -> Vec<Value> {
    let all = MESSAGES.iter().chain(&COLLECTIVES).chain(&REDUCTIONS);
    all.map(|operation| series(operation, by, place, "f32", "sum"))
        .collect()
}

fn series(operation: &str, by: &str, place: &str, dtype: &str, op: &str) -> Value {
    let is_reduction = REDUCTIONS.contains(&operation);
    json!({
        "operation": operation, "by": by, "place": place, "path": null, "dtype": dtype,
        "op": is_reduction.then_some(op),
    })
}

/// A series in a job that is forced to a path.
fn forced(path: &str, mut series: Value) -> Value {
    series["path"] = json!(path);
    series
}

/// A job of ranks that spend no more time than they must.
fn job(ranks: &str, options: &[&str], series: &[Value], sizes: &[u64]) -> Command {
    let effort = json!({"warm_up": 1, "seconds": 0.0, "samples": 1, "check": true});
    let task = json!({"series": series, "sizes": sizes, "effort": effort});
    let mut command = Command::new(env!("CARGO_BIN_EXE_warpcomm"));
    command
        .args(["run", "-n", ranks])
        .args(options)
        .arg(env!("CARGO_BIN_EXE_warpcomm-rank"))
        .args(["bench", "--task", &task.to_string()])
        .env("WARPCOMM_TUNING", "none")
        .env("WARPCOMM_CUDA_AWARE", "no");
    command
}

/// What the ranks of a job say between their job and the end.
struct Answers {
    job: Value,
    rows: Vec<Value>,
    left_out: Vec<Value>,
}

fn answers(command: &mut Command) -> Answers {
    let done = output(command);
    let stdout = text(&done.stdout);
    assert!(done.status.success(), "{stdout}{}", text(&done.stderr));
    let mut lines = stdout.lines().map(|line| serde_json::from_str(line).unwrap());
    let job: Value = lines.next().expect("a first line");
    assert_eq!(job["answer"], "job", "{stdout}");
    let (mut rows, mut left_out) = (Vec::new(), Vec::new());
    for line in lines {
        let line: Value = line;
        match line["answer"].as_str().unwrap() {
            "row" => rows.push(line),
            "left_out" => left_out.push(line),
            last => assert_eq!(last, "done"),
        }
    }
    assert!(stdout.ends_with("{\"answer\":\"done\"}\n"), "{stdout}");
    Answers { job, rows, left_out }
}

impl Answers {
    /// How many rows each operation has.
    fn counts(&self) -> BTreeMap<&str, usize> {
        let mut counts = BTreeMap::new();
        for row in &self.rows {
            *counts.entry(row["operation"].as_str().unwrap()).or_default() += 1;
        }
        counts
    }
}

/// Sees to it that a row is one that can be shown.
fn is_whole(row: &Value) {
    let number = |value: &Value| value.as_f64().unwrap_or_else(|| panic!("{row}"));
    let seconds = ["minimum", "median", "p99", "maximum"].map(|name| number(&row["seconds"][name]));
    assert!(seconds[0] > 0.0 && seconds.is_sorted(), "{row}");
    assert_eq!(row["samples"].as_array().map(Vec::len), Some(1), "{row}");
    assert_eq!(row["checked"], true, "{row}");
    let has_elements = row["operation"] != "barrier";
    assert_eq!(row["algorithm_bandwidth"].is_number(), has_elements, "{row}");
    if has_elements {
        let bandwidth = number(&row["algorithm_bandwidth"]) * seconds[1] / number(&row["bytes"]);
        // Of the caller's view, in both directions, and of a block for each rank.
        let factors = [1.0, 2.0, number(&row["ranks"])];
        let is_factor = factors
            .iter()
            .any(|factor| (bandwidth / factor - 1.0).abs() < 1e-9);
        assert!(is_factor, "{row}");
    }
    assert_eq!(row["overlap"].is_number(), row["operation"] == "overlap", "{row}");
}

#[test]
fn every_operation_is_measured_on_hosts_beside_mpis_own() {
    let all = [everything("warpcomm", "host"), everything("mpi", "host")].concat();
    let answers = answers(&mut job("3", &[], &all, &[12, 30_000]));
    assert!(answers.left_out.is_empty(), "{:?}", answers.left_out);
    answers.rows.iter().for_each(is_whole);
    for (operation, rows) in answers.counts() {
        let each = if operation == "barrier" { 1 } else { 2 };
        assert_eq!(rows, 2 * each, "{operation}");
    }
    assert_eq!(answers.counts().len(), 22);
    assert_eq!(answers.job["nodes"], 1);
    assert!(!answers.job["mpi"].as_str().unwrap().is_empty());
    let long_sum = |row: &&Value| row["operation"] == "allreduce" && row["bytes"] == 30_000;
    let algorithms: Vec<&Value> = answers.rows.iter().filter(long_sum).collect();
    assert_eq!(algorithms[0]["algorithm"], "blocks");
    assert_eq!(algorithms[1]["algorithm"], Value::Null);
}

#[test]
fn reductions_of_every_type_are_exact() {
    let mut all = Vec::new();
    for &dtype in Dtype::ALL {
        all.push(series("alltoall", "warpcomm", "host", dtype.name(), ""));
        all.push(series("alltoall", "mpi", "host", dtype.name(), ""));
        for &op in Op::ALL {
            all.push(series(
                "reduce_scatter",
                "warpcomm",
                "host",
                dtype.name(),
                op.name(),
            ));
            all.push(series("allreduce", "mpi", "host", dtype.name(), op.name()));
        }
    }
    let answers = answers(&mut job("2", &[], &all, &[1000]));
    let by_us = |left_out: &&Value| left_out["by"] == "warpcomm";
    for left_out in answers.left_out.iter().filter(by_us) {
        let reason = left_out["reason"].as_str().unwrap();
        assert!(reason.contains(" is not defined on "), "{left_out}");
    }
    // MPICH 4.0.2 compares unsigned integers as signed ones.
    let is_of_mpich = |left_out: &Value| {
        let mpi = answers.job["mpi"].as_str().unwrap();
        let is_unsigned = left_out["dtype"].as_str().unwrap().starts_with('u');
        mpi.starts_with("MPICH") && is_unsigned && (left_out["op"] == "min" || left_out["op"] == "max")
    };
    for left_out in &answers.left_out {
        let is_wrong = left_out["reason"].as_str().unwrap().contains("wrong");
        assert!(!is_wrong || is_of_mpich(left_out), "{left_out}");
    }
    let pairs = || {
        let all = Dtype::ALL.iter().map(|&dtype| {
            let defined = Op::ALL.iter().filter(|op| op.supports(dtype));
            defined.count()
        });
        all.sum::<usize>()
    };
    assert_eq!(answers.counts()["reduce_scatter"], pairs());
    // A thousand bytes are no whole number of the longest elements: more are measured, and said.
    let longest = answers.rows.iter().find(|row| row["dtype"] == "c64").unwrap();
    assert_eq!(longest["bytes"], 1008);
}

#[test]
fn what_cannot_be_measured_is_said_and_the_rest_goes_on() {
    let all = [
        series("latency", "warpcomm", "host", "u8", ""),
        series("sing", "warpcomm", "host", "u8", ""),
        series("allreduce", "warpcomm", "host", "i32", "avg"),
        series("allreduce", "mpi", "host", "bf16", "sum"),
        series("bcast", "nccl", "host", "f32", ""),
        forced("staged", series("bcast", "warpcomm", "host", "f32", "")),
        series("barrier", "warpcomm", "host", "u8", ""),
    ];
    let answers = answers(&mut job("1", &[], &all, &[8]));
    let reasons: Vec<&str> = answers
        .left_out
        .iter()
        .map(|left_out| left_out["reason"].as_str().unwrap())
        .collect();
    let expected = [
        "messages need two ranks",
        "there is no operation \"sing\"",
        "avg is not defined on i32",
        "MPI has no reductions of bf16",
        "nccl is for buffers on GPUs",
        "only elements on GPUs have paths, and only warpcomm's choice is known",
    ];
    assert_eq!(reasons, expected);
    assert_eq!(answers.counts(), BTreeMap::from([("barrier", 1)]));
}

#[test]
fn a_rank_that_fails_ends_the_job_and_says_why() {
    let all = [series("latency", "warpcomm", "host", "u8", "")];
    let sizes = [8, 5000, 100_000, 200_000];
    let done = output(job("2", &[], &all, &sizes).env("WARPCOMM_FAULT", "fail:80@1"));
    let stderr = text(&done.stderr);
    assert!(!done.status.success(), "{stderr}");
    assert!(
        stderr.contains("warpcomm bench: ") && stderr.contains("injected fault"),
        "{stderr}"
    );
    assert!(!text(&done.stdout).contains("done"), "{}", text(&done.stdout));
}

#[test]
fn a_task_that_cannot_be_read_is_a_wrong_argument() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_warpcomm-rank"));
    let refused = output(command.args(["bench", "--task", "{\"series\": 1}"]));
    assert_eq!(refused.status.code(), Some(2));
    assert!(
        text(&refused.stderr).contains("invalid type"),
        "{}",
        text(&refused.stderr)
    );
}

#[cfg(feature = "cuda")]
#[test]
fn every_operation_is_measured_on_gpus_beside_copies_by_hand() {
    let mut all = [everything("warpcomm", "device"), everything("staging", "device")].concat();
    all.push(series("latency", "warpcomm", "pinned", "c64", ""));
    all.push(series("alltoallw", "mpi", "pinned", "i16", ""));
    all.push(series("allreduce", "warpcomm", "device", "bf16", "avg"));
    all.push(series("allreduce", "nccl", "device", "f32", "sum"));
    let answers = answers(&mut job("2", &["--sim=1"], &all, &[12, 30_000]));
    answers.rows.iter().for_each(is_whole);
    let left_out: Vec<String> = answers
        .left_out
        .iter()
        .map(|left_out| format!("{} {}", left_out["by"], left_out["operation"]).replace('"', ""))
        .collect();
    let expected = [
        "staging bibandwidth",
        "staging overlap",
        "staging barrier",
        "nccl allreduce",
    ];
    // Where NCCL is, it refuses simulated GPUs.
    assert_eq!(left_out, expected);
    let counts = answers.counts();
    assert_eq!(counts["exscan"], 4);
    assert_eq!(counts["latency"], 6);
    assert_eq!(answers.job["simulated"], true);
    let [gpu] = &answers.job["gpus"].as_array().unwrap()[..] else {
        panic!("{}", answers.job);
    };
    assert!(gpu["uuid"].as_str().unwrap().starts_with("GPU-"), "{gpu}");
    let leader = answers
        .rows
        .iter()
        .find(|row| row["operation"] == "reduce" && row["bytes"] == 30_000);
    assert_eq!(leader.unwrap()["algorithm"], "leader");
    assert_eq!(leader.unwrap()["carried"], "same-gpu-ipc");
}

#[cfg(feature = "cuda")]
#[test]
fn a_figure_of_a_path_is_of_what_that_path_has_carried() {
    let all = [
        forced(
            "shared-pinned",
            series("latency", "warpcomm", "device", "f32", ""),
        ),
        forced(
            "shared-pinned",
            series("allreduce", "warpcomm", "device", "f32", "sum"),
        ),
        forced("staged", series("latency", "warpcomm", "device", "f32", "")),
    ];
    let mut command = job("2", &["--sim=1"], &all, &[8, 40_000, 200_000]);
    let answers = answers(command.env("WARPCOMM_PATHS", "shared-pinned"));
    let carried: Vec<String> = answers
        .rows
        .iter()
        .map(|row| format!("{} {} {}", row["operation"], row["bytes"], row["carried"]).replace('"', ""))
        .collect();
    let expected = [
        "latency 8 null",
        "latency 40000 shared-pinned",
        "latency 200000 shared-pinned",
        "allreduce 8 null",
        "allreduce 200000 shared-pinned",
    ];
    assert_eq!(carried, expected);
    let reasons: Vec<&str> = answers
        .left_out
        .iter()
        .map(|left_out| left_out["reason"].as_str().unwrap())
        .collect();
    let expected = [
        // The host folds what is so short.
        "40000 bytes went another way than shared-pinned: blocks, staged",
        "this job is not forced to staged by WARPCOMM_PATHS",
    ];
    assert_eq!(reasons, expected);
    let lengths: Vec<&Value> = answers
        .left_out
        .iter()
        .map(|left_out| &left_out["bytes"])
        .collect();
    assert_eq!(lengths, [&Value::from(40_000), &Value::Null]);

    let all = [forced(
        "peer-gpu-ipc",
        series("latency", "warpcomm", "device", "f32", ""),
    )];
    let mut command = job("2", &["--sim=1"], &all, &[8]);
    let answers = self::answers(command.env("WARPCOMM_PATHS", "peer-gpu-ipc"));
    assert!(answers.rows.is_empty());
    let reason = answers.left_out[0]["reason"].as_str().unwrap();
    assert!(reason.contains("no path is left"), "{reason}");
}
