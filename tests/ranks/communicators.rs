//! `duplicate` and `split`: which ranks and messages belong together, and that contexts are freed; names.

use std::time::Duration;

use warpcomm::{ErrorKind, Op, Source, Tag};

use super::common::{next, previous, still_works};
use crate::harness::{Outcome, covered, expect_error, expect_text, is_plain};
use crate::placed::Communicator;

cases! {
    a_duplicate_keeps_messages_apart: 2..=4;
    a_clone_is_the_same_communicator: 2..=3;
    split_by_parity: 1..=7;
    split_orders_by_key_and_then_by_rank: 1..=7;
    split_leaves_ranks_out: 1..=7;
    split_into_single_ranks: 1..=4;
    colors_and_keys_of_any_size: 2..=4;
    parts_of_parts: 4..=7;
    messages_of_parts_do_not_meet: 4..=5;
    two_hundred_duplicates_in_turn: 2..=2;
    two_hundred_splits_in_turn: 3..=3;
    many_at_the_same_time: 2..=3;
    dropped_at_different_times: 2..=3;
    a_request_outlives_its_communicator: 2..=2;
    names_are_shown: 1..=2;
    more_duplicates_than_mpi_has_contexts: 2..=2, native;
}

fn a_duplicate_keeps_messages_apart(comm: &Communicator) -> Outcome {
    let twin = comm.duplicate()?;
    assert_eq!((twin.rank(), twin.size()), (comm.rank(), comm.size()));
    for length in [1, 3000] {
        let first = comm.isend(vec![1u32; length], next(comm), Tag(0));
        let second = twin.isend(vec![2u32; length], next(comm), Tag(0));
        let mut received = vec![0u32; length];
        twin.recv(&mut received, Source::Any, Tag::ANY)?;
        assert_eq!(received, vec![2; length]);
        assert_eq!(twin.iprobe(Source::Any, Tag::ANY)?, None);
        comm.recv(&mut received, Source::Any, Tag::ANY)?;
        assert_eq!(received, vec![1; length]);
        first.wait()?;
        second.wait()?;
        // The next round's messages are the next round's.
        comm.barrier()?;
    }
    still_works(&twin)?;
    covered("duplicate", None, None);
    Ok(())
}

fn a_clone_is_the_same_communicator(comm: &Communicator) -> Outcome {
    let clone = comm.clone();
    // The original on some ranks and its clone on others.
    let mine = if comm.rank().is_multiple_of(2) {
        comm
    } else {
        &clone
    };
    still_works(mine)?;
    let send = comm.isend(vec![3u8], next(comm), Tag(1));
    let mut received = [0u8];
    clone.recv(&mut received, previous(comm), Tag(1))?;
    assert_eq!(received, [3]);
    send.wait()?;
    Ok(())
}

fn split_by_parity(comm: &Communicator) -> Outcome {
    let (rank, size) = (comm.rank(), comm.size());
    let part = comm
        .split(Some(rank as u32 % 2), 0)?
        .expect("every rank has a color");
    let members: Vec<usize> = (0..size).filter(|member| member % 2 == rank % 2).collect();
    assert_eq!((part.size(), members[part.rank()]), (members.len(), rank));
    let mut sum = 0u64;
    part.allreduce(&(rank as u64), &mut sum, Op::Sum)?;
    assert_eq!(sum, members.iter().sum::<usize>() as u64);
    still_works(&part)?;
    still_works(comm)?;
    covered("split", None, None);
    Ok(())
}

fn split_orders_by_key_and_then_by_rank(comm: &Communicator) -> Outcome {
    let (rank, size) = (comm.rank(), comm.size());
    let reversed = comm
        .split(Some(0), -(rank as i32))?
        .expect("every rank has a color");
    assert_eq!(reversed.rank(), size - 1 - rank);
    let same = comm.split(Some(3), 5)?.expect("every rank has a color");
    assert_eq!(same.rank(), rank);
    // Halves change places; inside them, ranks keep their order.
    let half = size / 2;
    let swapped = comm
        .split(Some(1), i32::from(rank < half))?
        .expect("every rank has a color");
    assert_eq!(
        swapped.rank(),
        if rank < half {
            rank + size - half
        } else {
            rank - half
        }
    );
    for part in [reversed, same, swapped] {
        let mut ranks = vec![0u64; size];
        part.allgather(&(rank as u64), &mut ranks)?;
        assert_eq!(ranks[part.rank()], rank as u64);
        still_works(&part)?;
    }
    Ok(())
}

