//! How long the algorithms of an operation take.

use std::time::{Duration, Instant};

use warpcomm::{Communicator, Op};

use super::buffers::{Buffers, Memory};
use crate::Failure;
use crate::repeats::repeats;

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
        let (mut of_candidates, mut longest) = (Vec::new(), 0.0f64);
        for candidate in candidates {
            // The first makes what later ones use again.
            round(candidate, case, &mut buffers, 1)?;
            let sample = |repeats| round(candidate, case, &mut buffers, repeats);
            let (repeats, seconds) = repeats(ROUND.as_secs_f64(), sample)?;
            longest = longest.max(seconds * repeats as f64);
            of_candidates.push((candidate, repeats, Vec::new()));
        }
        for _ in 0..rounds(longest, case.rounds) {
            for (candidate, repeats, times) in &mut of_candidates {
                times.push(round(candidate, case, &mut buffers, *repeats)?);
            }
        }
        times.push(
            of_candidates
                .into_iter()
                .map(|(_, _, times)| 1e6 * median(times))
                .collect(),
        );
    }
    Ok(times)
}

/// The seconds of one operation on the slowest rank: the same number on all ranks.
fn round(comm: &Communicator, case: &Case<'_>, buffers: &mut Buffers, repeats: u64) -> Result<f64, Failure> {
    comm.barrier()?;
    let start = Instant::now();
    for _ in 0..repeats {
        buffers.run(comm, case.operation)?;
    }
    let mut seconds = start.elapsed().as_secs_f64() / repeats as f64;
    comm.allreduce_in_place(&mut seconds, Op::Max)?;
    Ok(seconds)
}

/// How many rounds there are, of which the longest takes so many seconds.
fn rounds(seconds: f64, most: usize) -> usize {
    let rounds = (ALL_ROUNDS.as_secs_f64() / seconds.max(1e-9)) as usize;
    rounds.max(LEAST_ROUNDS).min(most.max(1))
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
    fn slow_operations_have_fewer_rounds() {
        assert_eq!(rounds(1e-3, 20), 20);
        assert_eq!(rounds(0.2, 20), 10);
        assert_eq!(rounds(5.0, 20), 3);
        assert_eq!(rounds(5.0, 1), 1);
        assert_eq!(rounds(0.0, 0), 1);
    }

    #[test]
    fn one_slow_round_does_not_count() {
        assert_eq!(median(vec![2.0, 100.0, 1.0]), 2.0);
        assert_eq!(median(vec![4.0, 1.0, 100.0, 2.0]), 3.0);
        assert_eq!(median(vec![7.0]), 7.0);
    }
}
