//! Half precision and bfloat16 arithmetic, one value or two packed ones.

use super::floating::{extreme, extreme_magnitude, saturate};
use super::{Lower, Modifiers};
use crate::ptx::LoadError;
use crate::ptx::exact::{self, Bf16, F16, F32, Format, NEAREST};
use crate::ptx::number::halves;
use crate::ptx::program::Ternary;
use crate::ptx::syntax::Statement;
use crate::ptx::types::Type;

/// What an operation does beside computing.
const NONE: u8 = 0;
const FTZ: u8 = 1;
const SAT: u8 = 2;
const FTZ_SAT: u8 = 3;
const RELU: u8 = 4;
const FTZ_RELU: u8 = 5;

fn before<F: Format, const WITH: u8>(bits: u64) -> u64 {
    if WITH & FTZ != 0 {
        exact::flush::<F>(bits)
    } else {
        bits
    }
}

fn after<F: Format, const WITH: u8>(bits: u64) -> u64 {
    let bits = before::<F, WITH>(bits);
    if WITH & SAT != 0 {
        saturate::<F>(bits)
    } else if WITH & RELU != 0 {
        relu::<F>(bits)
    } else {
        bits
    }
}

/// Negative numbers become +0.
pub fn relu<F: Format>(bits: u64) -> u64 {
    if exact::is_negative::<F>(bits) && !exact::is_nan::<F>(bits) {
        0
    } else {
        bits
    }
}

fn add<F: Format, const WITH: u8>(a: u64, b: u64, _: u64) -> u64 {
    after::<F, WITH>(exact::add::<F>(
        before::<F, WITH>(a),
        before::<F, WITH>(b),
        NEAREST,
    ))
}
fn sub<F: Format, const WITH: u8>(a: u64, b: u64, _: u64) -> u64 {
    add::<F, WITH>(a, b ^ F::SIGN, 0)
}
fn mul<F: Format, const WITH: u8>(a: u64, b: u64, _: u64) -> u64 {
    after::<F, WITH>(exact::mul::<F>(
        before::<F, WITH>(a),
        before::<F, WITH>(b),
        NEAREST,
    ))
}
fn fma<F: Format, const WITH: u8>(a: u64, b: u64, c: u64) -> u64 {
    let [a, b, c] = [a, b, c].map(before::<F, WITH>);
    after::<F, WITH>(exact::fma::<F>(a, b, c, NEAREST))
}
fn neg<F: Format, const WITH: u8>(a: u64, _: u64, _: u64) -> u64 {
    before::<F, WITH>(a) ^ F::SIGN
}
fn abs<F: Format, const WITH: u8>(a: u64, _: u64, _: u64) -> u64 {
    before::<F, WITH>(a) & !F::SIGN
}
fn min<F: Format, const WITH: u8>(a: u64, b: u64, _: u64) -> u64 {
    extreme::<F, false, false>(before::<F, WITH>(a), before::<F, WITH>(b))
}
fn max<F: Format, const WITH: u8>(a: u64, b: u64, _: u64) -> u64 {
    extreme::<F, true, false>(before::<F, WITH>(a), before::<F, WITH>(b))
}
fn min_nan<F: Format, const WITH: u8>(a: u64, b: u64, _: u64) -> u64 {
    extreme::<F, false, true>(before::<F, WITH>(a), before::<F, WITH>(b))
}
fn max_nan<F: Format, const WITH: u8>(a: u64, b: u64, _: u64) -> u64 {
    extreme::<F, true, true>(before::<F, WITH>(a), before::<F, WITH>(b))
}

fn min_magnitude<F: Format, const WITH: u8>(a: u64, b: u64, c: u64) -> u64 {
    extreme_magnitude::<F, false, false, false>(before::<F, WITH>(a), before::<F, WITH>(b), c)
}
fn max_magnitude<F: Format, const WITH: u8>(a: u64, b: u64, c: u64) -> u64 {
    extreme_magnitude::<F, true, false, false>(before::<F, WITH>(a), before::<F, WITH>(b), c)
}
fn min_nan_magnitude<F: Format, const WITH: u8>(a: u64, b: u64, c: u64) -> u64 {
    extreme_magnitude::<F, false, true, false>(before::<F, WITH>(a), before::<F, WITH>(b), c)
}
fn max_nan_magnitude<F: Format, const WITH: u8>(a: u64, b: u64, c: u64) -> u64 {
    extreme_magnitude::<F, true, true, false>(before::<F, WITH>(a), before::<F, WITH>(b), c)
}

