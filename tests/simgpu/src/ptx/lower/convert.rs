//! Conversion between types.

use super::floating::saturate;
use super::half::relu;
use super::{Lower, Modifiers};
use crate::ptx::LoadError;
use crate::ptx::exact::{self, AWAY, Bf16, DOWN, F16, F32, F64, Format, NEAREST, UP, ZERO};
use crate::ptx::number::Integer;
use crate::ptx::program::Ternary;
use crate::ptx::syntax::Statement;
use crate::ptx::types::Type;

/// The instance of a generic function for a rounding mode, the last of its constant arguments.
macro_rules! for_mode {
    ($mode:expr, $f:ident, $($argument:tt),*) => {
        match $mode {
            NEAREST => $f::<$($argument,)* NEAREST> as Ternary,
            ZERO => $f::<$($argument,)* ZERO>,
            DOWN => $f::<$($argument,)* DOWN>,
            _ => $f::<$($argument,)* UP>,
        }
    };
}

/// The generic function's instance for an integer type of the host, among all sizes.
macro_rules! with_integer {
    ($of:expr, $then:ident ! ($($argument:tt),*)) => {
        match $of {
            Type::U8 => $then!($($argument,)* u8),
            Type::U16 => $then!($($argument,)* u16),
            Type::U32 => $then!($($argument,)* u32),
            Type::U64 => $then!($($argument,)* u64),
            Type::S8 => $then!($($argument,)* i8),
            Type::S16 => $then!($($argument,)* i16),
            Type::S32 => $then!($($argument,)* i32),
            _ => $then!($($argument,)* i64),
        }
    };
}

/// An integer in another integer type, sign-extended to a slot: the caller masks it to the register.
fn between_integers<From: Integer, To: Integer>(a: u64, _: u64, _: u64) -> u64 {
    To::low(From::of(a).wide()).wide() as u64
}
fn between_integers_sat<From: Integer, To: Integer>(a: u64, _: u64, _: u64) -> u64 {
    To::clamped(From::of(a).wide()).wide() as u64
}

fn integer_to_float<From: Integer, F: Format, const MODE: u8>(a: u64, _: u64, _: u64) -> u64 {
    exact::from_integer::<F>(From::of(a).wide(), MODE)
}

fn float_to_integer<F: Format, To: Integer, const MODE: u8>(a: u64, wide: u64, _: u64) -> u64 {
    if exact::is_nan::<F>(a) {
        // 64-bit sources and destinations give the integer that hardware calls indefinite, others 0.
        return if wide != 0 { 1 << (To::BITS - 1) } else { 0 };
    }
    let (least, greatest) = (To::clamped(i128::MIN).wide(), To::clamped(i128::MAX).wide());
    exact::to_integer::<F>(a, MODE, least, greatest) as u64
}

fn between_floats<From: Format, To: Format, const MODE: u8>(a: u64, _: u64, _: u64) -> u64 {
    exact::convert::<From, To>(a, MODE)
}

fn integral<F: Format, const MODE: u8>(a: u64, _: u64, _: u64) -> u64 {
    exact::integral::<F>(a, MODE)
}

fn flush<F: Format>(a: u64, _: u64, _: u64) -> u64 {
    exact::flush::<F>(a)
}
fn saturated<F: Format>(a: u64, _: u64, _: u64) -> u64 {
    saturate::<F>(a)
}

fn rectified<F: Format>(a: u64, _: u64, _: u64) -> u64 {
    relu::<F>(a)
}

/// The instance of a function for a floating-point format.
macro_rules! for_float {
    ($of:expr, $f:ident) => {
        match $of {
            Type::F16 => $f::<F16> as Ternary,
            Type::Bf16 => $f::<Bf16>,
            Type::F32 => $f::<F32>,
            _ => $f::<F64>,
        }
    };
}

/// Both operands rounded to a packed pair, the first one the higher.
fn pack<F: Format, const MODE: u8, const RELU: bool>(a: u64, b: u64, _: u64) -> u64 {
    let half = |bits| {
        let rounded = exact::convert::<F32, F>(bits, MODE);
        if RELU { relu::<F>(rounded) } else { rounded }
    };
    half(a) << 16 | half(b)
}

/// TensorFloat-32: the 13 low bits of a single are zero.
struct Tf32;

impl Format for Tf32 {
    const EXPONENT: u32 = 8;
    const MANTISSA: u32 = 10;
    const NAN: u64 = 0x3ffff;
}

fn to_tf32<const MODE: u8>(a: u64, with_relu: u64, _: u64) -> u64 {
    if exact::is_nan::<F32>(a) {
        return F32::NAN;
    }
    let rounded = exact::convert::<F32, Tf32>(a, MODE) << 13;
    if with_relu != 0 {
        relu::<F32>(rounded)
    } else {
        rounded
    }
}

fn is_float(of: Type) -> bool {
    matches!(of, Type::F16 | Type::Bf16 | Type::F32 | Type::F64)
}

