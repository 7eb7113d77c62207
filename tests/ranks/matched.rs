//! `mprobe`, `improbe` and the messages that they take.

use warpcomm::{ErrorKind, Source, Tag};

use super::common::{EAGER_BYTES, others, still_works, told};
use crate::harness::{Outcome, covered, expect_error, expect_text};
use crate::oracle::{Value, assert_same, untouched, vector};
use crate::placed::Communicator;

cases! {
    every_type: 2..=4;
    nobody_else_finds_a_message_that_was_taken: 2..=2;
    a_dropped_message_is_put_back_at_its_place: 2..=2;
    messages_are_received_in_any_order: 2..=3;
    a_message_that_does_not_fit_is_consumed: 2..=2;
    improbe_finds_nothing_and_then_something: 2..=2;
    looking_drives_what_the_message_waits_for: 2..=3;
    from_itself: 1..=2;
    bad_arguments: 1..=2;
}

fn every_type(comm: &Communicator) -> Outcome {
    for_every_element!(taken(comm)?);
    Ok(())
}

fn taken<T: Value>(comm: &Communicator) -> Outcome {
    for length in [0, 5, EAGER_BYTES / size_of::<T>() + 1] {
        if comm.rank() != 0 {
            comm.send(&vector::<T>(4, comm.rank(), length), 0, Tag(1))?;
            comm.ssend(&vector::<T>(5, comm.rank(), length), 0, Tag(2))?;
            continue;
        }
        for sender in others(comm) {
            let message = comm.mprobe(sender, Tag(1))?;
            let status = message.status();
            assert_eq!((status.source(), status.tag()), (sender, Tag(1)));
            assert_eq!((status.count(), status.dtype()), told::<T>(length));
            let mut received: Vec<T> = untouched(length + 1);
            let status = message.recv(&mut received)?;
            assert_eq!((status.source(), status.tag()), (sender, Tag(1)));
            assert_eq!((status.count(), status.dtype()), (length as u64, T::DTYPE));
            assert_same(&received[..length], &vector(4, sender, length), || {
                format!("{length} elements")
            });
            assert_same(&received[length..], &untouched(length + 1)[length..], || {
                "the tail".to_owned()
            });
            let message = loop {
                if let Some(message) = comm.improbe(sender, Tag::ANY)? {
                    break message;
                }
            };
            let (received, status) = message.irecv(untouched::<T>(length)).wait()?;
            assert_same(&received, &vector(5, sender, length), || {
                format!("{length} elements")
            });
            assert_eq!(status.tag(), Tag(2));
        }
    }
    covered("mprobe", Some(T::DTYPE), None);
    covered("improbe", Some(T::DTYPE), None);
    covered("Message::recv", Some(T::DTYPE), None);
    covered("Message::irecv", Some(T::DTYPE), None);
    Ok(())
}

fn nobody_else_finds_a_message_that_was_taken(comm: &Communicator) -> Outcome {
    for length in [1, 3000] {
        if comm.rank() == 0 {
            let sends = [1u32, 2].map(|value| comm.isend(vec![value; length], 1, Tag(5)));
            comm.barrier()?;
            for send in sends {
                send.wait()?;
            }
            comm.barrier()?;
            continue;
        }
        comm.barrier()?;
        let first = comm.mprobe(0, Tag(5))?;
        let second = comm.mprobe(0, Tag(5))?;
        assert_eq!(comm.iprobe(Source::Any, Tag::ANY)?, None);
        assert!(comm.improbe(0, Tag(5))?.is_none());
        let waiting = comm.irecv(vec![0u32; length], 0, Tag(5));
        assert!(!waiting.is_done());
        waiting.cancel()?;
        assert!(waiting.wait()?.1.is_cancelled());
        let mut received = vec![0u32; length];
        second.recv(&mut received)?;
        assert_eq!(received, vec![2; length]);
        first.recv(&mut received)?;
        assert_eq!(received, vec![1; length]);
        comm.barrier()?;
    }
    still_works(comm)
}

fn a_dropped_message_is_put_back_at_its_place(comm: &Communicator) -> Outcome {
    if comm.rank() == 0 {
        for value in 0..5u32 {
            comm.bsend(&[value], 1, Tag(0))?;
        }
        comm.send(&[9u32], 1, Tag(9))?;
        return Ok(());
    }
    // All others have arrived when this one has.
    comm.probe(0, Tag(9))?;
    let mut taken: Vec<_> = (0..4).map(|_| comm.mprobe(0, Tag(0))).collect::<Result<_, _>>()?;
    drop(taken.remove(2));
    drop(taken.remove(0));
    let mut order = Vec::new();
    while comm.iprobe(0, Tag(0))?.is_some() {
        let mut received = [99u32];
        comm.recv(&mut received, Source::Any, Tag::ANY)?;
        order.push(received[0]);
    }
    // Those that are still taken are 1 and 3; 4 was never taken.
    assert_eq!(order, [0, 2, 4]);
    drop(taken);
    for value in [1, 3, 9] {
        let mut received = [99u32];
        comm.recv(&mut received, Source::Any, Tag::ANY)?;
        assert_eq!(received, [value]);
    }
    Ok(())
}

