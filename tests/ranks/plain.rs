//! What plain communicators promise by themselves: messages and collectives are MPI's own, and an `Err` is still an
//! `Err`.

use warpcomm::{Blocks, ErrorKind, Op, Source, Tag, Wire};

use super::common::{EAGER_BYTES, LARGE_BYTES, next, previous, still_works};
use crate::harness::{Outcome, expect_error, expect_text};
use crate::oracle::{assert_same, folded, tame_vector, untouched, vector};
use crate::placed::Communicator;

cases! {
    a_message_too_long_is_truncated_and_gone: 2..=4, plain;
    a_message_that_is_no_whole_number_of_elements: 2..=2, plain;
    receives_match_in_their_order: 2..=4, plain;
    a_probe_leaves_what_a_receive_waits_for: 2..=2, plain;
    a_cancelled_receive_takes_nothing: 2..=2, plain;
    a_message_put_back_comes_first: 2..=2, plain;
    empty_buffers_of_bytes: 1..=4, plain;
    a_block_that_reaches_into_its_result: 2..=4, plain;
    a_rank_with_nothing_to_exchange: 3..=4, plain;
    native_operations_go_on_in_a_blocking_collective: 2..=4, plain;
    an_error_of_one_rank_is_its_own: 2..=3, plain;
    a_native_communicator_of_the_same_ranks: 1..=4, plain;
    freed_by_hand: 2..=2, plain;
    what_needs_envelopes_is_unsupported: 1..=2, plain;
}

fn a_message_too_long_is_truncated_and_gone(comm: &Communicator) -> Outcome {
    let sent: Vec<f32> = vector(1, comm.rank(), LARGE_BYTES);
    for length in [6, EAGER_BYTES / 4 + 1, LARGE_BYTES] {
        let sends = [
            comm.isend(sent[..length].to_vec(), next(comm), Tag(3)),
            comm.isend(sent[..4].to_vec(), next(comm), Tag(3)),
        ];
        let mut received = untouched::<f32>(length - 1);
        let outcome = comm.recv(&mut received, previous(comm), Tag(3));
        let error = expect_error(outcome, ErrorKind::Truncated);
        expect_text(
            &error,
            &[&format!("{length} f32"), &format!("buffer of {}", length - 1)],
        );
        assert_same(&received, &untouched(length - 1), || {
            "a truncated message".to_owned()
        });
        let mut received = untouched::<f32>(6);
        let status = comm.recv(&mut received, previous(comm), Tag(3))?;
        assert_eq!(status.count(), 4);
        assert_same(&received[..4], &vector(1, previous(comm), 4), || {
            "the next".to_owned()
        });
        assert_same(&received[4..], &untouched(6)[4..], || "the tail".to_owned());
        for send in sends {
            send.wait()?;
        }
    }
    still_works(comm)
}

fn a_message_that_is_no_whole_number_of_elements(comm: &Communicator) -> Outcome {
    let send = comm.isend(vec![1u8; 7], next(comm), Tag(0));
    let mut received = [5f64; 2];
    expect_error(
        comm.recv(&mut received[..], previous(comm), Tag(0)).map(drop),
        ErrorKind::Mismatch,
    );
    assert_eq!(received, [5.0; 2]);
    send.wait()?;
    still_works(comm)
}

fn receives_match_in_their_order(comm: &Communicator) -> Outcome {
    // Of any rank and tag, of any tag, of this rank and tag, and once more.
    let from = previous(comm);
    let receives = [
        comm.irecv(vec![0u32; 1], Source::Any, Tag::ANY),
        comm.irecv(vec![0u32; 1], from, Tag::ANY),
        comm.irecv(vec![0u32; 1], from, Tag(2)),
        comm.irecv(vec![0u32; 1], Source::Any, Tag(1)),
    ];
    comm.barrier()?;
    // The third waits for the third message of tag 2, since the first two receives take what comes first.
    for (number, tag) in [(10, 1), (11, 2), (12, 2), (13, 1)] {
        comm.send(&[number], next(comm), Tag(tag))?;
    }
    let mut numbers = Vec::new();
    for receive in receives {
        numbers.push(receive.wait()?.0[0]);
    }
    assert_eq!(numbers, [10, 11, 12, 13]);
    Ok(())
}

