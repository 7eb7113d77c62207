//! The walk over the inputs in the canonical order.
//!
//! A subtree folds into a block on the stack, so that what lies between inputs and output stays in
//! the nearest cache: the left one into its parent's block, the right one into a block of its own,
//! of which there are as many as the tree is high. Two inputs need no block. All loops run over
//! slices that cannot overlap, which is what the compiler needs to make them vector instructions.

use std::mem::MaybeUninit;
use std::slice;

use super::functor::Functor;
use super::split;

/// The number of elements in a block.
///
/// 2 KiB of `f32`, so that the blocks of a few levels fit into the nearest cache, and enough to
/// make the calls for a block cheap.
pub(super) const BLOCK: usize = 512;

/// Folds `elements` elements of each input into `output`.
///
/// # Safety
/// There is an input. Each is valid for reading `elements` elements of type `T`, and `output` for
/// writing them; all are aligned for `T`; `output` is one of the inputs exactly or overlaps none.
pub(super) unsafe fn fold<T: Copy, F: Functor<T>>(inputs: &[*const u8], output: *mut T, elements: usize) {
    debug_assert!(output.is_aligned() && inputs.iter().all(|input| input.cast::<T>().is_aligned()));
    if elements == 0 {
        // The pointers may be null, which those of slices must not.
        return;
    }
    let is_output = |input: *const u8| input == output.cast_const().cast();
    // SAFETY: the caller's promise. While there is a mutable slice of the output, no slice of an input
    // that is the output too is in use.
    unsafe {
        match *inputs {
            [left, right] if is_output(left) && !is_output(right) => {
                let right = input::<T>(right, 0, elements);
                for (left, right) in slice::from_raw_parts_mut(output, elements).iter_mut().zip(right) {
                    *left = F::finish(F::combine(F::load(*left), F::load(*right)), 2);
                }
            }
            [left, right] if is_output(right) && !is_output(left) => {
                let left = input::<T>(left, 0, elements);
                for (left, right) in left.iter().zip(slice::from_raw_parts_mut(output, elements)) {
                    *right = F::finish(F::combine(F::load(*left), F::load(*right)), 2);
                }
            }
            [left, right] if !is_output(left) && !is_output(right) => {
                let output = slice::from_raw_parts_mut(output.cast::<MaybeUninit<T>>(), elements);
                let (left, right) = (input::<T>(left, 0, elements), input::<T>(right, 0, elements));
                for ((left, right), output) in left.iter().zip(right).zip(output) {
                    output.write(F::finish(F::combine(F::load(*left), F::load(*right)), 2));
                }
            }
            _ => {
                let mut block = [MaybeUninit::uninit(); BLOCK];
                for start in (0..elements).step_by(BLOCK) {
                    let target = &mut block[..BLOCK.min(elements - start)];
                    let result = subtree::<T, F>(inputs, start, target);
                    let output = output.cast::<MaybeUninit<T>>().add(start);
                    let output = slice::from_raw_parts_mut(output, result.len());
                    for (output, result) in output.iter_mut().zip(result) {
                        output.write(F::finish(*result, inputs.len()));
                    }
                }
            }
        }
    }
}

