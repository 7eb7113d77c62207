//! Binary floating point with every rounding mode, exactly: for the formats and modes that the host lacks.

/// Round to nearest, ties to even.
pub const NEAREST: u8 = 0;
/// Round towards zero.
pub const ZERO: u8 = 1;
/// Round towards minus infinity.
pub const DOWN: u8 = 2;
/// Round towards plus infinity.
pub const UP: u8 = 3;
/// Round to nearest, ties away from zero.
pub const AWAY: u8 = 4;

/// A binary floating-point format, its values in the low bits of a u64.
pub trait Format {
    /// The bits of the exponent.
    const EXPONENT: u32;
    /// The bits of the mantissa, without the implicit one.
    const MANTISSA: u32;
    /// The NaN that operations give. NVIDIA's is all ones but the sign in the formats up to 32 bits.
    const NAN: u64;

    const SIGN: u64 = 1 << (Self::EXPONENT + Self::MANTISSA);
    const INFINITY: u64 = ((1 << Self::EXPONENT) - 1) << Self::MANTISSA;
    const BIAS: i32 = (1 << (Self::EXPONENT - 1)) - 1;
    const ONE: u64 = (Self::BIAS as u64) << Self::MANTISSA;
}

pub struct F16;
pub struct Bf16;
pub struct F32;
pub struct F64;

impl Format for F16 {
    const EXPONENT: u32 = 5;
    const MANTISSA: u32 = 10;
    const NAN: u64 = 0x7fff;
}

impl Format for Bf16 {
    const EXPONENT: u32 = 8;
    const MANTISSA: u32 = 7;
    const NAN: u64 = 0x7fff;
}

impl Format for F32 {
    const EXPONENT: u32 = 8;
    const MANTISSA: u32 = 23;
    const NAN: u64 = 0x7fff_ffff;
}

impl Format for F64 {
    const EXPONENT: u32 = 11;
    const MANTISSA: u32 = 52;
    // CUDA's own constant for it, CUDART_NAN, has the sign set.
    const NAN: u64 = 0xfff8_0000_0000_0000;
}

/// A number without an infinity: `±significand * 2^exponent`.
#[derive(Clone, Copy, Debug)]
pub struct Exact {
    pub negative: bool,
    pub exponent: i32,
    pub significand: u128,
}

pub fn is_nan<F: Format>(bits: u64) -> bool {
    bits & (F::SIGN - 1) > F::INFINITY
}

pub fn is_infinite<F: Format>(bits: u64) -> bool {
    bits & (F::SIGN - 1) == F::INFINITY
}

pub fn is_zero<F: Format>(bits: u64) -> bool {
    bits & (F::SIGN - 1) == 0
}

pub fn is_subnormal<F: Format>(bits: u64) -> bool {
    let magnitude = bits & (F::SIGN - 1);
    magnitude != 0 && magnitude >> F::MANTISSA == 0
}

pub fn is_negative<F: Format>(bits: u64) -> bool {
    bits & F::SIGN != 0
}

/// Subnormal numbers become zero, with their sign.
pub fn flush<F: Format>(bits: u64) -> u64 {
    if is_subnormal::<F>(bits) {
        bits & F::SIGN
    } else {
        bits
    }
}

/// The number that `bits` stands for; they must be finite.
pub fn unpack<F: Format>(bits: u64) -> Exact {
    let mantissa = bits & ((1 << F::MANTISSA) - 1);
    let exponent = ((bits & (F::SIGN - 1)) >> F::MANTISSA) as i32;
    let (significand, exponent) = if exponent == 0 {
        (mantissa, 1)
    } else {
        (mantissa | 1 << F::MANTISSA, exponent)
    };
    Exact {
        negative: is_negative::<F>(bits),
        exponent: exponent - F::BIAS - F::MANTISSA as i32,
        significand: significand.into(),
    }
}

/// Whether rounding the magnitude `kept`, of which `remainder` of `2 * half` was cut off, increments it.
fn increments(mode: u8, negative: bool, kept: u128, remainder: u128, half: u128) -> bool {
    match mode {
        NEAREST => remainder > half || remainder == half && kept & 1 == 1,
        AWAY => remainder >= half,
        DOWN => negative && remainder != 0,
        UP => !negative && remainder != 0,
        _ => false,
    }
}

/// `value / 2^shift`, rounded to an integer.
fn shifted(value: u128, shift: i32, mode: u8, negative: bool) -> u128 {
    if shift <= 0 {
        return value << -shift;
    }
    // Farther than this nothing but whether there was something matters.
    let (value, shift) = if shift > 126 {
        (u128::from(value != 0), 126)
    } else {
        (value, shift)
    };
    let (kept, remainder) = (value >> shift, value & ((1 << shift) - 1));
    kept + u128::from(increments(mode, negative, kept, remainder, 1 << (shift - 1)))
}

