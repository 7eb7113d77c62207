//! 64 tasks that take 1 to 20 ms, given to workers in blocks and to whoever is free.
//!
//! ```text
//! $ warpcomm run -n 4 pool_map --out pictures
//! static blocks: 64 tasks on 3 workers, makespan 0.263 s, 18.9% idle
//! load-balanced: 64 tasks on 3 workers, makespan 0.220 s, 2.9% idle
//! list scheduling takes 0.217 s: static blocks 1.210 times that, load-balanced 1.012 times
//! ```
//!
//! The timelines of both are in files then: `warpcomm plot pictures/static.trace.json` draws one, and ui.perfetto.dev opens it.
//!
//! A task waits, which stands for work. List scheduling is what a balancer would do to which messages cost nothing: the
//! next task goes to the worker that is free first.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use rand::{Rng, SeedableRng};
use warpcomm::pool::{Function, Incomplete, Master, Pool, TaskRng, Timeline};

#[path = "shared/ranks.rs"]
mod ranks;

use ranks::{Failure, Rank};

/// How many tasks there are.
const TASKS: usize = 64;
/// What decides how long each of them takes.
const SEED: u64 = 64;

/// Gives 64 uneven tasks to workers, in blocks and to whoever is free.
#[derive(clap::Args)]
struct Options {
    /// The directory to write the timelines to, static and balanced: NAME.json for programs, NAME.trace.json for pictures.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

fn main() -> ExitCode {
    ranks::run("pool_map", pool_map)
}

fn pool_map(rank: &Rank, options: &Options) -> Result<(), Failure> {
    let mut pool = Pool::new(&rank.comm).timeline(true);
    let wait = pool.function(|worker, nanoseconds: u64| {
        std::thread::sleep(Duration::from_nanos(nanoseconds));
        Ok((worker.task(), worker.rank()))
    });
    let report = pool.run(|master| compare(master, wait, options))?;
    let report = rank.agree(report.unwrap_or_else(|| Ok(String::new())))?;
    rank.print(&report)
}

/// A task's number and the rank that has run it.
type Done = (u64, usize);

/// Runs the tasks in both ways; what there is to say of them.
fn compare(master: &Master, wait: Function<u64, Done>, options: &Options) -> Result<String, String> {
    let delays = delays();
    let direct = master.direct().name("static").progress_bar(true);
    let of_direct = direct.map(wait, delays.clone());
    let in_blocks = checked(master, &delays, 0, of_direct)?;
    let view = master.load_balanced().name("balanced").progress_bar(true);
    let of_balanced = view.map(wait, delays.clone());
    let balanced = checked(master, &delays, 1, of_balanced)?;
    if let Some(directory) = &options.out {
        std::fs::create_dir_all(directory).map_err(|error| format!("{}: {error}", directory.display()))?;
        for (timeline, name) in [(&in_blocks, "static"), (&balanced, "balanced")] {
            let file = |end| directory.join(format!("{name}.{end}"));
            let written = timeline
                .write(file("json"))
                .and_then(|()| timeline.write_trace(file("trace.json")));
            written.map_err(|error| error.to_string())?;
        }
    }
    let list = list_scheduling(&delays, master.workers().len()) as f64;
    let times = |timeline: &Timeline| timeline.makespan() as f64 / list;
    Ok(format!(
        "static blocks: {}\nload-balanced: {}\nlist scheduling takes {:.3} s: static blocks {:.3} times that, \
         load-balanced {:.3} times",
        summary(&in_blocks),
        summary(&balanced),
        list / 1e9,
        times(&in_blocks),
        times(&balanced),
    ))
}

/// How long each task takes, in nanoseconds.
fn delays() -> Vec<u64> {
    let mut random = TaskRng::seed_from_u64(SEED);
    (0..TASKS)
        .map(|_| random.random_range(1_000_000..20_000_000))
        .collect()
}

/// The end of the last task where the next one always goes to the worker that is free first, in nanoseconds.
fn list_scheduling(delays: &[u64], workers: usize) -> u64 {
    let mut free = vec![0; workers];
    for delay in delays {
        if let Some(first) = free.iter_mut().min() {
            *first += delay;
        }
    }
    free.into_iter().max().unwrap_or(0)
}

/// The timeline of a call, if its results and the timeline are what they should be.
fn checked(
    master: &Master,
    delays: &[u64],
    call: u64,
    results: Result<Vec<Done>, Incomplete<Done>>,
) -> Result<Timeline, String> {
    let results = results.map_err(|incomplete| incomplete.to_string())?;
    let numbers: Vec<u64> = results.iter().map(|&(task, _)| task).collect();
    if numbers != (0..delays.len() as u64).collect::<Vec<_>>() {
        return Err(format!("the results are those of tasks {numbers:?}"));
    }
    let timeline = master.timeline().of_call(call);
    if timeline.workers != master.workers() || timeline.entries.len() != delays.len() {
        let (rows, bars) = (&timeline.workers, timeline.entries.len());
        return Err(format!("the timeline has {bars} bars in the rows {rows:?}"));
    }
    for bar in &timeline.entries {
        let task = bar.task as usize;
        let is_right = results.get(task).is_some_and(|&(_, rank)| bar.rank == rank)
            && bar.given <= bar.end
            && bar.ran() >= delays[task];
        if !is_right {
            return Err(format!("the timeline has a wrong bar: {bar:?}"));
        }
    }
    for &rank in &timeline.workers {
        let row = timeline.row(rank);
        if let Some(pair) = row.windows(2).find(|pair| pair[0].end > pair[1].begin) {
            return Err(format!("bars overlap in the row of rank {rank}: {pair:?}"));
        }
    }
    Ok(timeline)
}

/// How long the tasks of a timeline took together.
fn summary(timeline: &Timeline) -> String {
    format!(
        "{} tasks on {} workers, makespan {:.3} s, {:.1}% idle",
        timeline.entries.len(),
        timeline.workers.len(),
        timeline.makespan() as f64 / 1e9,
        100.0 * timeline.idle(),
    )
}
