//! What a rank has done, from the end of each operation until it is in the rank's file.
//!
//! An operation that ends leaves a record in memory. A thread of the process, which all ranks in it share, writes the
//! records down forty times a second, and so does a rank whose engine stops; what is left is written when the process exits.
//! Records that come faster than they can be written are left out and counted.

use std::fs::File;
use std::io;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::process;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::{self, Thread};
use std::time::Duration;

use super::clock::Clock;
use super::names;
use super::writer::Writer;
use crate::config::Config;
use crate::engine::activity::{Activity, Carried};
use crate::engine::sequence::Sequence;
use crate::error::{Error, ErrorKind, Peer, Result};
use crate::message::Tag;

/// Between two times that records are written.
const INTERVAL: Duration = Duration::from_millis(25);

/// The most records that wait to be written, and their steps: some 17 MiB.
const RECORDS: usize = 1 << 17;
const STEPS: usize = 4 * RECORDS;

/// So many do not wait for the next time.
const MANY: usize = RECORDS / 4;

/// The files of this process: they last as long as it, because threads may be ranks again and again.
static RECORDERS: Mutex<Vec<(PathBuf, &'static Recorder)>> = Mutex::new(Vec::new());

/// The thread that writes.
static WRITER: OnceLock<Option<Thread>> = OnceLock::new();

/// The process whose files they are, and not those of a child that it forks.
static PROCESS: OnceLock<u32> = OnceLock::new();

unsafe extern "C" {
    /// Calls a function when the process exits (C11, section 7.22.4.2).
    safe fn atexit(function: extern "C" fn()) -> std::ffi::c_int;
}

/// The trace of a rank.
pub(crate) struct Recorder {
    clock: Clock,
    pending: Apart<Mutex<Records>>,
    writer: Apart<Mutex<Writer>>,
}

/// A value that shares no cache line with its neighbours, nor the pair of lines that processors fetch together.
#[repr(align(128))]
struct Apart<T>(T);

/// Operations that are over.
#[derive(Default)]
pub(super) struct Records {
    pub records: Vec<Record>,
    /// Those of all records, one after the other; see [`Step`](super::timeline::Step).
    pub steps: Vec<u64>,
    /// The names of communicators, each as long as operations on it follow each other.
    pub communicators: Vec<Arc<str>>,
    /// How many operations have left no record, since there were too many.
    pub left_out: u64,
    /// Whether nobody can write any more.
    is_closed: bool,
}

/// An operation that is over. What can be looked up later is looked up when it is written.
#[derive(Clone, Copy)]
pub(super) struct Record {
    pub operation: &'static str,
    /// Where its name is among those of the [`Records`].
    pub communicator: Option<NonZeroU32>,
    pub rank: u32,
    pub peer: Option<Peer>,
    pub tag: Option<Tag>,
    pub sequence: Option<Sequence>,
    pub bytes: usize,
    pub carried: Carried,
    pub ended: Ended,
    /// Whether it went on without a call.
    pub is_request: bool,
    /// How many steps it has.
    pub steps: u8,
}

/// When an operation was, in ticks, and what became of it.
#[derive(Clone, Copy)]
pub(super) struct Ended {
    pub start: u64,
    pub duration: u64,
    pub outcome: Option<Result<(), ErrorKind>>,
}

impl Ended {
    /// When it ended, in ticks.
    pub(super) fn end(&self) -> u64 {
        self.start + self.duration
    }
}

impl Recorder {
    /// The trace of this rank of the world, if the settings want one.
    ///
    /// # Errors
    /// [`InvalidArgument`](ErrorKind::InvalidArgument) naming the file that cannot be written, and its variable.
    pub(crate) fn of_rank(config: &Config, rank: usize) -> Result<Option<&'static Recorder>> {
        let Some(named) = &config.trace else {
            return Ok(None);
        };
        let file = names::of_rank(named, rank);
        let refused = |error: io::Error| {
            let file = file.display();
            Error::invalid(format!("WARPCOMM_TRACE: cannot write {file}: {error}")).with_source(error)
        };
        let path = std::path::absolute(&file).map_err(refused)?;
        let mut recorders = recorders();
        if let Some((_, recorder)) = recorders.iter().find(|(known, _)| *known == path) {
            return Ok(Some(recorder));
        }
        let clock = Clock::of_process();
        let opened = File::create(&path).and_then(|file| Writer::begin(file, path.clone(), rank, clock));
        let recorder: &'static Recorder = Box::leak(Box::new(Recorder {
            clock,
            pending: Apart(Mutex::default()),
            writer: Apart(Mutex::new(opened.map_err(refused)?)),
        }));
        recorders.push((path, recorder));
        drop(recorders);
        start();
        Ok(Some(recorder))
    }

    #[inline]
    pub(super) fn ticks(&self) -> u64 {
        self.clock.ticks()
    }

    /// Keeps what is known of an operation that is over.
    pub(super) fn record(
        &self,
        activity: &Activity,
        ended: Ended,
        steps: impl ExactSizeIterator<Item = u64>,
    ) {
        let record = Record {
            operation: activity.operation,
            communicator: None,
            rank: activity.rank as u32,
            peer: activity.peer,
            tag: activity.tag,
            sequence: activity.sequence,
            bytes: activity.bytes(),
            carried: activity.carried(),
            ended,
            is_request: activity.is_task(),
            steps: steps.len() as u8,
        };
        let communicator = activity.communicator.as_ref();
        if self.pending().add(record, communicator, steps) == MANY
            && let Some(Some(writer)) = WRITER.get()
        {
            writer.unpark();
        }
    }

    /// Tells which GPU the rank uses.
    #[cfg(feature = "cuda")]
    pub(crate) fn names_gpu(&self, gpu: &str) {
        let mut writer = self.writer();
        if is_of_this_process() && !self.pending().is_closed {
            let written = writer.name_gpu(gpu);
            self.check(&writer, written);
        }
    }

    /// Writes all records into the file.
    pub(crate) fn write(&self) {
        if !is_of_this_process() {
            return;
        }
        let mut writer = self.writer();
        let records = {
            let mut pending = self.pending();
            if pending.is_empty() {
                return;
            }
            std::mem::replace(&mut *pending, writer.take_spare())
        };
        let written = writer.write(records);
        self.check(&writer, written);
    }

    fn check(&self, writer: &Writer, written: io::Result<()>) {
        if let Err(error) = written {
            let file = writer.file();
            // Nobody else is told: the operations of the program are none the worse.
            eprintln!("warpcomm: WARPCOMM_TRACE: cannot write {file}, which ends here: {error}");
            self.pending().is_closed = true;
        }
    }

    fn pending(&self) -> MutexGuard<'_, Records> {
        self.pending.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn writer(&self) -> MutexGuard<'_, Writer> {
        self.writer.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Records {
    /// Adds one, if there is room; returns how many there are then.
    fn add(
        &mut self,
        mut record: Record,
        communicator: Option<&Arc<str>>,
        steps: impl ExactSizeIterator<Item = u64>,
    ) -> usize {
        if self.is_closed {
            return 0;
        }
        if self.records.len() == RECORDS || self.steps.len() + steps.len() > STEPS {
            self.left_out += 1;
            return 0;
        }
        record.communicator = communicator.and_then(|name| self.name(name));
        self.records.push(record);
        self.steps.extend(steps);
        self.records.len()
    }

    /// Where the name of a communicator is from now on.
    #[cold]
    fn name(&mut self, communicator: &Arc<str>) -> Option<NonZeroU32> {
        let latest = self.communicators.last();
        if latest.is_none_or(|latest| !Arc::ptr_eq(latest, communicator)) {
            self.communicators.push(Arc::clone(communicator));
        }
        NonZeroU32::new(self.communicators.len() as u32)
    }

    /// The name of the communicator of a record, if it has one.
    pub(super) fn communicator(&self, record: &Record) -> Option<&str> {
        let number = record.communicator?.get() as usize;
        self.communicators.get(number - 1).map(|name| &**name)
    }

    fn is_empty(&self) -> bool {
        self.records.is_empty() && self.left_out == 0
    }

    /// Forgets all, but for the memory that they were in.
    pub(super) fn clear(&mut self) {
        self.records.clear();
        self.steps.clear();
        self.communicators.clear();
        self.left_out = 0;
    }
}