/// The nearest value of the format in a rounding mode.
pub fn round<F: Format>(exact: Exact, mode: u8) -> u64 {
    let sign = if exact.negative { F::SIGN } else { 0 };
    if exact.significand == 0 {
        return sign;
    }
    let top = 127 - exact.significand.leading_zeros() as i32;
    let leading = (exact.exponent + top).max(1 - F::BIAS);
    let last = leading - F::MANTISSA as i32;
    if leading > F::BIAS {
        return overflow::<F>(exact.negative, mode);
    }
    let kept = shifted(exact.significand, last - exact.exponent, mode, exact.negative) as u64;
    // The implicit one of `kept` adds the one that is subtracted from the exponent; subnormal numbers have none.
    let bits = ((leading + F::BIAS - 1) as u64) << F::MANTISSA;
    if bits + kept >= F::INFINITY {
        return overflow::<F>(exact.negative, mode);
    }
    sign | (bits + kept)
}

fn overflow<F: Format>(negative: bool, mode: u8) -> u64 {
    let sign = if negative { F::SIGN } else { 0 };
    let infinite = match mode {
        ZERO => false,
        DOWN => negative,
        UP => !negative,
        _ => true,
    };
    sign | if infinite { F::INFINITY } else { F::INFINITY - 1 }
}

/// Moves the leading one to bit `top`; the significand must fit below it.
fn normalize(exact: Exact, top: u32) -> Exact {
    let shift = exact.significand.leading_zeros() as i32 - (127 - top as i32);
    Exact {
        significand: exact.significand << shift,
        exponent: exact.exponent - shift,
        ..exact
    }
}

/// The sum of two numbers of at most 106 bits, right to all bits that any rounding asks for.
fn sum(a: Exact, b: Exact, mode: u8) -> Exact {
    if a.significand == 0 || b.significand == 0 {
        let zeros = a.significand == b.significand;
        let other = if a.significand == 0 { b } else { a };
        let negative = if zeros && a.negative != b.negative {
            mode == DOWN
        } else {
            other.negative
        };
        return Exact { negative, ..other };
    }
    let (a, b) = (normalize(a, 125), normalize(b, 125));
    let (high, low) = if a.exponent >= b.exponent { (a, b) } else { (b, a) };
    let shift = (high.exponent - low.exponent) as u32;
    let aligned = if shift > 126 {
        1
    } else {
        low.significand >> shift | u128::from(low.significand & ((1 << shift) - 1) != 0)
    };
    if high.negative == low.negative {
        return Exact {
            significand: high.significand + aligned,
            ..high
        };
    }
    match high.significand.cmp(&aligned) {
        std::cmp::Ordering::Equal => Exact {
            negative: mode == DOWN,
            significand: 0,
            exponent: 0,
        },
        std::cmp::Ordering::Greater => Exact {
            significand: high.significand - aligned,
            ..high
        },
        std::cmp::Ordering::Less => Exact {
            negative: low.negative,
            significand: aligned - high.significand,
            ..high
        },
    }
}

pub fn add<F: Format>(a: u64, b: u64, mode: u8) -> u64 {
    if is_nan::<F>(a) || is_nan::<F>(b) {
        return F::NAN;
    }
    match (is_infinite::<F>(a), is_infinite::<F>(b)) {
        (true, true) if a != b => F::NAN,
        (true, _) => a,
        (_, true) => b,
        _ => round::<F>(sum(unpack::<F>(a), unpack::<F>(b), mode), mode),
    }
}

fn product(a: Exact, b: Exact) -> Exact {
    Exact {
        negative: a.negative != b.negative,
        exponent: a.exponent + b.exponent,
        significand: a.significand * b.significand,
    }
}

pub fn mul<F: Format>(a: u64, b: u64, mode: u8) -> u64 {
    if is_nan::<F>(a) || is_nan::<F>(b) {
        return F::NAN;
    }
    if is_infinite::<F>(a) || is_infinite::<F>(b) {
        let undefined = is_zero::<F>(a) || is_zero::<F>(b);
        return if undefined {
            F::NAN
        } else {
            (a ^ b) & F::SIGN | F::INFINITY
        };
    }
    round::<F>(product(unpack::<F>(a), unpack::<F>(b)), mode)
}

