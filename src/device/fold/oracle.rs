//! What a fold should give, written down naively and without the code under test.

use half::{bf16, f16};

use crate::dtype::{Complex, Element, Located, each_type};
use crate::op::Op;

/// An element type whose reductions are known.
pub(super) trait Oracle: Element + bytemuck::NoUninit {
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

trait CanonicalNan: Sized {
    fn or_canonical_nan(self) -> Self;
}

impl CanonicalNan for f32 {
    fn or_canonical_nan(self) -> f32 {
        if self.is_nan() { f32::from_bits(0x7FC0_0000) } else { self }
    }
}

impl CanonicalNan for f64 {
    fn or_canonical_nan(self) -> f64 {
        if self.is_nan() { f64::from_bits(0x7FF8_0000_0000_0000) } else { self }
    }
}

macro_rules! float {
    ($type:ident, $bits:ty, $special:expr, $reduce:expr) => {
        impl Oracle for $type {
            fn reduce(op: Op, elements: &[$type]) -> Option<$type> {
                $reduce(op, elements)
            }

            fn special() -> Vec<$type> {
                let one_and_all_exponent_bits: [$bits; 2] = $special;
                let [one, infinity] = one_and_all_exponent_bits;
                let sign = !(<$bits>::MAX >> 1);
                let quiet = infinity >> 1 & !infinity | infinity;
                [0, 1, infinity & infinity.wrapping_neg(), one, infinity - 1, infinity, infinity + 1, quiet, quiet + 5]
                    .into_iter()
                    .flat_map(|bits| [bits, bits | sign])
                    .map(<$type>::from_bits)
                    .collect()
            }

            fn ordinary(bits: u64) -> $type {
                // Near enough to one another that rounding shows.
                let number = f32::from(bits as i16) / f32::from(1 + (bits >> 16) as u8);
                $type::from_bits(<$type as From<f32>>::from(number).to_bits())
            }
        }
    };
}
