//! Elements that can be compared after any operation: of each type, values whose reductions are exact.

use half::{bf16, f16};
#[cfg(feature = "cuda")]
use warpcomm::cudarc::driver::{DeviceRepr, ValidAsZeroBits};
use warpcomm::{Complex, Element, Located, Op};

/// What a buffer's memory needs of an element beside what the library needs.
#[cfg(feature = "cuda")]
pub trait Stored: DeviceRepr + ValidAsZeroBits {}
#[cfg(feature = "cuda")]
impl<T: DeviceRepr + ValidAsZeroBits> Stored for T {}
#[cfg(not(feature = "cuda"))]
pub trait Stored {}
#[cfg(not(feature = "cuda"))]
impl<T> Stored for T {}

/// Whose element it is, and what it is for.
#[derive(Clone, Copy, Debug)]
pub struct Seed {
    /// Random, of the rank and the place in its buffer.
    pub bits: u64,
    /// How many ranks take part.
    pub ranks: usize,
    /// Whether it is the only one of all ranks' elements at its place that may be no unit of a product.
    pub is_chosen: bool,
    /// Whether a result that is too large wraps around, as the library promises and MPI does not.
    pub wraps: bool,
}

/// An element type.
pub trait Sample: Element + Stored {
    /// Any value.
    fn any(bits: u64) -> Self;

    /// A value that a reduction takes, whose result with those of other ranks is exact.
    fn operand(op: Op, seed: Seed) -> Self;

    /// The reduction of such values, of which there is at least one; `None` where it is not defined.
    fn reduce(op: Op, operands: &[Self]) -> Option<Self>;

    /// A value that is not this one.
    fn another(self) -> Self;
}

/// Evaluates an expression with the Rust type of a [`Dtype`](warpcomm::Dtype) bound to a name, or the other expression
/// where this program does not know the type.
macro_rules! of_dtype {
    ($dtype:expr, $type:ident => $body:expr, else $unknown:expr) => {
        $crate::bench::element::of_dtype! { $dtype, $type, $body, $unknown,
            I8 i8, I16 i16, I32 i32, I64 i64, U8 u8, U16 u16, U32 u32, U64 u64,
            F16 half::f16, Bf16 half::bf16, F32 f32, F64 f64,
            C32 warpcomm::Complex<f32>, C64 warpcomm::Complex<f64>, Bool bool,
            F32Loc warpcomm::Located<f32, u32>, F64Loc warpcomm::Located<f64, u64>,
            I32Loc warpcomm::Located<i32, u32>, I64Loc warpcomm::Located<i64, u64>,
            U32Loc warpcomm::Located<u32, u32>, U64Loc warpcomm::Located<u64, u64>
        }
    };
    ($dtype:expr, $type:ident, $body:expr, $unknown:expr, $($variant:ident $element:ty),*) => {
        match $dtype {
            $(warpcomm::Dtype::$variant => {
                type $type = $element;
                $body
            })*
            _ => $unknown,
        }
    };
}
pub(crate) use of_dtype;

impl Seed {
    /// A truth of which the logical operations have both results.
    fn truth(self, op: Op) -> bool {
        let is_rare = self.bits.is_multiple_of(2 * self.ranks as u64);
        match op {
            Op::LogicalAnd | Op::BitAnd | Op::Min => !is_rare,
            Op::LogicalOr | Op::BitOr | Op::Max => is_rare,
            _ => self.bits % 2 == 1,
        }
    }

    /// A whole number between `-limit` and `limit`.
    fn within(self, limit: i64) -> i64 {
        (self.bits % (2 * limit as u64 + 1)) as i64 - limit
    }
}

fn is_logical(op: Op) -> bool {
    matches!(op, Op::LogicalAnd | Op::LogicalOr | Op::LogicalXor)
}

/// What the logical operations give.
fn logical(op: Op, truths: impl Iterator<Item = bool>) -> Option<bool> {
    let (mut all, mut of_them) = (0, 0);
    for truth in truths {
        all += 1;
        of_them += usize::from(truth);
    }
    match op {
        Op::LogicalAnd => Some(of_them == all),
        Op::LogicalOr => Some(of_them > 0),
        Op::LogicalXor => Some(of_them % 2 == 1),
        _ => None,
    }
}