fn split_leaves_ranks_out(comm: &Communicator) -> Outcome {
    let rank = comm.rank();
    let part = comm.split((rank > 0).then_some(9), 0)?;
    assert_eq!(part.is_none(), rank == 0);
    if let Some(part) = part {
        assert_eq!((part.rank(), part.size()), (rank - 1, comm.size() - 1));
        still_works(&part)?;
    }
    assert!(comm.split(None, 0)?.is_none());
    still_works(comm)
}

fn split_into_single_ranks(comm: &Communicator) -> Outcome {
    let alone = comm
        .split(Some(comm.rank() as u32), 0)?
        .expect("every rank has a color");
    assert_eq!((alone.rank(), alone.size()), (0, 1));
    still_works(&alone)?;
    still_works(comm)
}

fn colors_and_keys_of_any_size(comm: &Communicator) -> Outcome {
    // MPI's own colors have no sign.
    let largest = if is_plain() { i32::MAX as u32 } else { u32::MAX };
    let color = largest - comm.rank() as u32 % 2;
    let key = if comm.rank() < 2 { i32::MAX } else { i32::MIN };
    let part = comm.split(Some(color), key)?.expect("every rank has a color");
    let expected = (0..comm.size())
        .filter(|rank| rank % 2 == comm.rank() % 2)
        .count();
    assert_eq!(part.size(), expected);
    assert_eq!(part.rank(), if comm.rank() < 2 { expected - 1 } else { 0 });
    still_works(&part)
}

fn parts_of_parts(comm: &Communicator) -> Outcome {
    let halves = comm
        .split(Some(u32::from(comm.rank() >= comm.size() / 2)), 0)?
        .expect("a color");
    let quarter = halves
        .split(Some(halves.rank() as u32 % 2), -(halves.rank() as i32))?
        .expect("a color");
    let twin = quarter.duplicate()?;
    // The parents may go first.
    drop(halves);
    still_works(&quarter)?;
    drop(quarter);
    still_works(&twin)?;
    let again = twin.split(Some(0), 0)?.expect("a color");
    assert_eq!((again.rank(), again.size()), (twin.rank(), twin.size()));
    still_works(&again)?;
    still_works(comm)
}

fn messages_of_parts_do_not_meet(comm: &Communicator) -> Outcome {
    // Rank 0 of each part sends to rank 1 of its part, on three communicators, with equal tags.
    let part = comm.split(Some(comm.rank() as u32 % 2), 0)?.expect("a color");
    let twin = part.duplicate()?;
    for length in [1, 3000] {
        if part.rank() == 0 {
            let sends = [(&part, 1), (&twin, 2)]
                .map(|(via, number)| via.isend(vec![10 * comm.rank() as u32 + number; length], 1, Tag(0)));
            for send in sends {
                send.wait()?;
            }
        } else if part.rank() == 1 {
            let color = comm.rank() as u32 % 2;
            let requests = [(&twin, 2), (&part, 1)]
                .map(|(via, number)| (via.irecv(vec![0u32; length], 0, Tag(0)), number));
            for (request, number) in requests {
                assert_eq!(request.wait()?.0, vec![10 * color + number; length]);
            }
        }
    }
    assert_eq!(comm.iprobe(Source::Any, Tag::ANY)?, None);
    still_works(comm)
}

fn two_hundred_duplicates_in_turn(comm: &Communicator) -> Outcome {
    for _ in 0..200 {
        still_works(&comm.duplicate()?)?;
    }
    Ok(())
}

fn two_hundred_splits_in_turn(comm: &Communicator) -> Outcome {
    for round in 0..200 {
        let color = (comm.rank() + round) % 3;
        if let Some(part) = comm.split((color > 0).then_some(1), round as i32)? {
            still_works(&part)?;
        }
    }
    Ok(())
}

