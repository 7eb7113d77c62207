//! The thread that reports: on SIGUSR1, and to rank 0 when it asks.
//!
//! A process has one, for all ranks that are threads of it. The handler of the signal writes a byte to a socket, from
//! which the thread reads; whatever handled the signal before is called too. Once a second the thread looks around: for
//! the questions of rank 0, and for collectives that were entered or left, since nobody has the time to look at the
//! clock then.

use std::io::{ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, Once, PoisonError, Weak};
use std::thread;
use std::time::{Duration, Instant};

use signal_hook::consts::SIGUSR1;
use signal_hook::low_level::pipe;

use super::whereabouts::{Pending, Whereabouts};
use super::{Engine, Wait, survey};

/// Between two looks around, and while answers are awaited.
const LOOKS: [Duration; 2] = [Duration::from_secs(1), Duration::from_millis(20)];

/// How long the thread that polls may take to say what is pending.
const PATIENCE: Duration = Duration::from_secs(2);

/// The ranks of this process.
static ENGINES: Mutex<Vec<Weak<Engine>>> = Mutex::new(Vec::new());

/// What the thread of the reports asks the thread that polls.
#[derive(Default)]
pub(super) struct Inquiry {
    is_open: AtomicBool,
    answer: Mutex<Option<Pending>>,
}

impl Inquiry {
    /// Whether somebody waits for an answer.
    #[inline]
    pub(super) fn is_open(&self) -> bool {
        self.is_open.load(Ordering::Relaxed)
    }

    /// Answers as the thread that polls, which waits for `own`, if it was asked.
    pub(super) fn answer(&self, tasks: &[super::Entry], own: &Wait<'_>) {
        if self.is_open() && self.is_open.swap(false, Ordering::Relaxed) {
            let pending = Pending::of(&own.endpoint.engine, tasks, Some(own));
            *self.answer.lock().unwrap_or_else(PoisonError::into_inner) = Some(pending);
        }
    }

    fn take_answer(&self) -> Option<Pending> {
        self.answer.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// Prints a report, in one write, so that those of several ranks do not mix.
pub(super) fn print(text: &str) {
    let lines: String = text.lines().map(|line| format!("warpcomm: {line}\n")).collect();
    // Where nobody reads the errors any more, there is nobody to tell.
    let _ = std::io::stderr().write_all(lines.as_bytes());
}

/// Reports for this engine from now on.
pub(super) fn register(engine: &Arc<Engine>) {
    static STARTED: Once = Once::new();
    let mut engines = ENGINES.lock().unwrap_or_else(PoisonError::into_inner);
    engines.retain(|engine| engine.strong_count() > 0);
    engines.push(Arc::downgrade(engine));
    STARTED.call_once(|| {
        // Caught from here on, and not only once the thread runs.
        let signals = signals();
        // Without the thread there are the reports of the calls that wait.
        let _ = thread::Builder::new()
            .name("warpcomm reports".into())
            .spawn(move || run(signals.as_ref()));
    });
}

/// What can be read from when the signal has come; nothing ever where it cannot be caught.
fn signals() -> Option<UnixStream> {
    let (reader, writer) = UnixStream::pair().ok()?;
    pipe::register(SIGUSR1, writer).ok()?;
    Some(reader)
}

fn run(signals: Option<&UnixStream>) {
    let mut is_busy = false;
    loop {
        let is_asked = wait(signals, LOOKS[usize::from(is_busy)]);
        let engines: Vec<Arc<Engine>> = {
            let engines = ENGINES.lock().unwrap_or_else(PoisonError::into_inner);
            engines.iter().filter_map(Weak::upgrade).collect()
        };
        is_busy = false;
        for engine in engines.iter().filter(|engine| !engine.is_stopped()) {
            engine.endpoints().iter().for_each(|endpoint| endpoint.notice());
            if is_asked {
                report(engine);
            }
            if engine.only_thread.is_none() {
                survey::attend(engine, || pending(engine).unwrap_or_else(stuck));
                is_busy |= engine.survey.is_going_on();
            }
        }
    }
}

/// Waits for the signal for some time; true if it has come.
fn wait(signals: Option<&UnixStream>, time: Duration) -> bool {
    let Some(mut signals) = signals else {
        thread::sleep(time);
        return false;
    };
    let mut bytes = [0; 64];
    let read = signals
        .set_read_timeout(Some(time))
        .and_then(|()| signals.read(&mut bytes));
    match read {
        Ok(1..) => return true,
        Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
        // The end, where the program has taken the handler away: nothing can be waited for any more.
        Ok(0) | Err(_) => thread::sleep(time),
    }
    false
}

/// Prints what is pending on a rank, and lets rank 0 ask the others.
fn report(engine: &Arc<Engine>) {
    let rank = engine.rank;
    let pending = pending(engine).unwrap_or_else(stuck);
    let whereabouts = Whereabouts::of(engine, pending);
    let mut text = match whereabouts.pending.lines.is_empty() {
        true => format!("rank {rank} reports; nothing is pending here\n"),
        false => format!("rank {rank} reports; pending here:\n"),
    };
    for line in &whereabouts.pending.lines {
        text.push_str(&format!("  {line}\n"));
    }
    if let Some(standing) = whereabouts.last() {
        let (last, ranks) = (standing.latest().unwrap_or_default(), standing.ranks);
        let seconds = standing.duration().as_secs();
        text.push_str(&match standing.is_inside {
            1 => format!("  in {last} of {ranks} ranks, for about {seconds} s\n"),
            _ => format!("  last in {last} of {ranks} ranks, left about {seconds} s ago\n"),
        });
    }
    if rank == 0 && engine.only_thread.is_some() {
        text.push_str("  other ranks are asked by a call that waits: this MPI lets one thread call\n");
    }
    print(&text);
    engine.survey.want();
}

/// What is pending on a rank: as the thread that polls says, or as is seen where nobody polls.
fn pending(engine: &Engine) -> Option<Pending> {
    let asked = Instant::now();
    let inquiry = &engine.inquiry;
    inquiry.take_answer();
    inquiry.is_open.store(true, Ordering::Relaxed);
    engine.transport.wake();
    while asked.elapsed() < PATIENCE && !engine.is_stopped() {
        if let Some(pending) = inquiry.take_answer() {
            return Some(pending);
        }
        if let Some(mut tasks) = engine.tasks.try_take() {
            inquiry.is_open.store(false, Ordering::Relaxed);
            engine.collect_inbox(&mut tasks);
            return Some(Pending::of(engine, &tasks, None));
        }
        thread::sleep(Duration::from_millis(1));
    }
    inquiry.is_open.store(false, Ordering::Relaxed);
    None
}

/// What is said for a thread that polls and does not come back.
fn stuck() -> Pending {
    Pending {
        lines: vec!["a call that polls does not come back from the transport".to_owned()],
        missing: Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_rests_where_no_signal_can_come() {
        let (reader, writer) = UnixStream::pair().unwrap();
        let time = Duration::from_millis(30);
        (&writer).write_all(&[0]).unwrap();
        assert!(wait(Some(&reader), time));
        drop(writer);
        for signals in [Some(&reader), None] {
            let before = Instant::now();
            assert!(!wait(signals, time));
            assert!(before.elapsed() >= time);
        }
    }
}
