//! Single and double precision arithmetic.
//!
//! A NaN result is the canonical one, whatever the operands' payloads. The `.approx` forms give the correctly
//! rounded value, which lies within every bound that PTX states.

use super::{Lower, Modifiers};
use crate::ptx::LoadError;
use crate::ptx::exact::{self, F32, F64, Format, NEAREST};
use crate::ptx::program::Ternary;
use crate::ptx::syntax::Statement;
use crate::ptx::types::Type;

/// A format whose operations to nearest the host has.
trait Native: Format {
    fn add(a: u64, b: u64) -> u64;
    fn mul(a: u64, b: u64) -> u64;
    fn div(a: u64, b: u64) -> u64;
    fn fma(a: u64, b: u64, c: u64) -> u64;
    fn sqrt(a: u64) -> u64;
}

macro_rules! native {
    ($format:ident, $host:ident, $bits:ident) => {
        impl Native for $format {
            fn add(a: u64, b: u64) -> u64 {
                canonical::<Self>(
                    ($host::from_bits(a as $bits) + $host::from_bits(b as $bits))
                        .to_bits()
                        .into(),
                )
            }
            fn mul(a: u64, b: u64) -> u64 {
                canonical::<Self>(
                    ($host::from_bits(a as $bits) * $host::from_bits(b as $bits))
                        .to_bits()
                        .into(),
                )
            }
            fn div(a: u64, b: u64) -> u64 {
                canonical::<Self>(
                    ($host::from_bits(a as $bits) / $host::from_bits(b as $bits))
                        .to_bits()
                        .into(),
                )
            }
            fn fma(a: u64, b: u64, c: u64) -> u64 {
                let [a, b, c] = [a, b, c].map(|bits| $host::from_bits(bits as $bits));
                canonical::<Self>(a.mul_add(b, c).to_bits().into())
            }
            fn sqrt(a: u64) -> u64 {
                canonical::<Self>($host::from_bits(a as $bits).sqrt().to_bits().into())
            }
        }
    };
}

native!(F32, f32, u32);
native!(F64, f64, u64);

fn canonical<F: Format>(bits: u64) -> u64 {
    if exact::is_nan::<F>(bits) { F::NAN } else { bits }
}

/// Clamps to [0, 1]; NaN becomes 0.
pub fn saturate<F: Format>(bits: u64) -> u64 {
    if exact::is_nan::<F>(bits) || exact::is_negative::<F>(bits) {
        0
    } else {
        bits.min(F::ONE)
    }
}

fn before<F: Format, const FTZ: bool>(bits: u64) -> u64 {
    if FTZ { exact::flush::<F>(bits) } else { bits }
}

fn after<F: Format, const FTZ: bool, const SAT: bool>(bits: u64) -> u64 {
    let bits = before::<F, FTZ>(bits);
    if SAT { saturate::<F>(bits) } else { bits }
}

/// An operation of floating point in one mode.
macro_rules! operation {
    ($name:ident, $native:ident ($($operand:ident),*), $($unused:ident),*) => {
        fn $name<F: Native, const MODE: u8, const FTZ: bool, const SAT: bool>(
            $($operand: u64,)* $($unused: u64,)*
        ) -> u64 {
            let _ = ($($unused,)*);
            $(let $operand = before::<F, FTZ>($operand);)*
            let result = match MODE {
                NEAREST => F::$native($($operand),*),
                _ => exact::$native::<F>($($operand,)* MODE),
            };
            after::<F, FTZ, SAT>(result)
        }
    };
}

operation!(add, add(a, b), _c);
operation!(mul, mul(a, b), _c);
operation!(div, div(a, b), _c);
operation!(fma, fma(a, b, c),);
operation!(sqrt, sqrt(a), _b, _c);

fn sub<F: Native, const MODE: u8, const FTZ: bool, const SAT: bool>(a: u64, b: u64, c: u64) -> u64 {
    add::<F, MODE, FTZ, SAT>(a, b ^ F::SIGN, c)
}

fn rcp<F: Native, const MODE: u8, const FTZ: bool, const SAT: bool>(a: u64, _: u64, _: u64) -> u64 {
    div::<F, MODE, FTZ, SAT>(F::ONE, a, 0)
}

