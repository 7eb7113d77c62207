//! What many measurements of the same thing say.

use serde::{Deserialize, Serialize};

/// Of samples, in their unit.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    pub minimum: f64,
    pub median: f64,
    /// The 99th percentile.
    pub p99: f64,
    pub maximum: f64,
}

impl Summary {
    /// Of at least one sample, all of them finite; `None` otherwise.
    pub fn of(samples: &[f64]) -> Option<Summary> {
        if samples.is_empty() || samples.iter().any(|sample| !sample.is_finite()) {
            return None;
        }
        let mut sorted = samples.to_vec();
        sorted.sort_by(f64::total_cmp);
        Some(Summary {
            minimum: sorted[0],
            median: quantile(&sorted, 0.5),
            p99: quantile(&sorted, 0.99),
            maximum: sorted[sorted.len() - 1],
        })
    }
}

/// The quantile of samples in order, of which there is at least one, by linear interpolation between the two nearest
/// (Hyndman and Fan, "Sample Quantiles in Statistical Packages", 1996, definition 7).
pub fn quantile(sorted: &[f64], part: f64) -> f64 {
    let position = part.clamp(0.0, 1.0) * (sorted.len() - 1) as f64;
    let below = position.floor() as usize;
    let above = position.ceil() as usize;
    sorted[below] + (sorted[above] - sorted[below]) * (position - below as f64)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Times, some of them equal.
    fn samples() -> impl Strategy<Value = Vec<f64>> {
        let sample = prop_oneof![1e-9..1e3f64, Just(0.0), Just(1e-6), Just(2e-6)];
        prop::collection::vec(sample, 1..200)
    }

    fn of(samples: &[f64]) -> Summary {
        Summary::of(samples).expect("samples that are finite")
    }

    /// Whether they are the same but for what rounding makes of numbers as large as the largest of the samples.
    fn are_near(one: Summary, other: Summary, largest: f64) -> bool {
        let pairs = [
            (one.minimum, other.minimum),
            (one.median, other.median),
            (one.p99, other.p99),
            (one.maximum, other.maximum),
        ];
        pairs
            .iter()
            .all(|(one, other)| (one - other).abs() <= 1e-12 * largest)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn the_order_of_samples_does_not_matter(
            (sorted, shuffled) in samples().prop_flat_map(|samples| (Just(samples.clone()), Just(samples).prop_shuffle()))
        ) {
            prop_assert_eq!(of(&sorted), of(&shuffled));
        }

        #[test]
        fn quantiles_go_up_within_the_samples(samples in samples()) {
            let summary = of(&samples);
            let least = samples.iter().copied().fold(f64::INFINITY, f64::min);
            let most = samples.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            prop_assert_eq!((summary.minimum, summary.maximum), (least, most));
            prop_assert!(summary.minimum <= summary.median);
            prop_assert!(summary.median <= summary.p99);
            prop_assert!(summary.p99 <= summary.maximum);
        }

        #[test]
        fn half_of_the_samples_are_on_each_side_of_the_median(samples in samples()) {
            let median = of(&samples).median;
            let below = samples.iter().filter(|&&sample| sample < median).count();
            let above = samples.iter().filter(|&&sample| sample > median).count();
            prop_assert!(2 * below <= samples.len() && 2 * above <= samples.len());
        }

        #[test]
        fn at_most_one_sample_in_a_hundred_is_above_the_last_percentile(samples in samples()) {
            let p99 = of(&samples).p99;
            let above = samples.iter().filter(|&&sample| sample > p99).count();
            prop_assert!(above <= samples.len() / 100 + 1);
        }

        #[test]
        fn other_units_and_another_start_change_nothing_else(
            samples in samples(),
            scale in 1e-3..1e3f64,
            shift in 0.0..1e3f64,
        ) {
            let moved: Vec<f64> = samples.iter().map(|sample| sample * scale + shift).collect();
            let summary = of(&samples);
            let expected = Summary {
                minimum: summary.minimum * scale + shift,
                median: summary.median * scale + shift,
                p99: summary.p99 * scale + shift,
                maximum: summary.maximum * scale + shift,
            };
            prop_assert!(are_near(of(&moved), expected, 1.0 + summary.maximum * scale + shift));
        }

        #[test]
        fn equal_samples_are_their_own_summary(sample in 0.0..1e3f64, number in 1usize..200) {
            let all = vec![sample; number];
            let same = Summary { minimum: sample, median: sample, p99: sample, maximum: sample };
            prop_assert_eq!(of(&all), same);
        }

        #[test]
        fn samples_that_are_there_twice_move_the_median_between_its_neighbours(samples in samples()) {
            let twice = [&samples[..], &samples[..]].concat();
            let mut sorted = samples.clone();
            sorted.sort_by(f64::total_cmp);
            let middle = (sorted.len() - 1) / 2;
            let median = of(&twice).median;
            let above = sorted[(middle + 1).min(sorted.len() - 1)];
            prop_assert!((sorted[middle]..=above).contains(&median));
        }

        #[test]
        fn a_larger_part_has_no_smaller_quantile(samples in samples(), one in -0.5..1.5f64, other in -0.5..1.5f64) {
            let mut sorted = samples;
            sorted.sort_by(f64::total_cmp);
            let (low, high) = (one.min(other), one.max(other));
            prop_assert!(quantile(&sorted, low) <= quantile(&sorted, high));
            prop_assert_eq!(quantile(&sorted, 0.0), sorted[0]);
            prop_assert_eq!(quantile(&sorted, 1.0), sorted[sorted.len() - 1]);
        }
    }

    #[test]
    fn quantiles_are_those_of_the_seventh_definition() {
        // As `numpy.quantile` has them.
        let sorted = [1.0, 2.0, 4.0, 8.0];
        assert_eq!(quantile(&sorted, 0.5), 3.0);
        assert_eq!(quantile(&sorted, 0.25), 1.75);
        assert!((quantile(&sorted, 0.99) - 7.88).abs() < 1e-12);
        assert_eq!(Summary::of(&[7.0]).map(|summary| summary.p99), Some(7.0));
    }

    #[test]
    fn what_is_no_number_has_no_summary() {
        for samples in [&[][..], &[f64::NAN], &[1.0, f64::INFINITY]] {
            assert_eq!(Summary::of(samples), None);
        }
    }
}
