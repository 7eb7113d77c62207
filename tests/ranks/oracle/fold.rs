//! Naive folds in the canonical order: the ranks `0..n` split at the largest power of two below `n`.

use half::{bf16, f16};
use warpcomm::{Complex, Dtype, Located, Op};

/// A type whose reductions are known.
pub trait Fold: Copy {
    /// The result of a reduction of one element of each rank; `None` where the type has no such operation.
    fn fold(op: Op, of_ranks: &[Self]) -> Option<Self>;
}

/// Whether MPI defines a reduction of these elements.
pub fn mpi_has(op: Op, dtype: Dtype) -> bool {
    match (op, dtype) {
        (_, Dtype::F16 | Dtype::Bf16) | (Op::Avg, _) => false,
        (Op::LogicalAnd | Op::LogicalOr | Op::LogicalXor, Dtype::F32 | Dtype::F64) => false,
        (Op::MinLoc | Op::MaxLoc, dtype) => matches!(dtype, Dtype::F32Loc | Dtype::I32Loc),
        _ => true,
    }
}

/// The result of a reduction of the vectors of all ranks, which have the same length.
pub fn folded<T: Fold>(op: Op, of_ranks: &[Vec<T>]) -> Option<Vec<T>> {
    (0..of_ranks[0].len())
        .map(|index| {
            let column: Vec<T> = of_ranks.iter().map(|vector| vector[index]).collect();
            T::fold(op, &column)
        })
        .collect()
}

fn tree<A: Copy>(leaves: &[A], combine: &impl Fn(A, A) -> A) -> A {
    match leaves {
        [only] => *only,
        _ => {
            let (left, right) = leaves.split_at(1 << (leaves.len() - 1).ilog2());
            combine(tree(left, combine), tree(right, combine))
        }
    }
}

/// A logical operation; `None` if `op` is another.
fn logical(op: Op, truths: impl Iterator<Item = bool>) -> Option<bool> {
    let count = truths.fold((0, 0), |(of_true, of_all), truth| {
        (of_true + usize::from(truth), of_all + 1)
    });
    match (op, count) {
        (Op::LogicalAnd, (of_true, of_all)) => Some(of_true == of_all),
        (Op::LogicalOr, (of_true, _)) => Some(of_true > 0),
        (Op::LogicalXor, (of_true, _)) => Some(of_true % 2 == 1),
        _ => None,
    }
}

macro_rules! integers {
    ($($type:ty)*) => {$(
        impl Fold for $type {
            fn fold(op: Op, of_ranks: &[$type]) -> Option<$type> {
                let values = of_ranks.iter().copied();
                match op {
                    Op::Sum => values.reduce(<$type>::wrapping_add),
                    Op::Prod => values.reduce(<$type>::wrapping_mul),
                    Op::Min => values.min(),
                    Op::Max => values.max(),
                    Op::BitAnd => values.reduce(|a, b| a & b),
                    Op::BitOr => values.reduce(|a, b| a | b),
                    Op::BitXor => values.reduce(|a, b| a ^ b),
                    _ => logical(op, values.map(|value| value != 0)).map(<$type>::from),
                }
            }
        }
    )*};
}
integers!(i8 i16 i32 i64 u8 u16 u32 u64);

impl Fold for bool {
    fn fold(op: Op, of_ranks: &[bool]) -> Option<bool> {
        let logically = match op {
            Op::Min | Op::BitAnd => Op::LogicalAnd,
            Op::Max | Op::BitOr => Op::LogicalOr,
            Op::BitXor => Op::LogicalXor,
            other => other,
        };
        logical(logically, of_ranks.iter().copied())
    }
}

