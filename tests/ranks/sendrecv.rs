//! `sendrecv`.

use warpcomm::{ErrorKind, Source, Tag};

use super::common::{EAGER_BYTES, lengths, next, previous, still_works};
use crate::harness::{Outcome, covered, expect_error, expect_text};
use crate::oracle::{Value, assert_same, untouched, vector};
use crate::placed::Communicator;

cases! {
    every_type_and_length: 1..=7;
    different_types_each_way: 2..=3;
    with_itself: 1..=2;
    any_source_and_any_tag: 2..=4;
    different_lengths: 2..=3;
    errors_of_both_sides: 2..=2;
}

fn every_type_and_length(comm: &Communicator) -> Outcome {
    for_every_element!(around_the_ring(comm)?);
    Ok(())
}

fn around_the_ring<T: Value>(comm: &Communicator) -> Outcome {
    for length in lengths(comm.size(), size_of::<T>()) {
        let salt = length as u64;
        let own: Vec<T> = vector(salt, comm.rank(), length);
        let mut received: Vec<T> = untouched(length + 3);
        let status = comm.sendrecv(&own, next(comm), Tag(2), &mut received, previous(comm), Tag(2))?;
        assert_same(&received[..length], &vector(salt, previous(comm), length), || {
            format!("{length} elements")
        });
        assert_same(&received[length..], &untouched(length + 3)[length..], || {
            "the tail".to_owned()
        });
        assert_eq!((status.source(), status.tag()), (previous(comm), Tag(2)));
        assert_eq!((status.count(), status.dtype()), (length as u64, T::DTYPE));
    }
    covered("sendrecv", Some(T::DTYPE), None);
    Ok(())
}

fn different_types_each_way(comm: &Communicator) -> Outcome {
    // Even ranks send bytes up, odd ranks send numbers down.
    let peer = comm.rank() ^ 1;
    if peer < comm.size() {
        if comm.rank().is_multiple_of(2) {
            let mut received = [0f64; 3];
            comm.sendrecv(&[1u8; 5], peer, Tag(1), &mut received, peer, Tag(2))?;
            assert_eq!(received, [0.5; 3]);
        } else {
            let mut received = vec![0u8; 5];
            comm.sendrecv(&[0.5f64; 3], peer, Tag(2), &mut received, peer, Tag(1))?;
            assert_eq!(received, [1; 5]);
        }
    }
    Ok(())
}

fn with_itself(comm: &Communicator) -> Outcome {
    for length in [0, 1, EAGER_BYTES, EAGER_BYTES + 1, 1 << 20] {
        let own: Vec<u8> = vector(3, comm.rank(), length);
        let mut received = untouched(length);
        let status = comm.sendrecv(&own, comm.rank(), Tag(0), &mut received, comm.rank(), Tag::ANY)?;
        assert_same(&received, &own, || format!("{length} bytes"));
        assert_eq!((status.source(), status.tag()), (comm.rank(), Tag(0)));
    }
    Ok(())
}

fn any_source_and_any_tag(comm: &Communicator) -> Outcome {
    for length in [2, 3000] {
        let tag = Tag(40 + comm.rank() as i32);
        let own: Vec<i32> = vector(5, comm.rank(), length);
        let mut received = vec![0; length];
        let status = comm.sendrecv(&own, next(comm), tag, &mut received, Source::Any, Tag::ANY)?;
        assert_eq!(
            (status.source(), status.tag()),
            (previous(comm), Tag(40 + previous(comm) as i32))
        );
        assert_eq!(received, vector::<i32>(5, previous(comm), length));
        // Nobody's next message may be taken for this one.
        comm.barrier()?;
    }
    Ok(())
}

fn different_lengths(comm: &Communicator) -> Outcome {
    // A rank sends a short message while it receives a long one, and the other way round.
    let length = |rank: usize| if rank.is_multiple_of(2) { 1 } else { 5000 };
    let own: Vec<u32> = vector(6, comm.rank(), length(comm.rank()));
    let mut received = vec![0; 5000];
    let status = comm.sendrecv(&own, next(comm), Tag(0), &mut received, previous(comm), Tag(0))?;
    received.truncate(length(previous(comm)));
    assert_eq!(status.count(), received.len() as u64);
    assert_eq!(received, vector::<u32>(6, previous(comm), received.len()));
    Ok(())
}

fn errors_of_both_sides(comm: &Communicator) -> Outcome {
    let peer = 1 - comm.rank();
    let mut one = [0u8];
    let bad = comm.sendrecv(&[0u8], 2, Tag(0), &mut one, peer, Tag(0));
    expect_text(
        &expect_error(bad, ErrorKind::InvalidArgument),
        &["sendrecv", "rank 2"],
    );
    let bad = comm.sendrecv(&[0u8], peer, Tag(0), &mut one, peer, Tag(-5));
    expect_text(
        &expect_error(bad, ErrorKind::InvalidArgument),
        &["sendrecv", "-5"],
    );
    // Both receives are too short; the messages themselves are consumed.
    for length in [2, EAGER_BYTES + 1] {
        let own = vec![1u8; length];
        let mut short = vec![9u8; length - 1];
        let outcome = comm.sendrecv(&own, peer, Tag(0), &mut short, peer, Tag(0));
        expect_error(outcome, ErrorKind::Truncated);
        assert_eq!(short, vec![9; length - 1]);
    }
    still_works(comm)
}
