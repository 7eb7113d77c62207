//! Intercommunicators: messages between two groups, and `merge`.

use std::time::Duration;

use warpcomm::{
    Communicator, Comparison, ErrorKind, Intercommunicator, Message, Op, PROC_NULL, Request, RequestError,
    Source, Tag,
};

use super::common::still_works;
use crate::harness::{Failure, Outcome, covered, expect_error, expect_text};

cases! {
    ic_merge: 2..=7, native;
    groups_of_both_sides: 2..=7, native;
    every_rank_to_every_remote_rank: 2..=7, native;
    every_kind_of_send: 2..=5, native;
    every_kind_of_receive: 2..=5, native;
    exchanges_and_scopes: 2..=5, native;
    refusals_name_remote_ranks: 2..=5, native;
    messages_of_intercommunicators_do_not_meet: 2..=4, native;
    leaders_apart_from_the_rest: 3..=7, native;
    a_chain_of_three_groups: 3..=6, native;
    local_leaders_that_do_not_exist: 2..=5, native;
    local_leaders_that_differ: 3..=5, native;
    remote_leaders_of_this_side: 1..=4, native;
    another_collective_on_one_side: 3..=5, native;
    a_merge_that_is_mixed: 3..=5, native;
    no_collectives_between_groups: 2..=3, native;
    a_remote_side_that_does_not_come: 2..=3, native;
    a_hundred_in_turn: 2..=3, native;
    a_request_outlives_its_intercommunicator: 2..=2, native;
    more_intercommunicators_than_mpi_has_contexts: 2..=2, native;
}

/// This rank's side, and the intercommunicator with the other: the first `low` ranks face the rest.
struct Sides {
    local: Communicator,
    between: Intercommunicator,
    is_low: bool,
    low: usize,
}

fn sides(comm: &Communicator, low: usize) -> Result<Sides, Failure> {
    let is_low = comm.rank() < low;
    let local = comm.split(Some(u32::from(is_low)), 0)?.expect("a color");
    let remote_leader = if is_low { low } else { 0 };
    let between = local.create_intercommunicator(0, comm, remote_leader, Tag(1))?;
    Ok(Sides {
        local,
        between,
        is_low,
        low,
    })
}

impl Sides {
    /// The rank in the communicator of all of a rank on the other side.
    fn remote(&self, rank: usize) -> usize {
        if self.is_low { self.low + rank } else { rank }
    }
}

/// As MPICH's tests of this name: every order of two groups of any sizes.
fn ic_merge(comm: &Communicator) -> Outcome {
    let size = comm.size();
    for low in 1..size {
        let Sides {
            local,
            between,
            is_low,
            ..
        } = sides(comm, low)?;
        for (of_low, of_high) in [(false, true), (true, false), (false, false), (true, true)] {
            let merged = between.merge(if is_low { of_low } else { of_high })?;
            assert_eq!(merged.size(), size);
            let mut ranks = vec![0u64; size];
            merged.allgather(&(comm.rank() as u64), &mut ranks)?;
            let forward: Vec<u64> = (0..size as u64).collect();
            let mut backward = forward.clone();
            backward.rotate_left(low);
            match (of_low, of_high) {
                (false, true) => assert_eq!(ranks, forward),
                (true, false) => assert_eq!(ranks, backward),
                // One after the other, for both in the same way.
                _ => assert!(ranks == forward || ranks == backward, "{ranks:?}"),
            }
            still_works(&merged)?;
        }
        still_works(&local)?;
    }
    covered("create_intercommunicator", None, None);
    covered("merge", None, None);
    still_works(comm)
}

fn groups_of_both_sides(comm: &Communicator) -> Outcome {
    let size = comm.size();
    for low in [1, size - 1] {
        let Sides {
            local,
            between,
            is_low,
            ..
        } = sides(comm, low)?;
        let (own, other) = if is_low {
            (low, size - low)
        } else {
            (size - low, low)
        };
        assert_eq!(
            (between.rank(), between.size(), between.remote_size()),
            (local.rank(), own, other)
        );
        assert_eq!(between.local_group(), local.group());
        assert_eq!(between.remote_group(), comm.group().difference(&local.group()));
        assert_eq!(between.remote_group().rank(), None);
        between.set_name("across");
        assert_eq!(between.clone().name(), "across");
        let text = format!(
            "Intercommunicator(\"across\", rank {} of {own}, with {other} remote ranks)",
            local.rank()
        );
        assert_eq!(format!("{between:?}"), text);
    }
    Ok(())
}

