//! What the engine with its envelopes and slabs, and reductions with their folds cost where ranks are threads of one process:
//! no MPI, no launcher.
//!
//! Times are those of the slower rank, taken inside the threads, so that starting these is not counted.

#[path = "../src/engine/slab.rs"]
#[allow(dead_code, reason = "the engine needs more of it")]
mod slab;

use std::hint::black_box;
use std::time::{Duration, Instant};

use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use half::f16;
use slab::Slab;
use warpcomm::{Communicator, Element, Op, Result, Tag};

const MIB: usize = 1 << 20;

/// The longest message that rides in its envelope.
const LONGEST_INLINE: usize = 4000;

/// More slabs than a thread keeps.
const MANY_SLABS: usize = 100;

/// Runs a rank's loop on so many threads; returns how long the slower one took.
fn slowest(ranks: usize, body: impl Fn(Communicator) -> Result<Duration> + Sync) -> Duration {
    let times: Result<Vec<Duration>> = Communicator::threads(ranks, body)
        .expect("the ranks run and leave nothing behind")
        .into_iter()
        .collect();
    let times = times.expect("every operation succeeds");
    times.into_iter().max().unwrap_or_default()
}

/// Starts when all ranks are there, and repeats an operation.
fn timed(
    comm: &Communicator,
    repetitions: u64,
    mut operation: impl FnMut() -> Result<()>,
) -> Result<Duration> {
    comm.barrier()?;
    let start = Instant::now();
    for _ in 0..repetitions {
        operation()?;
    }
    Ok(start.elapsed())
}

fn group<'a>(criterion: &'a mut Criterion, name: &str) -> BenchmarkGroup<'a, WallTime> {
    let mut group = criterion.benchmark_group(name);
    group
        .sample_size(20)
        .warm_up_time(Duration::from_millis(200))
        .measurement_time(Duration::from_secs(1));
    group
}

/// A message to oneself: an envelope that is written, matched and read, without another thread to wait for.
fn to_oneself(criterion: &mut Criterion) {
    let mut group = group(criterion, "to_oneself");
    for bytes in [8, LONGEST_INLINE] {
        group.throughput(Throughput::Bytes(bytes as u64));
        group.bench_function(BenchmarkId::from_parameter(bytes), |bencher| {
            bencher.iter_custom(|repetitions| {
                slowest(1, |comm| {
                    let mut out = vec![7u8; bytes];
                    let mut into = vec![0u8; bytes];
                    let time = timed(&comm, repetitions, || {
                        let send = comm.isend(std::mem::take(&mut out), 0, Tag(0));
                        comm.recv(&mut into, 0, Tag(0))?;
                        (out, _) = send.wait()?;
                        Ok(())
                    })?;
                    assert!(into.iter().all(|&byte| byte == 7));
                    Ok(time)
                })
            });
        });
    }
}

/// A message there and one back: two latencies.
fn round_trip(criterion: &mut Criterion) {
    let mut group = group(criterion, "round_trip");
    for bytes in [8, LONGEST_INLINE, 64 << 10] {
        group.throughput(Throughput::Bytes(2 * bytes as u64));
        group.bench_function(BenchmarkId::from_parameter(bytes), |bencher| {
            bencher.iter_custom(|repetitions| {
                slowest(2, |comm| {
                    let out = vec![comm.rank() as u8 + 1; bytes];
                    let mut into = vec![0u8; bytes];
                    let time = match comm.rank() {
                        0 => timed(&comm, repetitions, || {
                            comm.send(&out, 1, Tag(0))?;
                            comm.recv(&mut into, 1, Tag(0)).map(drop)
                        }),
                        _ => timed(&comm, repetitions, || {
                            comm.recv(&mut into, 0, Tag(0))?;
                            comm.send(&out, 0, Tag(0))
                        }),
                    }?;
                    assert!(into.iter().all(|&byte| usize::from(byte) == 2 - comm.rank()));
                    Ok(time)
                })
            });
        });
    }
}

