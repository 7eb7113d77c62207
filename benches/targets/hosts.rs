//! What messages and folds of hosts take, and messages beside the same loop in raw MPI.

use std::hint::black_box;
use std::time::Instant;

use warpcomm::Communicator;

use crate::Failure;
use crate::contest::{self, Effort};
use crate::latency::Latency;
use crate::model::{HostLimits, Way};
use crate::modelled::{Observed, Operation};
use crate::rank::Measured;
use crate::verdict::{Case, Limit, Verdict};

/// The lengths of messages in bytes: the first tells the latency, and the last the bandwidth.
const LENGTHS: [usize; 5] = [8, 4000, 64 << 10, 1 << 20, 16 << 20];

/// Elements of a fold: 1 MiB.
const FOLDED: usize = (1 << 20) / size_of::<f32>();

/// Measures as one of two ranks.
pub fn measure(comm: &Communicator, effort: Effort, measured: &mut Measured) -> Result<(), Failure> {
    let mut seconds = Vec::new();
    for bytes in LENGTHS {
        let outcome = contest::run(&mut Latency::new(comm, bytes), effort)?;
        let raw = outcome.raw.median_ns;
        measured.targets.push(Verdict::new(
            Case {
                operation: "host send/recv",
                path: "host".to_owned(),
                ranks: 2,
                bytes,
            },
            Limit {
                what: "raw MPI's, and 5% or 100 ns",
                seconds: (raw * 1.05).max(raw + 100.0) / 1e9,
                target: Some(1.0),
            },
            outcome.ours,
        ));
        measured.observed.push(Observed {
            operation: Operation::SendRecv,
            way: Way::Host,
            path: "host".to_owned(),
            ranks: 2,
            bytes,
            times: outcome.ours,
        });
        seconds.push(outcome.ours.median_ns / 1e9);
    }
    let [Some(&shortest), Some(&longest)] = [seconds.first(), seconds.last()] else {
        return Err("nothing was measured".into());
    };
    measured.host_limits = Some(HostLimits {
        latency_seconds: shortest,
        bytes_per_second: LENGTHS[LENGTHS.len() - 1] as f64 / longest,
        fold_bytes_per_second: folded_per_second(),
        processors: std::thread::available_parallelism().map_or(1, usize::from),
    });
    Ok(())
}

/// How many bytes of an input one processor adds to a result in a second.
fn folded_per_second() -> f64 {
    let (input, mut result) = (vec![1f32; FOLDED], vec![0f32; FOLDED]);
    let mut best = f64::INFINITY;
    for _ in 0..20 {
        let start = Instant::now();
        for (sum, element) in result.iter_mut().zip(black_box(&input)) {
            *sum += element;
        }
        black_box(&mut result);
        best = best.min(start.elapsed().as_secs_f64().max(1e-9));
    }
    size_of_val(&input[..]) as f64 / best
}
