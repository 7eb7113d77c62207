//! With what something was measured: the machine, the commit and the date.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::SystemTime;

use crate::record::Machine;

/// What could not be found out.
pub const UNKNOWN: &str = "unknown";

/// This machine as it is now.
pub fn machine() -> Machine {
    let line = |file: &str| Some(std::fs::read_to_string(file).ok()?.trim().to_owned());
    let averages = line("/proc/loadavg").unwrap_or_default();
    let mut averages = averages.split(' ').map(|average| average.parse().unwrap_or(0.0));
    Machine {
        host: known(line("/proc/sys/kernel/hostname")),
        processor: known(processor()),
        processors: std::thread::available_parallelism().map_or(0, usize::from),
        kernel: known(line("/proc/sys/kernel/osrelease")),
        load_average: [(); 3].map(|()| averages.next().unwrap_or(0.0)),
    }
}

/// The processor's model, which Linux tells on x86.
fn processor() -> Option<String> {
    let processors = std::fs::read_to_string("/proc/cpuinfo").ok()?;
    let line = processors.lines().find(|line| line.starts_with("model name"))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}

/// The commit that was built, with a mark if files have changed since; `None` where the source is no longer there.
pub fn commit() -> Option<String> {
    let source = env!("CARGO_MANIFEST_DIR");
    // Not that of a repository in which the source lies only by chance.
    if !Path::new(source).join(".git").exists() {
        return None;
    }
    let git = |arguments: &[&str]| printed(Command::new("git").args(["-C", source]).args(arguments));
    let commit = git(&["rev-parse", "HEAD"])?;
    match git(&["status", "--porcelain"])?.is_empty() {
        true => Some(commit),
        false => Some(commit + " and changes"),
    }
}

/// The date and the time in UTC: `2026-11-22T17:00:00Z`.
pub fn date() -> String {
    humantime::format_rfc3339_seconds(SystemTime::now()).to_string()
}

/// What a command prints, if it succeeds.
fn printed(command: &mut Command) -> Option<String> {
    let output = command.stdin(Stdio::null()).stderr(Stdio::null()).output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    output.status.success().then_some(text)
}

fn known(text: Option<String>) -> String {
    text.unwrap_or_else(|| UNKNOWN.to_owned())
}
