//! Reductions in two levels, of processes that count as being on several nodes.

use std::sync::Arc;

use half::f16;
use warpcomm::cudarc::driver::{CudaSlice, CudaStream};
use warpcomm::{Algorithm, Communicator, Located, Op};

use super::common::{KERNEL_BYTES, still_works};
use super::copies::Counts;
use super::paths::on_nodes;
use super::reduce::{contributions, results};
use super::sweep::an_allreduce_in_levels;
use crate::harness::{Failure, Outcome, Place, Solo, Start};
use crate::oracle::{Value, assert_same, folded, vector};
use crate::placed;

pub const SOLOS: &[Solo] = &[
    Solo {
        name: "levels_have_the_bits_of_one_level",
        start: Start::RanksWithGpus(7),
        environment: &[],
        program: || on_nodes(&["a", "a", "a", "a", "b", "b", "c"], the_same_bits),
        release: None,
        expect: |ended| ended.check(true, &[]),
    },
    Solo {
        name: "levels_of_every_type_and_op",
        start: Start::RanksWithGpus(5),
        environment: &[],
        program: || on_nodes(&["a", "a", "b", "b", "b"], every_type_and_op),
        release: None,
        expect: |ended| ended.check(true, &[]),
    },
    Solo {
        name: "levels_send_less_between_nodes",
        start: Start::RanksWithGpus(4),
        environment: &[],
        program: || on_nodes(&["left", "left", "right", "right"], less_between_nodes),
        release: None,
        expect: |ended| ended.check(true, &[]),
    },
    Solo {
        name: "levels_with_every_call_that_fails",
        start: Start::RanksWithGpus(4),
        environment: &[],
        program: || on_nodes(&["left", "left", "right", "right"], an_allreduce_in_levels),
        release: None,
        expect: |ended| ended.check(true, &[]),
    },
];

/// Ranks of the world in another order, or some of them: neighbours of a node, whole subtrees and others, and ranks in
/// turn.
const ORDERS: [&[usize]; 6] = [
    &[0, 1, 2, 3, 4, 5, 6],
    &[0, 1, 4, 5, 2, 3, 6],
    &[6, 0, 1, 2, 3, 4, 5],
    &[6, 4, 0, 1, 2, 3],
    &[0, 1, 2, 4, 3],
    &[4, 5, 0],
];

fn the_same_bits(world: &Communicator) -> Outcome {
    for (number, order) in ORDERS.into_iter().enumerate() {
        let place = order.iter().position(|&rank| rank == world.rank());
        let part = world.split(place.map(|_| 0), place.unwrap_or(0) as i32)?;
        let Some(part) = part else { continue };
        let stage = placed::stage(Place::ALL[number % Place::ALL.len()], &part)?;
        let comm = placed::place(part.clone(), &stage, true);
        reduced::<f32>(&comm)?;
        reduced::<f16>(&comm)?;
        reduced::<Located<f32, u32>>(&comm)?;
        still_works(&part)?;
    }
    still_works(world)
}

fn every_type_and_op(world: &Communicator) -> Outcome {
    for place in [Place::Host, Place::Device] {
        let stage = placed::stage(place, world)?;
        let comm = placed::place(world.clone(), &stage, false);
        for_every_element!(reduced(&comm)?);
    }
    still_works(world)
}

/// Reduces elements that kernels fold, and fewer, that hosts do.
fn reduced<T: Value>(comm: &placed::Communicator) -> Outcome {
    let chosen = comm.explain("allreduce", KERNEL_BYTES, warpcomm::Place::Device)?;
    assert_eq!(chosen.algorithm(), Algorithm::Levels, "{chosen}");
    let made = comm.with_algorithm("allreduce", Algorithm::Levels)?;
    let comm = placed::like(comm, made.with_algorithm("reduce", Algorithm::Levels)?);
    let (rank, root) = (comm.rank(), comm.size() - 1);
    for length in [501, KERNEL_BYTES / size_of::<T>()] {
        let of_ranks = contributions::<T>(comm.size(), length);
        for (number, op, result) in results::<T>(comm.size(), length).filter(|(number, ..)| number % 3 == 0) {
            let what = || format!("{op} of {length} {} of {} ranks", T::DTYPE, comm.size());
            let own = &of_ranks[rank];
            let mut buffer = own.clone();
            if number % 2 == 0 {
                comm.allreduce_in_place(&mut buffer, op)?;
            } else {
                comm.allreduce(own, &mut buffer, op)?;
            }
            assert_same(&buffer, &result, what);
            let mut buffer = own.clone();
            comm.reduce_in_place(&mut buffer, op, root)?;
            assert_same(&buffer, if rank == root { &result } else { own }, what);
        }
    }
    Ok(())
}

fn less_between_nodes(comm: &Communicator) -> Outcome {
    const LENGTH: usize = 100_000;
    let stream = comm.device()?.new_stream()?;
    let of_ranks: Vec<Vec<f32>> = (0..comm.size()).map(|rank| vector(1, rank, LENGTH)).collect();
    let expected = folded(Op::Sum, &of_ranks).unwrap_or_default();
    // Of four blocks: combined and folded ones to one rank, or raw ones and folded ones to two. What is on the right of
    // what was combined elsewhere is combined, too.
    let kernels = 2 + u64::from(comm.rank() >= 2);
    for (algorithm, sent, launches) in [(Algorithm::Levels, 2, kernels), (Algorithm::Blocks, 4, 1)] {
        let comm = comm.with_algorithm("allreduce", algorithm)?;
        let own = stream.clone_htod(&of_ranks[comm.rank()])?;
        // The first finds out the paths: within a node elements stay on GPUs.
        let mut counts = Counts::default();
        for _ in 0..2 {
            counts = counted(&comm, &stream, &own, &expected)?;
        }
        let bytes = (sent * LENGTH / comm.size() * size_of::<f32>()) as u64;
        assert_eq!(
            (counts.to_host, counts.to_device),
            (bytes, bytes),
            "{algorithm}: {counts:?}"
        );
        assert_eq!(counts.launches, launches, "{algorithm}: {counts:?}");
    }
    still_works(comm)
}

fn counted(
    comm: &Communicator,
    stream: &Arc<CudaStream>,
    own: &CudaSlice<f32>,
    expected: &[f32],
) -> Result<Counts, Failure> {
    let mut result = stream.alloc_zeros::<f32>(expected.len())?;
    stream.synchronize()?;
    comm.barrier()?;
    let before = Counts::now()?;
    comm.allreduce(own, &mut result, Op::Sum)?;
    let counts = Counts::now()?.since(before);
    assert_same(&stream.clone_dtoh(&result)?, expected, || "allreduce".to_owned());
    comm.barrier()?;
    Ok(counts)
}
