//! With what something was measured: the commit and the date.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::SystemTime;

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
