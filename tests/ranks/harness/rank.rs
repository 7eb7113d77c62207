//! A rank of a job: runs the cases that the job lists, each on a communicator of its own.

use std::any::Any;
use std::cell::RefCell;
use std::fs;
use std::io::Write;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::Duration;

use warpcomm::Config;

use super::jobs::has_every_form;
use super::record::{Event, Record, take_covered};
use super::watchdog::Watchdog;
use super::{Case, Failure, PLACE_VARIABLE, Place, WORLD_VARIABLE, deadline};
use crate::placed::{self, Stage};

/// How long a rank whose case has failed waits for the others to end theirs, before it leaves the job.
fn grace() -> Duration {
    (deadline() / 2).min(Duration::from_secs(5))
}

/// The exit status of a rank that leaves its job in the middle.
const LEFT: i32 = 4;

static DIRECTORY: OnceLock<PathBuf> = OnceLock::new();

thread_local! {
    static PANIC: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// A directory that all ranks of the job share, for cases that need files.
pub fn job_directory() -> &'static Path {
    DIRECTORY.get().map_or(Path::new("."), PathBuf::as_path)
}

/// What a job tells its ranks.
pub struct Orders {
    /// The number of ranks that are threads of this process; none if they are processes.
    pub threads: Option<usize>,
    /// The names of the cases to run, in this order.
    pub cases: Vec<String>,
}

impl Orders {
    pub fn write(&self, directory: &Path) -> std::io::Result<()> {
        let world = self
            .threads
            .map_or_else(|| "mpi".to_owned(), |ranks| ranks.to_string());
        fs::write(
            directory.join("orders"),
            format!("{world}\n{}", self.cases.join("\n")),
        )
    }

    fn read(directory: &Path) -> std::io::Result<Orders> {
        let text = fs::read_to_string(directory.join("orders"))?;
        let mut lines = text.lines();
        let threads = lines.next().and_then(|world| world.parse().ok());
        Ok(Orders {
            threads,
            cases: lines.map(str::to_owned).collect(),
        })
    }
}

/// Runs this process as a rank, or all ranks as its threads.
pub fn main(cases: &[Case], directory: &Path) -> ExitCode {
    std::panic::set_hook(Box::new(|panic| {
        let name = thread::current().name().unwrap_or("a thread").to_owned();
        say(&format!("{name}: {panic}"));
        PANIC.set(Some(panic.to_string()));
    }));
    let _ = DIRECTORY.set(directory.to_owned());
    let result = Orders::read(directory).map_err(Failure::from).and_then(|orders| {
        let wanted = |name: &String| cases.iter().find(|case| case.full_name() == *name).cloned();
        let cases: Vec<Case> = orders.cases.iter().filter_map(wanted).collect();
        match orders.threads {
            Some(ranks) => ranks_as_threads(ranks, &cases, directory),
            None => rank_as_process(&cases, directory),
        }
    });
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure(text)) => {
            eprintln!("{text}");
            ExitCode::FAILURE
        }
    }
}

fn ranks_as_threads(ranks: usize, cases: &[Case], directory: &Path) -> Result<(), Failure> {
    let outcomes = warpcomm::Communicator::threads_with(&Config::from_env()?, ranks, |world| {
        let record = Arc::new(Record::open(directory, world.rank())?);
        run(
            &world,
            &world,
            cases,
            &placed::stage(place(), &world)?,
            &record,
            &Watchdog::start(),
        );
        Ok(record)
    })?;
    let records = outcomes.into_iter().collect::<Result<Vec<_>, Failure>>()?;
    records.iter().for_each(|record| record.write(&Event::Ended));
    Ok(())
}

#[cfg(feature = "mpi")]
fn rank_as_process(cases: &[Case], directory: &Path) -> Result<(), Failure> {
    let watchdog = Watchdog::start();
    watchdog.watch(deadline(), || {
        eprintln!("MPI was not initialized within the deadline")
    });
    let runtime = warpcomm::Runtime::init()?;
    let world = runtime.world()?;
    let record = Arc::new(Record::open(directory, world.rank())?);
    // A launcher hands lines on late and mixed, and the marks of one rank would part those of another.
    rustix::stdio::dup2_stderr(fs::File::create(output(directory, world.rank()))?)?;
    let parent = match is_plain() {
        true => runtime.world_plain()?,
        false => world.clone(),
    };
    run(
        &world,
        &parent,
        cases,
        &placed::stage(place(), &world)?,
        &record,
        &watchdog,
    );
    drop((parent, world));
    watchdog.watch(deadline(), || {
        eprintln!("MPI was not finalized within the deadline")
    });
    runtime.finalize()?;
    record.write(&Event::Ended);
    Ok(())
}

