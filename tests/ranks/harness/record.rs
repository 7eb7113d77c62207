//! What a rank writes about its cases, line by line into a file that survives the rank, and how it is read.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use warpcomm::{Dtype, Op};

/// A cell of the support matrix.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cell {
    pub operation: String,
    /// The element type, for operations that have one.
    pub dtype: Option<String>,
    /// The reduction, for operations that have one.
    pub op: Option<String>,
    /// Whether the operation works, or was found to be `Unsupported`.
    pub supported: bool,
}

thread_local! {
    static COVERED: RefCell<BTreeSet<Cell>> = const { RefCell::new(BTreeSet::new()) };
}

/// Notes that the running case has seen `operation` work.
pub fn covered(operation: &str, dtype: Option<Dtype>, op: Option<Op>) {
    note(operation, dtype, op, true);
}

/// Notes that the running case has seen `operation` fail as `Unsupported`.
pub fn unsupported(operation: &str, dtype: Dtype, op: Op) {
    note(operation, Some(dtype), Some(op), false);
}

fn note(operation: &str, dtype: Option<Dtype>, op: Option<Op>, supported: bool) {
    let cell = Cell {
        operation: operation.to_owned(),
        dtype: dtype.map(|dtype| dtype.name().to_owned()),
        op: op.map(|op| op.name().to_owned()),
        supported,
    };
    COVERED.with_borrow_mut(|covered| covered.insert(cell));
}

/// What this thread has noted since the last call.
pub fn take_covered() -> BTreeSet<Cell> {
    COVERED.take()
}

/// Something that a rank wrote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A case has started.
    Started(String),
    /// A case has passed.
    Passed(String),
    /// A case has failed.
    Failed(String, String),
    /// The case before has covered a cell.
    Covered(Cell),
    /// The rank has ended as it should.
    Ended,
}

/// The file of one rank.
pub struct Record(File);

impl Record {
    pub fn open(directory: &Path, rank: usize) -> std::io::Result<Record> {
        OpenOptions::new()
            .create(true)
            .append(true)
            .open(path(directory, rank))
            .map(Record)
    }

    /// Writes one line, at once, so that nothing is lost if the rank dies.
    pub fn write(&self, event: &Event) {
        if let Err(error) = (&self.0).write_all(format!("{}\n", line(event)).as_bytes()) {
            eprintln!("the record of a rank cannot be written: {error}");
        }
    }
}

fn path(directory: &Path, rank: usize) -> PathBuf {
    directory.join(format!("rank-{rank}"))
}

/// How many bytes all ranks have written, which grows while a job is alive.
pub fn written(directory: &Path, ranks: usize) -> u64 {
    (0..ranks)
        .filter_map(|rank| fs::metadata(path(directory, rank)).ok())
        .map(|file| file.len())
        .sum()
}

/// What a rank has written.
pub fn read(directory: &Path, rank: usize) -> Vec<Event> {
    let text = fs::read_to_string(path(directory, rank)).unwrap_or_default();
    // A line without its end is one whose rank died while it wrote.
    text.split_inclusive('\n')
        .filter_map(|line| parsed(line.strip_suffix('\n')?))
        .collect()
}

fn line(event: &Event) -> String {
    match event {
        Event::Started(case) => format!("started {case}"),
        Event::Passed(case) => format!("passed {case}"),
        Event::Failed(case, text) => format!("failed {case} {}", escaped(text)),
        Event::Covered(Cell {
            operation,
            dtype,
            op,
            supported,
        }) => {
            let or_none = |name: &Option<String>| name.clone().unwrap_or_else(|| "-".to_owned());
            format!(
                "covered {supported} {operation} {} {}",
                or_none(dtype),
                or_none(op)
            )
        }
        Event::Ended => "ended".to_owned(),
    }
}

fn parsed(line: &str) -> Option<Event> {
    let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
    match word {
        "started" => Some(Event::Started(rest.to_owned())),
        "passed" => Some(Event::Passed(rest.to_owned())),
        "failed" => {
            let (case, text) = rest.split_once(' ')?;
            Some(Event::Failed(case.to_owned(), unescaped(text)))
        }
        "covered" => {
            let mut words = rest.split(' ');
            let supported = words.next()? == "true";
            let operation = words.next()?.to_owned();
            let mut name = || words.next().filter(|word| *word != "-").map(str::to_owned);
            Some(Event::Covered(Cell {
                operation,
                dtype: name(),
                op: name(),
                supported,
            }))
        }
        "ended" => Some(Event::Ended),
        _ => None,
    }
}

fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('\n', "\\n")
}

fn unescaped(text: &str) -> String {
    let mut characters = text.chars();
    let mut plain = String::new();
    while let Some(character) = characters.next() {
        plain.push(match character {
            '\\' if characters.next() == Some('n') => '\n',
            character => character,
        });
    }
    plain
}
