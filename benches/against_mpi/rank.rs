//! What each of the two ranks does.

use std::path::Path;

use serde::{Deserialize, Serialize};
use warpcomm::Runtime;

use crate::allreduce::Allreduce;
use crate::contest::{self, Contest, Effort};
use crate::latency::Latency;
use crate::mpi_call;
use crate::row::{Row, Target};
use crate::{Failure, RANKS};

/// What rank 0 hands to the process that has started it.
#[derive(Serialize, Deserialize)]
pub struct Measured {
    /// The MPI library, in its own words.
    pub mpi_library: String,
    /// The thread level that it granted.
    pub thread_level: String,
    /// The figures.
    pub rows: Vec<Row>,
}

/// The sizes of messages, in bytes, and what is aimed at; up to 4,000 bytes ride in the envelope.
const LATENCY: [(usize, Option<Target>); 7] = [
    (8, Some(Target::DifferenceNs(100.0))),
    (256, None),
    (4_000, Some(Target::DifferenceNs(200.0))),
    (4_096, Some(Target::DifferenceNs(1_000.0))),
    (64 << 10, Some(Target::DifferenceNs(1_000.0))),
    (1 << 20, Some(Target::DifferenceNs(1_000.0))),
    (16 << 20, Some(Target::Ratio(1.05))),
];

/// The sizes of vectors, in bytes, and what is aimed at.
const ALLREDUCE: [(usize, Option<Target>); 6] = [
    (8, Some(Target::DifferenceNs(150.0))),
    (512, None),
    (8 << 10, None),
    (128 << 10, None),
    (1 << 20, Some(Target::Ratio(1.0))),
    (16 << 20, None),
];

/// Measures as one of the ranks; rank 0 prints the rows as they come and writes them to a file.
pub fn run(effort: Effort, file: &Path) -> Result<(), Failure> {
    let runtime = Runtime::init()?;
    let outcome = measure(&runtime, effort).and_then(|measured| match measured {
        Some(measured) => Ok(std::fs::write(file, serde_json::to_vec(&measured)?)?),
        None => Ok(()),
    });
    if let Err(error) = outcome {
        // To end MPI properly would be to wait for the other rank, which may be waiting for this one.
        eprintln!("against_mpi: {error}");
        mpi_call::abort();
    }
    Ok(runtime.finalize()?)
}

/// Measures everything; gives rank 0 the result.
fn measure(runtime: &Runtime, effort: Effort) -> Result<Option<Measured>, Failure> {
    let comm = runtime.world()?;
    if comm.size() != RANKS.get() {
        return Err(format!("there are {} ranks, but {RANKS} were started", comm.size()).into());
    }
    let library = runtime.library_version().trim();
    let mut table = Table {
        effort,
        prints: comm.rank() == 0 && effort != Effort::Check,
        rows: Vec::new(),
    };
    table.print(|| {
        let version = env!("CARGO_PKG_VERSION");
        let library = library.lines().next().unwrap_or_default();
        format!(
            "warpcomm {version} against {library}, {RANKS} ranks\n\n{}",
            Row::heads()
        )
    });
    for (bytes, target) in LATENCY {
        table.add("latency", target, &mut Latency::new(&comm, bytes))?;
    }
    for (bytes, target) in ALLREDUCE {
        table.add("allreduce", target, &mut Allreduce::new(&comm, bytes))?;
    }
    table.print(|| {
        let rows = &table.rows;
        let aimed = rows.iter().filter(|row| row.reached.is_some()).count();
        let reached = rows.iter().filter(|row| row.reached == Some(true)).count();
        format!("\n{reached} of {aimed} targets reached")
    });
    if comm.rank() != 0 {
        return Ok(None);
    }
    if effort == Effort::Check {
        println!("against_mpi: {} cases arrive as they should", table.rows.len());
    }
    Ok(Some(Measured {
        mpi_library: library.to_owned(),
        thread_level: format!("{:?}", runtime.thread_level()),
        rows: table.rows,
    }))
}

/// The rows so far.
struct Table {
    effort: Effort,
    prints: bool,
    rows: Vec<Row>,
}

impl Table {
    fn print(&self, text: impl FnOnce() -> String) {
        if self.prints {
            println!("{}", text());
        }
    }

    fn add(
        &mut self,
        operation: &str,
        target: Option<Target>,
        contest: &mut dyn Contest,
    ) -> Result<(), Failure> {
        let outcome = contest::run(contest, self.effort)
            .map_err(|error| format!("{operation} of {} bytes: {error}", contest.bytes()))?;
        let row = Row::new(operation, contest.bytes(), &outcome, target);
        self.print(|| row.to_string());
        self.rows.push(row);
        Ok(())
    }
}