#[cfg(not(feature = "mpi"))]
fn rank_as_process(_: &[Case], _: &Path) -> Result<(), Failure> {
    Err(Failure("this build has no MPI".to_owned()))
}

/// Where the buffers of this job lie.
pub fn place() -> Place {
    static PLACE: OnceLock<Place> = OnceLock::new();
    *PLACE.get_or_init(|| {
        let name = std::env::var(PLACE_VARIABLE).unwrap_or_default();
        Place::named(&name).unwrap_or_else(|| panic!("{PLACE_VARIABLE}={name:?}"))
    })
}

/// Runs all cases on this rank.
fn run(
    world: &warpcomm::Communicator,
    parent: &warpcomm::Communicator,
    cases: &[Case],
    stage: &Arc<Stage>,
    record: &Arc<Record>,
    watchdog: &Watchdog,
) {
    for case in cases {
        let name = case.full_name();
        // Ties what is printed to its case.
        say(&mark(&name));
        record.write(&Event::Started(name.clone()));
        let overdue = (Arc::clone(record), name.clone());
        watchdog.watch(deadline(), move || {
            let (record, name) = overdue;
            record.write(&Event::Failed(
                name,
                format!("not done within {} s", deadline().as_secs()),
            ));
        });
        let outcome = run_one(parent, case, stage);
        let covered = take_covered();
        let passed = outcome.is_ok();
        if passed && world.rank() == 0 {
            covered
                .into_iter()
                .for_each(|cell| record.write(&Event::Covered(cell)));
        }
        record.write(&match outcome {
            Ok(()) => Event::Passed(name.clone()),
            Err(Failure(text)) => Event::Failed(name.clone(), text),
        });
        // Ranks that are still in the case have watchdogs of their own.
        watchdog.watch(2 * deadline(), || {
            eprintln!("the other ranks did not end their case")
        });
        let together = match passed {
            true => world.barrier(),
            false => world.with_timeout(Some(grace())).barrier(),
        };
        if let Err(error) = together {
            say(&format!(
                "rank {} leaves the job after {name}: {error}",
                world.rank()
            ));
            watchdog.watch(grace(), || ());
            std::process::exit(LEFT);
        }
    }
}

fn run_one(parent: &warpcomm::Communicator, case: &Case, stage: &Arc<Stage>) -> Result<(), Failure> {
    let comm = placed::place(parent.duplicate()?, stage, has_every_form(case));
    PANIC.set(None);
    catch_unwind(AssertUnwindSafe(|| (case.run)(&comm)))
        .unwrap_or_else(|payload| Err(Failure(described(&*payload))))
}

/// A panic in the words of the hook, which knows the place.
fn described(payload: &(dyn Any + Send)) -> String {
    let text = payload.downcast_ref::<String>().map(String::as_str);
    let text = text
        .or_else(|| payload.downcast_ref::<&str>().copied())
        .unwrap_or("a panic");
    PANIC.take().unwrap_or_else(|| text.to_owned())
}

/// Whether the cases' communicators are plain ones, whose messages and collectives are MPI's own.
pub fn is_plain() -> bool {
    std::env::var(WORLD_VARIABLE).is_ok_and(|world| world == "plain")
}

/// The file in which a rank that is a process prints.
pub fn output(directory: &Path, rank: usize) -> PathBuf {
    directory.join(format!("output-{rank}"))
}

/// Prints a line in one piece, so that the lines of several ranks do not mix.
pub fn say(line: &str) {
    let _ = std::io::stderr().write_all(format!("{line}\n").as_bytes());
}

/// The line that each rank prints when a case starts.
pub fn mark(case: &str) -> String {
    format!("=== {case}")
}
