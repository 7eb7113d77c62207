//! Whether measurements differ beyond noise: a permutation test.
//!
//! Samples of one launch depend on each other, and launches differ by more than samples do: memory lies otherwise in the caches,
//! others use the machine. So a launch is one observation. If nothing has changed, launches may as well be dealt to the two
//! files in any other way; a row differs only where hardly any other dealing makes as much of a difference in *any* row. That
//! holds whatever noise there is and however rows depend on each other, and however many there are (Westfall and Young,
//! "Resampling-Based Multiple Testing", 1993, step one). The statistic has a constant beside the standard deviation, so that rows
//! which happen to have none do not stand out (Tusher, Tibshirani and Chu, "Significance analysis of microarrays", 2001).

use super::shared::{direction, dot};
use crate::statistics::quantile;

/// How often an unchanged build may be said to have changed in one direction, by each of the two ways to look.
pub const LEVEL: f64 = 0.002;

/// The most ways to deal launches that are tried; of more, as many at random.
const DEALINGS: usize = 2000;

/// The least constant beside standard deviations: half a percent of time.
const LEAST: f64 = 0.005;

/// Statistics that differ by less are equal but for rounding.
const EQUAL: f64 = 1e-9;

/// Which part of the difference between the files must not be one that all rows of a launch share.
const OWN: f64 = 0.2;

/// What the launches say about a row in one way to look.
#[derive(Clone, Copy, Debug)]
pub struct Evidence {
    /// The logarithm of the ratio of the second file's time to that of the first, as far as launches count.
    pub change: f64,
    /// Which part of all dealings make a row as much slower.
    pub slower: f64,
    /// Which part of all dealings make a row as much faster.
    pub faster: f64,
}

/// What the launches say about each row: as they are, and without what all rows of a launch share.
///
/// Rows have the logarithm of the seconds of each launch, where there is one. `None` where it cannot be told.
pub struct Evidences {
    pub plain: Vec<Option<Evidence>>,
    pub without_shared: Vec<Option<Evidence>>,
}

/// Compares the launches of two files.
pub fn compare(rows: &[&[Option<f64>]], is_second: &[bool]) -> Evidences {
    let dealings = dealings(is_second);
    let launches = is_second.len();
    let values = |limits| {
        rows.iter()
            .map(|row| Values::new(row, limits))
            .collect::<Vec<_>>()
    };
    let (plain, whole) = (values(lower_half), values(but_extremes));
    let scaled: Vec<Vec<f64>> = whole.iter().map(Values::scaled).collect();
    let shared = direction(&scaled, launches);
    let without_shared = match shared {
        Some(shared) => {
            let values = whole
                .iter()
                .map(|values| values.without(&shared))
                .collect::<Vec<_>>();
            evidence(&values, &dealings)
        }
        None => vec![None; rows.len()],
    };
    Evidences {
        plain: evidence(&plain, &dealings),
        without_shared,
    }
}

/// In how many ways launches can be dealt to two files with so many each, up to some large number.
pub fn ways(first: usize, second: usize) -> f64 {
    (0..first.min(second))
        .map(|drawn| (first + second - drawn) as f64 / (drawn + 1) as f64)
        .product()
}

/// Whether so many launches can tell anything.
pub fn can_tell(first: usize, second: usize) -> bool {
    ways(first, second) * LEVEL >= 1.0
}

/// A row, with nothing in it that does not depend on the dealing.
struct Values {
    /// Around 0, and 0 where there is none.
    values: Vec<f64>,
    is_there: Vec<bool>,
    number: usize,
    /// What all rows share, of the launches that are there, around 0 and of length 1.
    shared: Option<Vec<f64>>,
}

impl Values {
    fn new(row: &[Option<f64>], limits: fn(&[f64]) -> (f64, f64)) -> Values {
        let mut sorted: Vec<f64> = row.iter().flatten().copied().collect();
        sorted.sort_by(f64::total_cmp);
        let (low, high) = limits(&sorted);
        let clamped: Vec<Option<f64>> = row
            .iter()
            .map(|value| value.map(|value| value.clamp(low, high)))
            .collect();
        let is_there: Vec<bool> = clamped.iter().map(Option::is_some).collect();
        Values {
            values: centred(
                &clamped
                    .iter()
                    .map(|value| value.unwrap_or(0.0))
                    .collect::<Vec<_>>(),
                &is_there,
            ),
            number: sorted.len(),
            is_there,
            shared: None,
        }
    }

    /// On a scale on which rows are alike.
    fn scaled(&self) -> Vec<f64> {
        let scale = self.deviation() + LEAST;
        self.values.iter().map(|value| value / scale).collect()
    }

    /// Without what all rows share.
    fn without(&self, shared: &[f64]) -> Values {
        let shared = centred(shared, &self.is_there);
        let length = dot(&shared, &shared).sqrt();
        if length < 1e-9 {
            return Values {
                values: self.values.clone(),
                is_there: self.is_there.clone(),
                number: self.number,
                shared: None,
            };
        }
        let shared: Vec<f64> = shared.iter().map(|value| value / length).collect();
        let part = dot(&self.values, &shared);
        let values = self.values.iter().zip(&shared);
        Values {
            values: values.map(|(value, shared)| value - part * shared).collect(),
            is_there: self.is_there.clone(),
            number: self.number,
            shared: Some(shared),
        }
    }