/// The instance of an operation for a type, mode and modifiers.
macro_rules! instance {
    ($f:ident, $of:expr, $mode:expr, $ftz:expr, $sat:expr) => {
        match ($of, $mode, $ftz, $sat) {
            (Type::F64, exact::NEAREST, ..) => $f::<F64, { exact::NEAREST }, false, false> as Ternary,
            (Type::F64, exact::ZERO, ..) => $f::<F64, { exact::ZERO }, false, false>,
            (Type::F64, exact::DOWN, ..) => $f::<F64, { exact::DOWN }, false, false>,
            (Type::F64, ..) => $f::<F64, { exact::UP }, false, false>,
            (_, mode, false, false) => instance!(mode, $f, false, false),
            (_, mode, true, false) => instance!(mode, $f, true, false),
            (_, mode, false, true) => instance!(mode, $f, false, true),
            (_, mode, true, true) => instance!(mode, $f, true, true),
        }
    };
    ($mode:ident, $f:ident, $ftz:literal, $sat:literal) => {
        match $mode {
            exact::NEAREST => $f::<F32, { exact::NEAREST }, $ftz, $sat> as Ternary,
            exact::ZERO => $f::<F32, { exact::ZERO }, $ftz, $sat>,
            exact::DOWN => $f::<F32, { exact::DOWN }, $ftz, $sat>,
            _ => $f::<F32, { exact::UP }, $ftz, $sat>,
        }
    };
}

/// How `min` and `max` order: -0 below +0.
fn order<F: Format>(bits: u64) -> i64 {
    let magnitude = (bits & (F::SIGN - 1)) as i64;
    if exact::is_negative::<F>(bits) {
        -magnitude - 1
    } else {
        magnitude
    }
}

/// The lesser or greater of two; a NaN gives way to a number, unless `PROPAGATE`.
pub fn extreme<F: Format, const MAX: bool, const PROPAGATE: bool>(a: u64, b: u64) -> u64 {
    match (exact::is_nan::<F>(a), exact::is_nan::<F>(b)) {
        (false, false) if (order::<F>(a) < order::<F>(b)) != MAX => a,
        (false, false) => b,
        (false, true) if !PROPAGATE => a,
        (true, false) if !PROPAGATE => b,
        _ => F::NAN,
    }
}

fn extreme_of<F: Format, const MAX: bool, const PROPAGATE: bool, const FTZ: bool>(
    a: u64,
    b: u64,
    _: u64,
) -> u64 {
    extreme::<F, MAX, PROPAGATE>(before::<F, FTZ>(a), before::<F, FTZ>(b))
}

/// The same of the magnitudes, with the sign of the product.
pub fn extreme_magnitude<F: Format, const MAX: bool, const PROPAGATE: bool, const FTZ: bool>(
    a: u64,
    b: u64,
    _: u64,
) -> u64 {
    let magnitude = !F::SIGN;
    let result = extreme_of::<F, MAX, PROPAGATE, FTZ>(a & magnitude, b & magnitude, 0);
    if exact::is_nan::<F>(result) {
        result
    } else {
        result | (a ^ b) & F::SIGN
    }
}

/// A function of the host's doubles, rounded to single precision.
fn through_double(a: u64, f: impl Fn(f64) -> f64) -> u64 {
    let result = f(f64::from(f32::from_bits(a as u32))) as f32;
    canonical::<F32>(result.to_bits().into())
}

/// An approximated function of single precision.
macro_rules! approximation {
    ($name:ident, $f:expr) => {
        fn $name<const FTZ: bool>(a: u64, _: u64, _: u64) -> u64 {
            before::<F32, FTZ>(through_double(before::<F32, FTZ>(a), $f))
        }
    };
}

approximation!(sin, f64::sin);
approximation!(cos, f64::cos);
approximation!(lg2, f64::log2);
approximation!(ex2, f64::exp2);
approximation!(tanh, f64::tanh);
approximation!(rsqrt, |a| 1.0 / a.sqrt());

fn div_approx<const FTZ: bool>(a: u64, b: u64, _: u64) -> u64 {
    let magnitude = before::<F32, FTZ>(b) & !F32::SIGN;
    // Above 2^126 the reciprocal that the hardware multiplies with is flushed to zero.
    if (0x7e80_0001..F32::INFINITY).contains(&magnitude) && !exact::is_nan::<F32>(a) {
        return if exact::is_infinite::<F32>(a) {
            F32::NAN
        } else {
            (a ^ b) & F32::SIGN
        };
    }
    div::<F32, NEAREST, FTZ, false>(a, b, 0)
}

