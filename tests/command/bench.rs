//! `warpcomm bench`, with a launcher and ranks that only pretend.

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::machine::{MPICH, Machine, output, start, text};
use crate::reading::{self, Measured};
use crate::{elements, schema};

/// What a pretended launcher does to become a rank.
const BECOME_RANK: &str = r#"while :; do case "$1" in -n) shift 2;; -genv) export "$2=$3"; shift 3;; *) break;; esac; done
exec "$@""#;

/// What a pretended rank 0 does: it keeps what it is asked, and gives the answers that are there for its path.
const ANSWER: &str =
    r#"echo "$3" > "task-${WARPCOMM_PATHS:-chosen}"; cat "answers-${WARPCOMM_PATHS:-chosen}""#;

/// A machine whose ranks do the line `body`.
fn machine(body: &str) -> Machine {
    let machine = Machine::new()
        .launcher("mpiexec", MPICH, BECOME_RANK)
        .tools(&["sh", "cat", "sleep", "env"]);
    machine.program("warpcomm-rank", format!("#!/bin/sh\n{body}\n").as_bytes());
    machine
}

/// A machine whose ranks give these answers, with each path that they are forced to.
fn answering(answers: &[(&str, &[Value])]) -> Machine {
    let machine = machine(ANSWER);
    for (path, answers) in answers {
        let lines: String = answers.iter().map(|answer| format!("{answer}\n")).collect();
        fs::write(machine.path(&format!("answers-{path}")), lines).unwrap();
    }
    machine
}

fn job(gpus: usize) -> Value {
    let gpu = |number: usize| json!({"name": "a GPU", "uuid": format!("GPU-{number}"), "memory_bytes": 1 << 30, "driver": "570.86.15"});
    json!({
        "answer": "job", "mpi": "MPICH Version:\t4.0.2\nMPICH Device: ch4", "thread_level": "multiple",
        "machine": {"host": "node7", "processor": "a CPU", "processors": 96, "kernel": "6.1.0", "load_average": [0.5, 0.25, 0.0]},
        "nodes": 1, "gpus": (0..gpus).map(gpu).collect::<Vec<_>>(), "simulated": false,
    })
}

/// A row whose median is so many microseconds.
fn row(operation: &str, by: &str, place: &str, path: Option<&str>, bytes: u64, median: f64) -> Value {
    let seconds = median * 1e-6;
    let op = operation.contains("reduce").then_some("sum");
    json!({
        "answer": "row", "operation": operation, "by": by, "place": place, "path": path,
        "dtype": if op.is_some() { "f32" } else { "u8" }, "op": op, "ranks": 2, "bytes": bytes, "algorithm": null,
        "carried": null, "checked": true, "repeats": 10,
        "seconds": {"minimum": seconds / 2.0, "median": seconds, "p99": seconds * 2.0, "maximum": seconds * 3.0},
        "samples": [seconds, seconds / 2.0, seconds * 3.0], "algorithm_bandwidth": bytes as f64 / seconds,
        "bus_bandwidth": bytes as f64 / seconds, "message_rate": null, "overlap": null,
    })
}

fn done() -> Value {
    json!({"answer": "done"})
}

fn left_out(operation: &str, by: &str, reason: &str) -> Value {
    json!({
        "answer": "left_out", "operation": operation, "by": by, "place": "device", "path": null, "dtype": "u8", "op": null,
        "reason": reason,
    })
}

/// What a file of the machine says, which keeps to the schema.
fn written(machine: &Machine, name: &str) -> Vec<Measured> {
    schema::check(&fs::read_to_string(machine.path(name)).unwrap());
    reading::read(&machine.path(name)).unwrap()
}

fn task(machine: &Machine, path: &str) -> Value {
    let text = fs::read_to_string(machine.path(&format!("task-{path}"))).unwrap();
    serde_json::from_str(&text).unwrap()
}

/// The cells of the line of a table that begins with this number.
fn cells<'a>(stdout: &'a str, series: &str, bytes: &str) -> Vec<&'a str> {
    let mut lines = stdout.lines().skip_while(|line| !line.starts_with(series));
    let is_row = |line: &&str| line.split_whitespace().next() == Some(bytes);
    lines
        .find(is_row)
        .unwrap_or_else(|| panic!("{stdout}"))
        .split_whitespace()
        .collect()
}

