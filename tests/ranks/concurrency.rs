//! Several threads of a rank that use the library at the same time.

use std::collections::VecDeque;
use std::sync::mpsc;
use std::thread;

use warpcomm::{ErrorKind, Op, Source, Tag};

use super::common::{next, previous, still_works};
use crate::harness::{Failure, Outcome, expect_error};
use crate::oracle::{assert_same, vector};
use crate::placed::{Communicator, Request};

cases! {
    an_operation_while_another_thread_waits_in_a_collective: 2..=3;
    a_request_while_another_thread_waits: 2..=2;
    messages_of_many_threads: 2..=3;
    collectives_of_many_threads_on_their_own_communicators: 2..=4;
    two_threads_in_collectives_of_one_communicator: 2..=3;
    scopes_of_many_threads: 2..=2;
    a_request_changes_threads: 2..=2;
    threads_that_come_and_go: 2..=2;
    communicators_made_and_dropped_by_many_threads: 2..=3;
    communicators_founded_by_many_threads: 2..=4;
    more_duplicates_by_many_threads_than_mpi_has_contexts: 3..=3, mpi;
}

const LONG: usize = 20_000;

fn joined(thread: thread::ScopedJoinHandle<'_, Outcome>) -> Outcome {
    thread
        .join()
        .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

fn an_operation_while_another_thread_waits_in_a_collective(comm: &Communicator) -> Outcome {
    // The others enter the barrier only when they have had their message from rank 0, whose other thread
    // may be in the barrier by then.
    for round in 0..50u32 {
        let length = if round % 2 == 0 { 1 } else { LONG };
        if comm.rank() == 0 {
            thread::scope(|scope| {
                let barrier = scope.spawn(|| comm.barrier().map_err(Failure::from));
                for other in 1..comm.size() {
                    comm.send(&vec![round; length], other, Tag(0))?;
                    let mut answer = vec![0; length];
                    comm.recv(&mut answer, other, Tag(1))?;
                    assert_eq!(answer, vec![round + 1; length]);
                }
                joined(barrier)
            })?;
        } else {
            let mut received = vec![0; length];
            comm.recv(&mut received, 0, Tag(0))?;
            assert_eq!(received, vec![round; length]);
            comm.send(&vec![round + 1; length], 0, Tag(1))?;
            comm.barrier()?;
        }
    }
    Ok(())
}

fn a_request_while_another_thread_waits(comm: &Communicator) -> Outcome {
    let peer = 1 - comm.rank();
    for round in 0..50u32 {
        thread::scope(|scope| {
            let waiting = scope.spawn(|| -> Outcome {
                let mut received = [0u32; 3];
                comm.recv(&mut received, peer, Tag(9))?;
                assert_eq!(received, [round; 3]);
                Ok(())
            });
            // Both threads of both ranks are busy, and the message that ends it all is the last.
            let sending = comm.isend(vec![round; LONG], peer, Tag(0));
            let receiving = comm.irecv(vec![0u32; LONG], peer, Tag(0));
            assert_eq!(receiving.wait()?.0, vec![round; LONG]);
            sending.wait()?;
            comm.send(&[round; 3], peer, Tag(9))?;
            joined(waiting)
        })?;
    }
    Ok(())
}

fn messages_of_many_threads(comm: &Communicator) -> Outcome {
    // The threads of a rank tell their messages apart by tag.
    thread::scope(|scope| {
        let threads: Vec<_> = (0..4)
            .map(|number| {
                scope.spawn(move || -> Outcome {
                    let tag = Tag(number);
                    for round in 0..30 {
                        let length = [3, 2000, 0, 600][(round + number as usize) % 4];
                        let salt = (1000 * number) as u64 + round as u64;
                        let own: Vec<u32> = vector(salt, comm.rank(), length);
                        let mut received = vec![0u32; length];
                        comm.sendrecv(&own, next(comm), tag, &mut received, previous(comm), tag)?;
                        assert_same(&received, &vector(salt, previous(comm), length), || {
                            format!("thread {number}")
                        });
                    }
                    Ok(())
                })
            })
            .collect();
        threads.into_iter().try_for_each(joined)
    })
}

fn collectives_of_many_threads_on_their_own_communicators(comm: &Communicator) -> Outcome {
    let communicators: Vec<Communicator> = (0..4).map(|_| comm.duplicate()).collect::<Result<_, _>>()?;
    thread::scope(|scope| {
        let threads: Vec<_> = communicators
            .iter()
            .enumerate()
            .map(|(number, own)| {
                scope.spawn(move || -> Outcome {
                    for round in 0..30 {
                        let mut values = vec![(number + round + own.rank()) as u64; [2, 3000][round % 2]];
                        own.allreduce_in_place(&mut values, Op::Sum)?;
                        let size = own.size();
                        let sum = (size * (number + round) + size * (size - 1) / 2) as u64;
                        assert!(
                            values.iter().all(|value| *value == sum),
                            "thread {number}, round {round}"
                        );
                        own.barrier()?;
                    }
                    Ok(())
                })
            })
            .collect();
        threads.into_iter().try_for_each(joined)
    })
}

fn two_threads_in_collectives_of_one_communicator(comm: &Communicator) -> Outcome {
    for _ in 0..20 {
        if comm.rank() != 0 {
            // Enters when one of rank 0's threads was sent away, so that the other one is in.
            comm.recv(&mut [0u8], 0, Tag(0))?;
            comm.barrier()?;
            continue;
        }
        let refused = thread::scope(|scope| {
            let enter = || {
                let outcome = comm.barrier();
                let refused = u32::from(outcome.is_err());
                if outcome.is_err() {
                    expect_error(outcome, ErrorKind::InvalidArgument);
                    (1..comm.size()).try_for_each(|other| comm.send(&[1u8], other, Tag(0)))?;
                }
                Ok::<u32, Failure>(refused)
            };
            let threads = [scope.spawn(enter), scope.spawn(enter)];
            threads
                .into_iter()
                .map(|thread| thread.join().expect("no panic"))
                .sum::<Result<u32, _>>()
        })?;
        assert_eq!(refused, 1, "one of the threads is refused");
    }
    still_works(comm)
}

fn scopes_of_many_threads(comm: &Communicator) -> Outcome {
    let peer = 1 - comm.rank();
    thread::scope(|threads| {
        let threads: Vec<_> = (0..4u64)
            .map(|number| {
                threads.spawn(move || -> Outcome {
                    for round in 0..10 {
                        let salt = 100 * number + round;
                        let own: Vec<f32> = vector(salt, comm.rank(), LONG);
                        let mut received = vec![0f32; LONG];
                        comm.scope(|scope| {
                            scope.isend(&own, peer, Tag(number as i32))?;
                            scope.irecv(&mut received, peer, Tag(number as i32))?;
                            Ok(())
                        })?;
                        assert_same(&received, &vector(salt, peer, LONG), || {
                            format!("thread {number}")
                        });
                    }
                    Ok(())
                })
            })
            .collect();
        threads.into_iter().try_for_each(joined)
    })
}

fn a_request_changes_threads(comm: &Communicator) -> Outcome {
    let peer = 1 - comm.rank();
    let (sender, requests) = mpsc::channel();
    thread::scope(|scope| {
        let waiting = scope.spawn(move || -> Outcome {
            for (number, request) in requests {
                let request: Request<Vec<u32>> = request;
                assert_eq!(request.wait()?.0, vec![number; LONG]);
            }
            Ok(())
        });
        for number in 0..20 {
            let receive = comm.irecv(vec![0u32; LONG], peer, Tag(0));
            sender
                .send((number, receive))
                .map_err(|_| Failure("the thread is gone".to_owned()))?;
            comm.send(&vec![number; LONG], peer, Tag(0))?;
        }
        drop(sender);
        joined(waiting)
    })
}

fn threads_that_come_and_go(comm: &Communicator) -> Outcome {
    let peer = 1 - comm.rank();
    for round in 0..100u64 {
        let comm = comm.clone();
        let thread = thread::spawn(move || -> Outcome {
            let send = comm.isend(vec![round; 700], peer, Tag(0));
            let mut received = vec![0u64; 700];
            comm.recv(&mut received, Source::Any, Tag::ANY)?;
            assert_eq!(received, vec![round; 700]);
            // Nobody waits for it: the progress thread, or the next caller, completes it.
            drop(send);
            Ok(())
        });
        thread
            .join()
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
    }
    still_works(comm)
}

fn communicators_made_and_dropped_by_many_threads(comm: &Communicator) -> Outcome {
    let parents: Vec<Communicator> = (0..3).map(|_| comm.duplicate()).collect::<Result<_, _>>()?;
    thread::scope(|scope| {
        let threads: Vec<_> = parents
            .iter()
            .enumerate()
            .map(|(number, parent)| {
                scope.spawn(move || -> Outcome {
                    let mut kept = VecDeque::new();
                    for round in 0..24 {
                        kept.push_back(parent.duplicate()?);
                        // All ranks have the last three, and older ones for different times.
                        let oldest_of_all = kept.len().saturating_sub(3);
                        still_works(&kept[oldest_of_all])?;
                        while kept.len() > 3 + (round + number + parent.rank()) % 4 {
                            kept.pop_front();
                        }
                    }
                    Ok(())
                })
            })
            .collect();
        threads.into_iter().try_for_each(joined)
    })?;
    still_works(comm)
}

fn communicators_founded_by_many_threads(comm: &Communicator) -> Outcome {
    let is_low = comm.rank() == 0;
    let local = comm.split(Some(u32::from(is_low)), 0)?.expect("a color");
    let locals: Vec<Communicator> = (0..4).map(|_| local.duplicate()).collect::<Result<_, _>>()?;
    let forward = comm.group();
    let backward = forward.include_ranges(&[(comm.size() - 1, 0, -1)])?;
    // Two threads for each order of the same ranks, and an intercommunicator of theirs beside: told apart by tags.
    let found = |number: usize, local: &Communicator| -> Outcome {
        let group = if number.is_multiple_of(2) {
            &forward
        } else {
            &backward
        };
        let mut kept = VecDeque::new();
        for _ in 0..8 {
            let part = comm.create_group(group, Tag(number as i32))?;
            let mut ranks = vec![0u64; part.size()];
            part.allgather(&(10 * number as u64 + part.rank() as u64), &mut ranks)?;
            let expected: Vec<u64> = (0..part.size()).map(|rank| (10 * number + rank) as u64).collect();
            assert_eq!(ranks, expected);
            let tag = Tag(10 + number as i32);
            let between = local.create_intercommunicator(0, comm, usize::from(is_low), tag)?;
            if between.rank() == 0 {
                let (own, mut received) = (number as u64, 99);
                between.sendrecv(&own, 0, Tag(0), &mut received, 0, Tag(0))?;
                assert_eq!(received, own);
            }
            kept.push_back((part, between));
            while kept.len() > 1 + comm.rank() {
                kept.pop_front();
            }
        }
        Ok(())
    };
    thread::scope(|scope| {
        let threads: Vec<_> = locals
            .iter()
            .enumerate()
            .map(|(number, local)| {
                scope.spawn({
                    let found = &found;
                    move || found(number, local)
                })
            })
            .collect();
        threads.into_iter().try_for_each(joined)
    })?;
    still_works(comm)
}

fn more_duplicates_by_many_threads_than_mpi_has_contexts(comm: &Communicator) -> Outcome {
    let parents: Vec<Communicator> = (0..3).map(|_| comm.duplicate()).collect::<Result<_, _>>()?;
    thread::scope(|scope| {
        let duplicate =
            |parent| move || (0..1500).try_for_each(|_| Communicator::duplicate(parent).map(drop));
        let threads: Vec<_> = parents
            .iter()
            .map(|parent| scope.spawn(duplicate(parent)))
            .collect();
        threads.into_iter().try_for_each(|thread| {
            let outcome = thread.join();
            Ok(outcome.unwrap_or_else(|panic| std::panic::resume_unwind(panic))?)
        })
    })
}
