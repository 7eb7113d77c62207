//! Every operation on every element type against the oracle, bit for bit.

use std::fmt::Debug;

use proptest::prelude::*;
use proptest::sample::select;

use super::oracle::Oracle;
use super::{fold, fold_subtrees, split};
use crate::device::Subtree;
use crate::dtype::{Dtype, dispatch};
use crate::error::ErrorKind;
use crate::op::Op;

const RANKS: [usize; 20] = [
    1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 31, 33, 64,
];
const LENGTHS: [usize; 8] = [0, 1, 2, 3, 7, 64, 513, 2000];

/// One fold; of every `special_every` elements one is special, none where it is 0.
#[derive(Clone, Copy, Debug)]
struct Case {
    op: Op,
    dtype: Dtype,
    ranks: usize,
    length: usize,
    /// The input that is the output too.
    in_place: Option<usize>,
    special_every: u64,
    seed: u64,
}

/// SplitMix64, by Steele, Lea and Flood.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ mixed >> 31
    }

    fn element<T: Oracle>(&mut self, special: &[T], special_every: u64) -> T {
        match special_every != 0 && self.next().is_multiple_of(special_every) {
            true => special[self.next() as usize % special.len()],
            false => T::ordinary(self.next()),
        }
    }
}

impl Case {
    fn run(self) {
        dispatch!(self.dtype, T => self.run_on::<T>())
    }

    fn run_on<T: Oracle>(self) {
        /// Elements behind the end of the output, which have to stay as they are.
        const BEHIND: usize = 17;
        let (mut random, special) = (Random(self.seed), T::special());
        let mut buffers: Vec<Vec<T>> = (0..=self.ranks)
            .map(|_| {
                let element = |_| random.element(&special, self.special_every);
                (0..self.length + BEHIND).map(element).collect()
            })
            .collect();
        let output = self.in_place.unwrap_or(self.ranks);

        let mut expected = buffers.clone();
        for place in 0..self.length {
            let elements: Vec<T> = buffers[..self.ranks].iter().map(|buffer| buffer[place]).collect();
            expected[output][place] = T::reduce(self.op, &elements).expect("a supported pair");
        }

        let pointers: Vec<*mut u8> = buffers
            .iter_mut()
            .map(|buffer| buffer.as_mut_ptr().cast())
            .collect();
        let inputs: Vec<*const u8> = pointers[..self.ranks]
            .iter()
            .map(|pointer| pointer.cast_const())
            .collect();
        // SAFETY: all buffers are separate, longer than `length` and not touched meanwhile.
        unsafe { fold(self.op, self.dtype, &inputs, pointers[output], self.length) }.unwrap();

        for (buffer, (actual, expected)) in buffers.iter().zip(&expected).enumerate() {
            for (place, (actual, expected)) in actual.iter().zip(expected).enumerate() {
                let same = bytemuck::bytes_of(actual) == bytemuck::bytes_of(expected);
                assert!(
                    same,
                    "buffer {buffer} at {place}: {actual:?}, not {expected:?}, in {self:?}"
                );
            }
        }
    }
}

/// A fold of which some parts were folded before, somewhere else.
#[derive(Clone, Copy, Debug)]
struct Apart {
    op: Op,
    dtype: Dtype,
    ranks: usize,
    length: usize,
    seed: u64,
}

impl Apart {
    fn run(self) {
        dispatch!(self.dtype, T => self.run_on::<T>())
    }

    fn run_on<T: Oracle>(self) {
        let (mut random, special) = (Random(self.seed), T::special());
        let buffers: Vec<Vec<T>> = (0..self.ranks)
            .map(|_| (0..self.length).map(|_| random.element(&special, 7)).collect())
            .collect();
        let mut partials = Vec::new();
        let subtrees = self.subtrees(&buffers, &mut random, &mut partials);
        let mut found = buffers[0].clone();
        // SAFETY: the subtrees and the output are separate buffers of so many elements.
        let folded = unsafe {
            let output = found.as_mut_ptr().cast();
            fold_subtrees(self.op, self.dtype, &subtrees, output, false, self.length)
        };
        folded.unwrap();
        for (place, found) in found.iter().enumerate() {
            let elements: Vec<T> = buffers.iter().map(|buffer| buffer[place]).collect();
            let expected = T::reduce(self.op, &elements).expect("a supported pair");
            assert_eq!(
                bytemuck::bytes_of(found),
                bytemuck::bytes_of(&expected),
                "at {place}: {found:?}, not {expected:?}, in {self:?}"
            );
        }
    }

    /// The elements of ranks, as they are or, of some subtrees, folded into partial results.
    fn subtrees<T: Oracle>(
        self,
        ranks: &[Vec<T>],
        random: &mut Random,
        partials: &mut Vec<Vec<u128>>,
    ) -> Vec<Subtree> {
        let mut subtrees = match ranks {
            [only] => {
                return vec![Subtree {
                    pointer: only.as_ptr().cast(),
                    ranks: 1,
                }];
            }
            _ => {
                let (left, right) = ranks.split_at(split(ranks.len()));
                let mut left = self.subtrees(left, random, partials);
                left.append(&mut self.subtrees(right, random, partials));
                left
            }
        };
        if random.next().is_multiple_of(3) {
            // As long as the longest element, and aligned for all.
            let mut partial = vec![0u128; self.length];
            let output: *mut u8 = partial.as_mut_ptr().cast();
            // SAFETY: as above.
            unsafe { fold_subtrees(self.op, self.dtype, &subtrees, output, true, self.length) }.unwrap();
            partials.push(partial);
            subtrees = vec![Subtree {
                pointer: output,
                ranks: ranks.len(),
            }];
        }
        subtrees
    }
}

