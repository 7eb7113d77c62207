//! Runs the jobs of a measurement, one after the other, and hands on what they say.

use std::ffi::{OsStr, OsString};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::sync::mpsc;

use super::files::Files;
use super::heading;
use super::job::{self, Ending, Listener, interruption};
use super::plan::{JobPlan, jobs};
use super::screen::Screen;
use super::signals;
use super::view::{View, has_elements};
use super::way::Way;
use crate::build_id::build_id;
use crate::launcher::{Job, Launcher, passed_on};
use crate::prove::{PATHS_VARIABLE, Proof};
use crate::provenance;
use crate::rank_program::rank_program;
use crate::record::{self, End, FORMAT, Key, LeftOut, Record, Row, Run};
use crate::sim::Driver;
use crate::task::{Answer, Effort, JobAnswer, Series, Task};
use crate::variables::is_of_tests;

/// The path that is proved before it is taken.
const PROVED_PATH: &str = "cuda-aware";

/// Lets NCCL, from 2.30 on, take several ranks on one GPU.
const NCCL_OF_ONE_GPU: &str = "NCCL_MULTI_RANK_GPU_ENABLE";

/// What is measured, how, and where it is written.
pub struct Request {
    pub series: Vec<Series>,
    /// In bytes, going up.
    pub lengths: Vec<u64>,
    pub effort: Effort,
    pub ranks: NonZeroUsize,
    /// How many times everything is measured, with jobs of its own each time.
    pub launches: usize,
    pub launcher: Option<OsString>,
    /// The number of simulated GPUs, if they are simulated.
    pub sim: Option<u8>,
    pub json: Option<PathBuf>,
    pub csv: Option<PathBuf>,
}

/// Measures; the exit status is that of an interruption, or success.
pub fn measure(request: Request, files: Files, view: &mut dyn View) -> Result<ExitCode, String> {
    let program = rank_program()?;
    let launcher =
        Launcher::find(&program, request.launcher.as_deref()).map_err(|error| error.to_string())?;
    let driver = request.sim.map(|gpus| Driver::for_job(gpus, None));
    let driver = driver.transpose()?;
    let (sender, events) = mpsc::channel();
    signals::send_to(sender.clone())?;
    let plans = jobs(request.series.clone());
    prove(&plans, &program, &launcher, driver.as_ref());
    let mut launches = Vec::new();
    for _ in 0..request.launches {
        let started: Result<Vec<_>, String> = plans
            .iter()
            .map(|plan| prepared(plan, &request, &program, &launcher, driver.as_ref()))
            .collect();
        launches.push(started?);
    }
    if let Some(driver) = driver {
        // The jobs are told where it is, and it lasts as long as any of them.
        driver.outlive_this_program()?;
    }
    let rows: u64 = request
        .series
        .iter()
        .map(|series| rows_of(&series.operation, &request.lengths))
        .sum();
    let mut session = Session {
        request: &request,
        launcher: &launcher,
        // Found out before anything is measured, which it would disturb.
        commit: provenance::commit(&program),
        build: build_id(&program),
        arguments: launches
            .iter()
            .flatten()
            .next()
            .map(|(_, arguments)| arguments.clone())
            .unwrap_or_default(),
        files,
        screen: Screen::new(rows * request.launches as u64),
        view,
        launch: 0,
        is_begun: false,
        has_begun: false,
        has_gpus: true,
        latest: None,
    };
    let mut outcome = Ok(Ending::Done);
    let mut number = 0;
    for launch in launches {
        session.launch += 1;
        session.has_gpus = true;
        for (plan, (command, _)) in plans.iter().zip(launch) {
            number += 1;
            outcome = if let Some(signal) = job::signal_before(&events) {
                Ok(Ending::Interrupted(signal))
            } else if plan.path.is_some() && !session.has_gpus {
                session.leave_out(plan).map(|()| Ending::Done)
            } else {
                job::run(command, number, (&sender, &events), &mut session)
            };
            if outcome != Ok(Ending::Done) {
                break;
            }
        }
        outcome = session.end_launch(outcome);
        if outcome != Ok(Ending::Done) {
            break;
        }
    }
    session.end(outcome)
}

/// Finds out whether MPI takes addresses of GPU memory, where that matters and nobody has.
fn prove(plans: &[JobPlan], program: &Path, launcher: &Launcher, driver: Option<&Driver>) {
    let mut on_gpus = plans
        .iter()
        .flat_map(|plan| &plan.series)
        .filter(|series| series.place == "device");
    if on_gpus.next().is_none() {
        return;
    }
    let mut environment = passed_on();
    if plans.iter().any(|plan| plan.path.as_deref() == Some(PROVED_PATH)) {
        environment.push((PATHS_VARIABLE.into(), PROVED_PATH.into()));
    }
    if let Some(proof) = Proof::of(program, launcher, &environment, driver) {
        proof.prove_unknown();
    }
}

