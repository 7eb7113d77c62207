//! What an operation is doing, for hang reports, traces and errors.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use super::sequence::Sequence;
use super::trace::{self, Kept, Recorder, Trace};
use crate::device::Place;
use crate::dtype::Dtype;
use crate::error::{Error, ErrorKind, Peer};
use crate::message::Tag;
use crate::path::Path;
use crate::plan::Algorithm;

/// What a pending operation waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Phase {
    /// Nothing yet.
    Start,
    /// The transport to take an envelope.
    Envelope,
    /// A send that matches.
    Match,
    /// The receiver to post its receive.
    Go,
    /// The elements of the message.
    Body,
    /// Another rank to enter the collective.
    Frame,
    /// A rank, perhaps of another communicator, to come to a meeting.
    Meeting,
    /// Another rank, which may have entered it, to go on.
    Step,
    /// Another rank's part of a collective.
    Data,
    /// The transport to make a communicator.
    Creation,
    /// A collective of the MPI library itself.
    Library,
    /// Nothing any more.
    Over,
}

impl Phase {
    const ALL: [Phase; 12] = [
        Phase::Start,
        Phase::Envelope,
        Phase::Match,
        Phase::Go,
        Phase::Body,
        Phase::Frame,
        Phase::Meeting,
        Phase::Step,
        Phase::Data,
        Phase::Creation,
        Phase::Library,
        Phase::Over,
    ];

    pub(super) fn from_code(code: u8) -> Phase {
        Phase::ALL.get(usize::from(code)).copied().unwrap_or(Phase::Start)
    }

    /// What a trace calls it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Phase::Start => "turn",
            Phase::Envelope => "envelope",
            Phase::Match => "match",
            Phase::Go => "go",
            Phase::Body => "body",
            Phase::Frame => "agreement",
            Phase::Meeting => "meeting",
            Phase::Step => "step",
            Phase::Data => "data",
            Phase::Creation => "creation",
            Phase::Library => "library",
            Phase::Over => "over",
        }
    }
}

/// How the elements of an operation travel, from the shortest way to the longest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Course {
    /// Not yet, or not at all.
    Unknown,
    /// In the envelope of a message.
    Inline,
    /// After the receiver's answer.
    Rendezvous,
    Frames,
    Direct,
    Tree,
    Blocks,
    Leader,
    OneShot,
    TwoShot,
    Levels,
}

impl Course {
    const ALL: [Course; 11] = [
        Course::Unknown,
        Course::Inline,
        Course::Rendezvous,
        Course::Frames,
        Course::Direct,
        Course::Tree,
        Course::Blocks,
        Course::Leader,
        Course::OneShot,
        Course::TwoShot,
        Course::Levels,
    ];

    /// What a trace calls it, for elements that go along a path.
    fn name(self, path: Path) -> Option<&'static str> {
        /// The names of a course along each path.
        macro_rules! along {
            ($course:literal) => {
                match path {
                    Path::Host => $course,
                    Path::Staged => concat!($course, ", staged"),
                    Path::CudaAware => concat!($course, ", cuda-aware"),
                    Path::SharedPinned => concat!($course, ", shared pinned"),
                    Path::PeerGpuIpc => concat!($course, ", peer GPU IPC"),
                    Path::SameGpuIpc => concat!($course, ", same GPU IPC"),
                    Path::SameProcess => concat!($course, ", same process"),
                }
            };
        }
        Some(match self {
            Course::Unknown => return None,
            Course::Inline => along!("inline"),
            Course::Rendezvous => along!("rendezvous"),
            Course::Frames => along!("frames"),
            Course::Direct => along!("direct"),
            Course::Tree => along!("tree"),
            Course::Blocks => along!("blocks"),
            Course::Leader => along!("leader"),
            Course::OneShot => along!("one-shot"),
            Course::TwoShot => along!("two-shot"),
            Course::Levels => along!("levels"),
        })
    }
}

impl From<Algorithm> for Course {
    #[inline]
    fn from(algorithm: Algorithm) -> Course {
        match algorithm {
            Algorithm::Frames => Course::Frames,
            Algorithm::Direct => Course::Direct,
            Algorithm::Tree => Course::Tree,
            Algorithm::Blocks => Course::Blocks,
            Algorithm::Leader => Course::Leader,
            Algorithm::OneShot => Course::OneShot,
            Algorithm::TwoShot => Course::TwoShot,
            Algorithm::Levels => Course::Levels,
        }
    }
}

