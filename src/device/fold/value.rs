//! What arithmetic on each class of element types is: accumulators, and single steps on them.
//!
//! The operations of [`Op`](crate::Op) are put together from these in [`functor`](super::functor).

use std::cmp::Ordering;
use std::ops::{Add, Mul, Sub};

use crate::dtype::{Complex, Located, each_type};

/// How an element becomes an accumulator, and the last accumulator an element.
pub(super) trait Value: Copy {
    type Accumulator: Copy;

    fn widen(self) -> Self::Accumulator;

    /// Rounds to the element type and makes a NaN the canonical one.
    fn round(accumulator: Self::Accumulator) -> Self;
}

/// Makes a NaN the canonical one: positive, quiet, of payload zero.
pub(super) trait Canonical: Copy {
    fn canonical(self) -> Self;
}

pub(super) trait Arithmetic: Copy {
    fn add(self, other: Self) -> Self;
    fn multiply(self, other: Self) -> Self;
}

pub(super) trait Divide: Copy {
    fn divide(self, divisor: usize) -> Self;
}

/// Smallest and largest value: a NaN wins, and -0 is below +0.
pub(super) trait Extremes: Copy {
    fn smaller(self, other: Self) -> Self;
    fn larger(self, other: Self) -> Self;
}

/// The order of [`Extremes`], NaN left out.
pub(super) trait Order: Copy {
    fn is_nan(self) -> bool;

    /// The order of two values of which none is NaN.
    fn order(self, other: Self) -> Ordering;
}

pub(super) trait Bits: Copy {
    fn and(self, other: Self) -> Self;
    fn or(self, other: Self) -> Self;
    fn exclusive_or(self, other: Self) -> Self;
}

pub(super) trait Truth: Copy {
    fn is_true(self) -> bool;
    fn from_truth(truth: bool) -> Self;
}

/// A type that is its own accumulator.
impl<T: Canonical> Value for T {
    type Accumulator = T;

    #[inline(always)]
    fn widen(self) -> T {
        self
    }

    #[inline(always)]
    fn round(accumulator: T) -> T {
        accumulator.canonical()
    }
}

macro_rules! integer {
    ($type:ty) => {
        impl Arithmetic for $type {
            #[inline(always)]
            fn add(self, other: $type) -> $type {
                self.wrapping_add(other)
            }

            #[inline(always)]
            fn multiply(self, other: $type) -> $type {
                self.wrapping_mul(other)
            }
        }

        impl Truth for $type {
            #[inline(always)]
            fn is_true(self) -> bool {
                self != 0
            }

            #[inline(always)]
            fn from_truth(truth: bool) -> $type {
                <$type>::from(truth)
            }
        }

        impl Order for $type {
            #[inline(always)]
            fn is_nan(self) -> bool {
                false
            }

            #[inline(always)]
            fn order(self, other: $type) -> Ordering {
                self.cmp(&other)
            }
        }

        ordinal!($type);
    };
}
each_type!(Integer: integer);

macro_rules! boolean {
    ($type:ty) => {
        impl Truth for $type {
            #[inline(always)]
            fn is_true(self) -> bool {
                self
            }

            #[inline(always)]
            fn from_truth(truth: bool) -> $type {
                truth
            }
        }

        ordinal!($type);
    };
}
each_type!(Bool: boolean);

/// What integers and `bool` have in common.
macro_rules! ordinal {
    ($type:ty) => {
        impl Canonical for $type {
            #[inline(always)]
            fn canonical(self) -> $type {
                self
            }
        }

        impl Extremes for $type {
            #[inline(always)]
            fn smaller(self, other: $type) -> $type {
                self.min(other)
            }

            #[inline(always)]
            fn larger(self, other: $type) -> $type {
                self.max(other)
            }
        }

        impl Bits for $type {
            #[inline(always)]
            fn and(self, other: $type) -> $type {
                self & other
            }

            #[inline(always)]
            fn or(self, other: $type) -> $type {
                self | other
            }

            #[inline(always)]
            fn exclusive_or(self, other: $type) -> $type {
                self ^ other
            }
        }
    };
}
use ordinal;

