//! What the lanes of a warp do together, once all of them are there.

use super::thread::Thread;
use crate::ptx::Fault;
use crate::ptx::program::{Collect, Collective, Shuffle};

/// Computes a collective for the lanes of `active`, which are all there; `threads` are those of the warp.
pub fn perform(
    threads: &mut [Thread],
    collectives: &[(usize, &Collective)],
    active: u32,
) -> Result<(), (usize, Fault)> {
    let what = collectives[0].1.what;
    let mut a = [0; 32];
    for &(lane, collective) in collectives {
        a[lane] = *threads[lane].register(collective.a);
    }
    let lanes = || collectives.iter().map(|&(lane, _)| lane);
    let first = a[collectives[0].0];
    let same = lanes().all(|lane| a[lane] == first);
    let ballot = lanes()
        .filter(|&lane| a[lane] != 0)
        .fold(0u32, |mask, lane| mask | 1 << lane);
    let folded = match what {
        Collect::Reduce(f) => lanes()
            .map(|lane| a[lane])
            .reduce(|left, right| f(left, right, 0)),
        _ => None,
    };
    for &(lane, collective) in collectives {
        let thread = &mut threads[lane];
        let (value, predicate) = match what {
            Collect::Sync => continue,
            Collect::ActiveMask => (active.into(), false),
            Collect::All => (u64::from(ballot == active), false),
            Collect::Any => (u64::from(ballot != 0), false),
            Collect::Uniform => (u64::from(same), false),
            Collect::Ballot => (ballot.into(), false),
            Collect::MatchAny => {
                let equal = lanes().filter(|&other| a[other] == a[lane]);
                (equal.fold(0, |mask, other| mask | 1 << other), false)
            }
            Collect::MatchAll => (if same { active.into() } else { 0 }, same),
            Collect::Reduce(_) => (folded.unwrap_or_default(), false),
            Collect::Elect => (
                active.trailing_zeros().into(),
                lane == active.trailing_zeros() as usize,
            ),
            Collect::Shuffle(mode) => {
                let (b, c) = (*thread.register(collective.b), *thread.register(collective.c));
                let (source, in_range) = shuffle_source(mode, lane as u32, b as u32, c as u32);
                if active >> source & 1 == 0 {
                    let what = format!("lane {lane} shuffles from lane {source}, which is not there");
                    return Err((lane, Fault::Illegal(what)));
                }
                (a[source as usize], in_range)
            }
        };
        *thread.register(collective.d) = value;
        *thread.register(collective.p) = predicate.into();
    }
    Ok(())
}

/// The lane that a lane reads from, and whether that is the one it asked for.
fn shuffle_source(mode: Shuffle, lane: u32, b: u32, c: u32) -> (u32, bool) {
    let (b, clamp, segment) = (b & 31, c & 31, c >> 8 & 31);
    let first = lane & segment;
    let last = first | clamp & !segment;
    let (source, in_range) = match mode {
        Shuffle::Up => (lane.wrapping_sub(b), lane as i32 - b as i32 >= last as i32),
        Shuffle::Down => (lane + b, lane + b <= last),
        Shuffle::Butterfly => (lane ^ b, (lane ^ b) <= last),
        Shuffle::Index => (first | b & !segment, (first | b & !segment) <= last),
    };
    if in_range { (source, true) } else { (lane, false) }
}
