//! `allgatherv` and `allgatherv_in_place`.

use warpcomm::Blocks;

use super::common::{layouts, lengths, needed};
use crate::harness::{Outcome, covered};
use crate::oracle::{Value, assert_same, untouched, vector};
use crate::placed::Communicator;

cases! {
    every_type_and_layout: 1..=7;
    every_type_and_layout_in_place: 1..=7;
    no_elements_at_all: 1..=3;
    an_empty_block_outside_the_buffer: 1..=4;
}

/// The buffer after the operation: blocks from every rank, and what was there between them.
fn expected<T: Value>(salt: u64, blocks: &Blocks, length: usize) -> Vec<T> {
    let mut all: Vec<T> = untouched(length);
    for rank in 0..blocks.len() {
        all[blocks.range(rank)].copy_from_slice(&vector(salt, rank, blocks.count(rank)));
    }
    all
}

fn every_type_and_layout(comm: &Communicator) -> Outcome {
    for_every_element!(gathered(comm)?);
    Ok(())
}

fn gathered<T: Value>(comm: &Communicator) -> Outcome {
    for length in lengths(comm.size(), size_of::<T>()) {
        for blocks in layouts(comm.size(), length) {
            let salt = length as u64;
            let own: Vec<T> = vector(salt, comm.rank(), blocks.count(comm.rank()));
            let mut all: Vec<T> = untouched(needed(&blocks));
            comm.allgatherv(&own, &mut all, &blocks)?;
            assert_same(&all, &expected(salt, &blocks, needed(&blocks)), || {
                format!("{blocks:?}")
            });
        }
    }
    covered("allgatherv", Some(T::DTYPE), None);
    Ok(())
}

fn every_type_and_layout_in_place(comm: &Communicator) -> Outcome {
    for_every_element!(gathered_in_place(comm)?);
    Ok(())
}

fn gathered_in_place<T: Value>(comm: &Communicator) -> Outcome {
    let rank = comm.rank();
    for length in lengths(comm.size(), size_of::<T>()) {
        for blocks in layouts(comm.size(), length) {
            let salt = length as u64;
            let mut all: Vec<T> = untouched(needed(&blocks));
            all[blocks.range(rank)].copy_from_slice(&vector(salt, rank, blocks.count(rank)));
            comm.allgatherv_in_place(&mut all, &blocks)?;
            assert_same(&all, &expected(salt, &blocks, needed(&blocks)), || {
                format!("{blocks:?}")
            });
        }
    }
    covered("allgatherv_in_place", Some(T::DTYPE), None);
    Ok(())
}

fn no_elements_at_all(comm: &Communicator) -> Outcome {
    let blocks = Blocks::packed(vec![0; comm.size()]);
    let mut nothing: [f32; 0] = [];
    comm.allgatherv(&[0f32; 0], &mut nothing, &blocks)?;
    comm.allgatherv_in_place(&mut nothing, &blocks)?;
    Ok(())
}

fn an_empty_block_outside_the_buffer(comm: &Communicator) -> Outcome {
    let (rank, ranks) = (comm.rank(), comm.size());
    for length in [3, 2000] {
        for outside in [ranks * length + 1, usize::MAX] {
            let (mut counts, mut displacements) = (vec![length; ranks], vec![0; ranks]);
            for (rank, displacement) in displacements.iter_mut().enumerate() {
                *displacement = length * rank;
            }
            counts[ranks / 2] = 0;
            displacements[ranks / 2] = outside;
            let blocks = Blocks::new(counts, displacements);
            let own: Vec<u32> = vector(1, rank, blocks.count(rank));
            let mut all: Vec<u32> = untouched(ranks * length);
            let mut expected = all.clone();
            for other in (0..ranks).filter(|&other| other != ranks / 2) {
                expected[blocks.range(other)].copy_from_slice(&vector(1, other, length));
            }
            comm.allgatherv(&own, &mut all, &blocks)?;
            assert_same(&all, &expected, || format!("{blocks:?}"));
            let mut all: Vec<u32> = untouched(ranks * length);
            if !own.is_empty() {
                all[blocks.range(rank)].copy_from_slice(&own);
            }
            comm.allgatherv_in_place(&mut all, &blocks)?;
            assert_same(&all, &expected, || format!("{blocks:?}, in place"));
        }
    }
    Ok(())
}
