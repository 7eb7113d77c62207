//! `alltoallv` and `alltoallv_in_place`.

use warpcomm::Blocks;

use super::common::{lengths, needed};
use crate::harness::{Outcome, covered};
use crate::oracle::{Value, assert_same, mixed, untouched, vector};
use crate::placed::Communicator;

cases! {
    every_type_and_layout: 1..=7;
    every_type_and_layout_in_place: 1..=7;
    no_elements_at_all: 1..=3;
    mpich_alltoallv: 1..=7;
    mpich_alltoallv_of_neighbours: 1..=7;
}

/// How many elements go from one rank to another.
type Counts<'a> = &'a dyn Fn(usize, usize) -> usize;

/// What `from` sends to `to`.
fn block<T: Value>(from: usize, to: usize, length: usize) -> Vec<T> {
    vector(to as u64 + 100, from, length)
}

/// Blocks from the last rank to the first, with gaps.
fn backwards(counts: Vec<usize>) -> Blocks {
    let mut displacements = vec![0; counts.len()];
    let mut end = 2;
    for rank in (0..counts.len()).rev() {
        displacements[rank] = end;
        end += counts[rank] + rank % 2;
    }
    Blocks::new(counts, displacements)
}

fn exchanged<T: Value>(comm: &Communicator, counts: Counts<'_>) -> Outcome {
    let (rank, ranks) = (comm.rank(), comm.size());
    let to: Vec<usize> = (0..ranks).map(|other| counts(rank, other)).collect();
    let from: Vec<usize> = (0..ranks).map(|other| counts(other, rank)).collect();
    let layouts = [
        (Blocks::packed(to.clone()), backwards(from.clone())),
        (backwards(to), Blocks::packed(from)),
    ];
    for (outgoing, incoming) in layouts {
        let mut own: Vec<T> = untouched(needed(&outgoing));
        let mut all: Vec<T> = untouched(needed(&incoming));
        let mut expected = all.clone();
        for other in 0..ranks {
            own[outgoing.range(other)].copy_from_slice(&block(rank, other, outgoing.count(other)));
            expected[incoming.range(other)].copy_from_slice(&block(other, rank, incoming.count(other)));
        }
        comm.alltoallv(&own, &outgoing, &mut all, &incoming)?;
        assert_same(&all, &expected, || format!("{outgoing:?} to {incoming:?}"));
    }
    Ok(())
}

fn every_type_and_layout(comm: &Communicator) -> Outcome {
    for_every_element!(of_all_lengths(comm)?);
    Ok(())
}

fn of_all_lengths<T: Value>(comm: &Communicator) -> Outcome {
    for length in lengths(comm.size(), size_of::<T>()) {
        exchanged::<T>(comm, &|from, to| {
            mixed((from * 10 + to) as u64) as usize % (2 * length + 1)
        })?;
    }
    covered("alltoallv", Some(T::DTYPE), None);
    Ok(())
}

fn every_type_and_layout_in_place(comm: &Communicator) -> Outcome {
    for_every_element!(exchanged_in_place(comm)?);
    Ok(())
}

fn exchanged_in_place<T: Value>(comm: &Communicator) -> Outcome {
    let (rank, ranks) = (comm.rank(), comm.size());
    for length in lengths(ranks, size_of::<T>()) {
        // As many to a rank as from it.
        let count =
            |other: usize| mixed((rank.min(other) * 10 + rank.max(other)) as u64) as usize % (2 * length + 1);
        let counts: Vec<usize> = (0..ranks).map(count).collect();
        for blocks in [Blocks::packed(counts.clone()), backwards(counts)] {
            let mut buffer: Vec<T> = untouched(needed(&blocks));
            let mut expected = buffer.clone();
            for other in 0..ranks {
                buffer[blocks.range(other)].copy_from_slice(&block(rank, other, blocks.count(other)));
                expected[blocks.range(other)].copy_from_slice(&block(other, rank, blocks.count(other)));
            }
            comm.alltoallv_in_place(&mut buffer, &blocks)?;
            assert_same(&buffer, &expected, || format!("{blocks:?}"));
        }
    }
    covered("alltoallv_in_place", Some(T::DTYPE), None);
    Ok(())
}

fn no_elements_at_all(comm: &Communicator) -> Outcome {
    let outside = Blocks::new(vec![0; comm.size()], vec![usize::MAX; comm.size()]);
    let mut nothing: [f32; 0] = [];
    comm.alltoallv(&[0f32; 0], &outside, &mut nothing, &outside)?;
    comm.alltoallv_in_place(&mut nothing, &outside)?;
    Ok(())
}

/// What the test `coll/alltoallv` of MPICH is about: rank r sends i elements to rank i, and gets r from each.
fn mpich_alltoallv(comm: &Communicator) -> Outcome {
    exchanged::<i32>(comm, &|_, to| to)?;
    exchanged::<i32>(comm, &|_, to| 1000 * to)
}

/// What the test `coll/alltoallv0` of MPICH is about: most counts are zero, only neighbours exchange something.
fn mpich_alltoallv_of_neighbours(comm: &Communicator) -> Outcome {
    for length in [1, 1000] {
        exchanged::<i32>(comm, &|from, to| if from.abs_diff(to) == 1 { length } else { 0 })?;
    }
    Ok(())
}