fn messages_are_received_in_any_order(comm: &Communicator) -> Outcome {
    const MESSAGES: usize = 12;
    let length = |number: usize| if number.is_multiple_of(2) { 4 } else { 2500 };
    if comm.rank() != 0 {
        for number in 0..MESSAGES {
            comm.bsend(&vec![number as u64; length(number)], 0, Tag(number as i32 % 3))?;
        }
        return Ok(());
    }
    for sender in others(comm) {
        let probe = |_| comm.mprobe(sender, Tag::ANY);
        let messages: Vec<_> = (0..MESSAGES).map(probe).collect::<Result<_, _>>()?;
        for (number, message) in messages.into_iter().enumerate().rev() {
            let mut received = vec![0u64; length(number)];
            let status = message.recv(&mut received)?;
            assert_eq!(status.tag(), Tag(number as i32 % 3));
            assert_eq!(received, vec![number as u64; length(number)]);
        }
    }
    Ok(())
}

fn a_message_that_does_not_fit_is_consumed(comm: &Communicator) -> Outcome {
    for length in [5, 3000] {
        if comm.rank() == 0 {
            let outcome = comm.ssend(&vec![1u32; length], 1, Tag(0));
            expect_error(outcome, ErrorKind::Truncated);
            comm.send(&[5u32], 1, Tag(0))?;
        } else {
            let message = comm.mprobe(0, Tag(0))?;
            let mut received = vec![7u32; length - 1];
            let error = expect_error(message.recv(&mut received), ErrorKind::Truncated);
            let sizes = [length.to_string(), (length - 1).to_string()];
            expect_text(&error, &["mrecv on rank 1 from rank 0", &sizes[0], &sizes[1]]);
            assert_eq!(received, vec![7; length - 1]);
            comm.recv(&mut received, 0, Tag(0))?;
            assert_eq!(received[..2], [5, 7]);
        }
    }
    still_works(comm)
}

fn improbe_finds_nothing_and_then_something(comm: &Communicator) -> Outcome {
    if comm.rank() == 0 {
        comm.barrier()?;
        comm.send(&[7u8], 1, Tag(3))?;
        return Ok(());
    }
    assert!(comm.improbe(Source::Any, Tag::ANY)?.is_none());
    comm.barrier()?;
    assert!(comm.improbe(0, Tag(4))?.is_none());
    let message = comm.mprobe(0, Tag(3))?;
    let mut received = [0u8];
    message.recv(&mut received)?;
    assert_eq!(received, [7]);
    assert!(comm.improbe(Source::Any, Tag::ANY)?.is_none());
    Ok(())
}

/// Also where MPI allows calls from one thread only, and nobody else drives anything.
fn looking_drives_what_the_message_waits_for(comm: &Communicator) -> Outcome {
    if comm.rank() > 1 {
        return Ok(());
    }
    let long = vector::<u32>(9, 0, 100_000);
    if comm.rank() == 1 {
        let mut received = vec![0u32; long.len()];
        for tag in [1, 2] {
            comm.recv(&mut received, 0, Tag(0))?;
            comm.send(&received[..1], 0, Tag(tag))?;
        }
        assert_eq!(received, long);
        return Ok(());
    }
    let send = comm.isend(long.clone(), 1, Tag(0));
    let message = loop {
        if let Some(message) = comm.improbe(1, Tag(1))? {
            break message;
        }
    };
    let mut answer = [0u32];
    message.recv(&mut answer)?;
    send.wait()?;
    let send = comm.isend(long.clone(), 1, Tag(0));
    while comm.iprobe(1, Tag(2))?.is_none() {}
    comm.recv(&mut answer, 1, Tag(2))?;
    assert_eq!(answer, long[..1]);
    send.wait()?;
    Ok(())
}

fn from_itself(comm: &Communicator) -> Outcome {
    for length in [0, 1, 100_000] {
        let own: Vec<u16> = vector(8, comm.rank(), length);
        let send = comm.issend(own.clone(), comm.rank(), Tag(0));
        let message = comm.mprobe(Source::Any, Tag::ANY)?;
        assert!(!send.is_done());
        let mut received = vec![0u16; length];
        message.recv(&mut received)?;
        assert_eq!(received, own);
        send.wait()?;
    }
    Ok(())
}

fn bad_arguments(comm: &Communicator) -> Outcome {
    let size = comm.size();
    let error = expect_error(comm.mprobe(size, Tag(0)), ErrorKind::InvalidArgument);
    expect_text(&error, &["mprobe", &format!("from rank {size}")]);
    expect_error(comm.improbe(Source::Any, Tag(-3)), ErrorKind::InvalidArgument);
    still_works(comm)
}
