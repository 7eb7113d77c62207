//! Reads what measurements have written down.

use std::fs;
use std::path::Path;

use serde_json::Value;
use serde_json::error::Category;

use crate::record::{End, FORMAT, LeftOut, Record, Row, Run};

/// The kinds of records, as their field `record` names them.
const RECORDS: [&str; 4] = ["run", "row", "left_out", "end"];

/// A run, and what came of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Measured {
    pub run: Run,
    /// In the order in which they were measured.
    pub rows: Vec<Row>,
    pub left_out: Vec<LeftOut>,
    /// How it ended; `None` where it was killed.
    pub end: Option<End>,
}

impl Measured {
    /// Whether everything was measured that was wanted.
    pub fn is_complete(&self) -> bool {
        self.end.as_ref().is_some_and(|end| end.complete)
    }
}

/// Reads the runs of a file, one at least.
///
/// # Errors
/// The file, the line and what is wrong with it: what is not JSON, a last line that is cut off, another version of the
/// format, a record that is unknown or lacks a field, and a row that belongs to no run.
pub fn read(path: &Path) -> Result<Vec<Measured>, String> {
    let shown = path.display();
    let bytes = fs::read(path).map_err(|error| format!("{shown}: {error}"))?;
    let text = String::from_utf8(bytes).map_err(|_| format!("{shown}: it is no text; {WHENCE}"))?;
    let runs = runs_in(&text).map_err(|(line, wrong)| format!("{shown}:{line}: {wrong}"))?;
    match runs.is_empty() {
        true => Err(format!("{shown}: it is empty; {WHENCE}")),
        false => Ok(runs),
    }
}

/// Where a file that can be read comes from.
const WHENCE: &str = "`warpcomm bench --json FILE` writes what can be read here";

/// The runs of a text; the error has the number of its line, from 1.
fn runs_in(text: &str) -> Result<Vec<Measured>, (usize, String)> {
    let mut runs = Vec::new();
    for (at, line) in text.split_inclusive('\n').enumerate() {
        if line.trim().is_empty() {
            continue;
        }
        // A line is written with its end, which a `cat` of files cannot take away.
        record(line, !line.ends_with('\n'))
            .and_then(|record| add(&mut runs, record))
            .map_err(|wrong| (at + 1, wrong))?;
    }
    Ok(runs)
}

/// Adds a record to the run that it belongs to.
fn add(runs: &mut Vec<Measured>, record: Record) -> Result<(), String> {
    if let Record::Run(run) = record {
        runs.push(Measured {
            run,
            rows: Vec::new(),
            left_out: Vec::new(),
            end: None,
        });
        return Ok(());
    }
    let measured = runs
        .last_mut()
        .ok_or("it comes before a record `run`, to which it would belong")?;
    if measured.end.is_some() {
        return Err("it comes after the `end` of its run".to_owned());
    }
    match record {
        Record::Run(_) => {}
        Record::Row(row) => {
            check(&row)?;
            measured.rows.push(row);
        }
        Record::LeftOut(left_out) => measured.left_out.push(left_out),
        Record::End(end) => measured.end = Some(end),
    }
    Ok(())
}

/// What every reader may rely on, and JSON does not say.
fn check(row: &Row) -> Result<(), String> {
    let seconds = row.seconds;
    let quantiles = [seconds.minimum, seconds.median, seconds.p99, seconds.maximum];
    if row.key.ranks == 0 {
        return Err("`ranks` is 0".to_owned());
    }
    if row.samples.is_empty() {
        return Err("it has no `samples`".to_owned());
    }
    match quantiles.is_sorted() && seconds.minimum >= 0.0 {
        true => Ok(()),
        false => Err("its `seconds` do not go up from the minimum to the maximum".to_owned()),
    }
}

