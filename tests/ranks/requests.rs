//! `isend`, `irecv` and the requests that they give.

use std::sync::Arc;

use warpcomm::{ErrorKind, Source, Tag};

use super::common::{EAGER_BYTES, lengths, next, previous, still_works};
use crate::harness::{Outcome, covered, expect_error, expect_text};
use crate::oracle::{Value, assert_same, untouched, vector};
use crate::placed::{Communicator, Request};

cases! {
    every_type_and_length: 1..=7;
    a_thousand_in_reverse: 2..=3;
    everything_comes_back_whole: 2..=2;
    is_done_becomes_true: 2..=2;
    waiting_in_any_order: 2..=4;
    bad_arguments_arrive_at_wait_with_the_buffer: 1..=2;
    a_truncated_receive_gives_its_buffer_back: 2..=2;
    a_dropped_request_goes_on: 2..=2;
    a_forgotten_request_goes_on: 2..=2;
    to_itself: 1..=2;
}

fn every_type_and_length(comm: &Communicator) -> Outcome {
    for_every_element!(around_the_ring(comm)?);
    Ok(())
}

fn around_the_ring<T: Value>(comm: &Communicator) -> Outcome {
    for length in lengths(comm.size(), size_of::<T>()) {
        let salt = length as u64;
        let outgoing = comm.isend(vector::<T>(salt, comm.rank(), length), next(comm), Tag(3));
        let incoming = comm.irecv(untouched::<T>(length + 2), previous(comm), Tag(3));
        let (received, status) = incoming.wait()?;
        let (sent, sent_status) = outgoing.wait()?;
        assert_same(&received[..length], &vector(salt, previous(comm), length), || {
            format!("{length} elements")
        });
        assert_same(&received[length..], &untouched(length + 2)[length..], || {
            "the tail".to_owned()
        });
        assert_same(&sent, &vector(salt, comm.rank(), length), || {
            "the buffer that was sent".to_owned()
        });
        assert_eq!((status.source(), status.tag()), (previous(comm), Tag(3)));
        assert_eq!((status.count(), status.dtype()), (length as u64, T::DTYPE));
        assert_eq!(
            (sent_status.source(), sent_status.count()),
            (next(comm), length as u64)
        );
    }
    covered("isend", Some(T::DTYPE), None);
    covered("irecv", Some(T::DTYPE), None);
    Ok(())
}

fn a_thousand_in_reverse(comm: &Communicator) -> Outcome {
    if comm.rank() > 1 {
        return Ok(());
    }
    let peer = 1 - comm.rank();
    let length = |number: usize| if number % 10 == 3 { 1100 } else { 1 + number % 7 };
    let buffer = |number: usize, rank: usize| vector::<u32>(number as u64, rank, length(number));
    let incoming: Vec<Request<Vec<u32>>> = (0..1000)
        .map(|number| comm.irecv(vec![0; length(number)], peer, Tag(number as i32 % 5)))
        .collect();
    let outgoing: Vec<_> = (0..1000)
        .map(|number| comm.isend(buffer(number, comm.rank()), peer, Tag(number as i32 % 5)))
        .collect();
    for (number, request) in incoming.into_iter().enumerate().rev() {
        let (received, status) = request.wait()?;
        assert_eq!(received, buffer(number, peer), "message {number}");
        assert_eq!(status.count(), length(number) as u64);
    }
    for (number, request) in outgoing.into_iter().enumerate().rev() {
        assert_eq!(request.wait()?.0, buffer(number, comm.rank()), "buffer {number}");
    }
    Ok(())
}

fn everything_comes_back_whole(comm: &Communicator) -> Outcome {
    let values: Vec<f64> = vector(1, 0, 2000);
    if comm.rank() == 0 {
        let shared: Arc<[f64]> = values.clone().into();
        let first = comm.isend(Arc::clone(&shared), 1, Tag(0));
        let second = comm.isend(Arc::clone(&shared), 1, Tag(1));
        let third = comm.isend(values.clone().into_boxed_slice(), 1, Tag(2));
        assert!(Arc::ptr_eq(&first.wait()?.0, &shared));
        assert!(Arc::ptr_eq(&second.wait()?.0, &shared));
        assert_same(&third.wait()?.0, &values, || "the box that was sent".to_owned());
    } else {
        let boxed = comm.irecv(vec![0f64; 2000].into_boxed_slice(), 0, Tag(1));
        let vectors = [0, 2].map(|tag| comm.irecv(vec![0f64; 2000], 0, Tag(tag)));
        assert_same(&boxed.wait()?.0, &values, || "a box".to_owned());
        for request in vectors {
            assert_same(&request.wait()?.0, &values, || "a vector".to_owned());
        }
    }
    Ok(())
}

fn is_done_becomes_true(comm: &Communicator) -> Outcome {
    for length in [1, 5000] {
        let peer = 1 - comm.rank();
        let incoming = comm.irecv(vec![0u16; length], peer, Tag(0));
        // Nothing can have come yet: the peer sends when it has entered the barrier, too.
        assert!(!incoming.is_done());
        comm.barrier()?;
        let outgoing = comm.isend(vec![comm.rank() as u16; length], peer, Tag(0));
        while !(incoming.is_done() && outgoing.is_done()) {}
        assert_eq!(incoming.wait()?.0, vec![peer as u16; length]);
        outgoing.wait()?;
    }
    Ok(())
}