fn every_rank_to_every_remote_rank(comm: &Communicator) -> Outcome {
    for low in [1, comm.size() / 2, comm.size() - 1] {
        let sides = sides(comm, low)?;
        let between = &sides.between;
        for length in [1, 3000] {
            let sends: Vec<_> = (0..between.remote_size())
                .map(|rank| between.isend(vec![comm.rank() as u32; length], rank, Tag(rank as i32)))
                .collect();
            for rank in 0..between.remote_size() {
                let mut received = vec![99u32; length + 1];
                let status = between.recv(&mut received, rank, Tag(between.rank() as i32))?;
                assert_eq!((status.source(), status.count()), (rank, length as u64));
                assert_eq!(received[..length], vec![sides.remote(rank) as u32; length]);
                assert_eq!(received[length], 99);
            }
            for (rank, send) in sends.into_iter().enumerate() {
                let (_, status) = send.wait()?;
                assert_eq!(status.source(), rank);
            }
        }
    }
    Ok(())
}

type Send = fn(&Intercommunicator, Vec<u64>, usize) -> Result<Vec<u64>, RequestError<Vec<u64>>>;

fn waited(request: Request<Vec<u64>>) -> Result<Vec<u64>, RequestError<Vec<u64>>> {
    request.wait().map(|(buffer, _)| buffer)
}

fn every_kind_of_send(comm: &Communicator) -> Outcome {
    const TAG: Tag = Tag(3);
    let sends: &[Send] = &[
        |via, buffer, to| waited(via.isend(buffer, to, TAG)),
        |via, buffer, to| waited(via.issend(buffer, to, TAG)),
        |via, buffer, to| waited(via.irsend(buffer, to, TAG)),
        |via, buffer, to| waited(via.ibsend(buffer, to, TAG)),
        |via, buffer, to| {
            let mut send = via.send_init(buffer, to, TAG);
            send.start().expect("it starts");
            send.into_buffer()
        },
        |via, buffer, to| {
            let mut send = via.ssend_init(buffer, to, TAG);
            send.start().expect("it starts");
            send.into_buffer()
        },
        |via, buffer, to| {
            let mut send = via.rsend_init(buffer, to, TAG);
            send.start().expect("it starts");
            send.into_buffer()
        },
        |via, buffer, to| {
            via.send(&buffer, to, TAG).expect("it is sent");
            Ok(buffer)
        },
        |via, buffer, to| {
            via.ssend(&buffer, to, TAG).expect("it is sent");
            Ok(buffer)
        },
        |via, buffer, to| {
            via.rsend(&buffer, to, TAG).expect("it is sent");
            Ok(buffer)
        },
        |via, buffer, to| {
            via.bsend(&buffer, to, TAG).expect("it is sent");
            Ok(buffer)
        },
    ];
    let sides = sides(comm, 1)?;
    let between = &sides.between;
    for (number, send) in sends.iter().enumerate() {
        for length in [2, 2000] {
            // The others send to rank 0, which is alone, and it to the last of them.
            let last = if sides.is_low {
                between.remote_size() - 1
            } else {
                0
            };
            if sides.is_low {
                for source in 0..between.remote_size() {
                    let mut received = vec![0u64; length];
                    between.recv(&mut received, source, TAG)?;
                    assert_eq!(received, vec![(number + source) as u64; length]);
                }
                send(between, vec![number as u64; length], last)?;
            } else {
                send(between, vec![(number + between.rank()) as u64; length], 0)?;
                if between.rank() == between.size() - 1 {
                    let mut received = vec![0u64; length];
                    between.recv(&mut received, Source::Any, TAG)?;
                    assert_eq!(received, vec![number as u64; length]);
                }
            }
        }
    }
    Ok(())
}