/// No type of elements.
const UNTYPED: u8 = u8::MAX;

/// No rank in particular.
const NOBODY: usize = usize::MAX;

/// What the elements of an operation are, and how they travel: the codes of what is known.
#[derive(Clone, Copy)]
pub(super) struct Carried {
    dtype: u8,
    course: u8,
    path: u8,
}

impl Carried {
    /// The type of the elements, where there is one.
    pub(super) fn dtype(self) -> Option<Dtype> {
        Dtype::from_code(self.dtype)
    }

    /// How the elements travel, in words, once that is known.
    pub(super) fn path(self) -> Option<&'static str> {
        let course = Course::ALL.get(usize::from(self.course))?;
        course.name(Path::from_code(self.path)?)
    }
}

/// It was shown to those who trace.
const BEGUN: u8 = 1;

/// Some of them have something of it that must be ended.
const HAS_TRACE: u8 = 2;

/// One pending operation: what it is and what it waits for.
pub(crate) struct Activity {
    /// The name of the operation at the door.
    pub operation: &'static str,
    /// The ranks of the communicator, for the report.
    pub rank: usize,
    /// The name of the communicator, if it has one.
    pub communicator: Option<Arc<str>>,
    pub peer: Option<Peer>,
    pub tag: Option<Tag>,
    /// The number of a collective on its communicator.
    pub sequence: Option<Sequence>,
    /// What it is kept by for the file of its rank.
    timeline: Kept,
    bytes: AtomicUsize,
    phase: AtomicU8,
    awaited: AtomicUsize,
    since: OnceLock<Instant>,
    cancelled: AtomicBool,
    dtype: AtomicU8,
    course: AtomicU8,
    /// The code of the path.
    going: AtomicU8,
    /// Whether it was shown to those who trace: nothing, or [`BEGUN`], and [`HAS_TRACE`].
    shown: AtomicU8,
    /// Whether all ranks have entered the collective.
    all_have_entered: AtomicBool,
    /// Whether it goes on without its caller, and tells itself how it ended.
    is_task: AtomicBool,
    trace: Mutex<Option<Box<Trace>>>,
}

impl Drop for Activity {
    #[inline]
    fn drop(&mut self) {
        self.close();
    }
}

impl Activity {
    #[inline(always)]
    pub(crate) fn new(operation: &'static str, rank: usize) -> Activity {
        Activity {
            operation,
            rank,
            communicator: None,
            peer: None,
            tag: None,
            sequence: None,
            timeline: Kept::default(),
            bytes: AtomicUsize::new(0),
            phase: AtomicU8::new(Phase::Start as u8),
            awaited: AtomicUsize::new(NOBODY),
            since: OnceLock::new(),
            cancelled: AtomicBool::new(false),
            dtype: AtomicU8::new(UNTYPED),
            course: AtomicU8::new(Course::Unknown as u8),
            going: AtomicU8::new(Path::Host as u8),
            shown: AtomicU8::new(0),
            all_have_entered: AtomicBool::new(false),
            is_task: AtomicBool::new(false),
            trace: Mutex::new(None),
        }
    }

    /// Notes what the elements are.
    #[inline]
    pub(crate) fn carries(&self, dtype: Dtype) {
        self.dtype.store(dtype.code(), Ordering::Relaxed);
    }

    /// Notes where elements are that this rank has or gets; of several places a GPU counts.
    #[inline]
    pub(crate) fn has_elements_in(&self, place: Place) {
        if place == Place::Device {
            self.goes(Path::Staged);
        }
    }

    /// Notes the path of elements; of several the last in the list of paths counts.
    #[inline]
    pub(crate) fn goes(&self, path: Path) {
        let known = self.going.load(Ordering::Relaxed);
        self.going.store(known.max(path as u8), Ordering::Relaxed);
    }

    /// Notes how many bytes the elements have, as soon as that is known.
    #[inline]
    pub(crate) fn measures(&self, bytes: usize) {
        self.bytes.store(bytes, Ordering::Relaxed);
    }

