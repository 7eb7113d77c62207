//! Integer arithmetic.

use super::{Lower, Modifiers};
use crate::ptx::LoadError;
use crate::ptx::number::{Integer, for_integer, halves};
use crate::ptx::program::{Op, Ternary};
use crate::ptx::syntax::Statement;
use crate::ptx::types::Type;

const ALL: [Type; 6] = [Type::U16, Type::U32, Type::U64, Type::S16, Type::S32, Type::S64];
const NARROW: [Type; 4] = [Type::U16, Type::U32, Type::S16, Type::S32];

fn add<T: Integer>(a: u64, b: u64, _: u64) -> u64 {
    T::of(a.wrapping_add(b)).bits()
}
fn sub<T: Integer>(a: u64, b: u64, _: u64) -> u64 {
    T::of(a.wrapping_sub(b)).bits()
}
fn mul_lo<T: Integer>(a: u64, b: u64, _: u64) -> u64 {
    T::of(a.wrapping_mul(b)).bits()
}
fn mul_hi<T: Integer>(a: u64, b: u64, _: u64) -> u64 {
    T::low(high_product::<T>(a, b)).bits()
}
fn high_product<T: Integer>(a: u64, b: u64) -> i128 {
    let (a, b) = (T::of(a).wide(), T::of(b).wide());
    // The product of two u64 does not fit i128, but its bits are right.
    (a.wrapping_mul(b) as u128 >> T::BITS) as i128
}
fn mul_wide<T: Integer>(a: u64, b: u64, _: u64) -> u64 {
    (T::of(a).wide() * T::of(b).wide()) as u64 & (u64::MAX >> (64 - 2 * T::BITS))
}
fn mad_lo<T: Integer>(a: u64, b: u64, c: u64) -> u64 {
    T::of(a.wrapping_mul(b).wrapping_add(c)).bits()
}
fn mad_hi<T: Integer>(a: u64, b: u64, c: u64) -> u64 {
    T::of(mul_hi::<T>(a, b, 0).wrapping_add(c)).bits()
}
fn mad_wide<T: Integer>(a: u64, b: u64, c: u64) -> u64 {
    mul_wide::<T>(a, b, 0).wrapping_add(c) & (u64::MAX >> (64 - 2 * T::BITS))
}
fn min<T: Integer>(a: u64, b: u64, _: u64) -> u64 {
    T::of(a).min(T::of(b)).bits()
}
fn max<T: Integer>(a: u64, b: u64, _: u64) -> u64 {
    T::of(a).max(T::of(b)).bits()
}
fn abs<T: Integer>(a: u64, _: u64, _: u64) -> u64 {
    T::low(T::of(a).wide().abs()).bits()
}
fn neg<T: Integer>(a: u64, _: u64, _: u64) -> u64 {
    T::of(a.wrapping_neg()).bits()
}
fn div<T: Integer>(a: u64, b: u64, _: u64) -> u64 {
    T::low(T::of(a).wide() / T::of(b).wide()).bits()
}
fn rem<T: Integer>(a: u64, b: u64, _: u64) -> u64 {
    T::low(T::of(a).wide() % T::of(b).wide()).bits()
}
fn sad<T: Integer>(a: u64, b: u64, c: u64) -> u64 {
    T::low(c as i128 + (T::of(a).wide() - T::of(b).wide()).abs()).bits()
}

fn add_sat(a: u64, b: u64, _: u64) -> u64 {
    i32::of(a).saturating_add(i32::of(b)).bits()
}
fn sub_sat(a: u64, b: u64, _: u64) -> u64 {
    i32::of(a).saturating_sub(i32::of(b)).bits()
}
fn mad_hi_sat(a: u64, b: u64, c: u64) -> u64 {
    i32::of(mul_hi::<i32>(a, b, 0)).saturating_add(i32::of(c)).bits()
}