macro_rules! integers {
    ($($type:ty)*) => {$(
        impl Sample for $type {
            fn any(bits: u64) -> $type {
                bits as $type
            }

            fn operand(op: Op, seed: Seed) -> $type {
                let most = (<$type>::MAX as u64 / seed.ranks as u64).min(1000);
                match op {
                    _ if is_logical(op) => <$type>::from(seed.truth(op)),
                    // Odd factors leave no bits of the product empty.
                    Op::Prod if seed.wraps => seed.bits as $type | 1,
                    Op::Prod if seed.is_chosen => 2 + (seed.bits % 2) as $type,
                    Op::Prod => 1,
                    Op::Sum if !seed.wraps => (seed.bits % (most + 1)) as $type,
                    _ => seed.bits as $type,
                }
            }

            fn reduce(op: Op, operands: &[$type]) -> Option<$type> {
                // The last bits of a sum or product depend on the last bits of its operands alone.
                let wide = operands.iter().map(|&operand| operand as i128);
                Some(match op {
                    Op::Sum => wide.fold(0, i128::wrapping_add) as $type,
                    Op::Prod => wide.fold(1, i128::wrapping_mul) as $type,
                    Op::Min => wide.min()? as $type,
                    Op::Max => wide.max()? as $type,
                    Op::BitAnd => wide.fold(-1, |left, right| left & right) as $type,
                    Op::BitOr => wide.fold(0, |left, right| left | right) as $type,
                    Op::BitXor => wide.fold(0, |left, right| left ^ right) as $type,
                    _ => <$type>::from(logical(op, wide.map(|operand| operand != 0))?),
                })
            }

            fn another(self) -> $type {
                <$type>::from(self == 0)
            }
        }
    )*};
}
integers!(i8 i16 i32 i64 u8 u16 u32 u64);

/// Whole numbers are exact up to two to the power of the digits, and so are their sums.
fn float_operand(op: Op, seed: Seed, digits: u32) -> f64 {
    let most = ((1i64 << digits) / seed.ranks as i64).clamp(1, 1000);
    match op {
        _ if is_logical(op) => f64::from(u8::from(seed.truth(op))),
        Op::Prod => {
            let sign = 1 - 2 * (seed.bits % 2) as i64;
            (sign * (1 + i64::from(seed.is_chosen))) as f64
        }
        _ => seed.within(most) as f64,
    }
}

/// Before the quotient of a mean.
fn float_reduce(op: Op, operands: impl Iterator<Item = f64>) -> Option<f64> {
    Some(match op {
        Op::Sum | Op::Avg => operands.sum(),
        Op::Prod => operands.product(),
        Op::Min => operands.reduce(f64::min)?,
        Op::Max => operands.reduce(f64::max)?,
        _ => f64::from(u8::from(logical(op, operands.map(|operand| operand != 0.0))?)),
    })
}

/// A row is the type, its digits, and the type in which it is computed.
macro_rules! floats {
    ($($type:ty, $digits:literal, $computed:ty, $from:expr;)*) => {$(
        impl Sample for $type {
            fn any(bits: u64) -> $type {
                let whole = (bits % (1 << $digits)) as $computed;
                $from(whole)
            }

            fn operand(op: Op, seed: Seed) -> $type {
                $from(float_operand(op, seed, $digits) as $computed)
            }

            fn reduce(op: Op, operands: &[$type]) -> Option<$type> {
                let exact = float_reduce(op, operands.iter().map(|&operand| operand.into()))? as $computed;
                Some($from(match op {
                    Op::Avg => exact / operands.len() as $computed,
                    _ => exact,
                }))
            }

            fn another(self) -> $type {
                let is_zero = f64::from(self) == 0.0;
                $from(if is_zero { 1.0 } else { 0.0 })
            }
        }
    )*};
}
floats! {
    f16, 11, f32, f16::from_f32;
    bf16, 8, f32, bf16::from_f32;
    f32, 24, f32, std::convert::identity;
    f64, 53, f64, std::convert::identity;
}

macro_rules! complex {
    ($($part:ty)*) => {$(
        impl Sample for Complex<$part> {
            fn any(bits: u64) -> Self {
                Complex::new(Sample::any(bits), Sample::any(bits.rotate_left(32)))
            }

            fn operand(op: Op, seed: Seed) -> Self {
                if op == Op::Prod {
                    let size = if seed.is_chosen { 2.0 } else { 1.0 };
                    // A power of the imaginary unit.
                    return match seed.bits % 4 {
                        0 => Complex::new(size, 0.0),
                        1 => Complex::new(0.0, size),
                        2 => Complex::new(-size, 0.0),
                        _ => Complex::new(0.0, -size),
                    };
                }
                let other = Seed { bits: seed.bits.rotate_left(32), ..seed };
                Complex::new(Sample::operand(op, seed), Sample::operand(op, other))
            }

            fn reduce(op: Op, operands: &[Self]) -> Option<Self> {
                match op {
                    Op::Sum | Op::Avg => {
                        let (re, im): (Vec<$part>, Vec<$part>) =
                            operands.iter().map(|operand| (operand.re, operand.im)).unzip();
                        Some(Complex::new(Sample::reduce(op, &re)?, Sample::reduce(op, &im)?))
                    }
                    Op::Prod => operands.iter().copied().reduce(|a, b| {
                        Complex::new(a.re * b.re - a.im * b.im, a.re * b.im + a.im * b.re)
                    }),
                    _ => None,
                }
            }

            fn another(self) -> Self {
                Complex::new(self.re.another(), self.im)
            }
        }
    )*};
}
complex!(f32 f64);

