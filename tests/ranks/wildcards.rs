//! Receives from any source and with any tag, and probes, in MPI's order of matching.

use warpcomm::{Source, Tag};

use super::common::{EAGER_BYTES, others, told};
use crate::harness::{Outcome, covered};
use crate::oracle::{Value, assert_same, untouched, vector};
use crate::placed::Communicator;

cases! {
    any_source_takes_one_message_of_each: 2..=7;
    any_tag_takes_messages_in_order: 2..=3;
    interleaved_tags: 2..=2;
    the_earliest_receive_takes_the_message: 2..=2;
    probe_describes_the_message_that_comes_next: 2..=4;
    iprobe_finds_nothing_and_then_something: 2..=2;
    a_probed_message_stays_ahead_of_later_ones: 2..=2;
    probed_messages_are_received_by_source_and_tag: 2..=4;
}

fn any_source_takes_one_message_of_each(comm: &Communicator) -> Outcome {
    // Every rank collects from all others: a short message and a long one from each, which differ by tag.
    for (tag, length) in [(Tag(1), 3), (Tag(2), 3000)] {
        let sends = others(comm).map(|to| comm.isend(vector::<u64>(9, comm.rank(), length), to, tag));
        let sends: Vec<_> = sends.collect();
        let mut missing: Vec<usize> = others(comm).collect();
        while !missing.is_empty() {
            let mut received = vec![0; length];
            let status = comm.recv(&mut received, Source::Any, tag)?;
            assert!(
                missing.contains(&status.source()),
                "twice from {}",
                status.source()
            );
            missing.retain(|source| *source != status.source());
            assert_eq!(received, vector::<u64>(9, status.source(), length));
        }
        for send in sends {
            send.wait()?;
        }
    }
    Ok(())
}

fn any_tag_takes_messages_in_order(comm: &Communicator) -> Outcome {
    const MESSAGES: i32 = 20;
    let length = |number: i32| if number % 4 == 2 { 2000 } else { 1 };
    if comm.rank() == 0 {
        for receiver in others(comm) {
            for number in 0..MESSAGES {
                comm.send(&vec![number; length(number)], receiver, Tag(100 - number))?;
            }
        }
        return Ok(());
    }
    for number in 0..MESSAGES {
        let mut received = vec![-1; 2000];
        let status = comm.recv(&mut received, 0, Tag::ANY)?;
        assert_eq!((status.tag(), received[0]), (Tag(100 - number), number));
        assert_eq!(status.count(), length(number) as u64);
    }
    Ok(())
}

fn interleaved_tags(comm: &Communicator) -> Outcome {
    // The sender alternates between two tags, the receiver wants all of one tag, then whatever is left.
    const PAIRS: i32 = 30;
    let length = |number: i32| if number % 3 == 0 { 1500 } else { 2 };
    if comm.rank() == 0 {
        let sends = (0..2 * PAIRS).map(|number| comm.isend(vec![number; length(number)], 1, Tag(number % 2)));
        for send in sends.collect::<Vec<_>>() {
            send.wait()?;
        }
        return Ok(());
    }
    for number in (1..2 * PAIRS).step_by(2) {
        let mut received = vec![-1; 1500];
        let status = comm.recv(&mut received, Source::Any, Tag(1))?;
        assert_eq!((received[0], status.count()), (number, length(number) as u64));
    }
    for number in (0..2 * PAIRS).step_by(2) {
        let mut received = vec![-1; 1500];
        let status = comm.recv(&mut received, Source::Any, Tag::ANY)?;
        assert_eq!((received[0], status.tag()), (number, Tag(0)));
    }
    Ok(())
}

fn the_earliest_receive_takes_the_message(comm: &Communicator) -> Outcome {
    for length in [1, 2000] {
        if comm.rank() == 1 {
            let first = comm.irecv(vec![0u32; length], Source::Any, Tag::ANY);
            let second = comm.irecv(vec![0u32; length], 0, Tag(5));
            let third = comm.irecv(vec![0u32; length], Source::Any, Tag(6));
            comm.barrier()?;
            let (third, _) = third.wait()?;
            let (second, _) = second.wait()?;
            let (first, status) = first.wait()?;
            // The first receive fits the first message, though a later one asks for just that tag.
            assert_eq!((first[0], status.tag()), (50, Tag(5)));
            assert_eq!((second[0], third[0]), (51, 60));
        } else {
            comm.barrier()?;
            for (value, tag) in [(50u32, 5), (60, 6), (51, 5)] {
                comm.send(&vec![value; length], 1, Tag(tag))?;
            }
        }
    }
    Ok(())
}