/// `a * b + c`, rounded once.
pub fn fma<F: Format>(a: u64, b: u64, c: u64, mode: u8) -> u64 {
    if is_nan::<F>(a) || is_nan::<F>(b) || is_nan::<F>(c) {
        return F::NAN;
    }
    if is_infinite::<F>(a) || is_infinite::<F>(b) {
        let sign = (a ^ b) & F::SIGN;
        let undefined = is_zero::<F>(a) || is_zero::<F>(b) || is_infinite::<F>(c) && c & F::SIGN != sign;
        return if undefined { F::NAN } else { sign | F::INFINITY };
    }
    if is_infinite::<F>(c) {
        return c;
    }
    round::<F>(
        sum(product(unpack::<F>(a), unpack::<F>(b)), unpack::<F>(c), mode),
        mode,
    )
}

pub fn div<F: Format>(a: u64, b: u64, mode: u8) -> u64 {
    let sign = (a ^ b) & F::SIGN;
    if is_nan::<F>(a)
        || is_nan::<F>(b)
        || is_infinite::<F>(a) && is_infinite::<F>(b)
        || is_zero::<F>(a) && is_zero::<F>(b)
    {
        return F::NAN;
    }
    if is_infinite::<F>(a) || is_zero::<F>(b) {
        return sign | F::INFINITY;
    }
    if is_infinite::<F>(b) || is_zero::<F>(a) {
        return sign;
    }
    let (a, b) = (normalize(unpack::<F>(a), 126), normalize(unpack::<F>(b), 60));
    let quotient = a.significand / b.significand;
    let inexact = a.significand % b.significand != 0;
    round::<F>(
        Exact {
            negative: sign != 0,
            exponent: a.exponent - b.exponent - 1,
            significand: quotient << 1 | u128::from(inexact),
        },
        mode,
    )
}

pub fn sqrt<F: Format>(a: u64, mode: u8) -> u64 {
    if is_zero::<F>(a) {
        return a;
    }
    if is_nan::<F>(a) || is_negative::<F>(a) {
        return F::NAN;
    }
    if is_infinite::<F>(a) {
        return a;
    }
    let mut a = normalize(unpack::<F>(a), 125);
    if a.exponent % 2 != 0 {
        a = Exact {
            significand: a.significand << 1,
            exponent: a.exponent - 1,
            ..a
        };
    }
    let root = a.significand.isqrt();
    round::<F>(
        Exact {
            negative: false,
            exponent: a.exponent / 2 - 1,
            significand: root << 1 | u128::from(root * root != a.significand),
        },
        mode,
    )
}

/// A value of one format in another.
pub fn convert<From: Format, To: Format>(a: u64, mode: u8) -> u64 {
    if is_nan::<From>(a) {
        To::NAN
    } else if is_infinite::<From>(a) {
        To::INFINITY | if is_negative::<From>(a) { To::SIGN } else { 0 }
    } else {
        round::<To>(unpack::<From>(a), mode)
    }
}

/// The integral value near `a`, in the same format.
pub fn integral<F: Format>(a: u64, mode: u8) -> u64 {
    if is_nan::<F>(a) {
        return F::NAN;
    }
    let exact = unpack::<F>(a);
    if is_infinite::<F>(a) || exact.exponent >= 0 {
        return a;
    }
    let significand = shifted(exact.significand, -exact.exponent, mode, exact.negative);
    round::<F>(
        Exact {
            significand,
            exponent: 0,
            ..exact
        },
        NEAREST,
    )
}

/// The integer near `a`, held within `least` and `greatest`; `a` must not be NaN.
pub fn to_integer<F: Format>(a: u64, mode: u8, least: i128, greatest: i128) -> i128 {
    let negative = is_negative::<F>(a);
    let exact = unpack::<F>(a);
    let magnitude = if is_infinite::<F>(a) || exact.significand != 0 && exact.exponent > 66 {
        1 << 100
    } else {
        shifted(exact.significand, -exact.exponent, mode, negative) as i128
    };
    (if negative { -magnitude } else { magnitude }).clamp(least, greatest)
}