/// The command that starts a job, and what it tells the launcher.
fn prepared(
    plan: &JobPlan,
    request: &Request,
    program: &Path,
    launcher: &Launcher,
    driver: Option<&Driver>,
) -> Result<(Command, Vec<String>), String> {
    let task = Task {
        series: plan.series.clone(),
        sizes: request.lengths.clone(),
        effort: request.effort.clone(),
    };
    let task = serde_json::to_string(&task).map_err(|error| error.to_string())?;
    let mut job = Job::new(request.ranks, program);
    job.args = ["bench".into(), "--task".into(), task.into()].into();
    if let Some(path) = &plan.path {
        job.environment.push((PATHS_VARIABLE.into(), path.into()));
    }
    // Who sets it may mean that NCCL is not to.
    if plan.series.iter().any(|series| series.by == "nccl") && std::env::var_os(NCCL_OF_ONE_GPU).is_none() {
        job.environment.push((NCCL_OF_ONE_GPU.into(), "1".into()));
    }
    if let Some(driver) = driver {
        driver.put_before(&mut job);
    }
    let command = launcher.command(&job);
    let arguments = command.get_args().take_while(|argument| *argument != job.program);
    let arguments = arguments.map(text).collect();
    Ok((command, arguments))
}

fn text(text: &OsStr) -> String {
    text.to_string_lossy().into_owned()
}

/// How many rows a series of an operation has.
fn rows_of(operation: &str, lengths: &[u64]) -> u64 {
    match has_elements(operation) {
        true => lengths.len() as u64,
        false => 1,
    }
}

/// A measurement under way.
struct Session<'a> {
    request: &'a Request,
    launcher: &'a Launcher,
    /// Those of the ranks' program.
    commit: Option<String>,
    build: Option<String>,
    /// What the launcher of the first job was told.
    arguments: Vec<String>,
    files: Files,
    screen: Screen,
    view: &'a mut dyn View,
    /// Which launch it is, from 1.
    launch: usize,
    /// Whether a job of this launch has said where it runs.
    is_begun: bool,
    /// Whether one of any launch has.
    has_begun: bool,
    /// Whether some rank has a GPU, as far as is known.
    has_gpus: bool,
    /// What was measured last but for its length, and of how many lengths it is known what came of them.
    latest: Option<(Key, u64)>,
}

