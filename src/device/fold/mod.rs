//! The CPU's arithmetic: reductions of buffers in the canonical order.

mod functor;
mod half_float;
mod subtrees;
mod tree;
mod value;

#[cfg(test)]
mod corner_cases;
#[cfg(test)]
pub(super) mod oracle;
#[cfg(test)]
mod properties;

use super::Subtree;
use crate::dtype::{Dtype, dispatch};
use crate::error::{Error, Result};
use crate::op::{self, Op};

/// Where the canonical order splits `n` inputs: the largest power of two below `n`.
///
/// The inputs before it are folded, the inputs from it on are folded, and the two results are
/// combined, left before right. Zero for fewer than two inputs, which are not split.
pub(crate) fn split(n: usize) -> usize {
    match n {
        0 | 1 => 0,
        _ => 1 << (n - 1).ilog2(),
    }
}

macro_rules! define_fold {
    ($($(#[$documentation:meta])* $op:ident: $name:literal, $($class:ident)*;)*) => {
        /// Folds `elements` elements of each input into `output` in the canonical order, by the
        /// rules that are documented at [`Op`].
        ///
        /// # Errors
        /// `Unsupported` where `op` does not take `dtype`; `InvalidArgument` without an input.
        ///
        /// # Safety
        /// Each input is valid for reading `elements` elements of `dtype`, and `output` for writing
        /// them; all are aligned to the element; `output` is one of the inputs exactly or
        /// overlaps none.
        pub(crate) unsafe fn fold(
            op: Op,
            dtype: Dtype,
            inputs: &[*const u8],
            output: *mut u8,
            elements: usize,
        ) -> Result<()> {
            op.check(dtype)?;
            if inputs.is_empty() {
                return Err(Error::invalid("a reduction of no inputs"));
            }
            match op {
                $(Op::$op => {$(
                    dispatch!($class: dtype, T => {
                        // SAFETY: the caller's promise, for the Rust type of `dtype`.
                        unsafe { tree::fold::<T, functor::$op>(inputs, output.cast(), elements) }
                    });
                )*})*
            }
            Ok(())
        }

        /// Folds `elements` elements of each subtree into `output`, which gets elements or a partial result.
        ///
        /// # Errors
        /// As for [`fold`], and `InvalidArgument` where the subtrees are not those of a tree.
        ///
        /// # Safety
        /// Each subtree is valid for reading `elements` elements, of `dtype` or, where it is of several ranks, of
        /// [`Dtype::accumulator`], and `output` for writing as many of its type; all are aligned; `output` is one of the
        /// inputs of the same type exactly or overlaps none.
        pub(crate) unsafe fn fold_subtrees(
            op: Op,
            dtype: Dtype,
            subtrees: &[Subtree],
            output: *mut u8,
            is_partial: bool,
            elements: usize,
        ) -> Result<()> {
            op.check(dtype)?;
            super::check(subtrees)?;
            match op {
                $(Op::$op => {$(
                    dispatch!($class: dtype, T => {
                        // SAFETY: the caller's promise, for the Rust type of `dtype`.
                        unsafe {
                            subtrees::fold::<T, functor::$op>(subtrees, output, is_partial, elements)
                        }
                    });
                )*})*
            }
            Ok(())
        }
    };
}
op::rows!(define_fold! {});
