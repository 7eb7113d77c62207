//! `send` and `recv`.

use std::sync::Arc;

use warpcomm::Tag;

use super::common::{EAGER_BYTES, lengths, next, previous};
use crate::harness::{Outcome, covered};
use crate::oracle::{Value, assert_same, bytes, untouched, vector};
use crate::placed::Communicator;

cases! {
    every_type_and_length: 2..=7;
    every_pair_of_ranks: 2..=5;
    a_larger_buffer_keeps_its_tail: 2..=2;
    messages_do_not_overtake: 2..=3;
    every_kind_of_buffer: 2..=2;
    tags_up_to_the_promised_largest: 2..=2;
}

fn every_type_and_length(comm: &Communicator) -> Outcome {
    for_every_element!(around_the_ring(comm)?);
    Ok(())
}

/// Rank 0 starts, so that no two ranks wait for each other.
fn around_the_ring<T: Value>(comm: &Communicator) -> Outcome {
    for (salt, length) in lengths(comm.size(), size_of::<T>()).into_iter().enumerate() {
        let salt = salt as u64;
        let own: Vec<T> = vector(salt, comm.rank(), length);
        let mut received: Vec<T> = untouched(length);
        let tag = Tag(length as i32);
        if comm.rank() == 0 {
            comm.send(&own, next(comm), tag)?;
        }
        let status = comm.recv(&mut received, previous(comm), tag)?;
        if comm.rank() != 0 {
            comm.send(&own, next(comm), tag)?;
        }
        assert_same(&received, &vector(salt, previous(comm), length), || {
            format!("{length} elements")
        });
        assert_eq!(status.source(), previous(comm));
        assert_eq!(status.tag(), tag);
        assert_eq!(status.count(), length as u64);
        assert_eq!(status.dtype(), T::DTYPE);
    }
    covered("send", Some(T::DTYPE), None);
    covered("recv", Some(T::DTYPE), None);
    Ok(())
}

fn every_pair_of_ranks(comm: &Communicator) -> Outcome {
    for sender in 0..comm.size() {
        for receiver in (0..comm.size()).filter(|receiver| *receiver != sender) {
            for length in [3, 3000] {
                let expected: Vec<u32> = vector(receiver as u64, sender, length);
                if comm.rank() == sender {
                    comm.send(&expected, receiver, Tag(1))?;
                } else if comm.rank() == receiver {
                    let mut received = vec![0; length];
                    comm.recv(&mut received, sender, Tag(1))?;
                    assert_eq!(received, expected, "from {sender} to {receiver}");
                }
            }
        }
    }
    Ok(())
}

fn a_larger_buffer_keeps_its_tail(comm: &Communicator) -> Outcome {
    for_every_element!(tail_is_kept(comm)?);
    Ok(())
}

fn tail_is_kept<T: Value>(comm: &Communicator) -> Outcome {
    const TAIL: usize = 5;
    for length in [0, 1, 7, EAGER_BYTES / size_of::<T>() + 1] {
        let sent: Vec<T> = vector(2, 0, length);
        if comm.rank() == 0 {
            comm.send(&sent, 1, Tag(0))?;
        } else {
            let mut received: Vec<T> = untouched(length + TAIL);
            let status = comm.recv(&mut received, 0, Tag(0))?;
            assert_eq!(status.count(), length as u64);
            assert_same(&received[..length], &sent, || "the message".to_owned());
            assert_same(&received[length..], &untouched(length + TAIL)[length..], || {
                "the tail".to_owned()
            });
        }
    }
    Ok(())
}

fn messages_do_not_overtake(comm: &Communicator) -> Outcome {
    // Short and long messages take different ways.
    let length = |number: usize| if number % 3 == 1 { 2000 } else { number % 5 };
    const MESSAGES: usize = 60;
    match comm.rank() {
        0 => {
            for receiver in 1..comm.size() {
                for number in 0..MESSAGES {
                    comm.send(&vector::<u32>(number as u64, 0, length(number)), receiver, Tag(5))?;
                }
            }
        }
        _ => {
            for number in 0..MESSAGES {
                let mut received = vec![0; 2000];
                let status = comm.recv(&mut received, 0, Tag(5))?;
                assert_eq!(status.count(), length(number) as u64, "message {number}");
                received.truncate(length(number));
                assert_eq!(
                    received,
                    vector::<u32>(number as u64, 0, length(number)),
                    "message {number}"
                );
            }
        }
    }
    Ok(())
}

fn every_kind_of_buffer(comm: &Communicator) -> Outcome {
    let expected: [i16; 4] = [1, -2, 3, -4];
    if comm.rank() == 0 {
        comm.send(&expected, 1, Tag(0))?;
        comm.send(&expected[..], 1, Tag(0))?;
        comm.send(&expected.to_vec(), 1, Tag(0))?;
        comm.send(&Box::<[i16]>::from(expected), 1, Tag(0))?;
        comm.send(&Arc::<[i16]>::from(expected), 1, Tag(0))?;
        comm.send(&expected[3], 1, Tag(0))?;
        return Ok(());
    }
    let mut array = [0i16; 4];
    comm.recv(&mut array, 0, Tag(0))?;
    let mut vector = vec![0i16; 4];
    comm.recv(&mut vector, 0, Tag(0))?;
    let mut boxed: Box<[i16]> = vec![0; 4].into();
    comm.recv(&mut boxed, 0, Tag(0))?;
    let mut slice = [0i16; 6];
    comm.recv(&mut slice[1..5], 0, Tag(0))?;
    let mut again = [0i16; 4];
    comm.recv(&mut again, 0, Tag(0))?;
    let mut one = 0i16;
    comm.recv(&mut one, 0, Tag(0))?;
    assert_eq!(
        (array, &vector[..], &boxed[..], again),
        (expected, &expected[..], &expected[..], expected)
    );
    assert_eq!(
        (bytes(&slice[1..5]), slice[0], slice[5], one),
        (bytes(&expected), 0, 0, -4)
    );
    Ok(())
}

fn tags_up_to_the_promised_largest(comm: &Communicator) -> Outcome {
    for tag in [0, 1, 32_767] {
        if comm.rank() == 0 {
            comm.send(&tag, 1, Tag(tag))?;
        } else {
            let mut received = -1;
            comm.recv(&mut received, 0, Tag(tag))?;
            assert_eq!(received, tag);
        }
    }
    Ok(())
}
