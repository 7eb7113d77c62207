//! A job that measures, and what comes from it.

use std::io::{BufRead, BufReader, Read};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, Sender};
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};

use super::signals;
use crate::task::Answer;

/// How long a launcher may take to end its job, and the last output to come when it has ended.
const TO_END: Duration = Duration::from_secs(5);

/// What happens while jobs run.
pub enum Event {
    /// A job's line, with the number of the job.
    Line(usize, Stream, String),
    /// One of the job's streams is at its end.
    Closed(usize),
    /// The launcher has ended.
    Ended(usize, Option<ExitStatus>),
    /// This process got a signal.
    Signal(i32),
}

/// From where a line is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Stream {
    Output,
    Error,
}

/// How a job ended.
#[derive(Clone, Debug, PartialEq)]
pub enum Ending {
    /// It has measured everything.
    Done,
    /// It has not, and ended so.
    Died(String),
    /// By this signal to this process.
    Interrupted(i32),
}

/// Who takes what a job says; an error ends the job.
pub trait Listener {
    /// An answer of rank 0.
    fn answer(&mut self, answer: Answer) -> Result<(), String>;
    /// A line that is none: of the program, of MPI or of the launcher.
    fn line(&mut self, line: &str);
}

/// Runs a job to its end. `number` is not that of an earlier one.
pub fn run(
    mut command: Command,
    number: usize,
    (sender, events): (&Sender<Event>, &Receiver<Event>),
    listener: &mut dyn Listener,
) -> Result<Ending, String> {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        // What is typed at the terminal reaches the job through this process, which waits for it to end.
        .process_group(0);
    let child = command.spawn().map_err(|error| {
        let launcher = command.get_program().to_string_lossy();
        format!("cannot start the launcher `{launcher}`: {error}")
    })?;
    let mut job = Job {
        group: Pid::from_child(&child),
        number,
        open_streams: 0,
        is_done: false,
        status: None,
        end: End::Open,
    };
    job.open_streams = watch(child, number, sender);
    while !job.is_over() {
        match job.next(events) {
            Some(event) => job.take(event, listener),
            None => job.press(),
        }
    }
    match job.end {
        End::Failed(message) => Err(message),
        End::Interrupted(signal) => Ok(Ending::Interrupted(signal)),
        End::Open => Ok(job.ending()),
    }
}

/// Starts threads that send what the launcher says and its end; how many streams it has.
fn watch(mut child: Child, number: usize, sender: &Sender<Event>) -> usize {
    let mut streams = 0;
    let mut follow = |stream: Option<Box<dyn Read + Send>>, kind| {
        if let Some(stream) = stream {
            streams += 1;
            let sender = sender.clone();
            thread::spawn(move || send_lines(stream, kind, number, &sender));
        }
    };
    follow(
        child.stdout.take().map(|stream| Box::new(stream) as _),
        Stream::Output,
    );
    follow(
        child.stderr.take().map(|stream| Box::new(stream) as _),
        Stream::Error,
    );
    let sender = sender.clone();
    thread::spawn(move || {
        let status = child.wait().ok();
        let _ = sender.send(Event::Ended(number, status));
    });
    streams
}

fn send_lines(stream: Box<dyn Read + Send>, kind: Stream, number: usize, sender: &Sender<Event>) {
    let mut stream = BufReader::new(stream);
    let mut line = Vec::new();
    while stream.read_until(b'\n', &mut line).is_ok_and(|length| length > 0) {
        let text = String::from_utf8_lossy(&line)
            .trim_end_matches(['\n', '\r'])
            .to_owned();
        let _ = sender.send(Event::Line(number, kind, text));
        line.clear();
    }
    let _ = sender.send(Event::Closed(number));
}

/// A job that runs.
struct Job {
    /// That of the launcher, whose first process it is.
    group: Pid,
    number: usize,
    open_streams: usize,
    /// Whether everything is measured.
    is_done: bool,
    /// How the launcher has ended; the inner one is `None` where the system does not tell it.
    status: Option<Option<ExitStatus>>,
    end: End,
}

/// Whether and why the job is to end early.
enum End {
    Open,
    Interrupted(i32),
    Failed(String),
}

impl Job {
    fn is_over(&self) -> bool {
        self.status.is_some() && self.open_streams == 0
    }

    /// The next event; `None` where it takes too long for a job that should have ended.
    fn next(&mut self, events: &Receiver<Event>) -> Option<Event> {
        let is_ending = self.status.is_some() || !matches!(self.end, End::Open);
        let patience = if is_ending { TO_END } else { Duration::MAX };
        events.recv_timeout(patience).ok()
    }

    fn take(&mut self, event: Event, listener: &mut dyn Listener) {
        match event {
            Event::Line(number, stream, line) if number == self.number => self.hear(stream, &line, listener),
            Event::Closed(number) if number == self.number => self.open_streams -= 1,
            Event::Ended(number, status) if number == self.number => self.status = Some(status),
            Event::Signal(signal) => match self.end {
                // Who asks twice does not want to wait.
                End::Interrupted(_) => self.send(Signal::KILL),
                _ => self.stop(End::Interrupted(signal)),
            },
            // Of an earlier job.
            Event::Line(..) | Event::Closed(_) | Event::Ended(..) => {}
        }
    }

    fn hear(&mut self, stream: Stream, line: &str, listener: &mut dyn Listener) {
        let answer = match stream {
            Stream::Output => serde_json::from_str(line).ok(),
            Stream::Error => None,
        };
        match answer {
            None => listener.line(line),
            Some(_) if !matches!(self.end, End::Open) => {}
            Some(Answer::Done) => self.is_done = true,
            Some(answer) => {
                if let Err(message) = listener.answer(answer) {
                    self.stop(End::Failed(message));
                }
            }
        }
    }

    /// Begins to end the job.
    fn stop(&mut self, end: End) {
        self.end = end;
        self.send(Signal::TERM);
    }

    /// Ends what should have ended by itself.
    fn press(&mut self) {
        self.send(Signal::KILL);
        if self.status.is_some() {
            // Somebody else has the streams, who is not of the job.
            self.open_streams = 0;
        }
    }

    fn send(&self, signal: Signal) {
        let _ = kill_process_group(self.group, signal);
    }

    fn ending(&self) -> Ending {
        match self.status.flatten() {
            Some(status) if status.success() && self.is_done => Ending::Done,
            status => Ending::Died(described(status)),
        }
    }
}

/// How a process has ended.
fn described(status: Option<ExitStatus>) -> String {
    let code = status.and_then(|status| status.code());
    let signal = status.and_then(|status| status.signal());
    match (code, signal) {
        (Some(code), _) => format!("with exit status {code}"),
        (None, Some(signal)) => format!("by signal {signal}"),
        (None, None) => "in an unknown way".to_owned(),
    }
}

/// Why a run is not complete.
pub fn interruption(signal: i32) -> String {
    format!("interrupted by {}", signals::name(signal))
}
