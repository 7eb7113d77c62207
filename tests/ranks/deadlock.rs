//! Programs that deadlock where a waiting rank does not serve its other operations.

use std::panic::{AssertUnwindSafe, catch_unwind};

use warpcomm::{Error, ErrorKind, Op, Tag};

use super::common::{others, still_works};
use crate::harness::{Outcome, expect_error};
use crate::oracle::{assert_same, vector};
use crate::placed::Communicator;

cases! {
    a_posted_receive_and_a_barrier: 2..=4;
    a_posted_receive_in_a_scope_and_a_barrier: 2..=4;
    everyone_sends_to_everyone_before_receiving: 2..=7;
    everyone_receives_in_a_scope_and_sends_blocking: 2..=5;
    head_to_head: 2..=2;
    long_messages_crossing_in_a_ring: 3..=7;
    pending_requests_during_every_collective: 2..=4;
    an_error_in_a_scope: 2..=2;
    a_panic_in_a_scope: 2..=2;
    an_error_in_a_scope_whose_message_may_travel: 2..=2;
    a_send_that_waits_while_others_split: 3..=4;
}

/// Above every limit that makes a message short.
const LONG: usize = 50_000;

fn a_posted_receive_and_a_barrier(comm: &Communicator) -> Outcome {
    for round in 0..10 {
        if comm.rank() == 0 {
            let receives: Vec<_> = others(comm)
                .map(|other| (other, comm.irecv(vec![0u32; LONG], other, Tag(0))))
                .collect();
            comm.barrier()?;
            for (other, receive) in receives {
                assert_eq!(receive.wait()?.0, vec![other as u32 + round; LONG]);
            }
        } else {
            comm.send(&vec![comm.rank() as u32 + round; LONG], 0, Tag(0))?;
            comm.barrier()?;
        }
    }
    Ok(())
}

fn a_posted_receive_in_a_scope_and_a_barrier(comm: &Communicator) -> Outcome {
    if comm.rank() == 0 {
        let mut buffers = vec![vec![0u32; LONG]; comm.size()];
        comm.scope(|scope| {
            for (other, buffer) in buffers.iter_mut().enumerate().skip(1) {
                scope.irecv(buffer, other, Tag(0))?;
            }
            comm.barrier()
        })?;
        for (other, buffer) in buffers.iter().enumerate().skip(1) {
            assert_eq!(*buffer, vec![other as u32; LONG]);
        }
    } else {
        comm.send(&vec![comm.rank() as u32; LONG], 0, Tag(0))?;
        comm.barrier()?;
    }
    Ok(())
}

fn everyone_sends_to_everyone_before_receiving(comm: &Communicator) -> Outcome {
    let own: Vec<u64> = vector(1, comm.rank(), LONG);
    let mut received = vec![vec![0u64; LONG]; comm.size()];
    comm.scope(|scope| {
        for other in 0..comm.size() {
            scope.isend(&own, other, Tag(0))?;
        }
        for (other, buffer) in received.iter_mut().enumerate() {
            scope.irecv(buffer, other, Tag(0))?;
        }
        Ok(())
    })?;
    for (other, buffer) in received.iter().enumerate() {
        assert_same(buffer, &vector(1, other, LONG), || format!("from {other}"));
    }
    Ok(())
}

fn everyone_receives_in_a_scope_and_sends_blocking(comm: &Communicator) -> Outcome {
    let own: Vec<u64> = vector(2, comm.rank(), LONG);
    let mut received = vec![vec![0u64; LONG]; comm.size()];
    comm.scope(|scope| {
        for (other, buffer) in received.iter_mut().enumerate() {
            scope.irecv(buffer, other, Tag(0))?;
        }
        (0..comm.size()).try_for_each(|other| comm.send(&own, other, Tag(0)))
    })?;
    for (other, buffer) in received.iter().enumerate() {
        assert_same(buffer, &vector(2, other, LONG), || format!("from {other}"));
    }
    Ok(())
}

fn head_to_head(comm: &Communicator) -> Outcome {
    const BYTES: usize = 64 << 20;
    let pattern = |rank: usize| -> Vec<u8> {
        let block: Vec<u8> = vector(3, rank, 1 << 16);
        block
            .into_iter()
            .cycle()
            .take(1 << 20)
            .collect::<Vec<_>>()
            .repeat(BYTES >> 20)
    };
    let peer = 1 - comm.rank();
    let own = pattern(comm.rank());
    let mut received = vec![0; BYTES];
    comm.sendrecv(&own, peer, Tag(0), &mut received, peer, Tag(0))?;
    assert!(received == pattern(peer), "64 MiB arrived damaged");
    Ok(())
}

fn long_messages_crossing_in_a_ring(comm: &Communicator) -> Outcome {
    // Both ways round at the same time, blocking on every rank.
    let (rank, size) = (comm.rank(), comm.size());
    let own: Vec<f64> = vector(4, rank, LONG);
    for step in 1..size {
        let (up, down) = ((rank + step) % size, (rank + size - step) % size);
        let mut received = vec![0.0; LONG];
        comm.sendrecv(&own, up, Tag(0), &mut received, down, Tag(0))?;
        assert_same(&received, &vector(4, down, LONG), || format!("from {down}"));
    }
    Ok(())
}

