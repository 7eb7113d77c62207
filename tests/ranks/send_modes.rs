//! Synchronous, ready and buffered sends, and `sendrecv_replace`.

use warpcomm::{Error, ErrorKind, Source, Tag};

use super::common::{LARGE_BYTES, lengths, next, previous, still_works};
use crate::harness::{Outcome, covered, expect_error, expect_text};
use crate::oracle::{Value, assert_same, untouched, vector};
use crate::placed::{Communicator, wait_all};

cases! {
    every_type_and_length: 1..=7;
    replacing_every_type_and_length: 1..=7;
    a_synchronous_send_waits_for_its_receive: 2..=3;
    a_synchronous_send_learns_of_a_refusal: 2..=2;
    a_withdrawn_synchronous_send: 2..=2;
    buffered_sends_before_any_receive: 2..=4;
    buffered_sends_keep_their_order: 2..=2;
    what_is_replaced_may_be_longer: 2..=2;
    bad_arguments: 1..=3;
}

fn every_type_and_length(comm: &Communicator) -> Outcome {
    for_every_element!(around_the_ring(comm)?);
    Ok(())
}

fn around_the_ring<T: Value>(comm: &Communicator) -> Outcome {
    for length in lengths(comm.size(), size_of::<T>()) {
        let salt = length as u64;
        let own: Vec<T> = vector(salt, comm.rank(), length);
        let expected: Vec<T> = vector(salt, previous(comm), length);
        let receive = || comm.irecv(untouched::<T>(length), previous(comm), Tag(3));
        let incoming: Vec<_> = (0..8).map(|_| receive()).collect();
        comm.ssend(&own, next(comm), Tag(3))?;
        comm.rsend(&own, next(comm), Tag(3))?;
        comm.bsend(&own, next(comm), Tag(3))?;
        let outgoing = [
            comm.issend(own.clone(), next(comm), Tag(3)),
            comm.irsend(own.clone(), next(comm), Tag(3)),
            comm.ibsend(own.clone(), next(comm), Tag(3)),
        ];
        comm.scope(|scope| {
            scope.issend(&own, next(comm), Tag(3))?;
            scope.irsend(&own, next(comm), Tag(3))?;
            Ok(())
        })?;
        for (number, request) in incoming.into_iter().enumerate() {
            let (received, status) = request.wait()?;
            assert_same(&received, &expected, || {
                format!("message {number}, {length} elements")
            });
            assert_eq!((status.source(), status.count()), (previous(comm), length as u64));
        }
        for request in outgoing {
            let (sent, status) = request.wait()?;
            assert_same(&sent, &own, || "the buffer that was sent".to_owned());
            assert_eq!((status.source(), status.count()), (next(comm), length as u64));
        }
    }
    for operation in [
        "ssend",
        "rsend",
        "bsend",
        "issend",
        "irsend",
        "ibsend",
        "Scope::issend",
        "Scope::irsend",
    ] {
        covered(operation, Some(T::DTYPE), None);
    }
    Ok(())
}

fn replacing_every_type_and_length(comm: &Communicator) -> Outcome {
    for_every_element!(replaced(comm)?);
    Ok(())
}

fn replaced<T: Value>(comm: &Communicator) -> Outcome {
    for length in lengths(comm.size(), size_of::<T>()) {
        let salt = length as u64;
        let mut buffer: Vec<T> = vector(salt, comm.rank(), length);
        let status = comm.sendrecv_replace(&mut buffer, next(comm), Tag(2), Source::Any, Tag(2))?;
        assert_same(&buffer, &vector(salt, previous(comm), length), || {
            format!("{length} elements")
        });
        assert_eq!((status.source(), status.count()), (previous(comm), length as u64));
    }
    covered("sendrecv_replace", Some(T::DTYPE), None);
    Ok(())
}

fn a_synchronous_send_waits_for_its_receive(comm: &Communicator) -> Outcome {
    for length in [0, 1, 5000] {
        let outgoing = comm.issend(vector::<u16>(1, comm.rank(), length), next(comm), Tag(0));
        for _ in 0..100 {
            assert!(!outgoing.is_done(), "{length} elements");
        }
        comm.barrier()?;
        assert!(!outgoing.is_done(), "{length} elements");
        comm.barrier()?;
        let mut received = vec![0u16; length];
        comm.recv(&mut received, previous(comm), Tag(0))?;
        assert_eq!(received, vector::<u16>(1, previous(comm), length));
        outgoing.wait()?;
    }
    Ok(())
}

fn a_synchronous_send_learns_of_a_refusal(comm: &Communicator) -> Outcome {
    for length in [3, 5000] {
        if comm.rank() == 0 {
            let sent = comm.ssend(&vec![1u32; length], 1, Tag(0));
            let error = expect_error(sent, ErrorKind::Truncated);
            expect_text(&error, &["ssend on rank 0 to rank 1", &length.to_string(), "2"]);
            let (error, buffer) = comm
                .issend(vec![1.5f64; length], 1, Tag(0))
                .wait()
                .unwrap_err()
                .into_parts();
            assert_eq!(
                (error.kind(), buffer),
                (ErrorKind::Mismatch, Some(vec![1.5; length]))
            );
        } else {
            expect_error(comm.recv(&mut [0u32; 2], 0, Tag(0)), ErrorKind::Truncated);
            expect_error(comm.recv(&mut vec![0f32; length], 0, Tag(0)), ErrorKind::Mismatch);
        }
    }
    still_works(comm)
}