fn recorders() -> MutexGuard<'static, Vec<(PathBuf, &'static Recorder)>> {
    RECORDERS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Writes all records of this process.
pub(in crate::engine) fn write_all() {
    let all: Vec<&Recorder> = recorders().iter().map(|(_, recorder)| *recorder).collect();
    all.into_iter().for_each(Recorder::write);
}

/// Starts the thread that writes, once in a process.
fn start() {
    WRITER.get_or_init(|| {
        PROCESS.get_or_init(process::id);
        // Where it cannot be asked for, what is lost is what the last moment has left.
        let _ = atexit(at_exit);
        let thread = thread::Builder::new().name("warpcomm traces".into()).spawn(|| {
            loop {
                thread::park_timeout(INTERVAL);
                write_all();
            }
        });
        // Without it records are written when engines stop.
        thread.ok().map(|thread| thread.thread().clone())
    });
}

/// Whether this is the process whose files they are. A forked child has copies of the records and of where they belong, and
/// locks that a thread may have held which it does not have.
fn is_of_this_process() -> bool {
    PROCESS.get() == Some(&process::id())
}

extern "C" fn at_exit() {
    if is_of_this_process() {
        // A panic must not leave this function.
        let _ = std::panic::catch_unwind(write_all);
    }
}

#[cfg(all(test, feature = "cuda"))]
mod tests {
    use super::*;

    #[test]
    fn a_rank_that_does_nothing_more_tells_its_gpu() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("trace.json");
        let config = Config::default().trace(Some(file.clone()));
        let recorder = Recorder::of_rank(&config, 3).unwrap().unwrap();
        recorder.names_gpu("a \"GPU\"");
        recorder.write();
        let text = std::fs::read_to_string(file.with_file_name("trace.3.json")).unwrap();
        let events: Vec<serde_json::Value> = serde_json::from_str(&text).unwrap();
        let name = events.last().unwrap()["args"]["name"].as_str().unwrap();
        assert!(name.ends_with(", a \"GPU\")"), "{name}");
    }
}