/// An integer in a format.
pub fn from_integer<F: Format>(value: i128, mode: u8) -> u64 {
    round::<F>(
        Exact {
            negative: value < 0,
            exponent: 0,
            significand: value.unsigned_abs(),
        },
        mode,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bits of a float32 that are special as often as not.
    fn sample(state: &mut u64) -> u32 {
        *state = state
            .wrapping_mul(6364136223846793005)
            .wrapping_add(1442695040888963407);
        let bits = (*state >> 32) as u32;
        match *state >> 28 & 7 {
            0 => bits & 0x8000_0003,
            1 => bits & 0x80ff_ffff,
            2 => bits & 0x8000_0000 | (0x7f80_0000 - (bits & 1)),
            3 => bits & 0x8000_0000 | 0x3f80_0000 | bits & 0x1ff,
            _ => bits,
        }
    }

    fn same(exact: u64, host: f32) -> bool {
        if host.is_nan() {
            exact == F32::NAN
        } else {
            exact == u64::from(host.to_bits())
        }
    }

    #[test]
    fn nearest_is_what_the_host_computes() {
        let mut state = 1;
        for _ in 0..300_000 {
            let [a, b, c] = [(); 3].map(|()| sample(&mut state));
            let [x, y, z] = [a, b, c].map(f32::from_bits);
            let [a, b, c] = [a, b, c].map(u64::from);
            assert!(same(add::<F32>(a, b, NEAREST), x + y), "{x} + {y}");
            assert!(same(mul::<F32>(a, b, NEAREST), x * y), "{x} * {y}");
            assert!(same(div::<F32>(a, b, NEAREST), x / y), "{x} / {y}");
            assert!(same(sqrt::<F32>(a, NEAREST), x.sqrt()), "sqrt {x}");
            assert!(
                same(fma::<F32>(a, b, c, NEAREST), x.mul_add(y, z)),
                "{x} * {y} + {z}"
            );
            assert!(same(integral::<F32>(a, NEAREST), x.round_ties_even()), "rint {x}");
            assert!(same(integral::<F32>(a, UP), x.ceil()), "ceil {x}");
            assert!(same(integral::<F32>(a, DOWN), x.floor()), "floor {x}");
            assert!(same(integral::<F32>(a, ZERO), x.trunc()), "trunc {x}");
            let wide = f64::from(x) * 1.000_000_06 * f64::from(y);
            assert!(
                same(convert::<F64, F32>(wide.to_bits(), NEAREST), wide as f32),
                "{wide}"
            );
            if !x.is_nan() {
                assert_eq!(
                    to_integer::<F32>(a, ZERO, i64::MIN.into(), i64::MAX.into()),
                    (x as i64).into()
                );
            }
            assert!(same(
                from_integer::<F32>((state as i64).into(), NEAREST),
                state as i64 as f32
            ));
        }
    }

    #[test]
    fn doubles_are_what_the_host_computes() {
        let mut state = 7;
        for _ in 0..100_000 {
            let [x, y, z] = [(); 3].map(|()| {
                let high = u64::from(sample(&mut state)) << 32;
                f64::from_bits(high | u64::from(sample(&mut state)))
            });
            let [a, b, c] = [x, y, z].map(f64::to_bits);
            let same = |exact: u64, host: f64| exact == if host.is_nan() { F64::NAN } else { host.to_bits() };
            assert!(same(add::<F64>(a, b, NEAREST), x + y), "{x} + {y}");
            assert!(same(mul::<F64>(a, b, NEAREST), x * y), "{x} * {y}");
            assert!(same(div::<F64>(a, b, NEAREST), x / y), "{x} / {y}");
            assert!(same(sqrt::<F64>(a, NEAREST), x.sqrt()), "sqrt {x}");
            assert!(
                same(fma::<F64>(a, b, c, NEAREST), x.mul_add(y, z)),
                "{x} * {y} + {z}"
            );
        }
    }

    #[test]
    fn directed_modes_enclose() {
        let mut state = 3;
        for _ in 0..100_000 {
            let [a, b] = [(); 2].map(|()| u64::from(sample(&mut state)));
            let [down, up, zero, nearest] =
                [DOWN, UP, ZERO, NEAREST].map(|mode| f32::from_bits(mul::<F32>(a, b, mode) as u32));
            if nearest.is_nan() {
                continue;
            }
            let exact = f64::from(f32::from_bits(a as u32)) * f64::from(f32::from_bits(b as u32));
            assert!(
                f64::from(down) <= exact && exact <= f64::from(up),
                "{down} {exact} {up}"
            );
            assert!(zero.to_bits() == if exact < 0.0 { up } else { down }.to_bits());
            assert!(nearest == down || nearest == up);
        }
    }

    #[test]
    fn halves_round_once() {
        assert_eq!(
            convert::<F32, F16>(f32::to_bits(65519.996).into(), NEAREST),
            0x7bff
        );
        assert_eq!(convert::<F32, F16>(f32::to_bits(65520.0).into(), NEAREST), 0x7c00);
        assert_eq!(convert::<F32, F16>(f32::to_bits(1e9).into(), ZERO), 0x7bff);
        assert_eq!(convert::<F32, Bf16>(0x3f80_8000, NEAREST), 0x3f80);
        assert_eq!(convert::<F32, Bf16>(0x3f80_8001, NEAREST), 0x3f81);
        assert_eq!(convert::<F32, F16>(0x3380_0000, NEAREST), 1);
        assert_eq!(convert::<F32, F16>(0x3300_0000, NEAREST), 0);
        assert_eq!(convert::<F32, F16>(0x3300_0001, NEAREST), 1);
    }
}
