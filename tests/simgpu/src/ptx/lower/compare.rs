//! Comparison and selection.

use super::memory::storable;
use super::{Lower, Modifiers};
use crate::ptx::LoadError;
use crate::ptx::exact::{self, Bf16, F16, F32, F64, Format};
use crate::ptx::number::{Integer, for_integer};
use crate::ptx::program::{Slot, Ternary};
use crate::ptx::syntax::{Operand, Statement};
use crate::ptx::types::Type;

const LESS: u8 = 1;
const EQUAL: u8 = 2;
const GREATER: u8 = 4;
const UNORDERED: u8 = 8;

/// Whether two integers are in one of the relations.
fn relation<T: Integer, const OF: u8>(a: u64, b: u64, _: u64) -> u64 {
    let found = match T::of(a).cmp(&T::of(b)) {
        std::cmp::Ordering::Less => LESS,
        std::cmp::Ordering::Equal => EQUAL,
        std::cmp::Ordering::Greater => GREATER,
    };
    u64::from(found & OF != 0)
}

/// Whether two floating-point values are in one of the relations.
fn float_relation<F: Format, const OF: u8, const FTZ: bool>(a: u64, b: u64, _: u64) -> u64 {
    let [a, b] = [a, b].map(|bits| if FTZ { exact::flush::<F>(bits) } else { bits });
    let order = |bits: u64| {
        let magnitude = (bits & (F::SIGN - 1)) as i64;
        if exact::is_negative::<F>(bits) {
            -magnitude
        } else {
            magnitude
        }
    };
    let found = if exact::is_nan::<F>(a) || exact::is_nan::<F>(b) {
        UNORDERED
    } else {
        match order(a).cmp(&order(b)) {
            std::cmp::Ordering::Less => LESS,
            std::cmp::Ordering::Equal => EQUAL,
            std::cmp::Ordering::Greater => GREATER,
        }
    };
    u64::from(found & OF != 0)
}

/// The relations that a comparison operator asks for.
fn relations(operator: &str) -> Option<u8> {
    Some(match operator {
        "eq" => EQUAL,
        "ne" => LESS | GREATER,
        "lt" | "lo" => LESS,
        "le" | "ls" => LESS | EQUAL,
        "gt" | "hi" => GREATER,
        "ge" | "hs" => GREATER | EQUAL,
        "equ" => EQUAL | UNORDERED,
        "neu" => LESS | GREATER | UNORDERED,
        "ltu" => LESS | UNORDERED,
        "leu" => LESS | EQUAL | UNORDERED,
        "gtu" => GREATER | UNORDERED,
        "geu" => GREATER | EQUAL | UNORDERED,
        "num" => LESS | EQUAL | GREATER,
        "nan" => UNORDERED,
        _ => return None,
    })
}

fn integer_comparison(operator: &str, of: Type) -> Option<Ternary> {
    macro_rules! with {
        ($of:expr, $relations:expr) => {{
            fn f<T: Integer>(a: u64, b: u64, c: u64) -> u64 {
                relation::<T, { $relations }>(a, b, c)
            }
            for_integer!($of, f)
        }};
    }
    let same_width = match of {
        Type::B16 => Type::U16,
        Type::B32 => Type::U32,
        Type::B64 => Type::U64,
        other => other,
    };
    // lo, ls, hi and hs are the names of the unsigned comparisons.
    let of = match operator {
        "eq" | "ne" => same_width,
        "lo" | "ls" | "hi" | "hs" if of.signed() => return None,
        _ => of,
    };
    match relations(operator)? {
        EQUAL => with!(of, EQUAL),
        LESS => with!(of, LESS),
        GREATER => with!(of, GREATER),
        5 => with!(of, LESS | GREATER),
        3 => with!(of, LESS | EQUAL),
        6 => with!(of, GREATER | EQUAL),
        _ => None,
    }
}

