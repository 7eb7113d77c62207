//! From which length on something is faster than something else, and stays so.

use std::fmt;

/// Where a series becomes faster than the baseline.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Crossover {
    /// It is faster at all lengths.
    AlwaysFaster,
    /// It is faster at all lengths from about so many bytes on.
    FasterFrom(f64),
    /// It is faster at all lengths below about so many bytes, and at no other.
    FasterBelow(f64),
    /// It is faster at some lengths, and not at the greatest.
    NotAtTheGreatest,
    /// It is faster at no length.
    NeverFaster,
}

/// Compares by ratios at lengths in bytes, which go up: how many times as fast as the baseline the series is. `None` without any.
pub fn crossover(ratios: &[(u64, f64)]) -> Option<Crossover> {
    let is_faster = |(_, ratio): &(u64, f64)| *ratio > 1.0;
    let at_last = is_faster(ratios.last()?);
    // The last change, since noise makes ways that are as fast change places often.
    let Some(before) = ratios.iter().rposition(|ratio| is_faster(ratio) != at_last) else {
        return Some(match at_last {
            true => Crossover::AlwaysFaster,
            false => Crossover::NeverFaster,
        });
    };
    let bytes = crossing(ratios[before], ratios[before + 1]);
    Some(match at_last {
        true => Crossover::FasterFrom(bytes),
        false if ratios[..=before].iter().all(is_faster) => Crossover::FasterBelow(bytes),
        false => Crossover::NotAtTheGreatest,
    })
}

/// Where lines through two ratios cross that of the baseline, as they are drawn: with logarithmic axes.
fn crossing(low: (u64, f64), high: (u64, f64)) -> f64 {
    let part = low.1.ln() / (low.1.ln() - high.1.ln());
    let from = (low.0.max(1) as f64).ln();
    (from + part * ((high.0 as f64).ln() - from)).exp()
}

impl Crossover {
    /// Where it is, if anywhere.
    pub fn bytes(self) -> Option<f64> {
        match self {
            Crossover::FasterFrom(bytes) | Crossover::FasterBelow(bytes) => Some(bytes),
            Crossover::AlwaysFaster | Crossover::NotAtTheGreatest | Crossover::NeverFaster => None,
        }
    }
}

impl fmt::Display for Crossover {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Crossover::AlwaysFaster => f.write_str("faster at all lengths"),
            Crossover::FasterFrom(bytes) => write!(f, "faster from about {} on", about(*bytes)),
            Crossover::FasterBelow(bytes) => write!(f, "faster below about {}", about(*bytes)),
            Crossover::NotAtTheGreatest => f.write_str("not faster at the greatest length"),
            Crossover::NeverFaster => f.write_str("at no length faster"),
        }
    }
}

/// A length to two digits.
pub fn about(bytes: f64) -> String {
    let units = [(1_u64 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB"), (1, "B")];
    let fits = |(size, _): &&(u64, &str)| bytes >= *size as f64;
    let (size, unit) = units.iter().find(fits).unwrap_or(&(1, "B"));
    let number = bytes / *size as f64;
    match number < 9.95 {
        true => format!("{number:.1} {unit}"),
        false => format!("{number:.0} {unit}"),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Ratios at lengths that go up.
    fn measured() -> impl Strategy<Value = Vec<(u64, f64)>> {
        let ratios = prop::collection::vec(0.01..100f64, 1..12);
        ratios.prop_map(|ratios| {
            (3..)
                .zip(ratios)
                .map(|(power, ratio)| (1 << power, ratio))
                .collect()
        })
    }

    #[test]
    fn the_last_change_is_where_lines_cross() {
        let noisy = [(8, 1.1), (64, 0.5), (1024, 0.5), (4096, 2.0), (65536, 4.0)];
        let Some(Crossover::FasterFrom(bytes)) = crossover(&noisy) else {
            panic!("{:?}", crossover(&noisy));
        };
        assert!((bytes - 2048.0).abs() < 1e-6, "{bytes}");
        let falling = [(0, 2.0), (1024, 0.5)];
        assert!(
            matches!(crossover(&falling), Some(Crossover::FasterBelow(bytes)) if (bytes - 32.0).abs() < 1e-9)
        );
        assert_eq!(crossover(&[(8, 2.0)]), Some(Crossover::AlwaysFaster));
        assert_eq!(crossover(&[(8, 1.0), (16, 0.9)]), Some(Crossover::NeverFaster));
        let between = [(8, 0.5), (16, 2.0), (32, 0.5)];
        assert_eq!(crossover(&between), Some(Crossover::NotAtTheGreatest));
        assert_eq!(crossover(&[]), None);
    }

    #[test]
    fn lengths_are_about_two_digits() {
        assert_eq!(about(2048.0), "2.0 KiB");
        assert_eq!(about(300_000.0), "293 KiB");
        assert_eq!(about(0.5), "0.5 B");
        assert_eq!(
            Crossover::FasterFrom(5e6).to_string(),
            "faster from about 4.8 MiB on"
        );
    }

    proptest! {
        #[test]
        fn it_is_faster_where_that_is_said_and_not_just_beside(ratios in measured()) {
            let found = crossover(&ratios).unwrap();
            let faster: Vec<bool> = ratios.iter().map(|(_, ratio)| *ratio > 1.0).collect();
            let all = |part: &[bool], is_faster: bool| part.iter().all(|faster| *faster == is_faster);
            let at = |bytes: f64| ratios.partition_point(|(length, _)| (*length as f64) < bytes);
            let is_so = match found {
                Crossover::AlwaysFaster => all(&faster, true),
                Crossover::FasterFrom(bytes) => all(&faster[at(bytes)..], true) && !faster[at(bytes) - 1],
                Crossover::FasterBelow(bytes) => all(&faster[..at(bytes)], true) && all(&faster[at(bytes)..], false),
                Crossover::NotAtTheGreatest => !faster[faster.len() - 1] && !all(&faster, false),
                Crossover::NeverFaster => all(&faster, false),
            };
            prop_assert!(is_so, "{found:?}");
        }
    }
}
