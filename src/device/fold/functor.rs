//! The operations of [`Op`](crate::Op), each a type of the same name.

use super::value::{Arithmetic, Bits, Divide, Extremes, Truth, Value};

/// An operation on elements of type `T`.
pub(super) trait Functor<T> {
    /// What is kept of a subtree.
    type Accumulator: Copy;

    /// What travels of a subtree: of the type that [`Dtype::accumulator`](crate::dtype::Dtype::accumulator) says.
    type Partial: Copy;

    fn load(element: T) -> Self::Accumulator;

    /// Need not commute: the left operand is of the lower ranks.
    fn combine(left: Self::Accumulator, right: Self::Accumulator) -> Self::Accumulator;

    /// The result of so many inputs.
    fn finish(accumulator: Self::Accumulator, inputs: usize) -> T;

    fn store(accumulator: Self::Accumulator) -> Self::Partial;

    fn restore(partial: Self::Partial) -> Self::Accumulator;
}

macro_rules! define {
    ($($op:ident: $step:ident of $ability:ident;)*) => {$(
        pub(super) enum $op {}

        impl<T: Value<Accumulator: $ability>> Functor<T> for $op {
            type Accumulator = T::Accumulator;
            type Partial = T::Accumulator;

            #[inline(always)]
            fn load(element: T) -> T::Accumulator {
                element.widen()
            }

            #[inline(always)]
            fn combine(left: T::Accumulator, right: T::Accumulator) -> T::Accumulator {
                left.$step(right)
            }

            #[inline(always)]
            fn finish(accumulator: T::Accumulator, _inputs: usize) -> T {
                T::round(accumulator)
            }

            #[inline(always)]
            fn store(accumulator: T::Accumulator) -> T::Accumulator {
                accumulator
            }

            #[inline(always)]
            fn restore(partial: T::Accumulator) -> T::Accumulator {
                partial
            }
        }
    )*};
}

define! {
    Sum: add of Arithmetic;
    Prod: multiply of Arithmetic;
    Min: smaller of Extremes;
    Max: larger of Extremes;
    BitAnd: and of Bits;
    BitOr: or of Bits;
    BitXor: exclusive_or of Bits;
    MinLoc: smaller of Extremes;
    MaxLoc: larger of Extremes;
}

pub(super) enum Avg {}

impl<T: Value<Accumulator: Arithmetic + Divide>> Functor<T> for Avg {
    type Accumulator = T::Accumulator;
    type Partial = T::Accumulator;

    #[inline(always)]
    fn load(element: T) -> T::Accumulator {
        element.widen()
    }

    #[inline(always)]
    fn combine(left: T::Accumulator, right: T::Accumulator) -> T::Accumulator {
        left.add(right)
    }

    #[inline(always)]
    fn finish(accumulator: T::Accumulator, inputs: usize) -> T {
        T::round(accumulator.divide(inputs))
    }

    #[inline(always)]
    fn store(accumulator: T::Accumulator) -> T::Accumulator {
        accumulator
    }

    #[inline(always)]
    fn restore(partial: T::Accumulator) -> T::Accumulator {
        partial
    }
}

macro_rules! define_logical {
    ($($op:ident: $step:ident;)*) => {$(
        pub(super) enum $op {}

        impl<T: Truth + Value<Accumulator: Truth>> Functor<T> for $op {
            type Accumulator = bool;
            type Partial = T::Accumulator;

            #[inline(always)]
            fn load(element: T) -> bool {
                element.is_true()
            }

            #[inline(always)]
            fn combine(left: bool, right: bool) -> bool {
                left.$step(right)
            }

            #[inline(always)]
            fn finish(accumulator: bool, _inputs: usize) -> T {
                T::from_truth(accumulator)
            }

            #[inline(always)]
            fn store(accumulator: bool) -> T::Accumulator {
                T::Accumulator::from_truth(accumulator)
            }

            #[inline(always)]
            fn restore(partial: T::Accumulator) -> bool {
                partial.is_true()
            }
        }
    )*};
}

define_logical! {
    LogicalAnd: and;
    LogicalOr: or;
    LogicalXor: exclusive_or;
}
