//! Launches with and without a trace in turn, and what they are compared by.

use std::path::PathBuf;
use std::time::Duration;

use crate::Failure;
use crate::messages::{Effort, SIZES};
use crate::written;

/// What is compared, in turn; with a trace is the second.
const VARIANTS: [&str; 3] = ["off", "on", "off again"];
const ON: usize = 1;

/// What a message takes in one launch, in microseconds.
#[derive(Clone, Copy)]
struct Taken {
    minimum: f64,
    median: f64,
    /// In which what writes counts too: two ranks leave it no core where there are only two.
    mean: f64,
}

/// What each variant takes in each turn, for messages of each length.
pub struct Figures(Vec<[Vec<Taken>; VARIANTS.len()]>);

/// Launches each variant so many times. `launch` gives what the rounds with messages of each length take.
pub fn take_turns(
    turns: usize,
    effort: Effort,
    mut launch: impl FnMut(Option<PathBuf>) -> Result<Vec<Vec<Duration>>, Failure>,
) -> Result<Figures, Failure> {
    let directory = tempfile::tempdir()?;
    let mut figures: Vec<[Vec<Taken>; VARIANTS.len()]> = SIZES.map(|_| Default::default()).into();
    for turn in 0..turns {
        for variant in 0..VARIANTS.len() {
            // Another one each time: what was written before would be counted again.
            let trace = (variant == ON).then(|| directory.path().join(format!("{turn}-%r.json")));
            let taken = launch(trace)?;
            if variant == ON {
                for rank in 0..2 {
                    let file = directory.path().join(format!("{turn}-{rank}.json"));
                    written::check(&file, effort.messages())?;
                }
            }
            for ((own, bytes), rounds) in figures.iter_mut().zip(SIZES).zip(taken) {
                own[variant].push(Taken::new(rounds, 2 * effort.repetitions(bytes)));
            }
        }
    }
    Ok(Figures(figures))
}

impl Taken {
    fn new(mut rounds: Vec<Duration>, messages: u32) -> Taken {
        rounds.sort();
        let microseconds = |time: Duration| time.as_secs_f64() * 1e6 / f64::from(messages);
        Taken {
            minimum: microseconds(rounds[0]),
            median: microseconds(rounds[rounds.len() / 2]),
            mean: microseconds(rounds.iter().sum::<Duration>() / rounds.len() as u32),
        }
    }
}

impl Figures {
    /// Prints them, or only that all was there.
    pub fn tell(&self, ranks: &str, is_measured: bool) {
        if !is_measured {
            return println!("traces: ranks that are {ranks} write down all their messages");
        }
        println!("ranks that are {ranks}");
        for (bytes, launches) in SIZES.into_iter().zip(&self.0) {
            for (variant, own) in VARIANTS.into_iter().zip(launches) {
                let off = &launches[0];
                let cells = [
                    cell("minimum", least(own), least(own) / least(off)),
                    compared("median", own, off, |taken| taken.median),
                    compared("mean", own, off, |taken| taken.mean),
                ];
                println!("{bytes:>6} bytes, {variant:<9}: {}", cells.join(", "));
            }
        }
    }
}

/// The minimum over all launches.
fn least(launches: &[Taken]) -> f64 {
    launches
        .iter()
        .fold(f64::INFINITY, |least, taken| least.min(taken.minimum))
}

/// The median over the launches, and that of the ratios to the launches of the same turn without a trace: what the
/// machine does changes from turn to turn.
fn compared(name: &str, own: &[Taken], off: &[Taken], figure: impl Fn(&Taken) -> f64) -> String {
    let ratios = own.iter().zip(off).map(|(own, off)| figure(own) / figure(off));
    cell(name, median(own.iter().map(&figure)), median(ratios))
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn cell(name: &str, microseconds: f64, ratio: f64) -> String {
    format!("{name} {microseconds:7.3} us ({:+5.1}%)", 100.0 * (ratio - 1.0))
}
