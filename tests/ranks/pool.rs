//! Pools of tasks: every result exactly once and in its place, whatever becomes of workers and of attempts.

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use warpcomm::pool::{Cause, Chunk, Master, Pool, Stopped, TaskFailure, TaskResult};
use warpcomm::{Communicator, ErrorKind, Result};

use super::common::still_works;
use crate::harness::{Outcome, expect_error, expect_text, most_bytes};

cases! {
    every_form_of_map: 1..=7;
    chunks_and_orders: 1..=5;
    numbers_do_not_depend_on_ranks: 1..=7;
    a_task_fails_alone: 1..=5;
    the_first_failure_ends_a_map: 1..=4;
    failed_tasks_go_elsewhere: 1..=5;
    what_is_injected_loses_and_repeats_nothing: 1..=7;
    a_task_over_its_time_limit: 1..=4;
    cancelled_and_dropped_calls: 1..=5;
    calls_inside_of_each_other: 1..=4;
    more_calls_than_there_are_tags: 2..=2;
    values_are_kept: 1..=5;
    some_of_the_workers: 1..=5;
    what_is_of_another_pool: 1..=3;
    many_tiny_tasks_in_little_memory: 2..=2;
    few_huge_tasks_in_little_memory: 2..=2;
    pools_that_differ: 2..=4;
    a_worker_without_a_state: 1..=4;
    the_body_panics: 1..=4;
    what_serializes_panics_on_the_master: 1..=3;
    an_interrupt_ends_calls: 1..=4;
    a_worker_that_dies: 1..=1, threads;
    rows_of_the_timeline: 1..=7;
}