fn many_at_the_same_time(comm: &Communicator) -> Outcome {
    let mut communicators = vec![comm.clone()];
    for number in 0..24 {
        let parent = &communicators[number / 2];
        let child = match number % 3 {
            0 => parent.split(Some(0), -(number as i32))?.expect("a color"),
            _ => parent.duplicate()?,
        };
        communicators.push(child);
    }
    let sends: Vec<_> = communicators
        .iter()
        .enumerate()
        .map(|(number, each)| each.isend(vec![number as u32; 1 + 300 * (number % 5)], next(each), Tag(0)))
        .collect();
    for (number, each) in communicators.iter().enumerate().rev() {
        let mut received = vec![0u32; 1 + 300 * (number % 5)];
        each.recv(&mut received, previous(each), Tag(0))?;
        assert!(received.iter().all(|value| *value == number as u32));
    }
    for send in sends {
        send.wait()?;
    }
    communicators.iter().try_for_each(still_works)
}

fn dropped_at_different_times(comm: &Communicator) -> Outcome {
    let mut kept = Vec::new();
    for round in 0..30 {
        let twin = comm.duplicate()?;
        still_works(&twin)?;
        // Each rank keeps other ones, so that none can be freed before all have dropped it.
        if round % comm.size() == comm.rank() {
            kept.push(twin);
        }
    }
    drop(kept);
    for _ in 0..3 {
        still_works(&comm.duplicate()?)?;
    }
    Ok(())
}

fn a_request_outlives_its_communicator(comm: &Communicator) -> Outcome {
    let peer = 1 - comm.rank();
    let twin = comm.duplicate()?;
    let outgoing = twin.isend(vec![comm.rank() as u8; 9000], peer, Tag(0));
    let incoming = twin.irecv(vec![9u8; 9000], peer, Tag(0));
    drop(twin);
    // What is freed here must not be the context of the requests.
    for _ in 0..3 {
        drop(comm.duplicate()?);
    }
    assert_eq!(incoming.wait()?.0, vec![peer as u8; 9000]);
    outgoing.wait()?;
    Ok(())
}

fn names_are_shown(comm: &Communicator) -> Outcome {
    let rows = comm.duplicate()?;
    assert_eq!(rows.name(), "");
    rows.set_name("rows");
    assert_eq!(
        (rows.clone().name(), rows.duplicate()?.name()),
        ("rows".into(), "".into())
    );
    let (rank, size) = (comm.rank(), comm.size());
    let text = format!("Communicator(\"rows\", rank {rank} of {size})");
    assert_eq!(format!("{:?}", warpcomm::Communicator::clone(&rows)), text);
    // In an error, in that of a collective, and in what is said about an operation that does not end.
    let error = expect_error(rows.send(&[1u8], size, Tag(0)), ErrorKind::InvalidArgument);
    expect_text(
        &error,
        &[&format!("send on rank {rank} of \"rows\" to rank {size}: ")],
    );
    let error = expect_error(rows.bcast(&mut [1u8], size), ErrorKind::InvalidArgument);
    expect_text(&error, &[&format!("bcast on rank {rank} of \"rows\": ")]);
    let impatient = rows.with_timeout(Some(Duration::from_millis(20)));
    let error = expect_error(
        impatient.recv(&mut [1u8], Source::Any, Tag(7)),
        ErrorKind::Timeout,
    );
    expect_text(
        &error,
        &["recv on \"rows\" from any rank, tag 7, 1 bytes, waits for"],
    );
    let other = comm.duplicate()?;
    other.set_name("columns");
    other.set_name("");
    let error = expect_error(other.send(&[1u8], size, Tag(0)), ErrorKind::InvalidArgument);
    expect_text(&error, &[&format!("send on rank {rank} to rank {size}: ")]);
    Ok(())
}

fn more_duplicates_than_mpi_has_contexts(comm: &Communicator) -> Outcome {
    for round in 0..3000 {
        let twin = comm.duplicate()?;
        if round % 500 == 0 {
            still_works(&twin)?;
        }
    }
    Ok(())
}
