//! What only ranks that are threads do: many of them, panics, and what becomes of a rank's leftovers.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::time::Duration;

use warpcomm::{Blocks, Communicator, Config, Error, ErrorKind, Op, Result, Source, Tag};

use super::common::still_works;
use crate::harness::{Outcome, expect_error, expect_text};
use crate::oracle::{Value, assert_same, folded, vector, vectors};

cases! {
    more_ranks_than_send_their_frames_to_each_other: 1..=1, threads;
    uneven_counts_among_many: 1..=1, threads;
    an_odd_one_among_many: 1..=1, threads;
    a_bad_argument_among_many: 1..=1, threads;
    values_come_back_in_the_order_of_ranks: 1..=1, threads;
    a_panic_goes_on_in_the_caller: 1..=1, threads;
    the_panic_that_goes_on_is_the_first: 1..=1, threads;
    a_panic_ends_every_wait: 1..=1, threads;
    an_operation_pending_at_the_end: 1..=1, threads;
    a_communicator_outlives_its_ranks: 1..=1, threads;
    worlds_one_after_the_other_and_inside_each_other: 1..=1, threads;
    a_timeout_of_the_configuration: 1..=1, threads;
    every_eager_limit: 1..=1, threads;
    bools_that_nobody_checked: 1..=1, threads;
}

/// Runs ranks whose errors are the case's.
fn run(ranks: usize, body: impl Fn(&Communicator) -> Outcome + Sync) -> Outcome {
    Communicator::threads(ranks, |comm| body(&comm))?
        .into_iter()
        .collect()
}

fn more_ranks_than_send_their_frames_to_each_other(_: &Communicator) -> Outcome {
    for ranks in [64, 65, 70] {
        run(ranks, |comm| {
            comm.barrier()?;
            reductions::<u32>(comm, 3)?;
            reductions::<f32>(comm, 400)?;
            for root in [0, 64 % ranks, ranks - 1] {
                let mut buffer = if comm.rank() == root {
                    vector(1, root, 100)
                } else {
                    vec![0u16; 100]
                };
                comm.bcast(&mut buffer, root)?;
                assert_eq!(buffer, vector::<u16>(1, root, 100));
                let own: Vec<i32> = vector(2, comm.rank(), 3);
                let mut all = vec![0; 3 * ranks];
                comm.gather(&own, &mut all, root)?;
                let expected = if comm.rank() == root {
                    vectors(2, ranks, 3)
                } else {
                    vec![0; 3 * ranks]
                };
                assert_eq!(all, expected);
            }
            let mut all = vec![0u64; 2 * ranks];
            comm.allgather(&vector::<u64>(3, comm.rank(), 2), &mut all)?;
            assert_eq!(all, vectors::<u64>(3, ranks, 2));
            let blocks = Blocks::even(ranks + 5, ranks);
            let mut all = vec![0u64; ranks + 5];
            comm.allgatherv(
                &vec![comm.rank() as u64; blocks.count(comm.rank())],
                &mut all,
                &blocks,
            )?;
            assert!((0..ranks).all(|rank| all[blocks.range(rank)].iter().all(|value| *value == rank as u64)));
            let part = comm.split(Some(comm.rank() as u32 % 2), 0)?;
            part.iter().try_for_each(still_works)?;
            still_works(&comm.duplicate()?)
        })?;
    }
    Ok(())
}

fn reductions<T: Value>(comm: &Communicator, length: usize) -> Outcome {
    let of_ranks: Vec<Vec<T>> = (0..comm.size()).map(|rank| vector(7, rank, length)).collect();
    let sum = folded(Op::Sum, &of_ranks).unwrap_or_default();
    let mut buffer = of_ranks[comm.rank()].clone();
    comm.allreduce_in_place(&mut buffer, Op::Sum)?;
    assert_same(&buffer, &sum, || "allreduce".to_owned());
    let root = comm.size() - 2;
    comm.reduce(&of_ranks[comm.rank()], &mut buffer, Op::Max, root)?;
    let expected = if comm.rank() == root {
        folded(Op::Max, &of_ranks).unwrap_or_default()
    } else {
        sum
    };
    assert_same(&buffer, &expected, || "reduce".to_owned());
    Ok(())
}