/// The low 24 bits of an operand, with the sign that their type gives them.
fn low24<T: Integer>(bits: u64) -> i64 {
    let shifted = (bits as u32) << 8;
    if T::low(-1) < T::low(0) {
        i64::from(shifted as i32 >> 8)
    } else {
        i64::from(shifted >> 8)
    }
}
fn mul24_lo<T: Integer>(a: u64, b: u64, _: u64) -> u64 {
    (low24::<T>(a) * low24::<T>(b)) as u32 as u64
}
fn mul24_hi<T: Integer>(a: u64, b: u64, _: u64) -> u64 {
    ((low24::<T>(a) * low24::<T>(b)) >> 16) as u32 as u64
}
fn mad24_lo<T: Integer>(a: u64, b: u64, c: u64) -> u64 {
    T::of(mul24_lo::<T>(a, b, 0).wrapping_add(c)).bits()
}
fn mad24_hi<T: Integer>(a: u64, b: u64, c: u64) -> u64 {
    T::of(mul24_hi::<T>(a, b, 0).wrapping_add(c)).bits()
}
fn mad24_hi_sat(a: u64, b: u64, c: u64) -> u64 {
    i32::of(mul24_hi::<i32>(a, b, 0))
        .saturating_add(i32::of(c))
        .bits()
}

/// The dot product of four bytes of each.
fn dp4<A: Integer, B: Integer>(a: u64, b: u64, c: u64) -> u64 {
    let terms = (0..4).map(|byte| (A::of(a >> (8 * byte)).wide() * B::of(b >> (8 * byte)).wide()) as u64);
    terms.fold(c, u64::wrapping_add) as u32 as u64
}
/// The dot product of the two halves of `a` with two bytes of `b`, the low or the high ones.
fn dp2<A: Integer, B: Integer, const FIRST: u32>(a: u64, b: u64, c: u64) -> u64 {
    let term = |half: u32| A::of(a >> (16 * half)).wide() * B::of(b >> (8 * (FIRST + half))).wide();
    c.wrapping_add(term(0) as u64).wrapping_add(term(1) as u64) as u32 as u64
}

