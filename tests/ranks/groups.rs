//! Groups, and communicators that are made of them.

use std::time::Duration;

use warpcomm::{Comparison, Error, ErrorKind, Group, Op, Source, Tag};

use super::common::{next, still_works};
use crate::harness::{Outcome, covered, expect_error, expect_text};
use crate::oracle::mixed;
use crate::placed::Communicator;

cases! {
    comm_group: 1..=7, native;
    groups_of_parts: 3..=7, native;
    cmsplit: 1..=7;
    comparisons: 1..=4;
    create_makes_several_at_once: 1..=7;
    create_leaves_ranks_out: 1..=7;
    create_is_refused: 2..=5, native;
    create_group_while_others_are_busy: 3..=7, native;
    create_group_in_any_order: 2..=7, native;
    create_group_of_one: 1..=4, native;
    messages_of_groups_do_not_meet: 3..=4, native;
    create_group_is_refused: 2..=5, native;
    groups_that_meet_have_a_deadline: 2..=3, native;
    two_hundred_groups_in_turn: 3..=3, native;
    groups_dropped_at_different_times: 2..=3, native;
    more_groups_than_mpi_has_contexts: 2..=2, native;
}

/// Which ranks a round chooses, in which order; never none.
fn chosen(size: usize, round: u64) -> Vec<usize> {
    let mut ranks: Vec<usize> = (0..size).collect();
    ranks.sort_by_key(|&rank| mixed(round * 64 + rank as u64));
    ranks.truncate(1 + mixed(round) as usize % size);
    ranks
}

/// Checks that a communicator has these ranks of `comm`, in this order, and works.
fn consists_of(part: &Communicator, comm: &Communicator, ranks: &[usize]) -> Outcome {
    assert_eq!((part.size(), ranks[part.rank()]), (ranks.len(), comm.rank()));
    assert_eq!(part.group(), comm.group().include(ranks)?);
    let mut all = vec![0u64; ranks.len()];
    part.allgather(&(comm.rank() as u64), &mut all)?;
    assert_eq!(all, ranks.iter().map(|&rank| rank as u64).collect::<Vec<_>>());
    still_works(part)
}

/// As MPICH's tests of this name: halves and random groups, made by their members alone.
fn comm_group(comm: &Communicator) -> Outcome {
    let (rank, size) = (comm.rank(), comm.size());
    let half: Vec<usize> = (0..size / 2).collect();
    if half.contains(&rank) {
        let part = comm.create_group(&comm.group().include(&half)?, Tag(0))?;
        consists_of(&part, comm, &half)?;
    }
    for round in 0..8 {
        let ranks = chosen(size, round);
        if ranks.contains(&rank) {
            let part = comm.create_group(&comm.group().include(&ranks)?, Tag(round as i32))?;
            consists_of(&part, comm, &ranks)?;
        }
    }
    still_works(comm)?;
    covered("create_group", None, None);
    Ok(())
}

fn groups_of_parts(comm: &Communicator) -> Outcome {
    let (rank, size) = (comm.rank(), comm.size());
    let all = comm.group();
    assert_eq!((all.size(), all.rank()), (size, Some(rank)));
    // A part of a part, whose numbers are those of the world all the same.
    let odd = rank % 2 == 1;
    let part = comm
        .split(Some(u32::from(odd)), -(rank as i32))?
        .expect("a color");
    let group = part.group();
    let members: Vec<usize> = (0..size).rev().filter(|member| member % 2 == rank % 2).collect();
    let ranks: Vec<usize> = (0..members.len()).collect();
    let expected: Vec<_> = members.iter().map(|&member| Some(member)).collect();
    assert_eq!(group.translate_ranks(&ranks, &all)?, expected);
    assert_eq!(group.rank(), Some(part.rank()));
    // The same without a message.
    let first = if odd { 1 } else { 0 };
    let range = all.include_ranges(&[(*members.first().expect("this rank"), first, -2)])?;
    assert_eq!(range, group);
    let others = all.difference(&group);
    assert_eq!((others.size(), others.rank()), (size - members.len(), None));
    assert_eq!(group.union(&others).compare(&all), Comparison::Similar);
    assert_eq!(group.intersection(&others), Group::empty());
    assert!(part.create(&others).is_err());
    still_works(comm)
}

/// As MPICH's tests of this name: what `split` says must be what groups say.
fn cmsplit(comm: &Communicator) -> Outcome {
    let (rank, size) = (comm.rank(), comm.size());
    // Everybody in reverse.
    let reversed = comm.split(Some(0), (size - rank) as i32)?.expect("a color");
    let all: Vec<usize> = (0..size).collect();
    let places = comm.group().translate_ranks(&all, &reversed.group())?;
    let expected: Vec<_> = (0..size).map(|rank| Some(size - 1 - rank)).collect();
    assert_eq!(places, expected);
    // Only the even ones, with equal keys.
    let even = comm.split(rank.is_multiple_of(2).then_some(7), 0)?;
    assert_eq!(even.is_some(), rank.is_multiple_of(2));
    if let Some(even) = even {
        let ranks: Vec<usize> = (0..size).step_by(2).collect();
        consists_of(&even, comm, &ranks)?;
    }
    // The ranks of this machine, of which there is one.
    let node = comm.split_shared(-(rank as i32))?;
    let everybody: Vec<usize> = (0..size).rev().collect();
    consists_of(&node, comm, &everybody)?;
    covered("split_shared", None, None);
    Ok(())
}

