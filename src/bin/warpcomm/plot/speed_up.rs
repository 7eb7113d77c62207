//! How many times as fast one way is as another, and from which length on it is the faster one.

use super::series::{Chart, Series, Way};

/// A series against its baseline.
#[derive(Clone, Debug, PartialEq)]
pub struct SpeedUp {
    pub operation: String,
    /// The numbers of the two in their chart.
    pub series: usize,
    pub baseline: usize,
    pub label: String,
    pub baseline_label: String,
    /// The medians' ratio at each length that both have, going up: more than 1 is faster.
    pub ratios: Vec<(u64, f64)>,
    pub crossover: Crossover,
}

/// Which of two ways is the faster one, from which length on to the last.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Crossover {
    /// At all lengths.
    AlwaysFaster,
    /// At no length.
    NeverFaster,
    /// From about so many bytes on.
    FasterFrom(f64),
    /// Only below about so many bytes.
    FasterBelow(f64),
}

/// All series of a chart against their baselines: host buffers through MPI, or else the first that is comparable.
///
/// Those are comparable that move the same elements between as many ranks, in the same setting if there is one that has two;
/// with buffers on simulated GPUs nothing is.
pub fn speed_ups(chart: &Chart) -> Vec<SpeedUp> {
    let same_elements = |one: &Way, other: &Way| {
        let are_real = !one.is_simulated() && !other.is_simulated();
        are_real && one.dtype == other.dtype && one.op == other.op && one.ranks == other.ranks
    };
    let same_setting = |one: &Way, other: &Way| same_elements(one, other) && one.setting == other.setting;
    let pairs = |comparable: &dyn Fn(&Way, &Way) -> bool| -> Vec<(usize, usize)> {
        let ways = || chart.series.iter().map(|series| &series.way).enumerate();
        ways()
            .filter_map(|(number, way)| {
                let mut others = ways().filter(|(_, other)| comparable(way, other));
                let first = others.clone().next()?.0;
                let host = others
                    .find(|(_, other)| is_host_mpi(other))
                    .map(|(number, _)| number);
                Some((number, host.unwrap_or(first)))
            })
            .filter(|(number, baseline)| number != baseline)
            .collect()
    };
    let mut found = pairs(&same_setting);
    if found.is_empty() {
        found = pairs(&same_elements);
    }
    found
        .into_iter()
        .filter_map(|(series, baseline)| speed_up(chart, series, baseline))
        .collect()
}

fn is_host_mpi(way: &Way) -> bool {
    way.by == "mpi" && way.place == "host"
}

fn speed_up(chart: &Chart, series: usize, baseline: usize) -> Option<SpeedUp> {
    let (own, base) = (&chart.series[series], &chart.series[baseline]);
    let ratios = ratios(own, base);
    Some(SpeedUp {
        operation: chart.operation.clone(),
        series,
        baseline,
        label: own.label.clone(),
        baseline_label: base.label.clone(),
        crossover: crossover(&ratios)?,
        ratios,
    })
}

fn ratios(series: &Series, baseline: &Series) -> Vec<(u64, f64)> {
    let of_baseline = |bytes| {
        let point = baseline.points.iter().find(|point| point.bytes == bytes)?;
        Some(point.seconds.median)
    };
    series
        .points
        .iter()
        .filter_map(|point| Some((point.bytes, of_baseline(point.bytes)? / point.seconds.median)))
        .filter(|(_, ratio)| ratio.is_finite() && *ratio > 0.0)
        .collect()
}

/// The last change, since noise makes ways that are as fast change places often; `None` without ratios.
fn crossover(ratios: &[(u64, f64)]) -> Option<Crossover> {
    let is_faster = |(_, ratio): &(u64, f64)| *ratio > 1.0;
    let at_last = is_faster(ratios.last()?);
    let Some(before) = ratios.iter().rposition(|ratio| is_faster(ratio) != at_last) else {
        return Some(match at_last {
            true => Crossover::AlwaysFaster,
            false => Crossover::NeverFaster,
        });
    };
    let (low, high) = (ratios[before], ratios[before + 1]);
    // Where the lines cross, as they are drawn.
    let part = low.1.ln() / (low.1.ln() - high.1.ln());
    let from = (low.0.max(1) as f64).ln();
    let bytes = (from + part * ((high.0 as f64).ln() - from)).exp();
    Some(match at_last {
        true => Crossover::FasterFrom(bytes),
        false => Crossover::FasterBelow(bytes),
    })
}

impl Crossover {
    /// In words.
    pub fn words(self) -> String {
        match self {
            Crossover::AlwaysFaster => "faster at all lengths".to_owned(),
            Crossover::NeverFaster => "at no length faster".to_owned(),
            Crossover::FasterFrom(bytes) => format!("faster from about {}", about(bytes)),
            Crossover::FasterBelow(bytes) => format!("faster below about {}", about(bytes)),
        }
    }

    /// Where it is, if anywhere.
    pub fn bytes(self) -> Option<f64> {
        match self {
            Crossover::FasterFrom(bytes) | Crossover::FasterBelow(bytes) => Some(bytes),
            Crossover::AlwaysFaster | Crossover::NeverFaster => None,
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
    use super::*;

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
        assert_eq!(crossover(&[]), None);
    }

    #[test]
    fn lengths_are_about_two_digits() {
        assert_eq!(about(2048.0), "2.0 KiB");
        assert_eq!(about(300_000.0), "293 KiB");
        assert_eq!(about(0.5), "0.5 B");
        assert_eq!(Crossover::FasterFrom(5e6).words(), "faster from about 4.8 MiB");
    }
}
