//! Reductions in two levels against the oracle of all ranks' elements, bit for bit, whatever nodes the ranks are on.

use proptest::prelude::*;
use proptest::sample::select;

use crate::comm::Communicator;
use crate::config::Config;
use crate::device::{Oracle, Place};
use crate::dtype::{Dtype, dispatch};
use crate::error::{ErrorKind, Result};
use crate::op::Op;
use crate::plan::Algorithm;

/// Where ranks are, and what they reduce.
#[derive(Clone, Debug)]
struct Case {
    nodes: Vec<u64>,
    op: Op,
    dtype: Dtype,
    length: usize,
}

/// SplitMix64, by Steele, Lea and Flood.
fn mixed(seed: usize) -> u64 {
    let seed = (seed as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    let mixed = (seed ^ seed >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
    mixed ^ mixed >> 31
}

impl Case {
    fn run(&self) {
        dispatch!(self.dtype, T => self.run_on::<T>())
    }

    fn run_on<T: Oracle>(&self) {
        let special = T::special();
        let element = |rank: usize, at: usize| match mixed(1000 * at + rank) {
            bits if bits.is_multiple_of(11) => special[bits as usize / 11 % special.len()],
            bits => T::ordinary(bits),
        };
        let of_rank = |rank| (0..self.length).map(|at| element(rank, at)).collect();
        let of_ranks: Vec<Vec<T>> = (0..self.nodes.len()).map(of_rank).collect();
        let fold = |at| {
            let elements: Vec<T> = of_ranks.iter().map(|own| own[at]).collect();
            T::reduce(self.op, &elements).expect("a supported pair")
        };
        let expected: Vec<T> = (0..self.length).map(fold).collect();
        let ranks = Communicator::threads_on_nodes(&Config::default(), &self.nodes, |comm| {
            self.reduced(&comm, &of_ranks[comm.rank()], &expected)
        });
        ranks.unwrap().into_iter().collect::<Result<()>>().unwrap();
    }

    /// Reduces in every way in which the elements can go.
    fn reduced<T: Oracle>(&self, comm: &Communicator, own: &[T], expected: &[T]) -> Result<()> {
        let (rank, root) = (comm.rank(), comm.size() / 2);
        let same = |found: &[T], expected: &[T], what: &str| {
            let bytes = |elements: &[T]| bytemuck::cast_slice::<T, u8>(elements).to_vec();
            assert!(bytes(found) == bytes(expected), "{what} on rank {rank}: {self:?}");
        };
        let comm = comm.with_algorithm("allreduce", Algorithm::Levels)?;
        let comm = comm.with_algorithm("reduce", Algorithm::Levels)?;
        let mut result = own.to_vec();
        comm.allreduce(own, &mut result, self.op)?;
        same(&result, expected, "allreduce");
        let mut buffer = own.to_vec();
        comm.allreduce_in_place(&mut buffer, self.op)?;
        same(&buffer, expected, "allreduce_in_place");
        let mut buffer = own.to_vec();
        comm.reduce_in_place(&mut buffer, self.op, root)?;
        same(
            &buffer,
            if rank == root { expected } else { own },
            "reduce_in_place",
        );
        Ok(())
    }
}

fn supported() -> Vec<(Op, Dtype)> {
    let pairs = Op::ALL
        .iter()
        .flat_map(|&op| Dtype::ALL.iter().map(move |&dtype| (op, dtype)));
    pairs.filter(|&(op, dtype)| op.supports(dtype)).collect()
}

/// Nodes of ranks that follow each other, of whole subtrees and others; ranks in turn; one far from its node.
const NODES: [&[u64]; 8] = [
    &[1, 1, 2],
    &[1, 1, 2, 2],
    &[1, 1, 1, 2, 2, 2],
    &[1, 1, 1, 1, 2, 2, 2],
    &[1, 1, 1, 1, 2, 2, 3, 3, 3],
    &[1, 2, 1, 2, 1, 1],
    &[1, 1, 2, 2, 1, 1, 1, 1],
    &[1, 1, 1, 1, 1, 1, 1, 1, 2],
];

#[test]
fn every_type_and_op_has_the_bits_of_one_level() {
    for (number, (op, dtype)) in supported().into_iter().enumerate() {
        for nodes in [NODES[number % NODES.len()], NODES[3]] {
            Case {
                nodes: nodes.to_vec(),
                op,
                dtype,
                length: 300 + number,
            }
            .run();
        }
    }
}

#[test]
fn fewer_elements_than_ranks() {
    for nodes in NODES {
        for length in [0, 1, 2, nodes.len() - 1, nodes.len()] {
            let (op, dtype) = (Op::Sum, Dtype::F64);
            Case {
                nodes: nodes.to_vec(),
                op,
                dtype,
                length,
            }
            .run();
        }
    }
}

#[test]
fn levels_are_taken_where_there_are_two() {
    let taken = |nodes: &[u64], algorithm| {
        let ranks = Communicator::threads_on_nodes(&Config::default(), nodes, |comm| {
            let half = comm.split(Some((comm.rank() % 2) as u32), 0)?;
            let chosen = |comm: &Communicator| comm.explain("allreduce", 1 << 20, Place::Host);
            let halves = half.as_ref().map(chosen).transpose()?;
            Ok((chosen(&comm)?.algorithm(), halves.map(|half| half.algorithm())))
        });
        for rank in ranks.unwrap() {
            assert_eq!(
                rank.unwrap_or_else(|error: crate::Error| panic!("{error}")),
                algorithm
            );
        }
    };
    let (blocks, levels) = (Algorithm::Blocks, Algorithm::Levels);
    taken(&[1; 4], (blocks, Some(blocks)));
    taken(&[1, 1, 2, 2], (levels, Some(blocks)));
    taken(&[1, 1, 1, 1, 2, 2], (levels, Some(levels)));
    taken(&[1, 2, 3, 4, 5, 6], (blocks, Some(blocks)));
}

#[test]
fn a_rank_with_bad_arguments_fails_all() {
    let ranks = Communicator::threads_on_nodes(&Config::default(), &[1, 1, 2, 2, 2], |comm| {
        let own = vec![1u32; 50_000];
        let mut result = vec![0u32; if comm.rank() == 3 { 49_999 } else { 50_000 }];
        let kind = comm
            .allreduce(&own, &mut result, Op::Sum)
            .map_err(|error| error.kind());
        let mut sum = vec![1u32; 50_000];
        comm.allreduce_in_place(&mut sum, Op::Sum)?;
        assert_eq!(sum, vec![5; 50_000]);
        Ok::<_, crate::Error>(kind)
    });
    for (rank, kind) in ranks.unwrap().into_iter().enumerate() {
        let expected = if rank == 3 {
            ErrorKind::InvalidArgument
        } else {
            ErrorKind::PeerFailed
        };
        assert_eq!(kind.unwrap(), Err(expected));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, ..ProptestConfig::default() })]

    #[test]
    fn any_ranks_on_any_nodes_have_the_bits_of_one_level(
        nodes in prop_oneof![
            // Ranks that follow each other, uneven, in turn, and at random.
            prop::collection::vec((0u64..4, 1usize..6), 1..6).prop_map(|runs| {
                runs.into_iter().flat_map(|(node, ranks)| vec![node; ranks]).collect()
            }),
            (2u64..5, 2usize..20).prop_map(|(nodes, ranks)| (0..ranks as u64).map(|rank| rank % nodes).collect()),
            prop::collection::vec(0u64..4, 1..20),
        ],
        (op, dtype) in select(supported()),
        length in 0usize..2000,
    ) {
        Case { nodes, op, dtype, length }.run();
    }
}
