//! Local memory of a size that is known only when it is asked for.

use super::{Lower, Modifiers};
use crate::ptx::LoadError;
use crate::ptx::program::Op;
use crate::ptx::syntax::{Operand, Statement};
use crate::ptx::types::Type;

impl<'t> Lower<'t, '_> {
    pub fn stack(&mut self, base: &str, mut m: Modifiers<'t>, s: &'t Statement<'t>) -> Result<(), LoadError> {
        let of = m.last_type(&[Type::U64])?;
        match (base, &s.operands[..]) {
            ("alloca", [d, size, rest @ ..]) => {
                let align = match rest {
                    [] => 8,
                    [Operand::Integer(align)] if align.is_power_of_two() && *align <= 16 => *align as u32,
                    _ => return Err(self.wrong_operands(s)),
                };
                let size = self.source(size, of)?;
                let d = self.destination(d, of)?;
                self.emit(Op::Allocate { d, size, align });
                Ok(())
            }
            ("stacksave", [d]) => {
                let d = self.destination(d, of)?;
                self.emit(Op::StackSave(d));
                Ok(())
            }
            ("stackrestore", [a]) => {
                let a = self.source(a, of)?;
                self.emit(Op::StackRestore(a));
                Ok(())
            }
            _ => Err(self.wrong_operands(s)),
        }
    }
}
