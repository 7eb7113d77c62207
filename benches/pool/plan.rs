//! What is measured, and for how long: the same for all programs that `benches/peers/pool` starts.

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::Failure;

#[derive(Serialize, Deserialize)]
pub struct Plan {
    /// The least time of a call, in seconds, if it need not have more tasks for it than it may.
    pub seconds: f64,
    /// Calls of each case.
    pub samples: usize,
    /// The most tasks of a call.
    pub most_tasks: usize,
    /// The most bytes that the tasks of a call have together.
    pub most_bytes: usize,
    /// The bytes of a task, and of its result.
    pub payloads: Vec<usize>,
    /// What uneven tasks take, in seconds, in their order.
    pub delays: Vec<f64>,
}

impl Plan {
    pub fn read(file: &Path) -> Result<Plan, Failure> {
        Ok(serde_json::from_slice(&std::fs::read(file)?)?)
    }

    /// In some ten seconds.
    pub fn rough() -> Plan {
        Plan {
            seconds: 0.05,
            samples: 3,
            most_tasks: 1 << 20,
            most_bytes: 64 << 20,
            payloads: vec![1 << 10, 1 << 20],
            delays: uneven(64, 10e-3),
        }
    }

    /// As little as tells whether results are right.
    pub fn check() -> Plan {
        Plan {
            seconds: 0.0,
            samples: 1,
            payloads: vec![1 << 10, 1 << 20],
            delays: uneven(16, 1e-3),
            ..Plan::rough()
        }
    }

    /// When the last uneven task ends where whoever is free takes the next one, in no time.
    pub fn list_makespan(&self, workers: usize) -> f64 {
        let mut free = vec![0.0f64; workers];
        for seconds in &self.delays {
            if let Some(first) = free.iter_mut().min_by(|left, right| left.total_cmp(right)) {
                *first += seconds;
            }
        }
        free.into_iter().fold(0.0, f64::max)
    }
}

/// Delays of a hundredth of the longest one and more, by a generator of which nothing depends.
fn uneven(tasks: usize, longest: f64) -> Vec<f64> {
    let mut state = 7u64;
    let mut next = || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as f64 / (1u64 << 31) as f64
    };
    (0..tasks).map(|_| longest * (0.01 + 0.99 * next())).collect()
}
