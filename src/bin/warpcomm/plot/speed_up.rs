//! How many times as fast one way is as another, and from which length on it is the faster one.

use super::series::{Chart, Series, Way};
use crate::crossover::{Crossover, crossover};

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