fn float_comparison<F: Format, const FTZ: bool>(operator: &str) -> Option<Ternary> {
    if matches!(operator, "lo" | "ls" | "hi" | "hs") {
        return None;
    }
    Some(match relations(operator)? {
        1 => float_relation::<F, 1, FTZ>,
        2 => float_relation::<F, 2, FTZ>,
        3 => float_relation::<F, 3, FTZ>,
        4 => float_relation::<F, 4, FTZ>,
        5 => float_relation::<F, 5, FTZ>,
        6 => float_relation::<F, 6, FTZ>,
        7 => float_relation::<F, 7, FTZ>,
        8 => float_relation::<F, 8, FTZ>,
        9 => float_relation::<F, 9, FTZ>,
        10 => float_relation::<F, 10, FTZ>,
        11 => float_relation::<F, 11, FTZ>,
        12 => float_relation::<F, 12, FTZ>,
        13 => float_relation::<F, 13, FTZ>,
        _ => float_relation::<F, 14, FTZ>,
    })
}

/// The comparison of values of a type, those of packed ones for one half.
fn comparison(operator: &str, of: Type, ftz: bool) -> Option<Ternary> {
    match (of, ftz) {
        (Type::F32, false) => float_comparison::<F32, false>(operator),
        (Type::F32, true) => float_comparison::<F32, true>(operator),
        (Type::F64, false) => float_comparison::<F64, false>(operator),
        (Type::F16 | Type::F16x2, false) => float_comparison::<F16, false>(operator),
        (Type::F16 | Type::F16x2, true) => float_comparison::<F16, true>(operator),
        (Type::Bf16 | Type::Bf16x2, false) => float_comparison::<Bf16, false>(operator),
        (_, false) => integer_comparison(operator, of),
        _ => None,
    }
}

fn packed(of: Type) -> bool {
    matches!(of, Type::F16x2 | Type::Bf16x2)
}

/// Combines a comparison with a predicate.
fn combination(boolean: &str) -> Ternary {
    match boolean {
        "and" => |a, b, _| a & b,
        "or" => |a, b, _| a | b,
        _ => |a, b, _| a ^ b,
    }
}

const LOW: Ternary = |a, _, _| a & 0xffff;
const HIGH: Ternary = |a, _, _| a >> 16 & 0xffff;
const COPY: Ternary = |a, _, _| a;