/// Folds of a type that is computed as another one, and NaN results of which are `$nan`.
macro_rules! floats {
    ($($type:ty as $wide:ty: $widen:expr, $round:expr, $nan:expr;)*) => {$(
        impl Fold for $type {
            fn fold(op: Op, of_ranks: &[$type]) -> Option<$type> {
                let values: Vec<$wide> = of_ranks.iter().copied().map($widen).collect();
                let result = match op {
                    Op::Sum => tree(&values, &|a, b| a + b),
                    Op::Prod => tree(&values, &|a, b| a * b),
                    Op::Avg => tree(&values, &|a, b| a + b) / values.len() as $wide,
                    Op::Min | Op::Max if values.iter().any(|value| value.is_nan()) => <$wide>::NAN,
                    Op::Min => values.iter().copied().min_by(<$wide>::total_cmp)?,
                    Op::Max => values.iter().copied().max_by(<$wide>::total_cmp)?,
                    _ => {
                        let truth = logical(op, values.iter().map(|value| *value != 0.0))?;
                        if truth { 1.0 } else { 0.0 }
                    }
                };
                Some(if result.is_nan() { <$type>::from_bits($nan) } else { $round(result) })
            }
        }
    )*};
}

floats! {
    f16 as f32: f16::to_f32, f16::from_f32, 0x7E00;
    bf16 as f32: bf16::to_f32, bf16::from_f32, 0x7FC0;
    f32 as f32: |value| value, |value| value, 0x7FC0_0000;
    f64 as f64: |value| value, |value| value, 0x7FF8_0000_0000_0000;
}

macro_rules! complex {
    ($($part:ty: $nan:expr;)*) => {$(
        impl Fold for Complex<$part> {
            fn fold(op: Op, of_ranks: &[Self]) -> Option<Self> {
                let sum = |a: Self, b: Self| Complex { re: a.re + b.re, im: a.im + b.im };
                let product = |a: Self, b: Self| Complex {
                    re: a.re * b.re - a.im * b.im,
                    im: a.re * b.im + a.im * b.re,
                };
                let Complex { re, im } = match op {
                    Op::Sum => tree(of_ranks, &sum),
                    Op::Prod => tree(of_ranks, &product),
                    Op::Avg => {
                        let Complex { re, im } = tree(of_ranks, &sum);
                        let ranks = of_ranks.len() as $part;
                        Complex { re: re / ranks, im: im / ranks }
                    }
                    _ => return None,
                };
                let canonical = |part: $part| if part.is_nan() { <$part>::from_bits($nan) } else { part };
                Some(Complex { re: canonical(re), im: canonical(im) })
            }
        }
    )*};
}
complex!(f32: 0x7FC0_0000; f64: 0x7FF8_0000_0000_0000;);

macro_rules! located {
    ($($value:ty, $index:ty: $is_nan:expr, $order:expr;)*) => {$(
        impl Fold for Located<$value, $index> {
            fn fold(op: Op, of_ranks: &[Self]) -> Option<Self> {
                let lowest_index = |of: &dyn Fn(&Self) -> bool| {
                    of_ranks.iter().copied().filter(|pair| of(pair)).min_by_key(|pair| pair.index)
                };
                if !matches!(op, Op::MinLoc | Op::MaxLoc) {
                    return None;
                }
                if let Some(pair) = lowest_index(&|pair| $is_nan(pair.value)) {
                    let value = <$value as Fold>::fold(Op::Sum, &[pair.value])?;
                    return Some(Located { value, index: pair.index });
                }
                let order = |a: &&Self, b: &&Self| $order(&a.value, &b.value);
                let best = match op {
                    Op::MinLoc => of_ranks.iter().min_by(order)?,
                    _ => of_ranks.iter().max_by(order)?,
                };
                lowest_index(&|pair| $order(&pair.value, &best.value).is_eq())
            }
        }
    )*};
}

located! {
    f32, u32: f32::is_nan, f32::total_cmp;
    f64, u64: f64::is_nan, f64::total_cmp;
    i32, u32: |_| false, i32::cmp;
    i64, u64: |_| false, i64::cmp;
    u32, u32: |_| false, u32::cmp;
    u64, u64: |_| false, u64::cmp;
}