fn uneven_counts_among_many(_: &Communicator) -> Outcome {
    // Around 16 ranks counts of pairs stop to ride in frames, around 64 all others.
    for ranks in [16, 17, 64, 65] {
        run(ranks, |comm| {
            let (rank, root) = (comm.rank(), ranks / 2);
            let blocks = Blocks::packed((0..ranks).map(|rank| rank % 3).collect::<Vec<_>>());
            let of_all: Vec<u32> = (0..ranks).flat_map(|rank| vec![rank as u32; rank % 3]).collect();
            let own = vec![rank as u32; rank % 3];
            let mut all = vec![0; of_all.len()];
            comm.gatherv(&own, &mut all, &blocks, root)?;
            assert!(rank != root || all == of_all);
            let mut part = vec![0; own.len()];
            comm.scatterv(&of_all, &blocks, &mut part, root)?;
            assert_eq!(part, own);
            let same = Blocks::new(vec![own.len(); ranks], vec![0; ranks]);
            let mut all = vec![0; of_all.len()];
            comm.alltoallv(&own, &same, &mut all, &blocks)?;
            assert_eq!(all, of_all);
            let mut sum = vec![0; own.len()];
            comm.reduce_scatter(&of_all, &blocks, &mut sum, Op::Sum)?;
            assert!(sum.iter().all(|sum| *sum == (rank * ranks) as u32));
            let mut below = rank as u64;
            comm.exscan_in_place(&mut below, Op::Sum)?;
            assert_eq!(below, (rank * rank.saturating_sub(1) / 2) as u64);
            // One rank expects more of another than that one sends.
            let mut counts: Vec<usize> = (0..ranks).map(|rank| rank % 3).collect();
            counts[1] += usize::from(rank == root);
            let odd = Blocks::packed(counts);
            let mut all = vec![0; of_all.len() + 1];
            let outcomes = [
                comm.gatherv(&own, &mut all, &odd, root),
                comm.scatterv(&vec![0; of_all.len() + 1], &odd, &mut part, root),
                comm.alltoallv(&own, &same, &mut all, &odd),
            ];
            for outcome in outcomes {
                let error = expect_error(outcome, ErrorKind::Mismatch);
                expect_text(&error, &["rank 1 ", &format!("rank {root}")]);
            }
            still_works(comm)
        })?;
    }
    Ok(())
}

fn an_odd_one_among_many(_: &Communicator) -> Outcome {
    for (ranks, odd) in [(65, 0), (65, 64), (70, 33)] {
        run(ranks, |comm| {
            let is_odd = comm.rank() == odd;
            let outcome = comm.allreduce_in_place(&mut vec![1i32; 5 + usize::from(is_odd)], Op::Sum);
            expect_text(
                &expect_error(outcome, ErrorKind::Mismatch),
                &[&format!("rank {odd} "), "6 i32", "5 i32"],
            );
            let outcome = if is_odd {
                comm.barrier()
            } else {
                comm.bcast(&mut [0u8; 500], 0)
            };
            expect_text(
                &expect_error(outcome, ErrorKind::Mismatch),
                &[&format!("rank {odd} "), "barrier", "bcast"],
            );
            let mut blocks = vec![2; ranks];
            if is_odd {
                blocks[1] = 3;
            }
            let blocks = warpcomm::Blocks::packed(blocks);
            let outcome = comm.allgatherv(&[1u8; 2], &mut vec![0; 2 * ranks + 1], &blocks);
            expect_error(outcome, ErrorKind::Mismatch);
            still_works(comm)
        })?;
    }
    Ok(())
}

fn a_bad_argument_among_many(_: &Communicator) -> Outcome {
    for (ranks, bad) in [(65, 0), (65, 64), (70, 33)] {
        run(ranks, |comm| {
            let mut buffer = vec![0i32; if comm.rank() == bad { 4 } else { 5 }];
            let outcome = comm.allreduce(&[1; 5], &mut buffer, Op::Sum);
            if comm.rank() == bad {
                expect_error(outcome, ErrorKind::InvalidArgument);
            } else {
                expect_text(
                    &expect_error(outcome, ErrorKind::PeerFailed),
                    &[&format!("rank {bad} failed")],
                );
            }
            still_works(comm)
        })?;
    }
    Ok(())
}