#[test]
fn what_ranks_answer_becomes_tables_and_files() {
    let machine = answering(&[(
        "chosen",
        &[
            job(0),
            row("latency", "mpi", "host", None, 8, 2.0),
            row("latency", "mpi", "host", None, 64, 3.0),
            row("latency", "warpcomm", "host", None, 8, 1.0),
            row("latency", "warpcomm", "host", None, 64, 6.0),
            left_out("latency", "warpcomm", "no CUDA driver"),
            done(),
        ],
    )]);
    fs::write(
        machine.path("before.csv"),
        "of an earlier run, which is longer than what is written now\n".repeat(99),
    )
    .unwrap();
    let done = output(
        machine
            .installed(&[
                "bench",
                "latency",
                "--sizes",
                "8,64",
                "--json",
                "a.json",
                "--csv",
                "before.csv",
            ])
            .env("WARPCOMM_CHECK", "0")
            // Of whoever runs these tests.
            .envs([("WARPCOMM_TEST_DEADLINE", "8"), ("WARPCOMM_REQUIRE_GPU", "1")]),
    );
    let stdout = text(&done.stdout);
    assert!(done.status.success(), "{stdout}{}", text(&done.stderr));
    assert_eq!(text(&done.stderr), "");
    for line in [
        "# machine: node7, a CPU, 96 hardware threads, Linux 6.1.0",
        "# MPI: MPICH Version: 4.0.2, thread level multiple, started by MPICH 4.0.2",
        "# ranks: 2 on 1 node",
        "# GPUs: none",
        "# variables: WARPCOMM_CHECK=0",
        "# latency, u8, mpi: host buffers through MPI, 2 ranks, each element checked",
        "# latency, u8, device: GPU buffers by warpcomm: left out: no CUDA driver",
    ] {
        assert!(stdout.lines().any(|other| other == line), "{line}\n{stdout}");
    }
    assert_eq!(
        cells(&stdout, "# latency, u8, host: host buffers by warpcomm", "8"),
        ["8", "3", "0.50", "1.00", "2.00", "3.00", "0.008", "2.00x"]
    );
    assert_eq!(
        cells(&stdout, "# latency, u8, host: host buffers by warpcomm", "64")[7],
        "0.50x"
    );

    let [measured] = &written(&machine, "a.json")[..] else {
        panic!("one run");
    };
    assert!(measured.is_complete());
    assert_eq!((measured.rows.len(), measured.left_out.len()), (4, 1));
    let run = &measured.run;
    assert_eq!(run.command[..3], ["warpcomm", "bench", "latency"]);
    assert_eq!(run.variables["WARPCOMM_CHECK"], "0");
    assert_eq!(run.variables.len(), 1, "{:?}", run.variables);
    // Rank 0 may run on another machine than the command.
    assert_eq!((&*run.machine.host, run.machine.processors), ("node7", 96));
    let job = run.job.as_ref().unwrap();
    assert_eq!(job.arguments[..2], ["-n", "2"]);
    assert_eq!(job.mpi, "MPICH Version:\t4.0.2\nMPICH Device: ch4");

    let csv = fs::read_to_string(machine.path("before.csv")).unwrap();
    let lines: Vec<&str> = csv.lines().collect();
    assert!(
        lines[0].starts_with("operation,by,place,path,dtype,op,ranks,bytes,"),
        "{csv}"
    );
    assert!(
        lines[1].starts_with("latency,mpi,host,,u8,,2,8,,,true,10,3,"),
        "{csv}"
    );
    assert_eq!(lines.len(), 5, "{csv}");

    let task = task(&machine, "chosen");
    assert_eq!(task["sizes"], json!([8, 64]));
    let ways: Vec<_> = task["series"]
        .as_array()
        .unwrap()
        .iter()
        .map(|series| (&series["by"], &series["place"]))
        .collect();
    assert_eq!(
        format!("{ways:?}"),
        r#"[(String("mpi"), String("host")), (String("warpcomm"), String("host")), (String("warpcomm"), String("device"))]"#
    );
    assert_eq!(
        task["effort"],
        json!({"warm_up": 10, "seconds": 0.25, "samples": 200, "check": true})
    );
}

