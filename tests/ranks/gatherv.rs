//! `gatherv` and `gatherv_in_place`.

use warpcomm::Blocks;

use super::common::{layouts, lengths, needed};
use crate::harness::{Outcome, covered};
use crate::oracle::{Value, assert_same, untouched, vector};
use crate::placed::Communicator;

cases! {
    every_type_and_layout: 1..=7;
    every_type_and_layout_in_place: 1..=7;
    every_root: 1..=7;
    other_ranks_need_no_buffer: 1..=7;
    no_elements_at_all: 1..=3;
    mpich_gatherv: 1..=7;
}

/// The root's buffer after the operation: blocks from every rank, and what was there between them.
fn expected<T: Value>(salt: u64, blocks: &Blocks) -> Vec<T> {
    let mut all: Vec<T> = untouched(needed(blocks));
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
        for (number, blocks) in layouts(comm.size(), length).iter().enumerate() {
            to_root::<T>(comm, blocks, (number + length) % comm.size())?;
        }
    }
    covered("gatherv", Some(T::DTYPE), None);
    Ok(())
}

fn to_root<T: Value>(comm: &Communicator, blocks: &Blocks, root: usize) -> Outcome {
    let own: Vec<T> = vector(3, comm.rank(), blocks.count(comm.rank()));
    let mut all: Vec<T> = untouched(needed(blocks));
    let is_root = comm.rank() == root;
    comm.gatherv(&own, &mut all, blocks, root)?;
    let expected = if is_root {
        expected(3, blocks)
    } else {
        untouched(needed(blocks))
    };
    assert_same(&all, &expected, || format!("{blocks:?} to {root}"));
    Ok(())
}

fn every_type_and_layout_in_place(comm: &Communicator) -> Outcome {
    for_every_element!(gathered_in_place(comm)?);
    Ok(())
}

fn gathered_in_place<T: Value>(comm: &Communicator) -> Outcome {
    let rank = comm.rank();
    for length in lengths(comm.size(), size_of::<T>()) {
        for (number, blocks) in layouts(comm.size(), length).iter().enumerate() {
            let root = (number + length) % comm.size();
            let own: Vec<T> = vector(5, rank, blocks.count(rank));
            if rank == root {
                let mut all: Vec<T> = untouched(needed(blocks));
                all[blocks.range(rank)].copy_from_slice(&own);
                comm.gatherv_in_place(&mut all, blocks, root)?;
                assert_same(&all, &expected(5, blocks), || format!("{blocks:?} to {root}"));
            } else {
                let mut buffer = own.clone();
                comm.gatherv_in_place(&mut buffer, &Blocks::default(), root)?;
                assert_same(&buffer, &own, || format!("{blocks:?}, not the root"));
            }
        }
    }
    covered("gatherv_in_place", Some(T::DTYPE), None);
    Ok(())
}

fn every_root(comm: &Communicator) -> Outcome {
    for length in [1, 70, 3000] {
        for blocks in layouts(comm.size(), length) {
            for root in 0..comm.size() {
                to_root::<f32>(comm, &blocks, root)?;
            }
        }
    }
    Ok(())
}

fn other_ranks_need_no_buffer(comm: &Communicator) -> Outcome {
    for length in [2, 3000] {
        let root = comm.size() - 1;
        let blocks = Blocks::even(comm.size() * length - 1, comm.size());
        let own: Vec<i16> = vector(1, comm.rank(), blocks.count(comm.rank()));
        match comm.rank() == root {
            true => {
                let mut all = vec![0; blocks.total()];
                comm.gatherv(&own, &mut all, &blocks, root)?;
                let expected: Vec<i16> = expected(1, &blocks);
                assert_same(&all, &expected[..all.len()], || format!("{length} elements"));
            }
            false => comm.gatherv(&own, &mut [], &Blocks::default(), root)?,
        }
    }
    Ok(())
}

fn no_elements_at_all(comm: &Communicator) -> Outcome {
    let blocks = Blocks::packed(vec![0; comm.size()]);
    let mut nothing: [f32; 0] = [];
    comm.gatherv(&[0f32; 0], &mut nothing, &blocks, 0)?;
    comm.gatherv_in_place(&mut nothing, &blocks, 0)?;
    Ok(())
}

/// What the test `coll/gatherv` of MPICH is about: every rank sends another number of elements to each root in turn,
/// from a few to many, into blocks with gaps.
fn mpich_gatherv(comm: &Communicator) -> Outcome {
    let ranks = comm.size();
    for count in [1, 40, 5000] {
        for root in 0..ranks {
            let counts: Vec<usize> = (0..ranks).map(|rank| count * (rank + 1)).collect();
            let first: Vec<usize> = (0..ranks).map(|rank| count * rank * (rank + 3) / 2).collect();
            to_root::<f64>(comm, &Blocks::new(counts, first), root)?;
        }
    }
    Ok(())
}
