//! Timelines in files.

use std::fmt::Display;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{Entry, Timeline};
use crate::error::{Error, Result};

/// The version of what is written. Another one is refused.
const FORMAT: u64 = 1;

/// The version of traces, which are like those of operations.
const TRACE_FORMAT: u64 = 1;

#[derive(Deserialize)]
struct Head {
    format: u64,
}

#[derive(Serialize, Deserialize)]
struct Written<T> {
    format: u64,
    timeline: T,
}

impl Timeline {
    /// Writes a file that [`read`](Self::read) reads: JSON, with the fields of this type and of [`Entry`] under `timeline`, and
    /// the number of the `format`.
    ///
    /// # Errors
    /// [`InvalidArgument`](crate::ErrorKind::InvalidArgument) if the file cannot be written, which the error names.
    pub fn write(&self, path: impl AsRef<Path>) -> Result<()> {
        let written = Written {
            format: FORMAT,
            timeline: self,
        };
        write(path.as_ref(), &written)
    }

    /// Reads what [`write`](Self::write) has written.
    ///
    /// # Errors
    /// [`InvalidArgument`](crate::ErrorKind::InvalidArgument) if the file cannot be read, ends too early, is no timeline, or
    /// one of another format; the error names the file, and the place in it.
    pub fn read(path: impl AsRef<Path>) -> Result<Timeline> {
        let path = path.as_ref();
        let text = std::fs::read(path).map_err(|error| of_file(path, error))?;
        let head: Head = serde_json::from_slice(&text).map_err(|error| of_file(path, error))?;
        if head.format != FORMAT {
            let other = head.format;
            return Err(of_file(
                path,
                format!("a timeline of the format {other}; this is {FORMAT}"),
            ));
        }
        let written: Written<Timeline> =
            serde_json::from_slice(&text).map_err(|error| of_file(path, error))?;
        Ok(written.timeline)
    }

    /// Writes a trace that ui.perfetto.dev and chrome://tracing open, and of which `warpcomm plot` makes a picture, as SVG and
    /// PNG: a row for each worker, a bar for each task, coloured by the name of its call.
    ///
    /// # Errors
    /// As for [`write`](Self::write).
    pub fn write_trace(&self, path: impl AsRef<Path>) -> Result<()> {
        let errors = self.clock_errors.iter().copied().chain(std::iter::repeat(0));
        let rows = self.workers.iter().zip(errors);
        let rows = rows.flat_map(|(&rank, error)| self.head_of(rank, error));
        let bars = self.entries.iter().map(bar);
        write(path.as_ref(), &rows.chain(bars).collect::<Vec<Value>>())
    }

    /// What a trace says of a rank, whose times may be wrong by so many nanoseconds.
    fn head_of(&self, rank: usize, clock_error: u64) -> [Value; 3] {
        let gpu = self
            .entries
            .iter()
            .find(|entry| entry.rank == rank && entry.gpu.is_some());
        let name = match gpu.and_then(|entry| entry.gpu) {
            Some(gpu) => format!("rank {rank} (GPU {gpu})"),
            None => format!("rank {rank}"),
        };
        [
            json!({"ph": "M", "name": "warpcomm", "pid": rank, "args": {
                "format": TRACE_FORMAT, "origin": 0, "clock_error_us": clock_error as f64 / 1e3
            }}),
            json!({"ph": "M", "name": "process_name", "pid": rank, "args": {"name": name}}),
            json!({"ph": "M", "name": "process_sort_index", "pid": rank, "args": {"sort_index": rank}}),
        ]
    }
}

