//! Starts an example on every rank, reads its options and agrees on how it ends.

use std::io::Write;
use std::num::NonZeroUsize;
use std::process::ExitCode;

use clap::{Args, CommandFactory, FromArgMatches, Parser};
use warpcomm::{Blocks, Communicator, Op, Place};

// The options of an example and the one that all examples have.
#[derive(Parser)]
#[command(version)]
struct CommandLine<E: Args> {
    #[command(flatten)]
    example: E,

    /// Run N ranks as threads of this process instead of one rank per process.
    #[arg(long, value_name = "N")]
    ranks: Option<NonZeroUsize>,
}

/// Why an example stops early.
pub enum Failure {
    /// Every rank knows it, and rank 0 prints it for all.
    Agreed(String),
    /// An operation failed on this rank, which prints it itself.
    Operation(warpcomm::Error),
}

impl From<warpcomm::Error> for Failure {
    fn from(error: warpcomm::Error) -> Failure {
        Failure::Operation(error)
    }
}

impl<B> From<warpcomm::RequestError<B>> for Failure {
    fn from(error: warpcomm::RequestError<B>) -> Failure {
        Failure::Operation(error.into())
    }
}

/// A rank's view of the run.
#[allow(dead_code, reason = "not every example needs all of it")]
pub struct Rank {
    /// All ranks of the run.
    pub comm: Communicator,
    /// How messages travel between them.
    pub path: &'static str,
}

#[allow(dead_code, reason = "not every example needs all of it")]
impl Rank {
    /// Returns this rank's outcome if that of every rank is `Ok`, else the error of the lowest
    /// rank that has one, on every rank.
    ///
    /// A rank that cannot go on must not simply return: the others would wait for it in their next
    /// operation.
    pub fn agree<T>(&self, outcome: Result<T, String>) -> Result<T, Failure> {
        let ranks = self.comm.size();
        let mine = if outcome.is_err() { self.comm.rank() } else { ranks };
        let mut lowest = ranks as u64;
        self.comm.allreduce(&(mine as u64), &mut lowest, Op::Min)?;
        let lowest = lowest as usize;

        let text = match outcome {
            Ok(value) if lowest == ranks => return Ok(value),
            Ok(_) => String::new(),
            Err(text) if lowest > 0 => format!("{text} (on rank {lowest})"),
            Err(text) => text,
        };
        let mut bytes = text.into_bytes();
        let mut length = bytes.len() as u64;
        self.comm.bcast(&mut length, lowest)?;
        bytes.resize(length as usize, 0);
        self.comm.bcast(&mut bytes, lowest)?;
        Err(Failure::Agreed(String::from_utf8_lossy(&bytes).into_owned()))
    }

    /// Returns an error on every rank if `mine` is not the same on all of them, as when each has
    /// opened another file of the same name.
    pub fn agree_on(&self, what: &str, mine: &impl std::fmt::Debug) -> Result<(), Failure> {
        let mine = format!("{mine:?}").into_bytes();
        let mut length = mine.len() as u64;
        self.comm.bcast(&mut length, 0)?;
        let mut first = mine.clone();
        first.resize(length as usize, 0);
        self.comm.bcast(&mut first, 0)?;
        self.agree(match first == mine {
            true => Ok(()),
            false => Err(format!("{what} is not the one that rank 0 has")),
        })
    }

    /// Returns an error on every rank if this build cannot work with buffers at `place`.
    pub fn agree_to_place(&self, place: Place) -> Result<(), Failure> {
        self.agree(place.check().map_err(|error| format!("--place {place}: {error}")))
    }

    /// Prints the `text` of rank 0 as a line of standard output. All ranks call this together.
    pub fn print(&self, text: &str) -> Result<(), Failure> {
        let printed = match self.comm.rank() {
            0 => print_line(text).map_err(|error| format!("standard output: {error}")),
            _ => Ok(()),
        };
        self.agree(printed)
    }

    /// Prints the `text` of every rank as a line, in the order of the ranks. All ranks call this together.
    pub fn print_each(&self, text: &str) -> Result<(), Failure> {
        let mut lengths = vec![0; self.comm.size()];
        self.comm.gather(&(text.len() as u64), &mut lengths, 0)?;
        let blocks = Blocks::packed(lengths.iter().map(|&bytes| bytes as usize).collect::<Vec<_>>());
        let mut bytes = vec![0; blocks.total()];
        self.comm.gatherv(text.as_bytes(), &mut bytes, &blocks, 0)?;
        let texts = (0..blocks.len()).map(|rank| String::from_utf8_lossy(&bytes[blocks.range(rank)]));
        self.print(&texts.collect::<Vec<_>>().join("\n"))
    }

