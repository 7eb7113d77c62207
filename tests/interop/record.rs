//! What a rank did and got: a file of its own with a line for each.

use std::cell::RefCell;
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "lowercase")]
pub enum Event {
    Started,
    Elements {
        what: String,
        dtype: String,
        hex: String,
    },
    Text {
        what: String,
        text: String,
    },
    Done,
    Failed {
        text: String,
    },
    Ended,
}

#[derive(Serialize, Deserialize)]
pub struct Line {
    pub case: String,
    #[serde(flatten)]
    pub event: Event,
}

pub fn path(job: &Path, rank: usize) -> PathBuf {
    job.join(format!("record-{rank}"))
}

/// What a rank has written so far.
pub fn read(job: &Path, rank: usize) -> Vec<Line> {
    let text = fs::read_to_string(path(job, rank)).unwrap_or_default();
    text.lines()
        .filter_map(|line| serde_json::from_str(line).ok())
        .collect()
}

/// The bytes that ranks have written: more, if the job goes on.
pub fn written(job: &Path, ranks: usize) -> u64 {
    (0..ranks)
        .map(|rank| fs::metadata(path(job, rank)).map_or(0, |file| file.len()))
        .sum()
}

pub struct Record {
    file: RefCell<File>,
    case: RefCell<String>,
}

impl Record {
    pub fn open(job: &Path, rank: usize) -> std::io::Result<Record> {
        Ok(Record {
            file: File::create(path(job, rank))?.into(),
            case: RefCell::default(),
        })
    }

    pub fn start(&self, case: &str) {
        case.clone_into(&mut self.case.borrow_mut());
        self.write(Event::Started);
    }

    pub fn write(&self, event: Event) {
        let line = Line {
            case: self.case.borrow().clone(),
            event,
        };
        let text = serde_json::to_string(&line).expect("plain text") + "\n";
        let written = self.file.borrow_mut().write_all(text.as_bytes());
        written.expect("a file in a directory of our own");
    }

    pub fn elements(&self, what: &str, dtype: warpcomm::Dtype, bytes: &[u8]) {
        let digit = |nibble: u8| char::from_digit(nibble.into(), 16).expect("four bits");
        self.write(Event::Elements {
            what: what.to_owned(),
            dtype: dtype.to_string(),
            hex: bytes
                .iter()
                .flat_map(|byte| [digit(byte >> 4), digit(byte & 15)])
                .collect(),
        });
    }

    pub fn text(&self, what: &str, text: impl Into<String>) {
        self.write(Event::Text {
            what: what.to_owned(),
            text: text.into(),
        });
    }
}
