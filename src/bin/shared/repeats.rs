//! How many operations make a sample: clocks and barriers have their errors, beside which one operation may be short.

/// How often a number of operations has to look enough: a sample in which a rank has lost its core passes for one of slow
/// operations.
const ESTIMATES: usize = 3;

/// How many operations make a sample that lasts so many seconds at least, and the seconds of one of them; `sample` gives the
/// seconds of one of so many, the same on all ranks.
pub fn repeats<E>(least: f64, mut sample: impl FnMut(u64) -> Result<f64, E>) -> Result<(u64, f64), E> {
    let (mut repeats, mut fastest) = (1, f64::INFINITY);
    let mut estimates = 0;
    while estimates < ESTIMATES {
        // What else the machine does only makes it slower.
        fastest = sample(repeats)?.min(fastest);
        estimates += 1;
        if let Some(more) = more_repeats(repeats, fastest, least) {
            (repeats, estimates) = (more, 0);
        }
    }
    Ok((repeats, fastest))
}

/// More of them, unless so many are enough, of which one takes so many seconds and all should take the least.
fn more_repeats(repeats: u64, seconds: f64, least: f64) -> Option<u64> {
    let enough = (least / seconds.max(1e-9)).ceil() as u64;
    // An estimate by few of them may be far off.
    (repeats < enough).then(|| enough.min(repeats * 16))
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;

    /// How many fill a 1024th of a second, where operations take so long, but for the samples of these numbers, which take a
    /// hundredth of a second longer.
    fn found(seconds: f64, disturbed: &[usize]) -> u64 {
        let mut number = 0;
        let sample = |repeats: u64| {
            number += 1;
            let lost = if disturbed.contains(&number) { 1e-2 } else { 0.0 };
            Ok::<f64, Infallible>(seconds + lost / repeats as f64)
        };
        let Ok((repeats, _)) = repeats(1.0 / 1024.0, sample);
        repeats
    }

    #[test]
    fn samples_that_are_disturbed_make_no_operation_slow() {
        let short = 1.0 / 1_048_576.0;
        assert_eq!(found(short, &[]), 1024);
        for disturbed in [&[1][..], &[1, 2], &[2], &[3, 4], &[1, 3, 5]] {
            assert_eq!(found(short, disturbed), 1024, "{disturbed:?}");
        }
        assert_eq!(found(1e-2, &[1]), 1);
    }

    #[test]
    fn short_operations_are_repeated_and_slow_ones_make_a_sample_each() {
        let more = |repeats, seconds| more_repeats(repeats, seconds, 1.0);
        assert_eq!(more(1, 5.0), None);
        assert_eq!(more(1, 1.0), None);
        assert_eq!(more(1, 0.25), Some(4));
        assert_eq!(more(1, 1.0 / 1024.0), Some(16));
        assert_eq!(more(256, 1.0 / 1024.0), Some(1024));
        assert_eq!(more(1024, 1.0 / 1024.0), None);
        // A clock that stands still.
        assert_eq!(more(1 << 30, 0.0), None);
        assert_eq!(more_repeats(1, 1e-6, 0.0), None);
    }
}