impl Sample for bool {
    fn any(bits: u64) -> bool {
        bits % 2 == 1
    }

    fn operand(op: Op, seed: Seed) -> bool {
        seed.truth(op)
    }

    fn reduce(op: Op, operands: &[bool]) -> Option<bool> {
        let same = match op {
            Op::Min | Op::BitAnd => Op::LogicalAnd,
            Op::Max | Op::BitOr => Op::LogicalOr,
            Op::BitXor => Op::LogicalXor,
            other => other,
        };
        logical(same, operands.iter().copied())
    }

    fn another(self) -> bool {
        !self
    }
}

macro_rules! located {
    ($($value:ty, $index:ty;)*) => {$(
        impl Sample for Located<$value, $index> {
            fn any(bits: u64) -> Self {
                Located::new(Sample::any(bits), Sample::any(bits.rotate_left(32)))
            }

            fn operand(_op: Op, seed: Seed) -> Self {
                // Few values, so that the index often decides.
                Located::new((seed.bits % 5) as $value, Sample::any(seed.bits >> 8))
            }

            fn reduce(op: Op, operands: &[Self]) -> Option<Self> {
                let is_better = |new: &Self, best: &Self| match op {
                    Op::MinLoc => new.value < best.value,
                    _ => new.value > best.value,
                };
                if !matches!(op, Op::MinLoc | Op::MaxLoc) {
                    return None;
                }
                operands.iter().copied().reduce(|best, new| {
                    let is_taken = is_better(&new, &best) || new.value == best.value && new.index < best.index;
                    if is_taken { new } else { best }
                })
            }

            fn another(self) -> Self {
                Located::new(self.value, self.index.another())
            }
        }
    )*};
}
located! {
    f32, u32;
    f64, u64;
    i32, u32;
    i64, u64;
    u32, u32;
    u64, u64;
}

#[cfg(test)]
mod tests {
    use super::*;
    use warpcomm::{Communicator, Dtype};

    fn seed(bits: u64, ranks: usize, wraps: bool) -> Seed {
        Seed {
            bits,
            ranks,
            is_chosen: bits.is_multiple_of(3),
            wraps,
        }
    }

    #[test]
    fn every_type_of_the_library_is_known_here() {
        for &dtype in Dtype::ALL {
            let known = of_dtype!(dtype, T => Some(T::DTYPE), else None);
            assert_eq!(known, Some(dtype));
        }
    }

    #[test]
    fn another_value_is_never_the_same() {
        for &dtype in Dtype::ALL {
            of_dtype!(dtype, T => {
                for bits in [0, 1, 7, 1 << 40, u64::MAX] {
                    let value = T::any(bits);
                    assert_ne!(value.another(), value, "{dtype}");
                }
            }, else unreachable!());
        }
    }

    #[test]
    fn results_are_those_of_the_library() {
        let outcomes = Communicator::threads(3, |comm| {
            for &dtype in Dtype::ALL {
                for &op in Op::ALL.iter().filter(|op| op.supports(dtype)) {
                    of_dtype!(dtype, T => {
                        let operand = |rank: usize, at: u64| {
                            T::operand(op, seed((at * 3 + rank as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15), 3, true))
                        };
                        let own: Vec<T> = (0..50).map(|at| operand(comm.rank(), at)).collect();
                        let mut result = own.clone();
                        comm.allreduce(&own, &mut result, op)?;
                        for (at, result) in result.into_iter().enumerate() {
                            let operands: Vec<T> = (0..3).map(|rank| operand(rank, at as u64)).collect();
                            assert_eq!(Some(result), T::reduce(op, &operands), "{op} of {dtype}");
                        }
                    }, else unreachable!());
                }
            }
            Ok::<(), warpcomm::Error>(())
        });
        outcomes
            .unwrap()
            .into_iter()
            .collect::<Result<Vec<()>, _>>()
            .unwrap();
    }

    #[test]
    fn sums_that_must_not_wrap_do_not() {
        for ranks in [1, 2, 7, 100] {
            let operands: Vec<i8> = (0..ranks)
                .map(|rank| i8::operand(Op::Sum, seed(rank * 977 + 999, ranks as usize, false)))
                .collect();
            let sum: i64 = operands.iter().map(|&operand| i64::from(operand)).sum();
            assert_eq!(i8::reduce(Op::Sum, &operands).map(i64::from), Some(sum));
        }
    }
}
