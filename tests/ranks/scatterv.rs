//! `scatterv` and `scatterv_in_place`.

use warpcomm::Blocks;

use super::common::{layouts, lengths, needed};
use crate::harness::{Outcome, covered};
use crate::oracle::{Value, assert_same, untouched, vector};
use crate::placed::Communicator;

cases! {
    every_type_and_layout: 1..=7;
    every_type_and_layout_in_place: 1..=7;
    every_root: 1..=7;
    blocks_that_overlap: 1..=7;
    no_elements_at_all: 1..=3;
    mpich_scatterv: 1..=7;
}

fn every_type_and_layout(comm: &Communicator) -> Outcome {
    for_every_element!(scattered(comm)?);
    Ok(())
}

fn scattered<T: Value>(comm: &Communicator) -> Outcome {
    for length in lengths(comm.size(), size_of::<T>()) {
        for (number, blocks) in layouts(comm.size(), length).iter().enumerate() {
            from_root::<T>(comm, blocks, (number + length) % comm.size())?;
        }
    }
    covered("scatterv", Some(T::DTYPE), None);
    Ok(())
}

fn from_root<T: Value>(comm: &Communicator, blocks: &Blocks, root: usize) -> Outcome {
    let all: Vec<T> = vector(7, root, needed(blocks));
    let mut own: Vec<T> = untouched(blocks.count(comm.rank()));
    match comm.rank() == root {
        true => comm.scatterv(&all, blocks, &mut own, root)?,
        false => comm.scatterv(&[], &Blocks::default(), &mut own, root)?,
    }
    assert_same(&own, &all[blocks.range(comm.rank())], || {
        format!("{blocks:?} from {root}")
    });
    Ok(())
}

fn every_type_and_layout_in_place(comm: &Communicator) -> Outcome {
    for_every_element!(scattered_in_place(comm)?);
    Ok(())
}

fn scattered_in_place<T: Value>(comm: &Communicator) -> Outcome {
    let rank = comm.rank();
    for length in lengths(comm.size(), size_of::<T>()) {
        for (number, blocks) in layouts(comm.size(), length).iter().enumerate() {
            let root = (number + length) % comm.size();
            let all: Vec<T> = vector(9, root, needed(blocks));
            let (mut buffer, expected) = match rank == root {
                true => (all.clone(), all),
                false => (untouched(blocks.count(rank)), all[blocks.range(rank)].to_vec()),
            };
            comm.scatterv_in_place(&mut buffer, blocks, root)?;
            assert_same(&buffer, &expected, || format!("{blocks:?} from {root}"));
        }
    }
    covered("scatterv_in_place", Some(T::DTYPE), None);
    Ok(())
}

fn every_root(comm: &Communicator) -> Outcome {
    for length in [1, 70, 3000] {
        for blocks in layouts(comm.size(), length) {
            for root in 0..comm.size() {
                from_root::<f32>(comm, &blocks, root)?;
            }
        }
    }
    Ok(())
}

fn blocks_that_overlap(comm: &Communicator) -> Outcome {
    let ranks = comm.size();
    for length in [2, 20, 2000] {
        let same = Blocks::new(vec![length; ranks], vec![1; ranks]);
        let shifted = Blocks::new(vec![length; ranks], (0..ranks).collect::<Vec<_>>());
        for blocks in [same, shifted] {
            from_root::<u16>(comm, &blocks, ranks / 2)?;
        }
    }
    Ok(())
}

fn no_elements_at_all(comm: &Communicator) -> Outcome {
    let blocks = Blocks::packed(vec![0; comm.size()]);
    let mut nothing: [f32; 0] = [];
    comm.scatterv(&[0f32; 0], &blocks, &mut nothing, 0)?;
    comm.scatterv_in_place(&mut nothing, &blocks, 0)?;
    Ok(())
}

/// What the test `coll/scatterv` of MPICH is about: the rows of a matrix go to ranks that own them, with rows of
/// other matrices between them, some ranks getting more rows, and the root's stay in place.
fn mpich_scatterv(comm: &Communicator) -> Outcome {
    let ranks = comm.size();
    for columns in [3, 500] {
        let counts: Vec<usize> = (0..ranks).map(|rank| columns * (1 + rank % 3)).collect();
        let first: Vec<usize> = (0..ranks).map(|rank| columns * 4 * (ranks - 1 - rank)).collect();
        let blocks = Blocks::new(counts, first);
        for root in 0..ranks {
            from_root::<f64>(comm, &blocks, root)?;
        }
    }
    Ok(())
}