fn values_come_back_in_the_order_of_ranks(_: &Communicator) -> Outcome {
    let visits = Mutex::new(Vec::new());
    let values = Communicator::threads(5, |comm| {
        visits.lock().unwrap().push(comm.rank());
        format!("{} of {}", comm.rank(), comm.size())
    })?;
    assert_eq!(values, ["0 of 5", "1 of 5", "2 of 5", "3 of 5", "4 of 5"]);
    let mut visits = visits.into_inner()?;
    visits.sort_unstable();
    assert_eq!(visits, [0, 1, 2, 3, 4]);
    Ok(())
}

fn a_panic_goes_on_in_the_caller(_: &Communicator) -> Outcome {
    for panicking in 0..3 {
        let panic = catch_unwind(AssertUnwindSafe(|| {
            Communicator::threads(3, |comm| {
                if comm.rank() == panicking {
                    std::panic::panic_any(format!("rank {panicking} on purpose"));
                }
                comm.barrier()
            })
        }));
        let payload = panic.expect_err("the panic goes on");
        assert_eq!(
            payload.downcast_ref::<String>(),
            Some(&format!("rank {panicking} on purpose"))
        );
    }
    Ok(())
}

fn the_panic_that_goes_on_is_the_first(_: &Communicator) -> Outcome {
    for panicking in 0..3 {
        let panic = catch_unwind(AssertUnwindSafe(|| {
            Communicator::threads(3, |comm| {
                if comm.rank() == panicking {
                    std::panic::panic_any("the cause");
                }
                comm.barrier().expect("the consequence");
            })
        }));
        let payload = panic.expect_err("the panic goes on");
        assert_eq!(payload.downcast_ref::<&str>(), Some(&"the cause"));
    }
    Ok(())
}

fn a_panic_ends_every_wait(_: &Communicator) -> Outcome {
    type Wait = fn(&Communicator) -> Result<()>;
    let waits: &[(&str, Wait)] = &[
        ("recv", |comm| comm.recv(&mut [0u8], 1, Tag(0)).map(drop)),
        ("recv", |comm| {
            comm.recv(&mut [0u8], Source::Any, Tag::ANY).map(drop)
        }),
        ("send", |comm| comm.send(&[0u8; 9000], 1, Tag(0))),
        ("probe", |comm| comm.probe(1, Tag(0)).map(drop)),
        ("sendrecv", |comm| {
            comm.sendrecv(&[0u8; 9000], 1, Tag(0), &mut [0u8], 1, Tag(0))
                .map(drop)
        }),
        ("irecv", |comm| {
            comm.irecv(vec![0u8], 1, Tag(0))
                .wait()
                .map(drop)
                .map_err(Error::from)
        }),
        ("irecv", |comm| {
            let mut buffer = [0u8];
            comm.scope(|scope| scope.irecv(&mut buffer, 1, Tag(0)).map(drop))
        }),
        ("iprobe", |comm| {
            loop {
                comm.iprobe(1, Tag(0))?;
            }
        }),
        ("barrier", |comm| comm.barrier()),
        ("allreduce", |comm| {
            comm.allreduce_in_place(&mut [0f32; 3000], Op::Sum)
        }),
        ("duplicate", |comm| comm.duplicate().map(drop)),
    ];
    for (operation, wait) in waits {
        let ended = Mutex::new(Vec::new());
        let panic = catch_unwind(AssertUnwindSafe(|| {
            Communicator::threads(3, |comm| {
                if comm.rank() == 1 {
                    panic!("on purpose");
                }
                let twin = comm.clone();
                let first = wait(&comm);
                let second = twin.barrier();
                ended.lock().unwrap().push((comm.rank(), first, second));
            })
        }));
        assert!(panic.is_err(), "{operation}");
        let ended = ended.into_inner()?;
        assert_eq!(ended.len(), 2, "{operation}: both other ranks come to their end");
        for (_, first, second) in ended {
            expect_text(&expect_error(first, ErrorKind::PeerLost), &["rank 1"]);
            expect_error(second, ErrorKind::PeerLost);
        }
    }
    Ok(())
}

fn an_operation_pending_at_the_end(_: &Communicator) -> Outcome {
    let outcome = Communicator::threads(2, |comm| {
        if comm.rank() == 1 {
            drop(comm.irecv(vec![0u8; 9], 0, Tag(5)));
        }
    });
    expect_text(
        &expect_error(outcome, ErrorKind::InvalidArgument),
        &["rank 1", "pending", "irecv"],
    );
    Ok(())
}

