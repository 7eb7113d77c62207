//! How long operations of several ranks take.

use std::time::{Duration, Instant};

use warpcomm::{Communicator, Op};

use crate::Failure;
use crate::contest::Effort;
use crate::repeats::repeats;
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
    let [times] = in_turn(comm, effort, |_| call())?;
    Ok(Times {
        minimum_ns: times.minimum_ns / operations,
        median_ns: times.median_ns / operations,
    })
}

/// The times of several calls that take turns, so that what else the machine does befalls all of them; `call` gets the
/// number of one.
pub fn in_turn<const N: usize>(
    comm: &Communicator,
    effort: Effort,
    mut call: impl FnMut(usize) -> Result<(), Failure>,
) -> Result<[Times; N], Failure> {
    let all = match effort {
        Effort::Check => Duration::ZERO,
        Effort::Quick => Duration::from_millis(100),
        Effort::Full => Duration::from_secs(1),
    };
    let mut each = [1; N];
    let mut once = 0.0;
    for (number, each) in each.iter_mut().enumerate() {
        // The first makes what later ones use again.
        round(comm, 1, &mut || call(number))?;
        if effort == Effort::Check {
            continue;
        }
        let sample = |repeats| round(comm, repeats, &mut || call(number));
        let (repeats, seconds) = repeats(ROUND.as_secs_f64(), sample)?;
        *each = repeats;
        once += seconds * repeats as f64;
    }
    if effort == Effort::Check {
        return Ok([(); N].map(|()| Times::of(vec![1.0])));
    }
    let rounds = ((all.as_secs_f64() / once.max(1e-9)) as usize).clamp(LEAST_ROUNDS, MOST_ROUNDS);
    let mut times = [(); N].map(|()| Vec::with_capacity(rounds));
    for _ in 0..rounds {
        for (number, times) in times.iter_mut().enumerate() {
            times.push(round(comm, each[number], &mut || call(number))? * 1e9);
        }
    }
    Ok(times.map(Times::of))
}

/// The seconds of one call on the slowest rank.
fn round(
    comm: &Communicator,
    repeats: u64,
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
