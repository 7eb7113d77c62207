//! 16-bit floats, whose accumulator is `f32`.
//!
//! The conversions of the crate `half` are calls of a function per element, or for a few. These are a
//! few instructions without a branch, which a loop turns into vector instructions; a sum of two
//! buffers takes less than half the time. The tests compare the two.

use half::{bf16, f16};

use super::value::{Truth, Value};
use crate::dtype::each_type;

/// The place of the exponent's last bit in `f32`.
const EXPONENT: u32 = 23;
/// What the exponent of `f16` lacks in comparison with that of `f32`.
const REBIAS: u32 = (127 - 15) << EXPONENT;
/// How many bits the fraction of `f32` is longer than that of `f16`.
const FRACTION: u32 = 23 - 10;
/// 2^-14, the smallest normal number of `f16`.
const SMALLEST_NORMAL: u32 = (127 - 14) << EXPONENT;
/// 2^16, which and all above is infinite in `f16`.
const FIRST_INFINITE: u32 = (127 + 16) << EXPONENT;
const INFINITY: u32 = 255 << EXPONENT;
const MAGNITUDE: u32 = 0x7FFF_FFFF;

impl Value for f16 {
    type Accumulator = f32;

    #[inline(always)]
    fn widen(self) -> f32 {
        let bits = u32::from(self.to_bits());
        let sign = (bits & 0x8000) << 16;
        let magnitude = (bits & 0x7FFF) << FRACTION;
        // The largest exponent, of infinity and NaN, has to become the largest again.
        let is_finite = magnitude < 31 << EXPONENT;
        let normal = magnitude + if is_finite { REBIAS } else { 2 * REBIAS };
        // The exponent 0 stands for -14 with no leading one: an exact subtraction takes it away.
        let with_one = f32::from_bits(magnitude.wrapping_add(SMALLEST_NORMAL));
        let subnormal = (with_one - f32::from_bits(SMALLEST_NORMAL)).to_bits();
        let is_subnormal = magnitude < 1 << EXPONENT;
        f32::from_bits(sign | if is_subnormal { subnormal } else { normal })
    }

    #[inline(always)]
    fn round(accumulator: f32) -> f16 {
        let bits = accumulator.to_bits();
        let sign = bits >> 16 & 0x8000;
        let magnitude = bits & MAGNITUDE;
        let normal = round_off(magnitude.wrapping_sub(REBIAS), FRACTION);
        // The last place of 0.5 in `f32` is the smallest number of `f16`, so that the addition
        // rounds to its multiples and leaves their count in the last bits.
        let subnormal = (f32::from_bits(magnitude) + 0.5)
            .to_bits()
            .wrapping_sub(0.5f32.to_bits());
        let finite = if magnitude < SMALLEST_NORMAL {
            subnormal
        } else {
            normal
        };
        let number = sign
            | if magnitude < FIRST_INFINITE {
                finite
            } else {
                0x7C00
            };
        f16::from_bits(if magnitude > INFINITY { 0x7E00 } else { number } as u16)
    }
}

impl Value for bf16 {
    type Accumulator = f32;

    #[inline(always)]
    fn widen(self) -> f32 {
        f32::from_bits(u32::from(self.to_bits()) << 16)
    }

    #[inline(always)]
    fn round(accumulator: f32) -> bf16 {
        let number = round_off(accumulator.to_bits(), 16);
        bf16::from_bits(if accumulator.is_nan() { 0x7FC0 } else { number } as u16)
    }
}

/// Drops the last `places` bits, rounding to the nearest, ties to even.
///
/// A carry out of the fraction goes into the exponent, as it should.
#[inline(always)]
fn round_off(bits: u32, places: u32) -> u32 {
    let just_below_half = (1 << (places - 1)) - 1;
    let last_bit_kept = bits >> places & 1;
    bits.wrapping_add(just_below_half + last_bit_kept) >> places
}

macro_rules! truth {
    ($type:ty) => {
        impl Truth for $type {
            #[inline(always)]
            fn is_true(self) -> bool {
                // Without the sign, no bit of zero is set, and of all else one is.
                self.to_bits() << 1 != 0
            }

            #[inline(always)]
            fn from_truth(truth: bool) -> $type {
                if truth { <$type>::ONE } else { <$type>::ZERO }
            }
        }
    };
}
each_type!(Half: truth);

#[cfg(test)]
mod tests {
    use super::*;

    /// The finite numbers of a type, the points half way between neighbours and beyond the last, and
    /// on both sides of each of these the next `f32`.
    fn boundaries(numbers: impl Iterator<Item = f32>) -> impl Iterator<Item = f32> {
        let mut numbers: Vec<f32> = numbers.filter(|number| number.is_finite()).collect();
        numbers.sort_by(f32::total_cmp);
        let mut points: Vec<f32> = numbers
            .windows(2)
            .map(|pair| pair[0] / 2.0 + pair[1] / 2.0)
            .collect();
        let largest = numbers[numbers.len() - 1];
        let overflow = largest + (largest - numbers[numbers.len() - 2]) / 2.0;
        points.extend([
            overflow,
            -overflow,
            f32::MIN,
            f32::MAX,
            f32::INFINITY,
            f32::NEG_INFINITY,
        ]);
        points.extend(numbers);
        let neighbours = |point: f32| [-1, 0, 1].map(|step| point.to_bits().wrapping_add_signed(step));
        points
            .into_iter()
            .flat_map(neighbours)
            .map(f32::from_bits)
            .filter(|number| !number.is_nan())
    }

    #[test]
    fn f16_converts_as_in_the_crate_half() {
        let all = (0..=u16::MAX).map(f16::from_bits);
        for number in all.clone().filter(|number| !number.is_nan()) {
            assert_eq!(
                number.widen().to_bits(),
                number.to_f32_const().to_bits(),
                "{:#06X}",
                number.to_bits()
            );
        }
        for number in boundaries(all.clone().map(f16::to_f32_const)) {
            assert_eq!(
                f16::round(number).to_bits(),
                f16::from_f32_const(number).to_bits(),
                "{number:e}"
            );
        }
        for nan in all.filter(|number| number.is_nan()) {
            assert!(nan.widen().is_nan());
            assert_eq!(f16::round(nan.widen()).to_bits(), 0x7E00);
        }
    }

    #[test]
    fn bf16_converts_as_in_the_crate_half() {
        let all = (0..=u16::MAX).map(bf16::from_bits);
        for number in all.clone().filter(|number| !number.is_nan()) {
            assert_eq!(
                number.widen().to_bits(),
                number.to_f32().to_bits(),
                "{:#06X}",
                number.to_bits()
            );
        }
        for number in boundaries(all.clone().map(bf16::to_f32)) {
            assert_eq!(
                bf16::round(number).to_bits(),
                bf16::from_f32(number).to_bits(),
                "{number:e}"
            );
        }
        for nan in all.filter(|number| number.is_nan()) {
            assert!(nan.widen().is_nan());
            assert_eq!(bf16::round(nan.widen()).to_bits(), 0x7FC0);
        }
    }
}
