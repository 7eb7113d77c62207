//! `mov`: copies, packing and unpacking.

use super::memory::storable;
use super::{Lower, Modifiers};
use crate::ptx::LoadError;
use crate::ptx::program::{Op, Quaternary, Slot, Ternary};
use crate::ptx::syntax::{Operand, Statement};
use crate::ptx::types::Type;

impl<'t> Lower<'t, '_> {
    pub fn moved(&mut self, mut m: Modifiers<'t>, s: &'t Statement<'t>) -> Result<(), LoadError> {
        let of = m.of_type()?;
        m.finish()?;
        m.require(of == Type::Pred || of.bytes() > 1 && storable(of))?;
        let [d, a] = &s.operands[..] else {
            return Err(self.wrong_operands(s));
        };
        match (d, a) {
            (Operand::Vector(parts), _) => self.unpack(of, parts, a),
            (_, Operand::Vector(parts)) => self.pack(of, d, parts),
            (_, Operand::Name(name)) if self.register(name).is_none() && name.starts_with('%') => {
                let what = self.special(name)?;
                let (d, register) = self.wide_destination(d, of)?;
                if register.bytes() != of.bytes() {
                    return Err(self.wrong_operands(s));
                }
                self.emit(Op::Special { d, what });
                Ok(())
            }
            _ => self.plain(s, of, &[of], |a, _, _| a),
        }
    }

    /// The type of one of `count` parts of a value.
    fn part(&self, of: Type, count: usize) -> Result<Type, LoadError> {
        match of.bytes() / count {
            1 => Ok(Type::B8),
            2 => Ok(Type::B16),
            4 => Ok(Type::B32),
            _ => Err(self.syntax("a vector that does not fit")),
        }
    }

    fn unpack(&mut self, of: Type, parts: &'t [Operand<'t>], a: &'t Operand<'t>) -> Result<(), LoadError> {
        let part = self.part(of, parts.len())?;
        let a = self.source(a, of)?;
        for (index, operand) in parts.iter().enumerate() {
            if *operand == Operand::Sink {
                continue;
            }
            let d = self.destination(operand, part)?;
            let shift = self.constant((8 * part.bytes() * index) as u64);
            let mask = self.constant(part.mask());
            self.compute(|a, shift, mask| a >> shift & mask, d, &[a, shift, mask]);
        }
        Ok(())
    }

    fn pack(&mut self, of: Type, d: &'t Operand<'t>, parts: &'t [Operand<'t>]) -> Result<(), LoadError> {
        let part = self.part(of, parts.len())?;
        let mut slots: Vec<Slot> = Vec::new();
        for operand in parts {
            slots.push(self.source(operand, part)?);
        }
        let d = self.destination(d, of)?;
        let pair: Ternary = match part {
            Type::B8 => |a, b, _| a | b << 8,
            Type::B16 => |a, b, _| a | b << 16,
            _ => |a, b, _| a | b << 32,
        };
        match slots[..] {
            [a, b] => self.compute(pair, d, &[a, b]),
            [a, b, c, e] => {
                let four: Quaternary = match part {
                    Type::B8 => |a, b, c, d| a | b << 8 | c << 16 | d << 24,
                    _ => |a, b, c, d| a | b << 16 | c << 32 | d << 48,
                };
                self.emit(Op::Compute4(Box::new((four, d, [a, b, c, e]))));
            }
            _ => return Err(self.syntax("a vector that does not fit")),
        }
        Ok(())
    }
}
