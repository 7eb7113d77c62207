//! A job: the cases of one world and number of ranks, run together, and what became of them.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::sync::OnceLock;

use super::process::{self, End};
use super::rank::{Orders, mark, output};
use super::record::{self, Cell, Event};
use super::world::{self, World};
use super::{DEADLINE_VARIABLE, JOB_VARIABLE, PLACE_VARIABLE, Place, WORLD_VARIABLE, deadline, simulate};

/// The most lines of output that a failure shows.
const LINES_SHOWN: usize = 60;

/// Names and values of variables.
pub type Variables = &'static [(&'static str, &'static str)];

/// Which ranks there are, and with what settings.
#[derive(Clone, Copy, Debug)]
pub struct Setting {
    pub world: World,
    pub ranks: usize,
    /// Where the buffers lie.
    pub place: Place,
    /// Variables of the library, set in this job.
    pub variables: Variables,
}

impl std::fmt::Display for Setting {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "[{} np={}", self.world, self.ranks)?;
        if self.place != Place::Host {
            write!(f, " place={}", self.place)?;
        }
        for (name, value) in self.variables {
            let name = name
                .trim_start_matches("WARPCOMM_")
                .trim_start_matches("SIMGPU_")
                .to_lowercase();
            write!(f, " {name}={value}")?;
        }
        f.write_str("]")
    }
}

/// A job, run when somebody first asks for its report.
pub struct Job {
    pub setting: Setting,
    /// The names of its cases, in the order in which they run.
    pub cases: Vec<String>,
    report: OnceLock<Report>,
}

/// What became of a job.
#[derive(Default)]
pub struct Report {
    verdicts: BTreeMap<String, Result<(), String>>,
    /// The cases that covered each cell.
    pub covered: BTreeMap<Cell, BTreeSet<String>>,
    /// Why it did not end as it should.
    pub end: Option<String>,
}

/// How far a case got on one rank.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Progress {
    NotStarted,
    Started,
    Passed,
    Failed(String),
}

impl Job {
    pub fn new(setting: Setting, cases: Vec<String>) -> Job {
        Job {
            setting,
            cases,
            report: OnceLock::new(),
        }
    }

    pub fn report(&self) -> &Report {
        self.report.get_or_init(|| {
            let mut report = Report::default();
            if let Err(error) = self.run(&mut report) {
                report.end.get_or_insert(error);
            }
            report
        })
    }

    /// What became of one of its cases.
    pub fn verdict(&self, case: &str) -> Result<(), String> {
        let report = self.report();
        match report.verdicts.get(case) {
            Some(verdict) => verdict.clone(),
            None => Err(report
                .end
                .clone()
                .unwrap_or_else(|| "the job did not run this case".to_owned())),
        }
    }

    /// Runs the cases, in several attempts if it must be.
    fn run(&self, report: &mut Report) -> Result<(), String> {
        let mut remaining = &self.cases[..];
        loop {
            let directory = tempfile::tempdir().map_err(|error| error.to_string())?;
            let end = self.attempt(directory.path(), remaining)?;
            let done = self.read(directory.path(), remaining, report);
            if done == remaining.len() {
                report.end = report.end.take().or(end);
                return Ok(());
            }
            let outputs = self.outputs(directory.path());
            let end = end.unwrap_or_else(|| "the job has ended".to_owned());
            let stuck = &remaining[done];
            let progress = self.progress(directory.path(), stuck);
            if progress.iter().any(|progress| *progress != Progress::NotStarted) {
                let text = format!("{}{end}\n{}", told(&progress), shown(&outputs, stuck));
                report.verdicts.insert(stuck.clone(), Err(text));
                remaining = &remaining[done + 1..];
            } else if done > 0 {
                // The failure of a case before was what ended the job.
                report.end.get_or_insert_with(|| {
                    format!("{end} before {stuck}\n{}", last_lines(&outputs.concat()))
                });
                remaining = &remaining[done..];
            } else {
                let printed = last_lines(&outputs.concat());
                return Err(format!("{end} before the first case\n{printed}"));
            }
            if remaining.is_empty() {
                report.end.get_or_insert(format!("it ended in {stuck}"));
                return Ok(());
            }
        }
    }