fn rsqrt_double(a: u64, _: u64, _: u64) -> u64 {
    canonical::<F64>((1.0 / f64::from_bits(a).sqrt()).to_bits())
}

/// The 20 high bits of a reciprocal, of operands and results that are not subnormal.
fn high_word(a: u64, f: impl Fn(f64) -> f64) -> u64 {
    if exact::is_nan::<F64>(a) {
        return F64::NAN;
    }
    let a = exact::flush::<F64>(a) & !0xffff_ffff;
    canonical::<F64>(exact::flush::<F64>(f(f64::from_bits(a)).to_bits()) & !0xffff_ffff)
}

fn copysign<F: Format>(a: u64, b: u64, _: u64) -> u64 {
    b & !F::SIGN | a & F::SIGN
}

fn test<F: Format>(property: &str) -> Option<Ternary> {
    Some(match property {
        "finite" => |a, _, _| u64::from(a & (F::SIGN - 1) < F::INFINITY),
        "infinite" => |a, _, _| u64::from(exact::is_infinite::<F>(a)),
        "number" => |a, _, _| u64::from(!exact::is_nan::<F>(a)),
        "notanumber" => |a, _, _| u64::from(exact::is_nan::<F>(a)),
        "normal" => |a, _, _| {
            let finite = a & (F::SIGN - 1) < F::INFINITY;
            u64::from(finite && !exact::is_subnormal::<F>(a) && !exact::is_zero::<F>(a))
        },
        "subnormal" => |a, _, _| u64::from(exact::is_subnormal::<F>(a)),
        _ => return None,
    })
}

