//! Cases that need a job of their own, because they hang or crash on purpose or start in their own way.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, ExitStatus};
use std::sync::OnceLock;
use std::thread;
use std::time::Duration;

use super::process::{self, End};
#[cfg(all(feature = "mpi", feature = "cuda"))]
use super::simulate;
#[cfg(all(feature = "mpi", feature = "cuda"))]
use super::two_networks;
use super::watchdog::Watchdog;
use super::world::{self, Environment, World};
use super::{DEADLINE_VARIABLE, Failure, Outcome, SOLO_VARIABLE, deadline};

/// Names the directory of a solo case.
const DIRECTORY_VARIABLE: &str = "WARPCOMM_TEST_SOLO_DIRECTORY";

/// The file that gets longer as the ranks of a solo case make progress.
const PROGRESS: &str = "progress";

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
    /// By the launcher, as so many ranks that have GPUs.
    #[cfg(feature = "cuda")]
    RanksWithGpus(usize),
    /// By the launcher, as so many ranks that have GPUs, half of them in another network.
    #[cfg(feature = "cuda")]
    TwoNetworks(usize),
    /// The same, where the other half has another host name too.
    #[cfg(feature = "cuda")]
    TwoHosts(usize),
    /// By the launcher, which leaves the other ranks alone when one dies.
    Survivors(usize),
}

impl Start {
    /// Whether its ranks have GPUs.
    pub fn has_gpus(self) -> bool {
        match self {
            Start::Alone | Start::Ranks(_) | Start::Survivors(_) => false,
            #[cfg(feature = "cuda")]
            Start::RanksWithGpus(_) | Start::TwoNetworks(_) | Start::TwoHosts(_) => true,
        }
    }
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
    /// The one that its ranks have shared.
    #[cfg_attr(
        not(feature = "cuda"),
        allow(dead_code, reason = "cases without GPUs write nothing there")
    )]
    pub directory: PathBuf,
}

impl Ended {
    /// Whether each of these texts was printed, and the exit status is that of a success, or not.
    pub fn check(&self, succeeded: bool, texts: &[&str]) -> Result<(), String> {
        let missing: Vec<&&str> = texts
            .iter()
            .filter(|text| !self.output.contains(**text))
            .collect();
        match self.status.success() == succeeded && missing.is_empty() {
            true => Ok(()),
            false => Err(format!("it ended with {}; not printed: {missing:?}", self.status)),
        }
    }
}

impl Solo {
    /// Why this machine cannot run it, if that is no failure.
    pub fn obstacle(&self) -> Option<String> {
        match self.start {
            #[cfg(all(feature = "mpi", feature = "cuda"))]
            Start::TwoNetworks(_) | Start::TwoHosts(_) => two_networks::obstacle(),
            _ => None,
        }
    }

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
            fs::metadata(directory.path().join(PROGRESS)).map_or(0, |file| file.len())
        });
        let ended = match end.map_err(|error| error.to_string())? {
            End::Exited(status) => Ended {
                status,
                output: read(),
                directory: directory.path().to_owned(),
            },
            End::Stalled => return Err(format!("it hung and was killed\n{}", read())),
        };
        (self.expect)(&ended).map_err(|why| format!("{why}\n--- printed\n{}", ended.output))
    }

    fn command(&self, directory: &Path) -> Result<Command, String> {
        let mut environment: Environment = vec![
            (SOLO_VARIABLE, self.name.into()),
            (DIRECTORY_VARIABLE, directory.into()),
            (DEADLINE_VARIABLE, deadline().as_secs().to_string().into()),
            ("RUST_BACKTRACE", "0".into()),
            ("WARPCOMM_CACHE", directory.join("cache").into()),
        ];
        environment.extend(self.environment.iter().map(|&(name, value)| (name, value.into())));
        match self.start {
            #[cfg(all(feature = "mpi", feature = "cuda"))]
            Start::RanksWithGpus(ranks) => {
                let driver = simulate::driver(directory, ranks, &mut environment)?;
                world::command(World::Mpi, ranks, environment, driver.as_deref())
            }
            #[cfg(all(feature = "mpi", feature = "cuda"))]
            Start::TwoNetworks(ranks) | Start::TwoHosts(ranks) => {
                let driver = simulate::driver(directory, ranks, &mut environment)?;
                let job = world::command(World::Mpi, ranks, environment, driver.as_deref())?;
                let has_names = matches!(self.start, Start::TwoHosts(_));
                two_networks::command(&job, ranks, directory, has_names)
            }
            Start::Alone => world::command(World::Threads, 1, environment, None),
            #[cfg(feature = "mpi")]
            Start::Ranks(ranks) => world::command(World::Mpi, ranks, environment, None),
            #[cfg(feature = "mpi")]
            Start::Survivors(ranks) => {
                world::command(World::Mpi, ranks, environment, None).and_then(leaving_survivors)
            }
            #[cfg(not(feature = "mpi"))]
            _ => Err("this build has no MPI".to_owned()),
        }
    }
}

/// The command with the launcher's own option that keeps it from ending a job one of whose ranks died.
#[cfg(feature = "mpi")]
fn leaving_survivors(command: Command) -> Result<Command, String> {
    use crate::launcher::{Flavour, Launcher};

    let program = std::env::current_exe().map_err(|error| error.to_string())?;
    let option = match Launcher::find(&program, None)
        .map_err(|error| error.to_string())?
        .flavour
    {
        Flavour::OpenMpi4 | Flavour::OpenMpi5 => "--enable-recovery",
        Flavour::Mpich | Flavour::IntelMpi => "-disable-auto-cleanup",
        Flavour::Slurm => "--kill-on-bad-exit=0",
    };
    let mut changed = Command::new(command.get_program());
    changed.arg(option).args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => changed.env(name, value),
            None => changed.env_remove(name),
        };
    }
    Ok(changed)
}

/// Runs this process as a rank of a solo case.
pub fn main(solos: &[&Solo], name: &str) -> ExitCode {
    still_going();
    let Some(solo) = solos.iter().find(|solo| solo.name == name) else {
        eprintln!("there is no solo case {name}");
        return ExitCode::FAILURE;
    };
    match (solo.program)() {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure(text)) => {
            eprintln!("failed: {text}");
            ExitCode::FAILURE
        }
    }
}

/// Says that this rank makes progress: from now on it has the time of a whole case again.
pub fn still_going() {
    static WATCHDOG: OnceLock<Watchdog> = OnceLock::new();
    WATCHDOG.get_or_init(Watchdog::start).watch(deadline(), || {
        eprintln!("the rank was not done within the deadline")
    });
    let file = solo_directory().join(PROGRESS);
    let opened = fs::OpenOptions::new().create(true).append(true).open(file);
    // Without the file there is less time.
    let _ = opened.and_then(|mut file| file.write_all(b"."));
}

/// The directory that all ranks of a solo case share.
pub fn solo_directory() -> PathBuf {
    std::env::var_os(DIRECTORY_VARIABLE).map_or_else(|| PathBuf::from("."), PathBuf::from)
}

/// Waits until the test program has seen the text that releases the ranks.
pub fn wait_for_release() {
    wait_for_file("released");
}

/// Waits until there is a file in the shared directory.
pub fn wait_for_file(name: &str) {
    // The watchdog ends a wait in vain.
    while !solo_directory().join(name).exists() {
        thread::sleep(Duration::from_millis(5));
    }
}