fn waiting_in_any_order(comm: &Communicator) -> Outcome {
    let (size, rank) = (comm.size(), comm.rank());
    let mut sends = Vec::new();
    let mut receives = Vec::new();
    for peer in 0..size {
        for (tag, length) in [(0, 10), (1, 2000), (2, 0)] {
            sends.push(comm.isend(vector::<i64>(tag as u64, rank, length), peer, Tag(tag)));
            receives.push((peer, tag, length, comm.irecv(vec![0i64; length], peer, Tag(tag))));
        }
    }
    // Each rank waits in an order of its own.
    let turn = rank * 5 % receives.len();
    receives.rotate_left(turn);
    sends.rotate_right(turn);
    for (peer, tag, length, receive) in receives {
        assert_eq!(
            receive.wait()?.0,
            vector::<i64>(tag as u64, peer, length),
            "from {peer}, tag {tag}"
        );
    }
    for send in sends {
        send.wait()?;
    }
    Ok(())
}

fn bad_arguments_arrive_at_wait_with_the_buffer(comm: &Communicator) -> Outcome {
    let size = comm.size();
    let returned = |request: Request<Vec<u8>>| {
        assert!(request.is_done());
        let (error, buffer) = request.wait().unwrap_err().into_parts();
        assert_eq!(buffer, Some(vec![1, 2, 3]));
        expect_error::<(), _>(Err(error), ErrorKind::InvalidArgument)
    };
    let buffer = || vec![1u8, 2, 3];
    expect_text(
        &returned(comm.isend(buffer(), size, Tag(0))),
        &["isend", &format!("rank {size}")],
    );
    expect_text(
        &returned(comm.irecv(buffer(), size + 5, Tag(0))),
        &["irecv", &format!("rank {}", size + 5)],
    );
    expect_text(&returned(comm.isend(buffer(), 0, Tag(-1))), &["isend"]);
    expect_text(&returned(comm.isend(buffer(), 0, Tag::ANY)), &["isend"]);
    expect_text(
        &returned(comm.irecv(buffer(), Source::Any, Tag(-7))),
        &["irecv", "-7"],
    );
    still_works(comm)
}

fn a_truncated_receive_gives_its_buffer_back(comm: &Communicator) -> Outcome {
    for length in [20, 3000] {
        if comm.rank() == 0 {
            let outcome = comm.isend(vec![1u32; length], 1, Tag(0)).wait();
            if length * size_of::<u32>() > EAGER_BYTES {
                let (error, buffer) = outcome.unwrap_err().into_parts();
                assert_eq!(
                    (error.kind(), buffer),
                    (ErrorKind::Truncated, Some(vec![1; length]))
                );
            }
            comm.send(&[5u32], 1, Tag(0))?;
        } else {
            let first = comm.irecv(vec![7u32; length - 1], 0, Tag(0));
            let second = comm.irecv(vec![7u32; 2], 0, Tag(0));
            let (error, buffer) = first.wait().unwrap_err().into_parts();
            assert_eq!(
                (error.kind(), buffer),
                (ErrorKind::Truncated, Some(vec![7; length - 1]))
            );
            expect_text(&error, &[&length.to_string(), &(length - 1).to_string()]);
            assert_eq!(second.wait()?.0, [5, 7]);
        }
    }
    Ok(())
}

fn a_dropped_request_goes_on(comm: &Communicator) -> Outcome {
    for length in [4, 4000] {
        if comm.rank() == 0 {
            drop(comm.isend(vec![1u32; length], 1, Tag(0)));
            drop(comm.isend(vec![2u32; length], 1, Tag(0)));
            drop(comm.irecv(vec![0u32; length], 1, Tag(9)));
            // The dropped receive has taken the first message.
            let mut received = vec![0u32; length];
            comm.recv(&mut received, 1, Tag(9))?;
            assert_eq!(received, vec![4; length]);
        } else {
            let mut received = vec![0u32; length];
            comm.recv(&mut received, 0, Tag(0))?;
            assert_eq!(received, vec![1; length]);
            comm.recv(&mut received, 0, Tag(0))?;
            assert_eq!(received, vec![2; length]);
            comm.send(&vec![3u32; length], 0, Tag(9))?;
            comm.send(&vec![4u32; length], 0, Tag(9))?;
        }
    }
    still_works(comm)
}

fn a_forgotten_request_goes_on(comm: &Communicator) -> Outcome {
    if comm.rank() == 0 {
        std::mem::forget(comm.isend(vec![1u32; 4000], 1, Tag(0)));
        std::mem::forget(comm.irecv(vec![0u32; 4000], 1, Tag(1)));
        let mut received = vec![0u32; 4000];
        comm.recv(&mut received, 1, Tag(1))?;
        assert_eq!(received, vec![4; 4000]);
    } else {
        comm.send(&vec![3u32; 4000], 0, Tag(1))?;
        comm.send(&vec![4u32; 4000], 0, Tag(1))?;
        let mut received = vec![0u32; 4000];
        comm.recv(&mut received, 0, Tag(0))?;
        assert_eq!(received, vec![1; 4000]);
    }
    still_works(comm)
}

fn to_itself(comm: &Communicator) -> Outcome {
    for length in [0, 1, 1000, 100_000] {
        let own: Vec<u16> = vector(8, comm.rank(), length);
        // The receive may come after the send, and before it.
        let send = comm.isend(own.clone(), comm.rank(), Tag(0));
        let receive = comm.irecv(vec![0u16; length], comm.rank(), Tag(0));
        assert_eq!(receive.wait()?.0, own);
        send.wait()?;
        let receive = comm.irecv(vec![0u16; length], Source::Any, Tag::ANY);
        let send = comm.isend(own.clone(), comm.rank(), Tag(1));
        send.wait()?;
        assert_eq!(receive.wait()?.0, own);
    }
    Ok(())
}