impl<'t> Lower<'t, '_> {
    pub fn floating(
        &mut self,
        base: &str,
        mut m: Modifiers<'t>,
        s: &'t Statement<'t>,
    ) -> Result<(), LoadError> {
        match base {
            "add" | "sub" | "mul" | "fma" | "mad" => {
                let rounding = m.rounding();
                let (ftz, sat, of) = (m.accept("ftz"), m.accept("sat"), m.of_type()?);
                m.finish()?;
                m.require(of == Type::F32 || !ftz && !sat)?;
                m.require(rounding.is_some() || !matches!(base, "fma" | "mad"))?;
                let mode = rounding.unwrap_or(NEAREST);
                let f = match base {
                    "add" => instance!(add, of, mode, ftz, sat),
                    "sub" => instance!(sub, of, mode, ftz, sat),
                    "mul" => instance!(mul, of, mode, ftz, sat),
                    _ => instance!(fma, of, mode, ftz, sat),
                };
                let sources = if matches!(base, "fma" | "mad") { 3 } else { 2 };
                self.plain(s, of, &[of; 3][..sources], f)
            }
            "div" | "rcp" | "sqrt" => self.dividing(base, m, s),
            "min" | "max" => self.extremes(base == "max", m, s),
            "abs" | "neg" => {
                let (ftz, of) = (m.accept("ftz"), m.last_type(&[Type::F32, Type::F64])?);
                m.require(of == Type::F32 || !ftz)?;
                let f: Ternary = match (base, of, ftz) {
                    ("abs", Type::F64, _) => |a, _, _| a & !F64::SIGN,
                    ("abs", _, false) => |a, _, _| a & !F32::SIGN,
                    ("abs", _, true) => |a, _, _| exact::flush::<F32>(a) & !F32::SIGN,
                    (_, Type::F64, _) => |a, _, _| a ^ F64::SIGN,
                    (_, _, false) => |a, _, _| a ^ F32::SIGN,
                    _ => |a, _, _| exact::flush::<F32>(a) ^ F32::SIGN,
                };
                self.plain(s, of, &[of], f)
            }
            "testp" => {
                let property = m.take();
                let of = m.last_type(&[Type::F32, Type::F64])?;
                let f = if of == Type::F32 {
                    test::<F32>(property)
                } else {
                    test::<F64>(property)
                };
                self.plain(s, Type::Pred, &[of], f.ok_or_else(|| m.unknown())?)
            }
            "copysign" => {
                let of = m.last_type(&[Type::F32, Type::F64])?;
                let f = if of == Type::F32 {
                    copysign::<F32>
                } else {
                    copysign::<F64>
                };
                self.plain(s, of, &[of; 2], f)
            }
            _ if s.opcode.ends_with("16") || s.opcode.ends_with("16x2") => self.half(base, m, s),
            _ => self.approximated(base, m, s),
        }
    }

    fn approximated(
        &mut self,
        base: &str,
        mut m: Modifiers<'t>,
        s: &'t Statement<'t>,
    ) -> Result<(), LoadError> {
        m.expect("approx")?;
        let ftz = base != "tanh" && m.accept("ftz");
        let of = m.last_type(&[Type::F32, Type::F64])?;
        let f: Ternary = match (base, of, ftz) {
            ("rsqrt", Type::F64, false) => rsqrt_double,
            ("rsqrt", Type::F64, true) => |a, _, _| high_word(a, |a| 1.0 / a.sqrt()),
            (_, Type::F64, _) => return Err(m.unknown()),
            ("sin", _, false) => sin::<false>,
            ("sin", _, true) => sin::<true>,
            ("cos", _, false) => cos::<false>,
            ("cos", _, true) => cos::<true>,
            ("lg2", _, false) => lg2::<false>,
            ("lg2", _, true) => lg2::<true>,
            ("ex2", _, false) => ex2::<false>,
            ("ex2", _, true) => ex2::<true>,
            ("rsqrt", _, false) => rsqrt::<false>,
            ("rsqrt", _, true) => rsqrt::<true>,
            ("tanh", ..) => tanh::<false>,
            _ => return Err(m.unknown()),
        };
        self.plain(s, of, &[of], f)
    }

    fn dividing(&mut self, base: &str, mut m: Modifiers<'t>, s: &'t Statement<'t>) -> Result<(), LoadError> {
        let approximate = m.accept_any(&["approx", "full"]);
        let rounding = m.rounding();
        let ftz = m.accept("ftz");
        let of = m.last_type(&[Type::F32, Type::F64])?;
        m.require(approximate.is_some() != rounding.is_some())?;
        let mode = rounding.unwrap_or(NEAREST);
        let f = match (base, approximate, of) {
            ("rcp", Some("approx"), Type::F64) if ftz => |a, _, _| high_word(a, |a| 1.0 / a),
            (_, _, Type::F64) if ftz || approximate.is_some() => return Err(m.unknown()),
            ("div", Some("approx"), _) if ftz => div_approx::<true>,
            ("div", Some("approx"), _) => div_approx::<false>,
            ("div", ..) => instance!(div, of, mode, ftz, false),
            (_, Some("full"), _) => return Err(m.unknown()),
            ("rcp", ..) => instance!(rcp, of, mode, ftz, false),
            _ => instance!(sqrt, of, mode, ftz, false),
        };
        let sources = if base == "div" { 2 } else { 1 };
        self.plain(s, of, &[of; 2][..sources], f)
    }

    fn extremes(&mut self, max: bool, mut m: Modifiers<'t>, s: &'t Statement<'t>) -> Result<(), LoadError> {
        let (ftz, nan) = (m.accept("ftz"), m.accept("NaN"));
        let xorsign = m.accept("xorsign");
        if xorsign {
            m.expect("abs")?;
        }
        let of = m.last_type(&[Type::F32, Type::F64])?;
        m.require(of == Type::F32 || !ftz && !nan && !xorsign)?;
        macro_rules! instances {
            ($f:ident) => {
                match (max, nan, ftz) {
                    (false, false, false) => $f::<F32, false, false, false> as Ternary,
                    (false, false, true) => $f::<F32, false, false, true>,
                    (false, true, false) => $f::<F32, false, true, false>,
                    (false, true, true) => $f::<F32, false, true, true>,
                    (true, false, false) => $f::<F32, true, false, false>,
                    (true, false, true) => $f::<F32, true, false, true>,
                    (true, true, false) => $f::<F32, true, true, false>,
                    (true, true, true) => $f::<F32, true, true, true>,
                }
            };
        }
        let f: Ternary = match (of, max) {
            (Type::F64, false) => extreme_of::<F64, false, false, false>,
            (Type::F64, true) => extreme_of::<F64, true, false, false>,
            _ if xorsign => instances!(extreme_magnitude),
            _ => instances!(extreme_of),
        };
        self.plain(s, of, &[of; 2], f)
    }
}