#[test]
fn a_length_that_is_left_out_is_one_among_others() {
    let mut missing = left_out("latency", "staging", "there is no memory for it");
    missing["bytes"] = json!(8);
    let answers = [
        job(0),
        row("latency", "mpi", "host", None, 8, 2.0),
        row("latency", "mpi", "host", None, 64, 2.0),
        missing,
        row("latency", "staging", "device", None, 64, 1.0),
        done(),
    ];
    let machine = answering(&[("chosen", &answers)]);
    let arguments = [
        "bench", "compare", "latency", "--sizes", "8,64", "--json", "a.json",
    ];
    let done = output(&mut machine.installed(&arguments));
    let stdout = text(&done.stdout);
    assert!(done.status.success(), "{stdout}{}", text(&done.stderr));
    let legend = "# staging: GPU buffers copied to the host, through MPI, and back; faster at all lengths; left out at 8 bytes: there \
                  is no memory for it\n";
    assert!(stdout.contains(legend), "{stdout}");
    assert_eq!(cells(&stdout, "# latency, u8, 2 ranks", "8"), ["8", "2.00", "-"]);
    assert!(text(&done.stderr).contains("latency, staging, 8 bytes: left out\n"));
    assert_eq!(written(&machine, "a.json")[0].left_out[0].bytes, Some(8));
}

/// The commit of which the next one tells.
const COMMIT: &str = "0123456789012345678901234567890123456789";

/// What a pretended git does: it keeps what it is asked, and tells of a commit from before the ranks were built.
const GIT: &str = r#"#!/bin/sh
echo "$*" >> log
case "$*" in *--git-path*) echo Cargo.toml;; *HEAD) echo 0123456789012345678901234567890123456789;; esac
"#;

#[test]
fn the_commit_is_found_out_before_anything_is_measured() {
    let machine = machine(&format!("echo measured >> log; {ANSWER}"));
    machine.program("git", GIT.as_bytes());
    let answers = [job(0), row("latency", "warpcomm", "host", None, 8, 1.0), done()]
        .map(|answer| format!("{answer}\n"));
    fs::write(machine.path("answers-chosen"), answers.concat()).unwrap();
    let arguments = ["bench", "latency", "--launches", "2", "--json", "a.json"];
    let done = output(&mut machine.installed(&arguments));
    assert!(done.status.success(), "{}", text(&done.stderr));
    let log = fs::read_to_string(machine.path("log")).unwrap();
    let lines: Vec<&str> = log.lines().collect();
    assert_eq!(lines[lines.len() - 2..], ["measured"; 2], "{log}");
    let asked = &lines[..lines.len() - 2];
    assert!(
        asked.iter().all(|line| line.starts_with("--no-optional-locks ")),
        "{log}"
    );
    let is_cloned = Path::new(env!("CARGO_MANIFEST_DIR")).join(".git").exists();
    for measured in written(&machine, "a.json") {
        assert_eq!(measured.run.commit.as_deref(), is_cloned.then_some(COMMIT));
        // A script has none.
        assert_eq!(measured.run.build, None);
    }
}

/// Answers of a launch of its own for each job, from the file with its number.
const ANSWER_IN_TURN: &str = r#"read n < count; echo $((n + 1)) > count; cat "answers-$n""#;

