//! `bench`: measures operations, and says what it finds in lines of JSON, of which `warpcomm bench` makes tables and files.

mod agree;
mod collective;
mod contents;
mod element;
mod job;
mod library;
mod measure;
pub mod memory;
mod messages;
#[cfg(feature = "cuda")]
mod nccl;
mod pairs;
mod path;
#[cfg(feature = "cuda")]
mod pinned;
mod series;
mod shape;
#[cfg(feature = "cuda")]
mod staging;
mod subject;

use std::io::{Write, stdout};

use clap::Args;
use warpcomm::{Communicator, Config, Runtime};

use crate::Failure;
use crate::mpi_call;
use crate::record::LeftOut;
use crate::task::{Answer, Series, Task};
pub use agree::Elsewhere;
use agree::Known;
use series::{Found, Measuring};
use subject::NotHere;

#[derive(Args)]
pub struct Arguments {
    /// What to measure, as JSON
    #[arg(long, value_parser = task)]
    task: Task,
}

fn task(text: &str) -> Result<Task, serde_json::Error> {
    serde_json::from_str(text)
}

/// Takes this rank's part in all measurements; rank 0 prints what they give.
pub fn run(arguments: &Arguments) -> Result<(), Failure> {
    let config = Config::from_env()?;
    let runtime = Runtime::init_with(&config)?;
    let outcome = measure(&runtime, &arguments.task);
    if let Err(failure) = outcome {
        if !failure.is::<Elsewhere>() && !failure.is::<Known>() {
            // To end MPI properly would be to wait for the other ranks, which may be waiting for this one.
            eprintln!("warpcomm bench: {failure}");
            mpi_call::abort();
        }
        // All ranks come here.
        runtime.finalize()?;
        return Err(failure);
    }
    Ok(runtime.finalize()?)
}

fn measure(runtime: &Runtime, task: &Task) -> Result<(), Failure> {
    let comm = runtime.world()?;
    let job = job::answer(runtime, &comm)?;
    say(&comm, Answer::Job(job))?;
    let mut measuring = Measuring::new(&comm, task);
    for series in &task.series {
        let mut found = |found| {
            say(
                &comm,
                match found {
                    Found::Row(row) => Answer::Row(*row),
                    Found::Not { bytes, reason } => Answer::LeftOut(left_out(series, bytes, reason)),
                },
            )
        };
        match measuring.all_sizes(series, &mut found) {
            Err(failure) if failure.is::<NotHere>() => found(Found::Not {
                bytes: None,
                reason: failure.to_string(),
            })?,
            other => other?,
        }
    }
    say(&comm, Answer::Done)
}

/// Rank 0 prints a line, at once.
fn say(comm: &Communicator, answer: Answer) -> Result<(), Failure> {
    if comm.rank() == 0 {
        let mut out = stdout().lock();
        writeln!(out, "{}", serde_json::to_string(&answer)?)?;
        out.flush()?;
    }
    Ok(())
}

fn left_out(series: &Series, bytes: Option<u64>, reason: String) -> LeftOut {
    let Series {
        operation,
        by,
        place,
        path,
        dtype,
        op,
    } = series.clone();
    LeftOut {
        operation,
        by,
        place,
        path,
        dtype,
        op,
        bytes,
        reason,
    }
}
