//! Test values.

use half::{bf16, f16};
use warpcomm::{Complex, Located};

/// A type with test values: ordinary ones, and now and then the ones that are easy to get wrong.
pub trait Sample: Sized {
    /// The value for a random number.
    fn sample(random: u64) -> Self;

    /// One whose reductions come out the same in whatever order, and however wide the sums are.
    fn tame(random: u64) -> Self;
}

/// The test value of `rank` at `index`.
pub fn sample<T: Sample>(salt: u64, rank: usize, index: usize) -> T {
    T::sample(mixed(salt ^ mixed(rank as u64 ^ mixed(index as u64))))
}

/// A random number from a number: the finalizer of splitmix64.
pub fn mixed(number: u64) -> u64 {
    let mut z = number.wrapping_add(0x9E37_79B9_7F4A_7C15);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

macro_rules! integers {
    ($($type:ty)*) => {$(
        impl Sample for $type {
            fn sample(random: u64) -> $type {
                // Zeros often enough for logical operations to give both results.
                if random % 5 == 0 { 0 } else { (random >> 8) as $type }
            }

            fn tame(random: u64) -> $type {
                // MPI gives back the only operand of a logical operation as it is.
                (random % 2) as $type
            }
        }
    )*};
}
integers!(i8 i16 i32 i64 u8 u16 u32 u64);

impl Sample for bool {
    fn sample(random: u64) -> bool {
        !(random >> 8).is_multiple_of(4)
    }

    fn tame(random: u64) -> bool {
        bool::sample(random)
    }
}

/// A finite number whose sums depend on the order of the additions.
fn finite(random: u64) -> f64 {
    let mantissa = (random >> 12) as f64 / (1u64 << 51) as f64 - 1.0;
    mantissa * 2f64.powi((random % 11) as i32 - 4)
}

macro_rules! floats {
    ($($type:ty: $bits:ty, $round:expr;)*) => {$(
        impl Sample for $type {
            fn sample(random: u64) -> $type {
                let bits = (random >> 8) as $bits;
                let sign = bits & !(<$bits>::MAX >> 1);
                let infinity = <$type>::INFINITY.to_bits();
                match random % 64 {
                    0 => <$type>::from_bits(sign | infinity | (bits & !infinity).max(1)),
                    1 => <$type>::from_bits(sign | infinity),
                    2 | 3 => <$type>::from_bits(sign),
                    4 => <$type>::from_bits(bits & !infinity),
                    5 => <$type>::from_bits(bits),
                    _ => $round(finite(mixed(random))),
                }
            }

            fn tame(random: u64) -> $type {
                $round((random % 4) as f64 - 1.0)
            }
        }
    )*};
}

floats! {
    f16: u16, f16::from_f64;
    bf16: u16, bf16::from_f64;
    f32: u32, |number: f64| number as f32;
    f64: u64, |number: f64| number;
}

impl<T: Sample + From<u8>> Sample for Complex<T> {
    fn sample(random: u64) -> Complex<T> {
        Complex {
            re: T::sample(mixed(random ^ 1)),
            im: T::sample(mixed(random ^ 2)),
        }
    }

    fn tame(random: u64) -> Complex<T> {
        // Products of these have no zeros, whose signs would depend on the order.
        Complex {
            re: T::from(2 + 2 * (random % 2) as u8),
            im: T::from(1),
        }
    }
}

macro_rules! located {
    ($($value:ty, $index:ty;)*) => {$(
        impl Sample for Located<$value, $index> {
            fn sample(random: u64) -> Self {
                // Few different values, so that ties are common.
                let value = <$value>::sample(mixed(random % 3));
                let value = if random % 7 == 0 { <$value>::sample(mixed(random)) } else { value };
                Located { value, index: (random >> 16) as $index }
            }

            fn tame(random: u64) -> Self {
                // MPI's indices have a sign.
                Located { value: <$value>::tame(random), index: (random >> 40) as $index }
            }
        }
    )*};
}
located!(f32, u32; f64, u64; i32, u32; i64, u64; u32, u32; u64, u64;);