/// A task of a trace; times are in microseconds there.
fn bar(entry: &Entry) -> Value {
    let us = |nanoseconds: u64| nanoseconds as f64 / 1e3;
    let name = if entry.name.is_empty() {
        "task"
    } else {
        &entry.name
    };
    json!({
        "ph": "X", "name": name, "cat": "task", "pid": entry.rank, "tid": 0,
        "ts": us(entry.begin), "dur": us(entry.ran()),
        "args": {
            "call": entry.call, "task": entry.task, "attempt": entry.attempt, "waited_us": us(entry.waited()),
            "bytes_in": entry.bytes_in, "bytes_out": entry.bytes_out, "gpu": entry.gpu,
            "outcome": if entry.has_failed { "failed" } else { "ok" }
        }
    })
}

fn write(path: &Path, value: &impl Serialize) -> Result<()> {
    let write = || -> std::io::Result<()> {
        let mut file = BufWriter::new(File::create(path)?);
        serde_json::to_writer(&mut file, value)?;
        file.write_all(b"\n")?;
        file.flush()
    };
    write().map_err(|error| of_file(path, error))
}

fn of_file(path: &Path, what: impl Display) -> Error {
    Error::invalid(format!("{}: {what}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::BufReader;

    use crate::error::ErrorKind;
    use proptest::prelude::*;

    fn entries() -> impl Strategy<Value = Vec<Entry>> {
        let entry = (
            ".{0,5}",
            any::<[u32; 8]>(),
            any::<bool>(),
            proptest::option::of(0usize..9),
        )
            .prop_map(|(name, numbers, has_failed, gpu)| {
                let [call, task, attempt, rank, given, begin, bytes_in, bytes_out] = numbers;
                Entry {
                    name,
                    call: call.into(),
                    task: task.into(),
                    attempt,
                    rank: rank as usize % 5,
                    gpu,
                    given: given.into(),
                    begin: begin.into(),
                    end: u64::from(begin) + u64::from(given),
                    bytes_in: bytes_in.into(),
                    bytes_out: bytes_out.into(),
                    has_failed,
                }
            });
        proptest::collection::vec(entry, 0..20)
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(entries in entries()) {
            let directory = tempfile::tempdir().unwrap();
            let file = directory.path().join("timeline.json");
            let timeline = Timeline { workers: vec![0, 1, 2, 3, 4], clock_errors: vec![0, 5, 7, 9, 1], entries };
            timeline.write(&file).unwrap();
            prop_assert_eq!(Timeline::read(&file).unwrap(), timeline.clone());
            timeline.write_trace(&file).unwrap();
            let trace: Vec<Value> = serde_json::from_reader(BufReader::new(File::open(&file).unwrap())).unwrap();
            let bars: Vec<&Value> = trace.iter().filter(|event| event["ph"] == "X").collect();
            prop_assert_eq!(bars.len(), timeline.entries.len());
            for (bar, entry) in bars.iter().zip(&timeline.entries) {
                prop_assert_eq!(bar["pid"].as_u64(), Some(entry.rank as u64));
                prop_assert_eq!(bar["ts"].as_f64(), Some(entry.begin as f64 / 1e3));
            }
            prop_assert_eq!(trace.len() - bars.len(), 3 * timeline.workers.len());
        }
    }

    #[test]
    fn what_is_no_timeline_is_refused_with_its_place() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("timeline.json");
        Timeline::default().write(&file).unwrap();
        let text = std::fs::read_to_string(&file).unwrap();
        for (text, part) in [
            (
                text.replace("\"format\":1", "\"format\":2"),
                "a timeline of the format 2; this is 1",
            ),
            (text[..text.len() / 2].to_owned(), "EOF while parsing"),
            ("{}".to_owned(), "missing field `format`"),
            ("{\"format\":1}".to_owned(), "missing field `timeline`"),
        ] {
            std::fs::write(&file, &text).unwrap();
            let error = Timeline::read(&file).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidArgument);
            assert!(
                error.to_string().contains("timeline.json: ") && error.to_string().contains(part),
                "{error}"
            );
        }
        let nowhere = directory.path().join("nowhere").join("file");
        assert!(
            Timeline::default()
                .write(&nowhere)
                .unwrap_err()
                .to_string()
                .contains("nowhere")
        );
    }
}
