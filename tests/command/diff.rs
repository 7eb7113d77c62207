//! `warpcomm diff`, with files that are made up. How often it is wrong, the tests of the program itself say.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

use crate::launches::{Launch, file, written};
use crate::machine::{output, text};

/// The exit status, and what is printed to the output and to the errors.
fn diff(files: [&Path; 2], arguments: &[&str]) -> (i32, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_warpcomm"));
    // An option must not take the files for its values.
    command.arg("diff").args(arguments).args(files);
    let done = output(&mut command);
    (
        done.status.code().unwrap(),
        text(&done.stdout),
        text(&done.stderr),
    )
}

/// Launches of a build whose allreduce takes so many times as long.
fn launches(number: u64, first_seed: u64, allreduce: f64) -> Vec<Launch> {
    let launch = |seed| Launch {
        allreduce,
        ..Launch::new(seed)
    };
    (first_seed..first_seed + number).map(launch).collect()
}

/// A file of 6 launches, one of 6 others, and one of 6 whose allreduce by warpcomm is a fifth slower.
fn three(directory: &Path) -> [PathBuf; 3] {
    [("first", 0, 1.0), ("again", 100, 1.0), ("slow", 200, 1.2)]
        .map(|(name, seed, factor)| file(directory, name, &launches(6, seed, factor)))
}

#[test]
fn a_fifth_slower_is_told_and_nothing_else() {
    let directory = tempfile::tempdir().unwrap();
    let [first, again, slow] = three(directory.path());
    let (status, stdout, stderr) = diff([&first, &again], &[]);
    assert_eq!(
        (status, &*stdout, &*stderr),
        (0, "17 measurements compared: 0 slower, 0 faster\n", "")
    );

    let (status, stdout, stderr) = diff([&first, &slow], &[]);
    assert_eq!((status, &*stderr), (1, ""));
    assert!(!stdout.contains('\x1b'), "colours are for terminals: {stdout}");
    let rows: Vec<&str> = stdout
        .lines()
        .filter(|line| line.starts_with("slower "))
        .collect();
    assert_eq!(rows.len(), 4, "{stdout}");
    assert!(
        rows.iter()
            .all(|row| row.contains("allreduce sum f32 · warpcomm")),
        "{stdout}"
    );
    assert!(
        stdout.ends_with("17 measurements compared: 4 slower, 0 faster\n"),
        "{stdout}"
    );

    let (status, stdout, _) = diff([&slow, &first], &[]);
    assert_eq!(status, 0);
    assert!(
        stdout.ends_with("17 measurements compared: 0 slower, 4 faster\n"),
        "{stdout}"
    );

    let (status, stdout, _) = diff([&first, &slow], &["--only", "latency,barrier", "--all"]);
    assert_eq!(status, 0);
    assert_eq!(
        stdout.lines().filter(|line| line.starts_with("same ")).count(),
        9,
        "{stdout}"
    );

    let (status, stdout, _) = diff([&first, &slow], &["--latency", "50", "--throughput", "10"]);
    assert_eq!(status, 1);
    assert!(
        stdout.ends_with("17 measurements compared: 2 slower, 0 faster\n"),
        "{stdout}"
    );
}

#[test]
fn json_has_what_the_table_has() {
    let directory = tempfile::tempdir().unwrap();
    let [first, _, slow] = three(directory.path());
    let (status, stdout, _) = diff([&first, &slow], &["--json"]);
    assert_eq!(status, 1);
    let document: Value = serde_json::from_str(&stdout).unwrap();
    let fields: Vec<&String> = document.as_object().unwrap().keys().collect();
    let described = fs::read_to_string("docs/diff.md").unwrap();
    let change = &document["changes"][0];
    for field in fields.into_iter().chain(change.as_object().unwrap().keys()) {
        assert!(
            described.contains(&format!("`{field}`")),
            "docs/diff.md lacks {field}"
        );
    }
    assert_eq!(document["format"], 1);
    assert_eq!(document["slower"], true);
    assert_eq!(document["changes"].as_array().unwrap().len(), 17);
    assert_eq!(change["verdict"], "slower");
    assert_eq!(change["operation"], "allreduce");
    let ratio = change["ratio"].as_f64().unwrap();
    assert!((1.15..1.25).contains(&ratio), "{ratio}");
}

#[test]
fn one_launch_each_cannot_tell() {
    let directory = tempfile::tempdir().unwrap();
    let first = file(directory.path(), "first", &launches(1, 0, 1.0));
    let slow = file(directory.path(), "slow", &launches(1, 9, 2.0));
    let (status, stdout, stderr) = diff([&first, &slow], &[]);
    assert_eq!(status, 2);
    assert_eq!(
        stderr,
        "warpcomm diff: there are too few launches to tell whether anything is slower\n"
    );
    assert_eq!(
        stdout.lines().filter(|line| line.starts_with("perhaps ")).count(),
        4,
        "{stdout}"
    );
    assert!(
        stdout.contains("of 17 there are too few launches to tell, 4 of them differ"),
        "{stdout}"
    );
    assert!(stdout.contains("`warpcomm bench --launches 6`"), "{stdout}");
    let (status, stdout, _) = diff([&first, &slow], &["--json"]);
    let document: Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!((status, &document["judged"]), (2, &Value::from(0)));
}