impl<'t> Lower<'t, '_> {
    pub fn compare(
        &mut self,
        base: &str,
        mut m: Modifiers<'t>,
        s: &'t Statement<'t>,
    ) -> Result<(), LoadError> {
        match base {
            "setp" => self.setp(m, s),
            "set" => self.set(m, s),
            "selp" => {
                let of = m.of_type()?;
                m.finish()?;
                m.require(of.bytes() > 1 && storable(of))?;
                self.plain(s, of, &[of, of, Type::Pred], |a, b, p| if p != 0 { a } else { b })
            }
            _ => {
                let ftz = m.accept("ftz");
                let of = m.of_type()?;
                m.require(of.bytes() > 1 && storable(of))?;
                let by = m.last_type(&[Type::S32, Type::F32])?;
                m.require(!ftz || by == Type::F32)?;
                let f: Ternary = match (by, ftz) {
                    (Type::S32, _) => |a, b, c| if c as i32 >= 0 { a } else { b },
                    // -0 is not less than 0, and neither is NaN, for which b is chosen all the same.
                    (_, false) => |a, b, c| if f32::from_bits(c as u32) >= 0.0 { a } else { b },
                    _ => |a, b, c| {
                        let c = exact::flush::<F32>(c);
                        if f32::from_bits(c as u32) >= 0.0 { a } else { b }
                    },
                };
                self.plain(s, of, &[of, of, by], f)
            }
        }
    }

    /// The slots of the comparisons that an instruction makes: one, or those of both halves.
    fn compared(
        &mut self,
        f: Ternary,
        of: Type,
        a: &'t Operand<'t>,
        b: &'t Operand<'t>,
    ) -> Result<Vec<Slot>, LoadError> {
        let (a, b) = (self.source(a, of)?, self.source(b, of)?);
        let parts: &[Ternary] = if packed(of) { &[LOW, HIGH] } else { &[COPY] };
        let mut slots = Vec::new();
        for &part in parts {
            let result = self.slot();
            if packed(of) {
                let (low, high) = (self.slot(), self.slot());
                self.compute(part, low, &[a]);
                self.compute(part, high, &[b]);
                self.compute(f, result, &[low, high]);
            } else {
                self.compute(f, result, &[a, b]);
            }
            slots.push(result);
        }
        Ok(slots)
    }

    fn setp(&mut self, mut m: Modifiers<'t>, s: &'t Statement<'t>) -> Result<(), LoadError> {
        let operator = m.take();
        let boolean = m.accept_any(&["and", "or", "xor"]);
        let ftz = m.accept("ftz");
        let of = m.of_type()?;
        m.finish()?;
        let f = comparison(operator, of, ftz).ok_or_else(|| m.unknown())?;
        let (destinations, a, b, with) = match (&s.operands[..], boolean) {
            ([d, a, b], None) => (d, a, b, None),
            ([d, a, b, c], Some(_)) => (d, a, b, Some(c)),
            _ => return Err(self.wrong_operands(s)),
        };
        if let (Operand::Name(_), None, false) = (destinations, with, packed(of)) {
            return self.plain(s, Type::Pred, &[of, of], f);
        }
        let with = match with {
            Some(operand) => Some(self.source(operand, Type::Pred)?),
            None => None,
        };
        let mut results = self.compared(f, of, a, b)?;
        let combine = combination(boolean.unwrap_or("and"));
        let destinations = match destinations {
            Operand::Pair(p, q) => vec![&**p, &**q],
            single => vec![single],
        };
        if packed(of) && destinations.len() != 2 {
            return Err(self.wrong_operands(s));
        }
        if !packed(of) && destinations.len() == 2 {
            let complement = self.slot();
            self.compute(|a, _, _| a ^ 1, complement, &[results[0]]);
            results.push(complement);
        }
        // All is computed before anything is written, since a destination may be the predicate that is combined.
        if let Some(with) = with {
            for result in &results {
                self.compute(combine, *result, &[*result, with]);
            }
        }
        for (operand, result) in destinations.into_iter().zip(results) {
            let d = self.destination(operand, Type::Pred)?;
            self.compute(COPY, d, &[result]);
        }
        Ok(())
    }

    fn set(&mut self, mut m: Modifiers<'t>, s: &'t Statement<'t>) -> Result<(), LoadError> {
        let operator = m.take();
        let boolean = m.accept_any(&["and", "or", "xor"]);
        let ftz = m.accept("ftz");
        let to = m.of_type()?;
        let of = m.of_type()?;
        m.finish()?;
        let f = comparison(operator, of, ftz).ok_or_else(|| m.unknown())?;
        let truth: u64 = match to {
            Type::U32 | Type::S32 => 0xffff_ffff,
            Type::U16 | Type::S16 => 0xffff,
            Type::F32 => F32::ONE,
            Type::F16 => F16::ONE,
            Type::Bf16 => Bf16::ONE,
            Type::F16x2 => F16::ONE | F16::ONE << 16,
            Type::Bf16x2 => Bf16::ONE | Bf16::ONE << 16,
            _ => return Err(m.unknown()),
        };
        m.require(!packed(of) || to.bytes() == 4 && to != Type::F32)?;
        m.require(packed(of) || !packed(to))?;
        let half = matches!(to, Type::F16 | Type::Bf16 | Type::F16x2 | Type::Bf16x2);
        m.require(!half || to == of)?;
        let halves = matches!(of, Type::F16 | Type::Bf16 | Type::F16x2 | Type::Bf16x2);
        m.require(halves || to.bytes() == 4)?;
        m.require(!halves || to != Type::F32)?;
        let (d, a, b, with) = match (&s.operands[..], boolean) {
            ([d, a, b], None) => (d, a, b, None),
            ([d, a, b, c], Some(_)) => (d, a, b, Some(c)),
            _ => return Err(self.wrong_operands(s)),
        };
        let with = match with {
            Some(operand) => Some(self.source(operand, Type::Pred)?),
            None => None,
        };
        let results = self.compared(f, of, a, b)?;
        if let Some(with) = with {
            for result in &results {
                self.compute(combination(boolean.unwrap_or("and")), *result, &[*result, with]);
            }
        }
        let d = self.destination(d, to)?;
        let truth = self.constant(truth);
        match results[..] {
            [low, high] => self.compute(
                |low, high, truth| {
                    let half = |set: u64, mask: u64| if set != 0 { truth & mask } else { 0 };
                    half(low, 0xffff) | half(high, 0xffff_0000)
                },
                d,
                &[low, high, truth],
            ),
            _ => self.compute(
                |set, truth, _| if set != 0 { truth } else { 0 },
                d,
                &[results[0], truth],
            ),
        }
        Ok(())
    }
}
