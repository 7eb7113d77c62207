//! What a fold should give, written down naively and without the code under test.

use crate::dtype::{Complex, Element, Located, each_type};
use crate::op::Op;

/// An element type whose reductions are known.
pub(crate) trait Oracle: Element + bytemuck::NoUninit {
    /// The reduction of one element per rank; `None` where it is not defined.
    fn reduce(op: Op, elements: &[Self]) -> Option<Self>;

    /// Values at which arithmetic goes wrong.
    fn special() -> Vec<Self>;

    /// Any value, from random bits.
    fn ordinary(bits: u64) -> Self;
}

/// The canonical order, as one can read it.
fn tree<T: Copy>(elements: &[T], combine: impl Fn(T, T) -> T + Copy) -> T {
    if elements.len() == 1 {
        return elements[0];
    }
    let mut left = 1;
    while left * 2 < elements.len() {
        left *= 2;
    }
    combine(tree(&elements[..left], combine), tree(&elements[left..], combine))
}

/// The reductions that see truth only, and how many are true.
fn logical(op: Op, truths: impl Iterator<Item = bool> + Clone) -> Option<bool> {
    let all = truths.clone().count();
    let is_true = truths.filter(|&truth| truth).count();
    match op {
        Op::LogicalAnd => Some(is_true == all),
        Op::LogicalOr => Some(is_true > 0),
        Op::LogicalXor => Some(is_true % 2 == 1),
        _ => None,
    }
}

macro_rules! integer {
    ($type:ty) => {
        impl Oracle for $type {
            fn reduce(op: Op, elements: &[$type]) -> Option<$type> {
                // The last bits of a sum or product depend on the last bits of its operands only.
                let wide = elements.iter().map(|&element| element as i128);
                Some(match op {
                    Op::Sum => wide.fold(0, i128::wrapping_add) as $type,
                    Op::Prod => wide.fold(1, i128::wrapping_mul) as $type,
                    Op::Min => wide.min()? as $type,
                    Op::Max => wide.max()? as $type,
                    Op::BitAnd => wide.fold(-1, |left, right| left & right) as $type,
                    Op::BitOr => wide.fold(0, |left, right| left | right) as $type,
                    Op::BitXor => wide.fold(0, |left, right| left ^ right) as $type,
                    _ => logical(op, wide.map(|element| element != 0))? as $type,
                })
            }

            fn special() -> Vec<$type> {
                vec![0, 1, 2, <$type>::MIN, <$type>::MAX, <$type>::MAX - 1]
            }

            fn ordinary(bits: u64) -> $type {
                bits as $type
            }
        }
    };
}
each_type!(Integer: integer);

impl Oracle for bool {
    fn reduce(op: Op, elements: &[bool]) -> Option<bool> {
        let same = match op {
            Op::Min | Op::BitAnd => Op::LogicalAnd,
            Op::Max | Op::BitOr => Op::LogicalOr,
            Op::BitXor => Op::LogicalXor,
            other => other,
        };
        logical(same, elements.iter().copied())
    }

    fn special() -> Vec<bool> {
        vec![false, true]
    }

    fn ordinary(bits: u64) -> bool {
        bits % 2 == 1
    }
}

/// Reductions of floats, before the result is rounded and a NaN made canonical.
macro_rules! reduce_floats {
    ($name:ident, $type:ty) => {
        fn $name(op: Op, elements: &[$type]) -> Option<$type> {
            let any_nan = elements.iter().any(|element| element.is_nan());
            let numbers = elements.iter().copied();
            Some(match op {
                Op::Sum => tree(elements, |left, right| left + right),
                Op::Prod => tree(elements, |left, right| left * right),
                Op::Avg => tree(elements, |left, right| left + right) / elements.len() as $type,
                Op::Min | Op::Max if any_nan => <$type>::NAN,
                Op::Min => numbers.min_by(<$type>::total_cmp)?,
                Op::Max => numbers.max_by(<$type>::total_cmp)?,
                _ => match logical(op, numbers.map(|number| number != 0.0))? {
                    true => 1.0,
                    false => 0.0,
                },
            })
        }
    };
}
reduce_floats!(reduce_f32, f32);
reduce_floats!(reduce_f64, f64);

macro_rules! special_floats {
    ($type:ty) => {{
        let infinity = <$type>::INFINITY;
        let signalling_nan = <$type>::from_bits(infinity.to_bits() + 1);
        let nan_with_payload = <$type>::from_bits(<$type>::NAN.to_bits() + 5);
        let (zero, smallest) = (<$type>::from_bits(0), <$type>::from_bits(1));
        let (smallest_normal, largest) = (<$type>::MIN_POSITIVE, <$type>::MAX);
        [
            zero,
            smallest,
            smallest_normal,
            largest,
            infinity,
            signalling_nan,
            nan_with_payload,
        ]
        .into_iter()
        .flat_map(|number| [number, -number])
        .collect()
    }};
}

