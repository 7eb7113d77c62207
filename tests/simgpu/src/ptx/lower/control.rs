//! Branches and the ends of threads.

use super::{Lower, Modifiers, Pending};
use crate::ptx::LoadError;
use crate::ptx::program::Op;
use crate::ptx::syntax::{Operand, Statement};
use crate::ptx::types::Type;

impl<'t> Lower<'t, '_> {
    pub fn control(
        &mut self,
        base: &str,
        mut m: Modifiers<'t>,
        s: &'t Statement<'t>,
    ) -> Result<(), LoadError> {
        match (base, &s.operands[..]) {
            ("bra", &[Operand::Name(label)]) => {
                m.accept("uni");
                m.finish()?;
                self.branch(label, Op::Branch(u32::MAX));
                Ok(())
            }
            ("brx", [index, Operand::Name(label)]) => {
                m.expect("idx")?;
                m.accept("uni");
                m.finish()?;
                let index = self.source(index, Type::U32)?;
                self.branch(
                    label,
                    Op::BranchIndexed {
                        index,
                        targets: Box::new([]),
                    },
                );
                Ok(())
            }
            ("ret", []) => {
                m.accept("uni");
                m.finish()?;
                self.emit(Op::Return);
                Ok(())
            }
            ("exit", []) => m.finish().map(|()| self.emit(Op::Exit)),
            ("trap", []) => m.finish().map(|()| self.emit(Op::Trap("the kernel traps"))),
            ("brkpt", []) => m
                .finish()
                .map(|()| self.emit(Op::Trap("the kernel stops for a debugger that is not there"))),
            ("nanosleep", [duration]) => {
                m.last_type(&[Type::U32])?;
                self.source(duration, Type::U32)?;
                self.emit(Op::Sleep);
                Ok(())
            }
            ("pmevent", [_]) => {
                m.accept("mask");
                m.finish()
            }
            ("bra" | "brx" | "ret" | "exit" | "trap" | "brkpt" | "nanosleep" | "pmevent", _) => {
                Err(self.wrong_operands(s))
            }
            _ => Err(m.unknown()),
        }
    }

    fn branch(&mut self, label: &'t str, op: Op) {
        let instruction = self.linker.code.len();
        self.pending.push(Pending {
            instruction,
            scope: self.scope,
            label,
            line: self.place.line,
        });
        self.emit(op);
    }
}