/// Folds the elements from `start` on of a subtree, as many as `target` holds, into it.
///
/// # Safety
/// There is an input. Each is aligned for `T` and valid for reading the elements.
unsafe fn subtree<'a, T: Copy, F: Functor<T>>(
    inputs: &[*const u8],
    start: usize,
    target: &'a mut [MaybeUninit<F::Accumulator>],
) -> &'a mut [F::Accumulator] {
    let elements = target.len();
    match *inputs {
        [only] => {
            // SAFETY: the caller's promise.
            let only = unsafe { input::<T>(only, start, elements) };
            for (target, only) in target.iter_mut().zip(only) {
                target.write(F::load(*only));
            }
        }
        [left, right] => {
            // SAFETY: the caller's promise.
            let (left, right) = unsafe {
                (
                    input::<T>(left, start, elements),
                    input::<T>(right, start, elements),
                )
            };
            for ((target, left), right) in target.iter_mut().zip(left).zip(right) {
                target.write(F::combine(F::load(*left), F::load(*right)));
            }
        }
        _ => {
            let (left, right) = inputs.split_at(split(inputs.len()));
            let mut block = [MaybeUninit::uninit(); BLOCK];
            // SAFETY: the caller's promise; neither part is empty.
            let (left, right) = unsafe {
                (
                    subtree::<T, F>(left, start, target),
                    subtree::<T, F>(right, start, &mut block[..elements]),
                )
            };
            for (left, right) in left.iter_mut().zip(right) {
                *left = F::combine(*left, *right);
            }
            return left;
        }
    }
    let initialized: *mut [MaybeUninit<F::Accumulator>] = target;
    // SAFETY: both loops above have written all elements.
    unsafe { &mut *(initialized as *mut [F::Accumulator]) }
}

/// The elements from `start` on of an input.
///
/// # Safety
/// The input is aligned for `T` and valid for reading so many elements, which nobody writes for
/// the lifetime of the result.
pub(super) unsafe fn input<'a, T>(input: *const u8, start: usize, elements: usize) -> &'a [T] {
    // SAFETY: the caller's promise.
    unsafe { slice::from_raw_parts(input.cast::<T>().add(start), elements) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An operation that tells every order of its operands from every other.
    ///
    /// Those of [`Op`](crate::Op) all commute, and so cannot show that left stays left.
    enum Traced {}

    impl Functor<u32> for Traced {
        type Accumulator = u64;
        type Partial = u64;

        fn load(element: u32) -> u64 {
            element.into()
        }

        fn combine(left: u64, right: u64) -> u64 {
            left.wrapping_mul(0x9E37_79B9_7F4A_7C15)
                .wrapping_add(right)
                .rotate_left(23)
                ^ 1
        }

        fn finish(accumulator: u64, inputs: usize) -> u32 {
            (accumulator >> 32) as u32 ^ accumulator as u32 ^ inputs as u32
        }

        fn store(accumulator: u64) -> u64 {
            accumulator
        }

        fn restore(partial: u64) -> u64 {
            partial
        }
    }

    fn expected(elements: &[u64]) -> u64 {
        match elements.len() {
            1 => elements[0],
            2 => Traced::combine(elements[0], elements[1]),
            3..=4 => Traced::combine(expected(&elements[..2]), expected(&elements[2..])),
            5..=8 => Traced::combine(expected(&elements[..4]), expected(&elements[4..])),
            9..=16 => Traced::combine(expected(&elements[..8]), expected(&elements[8..])),
            _ => Traced::combine(expected(&elements[..16]), expected(&elements[16..])),
        }
    }

    #[test]
    fn left_stays_left_wherever_the_output_is() {
        const ELEMENTS: usize = BLOCK + 3;
        let place_of = |element: usize, rank: usize| (element * 1000 + rank) as u32;
        for ranks in 1..=20 {
            for output in 0..=ranks {
                let mut buffers: Vec<Vec<u32>> = (0..=ranks)
                    .map(|rank| (0..ELEMENTS).map(|element| place_of(element, rank)).collect())
                    .collect();
                let pointers: Vec<*mut u32> = buffers.iter_mut().map(|buffer| buffer.as_mut_ptr()).collect();
                let inputs: Vec<*const u8> = pointers[..ranks]
                    .iter()
                    .map(|pointer| pointer.cast_const().cast())
                    .collect();
                // SAFETY: separate buffers of so many elements, of which one is the output.
                unsafe { fold::<u32, Traced>(&inputs, pointers[output], ELEMENTS) };
                for (element, actual) in buffers[output].iter().enumerate() {
                    let inputs: Vec<u64> = (0..ranks).map(|rank| place_of(element, rank).into()).collect();
                    let expected = Traced::finish(expected(&inputs), ranks);
                    assert_eq!(
                        *actual, expected,
                        "{ranks} ranks, output {output}, element {element}"
                    );
                }
            }
        }
    }
}