fn a_communicator_outlives_its_ranks(_: &Communicator) -> Outcome {
    for comm in Communicator::threads(2, |comm| comm)? {
        let twin = comm.clone();
        expect_error(comm.barrier(), ErrorKind::InvalidArgument);
        expect_error(comm.send(&[1u8], 0, Tag(0)), ErrorKind::InvalidArgument);
        let (error, buffer) = twin.irecv(vec![1u8], 0, Tag(0)).wait().unwrap_err().into_parts();
        assert_eq!(
            (error.kind(), buffer),
            (ErrorKind::InvalidArgument, Some(vec![1]))
        );
        expect_error(twin.duplicate(), ErrorKind::InvalidArgument);
        assert_eq!(comm.size(), 2);
    }
    Ok(())
}

fn worlds_one_after_the_other_and_inside_each_other(_: &Communicator) -> Outcome {
    for ranks in 1..20 {
        run(1 + ranks % 4, still_works)?;
    }
    run(3, |outer| {
        run(2, |inner| {
            still_works(inner)?;
            assert_eq!(inner.size(), 2);
            Ok(())
        })?;
        still_works(outer)
    })
}

fn a_timeout_of_the_configuration(_: &Communicator) -> Outcome {
    // Long enough for what must not time out.
    let config = Config::default().timeout(Duration::from_millis(500));
    let outcomes = Communicator::threads_with(&config, 3, |comm| {
        // Parts and duplicates have the deadline, too.
        let twin = comm.duplicate()?;
        let part = twin.split(Some(0), 0)?.expect("a color");
        let outcome = part.recv(&mut [0u8], Source::Any, Tag(0)).map(drop);
        // A longer time of its own.
        let patient = comm.with_timeout(None);
        patient.barrier()?;
        Ok::<_, Error>(outcome)
    })?;
    for outcome in outcomes {
        expect_error(outcome?, ErrorKind::Timeout);
    }
    Ok(())
}

fn every_eager_limit(_: &Communicator) -> Outcome {
    for limit in [0, 1, 16, 1000, 4000] {
        let config = Config::default().eager_limit(limit);
        let outcomes = Communicator::threads_with(&config, 3, |comm| -> Outcome {
            for bytes in [0, 1, 15, 16, 17, limit, limit + 1, 4000, 4001] {
                let (to, from) = ((comm.rank() + 1) % 3, (comm.rank() + 2) % 3);
                let own: Vec<u8> = vector(6, comm.rank(), bytes);
                let mut received = vec![0; bytes + 1];
                let status = comm.sendrecv(&own, to, Tag(0), &mut received, from, Tag(0))?;
                assert_eq!(status.count(), bytes as u64);
                assert_eq!(received[..bytes], vector::<u8>(6, from, bytes));
            }
            still_works(&comm)
        })?;
        outcomes.into_iter().collect::<Outcome>()?;
    }
    Ok(())
}

/// Rust knows two bools; a peer whose type nobody compared may send any bytes.
fn bools_that_nobody_checked(_: &Communicator) -> Outcome {
    type Exchange<T> = fn(&Communicator, &mut [T]) -> Result<()>;
    fn exchanges<T: Value>() -> [Exchange<T>; 4] {
        [
            |comm, values| comm.bcast(values, 0),
            |comm, values| comm.allgather_in_place(values),
            |comm, values| {
                let (all, half) = (values.to_vec(), values.len() / 2);
                comm.scatter(&all, &mut values[..half], 0)
            },
            |comm, values| comm.gather(&values[..values.len() / 2].to_vec(), values, 1),
        ]
    }
    let config = Config::default().check(false);
    for length in [6, 5000] {
        for number in 0..exchanges::<u8>().len() {
            let outcomes = Communicator::threads_with(&config, 2, |comm| -> Outcome {
                if comm.rank() == 0 {
                    exchanges::<u8>()[number](&comm, &mut vec![7; length])?;
                } else {
                    let mut bools = vec![false; length];
                    exchanges::<bool>()[number](&comm, &mut bools)?;
                    let bytes: &[u8] = bytemuck::cast_slice(&bools);
                    assert!(bytes.contains(&1), "something was received");
                    assert!(bytes.iter().all(|byte| *byte < 2), "exchange {number}");
                }
                Ok(())
            })?;
            outcomes.into_iter().collect::<Outcome>()?;
        }
    }
    Ok(())
}