    #[inline]
    pub(super) fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Notes how elements travel; of several ways the longest counts.
    #[inline]
    pub(crate) fn takes(&self, course: impl Into<Course>) {
        let known = self.course.load(Ordering::Relaxed);
        self.course
            .store(known.max(course.into() as u8), Ordering::Relaxed);
    }

    /// What the elements are, and how they travel.
    pub(super) fn carried(&self) -> Carried {
        Carried {
            dtype: self.dtype.load(Ordering::Relaxed),
            course: self.course.load(Ordering::Relaxed),
            path: self.going.load(Ordering::Relaxed),
        }
    }

    /// The rank that a collective waits for to enter it.
    pub(super) fn missing(&self) -> Option<usize> {
        let awaited = self.awaited.load(Ordering::Relaxed);
        (self.phase() == Phase::Frame && awaited != NOBODY).then_some(awaited)
    }

    fn trace(&self) -> MutexGuard<'_, Option<Box<Trace>>> {
        self.trace.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Shows the operation to those who trace, the first time.
    #[cold]
    pub(super) fn begin(&self) {
        // By the thread whose call it is, before others know of it.
        if self.shown.load(Ordering::Relaxed) != 0 {
            return;
        }
        self.shown.store(BEGUN, Ordering::Relaxed);
        if let Some(timeline) = self.timeline.get() {
            timeline.begin();
        }
        if trace::shows() {
            let trace = Trace::begin(self);
            *self.trace() = Some(Box::new(trace));
            self.shown.store(BEGUN | HAS_TRACE, Ordering::Relaxed);
        }
    }

    /// Has it kept for the file of its rank, from when it begins.
    #[inline]
    pub(crate) fn is_kept_by(&mut self, recorder: Option<&'static Recorder>) {
        if let Some(recorder) = recorder {
            self.timeline = Kept::by(recorder);
        }
    }

    fn has_trace(&self) -> bool {
        self.shown.load(Ordering::Relaxed) & HAS_TRACE != 0
    }

    /// Its span, while it is shown.
    pub(super) fn span(&self) -> Option<tracing::Span> {
        match self.has_trace() {
            true => self.trace().as_ref().map(|trace| trace.span()),
            false => None,
        }
    }

    /// Remembers for those who trace how a part of the operation ended; the first error counts.
    #[cold]
    pub(super) fn note(&self, outcome: Result<(), ErrorKind>) {
        if let Some(timeline) = self.timeline.get() {
            timeline.note(outcome);
        }
        if self.has_trace()
            && let Some(trace) = &mut *self.trace()
        {
            trace.note(outcome);
        }
    }

    /// Ends what is shown, if it still is: of a task before the operation itself is dropped.
    #[inline]
    pub(super) fn close(&self) {
        if self.shown.load(Ordering::Relaxed) != 0 {
            self.end_trace();
        }
    }

    #[cold]
    fn end_trace(&self) {
        if let Some(timeline) = self.timeline.get() {
            timeline.end(self);
        }
        if self.has_trace() {
            let trace = self.trace().take();
            if let Some(trace) = trace {
                trace.end(self);
            }
        }
    }

    /// Notes that it goes on without its caller: a call that waits for it does not know how it ends.
    pub(super) fn becomes_a_task(&self) {
        self.is_task.store(true, Ordering::Relaxed);
    }

    pub(super) fn is_task(&self) -> bool {
        self.is_task.load(Ordering::Relaxed)
    }

    #[inline]
    pub(crate) fn waits_for(&self, phase: Phase) {
        self.phase.store(phase as u8, Ordering::Relaxed);
        if let Some(timeline) = self.timeline.get() {
            timeline.waits_for(phase, None);
        }
    }

    #[inline]
    pub(crate) fn waits_for_rank(&self, phase: Phase, rank: usize) {
        self.phase.store(phase as u8, Ordering::Relaxed);
        self.awaited.store(rank, Ordering::Relaxed);
        if let Some(timeline) = self.timeline.get() {
            timeline.waits_for(phase, Some(rank));
        }
    }

