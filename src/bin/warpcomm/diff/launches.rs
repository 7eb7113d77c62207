//! What two files have in common: for each measurement, a figure of every launch.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use crate::reading::Measured;
use crate::record::{Key, Row};
use crate::statistics::quantile;

/// Which quantile of its samples stands for a launch: others who use the machine only ever make samples slower.
const LOW: f64 = 0.1;

/// The measurements of two files.
pub struct Compared {
    /// Whether the launch is one of the second file; launches are numbered over both files.
    pub is_second: Vec<bool>,
    /// Those that both files have.
    pub rows: Vec<Pair>,
    pub only_in_first: Vec<Only>,
    pub only_in_second: Vec<Only>,
}

/// A measurement that one file has.
#[derive(Clone, Debug, Serialize)]
pub struct Only {
    #[serde(flatten)]
    pub key: Key,
    /// Why the other file has left it out, if it says so.
    pub left_out: Option<String>,
}

/// A measurement that both files have.
pub struct Pair {
    pub key: Key,
    /// For each launch the logarithm of the seconds, where it measured this.
    pub launches: Vec<Option<f64>>,
}

impl Compared {
    /// Pools the rows of two files by key; a run is a launch.
    pub fn new(first: &[Measured], second: &[Measured], wanted: impl Fn(&Key) -> bool) -> Compared {
        let launches: Vec<BTreeMap<&Key, f64>> = first
            .iter()
            .chain(second)
            .map(|run| {
                let rows = run.rows.iter().filter(|row| wanted(&row.key));
                rows.filter_map(|row| Some((&row.key, logarithm(row)?))).collect()
            })
            .collect();
        let keys = |launches: &[BTreeMap<&Key, f64>]| -> BTreeSet<Key> {
            launches
                .iter()
                .flat_map(|rows| rows.keys().map(|key| (*key).clone()))
                .collect()
        };
        let (in_first, in_second) = (keys(&launches[..first.len()]), keys(&launches[first.len()..]));
        let rows = in_first.intersection(&in_second).map(|key| Pair {
            key: key.clone(),
            launches: launches.iter().map(|rows| rows.get(key).copied()).collect(),
        });
        Compared {
            is_second: (0..launches.len()).map(|launch| launch >= first.len()).collect(),
            rows: rows.collect(),
            only_in_first: only(&in_first, &in_second, second),
            only_in_second: only(&in_second, &in_first, first),
        }
    }
}

impl Pair {
    /// How many launches of the first and of the second file have measured this.
    pub fn number(&self, is_second: &[bool]) -> [usize; 2] {
        [false, true].map(|second| self.of(is_second, second).count())
    }

    /// The median over the launches of a file, in seconds.
    pub fn typical(&self, is_second: &[bool], second: bool) -> f64 {
        let mut values: Vec<f64> = self.of(is_second, second).collect();
        values.sort_by(f64::total_cmp);
        match values.is_empty() {
            true => f64::NAN,
            false => quantile(&values, 0.5).exp(),
        }
    }

    fn of(&self, is_second: &[bool], second: bool) -> impl Iterator<Item = f64> {
        let launches = self.launches.iter().zip(is_second);
        launches
            .filter(move |(_, of_second)| **of_second == second)
            .filter_map(|(value, _)| *value)
    }
}

/// What is among the keys of one file and not among those of the other, whose runs these are.
fn only(of_one: &BTreeSet<Key>, of_other: &BTreeSet<Key>, other: &[Measured]) -> Vec<Only> {
    let why = |key: &Key| {
        let runs = other.iter().filter(|run| run.run.ranks == key.ranks);
        let mut left_out = runs.flat_map(|run| &run.left_out);
        left_out
            .find(|left_out| left_out.has(key))
            .map(|left_out| left_out.reason.clone())
    };
    let only = of_one.difference(of_other).map(|key| Only {
        key: key.clone(),
        left_out: why(key),
    });
    only.collect()
}

/// What stands for a row; `None` where it took no time, which no clock measures.
fn logarithm(row: &Row) -> Option<f64> {
    let mut samples = row.samples.clone();
    samples.sort_by(f64::total_cmp);
    let low = quantile(&samples, LOW);
    (low > 0.0 && low.is_finite()).then(|| low.ln())
}
