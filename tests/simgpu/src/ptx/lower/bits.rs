//! Logic, shifts and bit fields.

use super::{Lower, Modifiers};
use crate::ptx::LoadError;
use crate::ptx::number::{Integer, for_integer};
use crate::ptx::program::{Op, Quaternary, Ternary};
use crate::ptx::syntax::{Operand, Statement};
use crate::ptx::types::Type;

fn shr<T: Integer>(a: u64, b: u64, _: u64) -> u64 {
    T::low(T::of(a).wide() >> (b as u32).min(T::BITS)).bits()
}
fn bfe<T: Integer>(a: u64, position: u64, length: u64) -> u64 {
    let (position, length) = (position as u8 as u32, length as u8 as u32);
    let signed = T::low(-1) < T::low(0);
    if length == 0 {
        return 0;
    }
    let a = T::of(a).wide();
    let last = (position + length - 1).min(T::BITS - 1);
    let sign = if signed && a >> last & 1 == 1 { -1i128 } else { 0 };
    let field = if position >= T::BITS {
        0
    } else {
        (a as u128 >> position) as i128
    };
    if length >= T::BITS.saturating_sub(position) {
        // The field reaches the top: what lies above it is the sign.
        let kept = T::BITS.saturating_sub(position);
        let mask = (1i128 << kept) - 1;
        return T::low(field & mask | sign & !mask).bits();
    }
    let mask = (1i128 << length) - 1;
    T::low(field & mask | sign & !mask).bits()
}
fn bfi<T: Integer>(a: u64, b: u64, position: u64, length: u64) -> u64 {
    let (position, length) = (position as u8 as u32, length as u8 as u32);
    if position >= T::BITS {
        return b;
    }
    let length = length.min(T::BITS - position);
    let mask = (((1u128 << length) - 1) << position) as u64;
    b & !mask | ((u128::from(a) << position) as u64 & mask)
}
fn bfind<T: Integer>(a: u64, _: u64, _: u64) -> u64 {
    let a = T::of(a).wide();
    let a = if a < 0 { !a } else { a } as u128;
    if a == 0 {
        u64::from(u32::MAX)
    } else {
        u64::from(127 - a.leading_zeros())
    }
}
fn bfind_shift<T: Integer>(a: u64, _: u64, _: u64) -> u64 {
    match bfind::<T>(a, 0, 0) {
        found if found == u64::from(u32::MAX) => found,
        found => u64::from(T::BITS) - 1 - found,
    }
}

/// `prmt` without a mode: each nibble of the selector names a byte, or its sign spread.
fn permute(a: u64, b: u64, selector: u64) -> u64 {
    let bytes = a & 0xffff_ffff | b << 32;
    (0..4).fold(0, |d, index| {
        let select = selector >> (4 * index) & 0xf;
        let byte = bytes >> (8 * (select & 7)) & 0xff;
        let byte = if select & 8 == 0 { byte } else { 0xff * (byte >> 7) };
        d | byte << (8 * index)
    })
}

/// The modes of `prmt` as the selector of each value of its low bits.
fn permute_with(a: u64, b: u64, c: u64, selectors: [u64; 4]) -> u64 {
    permute(a, b, selectors[(c & 3) as usize])
}

fn lop3(a: u64, b: u64, c: u64, table: u64) -> u64 {
    let minterm = |index: u64| {
        let a = if index & 4 == 0 { !a } else { a };
        let b = if index & 2 == 0 { !b } else { b };
        let c = if index & 1 == 0 { !c } else { c };
        if table >> index & 1 == 1 { a & b & c } else { 0 }
    };
    (0..8).fold(0, |d, index| d | minterm(index)) as u32 as u64
}

/// The position of the n-th set bit from a base, upwards or downwards.
fn find_nth(mask: u64, base: u64, offset: u64) -> u64 {
    let (mask, offset) = (mask as u32, offset as i32);
    if base > 31 {
        return u64::from(u32::MAX);
    }
    let base = base as i32;
    let set = |position: &i32| mask >> position & 1 == 1;
    let found = match offset {
        0 => Some(base).filter(set),
        1.. => (base..32).filter(set).nth(offset as usize - 1),
        _ => (0..=base)
            .rev()
            .filter(set)
            .nth(offset.unsigned_abs() as usize - 1),
    };
    found.map_or(u64::from(u32::MAX), |position| position as u64)
}

fn bmsk<const WRAP: bool>(a: u64, b: u64, _: u64) -> u64 {
    let (a, b) = if WRAP {
        (a as u32 & 31, b as u32 & 31)
    } else {
        ((a as u32).min(32), (b as u32).min(32))
    };
    (((1u64 << b) - 1) << a) as u32 as u64
}

