//! Axes: where a value is, and what is written beside them.

use crate::units;

/// An axis on which each factor has the same length.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Logarithmic {
    low: f64,
    high: f64,
    from: f64,
    to: f64,
}

/// A line of the grid, and what is written beside it; nothing where there is no room.
#[derive(Clone, Debug, PartialEq)]
pub struct Tick {
    pub at: f64,
    pub label: Option<String>,
}

impl Logarithmic {
    /// An axis for positive values, from one place to another; with some room around a single one.
    pub fn new(values: impl Iterator<Item = f64>, from: f64, to: f64) -> Logarithmic {
        let (low, high) = values
            .filter(|value| *value > 0.0 && value.is_finite())
            .fold((f64::MAX, 0.0_f64), |(low, high), value| {
                (low.min(value), high.max(value))
            });
        let (low, high) = if low > high { (1.0, 10.0) } else { (low, high) };
        let room = if high / low < 1.5 {
            1.5
        } else {
            (high / low).powf(0.03)
        };
        Logarithmic {
            low: low / room,
            high: high * room,
            from,
            to,
        }
    }

    /// Where a value is.
    pub fn place(&self, value: f64) -> f64 {
        let part = (value / self.low).ln() / (self.high / self.low).ln();
        self.from + part * (self.to - self.from)
    }

    /// Powers of two, written as numbers of bytes, some `apart` from each other at least.
    pub fn bytes(&self, apart: f64) -> Vec<Tick> {
        let (first, last) = (self.low.log2().ceil() as i32, self.high.log2().floor() as i32);
        let doubling = (self.place(2.0) - self.place(1.0)).abs();
        let step = (apart / doubling).ceil().max(1.0) as usize;
        (first.max(0)..=last)
            .filter(|power| (*power as usize).is_multiple_of(step))
            .map(|power| Tick {
                at: self.place(f64::from(power).exp2()),
                label: Some(units::bytes(1 << power)),
            })
            .collect()
    }

    /// Powers of ten, and 2 and 5 times them where these are few, with labels some `apart` from each other at least.
    pub fn decades(&self, apart: f64, label: impl Fn(f64) -> String) -> Vec<Tick> {
        let (first, last) = (self.low.log10().floor() as i32, self.high.log10().ceil() as i32);
        let is_short = self.high / self.low < 1000.0;
        let mut last_label: Option<f64> = None;
        let mut ticks = Vec::new();
        for power in first..=last {
            for factor in [1, 2, 5] {
                let value = f64::from(factor) * 10_f64.powi(power);
                if value < self.low || value > self.high || (factor > 1 && !is_short) {
                    continue;
                }
                let at = self.place(value);
                let has_room = last_label.is_none_or(|last| (at - last).abs() >= apart);
                if has_room {
                    last_label = Some(at);
                }
                ticks.push(Tick {
                    at,
                    label: has_room.then(|| label(value)),
                });
            }
        }
        ticks
    }
}

/// Steps of 1, 2 or 5 times a power of ten from 0 to a value, at most so many.
pub fn steps(last: f64, most: usize) -> Vec<f64> {
    if last <= 0.0 || !last.is_finite() {
        return vec![0.0];
    }
    let least = last / most as f64;
    let power = 10_f64.powf(least.log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0]
        .into_iter()
        .map(|factor| factor * power)
        .find(|step| *step >= least * 0.999_999)
        .unwrap_or(power * 10.0);
    (0..=(last / step * 1.000_001) as usize)
        .map(|number| number as f64 * step)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_factors_have_equal_lengths() {
        let axis = Logarithmic::new([1.0, 1e6].into_iter(), 100.0, 700.0);
        let step = axis.place(10.0) - axis.place(1.0);
        assert!(axis.place(1.0) > 100.0 && axis.place(1e6) < 700.0);
        assert!((axis.place(1e4) - axis.place(1e3) - step).abs() < 1e-9);
    }

    #[test]
    fn labels_of_bytes_are_whole_and_apart() {
        let axis = Logarithmic::new([8.0, 268_435_456.0].into_iter(), 0.0, 600.0);
        let ticks = axis.bytes(60.0);
        let labels: Vec<&str> = ticks.iter().filter_map(|tick| tick.label.as_deref()).collect();
        assert_eq!(labels[0], "8 B");
        assert!(labels.contains(&"32 KiB"), "{labels:?}");
        assert!(ticks.windows(2).all(|pair| pair[1].at - pair[0].at >= 60.0));
    }

    #[test]
    fn an_axis_of_one_value_or_none_has_room() {
        for values in [&[5.0][..], &[], &[0.0, -1.0, f64::NAN]] {
            let axis = Logarithmic::new(values.iter().copied(), 0.0, 100.0);
            assert!(axis.place(5.0).is_finite());
            assert!(
                !axis.decades(10.0, |value| value.to_string()).is_empty(),
                "{values:?}"
            );
        }
    }

    #[test]
    fn steps_are_round_and_not_too_many() {
        assert_eq!(steps(10.0, 5), [0.0, 2.0, 4.0, 6.0, 8.0, 10.0]);
        assert_eq!(steps(0.0, 5), [0.0]);
        for last in [1e-9, 0.37, 5.0, 99.0, 1e7] {
            let steps = steps(last, 8);
            assert!((2..=9).contains(&steps.len()), "{last}: {steps:?}");
        }
    }
}
