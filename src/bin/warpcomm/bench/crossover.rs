//! From which length on something is faster than something else, and stays so.

use std::fmt;

/// Where a series becomes faster than the baseline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Crossover {
    /// It is faster at all lengths that both have.
    Always,
    /// It is faster from this length in bytes on, and not at the one before.
    From(u64),
    /// It is not faster at the greatest length.
    Never,
    /// No length has both.
    Unknown,
}

/// Compares the times of two series, each a length in bytes and a time, going up in length.
pub fn crossover(baseline: &[(u64, f64)], series: &[(u64, f64)]) -> Crossover {
    let time_of_baseline = |bytes: u64| baseline.iter().find(|(other, _)| *other == bytes);
    let is_faster: Vec<(u64, bool)> = series
        .iter()
        .filter_map(|&(bytes, seconds)| Some((bytes, seconds < time_of_baseline(bytes)?.1)))
        .collect();
    if is_faster.is_empty() {
        return Crossover::Unknown;
    }
    // As far as it is faster, seen from the greatest length.
    let faster = is_faster
        .iter()
        .rev()
        .take_while(|(_, is_faster)| *is_faster)
        .count();
    match is_faster.len() - faster {
        0 => Crossover::Always,
        slower if faster > 0 => Crossover::From(is_faster[slower].0),
        _ => Crossover::Never,
    }
}

impl fmt::Display for Crossover {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Crossover::Always => f.write_str("faster at all lengths"),
            Crossover::From(bytes) => write!(f, "faster from {bytes} bytes on"),
            Crossover::Never => f.write_str("not faster at the greatest length"),
            Crossover::Unknown => f.write_str("no length in common"),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Lengths in bytes and times.
    type Times = Vec<(u64, f64)>;

    /// Lengths that go up, with times of the baseline and the series.
    fn measured() -> impl Strategy<Value = Vec<(f64, f64)>> {
        prop::collection::vec((1e-7..1e-3f64, 1e-7..1e-3f64), 1..12)
    }

    fn at_lengths(times: impl Iterator<Item = f64>) -> Times {
        times.enumerate().map(|(at, time)| (8 << at, time)).collect()
    }

    fn split(times: &[(f64, f64)]) -> (Times, Times) {
        (
            at_lengths(times.iter().map(|(baseline, _)| *baseline)),
            at_lengths(times.iter().map(|(_, series)| *series)),
        )
    }

    #[test]
    fn it_is_where_the_series_stays_faster() {
        let baseline = [(8, 1.0), (16, 1.0), (32, 1.0), (64, 1.0)];
        let of = |times: [f64; 4]| {
            crossover(
                &baseline,
                &[(8, times[0]), (16, times[1]), (32, times[2]), (64, times[3])],
            )
        };
        assert_eq!(of([0.5; 4]), Crossover::Always);
        assert_eq!(of([0.5, 2.0, 0.5, 0.5]), Crossover::From(32));
        assert_eq!(of([2.0, 2.0, 2.0, 0.5]), Crossover::From(64));
        assert_eq!(of([0.5, 0.5, 0.5, 1.0]), Crossover::Never);
        assert_eq!(crossover(&baseline, &[(7, 0.1), (32, 0.5)]), Crossover::Always);
        assert_eq!(crossover(&baseline, &[(7, 0.1)]), Crossover::Unknown);
        assert_eq!(crossover(&[], &[]), Crossover::Unknown);
    }

    proptest! {
        #[test]
        fn from_there_on_it_is_faster_and_not_just_before(times in measured()) {
            let (baseline, series) = split(&times);
            let is_faster = |at: usize| times[at].1 < times[at].0;
            let first = match crossover(&baseline, &series) {
                Crossover::Always => 0,
                Crossover::From(bytes) => series.iter().position(|(other, _)| *other == bytes).unwrap(),
                Crossover::Never => times.len(),
                Crossover::Unknown => unreachable!("they have the same lengths"),
            };
            prop_assert!((first..times.len()).all(is_faster));
            prop_assert!(first == 0 || !is_faster(first - 1));
        }

        #[test]
        fn units_do_not_matter(times in measured(), power in -8..8i32) {
            let (baseline, series) = split(&times);
            // A power of two, so that no product is rounded.
            let scaled = |times: &[(u64, f64)]| -> Times {
                times.iter().map(|&(bytes, time)| (bytes, time * 2f64.powi(power))).collect()
            };
            prop_assert_eq!(crossover(&baseline, &series), crossover(&scaled(&baseline), &scaled(&series)));
        }

        #[test]
        fn nothing_is_faster_than_itself(times in measured()) {
            let (baseline, _) = split(&times);
            prop_assert_eq!(crossover(&baseline, &baseline), Crossover::Never);
        }
    }
}