fn every_kind_of_receive(comm: &Communicator) -> Outcome {
    let sides = sides(comm, 1)?;
    let between = &sides.between;
    let check = |source: usize, received: &[u64]| {
        assert!(
            received.iter().all(|value| *value == 10 + source as u64),
            "{source}: {received:?}"
        );
    };
    let receive = |message: Message| -> Outcome {
        let status = message.status();
        let mut received = vec![0u64; status.count() as usize];
        assert_eq!(message.recv(&mut received)?.source(), status.source());
        check(status.source(), &received);
        Ok(())
    };
    for length in [2, 2000] {
        // Receives from any rank must not meet the next round's messages.
        comm.barrier()?;
        if !sides.is_low {
            for _ in 0..5 {
                between.send(&vec![10 + between.rank() as u64; length], 0, Tag(0))?;
            }
            continue;
        }
        for source in (0..between.remote_size()).rev() {
            let status = between.probe(source, Tag::ANY)?;
            assert_eq!((status.source(), status.count()), (source, length as u64));
            assert_eq!(between.iprobe(source, Tag(0))?, Some(status));
            receive(between.mprobe(source, Tag(0))?)?;
            let (received, status) = between.irecv(vec![0u64; length], source, Tag(0)).wait()?;
            assert_eq!(status.source(), source);
            check(source, &received);
            let mut persistent = between.recv_init(vec![0u64; length], source, Tag(0));
            persistent.start()?;
            assert_eq!(persistent.wait()?.source(), source);
            check(source, persistent.buffer()?);
        }
        for _ in 0..between.remote_size() {
            let message = loop {
                if let Some(message) = between.improbe(Source::Any, Tag(0))? {
                    break message;
                }
            };
            receive(message)?;
            let mut received = vec![0u64; length];
            let status = between.recv(&mut received, Source::Any, Tag::ANY)?;
            check(status.source(), &received);
        }
    }
    Ok(())
}

fn exchanges_and_scopes(comm: &Communicator) -> Outcome {
    let sides = sides(comm, comm.size() / 2)?;
    let between = &sides.between;
    // Ranks with the same number face each other; where one side has more, the rest face nobody.
    let facing = match between.rank() < between.remote_size() {
        true => between.rank(),
        false => PROC_NULL,
    };
    let expected = match facing {
        PROC_NULL => 77,
        rank => sides.remote(rank) as u32,
    };
    for length in [1, 3000] {
        let own = vec![comm.rank() as u32; length];
        let mut received = vec![77u32; length];
        let status = between.sendrecv(&own, facing, Tag(0), &mut received, facing, Tag(0))?;
        assert_eq!(status.source(), facing);
        assert_eq!(received, vec![expected; length]);
        let mut replaced = own.clone();
        between.sendrecv_replace(&mut replaced, facing, Tag(0), facing, Tag(0))?;
        let kept = if facing == PROC_NULL { own[0] } else { expected };
        assert_eq!(replaced, vec![kept; length]);
        let mut borrowed = vec![77u32; length];
        between.scope(|s| {
            s.irecv(&mut borrowed, facing, Tag(0))?;
            s.isend(&own, facing, Tag(0))?;
            Ok(())
        })?;
        assert_eq!(borrowed, vec![expected; length]);
    }
    Ok(())
}

fn refusals_name_remote_ranks(comm: &Communicator) -> Outcome {
    let sides = sides(comm, 1)?;
    let between = &sides.between;
    let remote = between.remote_size();
    let text = format!(
        "send on rank {} to rank {remote}: the remote group has {remote} ranks, 0 to {}",
        between.rank(),
        remote - 1
    );
    let error = expect_error(between.send(&[1u8], remote, Tag(0)), ErrorKind::InvalidArgument);
    assert_eq!(error.to_string(), text);
    // A receive that is too short, of a message in an envelope and of a longer one.
    for length in [3, 9000] {
        if sides.is_low {
            for rank in 0..remote {
                let error = expect_error(between.recv(&mut [0u8; 2], rank, Tag(0)), ErrorKind::Truncated);
                expect_text(&error, &["recv on rank 0", &format!("from rank {rank}:")]);
            }
        } else {
            let error = expect_error(between.ssend(&vec![1u8; length], 0, Tag(0)), ErrorKind::Truncated);
            expect_text(&error, &[&format!("ssend on rank {} to rank 0:", between.rank())]);
        }
    }
    every_rank_to_every_remote_rank(comm)
}

fn messages_of_intercommunicators_do_not_meet(comm: &Communicator) -> Outcome {
    let sides = sides(comm, 1)?;
    let again = sides
        .local
        .create_intercommunicator(0, comm, if sides.is_low { 1 } else { 0 }, Tag(2))?;
    let twin = sides.between.duplicate()?;
    let merged = sides.between.merge(!sides.is_low)?;
    assert_eq!(merged.compare(comm), Comparison::Congruent);
    let all = [&sides.between, &again, &twin];
    for length in [1, 3000] {
        let sends: Vec<_> = all
            .iter()
            .enumerate()
            .map(|(number, via)| via.isend(vec![number as u32; length], 0, Tag(0)))
            .collect();
        if sides.between.rank() == 0 {
            for (number, via) in all.iter().enumerate().rev() {
                for _ in 0..via.remote_size() {
                    let mut received = vec![9u32; length];
                    via.recv(&mut received, Source::Any, Tag::ANY)?;
                    assert_eq!(received, vec![number as u32; length]);
                }
            }
        }
        for send in sends {
            send.wait()?;
        }
        comm.barrier()?;
    }
    for via in [&sides.local, comm, &merged] {
        assert_eq!(via.iprobe(Source::Any, Tag::ANY)?, None);
        still_works(via)?;
    }
    Ok(())
}

