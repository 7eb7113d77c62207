//! The files that are written while it is measured, so that a run which is ended keeps what it has.

use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::record::{Record, Row};

/// The files of a run.
pub struct Files {
    json: Option<Output>,
    csv: Option<Output>,
    has_heading: bool,
    /// How many runs have been written.
    launch: usize,
}

impl Files {
    /// Opens them; what is in them stays until the first record is written.
    pub fn open(json: Option<&Path>, csv: Option<&Path>) -> Result<Files, String> {
        Ok(Files {
            json: json.map(Output::open).transpose()?,
            csv: csv.map(Output::open).transpose()?,
            has_heading: false,
            launch: 0,
        })
    }

    /// Whether both are the same file, whatever they are called; what is no file, as a device, takes both.
    pub fn are_one(&self) -> bool {
        let identity = |output: &Option<Output>| {
            let data = output.as_ref()?.file.metadata().ok()?;
            data.is_file().then(|| (data.dev(), data.ino()))
        };
        identity(&self.json).is_some_and(|json| Some(json) == identity(&self.csv))
    }

    /// Writes a record, to its end.
    pub fn write(&mut self, record: &Record) -> Result<(), String> {
        if let Record::Run(_) = record {
            self.launch += 1;
        }
        if let Some(json) = &mut self.json {
            let line = serde_json::to_string(record).map_err(|error| error.to_string())?;
            json.write((line + "\n").as_bytes())?;
        }
        if let (Some(csv), Record::Row(row)) = (&mut self.csv, record) {
            let lines = comma_separated(row, self.launch, !self.has_heading)?;
            csv.write(&lines)?;
            self.has_heading = true;
        }
        Ok(())
    }
}

/// A file.
struct Output {
    path: PathBuf,
    file: File,
    /// Whether it was not there before.
    is_new: bool,
    is_written: bool,
}

impl Output {
    fn open(path: &Path) -> Result<Output, String> {
        let is_new = !path.exists();
        let file = File::options()
            .write(true)
            .create(true)
            .truncate(false)
            .open(path);
        let file = file.map_err(|error| format!("cannot write `{}`: {error}", path.display()))?;
        Ok(Output {
            path: path.to_owned(),
            file,
            is_new,
            is_written: false,
        })
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), String> {
        self.try_to_write(bytes)
            .map_err(|error| format!("cannot write `{}`: {error}", self.path.display()))
    }

    fn try_to_write(&mut self, bytes: &[u8]) -> io::Result<()> {
        // What is no file, as a pipe, cannot be made shorter.
        if !self.is_written && self.file.metadata()?.is_file() {
            self.file.set_len(0)?;
        }
        self.is_written = true;
        self.file.write_all(bytes)
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        if self.is_new && !self.is_written {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

/// A row as its line, which comes behind one with the names of the columns if `has_names`.
fn comma_separated(row: &Row, launch: usize, has_names: bool) -> Result<Vec<u8>, String> {
    let mut writer = csv::WriterBuilder::new()
        .has_headers(has_names)
        .from_writer(Vec::new());
    writer
        .serialize(Columns::of(row, launch))
        .map_err(|error| error.to_string())?;
    writer.into_inner().map_err(|error| error.to_string())
}

/// The columns, which are the fields of [`Row`] but for the samples, and the launch.
#[derive(Serialize)]
struct Columns<'a> {
    operation: &'a str,
    by: &'a str,
    place: &'a str,
    path: Option<&'a str>,
    dtype: &'a str,
    op: Option<&'a str>,
    ranks: usize,
    bytes: u64,
    algorithm: Option<&'a str>,
    carried: Option<&'a str>,
    checked: bool,
    repeats: u64,
    samples: usize,
    minimum: f64,
    median: f64,
    p99: f64,
    maximum: f64,
    algorithm_bandwidth: Option<f64>,
    bus_bandwidth: Option<f64>,
    message_rate: Option<f64>,
    overlap: Option<f64>,
    /// From 1.
    launch: usize,
}

impl<'a> Columns<'a> {
    fn of(row: &'a Row, launch: usize) -> Columns<'a> {
        let key = &row.key;
        Columns {
            operation: &key.operation,
            by: &key.by,
            place: &key.place,
            path: key.path.as_deref(),
            dtype: &key.dtype,
            op: key.op.as_deref(),
            ranks: key.ranks,
            bytes: key.bytes,
            algorithm: row.algorithm.as_deref(),
            carried: row.carried.as_deref(),
            checked: row.checked,
            repeats: row.repeats,
            samples: row.samples.len(),
            minimum: row.seconds.minimum,
            median: row.seconds.median,
            p99: row.seconds.p99,
            maximum: row.seconds.maximum,
            algorithm_bandwidth: row.algorithm_bandwidth,
            bus_bandwidth: row.bus_bandwidth,
            message_rate: row.message_rate,
            overlap: row.overlap,
            launch,
        }
    }
}