macro_rules! float {
    ($type:ty) => {
        impl Canonical for $type {
            #[inline(always)]
            fn canonical(self) -> $type {
                // The standard library promises a quiet NaN of unspecified sign and payload.
                const INFINITY: $type = <$type>::INFINITY;
                const NAN: $type = <$type>::from_bits(INFINITY.to_bits() | INFINITY.to_bits() >> 1);
                if self.is_nan() { NAN } else { self }
            }
        }

        impl Arithmetic for $type {
            #[inline(always)]
            fn add(self, other: $type) -> $type {
                self + other
            }

            #[inline(always)]
            fn multiply(self, other: $type) -> $type {
                self * other
            }
        }

        impl Divide for $type {
            #[inline(always)]
            fn divide(self, divisor: usize) -> $type {
                self / divisor as $type
            }
        }

        impl Extremes for $type {
            #[inline(always)]
            fn smaller(self, other: $type) -> $type {
                // The same value twice, but for equal ones, which differ in the sign of zero at
                // most, and for unordered ones, of which one is NaN and stays so whatever bits are
                // set besides. No branch, so that the loop over it becomes vector instructions.
                let first = if self < other { self } else { other };
                let second = if other < self { other } else { self };
                <$type>::from_bits(first.to_bits() | second.to_bits())
            }

            #[inline(always)]
            fn larger(self, other: $type) -> $type {
                let first = if self > other { self } else { other };
                let second = if other > self { other } else { self };
                let larger = <$type>::from_bits(first.to_bits() & second.to_bits());
                if self.is_nan() | other.is_nan() {
                    <$type>::NAN
                } else {
                    larger
                }
            }
        }

        impl Order for $type {
            #[inline(always)]
            fn is_nan(self) -> bool {
                <$type>::is_nan(self)
            }

            #[inline(always)]
            fn order(self, other: $type) -> Ordering {
                self.total_cmp(&other)
            }
        }

        impl Truth for $type {
            #[inline(always)]
            fn is_true(self) -> bool {
                self != 0.0
            }

            #[inline(always)]
            fn from_truth(truth: bool) -> $type {
                if truth { 1.0 } else { 0.0 }
            }
        }
    };
}
each_type!(Float: float);

impl<T: Canonical> Canonical for Complex<T> {
    #[inline(always)]
    fn canonical(self) -> Complex<T> {
        Complex::new(self.re.canonical(), self.im.canonical())
    }
}

impl<T: Copy + Add<Output = T> + Sub<Output = T> + Mul<Output = T>> Arithmetic for Complex<T> {
    #[inline(always)]
    fn add(self, other: Complex<T>) -> Complex<T> {
        Complex::new(self.re + other.re, self.im + other.im)
    }

    #[inline(always)]
    fn multiply(self, other: Complex<T>) -> Complex<T> {
        Complex::new(
            self.re * other.re - self.im * other.im,
            self.re * other.im + self.im * other.re,
        )
    }
}

impl<T: Divide> Divide for Complex<T> {
    #[inline(always)]
    fn divide(self, divisor: usize) -> Complex<T> {
        Complex::new(self.re.divide(divisor), self.im.divide(divisor))
    }
}

impl<V: Canonical, I: Copy> Canonical for Located<V, I> {
    #[inline(always)]
    fn canonical(self) -> Located<V, I> {
        Located::new(self.value.canonical(), self.index)
    }
}

/// The values' [`Extremes`] with their index; where they are the same, the lower index.
impl<V: Order, I: Copy + Ord> Extremes for Located<V, I> {
    #[inline(always)]
    fn smaller(self, other: Located<V, I>) -> Located<V, I> {
        first(self, other, self.value.order(other.value))
    }

    #[inline(always)]
    fn larger(self, other: Located<V, I>) -> Located<V, I> {
        first(self, other, other.value.order(self.value))
    }
}

/// The pair that comes first: by NaN, then by the given order of the values, then by index.
#[inline(always)]
fn first<V: Order, I: Copy + Ord>(
    left: Located<V, I>,
    right: Located<V, I>,
    order: Ordering,
) -> Located<V, I> {
    let order = match (left.value.is_nan(), right.value.is_nan()) {
        (false, false) => order,
        (left_is_nan, right_is_nan) => right_is_nan.cmp(&left_is_nan),
    };
    match order.then(left.index.cmp(&right.index)) {
        Ordering::Greater => right,
        _ => left,
    }
}