fn record(line: &str, is_cut_off: bool) -> Result<Record, String> {
    let value: Value = serde_json::from_str(line).map_err(|error| match error.classify() {
        Category::Eof if is_cut_off => {
            "the line is cut off, as when a disk is full; without it the rest can be read".to_owned()
        }
        _ => format!("it is not JSON ({}); {WHENCE}", without_place(&error)),
    })?;
    let Some(kind) = value.get("record").and_then(Value::as_str) else {
        return Err(format!("it has no field `record`; {WHENCE}"));
    };
    if !RECORDS.contains(&kind) {
        return Err(format!(
            "a record `{kind}` is unknown; there are {}",
            RECORDS.join(", ")
        ));
    }
    if kind == "run" {
        match value.get("format").and_then(Value::as_u64) {
            None => return Err("the run does not say in which `format` it is".to_owned()),
            Some(format) if format != u64::from(FORMAT) => {
                return Err(format!(
                    "it is of version {format} of the format, and this warpcomm reads version {FORMAT}"
                ));
            }
            Some(_) => {}
        }
    }
    let kind = kind.to_owned();
    serde_json::from_value(value).map_err(|error| format!("the record `{kind}`: {}", without_place(&error)))
}

/// What is wrong, without the line in it, which is always the first.
fn without_place(error: &serde_json::Error) -> String {
    let text = error.to_string();
    text.split_once(" at line ")
        .map_or(text.clone(), |(wrong, _)| wrong.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const RUN: &str = r#"{"record":"run","format":1,"program":"warpcomm 0.1.0","commit":null,
        "date":"2026-11-22T17:00:00Z","command":["warpcomm","bench","latency"],
        "machine":{"host":"node","processor":"a CPU","processors":2,"kernel":"6.1","load_average":[0.5,0,0]},
        "job":{"mpi":"an MPI","thread_level":"multiple","launcher":"Open MPI 4.1.4","arguments":["-n","2"]},
        "ranks":2,"nodes":1,"gpus":[],"simulated":false,"variables":{}}"#;
    const ROW: &str = r#"{"record":"row","operation":"latency","by":"warpcomm","place":"host","path":null,"dtype":"u8",
        "op":null,"ranks":2,"bytes":8,"algorithm":null,"checked":true,"repeats":10,
        "seconds":{"minimum":1e-6,"median":2e-6,"p99":2.98e-6,"maximum":3e-6},"samples":[1e-6,3e-6,2e-6],
        "algorithm_bandwidth":null,"bus_bandwidth":null,"message_rate":null,"overlap":null}"#;
    const LEFT_OUT: &str = r#"{"record":"left_out","operation":"latency","by":"nccl","place":"device","path":null,
        "dtype":"u8","op":null,"reason":"there is no NCCL"}"#;
    const END: &str = r#"{"record":"end","complete":true,"reason":null}"#;

    /// The records as lines.
    fn lines(records: &[&str]) -> String {
        let line = |record: &&str| record.replace('\n', "") + "\n";
        records.iter().map(line).collect()
    }

    fn wrong(records: &[&str]) -> (usize, String) {
        runs_in(&lines(records)).unwrap_err()
    }

    #[test]
    fn runs_have_what_comes_behind_them() {
        let runs = runs_in(&lines(&[RUN, ROW, LEFT_OUT, ROW, END, "", RUN, ROW])).unwrap();
        let [whole, killed] = &runs[..] else {
            panic!("{runs:?}");
        };
        assert_eq!(
            (whole.rows.len(), whole.left_out.len(), whole.is_complete()),
            (2, 1, true)
        );
        assert_eq!(
            (killed.rows.len(), killed.left_out.len(), killed.is_complete()),
            (1, 0, false)
        );
        assert_eq!(killed.end, None);
        assert_eq!(whole.rows[0].key.bytes, 8);
        assert_eq!(whole.rows[0].samples, [1e-6, 3e-6, 2e-6]);
        assert_eq!(whole.run.job.as_ref().unwrap().launcher, "Open MPI 4.1.4");
        assert_eq!(whole.left_out[0].reason, "there is no NCCL");
    }

    #[test]
    fn what_is_written_is_read() {
        let runs = runs_in(&lines(&[RUN, ROW, END])).unwrap();
        let record = Record::Row(runs[0].rows[0].clone());
        let again = lines(&[RUN, &serde_json::to_string(&record).unwrap(), END]);
        assert_eq!(runs_in(&again).unwrap(), runs);
    }

    #[test]
    fn a_line_that_is_cut_off_is_told_from_what_is_no_json() {
        let whole = lines(&[RUN, ROW]);
        let (line, message) = runs_in(&whole[..whole.len() - 20]).unwrap_err();
        assert_eq!(line, 2);
        assert!(message.starts_with("the line is cut off"), "{message}");
        // Its end alone may be missing: a text editor takes it away.
        assert_eq!(runs_in(whole.trim_end()).unwrap().len(), 1);
        let (line, message) = wrong(&[RUN, "bytes seconds", ROW]);
        assert_eq!(line, 2);
        assert!(
            message.starts_with("it is not JSON (expected value); "),
            "{message}"
        );
        let (line, message) = runs_in("{\n  \"machine\": {}\n}\n").unwrap_err();
        assert_eq!(line, 1);
        assert!(message.starts_with("it is not JSON"), "{message}");
    }

    #[test]
    fn another_version_is_refused_whatever_is_in_it() {
        let (line, message) = wrong(&[RUN, END, r#"{"record":"run","format":2}"#]);
        assert_eq!(line, 3);
        assert_eq!(
            message,
            "it is of version 2 of the format, and this warpcomm reads version 1"
        );
        let (_, message) = wrong(&[r#"{"record":"run"}"#]);
        assert_eq!(message, "the run does not say in which `format` it is");
    }

    #[test]
    fn records_out_of_place_are_named() {
        for (records, line, expected) in [
            (
                &[ROW, RUN][..],
                1,
                "it comes before a record `run`, to which it would belong",
            ),
            (&[RUN, END, ROW], 3, "it comes after the `end` of its run"),
            (
                &[RUN, r#"{"record":"column"}"#],
                2,
                "a record `column` is unknown; there are run, row, left_out, end",
            ),
            (
                &[RUN, r#"{"record":"end"}"#],
                2,
                "the record `end`: missing field `complete`",
            ),
        ] {
            assert_eq!(wrong(records), (line, expected.to_owned()));
        }
        let (_, message) = wrong(&["[1, 2]"]);
        assert!(message.starts_with("it has no field `record`; "), "{message}");
    }

    #[test]
    fn rows_that_say_nothing_are_refused() {
        for (from, to, expected) in [
            ("\"ranks\":2", "\"ranks\":0", "`ranks` is 0"),
            ("[1e-6,3e-6,2e-6]", "[]", "it has no `samples`"),
            (
                "\"median\":2e-6",
                "\"median\":9",
                "its `seconds` do not go up from the minimum to the maximum",
            ),
        ] {
            assert_eq!(wrong(&[RUN, &ROW.replace(from, to)]), (2, expected.to_owned()));
        }
    }

    #[test]
    fn files_are_named_in_what_is_wrong_with_them() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("measured.json");
        let shown = file.display();
        let read_with = |contents: &[u8]| {
            fs::write(&file, contents).unwrap();
            read(&file)
        };
        assert!(
            read(&file)
                .unwrap_err()
                .starts_with(&format!("{shown}: No such file"))
        );
        assert!(
            read_with(b"\n")
                .unwrap_err()
                .starts_with(&format!("{shown}: it is empty; "))
        );
        assert!(
            read_with(b"\xff")
                .unwrap_err()
                .starts_with(&format!("{shown}: it is no text; "))
        );
        assert!(read_with(b"[]").unwrap_err().starts_with(&format!("{shown}:1: ")));
        assert_eq!(read_with(lines(&[RUN, ROW, END]).as_bytes()).unwrap().len(), 1);
    }
}
