//! What the doctor says of each thing, as text and as JSON. `docs/info.md` describes every field.

use std::fmt::{self, Display, Formatter};

use serde::Serialize;

use crate::units::count;

/// The version of the format.
const FORMAT: u32 = 1;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    Ok,
    /// It cannot be told, or does not matter here.
    Note,
    Warning,
    /// Something does not work.
    Error,
}

/// What is found of one thing.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Finding {
    /// The name of the check.
    pub check: &'static str,
    pub level: Level,
    pub message: String,
    /// What to do.
    pub remedy: Option<String>,
}

impl Finding {
    pub fn ok(check: &'static str, message: impl Into<String>) -> Finding {
        Finding::new(check, Level::Ok, message, None)
    }

    pub fn note(check: &'static str, message: impl Into<String>) -> Finding {
        Finding::new(check, Level::Note, message, None)
    }

    pub fn warning(check: &'static str, message: impl Into<String>, remedy: impl Into<String>) -> Finding {
        Finding::new(check, Level::Warning, message, Some(remedy.into()))
    }

    pub fn error(check: &'static str, message: impl Into<String>, remedy: impl Into<String>) -> Finding {
        Finding::new(check, Level::Error, message, Some(remedy.into()))
    }

    fn new(check: &'static str, level: Level, message: impl Into<String>, remedy: Option<String>) -> Finding {
        Finding {
            check,
            level,
            message: message.into(),
            remedy,
        }
    }
}

/// All findings.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    format: u32,
    program: &'static str,
    errors: usize,
    warnings: usize,
    findings: Vec<Finding>,
}

impl Report {
    pub fn new(findings: Vec<Finding>) -> Report {
        let of = |level| findings.iter().filter(|finding| finding.level == level).count();
        Report {
            format: FORMAT,
            program: concat!("warpcomm ", env!("CARGO_PKG_VERSION")),
            errors: of(Level::Error),
            warnings: of(Level::Warning),
            findings,
        }
    }

    /// Whether something does not work.
    pub fn has_errors(&self) -> bool {
        self.errors > 0
    }
}

impl Display for Report {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        for Finding {
            check,
            level,
            message,
            remedy,
        } in &self.findings
        {
            let level = match level {
                Level::Ok => "ok",
                Level::Note => "note",
                Level::Warning => "warning",
                Level::Error => "error",
            };
            writeln!(f, "{level:<8} {check:<15} {message}")?;
            if let Some(remedy) = remedy {
                writeln!(f, "{:24} -> {remedy}", "")?;
            }
        }
        let (errors, warnings) = (count(self.errors, "error"), count(self.warnings, "warning"));
        match (self.errors, self.warnings) {
            (0, 0) => writeln!(f, "\nNothing is wrong."),
            (0, _) => writeln!(f, "\nNothing is broken; {warnings}."),
            (_, 0) => writeln!(f, "\n{errors}."),
            _ => writeln!(f, "\n{errors}, {warnings}."),
        }
    }
}