fn comparisons(comm: &Communicator) -> Outcome {
    let size = comm.size();
    let duplicate = comm.duplicate()?;
    let reversed = comm.split(Some(0), -(comm.rank() as i32))?.expect("a color");
    let alone = comm.split(Some(comm.rank() as u32), 0)?.expect("a color");
    let many = size > 1;
    let pairs = [
        (&comm.clone(), Comparison::Identical),
        (
            &comm.with_timeout(Some(Duration::from_secs(9))),
            Comparison::Identical,
        ),
        (&duplicate, Comparison::Congruent),
        (
            &reversed,
            if many {
                Comparison::Similar
            } else {
                Comparison::Congruent
            },
        ),
        (
            &alone,
            if many {
                Comparison::Unequal
            } else {
                Comparison::Congruent
            },
        ),
    ];
    for (other, expected) in pairs {
        assert_eq!(comm.compare(other), expected, "{other:?}");
        assert_eq!(other.compare(comm), expected, "{other:?}");
    }
    Ok(())
}

fn create_makes_several_at_once(comm: &Communicator) -> Outcome {
    let size = comm.size();
    // A group of every third rank, the last first.
    let ranks: Vec<usize> = (0..size)
        .rev()
        .filter(|rank| rank % 3 == comm.rank() % 3)
        .collect();
    let part = comm
        .create(&comm.group().include(&ranks)?)?
        .expect("it is a member");
    consists_of(&part, comm, &ranks)?;
    still_works(comm)?;
    covered("create", None, None);
    Ok(())
}

fn create_leaves_ranks_out(comm: &Communicator) -> Outcome {
    for round in 0..5 {
        let ranks = chosen(comm.size(), round);
        // Whoever is in no group may give any other.
        let is_member = ranks.contains(&comm.rank());
        let group = match is_member || round % 2 == 0 {
            true => comm.group().include(&ranks)?,
            false => Group::empty(),
        };
        let part = comm.create(&group)?;
        assert_eq!(part.is_some(), is_member);
        if let Some(part) = part {
            consists_of(&part, comm, &ranks)?;
        }
    }
    still_works(comm)
}

fn create_is_refused(comm: &Communicator) -> Outcome {
    let (rank, size) = (comm.rank(), comm.size());
    let all = comm.group();
    let every: Vec<usize> = (0..size).collect();
    let reversed: Vec<usize> = (0..size).rev().collect();
    let mut turned = every.clone();
    turned[1..].reverse();
    // Another order, one rank fewer: found by all.
    let wrongs = [&reversed[..], &every[..size - 1], &turned[..]];
    for wrong in wrongs.into_iter().filter(|wrong| **wrong != every) {
        let odd = rank == 0;
        let group = all.include(if odd { wrong } else { &every })?;
        expect_text(
            &expect_error(comm.create(&group), ErrorKind::Mismatch),
            &["create on rank"],
        );
        still_works(comm)?;
    }
    // A rank that the communicator does not have.
    let smaller = comm.split((rank > 0).then_some(0), 0)?;
    if let Some(smaller) = smaller {
        let group = if rank == 1 { all.clone() } else { smaller.group() };
        let kind = if rank == 1 {
            ErrorKind::InvalidArgument
        } else {
            ErrorKind::PeerFailed
        };
        expect_error(smaller.create(&group), kind);
        still_works(&smaller)?;
    }
    still_works(comm)
}

fn create_group_while_others_are_busy(comm: &Communicator) -> Outcome {
    let (rank, size) = (comm.rank(), comm.size());
    let half = size / 2;
    // The upper half knows nothing of it, and the lower half must not need it.
    let group = comm.group().include_ranges(&[(0, half, 1)])?;
    let mut sum = 0u64;
    if rank <= half {
        let part = comm.create_group(&group, Tag(1))?;
        part.allreduce(&1u64, &mut sum, Op::Sum)?;
        assert_eq!(sum, half as u64 + 1);
        if rank == 0 {
            for other in half + 1..size {
                comm.send(&sum, other, Tag(1))?;
            }
        }
    } else {
        comm.recv(&mut sum, 0, Tag(1))?;
    }
    still_works(comm)
}

fn create_group_in_any_order(comm: &Communicator) -> Outcome {
    let size = comm.size();
    for shift in 0..size {
        let ranks: Vec<usize> = (0..size).map(|at| (at + shift) % size).collect();
        let part = comm.create_group(&comm.group().include(&ranks)?, Tag(0))?;
        consists_of(&part, comm, &ranks)?;
        // One of a group is a communicator as any other.
        let again = part.create_group(&part.group(), Tag(0))?;
        assert_eq!(part.compare(&again), Comparison::Congruent);
        let halves = again.split(Some(again.rank() as u32 % 2), 0)?.expect("a color");
        still_works(&halves.duplicate()?)?;
    }
    Ok(())
}