fn leaders_apart_from_the_rest(comm: &Communicator) -> Outcome {
    let (rank, size) = (comm.rank(), comm.size());
    // The last rank of each side leads; the leaders have a communicator of their own, and the rest has none.
    let is_low = rank < size / 2;
    let local = comm.split(Some(u32::from(is_low)), 0)?.expect("a color");
    let leader = local.size() - 1;
    let bridge = comm.split((local.rank() == leader).then_some(0), 0)?;
    let (via, remote_leader) = match &bridge {
        Some(bridge) => (bridge, usize::from(is_low)),
        // Whatever the others give does not count.
        None => (&local, 1_000_000),
    };
    let between = local.create_intercommunicator(leader, via, remote_leader, Tag(9))?;
    drop(bridge);
    let merged = between.merge(!is_low)?;
    assert_eq!(merged.rank(), rank);
    let mut sum = 0u64;
    merged.allreduce(&(rank as u64), &mut sum, Op::Sum)?;
    assert_eq!(sum, (size * (size - 1) / 2) as u64);
    Ok(())
}

fn a_chain_of_three_groups(comm: &Communicator) -> Outcome {
    // Each group faces the one before it and the one behind it.
    let color = comm.rank() % 3;
    let local = comm.split(Some(color as u32), 0)?.expect("a color");
    let mut neighbours = Vec::new();
    for lower in 0..2 {
        if color == lower || color == lower + 1 {
            let other = if color == lower { lower + 1 } else { lower };
            let between = local.create_intercommunicator(0, comm, other, Tag(lower as i32))?;
            neighbours.push((other, between));
        }
    }
    for (other, between) in &neighbours {
        let mut number = 0u64;
        let own = (10 * color + between.rank()) as u64;
        let peer = if between.rank() < between.remote_size() {
            between.rank()
        } else {
            PROC_NULL
        };
        between.sendrecv(&own, peer, Tag(0), &mut number, peer, Tag(0))?;
        if peer != PROC_NULL {
            assert_eq!(number, (10 * other + peer) as u64);
        }
    }
    still_works(comm)
}

fn local_leaders_that_do_not_exist(comm: &Communicator) -> Outcome {
    let is_low = comm.rank() == 0;
    let local = comm.split(Some(u32::from(is_low)), 0)?.expect("a color");
    // The last of the upper side is wrong; its leader, if that is another rank, tells the lower side.
    let odd = !is_low && local.rank() == local.size() - 1;
    let remote_leader = usize::from(is_low);
    if local.size() > 1 || is_low && comm.size() > 2 {
        let leader = if odd { local.size() } else { 0 };
        let outcome = local.create_intercommunicator(leader, comm, remote_leader, Tag(0));
        let kind = if odd {
            ErrorKind::InvalidArgument
        } else {
            ErrorKind::PeerFailed
        };
        expect_text(
            &expect_error(outcome, kind),
            &["create_intercommunicator on rank"],
        );
    }
    // Nothing is left of it.
    every_rank_to_every_remote_rank(comm)
}

fn local_leaders_that_differ(comm: &Communicator) -> Outcome {
    let is_low = comm.rank() == 0;
    let local = comm.split(Some(u32::from(is_low)), 0)?.expect("a color");
    // In the upper side all name its rank 0 but for the last, which names itself.
    let odd = !is_low && local.rank() == local.size() - 1;
    let leader = if odd { local.rank() } else { 0 };
    let outcome = local.create_intercommunicator(leader, comm, usize::from(is_low), Tag(0));
    let error = expect_error(outcome, ErrorKind::Mismatch);
    expect_text(&error, &["as the local leader"]);
    still_works(&local)?;
    every_rank_to_every_remote_rank(comm)
}