fn probe_describes_the_message_that_comes_next(comm: &Communicator) -> Outcome {
    for_every_element!(probed(comm)?);
    Ok(())
}

fn probed<T: Value>(comm: &Communicator) -> Outcome {
    for length in [0, 5, EAGER_BYTES / size_of::<T>() + 1] {
        if comm.rank() == 0 {
            for sender in others(comm) {
                let status = comm.probe(sender, Tag::ANY)?;
                assert_eq!((status.source(), status.tag()), (sender, Tag(sender as i32)));
                assert_eq!((status.count(), status.dtype()), told::<T>(length));
                let again = comm.iprobe(Source::Rank(sender), status.tag())?;
                assert_eq!(again, Some(status));
                let mut received: Vec<T> = untouched(length);
                let status = comm.recv(&mut received, status.source(), status.tag())?;
                assert_eq!((status.source(), status.tag()), (sender, Tag(sender as i32)));
                assert_eq!((status.count(), status.dtype()), (length as u64, T::DTYPE));
                assert_same(&received, &vector(4, sender, length), || {
                    format!("{length} elements")
                });
            }
            covered("probe", Some(T::DTYPE), None);
            covered("iprobe", Some(T::DTYPE), None);
        } else {
            comm.send(&vector::<T>(4, comm.rank(), length), 0, Tag(comm.rank() as i32))?;
        }
    }
    Ok(())
}

fn iprobe_finds_nothing_and_then_something(comm: &Communicator) -> Outcome {
    if comm.rank() == 0 {
        comm.barrier()?;
        comm.send(&[7u8], 1, Tag(3))?;
        return Ok(());
    }
    assert_eq!(comm.iprobe(Source::Any, Tag::ANY)?, None);
    comm.barrier()?;
    // Messages with another tag are not looked for.
    assert_eq!(comm.iprobe(0, Tag(4))?, None);
    let status = loop {
        if let Some(status) = comm.iprobe(0, Tag(3))? {
            break status;
        }
    };
    let mut received = [0u8];
    comm.recv(&mut received, 0, Tag(3))?;
    assert_eq!((status.count(), received), (1, [7]));
    assert_eq!(comm.iprobe(Source::Any, Tag::ANY)?, None);
    Ok(())
}

fn a_probed_message_stays_ahead_of_later_ones(comm: &Communicator) -> Outcome {
    if comm.rank() == 0 {
        let send = |value: u32| comm.isend(vec![value], 1, Tag(i32::from(value % 2 == 1)));
        let sends: Vec<_> = (0..6).map(send).collect();
        comm.barrier()?;
        for send in sends {
            send.wait()?;
        }
        return Ok(());
    }
    // Everything has arrived, and what the probe passes over on its way keeps its place.
    comm.probe(0, Tag(1))?;
    comm.barrier()?;
    let mut order = Vec::new();
    for tag in [Tag::ANY, Tag(1), Tag::ANY, Tag::ANY, Tag(1), Tag::ANY] {
        let mut received = [0u32];
        comm.recv(&mut received, Source::Any, tag)?;
        order.push(received[0]);
    }
    assert_eq!(order, [0, 1, 2, 3, 5, 4]);
    Ok(())
}

fn probed_messages_are_received_by_source_and_tag(comm: &Communicator) -> Outcome {
    let ranks = comm.size();
    let tags = [1, 2, 3];
    for length in [1, 3000] {
        if comm.rank() != 0 {
            let contents = |tag: i32| vec![10 * comm.rank() as i32 + tag; length];
            let sends = tags.map(|tag| comm.isend(contents(tag), 0, Tag(tag)));
            for send in sends {
                send.wait()?;
            }
            continue;
        }
        // Everything that came before the last of these lies in the arrived list then.
        for source in 1..ranks {
            comm.probe(source, Tag(3))?;
        }
        for source in (1..ranks).rev() {
            for tag in tags.into_iter().rev() {
                let mut buffer = vec![0i32; length];
                let status = comm.recv(&mut buffer, source, Tag(tag))?;
                assert_eq!((status.source(), status.tag()), (source, Tag(tag)));
                assert_eq!(buffer, vec![10 * source as i32 + tag; length]);
            }
        }
    }
    Ok(())
}
