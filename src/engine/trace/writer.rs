//! The file of one rank: a JSON array of events, each on a line.
//!
//! The array is ended after each part that is written, and the next part begins over that end: so the file is whole
//! whenever nobody writes to it. Who is killed while it is written to leaves an array without an end, which Perfetto and
//! chrome://tracing read as well.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Display, PathBuf};

use super::clock::{Clock, Times};
use super::lanes::Lanes;
use super::recorder::{Record, Records};
use super::text::{self, Shown, add_microseconds, add_number, add_quoted};
use crate::node;

/// The version of the format. Readers refuse another one.
const FORMAT: u64 = 1;

/// The end of the array.
const END: &[u8] = b"\n]\n";

/// So much is written at once, in bytes.
const PART: usize = 1 << 18;

/// The first row of the requests, which go on without a call: below those of calls.
const REQUESTS: u32 = 1 << 16;

/// A rank's file.
pub(super) struct Writer {
    file: File,
    path: PathBuf,
    rank: usize,
    /// Where the end of the array is.
    position: u64,
    times: Times,
    /// What is to be written next.
    text: Vec<u8>,
    calls: Rows,
    requests: Rows,
    /// Memory for records to come.
    spare: Records,
}

/// The rows of one kind of operations.
struct Rows {
    kind: &'static str,
    /// The number of the first.
    first: u32,
    lanes: Lanes,
    /// What events in them have in common, for those that have their names.
    places: Vec<Vec<u8>>,
}

impl Rows {
    fn named(kind: &'static str, first: u32) -> Rows {
        Rows {
            kind,
            first,
            lanes: Lanes::default(),
            places: Vec::new(),
        }
    }
}

impl Writer {
    /// Begins the file of a rank.
    pub(super) fn begin(file: File, path: PathBuf, rank: usize, clock: Clock) -> io::Result<Writer> {
        let mut writer = Writer {
            file,
            path,
            rank,
            position: 0,
            times: Times::new(clock),
            text: Vec::new(),
            calls: Rows::named("calls", 0),
            requests: Rows::named("requests", REQUESTS),
            spare: Records::default(),
        };
        writer.text.push(b'[');
        add_name(&mut writer.text, "warpcomm", rank, None, |text| {
            text.extend_from_slice(b"\"format\":");
            add_number(text, FORMAT);
            text.extend_from_slice(b",\"origin\":");
            add_number(text, clock.origin);
        });
        // Of an array nothing stands before the first comma.
        writer.text.remove(1);
        writer.name_rank(&format!("rank {rank} ({})", node::host_name()));
        add_name(&mut writer.text, "process_sort_index", rank, None, |text| {
            text.extend_from_slice(b"\"sort_index\":");
            add_number(text, rank as u64);
        });
        writer.write_part()?;
        Ok(writer)
    }

    pub(super) fn file(&self) -> Display<'_> {
        self.path.display()
    }

    /// Memory for records to come.
    pub(super) fn take_spare(&mut self) -> Records {
        std::mem::take(&mut self.spare)
    }

    /// Names the GPU of the rank.
    #[cfg(feature = "cuda")]
    pub(super) fn name_gpu(&mut self, gpu: &str) -> io::Result<()> {
        self.name_rank(&format!("rank {} ({}, {gpu})", self.rank, node::host_name()));
        self.write_part()
    }

    /// Writes records, and keeps the memory that they were in.
    pub(super) fn write(&mut self, mut records: Records) -> io::Result<()> {
        self.times.go_on();
        let mut rest = &records.steps[..];
        for record in &records.records {
            let (steps, others) = rest.split_at_checked(record.steps.into()).unwrap_or((rest, &[]));
            rest = others;
            self.add(record, steps, records.communicator(record));
            if self.text.len() >= PART {
                self.write_part()?;
            }
        }
        if records.left_out > 0 {
            let last = records.records.last();
            let ticks = last.map_or(0, |record| record.ended.end());
            self.note_left_out(records.left_out, self.times.at(ticks));
        }
        records.clear();
        self.spare = records;
        self.write_part()
    }

    fn add(&mut self, record: &Record, steps: &[u64], communicator: Option<&str>) {
        let rows = match record.is_request {
            true => &mut self.requests,
            false => &mut self.calls,
        };
        let lane = rows.lanes.take(record.ended.start, record.ended.end());
        // Lanes are taken from the first on.
        if lane as usize == rows.places.len() {
            rows.places.push(text::place(self.rank, rows.first + lane));
            name_lane(&mut self.text, self.rank, rows, lane);
        }
        let shown = Shown {
            record,
            steps,
            communicator,
            rank: self.rank,
            place: rows.places.get(lane as usize).map_or(&[], |place| place),
        };
        text::add(&mut self.text, &self.times, &shown);
    }

    /// Writes the text over the end of the array, and ends it again.
    fn write_part(&mut self) -> io::Result<()> {
        let length = self.text.len();
        self.text.extend_from_slice(END);
        self.file.write_all_at(&self.text, self.position)?;
        self.position += length as u64;
        self.text.clear();
        Ok(())
    }

    fn name_rank(&mut self, name: &str) {
        add_name(&mut self.text, "process_name", self.rank, None, |text| {
            text.extend_from_slice(b"\"name\":");
            add_quoted(text, name);
        });
    }

    fn note_left_out(&mut self, operations: u64, time: u64) {
        let text = &mut self.text;
        text.extend_from_slice(b",\n{\"ph\":\"i\",\"name\":\"left out\",\"s\":\"p\",\"pid\":");
        add_number(text, self.rank as u64);
        text.extend_from_slice(b",\"tid\":0,\"ts\":");
        add_microseconds(text, time);
        text.extend_from_slice(b",\"args\":{\"operations\":");
        add_number(text, operations);
        text.extend_from_slice(b"}}");
    }
}

fn name_lane(text: &mut Vec<u8>, rank: usize, rows: &Rows, lane: u32) {
    let row = rows.first + lane;
    add_name(text, "thread_name", rank, Some(row), |text| {
        text.extend_from_slice(b"\"name\":\"");
        text.extend_from_slice(rows.kind.as_bytes());
        if lane > 0 {
            text.push(b' ');
            add_number(text, u64::from(lane) + 1);
        }
        text.push(b'"');
    });
    add_name(text, "thread_sort_index", rank, Some(row), |text| {
        text.extend_from_slice(b"\"sort_index\":");
        add_number(text, u64::from(row));
    });
}

/// Adds an event that is none, but tells of the rank or of one of its rows.
fn add_name(
    text: &mut Vec<u8>,
    what: &str,
    rank: usize,
    row: Option<u32>,
    arguments: impl FnOnce(&mut Vec<u8>),
) {
    text.extend_from_slice(b",\n{\"ph\":\"M\",\"name\":\"");
    text.extend_from_slice(what.as_bytes());
    text.extend_from_slice(b"\",\"pid\":");
    add_number(text, rank as u64);
    if let Some(row) = row {
        text.extend_from_slice(b",\"tid\":");
        add_number(text, u64::from(row));
    }
    text.extend_from_slice(b",\"args\":{");
    arguments(text);
    text.extend_from_slice(b"}}");
}
