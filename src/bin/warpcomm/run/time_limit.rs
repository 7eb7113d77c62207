//! `--time-limit`: a job that ends when its time is over, with everything that it has started on this host.
//!
//! The launchers' own limits end jobs with exit statuses of their own, or count in minutes; and none of them ends ranks
//! when the launcher itself hangs.

use std::fs;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, ExitCode, ExitStatus};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread;
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::process::{
    Pid, Signal, WaitId, WaitIdOptions, WaitOptions, getpgrp, getpid, kill_process, set_child_subreaper,
    waitid, waitpid,
};
use rustix::termios::tcgetpgrp;
use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2};
use signal_hook::iterator::Signals;

/// The exit status of a job whose time was over, as of timeout(1).
const IS_OVER: u8 = 124;

/// How long a launcher may take to end its job.
pub const TO_END: Duration = Duration::from_secs(5);

/// What is told to the launcher instead of this process.
const FORWARDED: [i32; 6] = [SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2];

/// Reads `90`, `90s`, `10m`, `2h` or `1d`, as timeout(1) does.
///
/// # Errors
///
/// When it is none of these, or no time at all.
pub fn duration(text: &str) -> Result<Duration, String> {
    let seconds_of = |unit: &u8| match unit {
        b's' => Some(1),
        b'm' => Some(60),
        b'h' => Some(60 * 60),
        b'd' => Some(24 * 60 * 60),
        _ => None,
    };
    let unit = text.as_bytes().last().and_then(seconds_of);
    let number = &text[..text.len() - usize::from(unit.is_some())];
    let seconds = number
        .parse::<u32>()
        .ok()
        .and_then(|number| u64::from(number).checked_mul(unit.unwrap_or(1)))
        .filter(|&seconds| seconds > 0);
    seconds.map(Duration::from_secs).ok_or_else(|| {
        "it is a whole number of seconds from 1 on, or one with s, m, h or d: 90, 10m, 2h".to_owned()
    })
}

/// The command with timeout(1) in front, which comes closest to what [`run`] does.
pub fn as_by_timeout(command: &Command, limit: Duration) -> Command {
    let mut line = Command::new("timeout");
    line.arg("--foreground")
        .arg(format!("--kill-after={}", TO_END.as_secs()))
        .arg(limit.as_secs().to_string())
        .arg(command.get_program())
        .args(command.get_args());
    for (name, value) in command.get_envs() {
        if let Some(value) = value {
            line.env(name, value);
        }
    }
    line
}

enum Event {
    HasEnded,
    Signal(i32),
}

/// Runs the launcher, and ends it and all that comes from it when the time is over.
///
/// # Errors
///
/// When it cannot be started.
pub fn run(command: &mut Command, limit: Duration) -> io::Result<ExitCode> {
    // Not before the simulated driver has arranged that it is removed: that process is to live on.
    set_child_subreaper(Some(getpid()))?;
    let (sender, events) = mpsc::channel();
    forward_signals(sender.clone())?;
    // Of whoever has become this process.
    let others = children();
    let mut child = command.spawn()?;
    let id = Pid::from_child(&child);
    thread::spawn(move || {
        // It is left unreaped, so that nobody else has its number while it is signalled.
        let ended = || waitid(WaitId::Pid(id), WaitIdOptions::EXITED | WaitIdOptions::NOWAIT);
        while ended().is_err_and(|error| error == Errno::INTR) {}
        let _ = sender.send(Event::HasEnded);
    });
    if has_ended(id, &events, Instant::now() + limit) {
        return Ok(exit_code(child.wait()?));
    }
    eprintln!(
        "warpcomm run: the time limit of {} s is over, the job is ended",
        limit.as_secs()
    );
    for signal in [Signal::TERM, Signal::KILL] {
        let _ = kill_process(id, signal);
        if has_ended(id, &events, Instant::now() + TO_END) {
            break;
        }
    }
    end_the_rest(child, &others);
    Ok(ExitCode::from(IS_OVER))
}

/// Has signals that would end this process come as events, unless whoever has started it ignores them.
fn forward_signals(sender: Sender<Event>) -> io::Result<()> {
    let status = fs::read_to_string("/proc/self/status")?;
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let ignored = ignored.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    let is_ignored = |signal: i32| ignored.unwrap_or(0) >> (signal - 1) & 1 == 1;
    let mut signals = Signals::new(FORWARDED.into_iter().filter(|&signal| !is_ignored(signal)))?;
    thread::spawn(move || {
        for signal in signals.forever() {
            if sender.send(Event::Signal(signal)).is_err() {
                return;
            }
        }
    });
    Ok(())
}

/// Waits for the launcher until then, and hands signals on to it.
fn has_ended(id: Pid, events: &Receiver<Event>, until: Instant) -> bool {
    loop {
        match events.recv_timeout(until.saturating_duration_since(Instant::now())) {
            Ok(Event::HasEnded) => return true,
            Ok(Event::Signal(number)) => {
                // What is typed at the terminal reaches the launcher, too, and twice means something else to it.
                let is_typed = [SIGINT, SIGQUIT].contains(&number) && is_in_the_foreground();
                if let Some(signal) = Signal::from_named_raw(number).filter(|_| !is_typed) {
                    let _ = kill_process(id, signal);
                }
            }
            Err(RecvTimeoutError::Timeout) => return false,
            // Its senders are alive as long as this process.
            Err(RecvTimeoutError::Disconnected) => return true,
        }
    }
}

/// Whether a terminal sends its signals to this process and to the launcher.
fn is_in_the_foreground() -> bool {
    let terminal = fs::File::open("/dev/tty");
    terminal.is_ok_and(|terminal| tcgetpgrp(terminal.as_fd()) == Ok(getpgrp()))
}

/// Kills what is left of the job, but no others: orphans are children of this process.
fn end_the_rest(mut launcher: Child, others: &[Pid]) {
    let until = Instant::now() + TO_END;
    while Instant::now() < until {
        let _ = launcher.try_wait();
        let mut left = children();
        left.retain(|id| !others.contains(id));
        if left.is_empty() {
            return;
        }
        for &id in &left {
            let _ = kill_process(id, Signal::KILL);
        }
        for id in left {
            let _ = waitpid(Some(id), WaitOptions::NOHANG);
        }
        thread::sleep(Duration::from_millis(1));
    }
    eprintln!("warpcomm run: processes of the job are left that cannot be killed");
}

/// The children of this process, whichever of its threads they belong to.
fn children() -> Vec<Pid> {
    let threads = fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
    let lists = threads.filter_map(|thread| fs::read_to_string(thread.path().join("children")).ok());
    lists
        .flat_map(|list| {
            let numbers = list.split_whitespace().filter_map(|number| number.parse().ok());
            numbers.filter_map(Pid::from_raw).collect::<Vec<_>>()
        })
        .collect()
}

/// The exit status of the launcher, as a shell has it where a signal has ended the launcher.
fn exit_code(status: ExitStatus) -> ExitCode {
    let code = status.code().or(status.signal().map(|signal| 128 + signal));
    ExitCode::from(code.and_then(|code| u8::try_from(code).ok()).unwrap_or(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_as_timeout_does() {
        for (text, seconds) in [("1", 1), ("90s", 90), ("10m", 600), ("2h", 7200), ("1d", 86400)] {
            assert_eq!(duration(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
        for wrong in [
            "",
            "0",
            "0m",
            "m",
            "-1",
            "1.5h",
            "10 m",
            "10min",
            "ten",
            "4294967296",
            "ü",
        ] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
    }
}