/// Whether an integer type holds all values of another.
fn contains(outer: Type, inner: Type) -> bool {
    match (outer.signed(), inner.signed()) {
        (true, false) => outer.bytes() > inner.bytes(),
        (false, true) => false,
        _ => outer.bytes() >= inner.bytes(),
    }
}

/// A rounding mode and whether it is one to integers.
fn rounding(m: &mut Modifiers) -> Option<(u8, bool)> {
    m.accept_any(&["rn", "rz", "rm", "rp", "rni", "rzi", "rmi", "rpi", "rna"])
        .map(|mode| {
            let number = match &mode[..2] {
                "rn" if mode == "rna" => AWAY,
                "rn" => NEAREST,
                "rz" => ZERO,
                "rm" => DOWN,
                _ => UP,
            };
            (number, mode.ends_with('i'))
        })
}

impl<'t> Lower<'t, '_> {
    pub fn convert(&mut self, mut m: Modifiers<'t>, s: &'t Statement<'t>) -> Result<(), LoadError> {
        if m.clone().accept("pack") {
            return self.convert_pack(m, s);
        }
        let rounding = rounding(&mut m);
        let relu = m.accept("relu");
        let ftz = m.accept("ftz");
        let sat = m.accept("sat");
        let target = m.take();
        let from = m.of_type()?;
        m.finish()?;
        if target == "tf32" {
            m.require(from == Type::F32 && !ftz && !sat)?;
            let f: Ternary = match rounding {
                Some((AWAY, _)) if !relu => to_tf32::<AWAY>,
                Some((NEAREST, false)) => to_tf32::<NEAREST>,
                Some((ZERO, false)) => to_tf32::<ZERO>,
                _ => return Err(m.unknown()),
            };
            let [d, a] = &s.operands[..] else {
                return Err(self.wrong_operands(s));
            };
            let (a, d) = (self.source(a, Type::B32)?, self.destination(d, Type::B32)?);
            let relu = self.constant(relu.into());
            self.compute(f, d, &[a, relu]);
            return Ok(());
        }
        let to = Type::named(target).ok_or_else(|| m.unknown())?;
        if matches!(to, Type::F16x2 | Type::Bf16x2) {
            m.require(from == Type::F32 && !ftz && !sat)?;
            let f: Ternary = match (to, rounding, relu) {
                (Type::F16x2, Some((NEAREST, false)), false) => pack::<F16, NEAREST, false>,
                (Type::F16x2, Some((NEAREST, false)), true) => pack::<F16, NEAREST, true>,
                (Type::F16x2, Some((ZERO, false)), false) => pack::<F16, ZERO, false>,
                (Type::F16x2, Some((ZERO, false)), true) => pack::<F16, ZERO, true>,
                (_, Some((NEAREST, false)), false) => pack::<Bf16, NEAREST, false>,
                (_, Some((NEAREST, false)), true) => pack::<Bf16, NEAREST, true>,
                (_, Some((ZERO, false)), false) => pack::<Bf16, ZERO, false>,
                (_, Some((ZERO, false)), true) => pack::<Bf16, ZERO, true>,
                _ => return Err(m.unknown()),
            };
            return self.plain(s, Type::B32, &[Type::F32, Type::F32], f);
        }
        m.require(rounding.is_none_or(|(mode, _)| mode != AWAY))?;
        m.require((from.integer() || is_float(from)) && (to.integer() || is_float(to)))?;
        let [d, a] = &s.operands[..] else {
            return Err(self.wrong_operands(s));
        };
        let mut value = self.wide_source(a, from)?;
        let (d, register) = self.wide_destination(d, to)?;
        m.require(!ftz || from == Type::F32 || to == Type::F32)?;
        m.require(!relu || matches!(to, Type::F16 | Type::Bf16) && from == Type::F32)?;
        m.require(!relu || !sat && matches!(rounding, Some((NEAREST | ZERO, false))))?;
        let bfloat = from == Type::Bf16 || to == Type::Bf16;
        m.require(!bfloat || !sat && from.bytes() > 1 && to.bytes() > 1)?;
        let mut then = |lower: &mut Self, f: Ternary, other: &[u32]| {
            let result = lower.slot();
            let mut sources = vec![value];
            sources.extend(other);
            lower.compute(f, result, &sources);
            value = result;
        };
        if from.bytes() < 8 {
            // The register may be wider than the value.
            let mask = self.constant(from.mask());
            then(self, |a, mask, _| a & mask, &[mask]);
        }
        if ftz && from == Type::F32 {
            then(self, flush::<F32>, &[]);
        }
        let f: Ternary = match (from.integer(), to.integer()) {
            (true, true) => {
                m.require(rounding.is_none())?;
                macro_rules! to_integer {
                    ($f:ident, $from:ident, $to:ident) => {
                        $f::<$from, $to> as Ternary
                    };
                }
                macro_rules! from_integer {
                    ($f:ident, $from:ident) => {
                        with_integer!(to, to_integer!($f, $from))
                    };
                }
                if sat {
                    m.require(!contains(to, from))?;
                    with_integer!(from, from_integer!(between_integers_sat))
                } else {
                    with_integer!(from, from_integer!(between_integers))
                }
            }
            (true, false) => {
                let Some((mode, false)) = rounding else {
                    return Err(m.unknown());
                };
                macro_rules! instance {
                    ($format:ident, $from:ident) => {
                        for_mode!(mode, integer_to_float, $from, $format)
                    };
                }
                match to {
                    Type::F16 => with_integer!(from, instance!(F16)),
                    Type::Bf16 => with_integer!(from, instance!(Bf16)),
                    Type::F32 => with_integer!(from, instance!(F32)),
                    _ => with_integer!(from, instance!(F64)),
                }
            }
            (false, true) => {
                let Some((mode, true)) = rounding else {
                    return Err(m.unknown());
                };
                macro_rules! instance {
                    ($format:ident, $to:ident) => {
                        for_mode!(mode, float_to_integer, $format, $to)
                    };
                }
                match from {
                    Type::F16 => with_integer!(to, instance!(F16)),
                    Type::Bf16 => with_integer!(to, instance!(Bf16)),
                    Type::F32 => with_integer!(to, instance!(F32)),
                    _ => with_integer!(to, instance!(F64)),
                }
            }
            (false, false) => {
                let widens = to.bytes() > from.bytes();
                match rounding {
                    // To an integral value of the same type.
                    Some((mode, true)) => {
                        m.require(from == to)?;
                        match from {
                            Type::F16 => for_mode!(mode, integral, F16),
                            Type::Bf16 => for_mode!(mode, integral, Bf16),
                            Type::F32 => for_mode!(mode, integral, F32),
                            _ => for_mode!(mode, integral, F64),
                        }
                    }
                    // A modifier must be there exactly where a value may be rounded.
                    Some((mode, false)) => {
                        m.require(!widens && from != to || from == Type::Bf16 || to == Type::Bf16)?;
                        match (from, to) {
                            (Type::F32, Type::F16) => for_mode!(mode, between_floats, F32, F16),
                            (Type::F32, Type::Bf16) => for_mode!(mode, between_floats, F32, Bf16),
                            (Type::F64, Type::F16) => for_mode!(mode, between_floats, F64, F16),
                            (Type::F64, Type::Bf16) => for_mode!(mode, between_floats, F64, Bf16),
                            (Type::F64, Type::F32) => for_mode!(mode, between_floats, F64, F32),
                            (Type::F16, Type::Bf16) => for_mode!(mode, between_floats, F16, Bf16),
                            (Type::Bf16, Type::F16) => for_mode!(mode, between_floats, Bf16, F16),
                            _ => return Err(m.unknown()),
                        }
                    }
                    None if from == to => |a, _, _| a,
                    None => match (from, to) {
                        (Type::F16, Type::F32) => between_floats::<F16, F32, NEAREST>,
                        (Type::F16, Type::F64) => between_floats::<F16, F64, NEAREST>,
                        (Type::Bf16, Type::F32) => between_floats::<Bf16, F32, NEAREST>,
                        (Type::Bf16, Type::F64) => between_floats::<Bf16, F64, NEAREST>,
                        (Type::F32, Type::F64) => between_floats::<F32, F64, NEAREST>,
                        _ => return Err(m.unknown()),
                    },
                }
            }
        };
        let wide = self.constant((from.bytes() == 8 || to.bytes() == 8).into());
        then(self, f, &[wide]);
        if is_float(to) {
            if relu {
                then(self, for_float!(to, rectified), &[]);
            }
            if ftz && to == Type::F32 {
                then(self, flush::<F32>, &[]);
            }
            if sat {
                then(self, for_float!(to, saturated), &[]);
            }
        }
        let mask = self.constant(register.mask());
        self.compute(|a, mask, _| a & mask, d, &[value, mask]);
        Ok(())
    }

    /// `cvt.pack.sat`: two integers saturated and packed, before what `c` holds.
    fn convert_pack(&mut self, mut m: Modifiers<'t>, s: &'t Statement<'t>) -> Result<(), LoadError> {
        m.take();
        m.expect("sat")?;
        let to = m.of_type()?;
        let from = m.of_type()?;
        m.require(from == Type::S32)?;
        macro_rules! packs {
            ($to:ident, $bits:literal) => {
                |a, b, c| {
                    let part = |bits| $to::clamped(i32::of(bits).wide()).bits();
                    (c << (2 * $bits) | part(a) << $bits | part(b)) as u32 as u64
                }
            };
        }
        let f: Ternary = match to {
            Type::U16 => packs!(u16, 16),
            Type::S16 => packs!(i16, 16),
            Type::U8 => packs!(u8, 8),
            Type::S8 => packs!(i8, 8),
            _ => return Err(m.unknown()),
        };
        let word = Type::B32;
        if to.bytes() == 2 {
            m.finish()?;
            return self.plain(s, word, &[word; 2], f);
        }
        m.expect("b32")?;
        m.finish()?;
        self.plain(s, word, &[word; 3], f)
    }
}
