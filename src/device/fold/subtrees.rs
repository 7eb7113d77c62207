//! The walk over inputs of which some are what other folds have left of whole subtrees, perhaps on other ranks.

use std::mem::MaybeUninit;
use std::slice;

use super::functor::Functor;
use super::tree::{BLOCK, input};
use crate::device::{Subtree, halves};

/// Folds `elements` elements of each subtree into `output`: into elements, or into what travels of a subtree if the output
/// is a partial result.
///
/// # Safety
/// The subtrees are those of a tree ([`check`](crate::device::check)). Each is valid for reading `elements` elements of its
/// type, which are `T` of one rank and partial results of several, and `output` for writing as many of its type; all are
/// aligned. `output` is one of the inputs of the same type exactly or overlaps none.
pub(super) unsafe fn fold<T: Copy, F: Functor<T>>(
    subtrees: &[Subtree],
    output: *mut u8,
    is_partial: bool,
    elements: usize,
) {
    let ranks = subtrees.iter().map(|subtree| subtree.ranks).sum();
    let mut block = [MaybeUninit::uninit(); BLOCK];
    for start in (0..elements).step_by(BLOCK) {
        let target = &mut block[..BLOCK.min(elements - start)];
        // SAFETY: the caller's promise. All of the block's elements are read before its first is written.
        unsafe {
            let result = subtree::<T, F>(subtrees, start, target);
            match is_partial {
                true => write(output, start, result, F::store),
                false => write(output, start, result, |folded| F::finish(folded, ranks)),
            }
        }
    }
}

/// Writes results from element `start` of the output on.
///
/// # Safety
/// The output is aligned for `U` and valid for writing the elements, which nobody else uses meanwhile.
unsafe fn write<A: Copy, U>(output: *mut u8, start: usize, results: &[A], finish: impl Fn(A) -> U) {
    // SAFETY: the caller's promise.
    let output = unsafe {
        let output = output.cast::<MaybeUninit<U>>().add(start);
        slice::from_raw_parts_mut(output, results.len())
    };
    for (output, result) in output.iter_mut().zip(results) {
        output.write(finish(*result));
    }
}

/// Folds the elements from `start` on, as many as `target` holds, into it.
///
/// # Safety
/// As for [`fold`], as far as it reads.
unsafe fn subtree<'a, T: Copy, F: Functor<T>>(
    subtrees: &[Subtree],
    start: usize,
    target: &'a mut [MaybeUninit<F::Accumulator>],
) -> &'a mut [F::Accumulator] {
    let elements = target.len();
    if let [only] = subtrees {
        // SAFETY: the caller's promise.
        unsafe {
            match only.ranks {
                1 => load(target, input::<T>(only.pointer, start, elements), F::load),
                _ => load(
                    target,
                    input::<F::Partial>(only.pointer, start, elements),
                    F::restore,
                ),
            }
        }
        let initialized: *mut [MaybeUninit<F::Accumulator>] = target;
        // SAFETY: all elements were written above.
        return unsafe { &mut *(initialized as *mut [F::Accumulator]) };
    }
    let (left, right) = halves(subtrees);
    let mut block = [MaybeUninit::uninit(); BLOCK];
    // SAFETY: the caller's promise; neither half is empty.
    let (left, right) = unsafe {
        (
            subtree::<T, F>(left, start, target),
            subtree::<T, F>(right, start, &mut block[..elements]),
        )
    };
    for (left, right) in left.iter_mut().zip(right) {
        *left = F::combine(*left, *right);
    }
    left
}

fn load<U: Copy, A>(target: &mut [MaybeUninit<A>], elements: &[U], load: impl Fn(U) -> A) {
    for (target, element) in target.iter_mut().zip(elements) {
        target.write(load(*element));
    }
}