#[test]
fn each_launch_is_a_run_and_the_table_is_of_all() {
    let machine = machine(ANSWER_IN_TURN);
    let arguments = [
        "bench",
        "latency",
        "--place",
        "host",
        "--baseline",
        "none",
        "--launches",
        "3",
    ];
    let files = ["--json", "a.json", "--csv", "a.csv"];
    let answer = |number: usize, median, end: &str| {
        let row = row("latency", "warpcomm", "host", None, 8, median);
        let lines = format!("{}\n{row}\n{end}\n", job(0));
        fs::write(machine.path(&format!("answers-{number}")), lines).unwrap();
    };
    let whole = done().to_string();
    for (number, median) in [(1, 1.0), (2, 5.0), (3, 2.0)] {
        answer(number, median, &whole);
    }
    fs::write(machine.path("count"), "1\n").unwrap();
    let done = output(&mut machine.installed(&[&arguments[..], &files].concat()));
    let stdout = text(&done.stdout);
    assert!(done.status.success(), "{stdout}{}", text(&done.stderr));
    let title = "# latency, u8, host: host buffers by warpcomm";
    assert_eq!(
        cells(&stdout, title, "8"),
        ["8", "9", "0.50", "2.00", "4.00", "15.00", "0.004"]
    );
    assert!(
        stdout.contains("\n# launches: 3; the minimum and the maximum "),
        "{stdout}"
    );
    assert_eq!(stdout.matches("# machine: ").count(), 1, "{stdout}");
    assert_eq!(
        text(&done.stderr).lines().last(),
        Some("launch 3 of 3: latency, host, 8 bytes: 2.00 us")
    );
    let runs = written(&machine, "a.json");
    assert!(runs.iter().all(Measured::is_complete));
    let medians: Vec<f64> = runs.iter().map(|run| run.rows[0].seconds.median * 1e6).collect();
    assert_eq!(
        medians.iter().map(|median| median.round()).collect::<Vec<_>>(),
        [1.0, 5.0, 2.0]
    );
    let csv = fs::read_to_string(machine.path("a.csv")).unwrap();
    let launches: Vec<_> = csv.lines().map(|line| line.rsplit(',').next().unwrap()).collect();
    assert_eq!(launches, ["launch", "1", "2", "3"]);

    // The second launch dies: what there is of it counts, too, and there is no third.
    answer(2, 5.0, "");
    fs::write(machine.path("count"), "1\n").unwrap();
    let died = output(&mut machine.installed(&[&arguments[..], &files].concat()));
    assert_eq!(died.status.code(), Some(1));
    let stdout = text(&died.stdout);
    assert!(stdout.contains("\n# launches: 2 of 3; "), "{stdout}");
    assert_eq!(cells(&stdout, title, "8")[3], "3.00");
    let runs = written(&machine, "a.json");
    assert_eq!(
        runs.iter().map(Measured::is_complete).collect::<Vec<_>>(),
        [true, false]
    );
    assert_eq!(fs::read_to_string(machine.path("count")).unwrap(), "3\n");
}