/// Numbers near enough to one another that their sums have to be rounded.
fn ordinary_quotient(bits: u64) -> (i16, i16) {
    (bits as i16, 1 + i16::from((bits >> 16) as u8))
}

/// A float that is computed in its own type.
trait Float: Oracle {
    fn reduce_wide(op: Op, elements: &[Self]) -> Option<Self>;
    fn or_canonical_nan(self) -> Self;
}

impl Float for f32 {
    fn reduce_wide(op: Op, elements: &[f32]) -> Option<f32> {
        reduce_f32(op, elements)
    }

    fn or_canonical_nan(self) -> f32 {
        if self.is_nan() {
            f32::from_bits(0x7FC0_0000)
        } else {
            self
        }
    }
}

impl Float for f64 {
    fn reduce_wide(op: Op, elements: &[f64]) -> Option<f64> {
        reduce_f64(op, elements)
    }

    fn or_canonical_nan(self) -> f64 {
        if self.is_nan() {
            f64::from_bits(0x7FF8_0000_0000_0000)
        } else {
            self
        }
    }
}

macro_rules! float {
    ($type:ty) => {
        impl Oracle for $type {
            fn reduce(op: Op, elements: &[$type]) -> Option<$type> {
                Some(Float::reduce_wide(op, elements)?.or_canonical_nan())
            }

            fn special() -> Vec<$type> {
                special_floats!($type)
            }

            fn ordinary(bits: u64) -> $type {
                let (dividend, divisor) = ordinary_quotient(bits);
                <$type>::from(dividend) / <$type>::from(divisor)
            }
        }
    };
}
each_type!(Float: float);

macro_rules! half_float {
    ($type:ty) => {
        impl Oracle for $type {
            fn reduce(op: Op, elements: &[$type]) -> Option<$type> {
                let wide: Vec<f32> = elements.iter().map(|element| element.to_f32()).collect();
                Some(<$type>::from_f32(reduce_f32(op, &wide)?.or_canonical_nan()))
            }

            fn special() -> Vec<$type> {
                special_floats!($type)
            }

            fn ordinary(bits: u64) -> $type {
                <$type>::from_f32(f32::ordinary(bits))
            }
        }
    };
}
each_type!(Half: half_float);

macro_rules! complex {
    ($type:ty) => {
        impl Oracle for $type {
            fn reduce(op: Op, elements: &[$type]) -> Option<$type> {
                let parts: Vec<_> = elements
                    .iter()
                    .map(|number| (number.re, number.im))
                    .collect();
                let (re, im) = match op {
                    Op::Sum => tree(&parts, |left, right| (left.0 + right.0, left.1 + right.1)),
                    Op::Prod => tree(&parts, |(a, b), (c, d)| (a * c - b * d, a * d + b * c)),
                    Op::Avg => {
                        let (re, im): (Vec<_>, Vec<_>) = parts.into_iter().unzip();
                        (Float::reduce_wide(op, &re)?, Float::reduce_wide(op, &im)?)
                    }
                    _ => return None,
                };
                Some(Complex::new(re.or_canonical_nan(), im.or_canonical_nan()))
            }

            fn special() -> Vec<$type> {
                pairs(Oracle::special(), Oracle::special())
            }

            fn ordinary(bits: u64) -> $type {
                Complex::new(
                    Oracle::ordinary(bits),
                    Oracle::ordinary(bits.rotate_left(32)),
                )
            }
        }
    };
}
each_type!(Complex: complex);

macro_rules! located {
    ($type:ty) => {
        impl Oracle for $type {
            fn reduce(op: Op, elements: &[$type]) -> Option<$type> {
                let of_value = match op {
                    Op::MinLoc => Op::Min,
                    Op::MaxLoc => Op::Max,
                    _ => return None,
                };
                // A NaN alone becomes the canonical one, and no two other values look the same.
                let same = |value| Oracle::reduce(of_value, &[value]).map(|value| format!("{value:?}"));
                let values: Vec<_> = elements.iter().map(|pair| pair.value).collect();
                let value = Oracle::reduce(of_value, &values)?;
                let winners = elements
                    .iter()
                    .filter(|pair| same(pair.value) == same(value));
                Some(Located::new(value, winners.map(|pair| pair.index).min()?))
            }

            fn special() -> Vec<$type> {
                pairs(Oracle::special(), Oracle::special())
            }

            fn ordinary(bits: u64) -> $type {
                // Few values and indices, so that there are ties.
                Located::new(Oracle::ordinary(bits % 4), Oracle::ordinary(bits >> 32 & 7))
            }
        }
    };
}
each_type!(Located: located);

fn pairs<A: Copy, B: Copy, P: From<(A, B)>>(firsts: Vec<A>, seconds: Vec<B>) -> Vec<P> {
    firsts
        .iter()
        .flat_map(|&first| seconds.iter().map(move |&second| P::from((first, second))))
        .collect()
}