fn a_probe_leaves_what_a_receive_waits_for(comm: &Communicator) -> Outcome {
    let peer = next(comm);
    let receive = comm.irecv(vec![0u64; 1], peer, Tag(1));
    comm.barrier()?;
    comm.send(&[1u64], peer, Tag(1))?;
    comm.send(&[2u64], peer, Tag(1))?;
    let status = comm.probe(Source::Any, Tag::ANY)?;
    assert_eq!(status.count(), 8);
    let mut second = [0u64];
    comm.recv(&mut second, status.source(), status.tag())?;
    assert_eq!((receive.wait()?.0[0], second[0]), (1, 2));
    Ok(())
}

fn a_cancelled_receive_takes_nothing(comm: &Communicator) -> Outcome {
    let peer = next(comm);
    let receive = comm.irecv(vec![7u64; 1], peer, Tag(1));
    receive.cancel()?;
    let (buffer, status) = receive.wait()?;
    assert!(status.is_cancelled() && buffer == [7]);
    comm.barrier()?;
    let mut received = [0u64];
    comm.sendrecv(&[3u64], peer, Tag(1), &mut received, peer, Tag(1))?;
    assert_eq!(received, [3]);
    Ok(())
}

fn a_message_put_back_comes_first(comm: &Communicator) -> Outcome {
    let peer = next(comm);
    comm.send(&[1u64], peer, Tag(1))?;
    comm.send(&[2u64], peer, Tag(1))?;
    drop(comm.mprobe(peer, Tag(1))?);
    for number in [1, 2] {
        let mut received = [0u64];
        comm.recv(&mut received, Source::Any, Tag::ANY)?;
        assert_eq!(received, [number]);
    }
    Ok(())
}

/// An empty vector of bytes is at address 1, which means something else to Open MPI.
fn empty_buffers_of_bytes(comm: &Communicator) -> Outcome {
    let (own, mut all): (Vec<u8>, Vec<u8>) = (Vec::new(), Vec::new());
    comm.bcast(&mut all, 0)?;
    comm.gather(&own, &mut all, 0)?;
    comm.scatter(&own, &mut all, 0)?;
    comm.allgather(&own, &mut all)?;
    comm.alltoall(&own, &mut all)?;
    comm.reduce(&own, &mut all, Op::Sum, 0)?;
    comm.allreduce(&own, &mut all, Op::Sum)?;
    comm.scan(&own, &mut all, Op::Sum)?;
    comm.exscan(&own, &mut all, Op::Sum)?;
    comm.reduce_scatter_block(&own, &mut all, Op::Sum)?;
    comm.sendrecv(&own, next(comm), Tag(0), &mut all, previous(comm), Tag(0))?;
    still_works(comm)
}

/// Which ends the job in one MPI, where there is much of it.
fn a_block_that_reaches_into_its_result(comm: &Communicator) -> Outcome {
    for length in [10, 70_000 / comm.size()] {
        let counts: Vec<usize> = (0..comm.size()).map(|rank| length + rank % 2).collect();
        let blocks = Blocks::packed(counts);
        let of_ranks: Vec<Vec<f64>> = (0..comm.size())
            .map(|rank| tame_vector(3, rank, blocks.total()))
            .collect();
        let mut all = of_ranks[comm.rank()].clone();
        comm.reduce_scatter_in_place(&mut all, &blocks, Op::Sum)?;
        let sums = folded(Op::Sum, &of_ranks).expect("sums of floats");
        let own = blocks.range(comm.rank());
        let expected = [&sums[own.clone()], &of_ranks[comm.rank()][own.len()..]].concat();
        assert_same(&all, &expected, || format!("{blocks:?}"));
    }
    still_works(comm)
}