fn pending_requests_during_every_collective(comm: &Communicator) -> Outcome {
    let size = comm.size();
    let own: Vec<u32> = vector(5, comm.rank(), LONG);
    // Receives are posted now, sends only at the end: collectives in between must not need them.
    let receives: Vec<_> = (0..size)
        .map(|other| (other, comm.irecv(vec![0u32; LONG], other, Tag(0))))
        .collect();
    comm.barrier()?;
    let mut all = vec![0u32; LONG * size];
    comm.allgather(&own, &mut all)?;
    comm.bcast(&mut all, 0)?;
    let mut sums = vec![0u32; LONG];
    comm.allreduce(&own, &mut sums, Op::Sum)?;
    let first: Vec<_> = (0..size / 2)
        .map(|other| comm.isend(own.clone(), other, Tag(0)))
        .collect();
    comm.gather(&own, &mut all, size - 1)?;
    comm.scatter(if comm.rank() == 0 { &all[..] } else { &[] }, &mut sums, 0)?;
    let second: Vec<_> = (size / 2..size)
        .map(|other| comm.isend(own.clone(), other, Tag(0)))
        .collect();
    let twin = comm.duplicate()?;
    twin.reduce_in_place(&mut sums, Op::Max, 0)?;
    for (other, receive) in receives {
        assert_same(&receive.wait()?.0, &vector(5, other, LONG), || {
            format!("from {other}")
        });
    }
    for send in first.into_iter().chain(second) {
        send.wait()?;
    }
    Ok(())
}

/// Both ranks start sends and receives that nobody answers, and leave the scope early.
fn leave_early(comm: &Communicator, leave: impl Fn() -> Result<(), Error>) -> Result<(), Error> {
    let peer = 1 - comm.rank();
    let (short, long) = (vec![1u8; 8], vec![2u8; LONG]);
    let (mut one, mut two) = (vec![3u8; 8], vec![4u8; LONG]);
    let outcome = comm.scope(|scope| {
        scope.isend(&long, peer, Tag(11))?;
        scope.isend(&short, peer, Tag(12))?;
        scope.irecv(&mut one, peer, Tag(13))?;
        scope.irecv(&mut two, peer, Tag(14))?;
        leave()
    });
    assert_eq!((one, two), (vec![3; 8], vec![4; LONG]), "no message has come");
    outcome
}

/// Receives what [`leave_early`] has left.
fn collect_what_is_left(comm: &Communicator) -> Outcome {
    let peer = 1 - comm.rank();
    comm.barrier()?;
    // The long message was withdrawn, the short one was on its way.
    let mut buffer = vec![0u8; LONG];
    expect_error(comm.recv(&mut buffer, peer, Tag(11)), ErrorKind::PeerFailed);
    assert_eq!(buffer, vec![0; LONG]);
    comm.recv(&mut buffer, peer, Tag(12))?;
    assert_eq!(buffer[..9], [1, 1, 1, 1, 1, 1, 1, 1, 0]);
    // The receives were cancelled: these messages go to new ones.
    for tag in [13, 14] {
        let sent = vec![tag as u8; if tag == 13 { 8 } else { LONG }];
        let status = comm.sendrecv(&sent, peer, Tag(tag), &mut buffer, peer, Tag(tag))?;
        assert_eq!(&buffer[..status.count() as usize], sent);
    }
    still_works(comm)
}

fn an_error_in_a_scope(comm: &Communicator) -> Outcome {
    let outcome = leave_early(comm, || comm.send(&[0u8], 7, Tag(0)));
    expect_error(outcome, ErrorKind::InvalidArgument);
    collect_what_is_left(comm)
}

fn a_panic_in_a_scope(comm: &Communicator) -> Outcome {
    let panic = catch_unwind(AssertUnwindSafe(|| leave_early(comm, || panic!("on purpose")))).unwrap_err();
    assert_eq!(panic.downcast_ref::<&str>(), Some(&"on purpose"));
    collect_what_is_left(comm)
}

fn an_error_in_a_scope_whose_message_may_travel(comm: &Communicator) -> Outcome {
    // Whether the send is withdrawn or on its way is a matter of moments; it is always one of the two.
    for round in 0..60 {
        if comm.rank() == 0 {
            let own = vec![round as u8; LONG];
            let outcome = comm.scope(|scope| {
                let sending = scope.isend(&own, 1, Tag(0))?;
                for _ in 0..round {
                    sending.is_done();
                }
                comm.send(&[0u8], comm.size(), Tag(0))
            });
            expect_error(outcome, ErrorKind::InvalidArgument);
        } else {
            let mut received = vec![255u8; LONG];
            match comm.recv(&mut received, 0, Tag(0)) {
                Ok(_) => assert_eq!(received, vec![round as u8; LONG]),
                Err(error) => assert_eq!(error.kind(), ErrorKind::PeerFailed),
            }
        }
    }
    still_works(comm)
}

fn a_send_that_waits_while_others_split(comm: &Communicator) -> Outcome {
    let rank = comm.rank();
    if rank == 0 {
        // Received only after the new communicator was made.
        let send = comm.isend(vec![7u8; LONG], 1, Tag(0));
        let part = comm.split(Some(0), 0)?.expect("a color");
        part.barrier()?;
        send.wait()?;
    } else {
        let part = comm.split(Some(0), 0)?.expect("a color");
        part.barrier()?;
        if rank == 1 {
            let mut received = vec![0u8; LONG];
            comm.recv(&mut received, 0, Tag(0))?;
            assert_eq!(received, vec![7; LONG]);
        }
    }
    still_works(comm)
}
