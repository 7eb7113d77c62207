//! The reduction operations: the one table of them, and which element types each takes.

use std::fmt;
use std::str::FromStr;

use crate::dtype::{Class, Dtype};
use crate::error::{Error, Result};

/// Passes the table of operations to another macro, behind the given arguments.
///
/// This is the only place that lists operations. A row is the documentation, the variant of
/// [`Op`], the name and the classes of element types that the operation takes.
macro_rules! rows {
    ($then:ident! { $($argument:tt)* }) => {
        $then! {
            $($argument)*
            /// The sum. `MPI_SUM`.
            Sum: "sum", Integer Half Float Complex;
            /// The product, of complex numbers by the schoolbook formula
            /// `(a.re * b.re - a.im * b.im, a.re * b.im + a.im * b.re)`, every operation rounded.
            /// `MPI_PROD`.
            Prod: "prod", Integer Half Float Complex;
            /// The smallest value; NaN where there is a NaN; -0 is below +0, and `false` below
            /// `true`. `MPI_MIN`.
            Min: "min", Integer Half Float Bool;
            /// The largest value; NaN where there is a NaN; +0 is above -0, and `true` above
            /// `false`. `MPI_MAX`.
            Max: "max", Integer Half Float Bool;
            /// Whether all values are true; see [below](#logical-operations). `MPI_LAND`.
            LogicalAnd: "logical_and", Integer Half Float Bool;
            /// Whether a value is true; see [below](#logical-operations). `MPI_LOR`.
            LogicalOr: "logical_or", Integer Half Float Bool;
            /// Whether an odd number of values is true; see [below](#logical-operations). `MPI_LXOR`.
            LogicalXor: "logical_xor", Integer Half Float Bool;
            /// The bits set in all values. `MPI_BAND`.
            BitAnd: "bit_and", Integer Bool;
            /// The bits set in a value. `MPI_BOR`.
            BitOr: "bit_or", Integer Bool;
            /// The bits set in an odd number of values. `MPI_BXOR`.
            BitXor: "bit_xor", Integer Bool;
            /// The smallest value and the index beside it. Values order as in [`Op::Min`], so that
            /// a NaN wins over all numbers; among equal values, and among NaNs, the lowest index
            /// wins. `MPI_MINLOC`.
            MinLoc: "min_loc", Located;
            /// The largest value and the index beside it. Values order as in [`Op::Max`], so that
            /// a NaN wins over all numbers; among equal values, and among NaNs, the lowest index
            /// wins. `MPI_MAXLOC`.
            MaxLoc: "max_loc", Located;
            /// The [`Sum`](Op::Sum) divided by the number of ranks, before it is rounded to the
            /// element type. MPI has no such operation.
            Avg: "avg", Half Float Complex;
        }
    };
}
pub(crate) use rows;

