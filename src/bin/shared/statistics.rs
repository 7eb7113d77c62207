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
