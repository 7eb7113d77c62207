//! Cases that need a job of their own, because they hang or crash on purpose or start in their own way.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, ExitStatus};
use std::thread;
use std::time::Duration;

use super::process::{self, End};
use super::watchdog::Watchdog;
use super::{DEADLINE_VARIABLE, Failure, Outcome, SOLO_VARIABLE, deadline};

/// Names the directory of a solo case.
const DIRECTORY_VARIABLE: &str = "WARPCOMM_TEST_SOLO_DIRECTORY";

/// A check of the test program itself.
pub struct Check {
    pub name: &'static str,
    pub run: fn() -> Result<(), String>,
}

/// How a solo case is started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// As one process, without a launcher.
    Alone,
    /// By the launcher, as so many ranks.
    Ranks(usize),
    /// By the launcher, which leaves the other ranks alone when one dies.
    Survivors(usize),
}

/// A case with a job of its own.
pub struct Solo {
    pub name: &'static str,
    pub start: Start,
    pub environment: &'static [(&'static str, &'static str)],
    /// What each rank does. It initializes the library itself.
    pub program: fn() -> Outcome,
    /// When this has been printed, ranks that wait for their release go on.
    pub release: Option<&'static str>,
    pub expect: fn(&Ended) -> Result<(), String>,
}

/// How a solo case ended.
#[derive(Debug)]
pub struct Ended {
    pub status: ExitStatus,
    pub output: String,
}

impl Ended {
    /// Whether each of these texts was printed, and the exit status is that of a success, or not.
    pub fn check(&self, succeeded: bool, texts: &[&str]) -> Result<(), String> {
        let missing: Vec<&&str> = texts.iter().filter(|text| !self.output.contains(**text)).collect();
        match self.status.success() == succeeded && missing.is_empty() {
            true => Ok(()),
            false => Err(format!("it ended with {}; not printed: {missing:?}", self.status)),
        }
    }
}

impl Solo {
    /// Starts the job and looks at its end.
    pub fn run(&self) -> Result<(), String> {
        let directory = tempfile::tempdir().map_err(|error| error.to_string())?;
        let mut command = self.command(directory.path())?;
        let output = directory.path().join("output");
        let read = || String::from_utf8_lossy(&fs::read(&output).unwrap_or_default()).into_owned();
        let end = process::run(&mut command, &output, 2 * deadline(), || {
            if self.release.is_some_and(|text| read().contains(text)) {
                // The ranks look for this file.
                let _ = fs::write(directory.path().join("released"), "");
            }
            0
        });
        let ended = match end.map_err(|error| error.to_string())? {
            End::Exited(status) => Ended { status, output: read() },
            End::Stalled => return Err(format!("it hung and was killed\n{}", read())),
        };
        (self.expect)(&ended).map_err(|why| format!("{why}\n--- printed\n{}", ended.output))
    }
}
