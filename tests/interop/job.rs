//! A job: some ranks of warpcomm and some of mpi4py, which run cases in turn, and what became of these.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::path::Path;
use std::process::Command;

use serde::{Deserialize, Serialize};

use crate::case::Case;
use crate::harness::process::{self, End};
use crate::harness::{DEADLINE_VARIABLE, deadline, simulate};
use crate::launcher::{self, Launcher};
use crate::python;
use crate::record::{self, Event};

/// Names the directory of the job that this process is a rank of.
pub const JOB_VARIABLE: &str = "WARPCOMM_TEST_INTEROP_JOB";

/// The most lines of output that a failure shows.
const LINES_SHOWN: usize = 40;

/// How often a job is started again behind a case that has stopped it.
const ATTEMPTS: usize = 6;

/// What a job tells its ranks.
#[derive(Deserialize)]
pub struct Orders {
    /// Whether communicators are native: all ranks are warpcomm then.
    pub native: bool,
    pub cases: Vec<Case>,
}

#[derive(Serialize)]
struct Written<'a> {
    native: bool,
    cases: Vec<&'a serde_json::value::Value>,
}

/// Who the ranks are, a letter each: `r` is warpcomm, `p` is mpi4py.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Layout {
    pub ranks: String,
    pub native: bool,
}

/// What the ranks got in a case, in order.
pub type Got = Vec<Vec<Event>>;

/// What became of a job.
#[derive(Clone, Default)]
pub struct Report {
    /// What was got in each case that was finished.
    pub got: BTreeMap<String, Got>,
    /// Why other cases were not.
    pub stopped: BTreeMap<String, String>,
    /// Why the job did not end as it should.
    pub end: Option<String>,
}

impl Layout {
    /// Runs cases, which are given by their lines; in several attempts, if one stops the job.
    pub fn run(&self, python: &Path, mut cases: &[(Case, String)]) -> Report {
        let mut report = Report::default();
        for _ in 0..ATTEMPTS {
            match self.attempt(python, cases, &mut report) {
                Ok(done) if done < cases.len() => cases = &cases[done + 1..],
                Ok(_) => break,
                Err(error) => {
                    report.end = Some(error);
                    break;
                }
            }
        }
        report
    }

    /// Runs cases up to one that stops the job, if one does; returns how many were before that.
    fn attempt(&self, python: &Path, cases: &[(Case, String)], report: &mut Report) -> Result<usize, String> {
        let directory = tempfile::tempdir().map_err(|error| error.to_string())?;
        let job = directory.path();
        let lines: Vec<serde_json::Value> = cases
            .iter()
            .map(|(_, line)| serde_json::from_str(line).map_err(|error| error.to_string()))
            .collect::<Result<_, _>>()?;
        let orders = Written {
            native: self.native,
            cases: lines.iter().collect(),
        };
        let orders = serde_json::to_string(&orders).map_err(|error| error.to_string())?;
        fs::write(job.join("job.json"), orders).map_err(|error| error.to_string())?;
        let mut command = self.command(python, job)?;
        let output = job.join("output");
        // Ranks look after themselves; this is for launchers and for ranks that cannot.
        let ranks = self.ranks.len();
        let end = process::run(&mut command, &output, 3 * deadline(), || {
            record::written(job, ranks)
        });
        let end = match end.map_err(|error| format!("{command:?} cannot be started: {error}"))? {
            End::Exited(status) if status.success() => None,
            End::Exited(status) => Some(format!("the job ended with {status}")),
            End::Stalled => Some("the job made no progress and was killed".to_owned()),
        };
        Ok(self.read(job, cases, end, report))
    }

    /// The command that starts the ranks.
    fn command(&self, python: &Path, job: &Path) -> Result<Command, String> {
        let own = std::env::current_exe().map_err(|error| error.to_string())?;
        let mut environment = vec![
            (JOB_VARIABLE, job.into()),
            (DEADLINE_VARIABLE, deadline().as_secs().to_string().into()),
        ];
        let driver = match self.native {
            true => None,
            false => simulate::driver(job, self.ranks.len(), &mut environment)?,
        };
        let (program, args) = simulate::with(driver.as_deref(), &own);
        let warpcomm: Vec<OsString> = std::iter::once(program).chain(args).collect();
        let mpi4py = python::command(python, job, &mut environment)?;
        let launcher = Launcher::find(&own, None).map_err(|error| error.to_string())?;
        let ranks = self.ranks.len().try_into().map_err(|_| "a job without ranks")?;
        let whole = launcher.command(&launcher::Job {
            environment: Vec::new(),
            ..launcher::Job::new(ranks, "")
        });
        // The number of ranks stands first, and the program last; between them is what is said for all.
        let said: Vec<OsString> = whole.get_args().map(OsString::from).collect();
        let mut command = Command::new(whole.get_program());
        command.args(&said[2..said.len() - 1]).envs(environment);
        for (at, part) in self.parts().into_iter().enumerate() {
            if at > 0 {
                command.arg(":");
            }
            command.arg("-n").arg(part.len().to_string());
            command.args(if part.starts_with('r') { &warpcomm } else { &mpi4py });
        }
        Ok(command)
    }

    /// Ranks of one kind that follow each other.
    fn parts(&self) -> Vec<&str> {
        let mut parts = Vec::new();
        let mut rest = self.ranks.as_str();
        while let Some(first) = rest.chars().next() {
            let length = rest.find(|kind| kind != first).unwrap_or(rest.len());
            let (part, behind) = rest.split_at(length);
            parts.push(part);
            rest = behind;
        }
        parts
    }

    fn read(&self, job: &Path, cases: &[(Case, String)], end: Option<String>, report: &mut Report) -> usize {
        let lines: Vec<_> = (0..self.ranks.len())
            .map(|rank| record::read(job, rank))
            .collect();
        for (position, (case, _)) in cases.iter().enumerate() {
            let of_rank = |lines: &Vec<record::Line>| -> Vec<Event> {
                let own = lines.iter().filter(|line| line.case == case.name);
                own.map(|line| line.event.clone())
                    .filter(|event| *event != Event::Ended)
                    .collect()
            };
            let got: Got = lines.iter().map(of_rank).collect();
            if got.iter().all(|events| events.contains(&Event::Done)) {
                report.got.insert(case.name.clone(), got);
                continue;
            }
            let tell = |(rank, events): (usize, &Vec<Event>)| match events.last() {
                None => format!("rank {rank} did not start it\n"),
                Some(Event::Done) => format!("rank {rank} has done it\n"),
                Some(Event::Failed { text }) => format!("rank {rank}: {text}\n"),
                Some(_) => format!("rank {rank} did not finish it\n"),
            };
            let told: String = got.iter().enumerate().map(tell).collect();
            let end = end.unwrap_or_else(|| "the job has ended".to_owned());
            let text = format!("{end}\n{told}{}", printed(job));
            report.stopped.insert(case.name.clone(), text);
            return position;
        }
        let is_over = |lines: &Vec<record::Line>| lines.iter().any(|line| line.event == Event::Ended);
        let end = end.or((!lines.iter().all(is_over)).then(|| "not all ranks came to their end".to_owned()));
        report.end = end.map(|end| format!("{end}\n{}", printed(job)));
        cases.len()
    }
}

impl std::fmt::Display for Layout {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.ranks)?;
        f.write_str(if self.native { " native" } else { "" })
    }
}

fn printed(job: &Path) -> String {
    let text = fs::read(job.join("output")).unwrap_or_default();
    let text = String::from_utf8_lossy(&text).into_owned();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(LINES_SHOWN)..].join("\n")
}