/// Runs `body` on the masters of two pools, one whose master works and one whose master does not, and takes the value of each
/// to where it was.
fn with_pools<S>(comm: &Communicator, make: impl Fn(Pool<'_>) -> Result<S>) -> Outcome {
    for works in [false, true] {
        make(Pool::new(comm).master_works(works).seed(7))?;
        still_works(comm)?;
    }
    Ok(())
}

fn every_form_of_map(comm: &Communicator) -> Outcome {
    with_pools(comm, |mut pool| {
        let square = pool.function(|_, number: u64| Ok(number * number));
        let odd = pool.function(|_, number: u64| Ok((number % 2 == 1).then_some(number)));
        let word = pool.function(|_, number: u64| Ok(format!("[{number}]")));
        pool.run(|master| {
            for count in [0, 1, 2, 7, 64, 1000u64] {
                let squares: Vec<u64> = (0..count).map(|number| number * number).collect();
                assert_eq!(master.map(square, 0..count).unwrap(), squares);
                let view = master.load_balanced();
                // An iterator that does not know how many it has.
                let unknown = (0..10 * count)
                    .filter(|number| number % 10 == 0)
                    .map(|number| number / 10);
                assert_eq!(view.map(square, unknown).unwrap(), squares);
                let tried = view.try_map(square, 0..count).unwrap();
                assert_eq!(tried.into_iter().collect::<Result<Vec<_>, _>>().unwrap(), squares);
                let mut unordered: Vec<(u64, u64)> = view
                    .map_unordered(square, 0..count)
                    .map(|item| item.unwrap())
                    .map(|(index, result)| (index, result.unwrap()))
                    .collect();
                unordered.sort_unstable();
                assert_eq!(unordered, (0..).zip(squares.iter().copied()).collect::<Vec<_>>());
                assert_eq!(
                    view.filter_map(odd, 0..count).unwrap(),
                    (0..count).filter(|number| number % 2 == 1).collect::<Vec<_>>()
                );
                let mut seen = BTreeSet::new();
                view.for_each(square, 0..count, |index, result| {
                    assert_eq!(result, index * index);
                    assert!(seen.insert(index), "task {index} twice");
                })
                .unwrap();
                assert_eq!(seen.len() as u64, count);
                let text = view
                    .map_reduce(word, 0..count, |left, right| format!("({left}{right})"))
                    .unwrap();
                assert_eq!(text, (count > 0).then(|| tree(0, count)));
                assert_eq!(master.direct().map(square, 0..count).unwrap(), squares);
                let mut handle = view.start(square, 0..count);
                while !handle.wait(Duration::from_millis(1)) {}
                let progress = handle.progress();
                assert_eq!((progress.done, progress.failed, progress.running), (count, 0, 0));
                assert_eq!(
                    (progress.total, progress.remaining().unwrap_or(0.0)),
                    (Some(count), 0.0)
                );
                assert_eq!(handle.results().unwrap(), squares);
            }
        })
    })
}

/// What a reduction of numbers in brackets gives.
fn tree(first: u64, end: u64) -> String {
    match end - first {
        1 => format!("[{first}]"),
        count => {
            let middle = first + count.next_power_of_two() / 2;
            format!("({}{})", tree(first, middle), tree(middle, end))
        }
    }
}

fn chunks_and_orders(comm: &Communicator) -> Outcome {
    with_pools(comm, |mut pool| {
        let next = pool.function(|_, number: u64| Ok(number + 1));
        pool.run(|master| {
            for chunk in [
                Chunk::Fixed(0),
                Chunk::Fixed(1),
                Chunk::Fixed(7),
                Chunk::Guided,
                Chunk::Measured,
            ] {
                for in_flight in [0, 1, 3] {
                    let view = master.load_balanced().chunk(chunk).in_flight(in_flight);
                    let expected: Vec<u64> = (1..=200).collect();
                    assert_eq!(
                        view.map(next, 0..200).unwrap(),
                        expected,
                        "{chunk:?}, {in_flight}"
                    );
                    let unknown = (0..).take_while(|number| *number < 200);
                    assert_eq!(
                        view.map(next, unknown).unwrap(),
                        expected,
                        "{chunk:?}, {in_flight}"
                    );
                }
            }
        })
    })
}

/// Random numbers and sums of them, compared with the same without a pool.
fn numbers_do_not_depend_on_ranks(comm: &Communicator) -> Outcome {
    use rand::Rng;

    with_pools(comm, |mut pool| {
        let draw = pool.function(|worker, scale: f64| Ok(scale * worker.random().random::<f64>()));
        pool.run(|master| {
            let numbers = master.map(draw, (0..100).map(f64::from)).unwrap();
            let of_task = |call: u64, task: u64| {
                use rand::SeedableRng;
                let mut key = [0; 32];
                for (bytes, number) in key.chunks_exact_mut(8).zip([7, call, task]) {
                    bytes.copy_from_slice(&number.to_le_bytes());
                }
                task as f64 * warpcomm::pool::TaskRng::from_seed(key).random::<f64>()
            };
            let expected: Vec<f64> = (0..100).map(|task| of_task(0, task)).collect();
            assert_eq!(numbers, expected);
            let sum = master
                .load_balanced()
                .map_reduce(draw, (0..100).map(f64::from), |left, right| left + right);
            fn fold(numbers: &[f64]) -> f64 {
                match numbers {
                    [number] => *number,
                    _ => {
                        let (left, right) = numbers.split_at(numbers.len().next_power_of_two() / 2);
                        fold(left) + fold(right)
                    }
                }
            }
            let expected: Vec<f64> = (0..100).map(|task| of_task(1, task)).collect();
            assert_eq!(sum.unwrap().unwrap().to_bits(), fold(&expected).to_bits());
        })
    })
}

/// A value that cannot leave the rank where it is made, or not arrive at the next one.
#[derive(Clone, Debug, Default, PartialEq)]
struct Fragile {
    cannot_leave: bool,
    panics_there: bool,
    cannot_arrive: bool,
}

impl Serialize for Fragile {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        assert!(!self.panics_there, "broken on purpose");
        match self.cannot_leave {
            true => Err(serde::ser::Error::custom("cannot leave")),
            false => self.cannot_arrive.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Fragile {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> std::result::Result<Fragile, D::Error> {
        match bool::deserialize(deserializer)? {
            true => Err(serde::de::Error::custom("cannot arrive")),
            false => Ok(Fragile::default()),
        }
    }
}

fn text(failure: &TaskFailure) -> &str {
    match failure.cause() {
        Cause::Error(text) | Cause::Panic(text) => text,
        cause => panic!("{cause:?}"),
    }
}

fn a_task_fails_alone(comm: &Communicator) -> Outcome {
    with_pools(comm, |mut pool| {
        let breaks = pool.function(|_, number: u64| match number % 10 {
            3 => Err(format!("{number} is no good").into()),
            5 => panic!("{number} is bad"),
            _ => Ok(number),
        });
        let result_breaks = pool.function(|_, number: u64| {
            Ok(Fragile {
                cannot_leave: number % 10 == 3,
                panics_there: number % 10 == 5,
                cannot_arrive: number % 10 == 7,
            })
        });
        let task_breaks = pool.function(|worker, _: Fragile| Ok(worker.task()));
        pool.run(|master| {
            for chunk in [Chunk::Fixed(1), Chunk::Fixed(6), Chunk::Measured] {
                let view = master.load_balanced().chunk(chunk);
                let results = view.try_map(breaks, 0..60).unwrap();
                assert_eq!(results.len(), 60);
                for (number, result) in (0..).zip(&results) {
                    match (number % 10, result) {
                        (3, Err(failure)) => {
                            assert_eq!((failure.task(), failure.attempts()), (number, 1));
                            assert!(master.workers().contains(&failure.rank()));
                            assert_eq!(text(failure), format!("{number} is no good"));
                            assert!(
                                failure
                                    .to_string()
                                    .contains(&format!("task {number} failed on rank "))
                            );
                        }
                        (5, Err(failure)) => assert_eq!(text(failure), format!("{number} is bad")),
                        (_, result) => assert_eq!(*result, Ok(number)),
                    }
                }
                // One that cannot be read takes with it those of its message, whose tasks have run.
                let results = view.try_map(result_breaks, 0..60).unwrap();
                for (number, result) in (0..).zip(&results) {
                    match (number % 10, result) {
                        (3, Err(failure)) => assert!(text(failure).contains("cannot leave"), "{failure}"),
                        (5, Err(failure)) => {
                            assert!(text(failure).contains("broken on purpose"), "{failure}")
                        }
                        (3 | 5 | 7, _) if result.is_ok() => panic!("task {number}: {result:?}"),
                        (_, Err(failure)) => assert!(text(failure).contains("cannot arrive"), "{failure}"),
                        (_, Ok(result)) => assert_eq!(*result, Fragile::default()),
                    }
                    if chunk == Chunk::Fixed(1) {
                        assert_eq!(result.is_ok(), ![3, 5, 7].contains(&(number % 10)));
                    }
                }
                let tasks = (0..60).map(|number| Fragile {
                    cannot_leave: number % 10 == 3,
                    panics_there: false,
                    cannot_arrive: number % 10 == 7 && chunk == Chunk::Fixed(1),
                });
                let results = view.try_map(task_breaks, tasks.collect::<Vec<_>>()).unwrap();
                for (number, result) in (0..).zip(&results) {
                    match (number % 10, result) {
                        (3, Err(failure)) => assert!(text(failure).contains("cannot leave"), "{failure}"),
                        (7, Err(failure)) if chunk == Chunk::Fixed(1) => {
                            assert!(text(failure).contains("cannot arrive"), "{failure}");
                        }
                        (_, result) => assert_eq!(*result, Ok(number)),
                    }
                }
                assert_eq!(view.map(breaks, 0..3).unwrap(), [0, 1, 2], "the pool goes on");
            }
        })
    })
}

fn the_first_failure_ends_a_map(comm: &Communicator) -> Outcome {
    with_pools(comm, |mut pool| {
        let breaks = pool.function(|_, number: u64| match number {
            100 => Err("no good".into()),
            _ => Ok(number),
        });
        pool.run(|master| {
            let incomplete = master.map(breaks, 0..1_000_000).unwrap_err();
            match incomplete.why() {
                Stopped::Failed(failure) => assert_eq!((failure.task(), text(failure)), (100, "no good")),
                why => panic!("{why}"),
            }
            let done = incomplete.results();
            assert!(
                done.len() < 900_000,
                "{} tasks were given all the same",
                done.len()
            );
            assert!(done.iter().all(|(index, result)| index == result));
            assert!(done.is_sorted() && done.iter().all(|(index, _)| *index != 100));
            assert!(
                incomplete.to_string().contains("task 100 failed on rank"),
                "{incomplete}"
            );
            let stopped = master.load_balanced().for_each(breaks, 90..110, |_, _| {});
            assert!(matches!(stopped, Err(Stopped::Failed(_))));
            let stopped = master.direct().map(breaks, 90..110).unwrap_err();
            assert!(matches!(stopped.why(), Stopped::Failed(_)));
            let handle = master.load_balanced().start(breaks, 90..110);
            assert!(matches!(handle.results().unwrap_err().why(), Stopped::Failed(_)));
        })
    })
}

fn failed_tasks_go_elsewhere(comm: &Communicator) -> Outcome {
    with_pools(comm, |mut pool| {
        let last = comm.size() - 1;
        let picky = pool.function(move |worker, number: u64| match worker.rank() {
            rank if rank == last => Err("not here".into()),
            rank => Ok((number, rank)),
        });
        pool.run(|master| {
            let view = master.load_balanced().retries(1);
            let results = view.try_map(picky, 0..50).unwrap();
            for (number, result) in (0..).zip(results) {
                match result {
                    Ok((index, rank)) => assert!(index == number && rank != last),
                    Err(failure) => {
                        assert_eq!((failure.rank(), failure.attempts()), (last, 2));
                        assert_eq!(master.workers(), [last], "there is somebody else");
                    }
                }
            }
            let stopped = master.load_balanced().retries(0).try_map(picky, 0..50).unwrap();
            assert!(stopped.iter().flatten().all(|(_, rank)| *rank != last));
        })
    })
}

/// Spins, as a task that takes long does.
fn busy(time: Duration) {
    let begun = Instant::now();
    while begun.elapsed() < time {
        std::hint::spin_loop();
    }
}

fn what_is_injected_loses_and_repeats_nothing(comm: &Communicator) -> Outcome {
    with_pools(comm, |mut pool| {
        let hash = |number: u64| number.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 40;
        let hostile = pool.function(move |worker, number: u64| -> TaskResult<(u64, String)> {
            if worker.rank() == 1 {
                busy(Duration::from_micros(300));
            }
            match (hash(number) % 7, worker.rank() % 2) {
                (0, _) => Err("never".into()),
                (1, 0) => panic!("not on even ranks"),
                (2, 1) => Err("not on odd ranks".into()),
                _ => Ok((number, "x".repeat((hash(number) % 5000) as usize))),
            }
        });
        pool.run(|master| {
            for chunk in [Chunk::Fixed(1), Chunk::Measured] {
                let view = master.load_balanced().chunk(chunk).retries(2);
                let mut seen = BTreeSet::new();
                for item in view.map_unordered(hostile, 0..400u64) {
                    let (index, result) = item.unwrap();
                    assert!(seen.insert(index), "task {index} twice");
                    match result {
                        Ok((number, text)) => {
                            assert_eq!((number, text.len() as u64), (index, hash(index) % 5000));
                            assert_ne!(hash(index) % 7, 0);
                        }
                        Err(failure) => {
                            assert!(hash(index) % 7 < 3, "{failure}");
                            assert_eq!((failure.task(), failure.attempts()), (index, 3));
                        }
                    }
                }
                assert_eq!(seen.len(), 400);
                // Ended early, and begun anew at once.
                let mut some = view.map_unordered(hostile, 0..400u64);
                for _ in 0..37 {
                    assert!(some.next().is_some_and(|item| item.is_ok()));
                }
            }
        })
    })
}

fn a_task_over_its_time_limit(comm: &Communicator) -> Outcome {
    with_pools(comm, |mut pool| {
        // The seventh waits until nobody wants it any more, on the rank that tries it first.
        let waits = pool.function(|worker, (number, is_endless): (u64, bool)| {
            while number == 6 && (is_endless || worker.rank() + 1 == worker.size()) && !worker.is_cancelled()
            {
                std::hint::spin_loop();
            }
            Ok(number)
        });
        pool.run(|master| {
            let limit = Duration::from_millis(100);
            let view = master.load_balanced().time_limit(limit).retries(1);
            for is_endless in [true, false] {
                let tasks = (0..8).map(|number| (number, is_endless));
                let results = view.try_map(waits, tasks).unwrap();
                for (number, result) in (0..).zip(&results) {
                    match result {
                        Ok(result) => assert!(*result == number && !(is_endless && number == 6)),
                        // Where ranks have to wait for cores, others may take too long as well.
                        Err(failure) => {
                            assert_eq!((failure.task(), failure.attempts()), (number, 2));
                            assert_eq!(*failure.cause(), Cause::TimeLimit(limit));
                            expect_text_of(failure, &["took more than 100ms on rank", "(attempt 2)"]);
                        }
                    }
                }
            }
            let incomplete = view.map(waits, (0..8).map(|number| (number, true))).unwrap_err();
            assert!(matches!(incomplete.why(), Stopped::Failed(failure) if *failure.cause() == Cause::TimeLimit(limit)));
        })
    })
}

fn expect_text_of(error: &dyn std::error::Error, parts: &[&str]) {
    let text = error.to_string();
    assert!(parts.iter().all(|part| text.contains(part)), "{text}");
}

fn cancelled_and_dropped_calls(comm: &Communicator) -> Outcome {
    with_pools(comm, |mut pool| {
        let square = pool.function(|_, number: u64| Ok(number * number));
        pool.run(|master| {
            let mut handle = master.load_balanced().start(square, 0..);
            while handle.progress().done < 10 {
                handle.wait(Duration::from_millis(1));
            }
            handle.cancel();
            handle.cancel();
            let incomplete = handle.results().unwrap_err();
            assert!(matches!(incomplete.why(), Stopped::Cancelled), "{incomplete}");
            let done = incomplete.into_results();
            assert!(done.len() >= 10);
            assert!(done.iter().all(|(index, result)| *result == index * index));
            drop(master.load_balanced().start(square, 0..));
            assert_eq!(
                master.load_balanced().map_unordered(square, 0..).take(25).count(),
                25
            );
            assert_eq!(master.map(square, 0..3).unwrap(), [0, 1, 4]);
        })
    })
}

fn calls_inside_of_each_other(comm: &Communicator) -> Outcome {
    with_pools(comm, |mut pool| {
        let square = pool.function(|_, number: u64| Ok(number * number));
        let long = pool.function(|_, number: u64| Ok(vec![number; 5_000]));
        pool.run(|master| {
            let mut count = 0;
            for item in master.load_balanced().map_unordered(long, 0..20) {
                let (index, result) = item.unwrap();
                assert_eq!(result.unwrap(), vec![index; 5_000]);
                let inner = master.map(square, 0..index).unwrap();
                assert_eq!(
                    inner,
                    (0..index).map(|number| number * number).collect::<Vec<_>>()
                );
                count += 1;
            }
            assert_eq!(count, 20);
            let handles: Vec<_> = (0..5u64)
                .map(|from| (from, master.load_balanced().start(square, from..from + 10)))
                .collect();
            for (from, handle) in handles.into_iter().rev() {
                let expected: Vec<u64> = (from..from + 10).map(|number| number * number).collect();
                assert_eq!(handle.results().unwrap(), expected);
            }
        })
    })
}

fn more_calls_than_there_are_tags(comm: &Communicator) -> Outcome {
    let mut pool = Pool::new(comm);
    let next = pool.function(|_, number: u64| Ok(number + 1));
    pool.run(|master| {
        for number in 0..10_500 {
            let view = master.load_balanced();
            // Not those that come again with their tags.
            match number % 101 {
                0 => drop(view.start(next, 0..3)),
                _ => assert_eq!(view.map(next, [number]).unwrap(), [number + 1]),
            }
        }
    })?;
    Ok(())
}

fn values_are_kept(comm: &Communicator) -> Outcome {
    with_pools(comm, |mut pool| {
        let numbers = pool.value::<Vec<u64>>();
        let words = pool.value::<String>();
        let fragile = pool.value::<Fragile>();
        let add = pool.function(move |worker, more: u64| {
            let rank = worker.rank() as u64;
            let numbers = worker.value(numbers).as_mut().ok_or("no numbers")?;
            numbers.push(rank * more);
            Ok(numbers.len())
        });
        pool.run(|master| {
            let (workers, count) = (master.direct(), master.workers().len());
            let nothing = workers.pull(words).unwrap_err();
            assert_eq!(nothing.kind(), ErrorKind::PeerFailed);
            expect_text(&nothing, &["pull", "the value of rank", "it has none"]);
            workers.push(words, "hello".to_owned()).unwrap();
            assert_eq!(workers.pull(words).unwrap(), vec!["hello"; count]);
            assert_eq!(workers.pull(words).unwrap(), vec!["hello"; count], "they keep it");
            let all: Vec<u64> = (0..23).collect();
            workers.scatter(numbers, all.clone()).unwrap();
            assert_eq!(workers.gather(numbers).unwrap(), all);
            let lengths = workers.apply(add, 10).unwrap();
            assert_eq!(lengths.iter().sum::<usize>(), 23 + count);
            for (part, rank) in workers.pull(numbers).unwrap().iter().zip(master.workers()) {
                assert_eq!(part.last(), Some(&(10 * *rank as u64)));
            }
            let cannot = |cannot_leave, cannot_arrive| Fragile {
                cannot_leave,
                panics_there: false,
                cannot_arrive,
            };
            assert_eq!(
                workers.push(fragile, cannot(true, false)).unwrap_err().kind(),
                ErrorKind::InvalidArgument
            );
            let unreadable = workers.push(fragile, cannot(false, true)).unwrap_err();
            expect_text(&unreadable, &["push", "it cannot be read", "cannot arrive"]);
            workers.push(fragile, cannot(false, false)).unwrap();
            assert_eq!(workers.pull(fragile).unwrap(), vec![Fragile::default(); count]);
        })
    })
}

fn some_of_the_workers(comm: &Communicator) -> Outcome {
    with_pools(comm, |mut pool| {
        let who = pool.function(|worker, (): ()| Ok((worker.rank(), worker.size())));
        pool.run(|master| {
            let workers = master.workers().to_vec();
            let all = master.direct();
            assert_eq!(all.ranks(), workers);
            let expected: Vec<_> = workers.iter().map(|rank| (*rank, comm.size())).collect();
            assert_eq!(all.apply(who, ()).unwrap(), expected);
            let reversed: Vec<usize> = workers.iter().rev().copied().collect();
            let some = all.on(&reversed).unwrap();
            assert_eq!(
                some.apply(who, ()).unwrap(),
                expected.iter().rev().copied().collect::<Vec<_>>()
            );
            for wrong in [&[][..], &[99], &[workers[0], workers[0]]] {
                expect_error(all.on(wrong), ErrorKind::InvalidArgument);
            }
            assert_eq!(some.map(who, std::iter::repeat_n((), 100)).unwrap().len(), 100);
        })
    })
}

fn what_is_of_another_pool(comm: &Communicator) -> Outcome {
    let mut other = Pool::new(comm);
    let strangers: Vec<_> = (0..3)
        .map(|_| other.function(|_, number: u64| Ok(number)))
        .collect();
    let values: Vec<_> = (0..3).map(|_| other.value::<u64>()).collect();
    with_pools(comm, |mut pool| {
        let own = pool.function(|_, number: u64| Ok(number));
        let kept = pool.value::<u64>();
        let stranger = values[0];
        let looks = pool.function(move |worker, (): ()| Ok(*worker.value(stranger)));
        pool.run(|master| {
            for &function in &strangers {
                let incomplete = master.map(function, 0..10).unwrap_err();
                expect_text_of(
                    &incomplete,
                    &["pool on rank 0: a function or a value of another pool"],
                );
                assert!(master.load_balanced().start(function, 0..10).results().is_err());
                assert!(master.direct().apply(function, 1).is_err());
            }
            for &value in &values {
                expect_error(master.direct().push(value, 1), ErrorKind::InvalidArgument);
                expect_error(master.direct().pull(value), ErrorKind::InvalidArgument);
            }
            let incomplete = master.map(looks, [()]).unwrap_err();
            expect_text_of(&incomplete, &["task 0 panicked", "is of another pool"]);
            master.direct().push(kept, 7).unwrap();
            assert_eq!(master.map(own, 0..3).unwrap(), [0, 1, 2]);
        })
    })
}

fn many_tiny_tasks_in_little_memory(comm: &Communicator) -> Outcome {
    let mut pool = Pool::new(comm);
    let next = pool.function(|_, number: u64| Ok(number + 1));
    let found = pool.run(|master: &Master| {
        most_bytes(|| {
            let mut sum = 0;
            let stopped = master
                .load_balanced()
                .for_each(next, 0..100_000, |_, number| sum += number);
            stopped.map(|()| sum)
        })
    })?;
    if let Some((sum, most)) = found {
        assert_eq!(sum.unwrap(), 100_000 * 100_001 / 2);
        assert!(most < 4 << 20, "{most} bytes for tasks of 8");
    }
    Ok(())
}

fn few_huge_tasks_in_little_memory(comm: &Communicator) -> Outcome {
    const BYTES: usize = 64 << 20;
    let mut pool = Pool::new(comm);
    let last = pool.function(|_, bytes: serde_bytes::ByteBuf| Ok((bytes.len(), bytes.last().copied())));
    let found = pool.run(|master: &Master| {
        most_bytes(|| {
            let tasks = (0..10u8).map(|byte| serde_bytes::ByteBuf::from(vec![byte; BYTES]));
            master.load_balanced().map(last, tasks)
        })
    })?;
    if let Some((results, most)) = found {
        let expected: Vec<_> = (0..10u8).map(|byte| (BYTES, Some(byte))).collect();
        assert_eq!(results.unwrap(), expected);
        // A task while its message is made, the message, and what another one is read from and becomes.
        assert!(most < 5 * BYTES as u64, "{most} bytes for 10 tasks of {BYTES}");
    }
    Ok(())
}

fn pools_that_differ(comm: &Communicator) -> Outcome {
    let other = comm.rank() == 1;
    let mut pool = Pool::new(comm);
    match other {
        true => drop(pool.function(|_, number: u32| Ok(number))),
        false => drop(pool.function(|_, number: u64| Ok(number))),
    }
    let error = expect_error(pool.run(|_| ()), ErrorKind::Mismatch);
    expect_text(
        &error,
        &["pool", "rank 1 has another pool than rank 0", "u32 -> u32"],
    );
    let error = expect_error(
        Pool::new(comm).seed(comm.rank() as u64).run(|_| ()),
        ErrorKind::Mismatch,
    );
    expect_text(&error, &["seed"]);
    still_works(comm)
}

fn a_worker_without_a_state(comm: &Communicator) -> Outcome {
    let last = comm.size() - 1;
    for panics in [false, true] {
        for works in [false, true] {
            let pool = Pool::with_state(comm, |rank| match rank == last {
                true if panics => panic!("no state here"),
                true => Err("no state here".into()),
                false => Ok(()),
            });
            let error = expect_error(pool.master_works(works).run(|_| ()), ErrorKind::PeerFailed);
            expect_text(&error, &[&format!("rank {last} cannot work"), "no state here"]);
            still_works(comm)?;
        }
    }
    Ok(())
}

fn the_body_panics(comm: &Communicator) -> Outcome {
    with_pools(comm, |mut pool| {
        let square = pool.function(|_, number: u64| Ok(number * number));
        let ran = catch_unwind(AssertUnwindSafe(|| {
            pool.run(|master| {
                let _some = master.load_balanced().start(square, 0..);
                panic!("on purpose");
            })
        }));
        match comm.rank() {
            0 => assert_eq!(ran.unwrap_err().downcast_ref(), Some(&"on purpose")),
            _ => assert_eq!(ran.unwrap()?, None::<()>),
        }
        Ok(())
    })
}

fn rows_of_the_timeline(comm: &Communicator) -> Outcome {
    with_pools(comm, |pool| {
        let mut pool = pool.timeline(true);
        let wait = pool.function(|_, micros: u64| {
            busy(Duration::from_micros(micros));
            Ok(vec![0u8; 100])
        });
        pool.run(|master| {
            let tasks: Vec<u64> = (0..64).map(|number| 50 + number * 37 % 400).collect();
            master
                .load_balanced()
                .name("waits")
                .map(wait, tasks.clone())
                .unwrap();
            master.direct().map(wait, tasks).unwrap();
            let all = master.timeline();
            assert_eq!(all.workers, master.workers());
            for (call, name) in [(0, "waits"), (1, "")] {
                let timeline = all.of_call(call);
                assert_eq!(timeline.entries.len(), 64);
                let tasks: BTreeSet<u64> = timeline.entries.iter().map(|entry| entry.task).collect();
                assert_eq!(tasks, (0..64).collect());
                for &rank in &timeline.workers {
                    let mut row: Vec<_> = timeline
                        .entries
                        .iter()
                        .filter(|entry| entry.rank == rank)
                        .collect();
                    row.sort_by_key(|entry| entry.begin);
                    assert!(
                        row.windows(2).all(|pair| pair[0].end <= pair[1].begin),
                        "{row:#?}"
                    );
                }
                for entry in &timeline.entries {
                    assert!(
                        entry.name == name && !entry.has_failed && entry.attempt == 1,
                        "{entry:?}"
                    );
                    assert!(
                        entry.begin < entry.end && entry.bytes_in > 0 && entry.bytes_out >= 100,
                        "{entry:?}"
                    );
                    let error =
                        all.clock_errors[all.workers.iter().position(|rank| *rank == entry.rank).unwrap()];
                    assert!(entry.given <= entry.begin + error, "{entry:?}, {error}");
                }
                assert!((0.0..=1.0).contains(&timeline.idle()));
                assert!(timeline.makespan() > 0);
            }
            // In blocks each worker has its own.
            let blocks = all.of_call(1);
            let first = blocks.entries.iter().filter(|entry| entry.rank == all.workers[0]);
            assert_eq!(first.count(), 64usize.div_ceil(all.workers.len()));
        })
    })
}

/// Panics where it is read, if it is told to.
#[derive(Serialize)]
struct Trap(bool);

impl<'de> Deserialize<'de> for Trap {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> std::result::Result<Trap, D::Error> {
        let trap = Trap(bool::deserialize(deserializer)?);
        assert!(!trap.0, "a trap");
        Ok(trap)
    }
}

fn what_serializes_panics_on_the_master(comm: &Communicator) -> Outcome {
    with_pools(comm, |mut pool| {
        let trap = pool.function(|_, number: u64| Ok(Trap(number == 5)));
        let task = pool.function(|_, _: Fragile| Ok(()));
        pool.run(|master| {
            let view = master.load_balanced().chunk(Chunk::Fixed(1));
            let results = view.try_map(trap, 0..20).unwrap();
            for (number, result) in (0..).zip(results) {
                match result {
                    Ok(_) => assert_ne!(number, 5),
                    Err(failure) => assert!(number == 5 && text(&failure).contains("a trap"), "{failure}"),
                }
            }
            let breaks = |number| Fragile {
                panics_there: number == 3,
                ..Fragile::default()
            };
            let results = view.try_map(task, (0..6).map(breaks)).unwrap();
            assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 5);
            assert!(text(results[3].as_ref().unwrap_err()).contains("broken on purpose"));
            // Tasks that cannot be had: the call is given up, and the next one works.
            let tasks = (0..100u64).map(|number| match number {
                50 => panic!("no more tasks"),
                number => number,
            });
            assert!(catch_unwind(AssertUnwindSafe(|| view.map(trap, tasks.skip(6)).map(drop))).is_err());
            assert_eq!(view.map(trap, 6..10).unwrap().len(), 4);
        })
    })
}

fn an_interrupt_ends_calls(comm: &Communicator) -> Outcome {
    use rustix::process::{Signal, getpid, kill_process};

    with_pools(comm, |mut pool| {
        let square = pool.function(|_, number: u64| Ok(number * number));
        pool.run(|master| {
            assert!(!master.is_interrupted());
            let mut done = 0;
            let mut last = None;
            for item in master.load_balanced().map_unordered(square, 0..) {
                match item {
                    Ok((index, result)) => assert_eq!(result.unwrap(), index * index),
                    Err(stopped) => last = Some(stopped),
                }
                done += 1;
                if done == 100 {
                    kill_process(getpid(), Signal::INT).unwrap();
                }
            }
            assert!(matches!(last, Some(Stopped::Interrupted)), "{last:?}");
            assert!(master.is_interrupted());
            let incomplete = master.map(square, 0..10).unwrap_err();
            assert!(matches!(incomplete.why(), Stopped::Interrupted), "{incomplete}");
        })
    })
}

/// Takes its thread with it where it is made.
#[derive(Serialize, Deserialize)]
struct Deadly(bool);

impl Drop for Deadly {
    fn drop(&mut self) {
        assert!(!self.0, "dead on purpose");
    }
}

fn a_worker_that_dies(_: &Communicator) -> Outcome {
    let (told, why) = std::sync::mpsc::channel();
    let ran = catch_unwind(|| {
        Communicator::threads(3, |comm| {
            let mut pool = Pool::new(&comm);
            let die = pool.function(|worker, number: u64| match worker.rank() {
                1 => Ok(Deadly(number >= 4 && number.is_multiple_of(2))),
                _ => {
                    // Somebody else will not get them all.
                    busy(Duration::from_millis(1));
                    Ok(Deadly(false))
                }
            });
            pool.run(|master| {
                let view = master.load_balanced().chunk(Chunk::Fixed(2)).in_flight(1);
                if let Err(incomplete) = view.map(die, 0..10_000) {
                    told.send(incomplete.to_string()).unwrap();
                    assert!(matches!(incomplete.why(), Stopped::Broken(..)));
                }
            })
        })
    });
    assert!(ran.is_err(), "its panic goes on");
    let why = why.try_recv().expect("the master is told");
    assert!(
        why.contains("rank 1 had 2 tasks: ") && why.contains("tasks are done"),
        "{why}"
    );
    Ok(())
}