#[test]
fn what_one_file_has_left_out_is_said_with_the_reason() {
    let directory = tempfile::tempdir().unwrap();
    let [first, ..] = three(directory.path());
    let lines = |name, records: Vec<Value>| {
        let lines: String = records.iter().map(|record| format!("{record}\n")).collect();
        written(directory.path(), name, &lines)
    };
    let without = |bytes: Value| {
        let mut records = Launch::new(1).records();
        records.retain(|record| record["operation"] != "latency" || record["by"] != "mpi");
        records.insert(
            1,
            json!({
                "record": "left_out", "operation": "latency", "by": "mpi", "place": "host", "path": null, "dtype": "f32",
                "op": null, "bytes": bytes, "reason": "it broke"
            }),
        );
        records
    };
    let of = |bytes: Value| diff([&first, &lines("second", without(bytes))], &[]).1;
    let only = "only in the first file: latency f32 · mpi · host · 2 ranks";
    let why = "; the second has left it out: it broke\n";
    let whole = of(Value::Null);
    for size in ["8 B", "64 MiB"] {
        assert!(whole.contains(&format!("{only}, {size}{why}")), "{whole}");
    }
    let one = of(json!(8));
    assert!(one.contains(&format!("{only}, 8 B{why}")), "{one}");
    assert!(one.contains(&format!("{only}, 64 MiB\n")), "{one}");
}

#[test]
fn what_is_not_comparable_is_said() {
    let directory = tempfile::tempdir().unwrap();
    let [first, ..] = three(directory.path());
    let elsewhere = Launch {
        host: "elsewhere",
        simulated: true,
        is_complete: false,
        ..Launch::new(1)
    };
    let other = directory.path().join("other");
    let records = elsewhere.records();
    let kept = records.iter().filter(|record| record["operation"] != "barrier");
    fs::write(
        &other,
        kept.map(|record| record.to_string() + "\n").collect::<String>(),
    )
    .unwrap();
    let (status, stdout, stderr) = diff([&first, &other], &[]);
    assert_eq!(status, 2);
    for warning in [
        "hosts differ: node | elsewhere",
        "GPUs are simulated",
        "1 of the second file's runs (1) did not come to their end",
    ] {
        assert!(
            stderr.contains(&format!("warpcomm diff: warning: {warning}")),
            "{warning} in {stderr}"
        );
    }
    assert!(
        stdout.contains("only in the first file: barrier f32 · mpi · host · 2 ranks, 0 B"),
        "{stdout}"
    );
}

#[test]
fn what_cannot_be_compared_is_an_error_of_its_own() {
    let directory = tempfile::tempdir().unwrap();
    let [first, ..] = three(directory.path());
    let whole = fs::read_to_string(&first).unwrap();
    let bad = |text: &str| written(directory.path(), "bad", text);
    for (text, why) in [
        ("", "it is empty"),
        ("bytes,seconds\n8,1\n", "it is not JSON"),
        ("{\"key\":1}\n", "it has no field `record`"),
        (&whole[..whole.len() / 2], "the line is cut off"),
        (
            &whole.replacen("\"format\":1", "\"format\":2", 1),
            "it is of version 2 of the format",
        ),
    ] {
        let (status, stdout, stderr) = diff([&first, &bad(text)], &[]);
        assert_eq!((status, &*stdout), (2, ""));
        assert!(
            stderr.starts_with("warpcomm diff: ") && stderr.contains(why),
            "{stderr}"
        );
    }
    let (status, _, stderr) = diff([&first, Path::new("/nowhere")], &[]);
    assert_eq!(status, 2);
    assert!(stderr.contains("/nowhere: No such file"), "{stderr}");
    let (status, _, stderr) = diff([&first, &first], &["--only", "scan"]);
    assert_eq!(status, 2);
    assert!(
        stderr.contains("no measurement in common of these operations: the first has allreduce, barrier"),
        "{stderr}"
    );
    for (arguments, why) in [
        (["--only", "allreduc"], "'allreduce'"),
        (["--latency", "-1"], "unexpected argument"),
        (["--latency", "0"], "more than 0"),
        (["--throughput", "ten"], "invalid float"),
    ] {
        let (status, _, stderr) = diff([&first, &first], &arguments);
        assert_eq!(status, 2);
        assert!(stderr.contains(why), "{stderr}");
    }
}
