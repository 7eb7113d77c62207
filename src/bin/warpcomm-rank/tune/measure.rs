//! How long the algorithms of an operation take.

use std::time::{Duration, Instant};

use warpcomm::{Communicator, Op};

use super::buffers::{Buffers, Memory};
use crate::Failure;

/// A round repeats an operation until it lasts about so long, because clocks and barriers have their errors.
const ROUND: Duration = Duration::from_millis(1);

/// The rounds of one length and algorithm together last about so long at most, as far as there are enough of them.
const ALL_ROUNDS: Duration = Duration::from_secs(2);

/// The median of fewer rounds would say nothing.
const LEAST_ROUNDS: usize = 3;

/// What is measured.
pub struct Case<'a> {
    pub operation: &'static str,
    pub memory: Memory,
    /// In bytes, going up.
    pub sizes: &'a [usize],
    /// Most rounds.
    pub rounds: usize,
}

/// The microseconds of each candidate, for each length: of the slowest rank, the median of the rounds.
///
/// The candidates take turns, so that what else the machine does befalls all of them.
pub fn times(
    comm: &Communicator,
    case: &Case<'_>,
    candidates: &[Communicator],
) -> Result<Vec<Vec<f64>>, Failure> {
    let mut times = Vec::new();
    for &bytes in case.sizes {
        let mut buffers = Buffers::new(comm, case.memory, bytes)?;
        let mut slowest = 0.0f64;
        for candidate in candidates {
            // The first makes what later ones use again.
            round(candidate, case, &mut buffers, 1)?;
            slowest = slowest.max(round(candidate, case, &mut buffers, 1)?);
        }
        let (rounds, repeats) = effort(slowest, case.rounds);
        let mut of_candidates = vec![Vec::new(); candidates.len()];
        for _ in 0..rounds {
            for (candidate, times) in candidates.iter().zip(&mut of_candidates) {
                times.push(round(candidate, case, &mut buffers, repeats)?);
            }
        }
        times.push(
            of_candidates
                .into_iter()
                .map(|times| 1e6 * median(times))
                .collect(),
        );
    }
    Ok(times)
}

/// The seconds of one operation on the slowest rank: the same number on all ranks.
fn round(
    comm: &Communicator,
    case: &Case<'_>,
    buffers: &mut Buffers,
    repeats: usize,
) -> Result<f64, Failure> {
    comm.barrier()?;
    let start = Instant::now();
    for _ in 0..repeats {
        buffers.run(comm, case.operation)?;
    }
    let mut seconds = start.elapsed().as_secs_f64() / repeats as f64;
    comm.allreduce_in_place(&mut seconds, Op::Max)?;
    Ok(seconds)
}

/// How many rounds of how many operations, of which the slowest takes so many seconds.
fn effort(seconds: f64, most_rounds: usize) -> (usize, usize) {
    let times = |whole: Duration, part: f64| (whole.as_secs_f64() / part.max(1e-9)) as usize;
    let repeats = times(ROUND, seconds).clamp(1, 1000);
    let rounds = times(ALL_ROUNDS, seconds * repeats as f64);
    (rounds.max(LEAST_ROUNDS).min(most_rounds.max(1)), repeats)
}

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    let middle = times.len() / 2;
    match times.len() % 2 {
        0 if middle > 0 => (times[middle - 1] + times[middle]) / 2.0,
        _ => times.get(middle).copied().unwrap_or(f64::INFINITY),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fast_operations_are_repeated_and_slow_ones_have_fewer_rounds() {
        assert_eq!(effort(1e-6, 20), (20, 1000));
        assert_eq!(effort(1e-5, 20), (20, 100));
        assert_eq!(effort(0.2, 20), (10, 1));
        assert_eq!(effort(5.0, 20), (3, 1));
        assert_eq!(effort(5.0, 1), (1, 1));
        assert_eq!(effort(0.0, 0), (1, 1000));
    }

    #[test]
    fn one_slow_round_does_not_count() {
        assert_eq!(median(vec![2.0, 100.0, 1.0]), 2.0);
        assert_eq!(median(vec![4.0, 1.0, 100.0, 2.0]), 3.0);
        assert_eq!(median(vec![7.0]), 7.0);
    }
}
