//! The file of figures, with what they were measured with.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Stdio};

use serde::Serialize;

use crate::Failure;
use crate::launcher::{Job, Launcher};

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
        Document {
            warpcomm: env!("CARGO_PKG_VERSION"),
            commit: commit(),
            date: known(printed(Command::new("date").args(["-u", "+%Y-%m-%dT%H:%M:%SZ"]))),
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
        let line = |file: &str| Some(std::fs::read_to_string(file).ok()?.trim().to_owned());
        let load = line("/proc/loadavg");
        Machine {
            processor: known(processor()),
            processors: std::thread::available_parallelism().map_or(0, usize::from),
            kernel: known(line("/proc/sys/kernel/osrelease")),
            load_average_before: known(load.map(|load| {
                let averages: Vec<&str> = load.split(' ').take(3).collect();
                averages.join(" ")
            })),
        }
    }
}

/// The processor's model, which Linux tells on x86.
fn processor() -> Option<String> {
    let processors = std::fs::read_to_string("/proc/cpuinfo").ok()?;
    let line = processors.lines().find(|line| line.starts_with("model name"))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}

/// The commit that was built, with a mark if files have changed since.
fn commit() -> String {
    let git = |arguments: &[&str]| {
        let mut command = Command::new("git");
        printed(command.args(["-C", env!("CARGO_MANIFEST_DIR")]).args(arguments))
    };
    let changed = git(&["status", "--porcelain"]).is_some_and(|files| !files.is_empty());
    match git(&["rev-parse", "HEAD"]) {
        Some(commit) if changed => commit + " and changes",
        commit => known(commit),
    }
}

/// What a command prints, if it succeeds.
fn printed(command: &mut Command) -> Option<String> {
    let output = command.stdin(Stdio::null()).stderr(Stdio::null()).output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    output.status.success().then_some(text)
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

fn known(text: Option<String>) -> String {
    text.unwrap_or_else(|| "unknown".to_owned())
}