    /// Runs some cases in one process or MPI job; says what was wrong with its end.
    fn attempt(&self, directory: &Path, cases: &[String]) -> Result<Option<String>, String> {
        let Setting {
            world,
            ranks,
            place,
            variables,
        } = self.setting;
        let orders = Orders {
            threads: (world == World::Threads).then_some(ranks),
            cases: cases.to_vec(),
        };
        orders.write(directory).map_err(|error| error.to_string())?;
        let mut environment = vec![
            (JOB_VARIABLE, directory.into()),
            (DEADLINE_VARIABLE, deadline().as_secs().to_string().into()),
            (
                "WARPCOMM_HANG_REPORT",
                (deadline().as_secs_f64() / 2.0).to_string().into(),
            ),
            (PLACE_VARIABLE, place.to_string().into()),
            (WORLD_VARIABLE, world.to_string().into()),
            ("RUST_BACKTRACE", "0".into()),
            // What was proved on this machine is not the tests' business.
            ("WARPCOMM_CACHE", directory.join("cache").into()),
        ];
        // Messages of some KiB go in several pieces, between memory of all kinds in many.
        match (place, world) {
            (Place::Mixed, _) => environment.push(("WARPCOMM_CHUNK", "4096".into())),
            (Place::Device, world) if world != World::Threads => {
                environment.push(("WARPCOMM_CHUNK", "65536".into()));
            }
            _ => {}
        }
        environment.extend(variables.iter().map(|&(name, value)| (name, value.into())));
        let driver = match place == Place::Host && !variables.contains(&simulate::NO_DEVICES) {
            true => None,
            false => simulate::driver(directory, ranks, &mut environment)?,
        };
        let mut command = world::command(world, ranks, environment, driver.as_deref())?;
        let output = directory.join("output");
        // Ranks look after themselves; this is for launchers and for ranks that cannot.
        let patience = 3 * deadline();
        let end = process::run(&mut command, &output, patience, || {
            record::written(directory, ranks)
        });
        match end.map_err(|error| format!("{command:?} cannot be started: {error}"))? {
            End::Exited(status) if status.success() => {
                let unfinished = |rank: &usize| !record::read(directory, *rank).contains(&Event::Ended);
                let unfinished: Vec<usize> = (0..ranks).filter(unfinished).collect();
                let printed = || last_lines(&self.outputs(directory).concat());
                Ok((!unfinished.is_empty())
                    .then(|| format!("ranks {unfinished:?} did not end\n{}", printed())))
            }
            End::Exited(status) => Ok(Some(format!("the job ended with {status}"))),
            End::Stalled => Ok(Some(format!(
                "the job made no progress for {} s and was killed",
                patience.as_secs()
            ))),
        }
    }

    /// What was printed: by the launcher or by ranks that are threads, and then by each rank that is a process.
    fn outputs(&self, directory: &Path) -> Vec<String> {
        let files = (0..self.setting.ranks).map(|rank| output(directory, rank));
        std::iter::once(directory.join("output"))
            .chain(files)
            .map(|file| String::from_utf8_lossy(&fs::read(file).unwrap_or_default()).into_owned())
            .collect()
    }

    fn progress(&self, directory: &Path, case: &str) -> Vec<Progress> {
        let of_rank = |rank| {
            record::read(directory, rank).into_iter().fold(
                Progress::NotStarted,
                |progress, event| match event {
                    Event::Started(name) if name == case => Progress::Started,
                    Event::Passed(name) if name == case => Progress::Passed,
                    Event::Failed(name, text) if name == case => Progress::Failed(text),
                    _ => progress,
                },
            )
        };
        (0..self.setting.ranks).map(of_rank).collect()
    }

    /// Reads the verdicts of the first cases up to one that some rank has not finished; returns how many.
    fn read(&self, directory: &Path, cases: &[String], report: &mut Report) -> usize {
        let outputs = self.outputs(directory);
        for (position, case) in cases.iter().enumerate() {
            let progress = self.progress(directory, case);
            if progress
                .iter()
                .any(|progress| matches!(progress, Progress::NotStarted | Progress::Started))
            {
                return position;
            }
            let verdict = match progress.iter().all(|progress| *progress == Progress::Passed) {
                true => Ok(()),
                false => Err(format!("{}{}", told(&progress), shown(&outputs, case))),
            };
            if verdict.is_ok() {
                for cell in covered_by(directory, case) {
                    report.covered.entry(cell).or_default().insert(case.clone());
                }
            }
            report.verdicts.insert(case.clone(), verdict);
        }
        cases.len()
    }
}

fn covered_by(directory: &Path, case: &str) -> BTreeSet<Cell> {
    let mut running = String::new();
    let mut cells = BTreeSet::new();
    for event in record::read(directory, 0) {
        match event {
            Event::Started(name) => running = name,
            Event::Covered(cell) if running == case => {
                cells.insert(cell);
            }
            _ => {}
        }
    }
    cells
}

fn told(progress: &[Progress]) -> String {
    let tell = |(rank, progress): (usize, &Progress)| match progress {
        Progress::NotStarted => format!("rank {rank} did not start it\n"),
        Progress::Started => format!("rank {rank} did not finish it\n"),
        Progress::Passed => format!("rank {rank} passed\n"),
        Progress::Failed(text) => format!("rank {rank}: {text}\n"),
    };
    progress.iter().enumerate().map(tell).collect()
}

/// What the ranks printed during a case.
fn shown(outputs: &[String], case: &str) -> String {
    let marks_it = |line: &&str| line.ends_with(&mark(case));
    let lines: Vec<&str> = outputs
        .iter()
        .flat_map(|output| {
            output
                .lines()
                .skip_while(|line| !marks_it(line))
                .take_while(|line| marks_it(line) || !line.contains(&mark("")))
                .filter(|line| !marks_it(line))
        })
        .collect();
    match lines.is_empty() {
        true => String::new(),
        false => format!("--- printed meanwhile\n{}", last_lines(&lines.join("\n"))),
    }
}

fn last_lines(output: &str) -> String {
    let lines: Vec<&str> = output.lines().collect();
    lines[lines.len().saturating_sub(LINES_SHOWN)..].join("\n")
}