fn remote_leaders_of_this_side(comm: &Communicator) -> Outcome {
    // Both sides are the same ranks, which each can see for itself.
    for remote_leader in 0..comm.size() {
        let outcome = comm.create_intercommunicator(0, comm, remote_leader, Tag(0));
        let kind = match comm.rank() {
            0 => ErrorKind::InvalidArgument,
            _ => ErrorKind::PeerFailed,
        };
        expect_error(outcome, kind);
    }
    let outcome = comm.create_intercommunicator(0, comm, comm.size(), Tag(0));
    assert!(outcome.is_err());
    let outcome = comm.create_intercommunicator(0, comm, 0, Tag(-1));
    assert!(outcome.is_err());
    still_works(comm)
}

fn another_collective_on_one_side(comm: &Communicator) -> Outcome {
    let is_low = comm.rank() == 0;
    let local = comm.split(Some(u32::from(is_low)), 0)?.expect("a color");
    let kind = match !is_low && local.rank() == local.size() - 1 {
        true => expect_error(local.barrier(), ErrorKind::Mismatch).kind(),
        false => {
            let outcome = local.create_intercommunicator(0, comm, usize::from(is_low), Tag(0));
            expect_error(outcome, ErrorKind::Mismatch).kind()
        }
    };
    assert_eq!(kind, ErrorKind::Mismatch);
    still_works(&local)?;
    every_rank_to_every_remote_rank(comm)
}

fn a_merge_that_is_mixed(comm: &Communicator) -> Outcome {
    let sides = sides(comm, 1)?;
    let high = comm.rank() == comm.size() - 1;
    let error = expect_error(sides.between.merge(high), ErrorKind::Mismatch);
    expect_text(&error, &["merge", "says high"]);
    let merged = sides.between.merge(sides.is_low)?;
    still_works(&merged)
}

fn no_collectives_between_groups(comm: &Communicator) -> Outcome {
    let sides = sides(comm, 1)?;
    let mut number = 0u8;
    let outcome = sides.between.scope(|s| {
        s.ibcast(&mut number, 0)?;
        Ok(())
    });
    expect_text(&expect_error(outcome, ErrorKind::Unsupported), &["merge"]);
    every_rank_to_every_remote_rank(comm)
}

fn a_remote_side_that_does_not_come(comm: &Communicator) -> Outcome {
    let is_low = comm.rank() == 0;
    let local = comm.split(Some(u32::from(is_low)), 0)?.expect("a color");
    let bridge = comm.duplicate()?;
    if is_low {
        let impatient = local.with_timeout(Some(Duration::from_millis(50)));
        let outcome = impatient.create_intercommunicator(0, &bridge, 1, Tag(0));
        expect_text(
            &expect_error(outcome, ErrorKind::Timeout),
            &["create_intercommunicator", "rank 1 to enter it"],
        );
        // What was written to the other leader must not be read by a later call.
        expect_error(bridge.barrier(), ErrorKind::Timeout);
    }
    drop(bridge);
    still_works(comm)?;
    every_rank_to_every_remote_rank(comm)
}

fn a_hundred_in_turn(comm: &Communicator) -> Outcome {
    let is_low = comm.rank() == 0;
    let local = comm.split(Some(u32::from(is_low)), 0)?.expect("a color");
    for round in 0..100u32 {
        let between = local.create_intercommunicator(0, comm, usize::from(is_low), Tag(0))?;
        if between.rank() == 0 {
            let mut received = 0;
            between.sendrecv(&round, 0, Tag(0), &mut received, 0, Tag(0))?;
            assert_eq!(received, round);
        }
        if round % 10 == 0 {
            still_works(&between.merge(is_low)?)?;
        }
    }
    Ok(())
}

fn a_request_outlives_its_intercommunicator(comm: &Communicator) -> Outcome {
    let sides = sides(comm, 1)?;
    let outgoing = sides.between.isend(vec![comm.rank() as u8; 9000], 0, Tag(0));
    let incoming = sides.between.irecv(vec![9u8; 9000], 0, Tag(0));
    let Sides { local, between, .. } = sides;
    drop(between);
    // What is freed here must not be the context of the requests.
    for _ in 0..3 {
        drop(local.create_intercommunicator(0, comm, 1 - comm.rank(), Tag(0))?);
    }
    assert_eq!(incoming.wait()?.0, vec![1 - comm.rank() as u8; 9000]);
    outgoing.wait()?;
    Ok(())
}

fn more_intercommunicators_than_mpi_has_contexts(comm: &Communicator) -> Outcome {
    let local = comm.split(Some(comm.rank() as u32), 0)?.expect("a color");
    for _ in 0..3000 {
        drop(local.create_intercommunicator(0, comm, 1 - comm.rank(), Tag(0))?);
    }
    Ok(())
}
