//! The file of figures, with what they were measured with.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use serde::Serialize;

use crate::launcher::{Job, Launcher};
use crate::{Failure, machine, provenance, record};

/// Everything but the figures and how the ranks were started.
#[derive(Serialize)]
pub struct Document {
    warpcomm: &'static str,
    commit: String,
    date: String,
    command: String,
    machine: Machine,
}

/// How the ranks of a job were started.
#[derive(Serialize)]
pub struct Launch {
    launcher: String,
    arguments: Vec<String>,
    ranks: usize,
    /// The variables that change what the library does.
    variables: BTreeMap<String, String>,
}

#[derive(Serialize)]
struct Machine {
    processor: String,
    /// How many hardware threads this process may use.
    processors: usize,
    kernel: String,
    /// What else ran, over the last 1, 5 and 15 minutes.
    load_average_before: String,
}

/// The document with its figures.
#[derive(Serialize)]
struct Complete<'a, F> {
    #[serde(flatten)]
    document: &'a Document,
    #[serde(flatten)]
    figures: &'a F,
}

impl Launch {
    /// How `command` starts `job`, without the paths of this machine.
    pub fn new(launcher: &Launcher, job: &Job, command: &Command) -> Launch {
        let text = |text: &std::ffi::OsStr| text.to_string_lossy().into_owned();
        Launch {
            launcher: launcher.to_string(),
            arguments: command
                .get_args()
                .take_while(|argument| *argument != job.program)
                .map(text)
                .collect(),
            ranks: job.ranks.get(),
            variables: job
                .environment
                .iter()
                .filter(|(name, _)| text(name).starts_with("WARPCOMM_"))
                .map(|(name, value)| (text(name), text(value)))
                .collect(),
        }
    }
}

impl Document {
    /// Describes this machine and the program, a bench of this name, as they are now.
    pub fn new(bench: &str) -> Document {
        // `cargo bench` adds its flag itself.
        let arguments: Vec<String> = std::env::args()
            .skip(1)
            .filter(|flag| flag != "--bench")
            .collect();
        let command = [format!("cargo bench --bench {bench} --")]
            .into_iter()
            .chain(arguments)
            .collect::<Vec<_>>();
        let own = std::env::current_exe().ok();
        let commit = own.and_then(|executable| provenance::commit(&executable));
        Document {
            warpcomm: env!("CARGO_PKG_VERSION"),
            commit: commit.unwrap_or_else(|| machine::UNKNOWN.to_owned()),
            date: provenance::date(),
            command: command.join(" ").trim_end_matches(" --").to_owned(),
            machine: Machine::this(),
        }
    }

    /// Writes the figures and everything else as JSON.
    pub fn write(&self, figures: &impl Serialize, file: &Path) -> Result<(), Failure> {
        let complete = Complete {
            document: self,
            figures,
        };
        let mut text = serde_json::to_string_pretty(&complete)?;
        text.push('\n');
        std::fs::write(file, text).map_err(|error| format!("{}: {error}", file.display()).into())
    }
}

impl Machine {
    fn this() -> Machine {
        let record::Machine {
            processor,
            processors,
            kernel,
            load_average,
            host: _,
        } = machine::this_machine();
        Machine {
            processor,
            processors,
            kernel,
            load_average_before: load_average.map(|average| format!("{average:.2}")).join(" "),
        }
    }
}

/// Whether a file can be written where it is to be: better asked before the measurement.
pub fn check_directory(file: &Path) -> Result<(), Failure> {
    let directory = file
        .parent()
        .filter(|directory| !directory.as_os_str().is_empty());
    match directory.is_some_and(|directory| !directory.is_dir()) {
        true => Err(format!("{} is in no directory that exists", file.display()).into()),
        false => Ok(()),
    }
}