macro_rules! define {
    ($($(#[$documentation:meta])* $variant:ident: $name:literal, $($class:ident)*;)*) => {
        /// How a reduction combines the elements of the ranks.
        ///
        /// ```
        /// use warpcomm::{Dtype, Op};
        ///
        /// assert!(Op::Avg.supports(Dtype::Bf16) && !Op::Avg.supports(Dtype::I32));
        /// assert_eq!("logical_and".parse::<Op>()?, Op::LogicalAnd);
        /// # Ok::<(), warpcomm::Error>(())
        /// ```
        ///
        /// # Which operation takes which elements
        ///
        /// Every other pair is [`Unsupported`](crate::ErrorKind::Unsupported). In the table, floats
        /// include [`half::f16`] and [`half::bf16`].
        ///
        /// | operation                             | integers | floats | complex | bool | located |
        /// |---------------------------------------|----------|--------|---------|------|---------|
        /// | `Sum` `Prod`                          | yes      | yes    | yes     | -    | -       |
        /// | `Min` `Max`                           | yes      | yes    | -       | yes  | -       |
        /// | `LogicalAnd` `LogicalOr` `LogicalXor` | yes      | yes    | -       | yes  | -       |
        /// | `BitAnd` `BitOr` `BitXor`             | yes      | -      | -       | yes  | -       |
        /// | `MinLoc` `MaxLoc`                     | -        | -      | -       | -    | yes     |
        /// | `Avg`                                 | -        | yes    | yes     | -    | -       |
        ///
        /// The MPI standard (sections 6.9.2 and 6.9.4) has the same table but for `Avg` and three
        /// additions made here: logical operations on floats, and `Min`, `Max` and bitwise
        /// operations on `bool`, where they equal the logical ones. As in MPI, `bool` has no sum:
        /// cast to an integer to count.
        ///
        /// # Order, and the same bits everywhere
        ///
        /// The elements of the ranks are combined in one order, a binary tree over the ranks: the
        /// ranks 0 to n - 1 are split at the largest power of two below n, each side is reduced
        /// by the same rule, and the left result is combined with the right one. Five ranks give
        /// `((a + b) + (c + d)) + e`. So a result has the same bits on every rank, in every
        /// run, for every algorithm and every place of the buffers.
        ///
        /// # Numbers
        ///
        /// - Integers wrap around.
        /// - [`half::f16`] and [`half::bf16`] are computed as [`f32`] through the whole tree and
        ///   rounded once, at the end, to the nearest, ties to even.
        /// - `Avg` divides the sum by the number of ranks as a number of the type that the sum is
        ///   computed in, and rounds once after that; of a complex number both parts alike.
        /// - A result that is NaN is always the canonical NaN: positive, quiet, of payload zero.
        ///   That is `0x7FC00000` for [`f32`], `0x7FF8000000000000` for [`f64`], `0x7E00` for
        ///   [`half::f16`] and `0x7FC0` for [`half::bf16`]. So is a part of a complex or located
        ///   result that is NaN.
        /// - Subnormal numbers are kept, and multiplication and addition are never fused.
        ///
        /// All of it holds on one rank too, where a sum is the element itself unless that is NaN.
        ///
        /// # Logical operations
        ///
        /// A value other than zero is true, NaN included, and -0 is false. The result is 1 or 0
        /// of the element type, on one rank too.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(u8)]
        #[non_exhaustive]
        pub enum Op {
            $($(#[$documentation])* $variant,)*
        }

        impl Op {
            /// All operations.
            pub const ALL: &'static [Op] = &[$(Op::$variant,)*];

            /// The name in lower case, which is also the [`Display`](fmt::Display) text.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Op::$variant => $name,)*
                }
            }

            /// Whether this operation takes elements of type `dtype`; the table is [above](Op).
            pub const fn supports(self, dtype: Dtype) -> bool {
                match self {
                    $(Op::$variant => matches!(dtype.class(), $(Class::$class)|*),)*
                }
            }
        }
    };
}

rows!(define! {});

impl Op {
    /// The code of this operation in a frame.
    pub(crate) fn code(self) -> u8 {
        self as u8
    }

    /// The operation behind a code from the wire, if there is one.
    pub(crate) fn from_code(code: u8) -> Option<Op> {
        Self::ALL.get(usize::from(code)).copied()
    }

    /// Fails with `Unsupported` where the operation does not take elements of type `dtype`.
    #[inline]
    pub(crate) fn check(self, dtype: Dtype) -> Result<()> {
        match self.supports(dtype) {
            true => Ok(()),
            false => Err(Error::unsupported(format!(
                "{self} is not defined on elements of type {dtype}"
            ))),
        }
    }
}

impl fmt::Display for Op {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Op {
    type Err = Error;

    fn from_str(text: &str) -> Result<Op> {
        Self::ALL
            .iter()
            .copied()
            .find(|op| op.name() == text)
            .ok_or_else(|| {
                let names: Vec<_> = Self::ALL.iter().map(|op| op.name()).collect();
                Error::invalid(format!("{text:?} is none of {}", names.join(", ")))
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_and_names_lead_back() {
        for &op in Op::ALL {
            assert_eq!(Op::from_code(op.code()), Some(op));
            assert_eq!(op.to_string().parse::<Op>().unwrap(), op);
        }
        assert_eq!(Op::from_code(Op::ALL.len() as u8), None);
        assert!(
            "land"
                .parse::<Op>()
                .unwrap_err()
                .to_string()
                .contains("logical_and")
        );
    }

    #[test]
    fn an_error_names_operation_and_type() {
        let error = Op::Avg.check(Dtype::I32).unwrap_err();
        assert_eq!(error.kind(), crate::ErrorKind::Unsupported);
        assert_eq!(error.to_string(), "avg is not defined on elements of type i32");
        assert!(Op::Avg.check(Dtype::F16).is_ok());
    }

    /// The rows of the table in the documentation of [`Op`].
    fn documented() -> Vec<(String, Vec<bool>)> {
        include_str!("op.rs")
            .lines()
            .filter_map(|line| line.trim_start().strip_prefix("/// | `"))
            .flat_map(|row| {
                let mut cells = row.trim_end_matches('|').split('|');
                let names = cells.next().unwrap_or_default().replace('`', " ");
                let marks: Vec<bool> = cells.map(|cell| cell.trim() == "yes").collect();
                names
                    .split_whitespace()
                    .map(|name| (name.to_owned(), marks.clone()))
                    .collect::<Vec<_>>()
            })
            .collect()
    }

    #[test]
    fn the_documented_table_is_the_one_in_force() {
        let classes = [
            Class::Integer,
            Class::Float,
            Class::Complex,
            Class::Bool,
            Class::Located,
        ];
        let in_force: Vec<(String, Vec<bool>)> = Op::ALL
            .iter()
            .map(|op| {
                let takes = |class| {
                    let of_class = Dtype::ALL.iter().filter(|dtype| dtype.class() == class);
                    let answers: Vec<bool> = of_class.map(|&dtype| op.supports(dtype)).collect();
                    assert!(answers.iter().all(|&answer| answer == answers[0]));
                    answers[0]
                };
                assert_eq!(takes(Class::Half), takes(Class::Float));
                (format!("{op:?}"), classes.into_iter().map(takes).collect())
            })
            .collect();
        assert_eq!(documented(), in_force);
    }
}
