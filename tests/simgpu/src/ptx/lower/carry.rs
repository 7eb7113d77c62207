//! Extended precision: additions and multiplications that read or write the carry flag.

use super::{Lower, Modifiers};
use crate::ptx::LoadError;
use crate::ptx::program::{Slot, Ternary};
use crate::ptx::syntax::Statement;
use crate::ptx::types::Type;

const TYPES: [Type; 4] = [Type::U32, Type::S32, Type::U64, Type::S64];

// A subtraction is an addition of the complement: the flag holds the carry of that, which is PTX's borrow
// inverted; the two never meet, since a flag is read by the kind of operation that wrote it.

fn sum<const WIDE: bool>(a: u64, b: u64, carry: u64) -> u64 {
    let sum = a.wrapping_add(b).wrapping_add(carry);
    if WIDE { sum } else { sum as u32 as u64 }
}
fn sum_carry<const WIDE: bool>(a: u64, b: u64, carry: u64) -> u64 {
    let sum = u128::from(a) + u128::from(b) + u128::from(carry);
    (sum >> if WIDE { 64 } else { 32 }) as u64
}
fn difference<const WIDE: bool>(a: u64, b: u64, borrow: u64) -> u64 {
    let difference = a.wrapping_sub(b).wrapping_sub(borrow);
    if WIDE {
        difference
    } else {
        difference as u32 as u64
    }
}
fn difference_borrow<const WIDE: bool>(a: u64, b: u64, borrow: u64) -> u64 {
    let _ = WIDE;
    u64::from(u128::from(a) < u128::from(b) + u128::from(borrow))
}

fn product(of: Type, high: bool) -> Ternary {
    match (of, high) {
        (Type::U32 | Type::S32, false) => |a, b, _| a.wrapping_mul(b) as u32 as u64,
        (Type::U32, true) => |a, b, _| (a * b) >> 32,
        (Type::S32, true) => |a, b, _| ((i64::from(a as i32) * i64::from(b as i32)) as u64) >> 32,
        (Type::S64, true) => |a, b, _| ((i128::from(a as i64) * i128::from(b as i64)) >> 64) as u64,
        (_, true) => |a, b, _| ((u128::from(a) * u128::from(b)) >> 64) as u64,
        _ => |a, b, _| a.wrapping_mul(b),
    }
}

impl<'t> Lower<'t, '_> {
    fn carry_flag(&mut self) -> Slot {
        if let Some(slot) = self.carry {
            return slot;
        }
        let slot = self.slot();
        self.carry = Some(slot);
        slot
    }

    pub fn carrying(
        &mut self,
        base: &str,
        mut m: Modifiers<'t>,
        s: &'t Statement<'t>,
    ) -> Result<(), LoadError> {
        let multiplies = matches!(base, "mad" | "madc");
        let high = multiplies
            && match m.take() {
                "lo" => false,
                "hi" => true,
                _ => return Err(m.unknown()),
            };
        let writes = m.accept("cc");
        let of = m.last_type(&TYPES)?;
        let subtracts = match base {
            "add" | "addc" | "mad" | "madc" => false,
            "sub" | "subc" => true,
            _ => return Err(m.unknown()),
        };
        let [d, sources @ ..] = &s.operands[..] else {
            return Err(self.wrong_operands(s));
        };
        if sources.len() != if multiplies { 3 } else { 2 } {
            return Err(self.wrong_operands(s));
        }
        let mut slots = Vec::new();
        for source in sources {
            slots.push(self.source(source, of)?);
        }
        let d = self.destination(d, of)?;
        let (a, b) = if multiplies {
            let product_slot = self.slot();
            self.compute(product(of, high), product_slot, &slots[..2]);
            (product_slot, slots[2])
        } else {
            (slots[0], slots[1])
        };
        let flag = self.carry_flag();
        let carry_in = if base.ends_with('c') {
            flag
        } else {
            self.constant(0)
        };
        let wide = of.bytes() == 8;
        let (value, carry): (Ternary, Ternary) = match (subtracts, wide) {
            (false, false) => (sum::<false>, sum_carry::<false>),
            (false, true) => (sum::<true>, sum_carry::<true>),
            (true, false) => (difference::<false>, difference_borrow::<false>),
            (true, true) => (difference::<true>, difference_borrow::<true>),
        };
        let result = self.slot();
        self.compute(value, result, &[a, b, carry_in]);
        if writes {
            self.compute(carry, flag, &[a, b, carry_in]);
        }
        self.compute(|a, _, _| a, d, &[result]);
        Ok(())
    }
}
