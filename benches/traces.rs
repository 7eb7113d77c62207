//! What it costs to write traces (`WARPCOMM_TRACE`): `cargo bench --bench traces`.
//!
//! Two ranks, which are threads, send a message there and back, in short rounds. Launches without a trace, with one, and
//! without one again take turns, so that whatever else the machine does meets all; the last of them shows how far two
//! that are the same differ. What is compared is the median over the rounds of all launches. Beside it stand the minimum,
//! which tells more where something else runs, and the mean, in which the thread that writes counts too: two ranks leave
//! it no core where there are only two.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Parser;
use warpcomm::{Communicator, Config, Result, Tag};

/// What is compared, in turn.
const VARIANTS: [&str; 3] = ["off", "on", "off again"];

/// Compares messages with and without a trace.
///
/// Without arguments, as `cargo test --benches` starts it, it only checks that all runs.
#[derive(Parser)]
struct Arguments {
    /// Only check that all runs, without figures.
    #[arg(long)]
    test: bool,
    /// Measure; `cargo bench` always passes this.
    #[arg(long, hide = true)]
    bench: bool,
}

/// How much is measured.
struct Effort {
    launches: usize,
    rounds: usize,
    repetitions: u32,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let is_measured = arguments.bench && !arguments.test;
    let measured = [8, 4096, 64 << 10].into_iter().try_for_each(|bytes| {
        let repetitions = if bytes < 1024 { 200 } else { 20 };
        let effort = match is_measured {
            true => Effort {
                launches: 20,
                rounds: 200,
                repetitions,
            },
            false => Effort {
                launches: 1,
                rounds: 1,
                repetitions: 2,
            },
        };
        compare(bytes, &effort)
    });
    match measured {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("traces: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Prints what a message of so many bytes takes.
fn compare(bytes: usize, effort: &Effort) -> std::result::Result<(), Box<dyn std::error::Error>> {
    let directory = tempfile::tempdir()?;
    let config = |variant: usize| {
        let file = directory.path().join("trace.json");
        Config::default().trace((VARIANTS[variant] == "on").then_some(file))
    };
    let mut rounds: [Vec<Duration>; VARIANTS.len()] = Default::default();
    for _ in 0..effort.launches {
        for (variant, rounds) in rounds.iter_mut().enumerate() {
            rounds.extend(launch(&config(variant), bytes, effort)?);
        }
    }
    let messages = 2.0 * f64::from(effort.repetitions);
    let microseconds = |time: Duration| time.as_secs_f64() * 1e6 / messages;
    let figures = rounds.map(|mut rounds| {
        rounds.sort();
        let mean = rounds.iter().sum::<Duration>() / rounds.len() as u32;
        [rounds[rounds.len() / 2], rounds[0], mean].map(microseconds)
    });
    for (variant, own) in VARIANTS.into_iter().zip(figures) {
        let compared = ["median", "minimum", "mean"].into_iter().zip(own).zip(figures[0]);
        let cells = compared.map(|((name, own), off)| {
            let percent = 100.0 * (own / off - 1.0);
            format!("{name} {own:7.3} us ({percent:+5.1}%)")
        });
        let cells: Vec<String> = cells.collect();
        println!("{bytes:>6} bytes, {variant:<9}: {}", cells.join(", "));
    }
    Ok(())
}

/// What the rounds of one launch take on rank 0.
fn launch(config: &Config, bytes: usize, effort: &Effort) -> Result<Vec<Duration>> {
    let outcomes = Communicator::threads_with(config, 2, |comm| {
        let (own, mut into) = (vec![comm.rank() as u8; bytes], vec![9u8; bytes]);
        let mut rounds = Vec::with_capacity(effort.rounds);
        // The first finds cold caches.
        for _ in 0..=effort.rounds {
            comm.barrier()?;
            let start = Instant::now();
            for _ in 0..effort.repetitions {
                if comm.rank() == 0 {
                    comm.send(&own, 1, Tag(0))?;
                    comm.recv(&mut into, 1, Tag(0))?;
                } else {
                    comm.recv(&mut into, 0, Tag(0))?;
                    comm.send(&own, 0, Tag(0))?;
                }
            }
            rounds.push(start.elapsed());
        }
        let peer = 1 - comm.rank() as u8;
        assert!(into.iter().all(|&byte| byte == peer), "what has come");
        rounds.remove(0);
        Ok(rounds)
    })?;
    outcomes.into_iter().next().unwrap_or_else(|| Ok(Vec::new()))
}