/// One MPI leaves a collective out where it takes empty buffers for one in place, and mixes up the next ones.
fn a_rank_with_nothing_to_exchange(comm: &Communicator) -> Outcome {
    let size = comm.size();
    let inner: &warpcomm::Communicator = comm;
    let counts = |rank: usize| (0..size).map(move |other| usize::from(rank.min(other) > 0));
    let blocks = Blocks::packed(counts(comm.rank()).collect::<Vec<_>>());
    let own = vec![comm.rank() as u16; blocks.total()];
    let first = inner.ialltoallv(own, &blocks, vec![0; blocks.total()], &blocks);
    let second = inner.iallgather(vec![comm.rank() as u32], vec![9; size]);
    let ((_, received), _) = second.wait()?;
    assert_eq!(received, (0..size as u32).collect::<Vec<_>>());
    let ((_, received), _) = first.wait()?;
    let expected = if comm.rank() == 0 { 0..0 } else { 1..size as u16 };
    assert_eq!(received, expected.collect::<Vec<_>>());
    still_works(comm)
}

fn native_operations_go_on_in_a_blocking_collective(comm: &Communicator) -> Outcome {
    let native = warpcomm::Communicator::clone(comm).into_native()?;
    // The last rank is in the barrier when it is asked for the body of its message.
    let own: Vec<u32> = vector(2, comm.rank(), LARGE_BYTES);
    let last = comm.size() - 1;
    let send = (comm.rank() == last).then(|| native.isend(own, 0, Tag(0)));
    if comm.rank() == 0 {
        let mut received = untouched::<u32>(LARGE_BYTES);
        native.recv(&mut received, last, Tag(0))?;
        assert_same(&received, &vector(2, last, LARGE_BYTES), || {
            "a long message".to_owned()
        });
    }
    comm.barrier()?;
    send.map_or(Ok(()), |send| {
        send.wait().map(drop).map_err(warpcomm::Error::from)
    })?;
    Ok(())
}

fn an_error_of_one_rank_is_its_own(comm: &Communicator) -> Outcome {
    // Nobody else has been told of the collective.
    if comm.rank() == 0 {
        let mut short = [5u32; 1];
        expect_error(
            comm.allgather(&[1u32], &mut short[..0]),
            ErrorKind::InvalidArgument,
        );
        expect_error(comm.bcast(&mut short, comm.size()), ErrorKind::InvalidArgument);
        assert_eq!(short, [5]);
    }
    still_works(comm)
}

fn a_native_communicator_of_the_same_ranks(comm: &Communicator) -> Outcome {
    assert_eq!(comm.wire(), Wire::Plain);
    let native = warpcomm::Communicator::clone(comm).into_native()?;
    assert_eq!(native.wire(), Wire::Native);
    assert_eq!((native.rank(), native.size()), (comm.rank(), comm.size()));
    still_works(&native)?;
    // There all ranks find out.
    if comm.size() > 1 {
        let mut sums = vec![0u32; 2];
        let outcome = native.allreduce(&vec![1u32; 1 + comm.rank().min(1)], &mut sums, Op::Sum);
        expect_error(outcome, ErrorKind::Mismatch);
    }
    let part = native.split(Some(comm.rank() as u32 % 2), 0)?;
    still_works(&part.expect("every rank has a color"))?;
    still_works(comm)
}

fn freed_by_hand(comm: &Communicator) -> Outcome {
    // More than some MPIs have at the same time.
    for _ in 0..2100 {
        let other = comm.duplicate()?;
        let kept = warpcomm::Communicator::clone(&other);
        expect_error(kept.free(), ErrorKind::InvalidArgument);
        release(other)?;
    }
    still_works(comm)
}

/// Frees a communicator that nobody else has.
fn release(comm: Communicator) -> warpcomm::Result<()> {
    let inner = warpcomm::Communicator::clone(&comm);
    drop(comm);
    inner.free()
}

fn what_needs_envelopes_is_unsupported(comm: &Communicator) -> Outcome {
    let inner: &warpcomm::Communicator = comm;
    let mut persistent = inner.barrier_init();
    expect_error(persistent.start(), ErrorKind::Unsupported);
    expect_error(
        inner.create_group(&inner.group(), Tag(0)).map(drop),
        ErrorKind::Unsupported,
    );
    still_works(comm)
}