#[test]
fn what_others_print_goes_to_the_standard_error() {
    let body = format!("echo hello; echo '{{\"a\": 1}}'; echo warning >&2; {ANSWER}");
    let machine = machine(&body);
    let answers =
        [job(0), row("bcast", "warpcomm", "host", None, 8, 1.0), done()].map(|answer| format!("{answer}\n"));
    fs::write(machine.path("answers-chosen"), answers.concat()).unwrap();
    let done = output(&mut machine.installed(&["bench", "bcast", "--place", "host", "--baseline", "none"]));
    assert!(done.status.success());
    let mut lines: Vec<String> = text(&done.stderr).lines().map(str::to_owned).collect();
    lines.sort();
    assert_eq!(lines, ["hello", "warning", r#"{"a": 1}"#]);
    assert!(!text(&done.stdout).contains("hello"));
}

#[test]
fn each_path_has_a_job_that_is_forced_to_it() {
    let of_path = |path| {
        [
            job(2),
            row("bandwidth", "warpcomm", "device", Some(path), 8, 1.0),
            done(),
        ]
    };
    let (staged, shared) = (of_path("staged"), of_path("shared-pinned"));
    let machine = answering(&[("staged", &staged), ("shared-pinned", &shared)]);
    let arguments = [
        "bench",
        "bandwidth",
        "--baseline",
        "none",
        "--path",
        "staged,shared-pinned",
        "--json",
        "a.json",
    ];
    let done = output(&mut machine.installed(&arguments));
    let stdout = text(&done.stdout);
    assert!(done.status.success(), "{stdout}{}", text(&done.stderr));
    assert!(
        stdout.contains("# GPUs: 2 x a GPU with 1024 MiB, driver 570.86.15\n"),
        "{stdout}"
    );
    let [measured] = &written(&machine, "a.json")[..] else {
        panic!("one run");
    };
    let paths: Vec<_> = measured.rows.iter().map(|row| row.key.path.as_deref()).collect();
    assert_eq!(paths, [Some("staged"), Some("shared-pinned")]);
    assert!(measured.run.variables.is_empty());
    assert_eq!(task(&machine, "staged")["series"].as_array().unwrap().len(), 1);
}

#[test]
fn jobs_for_gpus_that_are_not_there_are_not_started() {
    let machine = answering(&[(
        "chosen",
        &[job(0), row("latency", "mpi", "host", None, 8, 1.0), done()],
    )]);
    let done = output(&mut machine.installed(&["bench", "latency", "--path", "all", "--json", "a.json"]));
    assert!(done.status.success(), "{}", text(&done.stderr));
    let measured = &written(&machine, "a.json")[0];
    assert!(measured.is_complete());
    assert_eq!(measured.left_out.len(), 5);
    assert!(
        measured
            .left_out
            .iter()
            .all(|left_out| left_out.reason == "no rank has a GPU")
    );
    assert!(!machine.path("task-staged").exists());
}

#[test]
fn nccl_may_have_several_ranks_on_one_gpu_unless_the_caller_says_no() {
    let asked = |set: Option<&str>| {
        let body = format!(
            r#"echo "${{NCCL_MULTI_RANK_GPU_ENABLE-unset}}" > "asked-${{WARPCOMM_PATHS:-chosen}}"; {ANSWER}"#
        );
        let machine = machine(&body);
        let answers = format!("{}\n{}\n", job(1), done());
        for path in ["chosen", "staged"] {
            fs::write(machine.path(&format!("answers-{path}")), &answers).unwrap();
        }
        let mut command = machine.installed(&["bench", "compare", "bcast", "--sizes", "8"]);
        let done = output(command.envs(set.map(|value| ("NCCL_MULTI_RANK_GPU_ENABLE", value))));
        let said = |path| fs::read_to_string(machine.path(&format!("asked-{path}"))).unwrap();
        assert_eq!(done.status.code(), Some(1), "paths have no answers");
        [said("chosen"), said("staged")]
    };
    assert_eq!(asked(None), ["1\n", "unset\n"]);
    assert_eq!(asked(Some("0")), ["0\n", "0\n"]);
}

#[test]
fn ways_stand_side_by_side_with_their_crossovers() {
    let rows = |by, place, path, medians: [f64; 3]| {
        let lengths = [8, 1024, 65536].into_iter().zip(medians);
        lengths
            .map(move |(bytes, median)| row("allreduce", by, place, path, bytes, median))
            .collect::<Vec<_>>()
    };
    let mut left_out = left_out("allreduce", "nccl", "NCCL is not installed");
    left_out["dtype"] = json!("f32");
    left_out["op"] = json!("sum");
    let chosen = [
        vec![job(1)],
        rows("mpi", "host", None, [1.0, 4.0, 40.0]),
        rows("warpcomm", "host", None, [0.5, 5.0, 30.0]),
        rows("staging", "device", None, [9.0, 9.0, 50.0]),
        vec![left_out, done()],
    ]
    .concat();
    let of_path = |path| {
        [
            vec![job(1)],
            rows("warpcomm", "device", Some(path), [5.0, 3.0, 10.0]),
            vec![done()],
        ]
        .concat()
    };
    let paths = [
        "staged",
        "cuda-aware",
        "shared-pinned",
        "peer-gpu-ipc",
        "same-gpu-ipc",
    ]
    .map(|path| (path, of_path(path)));
    let mut answers: Vec<(&str, &[Value])> = vec![("chosen", &chosen)];
    answers.extend(paths.iter().map(|(path, answers)| (*path, &answers[..])));
    let machine = answering(&answers);
    let done = output(&mut machine.installed(&["bench", "compare", "allreduce", "--sizes", "8,1K,64K"]));
    let stdout = text(&done.stdout);
    assert!(done.status.success(), "{stdout}{}", text(&done.stderr));
    let names = stdout
        .lines()
        .find(|line| line.trim_start_matches('#').trim_start().starts_with("bytes "))
        .unwrap();
    let names: Vec<&str> = names
        .split_whitespace()
        .skip_while(|name| *name != "mpi")
        .collect();
    assert_eq!(
        names,
        [
            "mpi",
            "host",
            "staged",
            "cuda-aware",
            "shared-pinned",
            "peer-gpu-ipc",
            "same-gpu-ipc",
            "staging"
        ]
    );
    let cells = cells(&stdout, "# allreduce, f32, sum, 2 ranks", "1024");
    assert_eq!(cells[..6], ["1024", "4.00", "5.00", "0.80x", "3.00", "1.33x"]);
    for line in [
        "# allreduce, f32, sum, 2 ranks: medians in us, and how many times as fast as mpi",
        "# mpi: host buffers through MPI; the baseline",
        "# host: host buffers by warpcomm; faster from about 6.2 KiB on",
        "# staged: GPU buffers by warpcomm, through page-locked memory and MPI; faster from about 491 B on",
        "# staging: GPU buffers copied to the host, through MPI, and back; at no length faster",
        "# nccl: GPU buffers through NCCL; left out: NCCL is not installed",
    ] {
        assert!(stdout.lines().any(|other| other == line), "{line}\n{stdout}");
    }
    // Nothing is printed before the end, so that each row is told.
    assert!(
        text(&done.stderr).contains("allreduce, mpi, 8 bytes: 1.00 us\n"),
        "{}",
        text(&done.stderr)
    );
}

#[test]
fn times_on_simulated_gpus_are_compared_with_nothing() {
    let stdout = |by, arguments: &[&str]| {
        let mut job = job(1);
        job["simulated"] = json!(true);
        let of_host = row("bcast", "mpi", "host", None, 8, 2.0);
        let answers = [job, of_host, row("bcast", by, "device", None, 8, 1.0), done()];
        let machine = answering(&[("chosen", &answers)]);
        text(&output(&mut machine.installed(arguments)).stdout)
    };
    let table = stdout("warpcomm", &["bench", "bcast", "--place", "device"]);
    assert!(
        table.contains("# SIMULATED GPUs: times with buffers on GPUs mean nothing\n"),
        "{table}"
    );
    let title = "# bcast, u8, device: GPU buffers by warpcomm";
    assert_eq!(cells(&table, title, "8")[8], "-", "{table}");
    let compared = stdout("staging", &["bench", "compare", "bcast"]);
    assert_eq!(
        cells(&compared, "# bcast, u8, 2 ranks", "8"),
        ["8", "2.00", "1.00"]
    );
    let legend = "# staging: GPU buffers copied to the host, through MPI, and back; SIMULATED GPUs: these times mean nothing\n";
    assert!(compared.contains(legend), "{compared}");
}

/// Whether a process has ended; who waits for it may not have done that yet.
fn has_ended(process: &str) -> bool {
    let status = fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    status
        .rsplit(") ")
        .next()
        .is_none_or(|rest| rest.is_empty() || rest.starts_with('Z'))
}

#[test]
fn what_is_interrupted_keeps_what_it_has_and_ends_its_job() {
    for (signal, code) in [("INT", 130), ("TERM", 143)] {
        let body = "sleep 600 >&- 2>&- & echo $$ $! > processes; cat answers-chosen; exec sleep 600";
        let machine = machine(&format!("exec env --default-signal sh -c '{body}'"));
        let answers =
            [job(0), row("latency", "warpcomm", "host", None, 8, 1.0)].map(|answer| format!("{answer}\n"));
        fs::write(machine.path("answers-chosen"), answers.concat()).unwrap();
        let arguments = ["bench", "latency", "--baseline", "none", "--json", "a.json"];
        let mut command = machine.installed(&arguments);
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0);
        let mut child = start(&mut command);
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let is_row = |line: &String| line.split_whitespace().next() == Some("8");
        assert!(lines.by_ref().map(Result::unwrap).any(|line| is_row(&line)));
        // As at a terminal, which sends it to the whole group.
        let group = format!("-{}", child.id());
        let sent = Command::new("/bin/sh")
            .args(["-c", "kill -s \"$0\" -- \"$1\"", signal, &group])
            .status();
        assert!(sent.unwrap().success());
        let done = child.wait_with_output().unwrap();
        assert_eq!(done.status.code(), Some(code));
        assert_eq!(
            text(&done.stderr),
            format!("warpcomm bench: interrupted by SIG{signal}; what was measured is in `a.json`\n")
        );
        let measured = &written(&machine, "a.json")[0];
        assert_eq!(measured.rows.len(), 1);
        let end = measured.end.as_ref().unwrap();
        assert_eq!(
            (end.complete, end.reason.clone()),
            (false, Some(format!("interrupted by SIG{signal}")))
        );
        let processes = fs::read_to_string(machine.path("processes")).unwrap();
        let begin = Instant::now();
        while !processes.split_whitespace().all(has_ended) {
            assert!(begin.elapsed() < Duration::from_secs(30), "{processes}");
            thread::sleep(Duration::from_millis(5));
        }
    }
}

#[test]
fn a_job_that_dies_keeps_what_came() {
    for (how, said) in [("exit 7", "with exit status 7"), ("kill -9 $$", "by signal 9")] {
        let machine = machine(&format!("{ANSWER}; {how}"));
        let answers =
            [job(0), row("latency", "warpcomm", "host", None, 8, 1.0)].map(|answer| format!("{answer}\n"));
        fs::write(machine.path("answers-chosen"), answers.concat()).unwrap();
        let done = output(&mut machine.installed(&["bench", "latency", "--json", "a.json"]));
        assert_eq!(done.status.code(), Some(1));
        assert_eq!(
            text(&done.stderr),
            format!(
                "warpcomm bench: the job ended {said}, before everything was measured; what was measured is in `a.json`\n"
            )
        );
        let measured = &written(&machine, "a.json")[0];
        assert_eq!(measured.rows.len(), 1);
        let end = measured.end.as_ref().unwrap();
        assert_eq!(
            (end.complete, end.reason.clone()),
            (false, Some(format!("the job ended {said}")))
        );
    }
}

#[test]
fn a_job_that_never_begins_leaves_files_as_they_were() {
    let machine = machine("echo 'no such device' >&2; exit 1");
    fs::write(machine.path("old.json"), "precious\n").unwrap();
    for file in ["old.json", "new.json"] {
        let done = output(&mut machine.installed(&["bench", "latency", "--json", file]));
        assert_eq!(done.status.code(), Some(1));
        assert_eq!(
            text(&done.stderr),
            "no such device\nwarpcomm bench: the job ended with exit status 1, before everything was measured\n"
        );
    }
    assert_eq!(
        fs::read_to_string(machine.path("old.json")).unwrap(),
        "precious\n"
    );
    assert!(!machine.path("new.json").exists());
}

/// The message of a command that is refused before it starts anything.
fn refused(machine: &Machine, arguments: &[&str], code: i32) -> String {
    let done = output(&mut machine.installed(arguments));
    assert_eq!(done.status.code(), Some(code), "{arguments:?}");
    assert_eq!(text(&done.stdout), "", "{arguments:?}");
    assert!(!machine.path("task-chosen").exists(), "{arguments:?}");
    text(&done.stderr)
}

#[test]
fn wrong_arguments_name_the_nearest_right_ones() {
    let machine = answering(&[]);
    let wrong: [(&[&str], &str); 23] = [
        (&[], "<OPERATION>"),
        (&["latncy"], "a similar value exists: 'latency'"),
        (
            &["allreduce", "--dtype", "bf61"],
            "a similar value exists: 'bf16'",
        ),
        (&["allreduce", "--op", "summ"], "a similar value exists: 'sum'"),
        (
            &["latency", "--place", "devise"],
            "a similar value exists: 'device'",
        ),
        (
            &["latency", "--path", "stagd"],
            "a similar value exists: 'staged'",
        ),
        (
            &["latency", "--baseline", "ncll"],
            "a similar value exists: 'nccl'",
        ),
        (&["latency", "--sizes", "8T"], "there are K, M and G, as in `8K`"),
        (&["allreduce", "--sizes", "6"], "the nearest length is 8"),
        (
            &["allreduce", "--op", "avg", "--dtype", "i32"],
            "--op can be sum, prod, min, max, ",
        ),
        (
            &["latency", "--op", "sum"],
            "--op is for reductions, and `latency` is none",
        ),
        (
            &["latency", "--path", "staged", "--place", "host"],
            "add --place device",
        ),
        (&["latency", "-n", "1"], "it takes -n 2 or more"),
        (&["latency", "-n", "0"], "a job has at least one rank"),
        (&["latency", "--seconds", "0"], "it must be more than 0"),
        (
            &["latency", "--json", "a", "--csv", "a"],
            "--json and --csv name the same file",
        ),
        (
            &["latency", "--json", "a", "--csv", "./a"],
            "--json and --csv name the same file",
        ),
        (
            &["barrier", "--dtype", "f64"],
            "--dtype is for elements, and `barrier` has none",
        ),
        (
            &["barrier", "--sizes", "1M"],
            "--sizes is for elements, and `barrier` has none",
        ),
        (
            &["barrier", "--place", "device"],
            "--place is for elements, and `barrier` has none",
        ),
        (
            &["barrier", "--path", "staged"],
            "--path is for elements, and `barrier` has none",
        ),
        (&["latency", "--launches", "0"], "0 is not in 1..=1000"),
        (&["compare", "allreduec"], "a similar value exists: 'allreduce'"),
    ];
    for (arguments, expected) in wrong {
        let message = refused(&machine, &[&["bench"], arguments].concat(), 2);
        assert!(
            message.starts_with("error: ") && message.contains(expected),
            "{arguments:?}: {message}"
        );
    }
}

#[test]
fn what_is_missing_is_said_before_anything_is_measured() {
    let machine = answering(&[]);
    let unwritable = refused(&machine, &["bench", "latency", "--json", "absent/a.json"], 1);
    assert!(
        unwritable.starts_with("warpcomm bench: cannot write `absent/a.json`: No such file"),
        "{unwritable}"
    );
    let no_such = refused(&machine, &["bench", "latency", "--launcher", "absent"], 1);
    assert_eq!(
        no_such,
        "warpcomm bench: the launcher `absent` cannot be used: it is not on PATH\n"
    );
    fs::remove_file(machine.path("bin/mpiexec")).unwrap();
    let no_launcher = refused(&machine, &["bench", "latency"], 1);
    assert!(
        no_launcher.starts_with("warpcomm bench: no MPI launcher (mpirun, mpiexec or srun)"),
        "{no_launcher}"
    );
    fs::remove_file(machine.path("bin/warpcomm-rank")).unwrap();
    let no_ranks = refused(&machine, &["bench", "latency"], 1);
    assert!(
        no_ranks.starts_with("warpcomm bench: warpcomm-rank is not in"),
        "{no_ranks}"
    );
}

#[test]
fn under_a_launcher_it_says_that_it_starts_its_own_job() {
    let machine = answering(&[]);
    for (variables, launcher) in [
        (&[("OMPI_COMM_WORLD_RANK", "0")][..], "mpirun of Open MPI"),
        (&[("PMI_RANK", "0")], "Hydra"),
        (&[("PMIX_RANK", "0")], "PMIx"),
        // By `srun --mpi=none`.
        (&[("SLURM_PROCID", "0"), ("SLURM_STEP_ID", "0")], "srun of Slurm"),
    ] {
        for (words, example) in [
            (&["bench", "allreduce"][..], "bench allreduce -n 4"),
            (&["tune", "-n", "2"], "tune -n 4"),
        ] {
            let done = output(machine.installed(words).envs(variables.iter().copied()));
            assert_eq!(done.status.code(), Some(2));
            let message = text(&done.stderr);
            for part in [
                launcher,
                "starts its own",
                "leave the launcher in front out",
                &format!("`warpcomm {example}`"),
            ] {
                assert!(message.contains(part), "{message}");
            }
        }
    }
}

#[test]
fn more_ranks_than_cores_are_told() {
    let machine = answering(&[(
        "chosen",
        &[job(0), row("barrier", "mpi", "host", None, 0, 1.0), done()],
    )]);
    let done = output(&mut machine.installed(&["bench", "barrier", "-n", "1000000"]));
    let stdout = text(&done.stdout);
    assert!(stdout.contains("# CROWDED: 1000000 ranks share "), "{stdout}");
    assert_eq!(task(&machine, "chosen")["sizes"], json!([0]));
}

#[test]
fn the_command_knows_the_elements_of_the_library() {
    use warpcomm::{Dtype, Op};

    let dtypes: Vec<_> = Dtype::ALL
        .iter()
        .map(|dtype| (dtype.name(), dtype.size() as u64))
        .collect();
    assert_eq!(
        elements::DTYPES.map(|(name, size, _)| (name, size)).to_vec(),
        dtypes
    );
    let ops: Vec<_> = Op::ALL.iter().map(|op| op.name()).collect();
    assert_eq!(elements::OPS.map(|(name, _)| name).to_vec(), ops);
    for dtype in Dtype::ALL {
        assert_eq!(elements::size(dtype.name()), dtype.size() as u64);
        let takes: Vec<_> = Op::ALL
            .iter()
            .filter(|op| op.supports(*dtype))
            .map(|op| op.name())
            .collect();
        assert_eq!(elements::ops_of(dtype.name()), takes);
    }
}

#[test]
fn the_command_knows_the_paths_of_the_library() {
    use warpcomm::Path;

    let paths = [
        Path::Staged,
        Path::CudaAware,
        Path::SharedPinned,
        Path::PeerGpuIpc,
        Path::SameGpuIpc,
    ];
    // As `WARPCOMM_PATHS` has them.
    let names = paths.map(|path| path.to_string().replace(' ', "-").to_lowercase());
    let message = refused(&answering(&[]), &["bench", "latency", "--path", "none"], 2);
    let expected = format!("[possible values: all, {}]", names.join(", "));
    assert!(message.contains(&expected), "{message}");
}
