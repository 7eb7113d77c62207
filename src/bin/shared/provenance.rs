//! With what something was measured: the commit and the date.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::SystemTime;

/// The commit that the source has been at since this executable was built, with a mark if files differ from it; `None` where
/// that is not known: the source is no longer there, or has moved to another commit since.
pub fn commit(executable: &Path) -> Option<String> {
    commit_of(Path::new(env!("CARGO_MANIFEST_DIR")), executable)
}

fn commit_of(source: &Path, executable: &Path) -> Option<String> {
    // Not that of a repository in which the source lies only by chance.
    if !source.join(".git").exists() {
        return None;
    }
    let git = |arguments: &[&str]| {
        // A lock would be in the way of who works there meanwhile.
        let mut command = Command::new("git");
        command.arg("--no-optional-locks").arg("-C").arg(source);
        printed(command.args(arguments))
    };
    // Git writes each move into it.
    let moves = source.join(git(&["rev-parse", "--git-path", "logs/HEAD"])?);
    let written = |file: &Path| fs::metadata(file).and_then(|data| data.modified()).ok();
    if written(executable)? < written(&moves)? {
        return None;
    }
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

#[cfg(test)]
mod tests {
    #[test]
    fn a_commit_is_known_where_the_source_has_not_moved_since() {
        // Here, as benches have this file without its tests.
        use std::fs::File;
        use std::time::Duration;

        use super::*;

        let directory = tempfile::tempdir().unwrap();
        let source = directory.path();
        let git = |arguments: &[&str]| {
            let mut command = Command::new("git");
            command.args(["-c", "user.name=a", "-c", "user.email=a@b", "-C"]);
            let done = command.arg(source).args(arguments).output().unwrap();
            assert!(done.status.success(), "{done:?}");
        };
        let outside = tempfile::tempdir().unwrap();
        let executable = outside.path().join("program");
        let built = |after: Duration, before: Duration| {
            let moved = fs::metadata(source.join(".git/logs/HEAD"));
            let moved = moved.map_or(SystemTime::now(), |data| data.modified().unwrap());
            let file = File::create(&executable).unwrap();
            file.set_modified(moved + after - before).unwrap();
        };
        let (none, second) = (Duration::ZERO, Duration::from_secs(1));
        built(second, none);
        assert_eq!(commit_of(source, &executable), None);
        git(&["init", "--quiet"]);
        git(&["commit", "--quiet", "--allow-empty", "--message", "first"]);
        built(second, none);
        let first = commit_of(source, &executable).unwrap();
        assert!(first.len() >= 40 && !first.contains(' '), "{first}");
        fs::write(source.join("changed"), "").unwrap();
        assert_eq!(commit_of(source, &executable), Some(first + " and changes"));
        built(none, second);
        assert_eq!(commit_of(source, &executable), None);
        assert_eq!(commit_of(source, Path::new("/nowhere")), None);
    }
}