impl Session<'_> {
    fn begin(&mut self, answer: JobAnswer) -> Result<(), String> {
        self.has_gpus = !answer.gpus.is_empty();
        if self.is_begun {
            return Ok(());
        }
        let run = self.described(answer);
        self.view.begin(&run);
        let mut lines = heading::heading(&run);
        lines.extend(heading::crowd(run.ranks));
        self.files.write(&Record::Run(run))?;
        self.is_begun = true;
        match std::mem::replace(&mut self.has_begun, true) {
            false => self.screen.print(&lines),
            // The launches differ only in when they began.
            true => Ok(()),
        }
    }

    /// Everything that is known of the run.
    fn described(&self, answer: JobAnswer) -> Run {
        let own = ["warpcomm".to_owned()].into_iter();
        let variables = passed_on().into_iter();
        Run {
            format: FORMAT,
            program: concat!("warpcomm ", env!("CARGO_PKG_VERSION")).to_owned(),
            commit: self.commit.clone(),
            build: self.build.clone(),
            date: provenance::date(),
            command: own
                .chain(std::env::args_os().skip(1).map(|word| text(&word)))
                .collect(),
            machine: answer.machine,
            job: Some(record::Job {
                mpi: answer.mpi,
                thread_level: answer.thread_level,
                launcher: self.launcher.to_string(),
                arguments: self.arguments.clone(),
            }),
            ranks: self.request.ranks.get(),
            nodes: answer.nodes,
            gpus: answer.gpus,
            simulated: answer.simulated,
            variables: variables
                .map(|(name, value)| (text(&name), text(&value)))
                .filter(|(name, _)| name.starts_with("WARPCOMM_") && !is_of_tests(name))
                .collect(),
        }
    }

    fn row(&mut self, row: Row) -> Result<(), String> {
        let lines = self.view.row(&row);
        let key = &row.key;
        self.count(Key {
            bytes: 0,
            ..key.clone()
        });
        let what = format!("{}: {:.2} us", length(key, key.bytes), row.seconds.median * 1e6);
        self.files.write(&Record::Row(row))?;
        self.step(1, &what);
        self.screen.print(&lines)
    }

    fn left_out(&mut self, left_out: LeftOut) -> Result<(), String> {
        let series = self.series_of(&left_out);
        let (rows, what) = match left_out.bytes {
            Some(bytes) => {
                let what = length(&series, bytes);
                self.count(series);
                (1, what)
            }
            // Of a series that has rows, what is longer is left out.
            None => {
                let measured = self.latest.take().filter(|(latest, _)| *latest == series);
                let rows = rows_of(&series.operation, &self.request.lengths);
                let rows = rows.saturating_sub(measured.map_or(0, |(_, rows)| rows));
                (rows, of_series(&series))
            }
        };
        let what = what + ": left out";
        let lines = self.view.left_out(&left_out);
        self.files.write(&Record::LeftOut(left_out))?;
        self.step(rows, &what);
        self.screen.print(&lines)
    }

    /// Counts one length more of a series, which is a key without a length.
    fn count(&mut self, series: Key) {
        let before = self.latest.take().filter(|(latest, _)| *latest == series);
        self.latest = Some((series, before.map_or(1, |(_, rows)| rows + 1)));
    }

    /// What was left out, as the key of its rows without a length.
    fn series_of(&self, left_out: &LeftOut) -> Key {
        Key {
            operation: left_out.operation.clone(),
            by: left_out.by.clone(),
            place: left_out.place.clone(),
            path: left_out.path.clone(),
            dtype: left_out.dtype.clone(),
            op: left_out.op.clone(),
            ranks: self.request.ranks.get(),
            bytes: 0,
        }
    }

    fn step(&self, rows: u64, what: &str) {
        let what = match self.request.launches {
            1 => what.to_owned(),
            launches => format!("launch {} of {launches}: {what}", self.launch),
        };
        self.screen.step(rows, what, self.view.is_late());
    }

    /// Leaves everything out that a job would have measured on GPUs that there are not.
    fn leave_out(&mut self, plan: &JobPlan) -> Result<(), String> {
        plan.series.iter().try_for_each(|series| {
            let left_out = LeftOut {
                operation: series.operation.clone(),
                by: series.by.clone(),
                place: series.place.clone(),
                path: series.path.clone(),
                dtype: series.dtype.clone(),
                op: series.op.clone(),
                bytes: None,
                reason: "no rank has a GPU".to_owned(),
            };
            self.left_out(left_out)
        })
    }

    /// Writes how a launch ended.
    fn end_launch(&mut self, outcome: Result<Ending, String>) -> Result<Ending, String> {
        self.latest = None;
        if !std::mem::take(&mut self.is_begun) {
            return outcome;
        }
        let reason = match &outcome {
            Ok(Ending::Done) => None,
            Ok(Ending::Interrupted(signal)) => Some(interruption(*signal)),
            Ok(Ending::Died(how)) => Some(died(how)),
            Err(message) => Some(message.clone()),
        };
        let end = End {
            complete: reason.is_none(),
            reason,
        };
        let written = self.files.write(&Record::End(end));
        // What went wrong first is told.
        outcome.and_then(|ending| written.map(|()| ending))
    }

    /// Says how everything ended, and what is seen only then.
    fn end(self, outcome: Result<Ending, String>) -> Result<ExitCode, String> {
        self.screen.clear();
        let outcome = match outcome {
            Ok(Ending::Done) => Ok(ExitCode::SUCCESS),
            Ok(Ending::Interrupted(signal)) => {
                let reason = interruption(signal);
                self.screen
                    .tell(&format!("warpcomm bench: {reason}{}", self.kept()));
                // As a shell says that a signal has ended a program.
                let status = u8::try_from(128 + signal).unwrap_or(u8::MAX);
                Ok(ExitCode::from(status))
            }
            Ok(Ending::Died(how)) => Err(format!(
                "{}, before everything was measured{}",
                died(&how),
                self.kept()
            )),
            Err(message) => Err(message),
        };
        if self.has_begun {
            let printed = self.screen.print(&self.view.end());
            return outcome.and_then(|status| printed.map(|()| status));
        }
        outcome
    }

    /// Where that is which was measured.
    fn kept(&self) -> String {
        let files: Vec<_> = [&self.request.json, &self.request.csv]
            .into_iter()
            .flatten()
            .collect();
        match (self.has_begun, &files[..]) {
            (true, [first, ..]) => format!("; what was measured is in `{}`", first.display()),
            _ => String::new(),
        }
    }
}

impl Listener for Session<'_> {
    fn answer(&mut self, answer: Answer) -> Result<(), String> {
        match answer {
            Answer::Job(answer) => self.begin(answer),
            _ if !self.is_begun => Err("the ranks did not say where they run".to_owned()),
            Answer::Row(row) => self.row(row),
            Answer::LeftOut(left_out) => self.left_out(left_out),
            Answer::Done => Ok(()),
        }
    }

    fn line(&mut self, line: &str) {
        self.screen.tell(line);
    }
}

/// Why a launch is not complete whose job has ended so.
fn died(how: &str) -> String {
    format!("the job ended {how}")
}

/// A length of a series: `latency, mpi, 8 bytes`.
fn length(series: &Key, bytes: u64) -> String {
    format!("{}, {bytes} bytes", of_series(series))
}

/// A series by the name of its way, or what there is instead: `latency, mpi`.
fn of_series(series: &Key) -> String {
    match Way::of_key(series) {
        Some(way) => format!("{}, {}", series.operation, way.name),
        None => format!("{}, {}, {}", series.operation, series.by, series.place),
    }
}
