//! The file of one rank: a JSON array of events, each on a line.
//!
//! The array is ended after each part that is written, and the next part begins over that end: so the file is whole
//! whenever nobody writes to it. Who is killed while it is written to leaves an array without an end, which Perfetto and
//! chrome://tracing read as well.

use std::collections::BTreeSet;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Display, PathBuf};

use super::clock::{Clock, Times};
use super::recorder::{REQUESTS, Records};
use super::text::{add, add_microseconds, add_number, add_quoted};
use crate::node;

/// The version of the format. Readers refuse another one.
const FORMAT: u64 = 1;

/// The end of the array.
const END: &[u8] = b"\n]\n";

/// So much is written at once, in bytes.
const PART: usize = 1 << 18;

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
    /// The lanes that have their names.
    lanes: BTreeSet<u32>,
    /// Memory for records to come.
    spare: Records,
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
            lanes: BTreeSet::new(),
            spare: Records::default(),
        };
        writer.text.push(b'[');
        writer.name("warpcomm", None, |text| {
            text.extend_from_slice(b"\"format\":");
            add_number(text, FORMAT);
            text.extend_from_slice(b",\"origin\":");
            add_number(text, clock.origin);
        });
        // Of an array nothing stands before the first comma.
        writer.text.remove(1);
        writer.name_rank(&format!("rank {rank} ({})", node::host_name()));
        writer.name("process_sort_index", None, |text| {
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
    pub(super) fn names_gpu(&mut self, gpu: &str) {
        self.name_rank(&format!("rank {} ({}, {gpu})", self.rank, node::host_name()));
    }

    /// Writes records, and keeps the memory that they were in.
    pub(super) fn write(&mut self, mut records: Records) -> io::Result<()> {
        self.times.go_on();
        let mut rest = &records.steps[..];
        for record in &records.records {
            self.name_lane(record.ended.lane);
            let (steps, others) = rest
                .split_at_checked(record.steps as usize)
                .unwrap_or((rest, &[]));
            rest = others;
            add(&mut self.text, self.rank, &self.times, (record, steps));
            if self.text.len() >= PART {
                self.write_part()?;
            }
        }
        if records.left_out > 0 {
            let last = records.records.last();
            let ticks = last.map_or(0, |record| record.ended.start + record.ended.duration);
            self.note_left_out(records.left_out, self.times.at(ticks));
        }
        records.clear();
        self.spare = records;
        match self.text.is_empty() {
            true => Ok(()),
            false => self.write_part(),
        }
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
        self.name("process_name", None, |text| {
            text.extend_from_slice(b"\"name\":");
            add_quoted(text, name);
        });
    }

    fn name_lane(&mut self, lane: u32) {
        if !self.lanes.insert(lane) {
            return;
        }
        let (kind, number) = match lane.checked_sub(REQUESTS) {
            Some(number) => ("requests", number),
            None => ("calls", lane),
        };
        self.name("thread_name", Some(lane), |text| {
            text.extend_from_slice(b"\"name\":\"");
            text.extend_from_slice(kind.as_bytes());
            if number > 0 {
                text.push(b' ');
                add_number(text, u64::from(number) + 1);
            }
            text.push(b'"');
        });
        self.name("thread_sort_index", Some(lane), |text| {
            text.extend_from_slice(b"\"sort_index\":");
            add_number(text, u64::from(lane));
        });
    }

    /// Adds an event that is none, but tells of the rank or of one of its lanes.
    fn name(&mut self, what: &str, lane: Option<u32>, arguments: impl FnOnce(&mut Vec<u8>)) {
        let text = &mut self.text;
        text.extend_from_slice(b",\n{\"ph\":\"M\",\"name\":\"");
        text.extend_from_slice(what.as_bytes());
        text.extend_from_slice(b"\",\"pid\":");
        add_number(text, self.rank as u64);
        if let Some(lane) = lane {
            text.extend_from_slice(b",\"tid\":");
            add_number(text, u64::from(lane));
        }
        text.extend_from_slice(b",\"args\":{");
        arguments(text);
        text.extend_from_slice(b"}}");
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