#[test]
fn every_supported_pair_folds_subtrees_that_were_folded_before() {
    for (op, dtype) in supported() {
        for (seed, ranks) in RANKS.into_iter().enumerate() {
            let (length, seed) = (35 + 600 * (ranks % 2), seed as u64);
            Apart {
                op,
                dtype,
                ranks,
                length,
                seed,
            }
            .run();
        }
    }
}

#[test]
fn parts_that_are_no_subtrees_are_an_error() {
    let of = |ranks: &[usize]| {
        let subtree = |&ranks| Subtree {
            pointer: std::ptr::null(),
            ranks,
        };
        let subtrees: Vec<Subtree> = ranks.iter().map(subtree).collect();
        // SAFETY: no element is read or written.
        unsafe { fold_subtrees(Op::Sum, Dtype::F32, &subtrees, std::ptr::null_mut(), false, 0) }
    };
    for whole in [
        &[1][..],
        &[5],
        &[2, 1],
        &[1, 1, 1],
        &[4, 1, 1],
        &[2, 2, 3],
        &[8, 4, 1],
    ] {
        assert!(of(whole).is_ok(), "{whole:?}");
    }
    for other in [
        &[][..],
        &[0],
        &[1, 2],
        &[3, 1],
        &[1, 4],
        &[2, 1, 2],
        &[4, 4, 4, 8],
    ] {
        assert_eq!(
            of(other).unwrap_err().kind(),
            ErrorKind::InvalidArgument,
            "{other:?}"
        );
    }
}

fn supported() -> Vec<(Op, Dtype)> {
    let pairs = Op::ALL
        .iter()
        .flat_map(|&op| Dtype::ALL.iter().map(move |&dtype| (op, dtype)));
    pairs.filter(|&(op, dtype)| op.supports(dtype)).collect()
}

#[test]
fn every_supported_pair_folds_any_number_of_ranks() {
    for (op, dtype) in supported() {
        for (seed, ranks) in RANKS.into_iter().enumerate() {
            let seed = seed as u64;
            let case = Case {
                op,
                dtype,
                ranks,
                length: 35,
                in_place: None,
                special_every: seed % 5,
                seed,
            };
            case.run();
        }
    }
}

#[test]
fn every_supported_pair_folds_any_length() {
    for (op, dtype) in supported() {
        for (seed, length) in LENGTHS.into_iter().enumerate() {
            for ranks in [1, 2, 3] {
                let seed = seed as u64;
                Case {
                    op,
                    dtype,
                    ranks,
                    length,
                    in_place: None,
                    special_every: 20,
                    seed,
                }
                .run();
            }
        }
    }
}

#[test]
fn every_supported_pair_folds_in_place_of_any_input() {
    for (op, dtype) in supported() {
        for ranks in [1, 2, 3, 5, 8] {
            for in_place in 0..ranks {
                let seed = (ranks * 8 + in_place) as u64;
                let in_place = Some(in_place);
                Case {
                    op,
                    dtype,
                    ranks,
                    length: 530,
                    in_place,
                    special_every: 9,
                    seed,
                }
                .run();
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn any_fold_equals_the_oracle(
        (op, dtype) in select(supported()),
        (ranks, in_place) in select(&RANKS[..])
            .prop_flat_map(|ranks| (Just(ranks), prop::option::of(0..ranks))),
        length in prop_oneof![select(&LENGTHS[..]), 0..1100usize],
        special_every in prop_oneof![Just(0), Just(2), 3..200u64],
        seed: u64,
    ) {
        Case { op, dtype, ranks, length, in_place, special_every, seed }.run();
    }
}

#[test]
fn one_buffer_may_be_every_input_and_the_output() {
    for ranks in [2, 3, 4] {
        let mut buffer = [1.5f32; 600];
        let pointer: *mut u8 = buffer.as_mut_ptr().cast();
        let inputs = vec![pointer.cast_const(); ranks];
        // SAFETY: the output is each of the inputs exactly.
        unsafe { fold(Op::Sum, Dtype::F32, &inputs, pointer, buffer.len()) }.unwrap();
        assert_eq!(buffer, [1.5 * ranks as f32; 600]);
    }
}

#[test]
fn a_pair_folds_or_is_unsupported() {
    for &op in Op::ALL {
        for &dtype in Dtype::ALL {
            let null = [std::ptr::null(); 3];
            // SAFETY: no element is read or written.
            let result = unsafe { fold(op, dtype, &null, std::ptr::null_mut(), 0) };
            assert_eq!(
                result.map_err(|error| error.kind()).err(),
                match op.supports(dtype) {
                    true => None,
                    false => Some(ErrorKind::Unsupported),
                }
            );
            let in_oracle = dispatch!(dtype, T => T::reduce(op, &T::special()).is_some());
            assert_eq!(op.supports(dtype), in_oracle, "{op} {dtype}");
        }
    }
}

#[test]
fn no_inputs_are_an_error() {
    // SAFETY: no element is read or written.
    let result = unsafe { fold(Op::Sum, Dtype::F32, &[], std::ptr::null_mut(), 0) };
    assert_eq!(result.unwrap_err().kind(), ErrorKind::InvalidArgument);
}