    /// The standard deviation over all launches.
    fn deviation(&self) -> f64 {
        (dot(&self.values, &self.values) / (self.number.max(2) - 1) as f64).sqrt()
    }

    /// The change between the files in a dealing, and how many standard deviations that is.
    fn statistic(&self, dealing: &[bool], constant: f64) -> Option<(f64, f64)> {
        let launches = || dealing.iter().zip(&self.is_there);
        let second = launches()
            .filter(|(second, is_there)| **second && **is_there)
            .count() as f64;
        let number = self.number as f64;
        let between = second * (number - second) / number;
        let of_second = |values: &[f64]| -> f64 {
            let launches = values.iter().zip(dealing);
            launches
                .filter(|(_, second)| **second)
                .map(|(value, _)| value)
                .sum()
        };
        let own = match &self.shared {
            Some(shared) => between - of_second(shared).powi(2),
            None => between,
        };
        let free = number - 2.0 - if self.shared.is_some() { 1.0 } else { 0.0 };
        if between <= 0.0 || own < OWN * between || free < 1.0 {
            return None;
        }
        let difference = of_second(&self.values);
        let left = (dot(&self.values, &self.values) - difference * difference / own).max(0.0);
        let deviation = (left / free).sqrt();
        Some((difference / own, difference / own.sqrt() / (deviation + constant)))
    }
}

/// The limits beyond which values of a row, in order, count as the limits: those of the lower half on both sides.
///
/// Others who use the machine make some launches many times as slow, and none faster. So what lies below the median tells how much
/// launches differ, and those that are slow are no further above it than the first quartile is below.
fn lower_half(sorted: &[f64]) -> (f64, f64) {
    if sorted.is_empty() {
        return (0.0, 0.0);
    }
    let median = quantile(sorted, 0.5);
    let spread = (median - quantile(sorted, 0.25)).max(LEAST);
    (median - 3.0 * spread, median + spread)
}

/// The limits that leave what launches share as it is: one launch that others disturb is no more than the next one.
fn but_extremes(sorted: &[f64]) -> (f64, f64) {
    match sorted {
        [_, low, .., high, _] => (*low, *high),
        _ => (f64::MIN, f64::MAX),
    }
}

/// Around the mean of those that are there; 0 where there is none.
fn centred(values: &[f64], is_there: &[bool]) -> Vec<f64> {
    let there = || values.iter().zip(is_there).filter(|(_, is_there)| **is_there);
    let mean = there().map(|(value, _)| value).sum::<f64>() / there().count().max(1) as f64;
    let centred = values.iter().zip(is_there);
    centred
        .map(|(value, is_there)| if *is_there { value - mean } else { 0.0 })
        .collect()
}

fn evidence(rows: &[Values], dealings: &[Vec<bool>]) -> Vec<Option<Evidence>> {
    let mut deviations: Vec<f64> = rows.iter().map(Values::deviation).collect();
    deviations.sort_by(f64::total_cmp);
    let constant = deviations
        .get(deviations.len() / 2)
        .map_or(LEAST, |middle| middle.max(LEAST));
    let extremes: Vec<(f64, f64)> = dealings
        .iter()
        .map(|dealing| {
            let statistics = rows.iter().filter_map(|row| row.statistic(dealing, constant));
            statistics.fold((0.0_f64, 0.0_f64), |(least, most), (_, statistic)| {
                (least.min(statistic), most.max(statistic))
            })
        })
        .collect();
    let part = |count: usize| count as f64 / dealings.len() as f64;
    rows.iter()
        .map(|row| {
            let (change, statistic) = row.statistic(&dealings[0], constant)?;
            Some(Evidence {
                change,
                slower: part(
                    extremes
                        .iter()
                        .filter(|(_, most)| *most >= statistic - EQUAL)
                        .count(),
                ),
                faster: part(
                    extremes
                        .iter()
                        .filter(|(least, _)| *least <= statistic + EQUAL)
                        .count(),
                ),
            })
        })
        .collect()
}

/// Ways to deal launches, the one that is first: all, or where there are too many, as many at random as are allowed.
fn dealings(is_second: &[bool]) -> Vec<Vec<bool>> {
    let second = is_second.iter().filter(|second| **second).count();
    let mut found = vec![is_second.to_vec()];
    if ways(is_second.len() - second, second) <= DEALINGS as f64 {
        let mut dealing = Vec::with_capacity(is_second.len());
        all(is_second, second, &mut dealing, &mut found);
        return found;
    }
    let mut random = Random(1);
    while found.len() < DEALINGS {
        let mut dealing = is_second.to_vec();
        for at in (1..dealing.len()).rev() {
            dealing.swap(at, random.below(at + 1));
        }
        found.push(dealing);
    }
    found
}

/// Adds all dealings that begin as `dealing` does and give the second file `left` launches more, but that of the files.
fn all(is_second: &[bool], left: usize, dealing: &mut Vec<bool>, found: &mut Vec<Vec<bool>>) {
    let open = is_second.len() - dealing.len();
    if open == 0 {
        if dealing != is_second {
            found.push(dealing.clone());
        }
        return;
    }
    for second in [false, true] {
        let fits = if second { left > 0 } else { left < open };
        if fits {
            dealing.push(second);
            all(is_second, left - usize::from(second), dealing, found);
            dealing.pop();
        }
    }
}

/// Random numbers that are the same in each run, so that a verdict is (Vigna's splitmix64).
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) % limit as u64) as usize
    }
}