impl<'t> Lower<'t, '_> {
    pub fn integer(
        &mut self,
        base: &str,
        mut m: Modifiers<'t>,
        s: &'t Statement<'t>,
    ) -> Result<(), LoadError> {
        match base {
            "mul" | "mad" | "mul24" | "mad24" => self.multiply(base, m, s),
            "dp4a" | "dp2a" => self.dot(base, m, s),
            "div" | "rem" => {
                let of = m.last_type(&ALL)?;
                let f = if base == "div" {
                    for_integer!(of, div)
                } else {
                    for_integer!(of, rem)
                };
                let f = f.ok_or_else(|| m.unknown())?;
                let [_, _, divisor] = &s.operands[..] else {
                    return Err(self.wrong_operands(s));
                };
                // What a division by zero gives is "unspecified, machine-specific".
                let divisor = self.source(divisor, of)?;
                self.emit(Op::CheckDivisor(divisor));
                self.plain(s, of, &[of, of], f)
            }
            "abs" | "neg" => {
                let of = m.last_type(&[Type::S16, Type::S32, Type::S64])?;
                let f = if base == "abs" {
                    for_integer!(of, abs)
                } else {
                    for_integer!(of, neg)
                };
                self.plain(s, of, &[of], f.ok_or_else(|| m.unknown())?)
            }
            "sad" => {
                let of = m.last_type(&ALL)?;
                self.plain(s, of, &[of; 3], for_integer!(of, sad).ok_or_else(|| m.unknown())?)
            }
            _ => {
                let sat = m.accept("sat");
                let relu = matches!(base, "min" | "max") && m.accept("relu");
                let of = m.of_type()?;
                m.finish()?;
                m.require(!sat || of == Type::S32 && matches!(base, "add" | "sub"))?;
                m.require(!relu || matches!(of, Type::S32 | Type::S16x2))?;
                let f: Option<Ternary> = match (base, of) {
                    ("add", _) if sat => Some(add_sat),
                    ("sub", _) if sat => Some(sub_sat),
                    ("min", Type::S32) if relu => Some(|a, b, _| max::<i32>(min::<i32>(a, b, 0), 0, 0)),
                    ("max", Type::S32) if relu => Some(|a, b, _| max::<i32>(max::<i32>(a, b, 0), 0, 0)),
                    ("min", Type::S16x2) if relu => {
                        Some(|a, b, _| halves(a, b, 0, |a, b, _| max::<i16>(min::<i16>(a, b, 0), 0, 0)))
                    }
                    ("max", Type::S16x2) if relu => {
                        Some(|a, b, _| halves(a, b, 0, |a, b, _| max::<i16>(max::<i16>(a, b, 0), 0, 0)))
                    }
                    ("add", Type::U16x2 | Type::S16x2) => Some(|a, b, _| halves(a, b, 0, add::<u16>)),
                    ("min", Type::U16x2) => Some(|a, b, _| halves(a, b, 0, min::<u16>)),
                    ("max", Type::U16x2) => Some(|a, b, _| halves(a, b, 0, max::<u16>)),
                    ("min", Type::S16x2) => Some(|a, b, _| halves(a, b, 0, min::<i16>)),
                    ("max", Type::S16x2) => Some(|a, b, _| halves(a, b, 0, max::<i16>)),
                    ("add", _) => for_integer!(of, add),
                    ("sub", _) => for_integer!(of, sub),
                    ("min", _) => for_integer!(of, min),
                    ("max", _) => for_integer!(of, max),
                    _ => None,
                };
                self.plain(s, of, &[of, of], f.ok_or_else(|| m.unknown())?)
            }
        }
    }

    fn multiply(&mut self, base: &str, mut m: Modifiers<'t>, s: &'t Statement<'t>) -> Result<(), LoadError> {
        let part = m.accept_any(&["lo", "hi", "wide"]).ok_or_else(|| m.unknown())?;
        let sat = m.accept("sat");
        let narrow = part == "wide" || base.ends_with("24");
        let of = m.last_type(if narrow { &NARROW } else { &ALL })?;
        m.require(!sat || part == "hi" && of == Type::S32 && base.starts_with("mad"))?;
        m.require(!base.ends_with("24") || of.bytes() == 4)?;
        let f = match (base, part) {
            ("mad", "hi") if sat => Some(mad_hi_sat as Ternary),
            ("mad24", "hi") if sat => Some(mad24_hi_sat as Ternary),
            ("mul", "lo") => for_integer!(of, mul_lo),
            ("mul", "hi") => for_integer!(of, mul_hi),
            ("mul", "wide") => for_integer!(of, mul_wide),
            ("mad", "lo") => for_integer!(of, mad_lo),
            ("mad", "hi") => for_integer!(of, mad_hi),
            ("mad", "wide") => for_integer!(of, mad_wide),
            ("mul24", "lo") => for_integer!(of, mul24_lo),
            ("mul24", "hi") => for_integer!(of, mul24_hi),
            ("mad24", "lo") => for_integer!(of, mad24_lo),
            ("mad24", "hi") => for_integer!(of, mad24_hi),
            _ => None,
        };
        let to = if part == "wide" {
            if of.bytes() == 2 { Type::U32 } else { Type::U64 }
        } else {
            of
        };
        let sources = if base.starts_with("mul") {
            &[of, of, to][..2]
        } else {
            &[of, of, to]
        };
        self.plain(s, to, sources, f.ok_or_else(|| m.unknown())?)
    }

    fn dot(&mut self, base: &str, mut m: Modifiers<'t>, s: &'t Statement<'t>) -> Result<(), LoadError> {
        let high = base == "dp2a"
            && match m.take() {
                "lo" => false,
                "hi" => true,
                _ => return Err(m.unknown()),
            };
        let a = m.of_type()?;
        let b = m.last_type(&[Type::U32, Type::S32])?;
        let f: Ternary = match (base, a, b, high) {
            ("dp4a", Type::U32, Type::U32, _) => dp4::<u8, u8>,
            ("dp4a", Type::U32, Type::S32, _) => dp4::<u8, i8>,
            ("dp4a", Type::S32, Type::U32, _) => dp4::<i8, u8>,
            ("dp4a", Type::S32, Type::S32, _) => dp4::<i8, i8>,
            (_, Type::U32, Type::U32, false) => dp2::<u16, u8, 0>,
            (_, Type::U32, Type::S32, false) => dp2::<u16, i8, 0>,
            (_, Type::S32, Type::U32, false) => dp2::<i16, u8, 0>,
            (_, Type::S32, Type::S32, false) => dp2::<i16, i8, 0>,
            (_, Type::U32, Type::U32, true) => dp2::<u16, u8, 2>,
            (_, Type::U32, Type::S32, true) => dp2::<u16, i8, 2>,
            (_, Type::S32, Type::U32, true) => dp2::<i16, u8, 2>,
            (_, Type::S32, Type::S32, true) => dp2::<i16, i8, 2>,
            _ => return Err(m.unknown()),
        };
        self.plain(s, Type::U32, &[Type::U32; 3], f)
    }
}