fn a_withdrawn_synchronous_send(comm: &Communicator) -> Outcome {
    for length in [0, 3, 5000] {
        if comm.rank() == 0 {
            let own = vec![1u32; length];
            let outcome: Result<(), Error> = comm.scope(|scope| {
                scope.issend(&own, 1, Tag(0))?;
                Err(comm.send(&own, 99, Tag(0)).unwrap_err())
            });
            expect_error(outcome, ErrorKind::InvalidArgument);
            comm.barrier()?;
        } else {
            comm.barrier()?;
            let received = comm.recv(&mut vec![0u32; length], 0, Tag(0));
            // Of a message without elements there is nothing to withhold.
            match length {
                0 => drop(received?),
                _ => drop(expect_error(received, ErrorKind::PeerFailed)),
            }
        }
        // The number of the rendezvous is used again.
        if comm.rank() == 0 {
            comm.ssend(&vec![5u32; length], 1, Tag(1))?;
        } else {
            let mut received = vec![0u32; length];
            comm.recv(&mut received, 0, Tag(1))?;
            assert_eq!(received, vec![5; length]);
        }
    }
    still_works(comm)
}

fn buffered_sends_before_any_receive(comm: &Communicator) -> Outcome {
    for length in [0, 7, LARGE_BYTES] {
        let mut own: Vec<u8> = vector(2, comm.rank(), length);
        comm.bsend(&own, next(comm), Tag(0))?;
        own.fill(0xEE);
        comm.bsend(&own, next(comm), Tag(1))?;
        let third = comm.ibsend(vector::<u8>(3, comm.rank(), length), next(comm), Tag(2));
        assert!(third.is_done());
        drop(third.wait()?);
        drop(own);
        comm.barrier()?;
        let mut received = vec![0u8; length];
        comm.recv(&mut received, previous(comm), Tag(2))?;
        assert_eq!(received, vector::<u8>(3, previous(comm), length));
        comm.recv(&mut received, previous(comm), Tag(1))?;
        assert_eq!(received, vec![0xEE; length]);
        comm.recv(&mut received, previous(comm), Tag(0))?;
        assert_eq!(received, vector::<u8>(2, previous(comm), length));
    }
    Ok(())
}

fn buffered_sends_keep_their_order(comm: &Communicator) -> Outcome {
    const MESSAGES: usize = 40;
    let length = |number: usize| if number % 3 == 1 { 3000 } else { 2 };
    let contents = |number: usize| vec![number as u32; length(number)];
    if comm.rank() == 0 {
        let mut pending = Vec::new();
        for number in 0..MESSAGES {
            match number % 4 {
                0 => comm.bsend(&contents(number), 1, Tag(0))?,
                1 => pending.push(comm.isend(contents(number), 1, Tag(0))),
                2 => pending.push(comm.ibsend(contents(number), 1, Tag(0))),
                _ => pending.push(comm.issend(contents(number), 1, Tag(0))),
            }
        }
        wait_all(&pending)?;
        return Ok(());
    }
    for number in 0..MESSAGES {
        let mut received = vec![0u32; 3000];
        let status = comm.recv(&mut received, 0, Tag::ANY)?;
        assert_eq!(
            (received[0], status.count()),
            (number as u32, length(number) as u64)
        );
    }
    Ok(())
}

fn what_is_replaced_may_be_longer(comm: &Communicator) -> Outcome {
    for length in [10, 4000] {
        if comm.rank() == 0 {
            let mut buffer = vec![1i32; length];
            let status = comm.sendrecv_replace(&mut buffer, 1, Tag(0), 1, Tag(0))?;
            assert_eq!(status.count(), length as u64 / 2);
            assert_eq!(buffer[..length / 2], vec![2; length / 2]);
            assert_eq!(buffer[length / 2..], vec![1; length / 2]);
        } else {
            let mut received = vec![0i32; length];
            comm.sendrecv(&vec![2i32; length / 2], 0, Tag(0), &mut received, 0, Tag(0))?;
            assert_eq!(received, vec![1; length]);
        }
    }
    Ok(())
}

fn bad_arguments(comm: &Communicator) -> Outcome {
    let size = comm.size();
    let on = format!("on rank {} to rank {size}", comm.rank());
    let own = [1u8, 2];
    for (operation, outcome) in [
        ("ssend", comm.ssend(&own, size, Tag(0))),
        ("rsend", comm.rsend(&own, size, Tag(0))),
        ("bsend", comm.bsend(&own, size, Tag(0))),
        (
            "issend",
            comm.issend(own.to_vec(), size, Tag(0))
                .wait()
                .map(drop)
                .map_err(Error::from),
        ),
        (
            "irsend",
            comm.irsend(own.to_vec(), size, Tag(0))
                .wait()
                .map(drop)
                .map_err(Error::from),
        ),
        (
            "ibsend",
            comm.ibsend(own.to_vec(), size, Tag(0))
                .wait()
                .map(drop)
                .map_err(Error::from),
        ),
        (
            "sendrecv_replace",
            comm.sendrecv_replace(&mut [1u8], size, Tag(0), 0, Tag(0))
                .map(drop),
        ),
    ] {
        let error = expect_error(outcome, ErrorKind::InvalidArgument);
        expect_text(&error, &[&format!("{operation} {on}"), &format!("{size} ranks")]);
    }
    expect_error(comm.ssend(&own, 0, Tag(-2)), ErrorKind::InvalidArgument);
    expect_error(comm.bsend(&own, 0, Tag::ANY), ErrorKind::InvalidArgument);
    still_works(comm)
}