fn szext<const SIGNED: bool, const WRAP: bool>(a: u64, b: u64, _: u64) -> u64 {
    let (a, b) = (a as u32, b as u32);
    let width = if WRAP { b & 31 } else { b.min(32) };
    match width {
        0 => 0,
        32 => a.into(),
        _ if SIGNED => (((a << (32 - width)) as i32) >> (32 - width)).bits(),
        _ => (a & ((1 << width) - 1)).into(),
    }
}

impl<'t> Lower<'t, '_> {
    pub fn bits(&mut self, base: &str, mut m: Modifiers<'t>, s: &'t Statement<'t>) -> Result<(), LoadError> {
        let words = [Type::B16, Type::B32, Type::B64];
        match base {
            "and" | "or" | "xor" | "not" => {
                let of = m.last_type(&[Type::Pred, Type::B16, Type::B32, Type::B64])?;
                let (f, sources): (Ternary, _) = match (base, of) {
                    ("and", _) => (|a, b, _| a & b, 2),
                    ("or", _) => (|a, b, _| a | b, 2),
                    ("xor", _) => (|a, b, _| a ^ b, 2),
                    (_, Type::Pred) => (|a, _, _| a ^ 1, 1),
                    (_, Type::B16) => (|a, _, _| a ^ 0xffff, 1),
                    (_, Type::B32) => (|a, _, _| a ^ 0xffff_ffff, 1),
                    _ => (|a, _, _| !a, 1),
                };
                self.plain(s, of, &[of; 2][..sources], f)
            }
            "cnot" => {
                let of = m.last_type(&words)?;
                self.plain(s, of, &[of], |a, _, _| u64::from(a == 0))
            }
            "shl" => {
                let of = m.last_type(&words)?;
                let f: Ternary = match of {
                    Type::B16 => |a, b, _| if b > 15 { 0 } else { a << b & 0xffff },
                    Type::B32 => |a, b, _| if b > 31 { 0 } else { a << b & 0xffff_ffff },
                    _ => |a, b, _| if b > 63 { 0 } else { a << b },
                };
                self.plain(s, of, &[of, Type::U32], f)
            }
            "shr" => {
                let of = m.of_type()?;
                m.finish()?;
                let typed = match of {
                    Type::B16 => Type::U16,
                    Type::B32 => Type::U32,
                    Type::B64 => Type::U64,
                    other => other,
                };
                let f = for_integer!(typed, shr).ok_or_else(|| m.unknown())?;
                self.plain(s, of, &[of, Type::U32], f)
            }
            "shf" => self.funnel(m, s),
            "lop3" => self.lop3(m, s),
            "prmt" => self.prmt(m, s),
            "bfe" => {
                let of = m.last_type(&[Type::U32, Type::U64, Type::S32, Type::S64])?;
                let f = for_integer!(of, bfe).ok_or_else(|| m.unknown())?;
                self.plain(s, of, &[of, Type::U32, Type::U32], f)
            }
            "bfi" => {
                let of = m.last_type(&[Type::B32, Type::B64])?;
                let f: Quaternary = if of == Type::B32 { bfi::<u32> } else { bfi::<u64> };
                self.quaternary(s, of, [of, of, Type::U32, Type::U32], f)
            }
            "bfind" => {
                let shift = m.accept("shiftamt");
                let of = m.last_type(&[Type::U32, Type::U64, Type::S32, Type::S64])?;
                let f = if shift {
                    for_integer!(of, bfind_shift)
                } else {
                    for_integer!(of, bfind)
                };
                self.plain(s, Type::U32, &[of], f.ok_or_else(|| m.unknown())?)
            }
            "brev" => {
                let of = m.last_type(&[Type::B32, Type::B64])?;
                let f: Ternary = match of {
                    Type::B32 => |a, _, _| u64::from((a as u32).reverse_bits()),
                    _ => |a, _, _| a.reverse_bits(),
                };
                self.plain(s, of, &[of], f)
            }
            "clz" | "popc" => {
                let of = m.last_type(&[Type::B32, Type::B64])?;
                let f: Ternary = match (base, of) {
                    ("clz", Type::B32) => |a, _, _| u64::from((a as u32).leading_zeros()),
                    ("clz", _) => |a, _, _| u64::from(a.leading_zeros()),
                    _ => |a, _, _| u64::from(a.count_ones()),
                };
                self.plain(s, Type::U32, &[of], f)
            }
            "fns" => {
                m.last_type(&[Type::B32])?;
                self.plain(s, Type::U32, &[Type::U32; 3], find_nth)
            }
            "bmsk" => {
                let mode = m.take();
                m.last_type(&[Type::B32])?;
                let f: Ternary = match mode {
                    "clamp" => bmsk::<false>,
                    "wrap" => bmsk::<true>,
                    _ => return Err(m.unknown()),
                };
                self.plain(s, Type::U32, &[Type::U32; 2], f)
            }
            _ => {
                let mode = m.take();
                let of = m.last_type(&[Type::U32, Type::S32])?;
                let f: Ternary = match (mode, of) {
                    ("clamp", Type::U32) => szext::<false, false>,
                    ("wrap", Type::U32) => szext::<false, true>,
                    ("clamp", _) => szext::<true, false>,
                    ("wrap", _) => szext::<true, true>,
                    _ => return Err(m.unknown()),
                };
                self.plain(s, Type::U32, &[Type::U32; 2], f)
            }
        }
    }

    /// Decodes an instruction that computes one value from four operands.
    fn quaternary(
        &mut self,
        s: &'t Statement<'t>,
        to: Type,
        from: [Type; 4],
        f: Quaternary,
    ) -> Result<(), LoadError> {
        let [d, a, b, c, e] = &s.operands[..] else {
            return Err(self.wrong_operands(s));
        };
        let mut slots = [0; 4];
        for (slot, (operand, of)) in slots.iter_mut().zip([a, b, c, e].into_iter().zip(from)) {
            *slot = self.source(operand, of)?;
        }
        let d = self.destination(d, to)?;
        self.emit(Op::Compute4(Box::new((f, d, slots))));
        Ok(())
    }

    fn funnel(&mut self, mut m: Modifiers<'t>, s: &'t Statement<'t>) -> Result<(), LoadError> {
        let (direction, mode) = (m.take(), m.take());
        m.last_type(&[Type::B32])?;
        let f: Ternary = match (direction, mode) {
            ("l", "clamp") => |a, b, c| ((b << 32 | a) << c.min(32)) >> 32,
            ("l", "wrap") => |a, b, c| ((b << 32 | a) << (c & 31)) >> 32,
            ("r", "clamp") => |a, b, c| ((b << 32 | a) >> c.min(32)) as u32 as u64,
            ("r", "wrap") => |a, b, c| ((b << 32 | a) >> (c & 31)) as u32 as u64,
            _ => return Err(m.unknown()),
        };
        self.plain(s, Type::U32, &[Type::U32; 3], f)
    }

    fn lop3(&mut self, mut m: Modifiers<'t>, s: &'t Statement<'t>) -> Result<(), LoadError> {
        let boolean = m.accept_any(&["or", "and"]);
        m.last_type(&[Type::B32])?;
        let word = Type::B32;
        let Some(boolean) = boolean else {
            return self.quaternary(s, word, [word; 4], lop3);
        };
        let [Operand::Pair(d, p), a, b, c, table, q] = &s.operands[..] else {
            return Err(self.wrong_operands(s));
        };
        let mut slots = [0; 4];
        for (slot, operand) in slots.iter_mut().zip([a, b, c, table]) {
            *slot = self.source(operand, word)?;
        }
        let q = self.source(q, Type::Pred)?;
        let (d, p, result) = (
            self.destination(d, word)?,
            self.destination(p, Type::Pred)?,
            self.slot(),
        );
        self.emit(Op::Compute4(Box::new((lop3, result, slots))));
        let f: Ternary = match boolean {
            "or" => |value, q, _| u64::from(value != 0) | q,
            _ => |value, q, _| u64::from(value != 0) & q,
        };
        self.compute(f, p, &[result, q]);
        self.compute(|a, _, _| a, d, &[result]);
        Ok(())
    }

    fn prmt(&mut self, mut m: Modifiers<'t>, s: &'t Statement<'t>) -> Result<(), LoadError> {
        m.expect("b32")?;
        let mode = m.take();
        m.finish()?;
        let f: Ternary = match mode {
            "" => permute,
            "f4e" => |a, b, c| permute_with(a, b, c, [0x3210, 0x4321, 0x5432, 0x6543]),
            "b4e" => |a, b, c| permute_with(a, b, c, [0x5670, 0x6701, 0x7012, 0x0123]),
            "rc8" => |a, b, c| permute_with(a, b, c, [0x0000, 0x1111, 0x2222, 0x3333]),
            "ecl" => |a, b, c| permute_with(a, b, c, [0x3210, 0x3211, 0x3222, 0x3333]),
            "ecr" => |a, b, c| permute_with(a, b, c, [0x0000, 0x1110, 0x2210, 0x3210]),
            "rc16" => |a, b, c| permute_with(a, b, c, [0x1010, 0x3232, 0x1010, 0x3232]),
            _ => return Err(m.unknown()),
        };
        self.plain(s, Type::U32, &[Type::U32; 3], f)
    }
}