/// Both ranks start to receive and to send, and wait for both requests.
fn requests(criterion: &mut Criterion) {
    let mut group = group(criterion, "isend_irecv_wait");
    for bytes in [8, 64 << 10] {
        group.throughput(Throughput::Bytes(2 * bytes as u64));
        group.bench_function(BenchmarkId::from_parameter(bytes), |bencher| {
            bencher.iter_custom(|repetitions| {
                slowest(2, |comm| {
                    let peer = 1 - comm.rank();
                    // The requests own the buffers, and give them back.
                    let mut buffers = (vec![comm.rank() as u8 + 1; bytes], vec![0u8; bytes]);
                    let time = timed(&comm, repetitions, || {
                        let (out, into) = std::mem::take(&mut buffers);
                        let receive = comm.irecv(into, peer, Tag(0));
                        let send = comm.isend(out, peer, Tag(0));
                        let (into, _) = receive.wait()?;
                        let (out, _) = send.wait()?;
                        buffers = (out, into);
                        Ok(())
                    })?;
                    assert!(buffers.1.iter().all(|&byte| usize::from(byte) == peer + 1));
                    Ok(time)
                })
            });
        });
    }
}

/// A sum of f64 on every rank. With one rank there is nobody to wait for: it is the cost of the call.
fn allreduce(criterion: &mut Criterion) {
    let mut group = group(criterion, "allreduce");
    for ranks in [1, 2, 4] {
        for bytes in [8, MIB] {
            group.throughput(Throughput::Bytes(bytes as u64));
            group.bench_function(BenchmarkId::new(format!("ranks={ranks}"), bytes), |bencher| {
                bencher.iter_custom(|repetitions| {
                    slowest(ranks, |comm| {
                        let own = vec![1.5; bytes / size_of::<f64>()];
                        let mut sum = vec![0.0; own.len()];
                        let time = timed(&comm, repetitions, || {
                            comm.allreduce(black_box(&own), &mut sum, Op::Sum)
                        })?;
                        assert!(sum.iter().all(|&sum| sum == 1.5 * ranks as f64));
                        Ok(time)
                    })
                });
            });
        }
    }
}

/// A reduction of 1 MiB on each of two ranks, where folding is most of the work.
fn fold<T: Element>(group: &mut BenchmarkGroup<'_, WallTime>, op: Op, value: T, result: T) {
    group.throughput(Throughput::Bytes(MIB as u64));
    group.bench_function(BenchmarkId::new(op.to_string(), T::DTYPE), |bencher| {
        bencher.iter_custom(|repetitions| {
            slowest(2, |comm| {
                let own = vec![value; MIB / size_of::<T>()];
                let mut folded = own.clone();
                let time = timed(&comm, repetitions, || comm.reduce(&own, &mut folded, op, 0))?;
                assert!(comm.rank() != 0 || folded.iter().all(|folded| *folded == result));
                Ok(time)
            })
        });
    });
}

fn folds(criterion: &mut Criterion) {
    let mut group = group(criterion, "reduce");
    fold(&mut group, Op::Sum, 1.5f64, 3.0);
    fold(&mut group, Op::Sum, 1.5f32, 3.0);
    fold(&mut group, Op::Sum, f16::from_f32(1.5), f16::from_f32(3.0));
    fold(&mut group, Op::Sum, 2i32, 4);
    fold(&mut group, Op::Max, 1.5f32, 1.5);
    fold(&mut group, Op::LogicalAnd, true, true);
}

/// Slabs are taken, written and given back: one that the thread has kept, and so many that some have to be allocated.
fn slabs(criterion: &mut Criterion) {
    let mut group = group(criterion, "slab");
    for slabs in [1, MANY_SLABS] {
        let mut taken = Vec::with_capacity(slabs);
        group.throughput(Throughput::Elements(slabs as u64));
        group.bench_function(BenchmarkId::from_parameter(slabs), |bencher| {
            bencher.iter(|| {
                for number in 0..slabs {
                    let mut slab = Slab::take();
                    slab.bytes_mut()[0] = number as u8;
                    taken.push(slab);
                }
                black_box(&taken);
                taken.clear();
            });
        });
    }
}

criterion_group!(benches, slabs, to_oneself, round_trip, requests, allreduce, folds);
criterion_main!(benches);