/// A function of the host's doubles, rounded once more.
fn through_double<F: Format>(a: u64, f: impl Fn(f64) -> f64) -> u64 {
    let single = f32::from_bits(exact::convert::<F, F32>(a, NEAREST) as u32);
    exact::convert::<exact::F64, F>(f(single.into()).to_bits(), NEAREST)
}
fn tanh<F: Format, const WITH: u8>(a: u64, _: u64, _: u64) -> u64 {
    through_double::<F>(a, f64::tanh)
}
fn ex2<F: Format, const WITH: u8>(a: u64, _: u64, _: u64) -> u64 {
    after::<F, WITH>(through_double::<F>(before::<F, WITH>(a), f64::exp2))
}

/// The instance of an operation for a type and what else it does.
macro_rules! instance {
    ($f:ident, $of:expr, $with:expr) => {
        match $with {
            NONE => instance!(of $f, $of, NONE),
            FTZ => instance!(of $f, $of, FTZ),
            SAT => instance!(of $f, $of, SAT),
            FTZ_SAT => instance!(of $f, $of, FTZ_SAT),
            RELU => instance!(of $f, $of, RELU),
            _ => instance!(of $f, $of, FTZ_RELU),
        }
    };
    (of $f:ident, $of:expr, $with:ident) => {
        match $of {
            Type::F16 => $f::<F16, $with> as Ternary,
            Type::Bf16 => $f::<Bf16, $with>,
            Type::F16x2 => |a, b, c| halves(a, b, c, $f::<F16, $with>),
            _ => |a, b, c| halves(a, b, c, $f::<Bf16, $with>),
        }
    };
}

/// The update of an atomic addition.
pub fn atomic_add(of: Type) -> Ternary {
    instance!(add, of, NONE)
}

/// The update of an atomic minimum or maximum.
pub fn atomic_extreme(of: Type, max_wanted: bool) -> Ternary {
    if max_wanted {
        instance!(max, of, NONE)
    } else {
        instance!(min, of, NONE)
    }
}

impl<'t> Lower<'t, '_> {
    pub fn half(&mut self, base: &str, mut m: Modifiers<'t>, s: &'t Statement<'t>) -> Result<(), LoadError> {
        let computes = matches!(base, "add" | "sub" | "mul" | "fma");
        if matches!(base, "tanh" | "ex2") {
            m.expect("approx")?;
        }
        let rounded = computes && m.accept("rn");
        let ftz = base != "tanh" && m.accept("ftz");
        let nan = matches!(base, "min" | "max") && m.accept("NaN");
        let magnitude = matches!(base, "min" | "max") && m.accept("xorsign");
        if magnitude {
            m.expect("abs")?;
        }
        let sat = computes && m.accept("sat");
        let relu = base == "fma" && m.accept("relu");
        let of = m.last_type(&[Type::F16, Type::F16x2, Type::Bf16, Type::Bf16x2])?;
        let bfloat = matches!(of, Type::Bf16 | Type::Bf16x2);
        m.require(base != "fma" || rounded)?;
        m.require(!sat || !relu && !bfloat)?;
        // The exponential of bfloat16 always flushes and says so.
        m.require(if base == "ex2" {
            ftz == bfloat
        } else {
            !ftz || !bfloat
        })?;
        let with =
            if ftz { FTZ } else { NONE } | if sat { SAT } else { NONE } | if relu { RELU } else { NONE };
        let (f, sources) = match base {
            "add" => (instance!(add, of, with), 2),
            "sub" => (instance!(sub, of, with), 2),
            "mul" => (instance!(mul, of, with), 2),
            "fma" => (instance!(fma, of, with), 3),
            "neg" => (instance!(neg, of, with), 1),
            "abs" => (instance!(abs, of, with), 1),
            "min" if nan && magnitude => (instance!(min_nan_magnitude, of, with), 2),
            "max" if nan && magnitude => (instance!(max_nan_magnitude, of, with), 2),
            "min" if magnitude => (instance!(min_magnitude, of, with), 2),
            "max" if magnitude => (instance!(max_magnitude, of, with), 2),
            "min" if nan => (instance!(min_nan, of, with), 2),
            "max" if nan => (instance!(max_nan, of, with), 2),
            "min" => (instance!(min, of, with), 2),
            "max" => (instance!(max, of, with), 2),
            "tanh" => (instance!(tanh, of, with), 1),
            "ex2" => (instance!(ex2, of, with), 1),
            _ => return Err(m.unknown()),
        };
        self.plain(s, of, &[of; 3][..sources], f)
    }
}
