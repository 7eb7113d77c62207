//! What a rank has done, from the end of each operation until it is in the rank's file.
//!
//! An operation that ends leaves a record in memory. A thread of the process, which all ranks in it share, writes the
//! records down forty times a second, and so does a rank whose engine stops; what is left is written when the process exits.
//! Records that come faster than they can be written are left out and counted.

use std::fs::File;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::{self, Thread};
use std::time::Duration;

use super::clock::Clock;
use super::lanes::Lanes;
use super::names;
use super::writer::Writer;
use crate::config::Config;
use crate::engine::activity::Activity;
use crate::error::{Error, ErrorKind, Peer, Result};
use crate::message::Tag;

/// Between two times that records are written.
const INTERVAL: Duration = Duration::from_millis(25);

/// The most records that wait to be written, and their steps: some 20 MiB.
const RECORDS: usize = 1 << 17;
const STEPS: usize = 4 * RECORDS;

/// So many do not wait for the next time.
const MANY: usize = RECORDS / 4;

/// The lanes of requests, which go on without a call, are above those of calls.
pub(super) const REQUESTS: u32 = 1 << 16;

/// The files of this process: they last as long as it, because threads may be ranks again and again.
static RECORDERS: Mutex<Vec<(PathBuf, &'static Recorder)>> = Mutex::new(Vec::new());

/// The thread that writes.
static WRITER: OnceLock<Option<Thread>> = OnceLock::new();

unsafe extern "C" {
    /// Calls a function when the process exits (C11, section 7.22.4.2).
    safe fn atexit(function: extern "C" fn()) -> std::ffi::c_int;
}

/// The trace of a rank.
pub(crate) struct Recorder {
    clock: Clock,
    calls: Lanes,
    requests: Lanes,
    pending: Mutex<Records>,
    writer: Mutex<Writer>,
}

/// Operations that are over.
#[derive(Default)]
pub(super) struct Records {
    pub records: Vec<Record>,
    /// Those of all records, one after the other; see [`Step`](super::timeline::Step).
    pub steps: Vec<u64>,
    /// How many operations have left no record, since there were too many.
    pub left_out: u64,
    /// Whether nobody can write any more.
    is_closed: bool,
}

/// An operation that is over.
pub(super) struct Record {
    pub operation: &'static str,
    pub communicator: Option<Arc<str>>,
    pub rank: usize,
    pub peer: Option<Peer>,
    pub tag: Option<Tag>,
    pub sequence: Option<u64>,
    pub bytes: usize,
    pub dtype: Option<&'static str>,
    pub path: Option<&'static str>,
    pub ended: Ended,
    /// How many steps it has.
    pub steps: u32,
}

/// When an operation was, in ticks, in which lane, and what became of it.
pub(super) struct Ended {
    pub start: u64,
    pub duration: u64,
    pub lane: u32,
    pub outcome: Option<Result<(), ErrorKind>>,
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
        let refused = |error: std::io::Error| {
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
            calls: Lanes::default(),
            requests: Lanes::default(),
            pending: Mutex::default(),
            writer: Mutex::new(opened.map_err(refused)?),
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

    /// A lane for an operation that begins.
    pub(super) fn take_lane(&self, is_request: bool) -> u32 {
        match is_request {
            true => REQUESTS + self.requests.take(),
            false => self.calls.take(),
        }
    }

    /// Keeps what is known of an operation that is over.
    pub(super) fn record(
        &self,
        activity: &Activity,
        ended: Ended,
        steps: impl ExactSizeIterator<Item = u64>,
    ) {
        let lane = ended.lane;
        let record = Record {
            operation: activity.operation,
            communicator: activity.communicator.clone(),
            rank: activity.rank,
            peer: activity.peer,
            tag: activity.tag,
            sequence: activity.sequence.map(|sequence| sequence.number()),
            bytes: activity.bytes(),
            dtype: activity.dtype().map(|dtype| dtype.name()),
            path: activity.path(),
            ended,
            steps: steps.len() as u32,
        };
        if self.pending().add(record, steps) == MANY
            && let Some(Some(writer)) = WRITER.get()
        {
            writer.unpark();
        }
        match lane.checked_sub(REQUESTS) {
            Some(lane) => self.requests.give_back(lane),
            None => self.calls.give_back(lane),
        }
    }

    /// Tells which GPU the rank uses.
    #[cfg(feature = "cuda")]
    pub(crate) fn names_gpu(&self, gpu: &str) {
        self.writer().names_gpu(gpu);
    }

    /// Writes all records into the file.
    pub(crate) fn write(&self) {
        let mut writer = self.writer();
        let records = {
            let mut pending = self.pending();
            if pending.is_empty() {
                return;
            }
            std::mem::replace(&mut *pending, writer.take_spare())
        };
        if let Err(error) = writer.write(records) {
            let file = writer.file();
            // Nobody else is told: the operations of the program are none the worse.
            eprintln!("warpcomm: WARPCOMM_TRACE: cannot write {file}, which ends here: {error}");
            self.pending().is_closed = true;
        }
    }

    fn pending(&self) -> MutexGuard<'_, Records> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn writer(&self) -> MutexGuard<'_, Writer> {
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Records {
    /// Adds one, if there is room; returns how many there are then.
    fn add(&mut self, record: Record, steps: impl ExactSizeIterator<Item = u64>) -> usize {
        if self.is_closed {
            return 0;
        }
        if self.records.len() == RECORDS || self.steps.len() + steps.len() > STEPS {
            self.left_out += 1;
            return 0;
        }
        self.records.push(record);
        self.steps.extend(steps);
        self.records.len()
    }

    fn is_empty(&self) -> bool {
        self.records.is_empty() && self.left_out == 0
    }

    /// Forgets all, but for the memory that they were in.
    pub(super) fn clear(&mut self) {
        self.records.clear();
        self.steps.clear();
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

extern "C" fn at_exit() {
    // A panic must not leave this function.
    let _ = std::panic::catch_unwind(write_all);
}
