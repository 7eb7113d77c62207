//! The rounds in which two loops that do the same are timed.

use std::time::{Duration, Instant};

use crate::Failure;
use crate::raw;
use crate::row::Times;

/// The same operation in raw MPI and in warpcomm, on the same buffers.
pub trait Contest {
    /// How long the messages or vectors are.
    fn bytes(&self) -> usize;

    /// How many of the operations that are reported one repetition holds, one after the other.
    fn operations_per_repetition(&self) -> u32;

    /// Runs both once with contents that they have not seen; an error says what did not arrive as it should.
    fn check(&mut self, seed: usize) -> Result<(), Failure>;

    /// The loop in raw MPI.
    fn raw(&mut self, repetitions: u32) -> Result<(), Failure>;

    /// The loop in warpcomm.
    fn ours(&mut self, repetitions: u32) -> Result<(), Failure>;
}

/// How much time is spent for figures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effort {
    /// None: there are no figures.
    Check,
    /// A few seconds.
    Quick,
    /// As long as it takes.
    Full,
}

impl Effort {
    /// How this program is told.
    pub fn flag(self) -> &'static str {
        match self {
            Effort::Check => "--test",
            Effort::Quick => "--quick",
            Effort::Full => "--full",
        }
    }
}

/// How many rounds there are, and how long they are.
#[derive(Clone, Copy, Debug)]
struct Plan {
    /// How often an operation is repeated in a round.
    repetitions: u32,
    /// The most rounds.
    rounds: usize,
    /// The rounds that are run though the time is over.
    fewest_rounds: usize,
    /// When no further round is started.
    time: Duration,
}

impl Plan {
    /// Rounds are short, some milliseconds at most on an idle machine, so that many of them are disturbed by
    /// nobody.
    fn new(effort: Effort, bytes: usize) -> Plan {
        let (repetitions, rounds) = match bytes {
            0..=512 => (500, 400),
            513..=16_384 => (200, 400),
            16_385..=262_144 => (50, 300),
            262_145..=4_194_304 => (10, 200),
            _ => (2, 60),
        };
        match effort {
            Effort::Check => Plan {
                repetitions: 1,
                rounds: 1,
                fewest_rounds: 1,
                time: Duration::ZERO,
            },
            Effort::Quick => Plan {
                repetitions: (repetitions / 5).max(2),
                rounds: 50,
                fewest_rounds: 3,
                time: Duration::from_millis(250),
            },
            Effort::Full => Plan {
                repetitions,
                rounds,
                fewest_rounds: 15,
                time: Duration::from_secs(6),
            },
        }
    }
}

/// What the rounds gave.
pub struct Outcome {
    /// One operation in raw MPI.
    pub raw: Times,
    /// One operation in warpcomm.
    pub ours: Times,
    /// How many rounds were run.
    pub rounds: usize,
    /// How many repetitions each had.
    pub repetitions: u32,
}

/// Checks both loops, then times them in turn. All ranks call it together, and get the same outcome.
pub fn run(contest: &mut dyn Contest, effort: Effort) -> Result<Outcome, Failure> {
    for seed in 0..3 {
        contest.check(seed)?;
    }
    let plan = Plan::new(effort, contest.bytes());
    // The first round finds cold caches and unpinned pages.
    let [_, _, mut spent] = round(contest, plan.repetitions, true, Instant::now())?;
    let start = Instant::now();
    let (mut raw, mut ours) = (Vec::new(), Vec::new());
    while raw.len() < plan.rounds && (raw.len() < plan.fewest_rounds || spent < plan.time) {
        // Who comes first may find the caches otherwise.
        let raw_first = raw.len() % 2 == 0;
        let [raw_time, ours_time, elapsed] = round(contest, plan.repetitions, raw_first, start)?;
        let operations = f64::from(plan.repetitions * contest.operations_per_repetition());
        raw.push(raw_time.as_secs_f64() * 1e9 / operations);
        ours.push(ours_time.as_secs_f64() * 1e9 / operations);
        spent = elapsed;
    }
    Ok(Outcome {
        rounds: raw.len(),
        raw: Times::of(raw),
        ours: Times::of(ours),
        repetitions: plan.repetitions,
    })
}

/// How long the raw loop and ours took, and how long it is since `start`: on the slower rank, so that all ranks
/// know the same and go on or stop together.
fn round(
    contest: &mut dyn Contest,
    repetitions: u32,
    raw_first: bool,
    start: Instant,
) -> Result<[Duration; 3], Failure> {
    let mut times = [Duration::ZERO; 2];
    for raw_now in [raw_first, !raw_first] {
        raw::barrier()?;
        let start = Instant::now();
        match raw_now {
            true => contest.raw(repetitions)?,
            false => contest.ours(repetitions)?,
        }
        times[usize::from(!raw_now)] = start.elapsed();
    }
    let [raw, ours] = times;
    Ok(raw::longest([raw, ours, start.elapsed()])?)
}
