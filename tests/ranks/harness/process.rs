//! Child processes of the test program, which never outlive their welcome.

use std::fs::File;
use std::io;
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

/// How often a running child is looked after.
const TICK: Duration = Duration::from_millis(50);

/// How long a child has to end after it was asked to.
const FAREWELL: Duration = Duration::from_secs(10);

/// How a child ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// By itself.
    Exited(ExitStatus),
    /// It made no progress and was killed.
    Stalled,
}

/// Runs a command with its output in a file.
///
/// It is killed when the number that `look_after` returns has not changed for `patience`.
pub fn run(
    command: &mut Command,
    output: &Path,
    patience: Duration,
    mut look_after: impl FnMut() -> u64,
) -> io::Result<End> {
    let file = File::create(output)?;
    command
        .stdin(Stdio::null())
        .stdout(file.try_clone()?)
        .stderr(file);
    let mut child = command.spawn()?;
    let id = child.id();
    let (sender, ended) = mpsc::channel();
    thread::spawn(move || sender.send(child.wait()));
    let mut progress = look_after();
    let mut since = Instant::now();
    loop {
        match ended.recv_timeout(TICK) {
            Ok(status) => return status.map(End::Exited),
            Err(RecvTimeoutError::Disconnected) => {
                return Err(io::Error::other("the waiting thread is gone"));
            }
            Err(RecvTimeoutError::Timeout) => {}
        }
        let now = look_after();
        if now != progress {
            (progress, since) = (now, Instant::now());
        } else if since.elapsed() > patience {
            break;
        }
    }
    // Launchers end their ranks when they are asked to end; when killed they may leave them alone.
    for signal in ["-TERM", "-KILL"] {
        Command::new("kill").arg(signal).arg(id.to_string()).status()?;
        if ended.recv_timeout(FAREWELL).is_ok() {
            break;
        }
    }
    Ok(End::Stalled)
}