    /// Waits for a rank of which nothing has come yet, or which is behind in a later step.
    #[inline]
    pub(crate) fn waits_to_agree_with(&self, rank: usize) {
        let phase = match self.all_have_entered.load(Ordering::Relaxed) {
            true => Phase::Step,
            false => Phase::Frame,
        };
        self.waits_for_rank(phase, rank);
    }

    /// Notes that no rank is missing any more.
    #[inline]
    pub(crate) fn all_have_entered(&self) {
        self.all_have_entered.store(true, Ordering::Relaxed);
    }

    #[inline]
    pub(crate) fn phase(&self) -> Phase {
        Phase::from_code(self.phase.load(Ordering::Relaxed))
    }

    /// Whether the transport may be using memory that the operation's caller lent.
    pub(crate) fn lends(&self) -> bool {
        matches!(self.phase(), Phase::Body | Phase::Data | Phase::Library)
    }

    /// Asks the operation to end as soon as it can do so without breaking a promise to its peer.
    pub(crate) fn cancel(&self) {
        self.cancelled.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_cancelled(&self) -> bool {
        self.cancelled.load(Ordering::Relaxed)
    }

    /// How long the operation has waited, counted from the first look at the clock.
    pub(crate) fn age(&self) -> Duration {
        self.since.get_or_init(Instant::now).elapsed()
    }

    /// Its line in a report.
    pub(super) fn line(&self) -> String {
        format!("{self} ({:.1} s)", self.age().as_secs_f64())
    }

    /// A copy for reports, whose age counts from here.
    pub(super) fn shown(&self) -> Activity {
        let mut shown = Activity::new(self.operation, self.rank);
        shown.communicator.clone_from(&self.communicator);
        shown.sequence = self.sequence;
        shown.measures(self.bytes());
        shown.waits_for(self.phase());
        shown.age();
        shown
    }

    /// Names this operation in an error from below.
    pub(crate) fn name(&self, error: Error) -> Error {
        // One that is refused at the door has no other moment to be shown.
        if trace::is_on() && !self.is_task() {
            self.begin();
            self.note(Err(error.kind()));
        }
        let error = error.at(self.operation, self.rank).on(self.communicator.as_ref());
        match self.peer {
            Some(peer) => error.peer(peer),
            None => error,
        }
    }
}

impl fmt::Display for Activity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.operation)?;
        if let Some(sequence) = self.sequence {
            write!(f, " {sequence}")?;
        }
        if let Some(communicator) = &self.communicator {
            write!(f, " on {communicator:?}")?;
        }
        if let Some(peer) = self.peer {
            write!(f, " {peer}")?;
        }
        if let Some(tag) = self.tag {
            write!(f, ", {tag}")?;
        }
        match self.bytes() {
            0 => {}
            bytes => write!(f, ", {bytes} bytes")?,
        }
        f.write_str(", waits for ")?;
        let awaited = self.awaited.load(Ordering::Relaxed);
        match self.phase() {
            Phase::Start => f.write_str("its turn"),
            Phase::Envelope => f.write_str("the transport to take the envelope"),
            Phase::Match => f.write_str("a matching send"),
            Phase::Go => f.write_str("a matching receive"),
            Phase::Body => f.write_str("the elements to be moved"),
            Phase::Frame | Phase::Meeting => write!(f, "rank {awaited} to enter it"),
            Phase::Step => write!(f, "rank {awaited} to come to the next step of it"),
            Phase::Data => write!(f, "the part of rank {awaited}"),
            Phase::Creation => f.write_str("the communicator to be made"),
            Phase::Library => f.write_str("MPI's own collective"),
            Phase::Over => f.write_str("nothing any more"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trace_tells_the_algorithm_and_the_path() {
        let name = |algorithm: Algorithm, path| Course::from(algorithm).name(path);
        assert_eq!(
            name(Algorithm::Leader, Path::SameGpuIpc),
            Some("leader, same GPU IPC")
        );
        assert_eq!(
            name(Algorithm::OneShot, Path::PeerGpuIpc),
            Some("one-shot, peer GPU IPC")
        );
        assert_eq!(
            name(Algorithm::TwoShot, Path::SameProcess),
            Some("two-shot, same process")
        );
        assert_eq!(name(Algorithm::Blocks, Path::Host), Some("blocks"));
    }
}
