//! Persistent sends and receives.

use warpcomm::{ErrorKind, Source, Tag};

use super::common::{lengths, next, previous, still_works};
use crate::harness::{Outcome, covered, expect_error, expect_text};
use crate::oracle::{Value, assert_same, untouched, vector};
use crate::placed::{Communicator, start_all, wait_all, wait_any};

cases! {
    every_type_and_length: 1..=7;
    started_a_hundred_times: 2..=3;
    synchronous_and_ready_sends: 2..=2;
    all_are_started_and_waited_for: 1..=4;
    misuse: 1..=2;
    a_failed_one_can_be_started_again: 2..=2;
    a_dropped_one_goes_on: 2..=2;
}

fn every_type_and_length(comm: &Communicator) -> Outcome {
    for_every_element!(around_the_ring(comm)?);
    Ok(())
}

fn around_the_ring<T: Value>(comm: &Communicator) -> Outcome {
    for length in lengths(comm.size(), size_of::<T>()) {
        let mut sends = [
            comm.send_init(untouched::<T>(length), next(comm), Tag(3)),
            comm.ssend_init(untouched::<T>(length), next(comm), Tag(3)),
            comm.rsend_init(untouched::<T>(length), next(comm), Tag(3)),
        ];
        let mut recv = comm.recv_init(untouched::<T>(length + 1), previous(comm), Tag(3));
        for salt in 0..4 {
            let send = &mut sends[salt as usize % 3];
            send.buffer_mut()?
                .copy_from_slice(&vector(salt, comm.rank(), length));
            recv.start()?;
            // A ready send wants it.
            comm.barrier()?;
            send.start()?;
            let status = recv.wait()?;
            assert_eq!((status.source(), status.count()), (previous(comm), length as u64));
            assert_eq!(send.wait()?.count(), length as u64);
            let received = recv.buffer()?;
            assert_same(&received[..length], &vector(salt, previous(comm), length), || {
                format!("{length} elements")
            });
            assert_same(&received[length..], &untouched(length + 1)[length..], || {
                "the tail".to_owned()
            });
        }
        for (send, salt) in sends.into_iter().zip([3, 1, 2]) {
            assert_same(&send.into_buffer()?, &vector(salt, comm.rank(), length), || {
                "the buffer that was sent".to_owned()
            });
        }
    }
    for operation in ["send_init", "ssend_init", "rsend_init", "recv_init"] {
        covered(operation, Some(T::DTYPE), None);
    }
    Ok(())
}

fn started_a_hundred_times(comm: &Communicator) -> Outcome {
    for length in [1, 1200] {
        let mut send = comm.send_init(vec![0u32; length], next(comm), Tag(0));
        let mut recv = comm.recv_init(vec![0u32; length], Source::Any, Tag::ANY);
        for round in 0..100u32 {
            send.buffer_mut()?[length - 1] = round;
            send.start()?;
            recv.start()?;
            while recv.test()?.is_none() {}
            assert_eq!(recv.buffer()?[length - 1], round);
            send.wait()?;
        }
    }
    Ok(())
}

fn synchronous_and_ready_sends(comm: &Communicator) -> Outcome {
    let peer = 1 - comm.rank();
    let mut synchronous = comm.ssend_init(vec![1u8; 3], peer, Tag(0));
    let mut ready = comm.rsend_init(vec![2u8; 3], peer, Tag(1));
    let mut receives = [0, 1].map(|tag| comm.recv_init(vec![0u8; 3], peer, Tag(tag)));
    for _ in 0..3 {
        synchronous.start()?;
        comm.barrier()?;
        assert!(synchronous.test()?.is_none());
        comm.barrier()?;
        start_all(&mut receives)?;
        comm.barrier()?;
        ready.start()?;
        for (number, receive) in receives.iter_mut().enumerate() {
            receive.wait()?;
            assert_eq!(receive.buffer()?[..], [number as u8 + 1; 3]);
            receive.buffer_mut()?.fill(0);
        }
        synchronous.wait()?;
        ready.wait()?;
    }
    Ok(())
}

fn all_are_started_and_waited_for(comm: &Communicator) -> Outcome {
    let mut requests: Vec<_> = (0..comm.size())
        .flat_map(|peer| {
            let outgoing = comm.send_init(vec![comm.rank() as u64; 600], peer, Tag(4));
            [outgoing, comm.recv_init(vec![0u64; 600], peer, Tag(4))]
        })
        .collect();
    // Nothing is under way.
    assert_eq!(wait_any(&requests)?, None);
    for _ in 0..3 {
        start_all(&mut requests)?;
        let statuses = wait_all(&requests)?;
        for (number, request) in requests.iter_mut().enumerate() {
            let status = request.wait()?;
            assert_eq!(status, statuses[number]);
            assert_eq!((status.source(), status.count()), (number / 2, 600));
            if number % 2 == 1 {
                assert_eq!(request.buffer()?[..], vec![number as u64 / 2; 600]);
                request.buffer_mut()?.fill(99);
            }
        }
    }
    Ok(())
}

fn misuse(comm: &Communicator) -> Outcome {
    let own = comm.rank();
    let mut receive = comm.recv_init(vec![7u8; 2], own, Tag(0));
    let error = expect_error(receive.wait(), ErrorKind::InvalidArgument);
    expect_text(
        &error,
        &[&format!("persistent recv on rank {own}"), "not started"],
    );
    expect_error(receive.test(), ErrorKind::InvalidArgument);
    receive.start()?;
    expect_text(
        &expect_error(receive.start(), ErrorKind::InvalidArgument),
        &["under way"],
    );
    expect_text(
        &expect_error(receive.buffer(), ErrorKind::InvalidArgument),
        &["in use"],
    );
    expect_error(receive.buffer_mut().map(drop), ErrorKind::InvalidArgument);
    comm.send(&[1u8, 2], own, Tag(0))?;
    receive.wait()?;
    assert_eq!(receive.buffer()?[..], [1, 2]);
    let mut send = comm.send_init(vec![7u8; 2], comm.size(), Tag(0));
    let error = expect_error(send.start(), ErrorKind::InvalidArgument);
    expect_text(
        &error,
        &[&format!("persistent send on rank {own} to rank {}", comm.size())],
    );
    assert_eq!(send.into_buffer()?, [7, 7]);
    still_works(comm)
}

fn a_failed_one_can_be_started_again(comm: &Communicator) -> Outcome {
    for length in [5, 3000] {
        if comm.rank() == 0 {
            let mut send = comm.ssend_init(vec![1u32; length], 1, Tag(0));
            send.start()?;
            expect_error(send.wait(), ErrorKind::Truncated);
            send.start()?;
            send.wait()?;
        } else {
            let mut receive = comm.recv_init(vec![7u32; length - 1], 0, Tag(0));
            receive.start()?;
            expect_error(receive.wait(), ErrorKind::Truncated);
            assert_eq!(receive.buffer()?[..], vec![7; length - 1]);
            let mut received = vec![0u32; length];
            comm.recv(&mut received, 0, Tag(0))?;
            assert_eq!(received, vec![1; length]);
        }
    }
    still_works(comm)
}

fn a_dropped_one_goes_on(comm: &Communicator) -> Outcome {
    for length in [4, 4000] {
        if comm.rank() == 0 {
            let mut send = comm.send_init(vec![1u32; length], 1, Tag(0));
            send.start()?;
            drop(send);
        } else {
            let mut received = vec![0u32; length];
            comm.recv(&mut received, 0, Tag(0))?;
            assert_eq!(received, vec![1; length]);
        }
    }
    still_works(comm)
}
