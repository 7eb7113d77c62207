//! The formulas that `benches/targets` holds its figures against.

#[path = "../benches/targets/model.rs"]
mod model;

use model::{GpuLimits, HostLimits, Limits, Shape, Spread, Way};

const MIB: usize = 1 << 20;

/// The limits of an H200, and messages between hosts at 12 GB/s.
fn limits() -> Limits {
    Limits {
        host: HostLimits {
            latency_seconds: 0.0,
            bytes_per_second: 12e9,
            fold_bytes_per_second: 10e9,
            processors: 2,
        },
        gpu: Some(GpuLimits {
            copy_bytes_per_second: 4.3e12,
            down_bytes_per_second: 55e9,
            up_bytes_per_second: 55e9,
            both_bytes_per_second: 55e9,
            copy_and_event_seconds: 3e-6,
            launch_seconds: 0.0,
            synchronize_seconds: 0.0,
        }),
    }
}

fn microseconds(seconds: Option<f64>) -> f64 {
    (seconds.unwrap() * 1e6).round()
}

/// The figures that the targets were derived with.
#[test]
fn the_published_figures_follow() {
    let mut limits = limits();
    let copied = limits.message(Way::SharedPinned, 0);
    // What comes to every message beside its bytes.
    if let Some(gpu) = &mut limits.gpu {
        gpu.synchronize_seconds = 10e-6;
    }
    assert_eq!(
        (
            microseconds(copied),
            microseconds(limits.message(Way::SharedPinned, 0))
        ),
        (0.0, 10.0)
    );
    let pinned = [1, 4, 16, 64].map(|mib| microseconds(limits.message(Way::SharedPinned, mib * MIB)));
    for (found, expected) in pinned.into_iter().zip([45.0, 117.0, 377.0, 1354.0]) {
        assert!((found / expected - 1.0f64).abs() < 0.03, "{pinned:?}");
    }
    let staged = microseconds(limits.message(Way::Staged, 64 * MIB));
    assert!((5600.0..6000.0).contains(&staged), "{staged}");
    let limits = self::limits();
    let shapes = [Shape::Leader, Shape::TwoShot, Shape::Ring, Shape::OneShot];
    let of_four = shapes
        .map(|shape| microseconds(limits.allreduce(shape, Way::SameGpuIpc, Spread::OneMachine, 4, 64 * MIB)));
    assert_eq!(of_four, [125.0, 125.0, 234.0, 312.0]);
}

#[test]
fn ranks_that_share_a_link_share_its_bandwidth() {
    let limits = limits();
    let of = |spread| limits.allreduce(Shape::TwoShot, Way::SharedPinned, spread, 4, 64 * MIB);
    let (shared, own) = (of(Spread::OneMachine).unwrap(), of(Spread::OwnEach).unwrap());
    // 2(p - 1)n over one link, and an p-th of that over each of p.
    let bytes = 6.0 * (64 * MIB) as f64;
    assert!((shared * 55e9 / bytes - 1.0).abs() < 0.1, "{shared}");
    assert!((own * 55e9 * 4.0 / bytes - 1.0).abs() < 0.15, "{own}");
}

#[test]
fn time_grows_with_bytes_and_ranks() {
    let mut limits = limits();
    limits.host.latency_seconds = 1e-6;
    let counts = [8, 16, 64, 128, 256, 1024];
    for way in [Way::Host, Way::SharedPinned, Way::Staged] {
        for shape in [Shape::TwoShot, Shape::Ring] {
            let of = |ranks, bytes| {
                limits
                    .allreduce(shape, way, Spread::OwnEach, ranks, bytes)
                    .unwrap()
            };
            assert!(counts.windows(2).all(|pair| of(pair[0], MIB) < of(pair[1], MIB)));
            assert!(counts.iter().all(|&ranks| of(ranks, MIB) < of(ranks, 64 * MIB)));
        }
        let of = |ranks, bytes| limits.bcast(way, Spread::OwnEach, ranks, bytes).unwrap();
        assert!(counts.windows(2).all(|pair| of(pair[0], MIB) < of(pair[1], MIB)));
        assert!(counts.iter().all(|&ranks| of(ranks, MIB) < of(ranks, 64 * MIB)));
    }
}

#[test]
fn a_ring_pays_its_steps_one_after_the_other() {
    let mut limits = limits();
    limits.host.latency_seconds = 1e-5;
    limits.host.fold_bytes_per_second = f64::INFINITY;
    let ring = limits.allreduce(Shape::Ring, Way::Host, Spread::OwnEach, 2, MIB);
    let two_shot = limits.allreduce(Shape::TwoShot, Way::Host, Spread::OwnEach, 2, MIB);
    // Of two ranks they are the same.
    assert_eq!(ring, two_shot);
    let tree = limits.bcast(Way::Host, Spread::OwnEach, 8, 100_000).unwrap();
    let agreed = 7.0 * 1e-5;
    let expected = agreed + 3.0 * (3e-5 + 100_000.0 / 12e9);
    assert!((tree - expected).abs() < 1e-12, "{tree}");
}

#[test]
fn there_is_no_model_of_what_cannot_be() {
    let all = limits();
    let leader = |ranks, spread| all.allreduce(Shape::Leader, Way::SameGpuIpc, spread, ranks, MIB);
    assert!(leader(16, Spread::OneMachine).is_some());
    assert_eq!(leader(17, Spread::OneMachine), None);
    assert_eq!(leader(2, Spread::OwnEach), None);
    let without = Limits { gpu: None, ..all };
    assert_eq!(without.message(Way::SharedPinned, MIB), None);
    assert_eq!(without.bcast(Way::SameGpuIpc, Spread::OneMachine, 2, MIB), None);
    assert!(without.bcast(Way::Host, Spread::OneMachine, 7, MIB).is_some());
}

#[test]
fn frames_carry_what_is_short() {
    let mut limits = limits();
    limits.host.latency_seconds = 1e-6;
    let of = |ranks| limits.allreduce(Shape::TwoShot, Way::Host, Spread::OneMachine, ranks, 8);
    assert_eq!([of(2), of(7)].map(microseconds), [1.0, 6.0]);
}
