//! A launcher of a short job, for which this command waits, and not for ever.

use std::io::Read;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

/// How long the job may take: a driver of many GPUs needs some seconds to begin.
const PATIENCE: Duration = Duration::from_secs(90);

/// How long a launcher may take to end its job, and the last output to come when it has ended.
const TO_END: Duration = Duration::from_secs(5);

/// What became of a launcher that has ended by itself.
#[derive(Debug)]
pub struct Done {
    pub succeeded: bool,
    pub stdout: String,
    pub stderr: String,
}

/// Runs a launcher to its end, and ends it where it takes too long. It stays in the process group of this command, so that
/// what is typed at the terminal ends both.
///
/// # Errors
///
/// When it cannot be started, and when it has not ended by itself.
pub fn run(command: &mut Command) -> Result<Done, String> {
    run_within(command, PATIENCE, TO_END)
}

fn run_within(command: &mut Command, patience: Duration, to_end: Duration) -> Result<Done, String> {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().map_err(|error| error.to_string())?;
    let id = Pid::from_child(&child);
    let stdout = follow(child.stdout.take());
    let stderr = follow(child.stderr.take());
    let has_ended = wait(child);
    if let Ok(succeeded) = has_ended.recv_timeout(patience) {
        // Whoever is left of the job, or of the launcher's servers, may have the streams open for ever.
        let until = Instant::now() + to_end;
        return Ok(Done {
            succeeded,
            stdout: text(&stdout, until),
            stderr: text(&stderr, until),
        });
    }
    for signal in [Signal::TERM, Signal::KILL] {
        let _ = kill_process(id, signal);
        if has_ended.recv_timeout(to_end).is_ok() {
            break;
        }
    }
    Err(format!("they did not end within {} seconds", patience.as_secs()))
}

/// Tells when a process has ended, and whether it has succeeded.
fn wait(mut child: Child) -> Receiver<bool> {
    let (sender, has_ended) = mpsc::channel();
    thread::spawn(move || {
        let status = child.wait();
        let _ = sender.send(status.is_ok_and(|status| status.success()));
    });
    has_ended
}

/// What comes from a stream, as it comes.
fn follow(stream: Option<impl Read + Send + 'static>) -> Receiver<Vec<u8>> {
    let (sender, pieces) = mpsc::channel();
    thread::spawn(move || {
        let Some(mut stream) = stream else { return };
        let mut piece = [0; 4096];
        // What came before an error is what there is.
        while let Ok(length @ 1..) = stream.read(&mut piece) {
            if sender.send(piece[..length].to_vec()).is_err() {
                return;
            }
        }
    });
    pieces
}

/// What has come from a stream until its end, or until then.
fn text(pieces: &Receiver<Vec<u8>>, until: Instant) -> String {
    let next = || pieces.recv_timeout(until.saturating_duration_since(Instant::now()));
    let bytes: Vec<u8> = std::iter::from_fn(|| next().ok()).flatten().collect();
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    #[test]
    fn a_stream_that_somebody_keeps_open_does_not_hold_it_up() {
        let mut command = shell("echo broken >&2; sleep 600 & echo $!; exit 3");
        let done = run_within(&mut command, PATIENCE, Duration::from_secs(1)).unwrap();
        assert!(!done.succeeded);
        assert_eq!(done.stderr, "broken\n");
        let left = done.stdout.trim().parse().ok().and_then(Pid::from_raw).unwrap();
        kill_process(left, Signal::KILL).unwrap();
    }

    #[test]
    fn one_that_hangs_is_ended() {
        for script in ["exec sleep 600", "trap '' TERM; while :; do :; done"] {
            let short = Duration::from_millis(50);
            let hung = run_within(&mut shell(script), short, short).unwrap_err();
            assert_eq!(hung, "they did not end within 0 seconds");
        }
    }
}
