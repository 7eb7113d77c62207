//! How long operations of several ranks take.

use std::time::{Duration, Instant};

use warpcomm::{Communicator, Op};

use crate::Failure;
use crate::contest::Effort;
use crate::row::Times;

/// A round lasts about so long at least, because clocks and barriers have their errors.
const ROUND: Duration = Duration::from_millis(1);

/// The most rounds of one operation.
const MOST_ROUNDS: usize = 50;

/// The median of fewer would say nothing.
const LEAST_ROUNDS: usize = 5;

/// The times of an operation on the slowest rank, in many rounds; each call does as many operations as `operations`.
/// All ranks get the same.
pub fn times(
    comm: &Communicator,
    effort: Effort,
    operations: f64,
    mut call: impl FnMut() -> Result<(), Failure>,
) -> Result<Times, Failure> {
    // The first makes what later ones use again.
    round(comm, 1, &mut call)?;
    let all = match effort {
        Effort::Check => return Ok(Times::of(vec![1.0])),
        Effort::Quick => Duration::from_millis(100),
        Effort::Full => Duration::from_secs(1),
    };
    let once = round(comm, 1, &mut call)?.max(1e-9);
    let repeats = ((ROUND.as_secs_f64() / once) as usize).clamp(1, 1000);
    let rounds = (all.as_secs_f64() / (once * repeats as f64)) as usize;
    let times = (0..rounds.clamp(LEAST_ROUNDS, MOST_ROUNDS))
        .map(|_| Ok(round(comm, repeats, &mut call)? * 1e9 / operations))
        .collect::<Result<_, Failure>>()?;
    Ok(Times::of(times))
}

/// The seconds of one call on the slowest rank.
fn round(
    comm: &Communicator,
    repeats: usize,
    call: &mut impl FnMut() -> Result<(), Failure>,
) -> Result<f64, Failure> {
    comm.barrier()?;
    let start = Instant::now();
    for _ in 0..repeats {
        call()?;
    }
    let mut seconds = start.elapsed().as_secs_f64() / repeats as f64;
    comm.allreduce_in_place(&mut seconds, Op::Max)?;
    Ok(seconds)
}