fn create_group_of_one(comm: &Communicator) -> Outcome {
    let alone = comm.create_group(&comm.group().include(&[comm.rank()])?, Tag(3))?;
    assert_eq!((alone.rank(), alone.size()), (0, 1));
    still_works(&alone)?;
    still_works(comm)
}

fn messages_of_groups_do_not_meet(comm: &Communicator) -> Outcome {
    // The same ranks in two orders, and twice in one: rank 1 of one is not rank 1 of the other.
    let size = comm.size();
    let forward: Vec<usize> = (0..size).collect();
    let backward: Vec<usize> = (0..size).rev().collect();
    let groups = [&forward, &backward, &forward, &backward];
    let communicators = groups
        .iter()
        .map(|ranks| comm.create_group(&comm.group().include(ranks)?, Tag(0)))
        .collect::<Result<Vec<_>, Error>>()?;
    for length in [1, 3000] {
        let sends: Vec<_> = communicators
            .iter()
            .enumerate()
            .map(|(number, each)| each.isend(vec![number as u32; length], next(each), Tag(0)))
            .collect();
        for (number, each) in communicators.iter().enumerate().rev() {
            let mut received = vec![9u32; length];
            each.recv(&mut received, Source::Any, Tag::ANY)?;
            assert_eq!(received, vec![number as u32; length]);
        }
        for send in sends {
            send.wait()?;
        }
    }
    assert_eq!(comm.iprobe(Source::Any, Tag::ANY)?, None);
    communicators.iter().try_for_each(still_works)
}

fn create_group_is_refused(comm: &Communicator) -> Outcome {
    let (rank, size) = (comm.rank(), comm.size());
    let all = comm.group();
    // What a rank can know alone.
    let without = all.exclude(&[rank])?;
    expect_text(
        &expect_error(comm.create_group(&without, Tag(0)), ErrorKind::InvalidArgument),
        &["create_group on rank", "this rank is not in"],
    );
    for bad in [Tag(-1), Tag::ANY, Tag(i32::MAX)] {
        expect_error(comm.create_group(&all, bad), ErrorKind::InvalidArgument);
    }
    // What the first member finds out for all: another order, one rank fewer.
    let mut other: Vec<usize> = (0..size).collect();
    other[1..].reverse();
    for wrong in [&other[..], &[0, rank][..]] {
        let group = match rank == size - 1 && size > 2 {
            true => all.include(wrong)?,
            false => all.clone(),
        };
        let outcome = comm.create_group(&group, Tag(5));
        match size > 2 {
            true => expect_text(
                &expect_error(outcome, ErrorKind::Mismatch),
                &["create_group", "gives another group"],
            ),
            false => drop(outcome?),
        }
        still_works(comm)?;
    }
    // What one member knows, and the others learn from it: ranks that the communicator has not.
    let smaller = comm.split((rank < size - 1).then_some(0), 0)?;
    if let Some(smaller) = smaller {
        let odd = smaller.rank() == smaller.size() - 1;
        let group = if odd { all.clone() } else { smaller.group() };
        let kind = if odd {
            ErrorKind::InvalidArgument
        } else {
            ErrorKind::PeerFailed
        };
        expect_error(smaller.create_group(&group, Tag(0)), kind);
        still_works(&smaller)?;
    }
    still_works(comm)
}

fn groups_that_meet_have_a_deadline(comm: &Communicator) -> Outcome {
    let impatient = comm.duplicate()?.with_timeout(Some(Duration::from_millis(50)));
    if comm.rank() == 0 {
        let error = expect_error(impatient.create_group(&comm.group(), Tag(2)), ErrorKind::Timeout);
        expect_text(&error, &["create_group", "rank 1 to enter it"]);
    }
    comm.barrier()?;
    still_works(comm)
}

fn two_hundred_groups_in_turn(comm: &Communicator) -> Outcome {
    for round in 0..200 {
        let ranks = chosen(comm.size(), round % 5);
        if ranks.contains(&comm.rank()) {
            still_works(&comm.create_group(&comm.group().include(&ranks)?, Tag(0))?)?;
        }
    }
    still_works(comm)
}

fn groups_dropped_at_different_times(comm: &Communicator) -> Outcome {
    let mut kept = Vec::new();
    for round in 0..30 {
        let part = comm.create_group(&comm.group(), Tag(0))?;
        still_works(&part)?;
        if round % comm.size() == comm.rank() {
            kept.push(part);
        }
    }
    drop(kept);
    for _ in 0..3 {
        still_works(&comm.create_group(&comm.group(), Tag(0))?)?;
    }
    Ok(())
}

fn more_groups_than_mpi_has_contexts(comm: &Communicator) -> Outcome {
    let reversed = comm.group().include(&[1, 0])?;
    for round in 0..3000 {
        let part = comm.create_group(&reversed, Tag(0))?;
        if round % 500 == 0 {
            still_works(&part)?;
        }
    }
    Ok(())
}