    /// Returns an error on every rank if `found` is not what `expected` is, on any of them.
    pub fn agree_that<T: PartialEq + std::fmt::Debug>(
        &self,
        what: &str,
        found: &[T],
        expected: &[T],
    ) -> Result<(), Failure> {
        self.agree(match found == expected {
            true => Ok(()),
            false => Err(format!("{what}: {found:?} instead of {expected:?}")),
        })
    }
}

/// Runs `body` on every rank and returns the exit status: 1 if it failed anywhere.
///
/// Each rank is one process that an MPI launcher started; with `--ranks N`, or in a build without
/// the feature `mpi`, a thread.
pub fn run<E>(name: &'static str, body: fn(&Rank, &E) -> Result<(), Failure>) -> ExitCode
where
    E: Args + Sync,
{
    let options = CommandLine::<E>::command()
        .name(name)
        .try_get_matches()
        .and_then(|matches| CommandLine::<E>::from_arg_matches(&matches));
    let ranks = options.as_ref().ok().and_then(|options| options.ranks);
    let on_rank = |rank: Rank| match &options {
        Ok(options) => report(name, &rank, body(&rank, &options.example)),
        Err(error) => rank.comm.rank() != 0 || explain(name, error),
    };

    let succeeded = match ranks {
        Some(ranks) => on_threads(ranks.get(), on_rank),
        None => on_processes(on_rank),
    };
    match succeeded {
        Ok(true) if options.is_ok() => ExitCode::SUCCESS,
        // Asking for --help is not a failure.
        Ok(true) if options.as_ref().is_err_and(|error| !error.use_stderr()) => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => {
            eprint_line(&format!("{name}: {error}"));
            ExitCode::FAILURE
        }
    }
}

fn on_threads(ranks: usize, on_rank: impl Fn(Rank) -> bool + Sync) -> warpcomm::Result<bool> {
    let succeeded = Communicator::threads(ranks, |comm| {
        on_rank(Rank {
            comm,
            path: "threads",
        })
    })?;
    Ok(succeeded.iter().all(|&rank| rank))
}

#[cfg(feature = "mpi")]
fn on_processes(on_rank: impl Fn(Rank) -> bool + Sync) -> warpcomm::Result<bool> {
    let runtime = warpcomm::Runtime::init()?;
    let succeeded = on_rank(Rank {
        comm: runtime.world()?,
        path: "mpi",
    });
    runtime.finalize()?;
    Ok(succeeded)
}

#[cfg(not(feature = "mpi"))]
fn on_processes(on_rank: impl Fn(Rank) -> bool + Sync) -> warpcomm::Result<bool> {
    on_threads(1, on_rank)
}

/// Prints the failure, if there is one, and returns whether there is none.
fn report(name: &str, rank: &Rank, outcome: Result<(), Failure>) -> bool {
    match outcome {
        Ok(()) => true,
        Err(Failure::Agreed(text)) => {
            if rank.comm.rank() == 0 {
                eprint_line(&format!("{name}: {text}"));
            }
            // Launchers end the job when the first process fails, perhaps before rank 0 has
            // printed. Whether the barrier itself succeeds makes no difference any more.
            let _ = rank.comm.barrier();
            false
        }
        Err(Failure::Operation(error)) => {
            eprint_line(&format!("{name}: {error}"));
            false
        }
    }
}

/// Prints the answer to `--help`, or what is wrong with the command line, in one line.
fn explain(name: &str, error: &clap::Error) -> bool {
    if !error.use_stderr() {
        return print_line(error.to_string().trim_end()).is_ok();
    }
    let text = error.to_string();
    let reason: Vec<&str> = text
        .split("\n\n")
        .next()
        .unwrap_or_default()
        .lines()
        .map(str::trim)
        .collect();
    eprint_line(&format!(
        "{name}: {}",
        reason.join(" ").trim_start_matches("error: ")
    ));
    false
}

// The macros of the standard library panic where the reader of the output has gone.
fn print_line(text: &str) -> std::io::Result<()> {
    let mut stdout = std::io::stdout().lock();
    writeln!(stdout, "{text}")?;
    stdout.flush()
}

fn eprint_line(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}
