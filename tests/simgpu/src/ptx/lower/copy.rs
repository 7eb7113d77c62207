//! Asynchronous copies to shared memory, which a thread waits for in groups.

use super::{Lower, Modifiers};
use crate::ptx::LoadError;
use crate::ptx::program::{AccessSpace, AsyncCopy, Op};
use crate::ptx::syntax::{Operand, Statement};
use crate::ptx::types::Type;

impl<'t> Lower<'t, '_> {
    pub fn copy(&mut self, mut m: Modifiers<'t>, s: &'t Statement<'t>) -> Result<(), LoadError> {
        m.expect("async")?;
        match m.expect_any(&["ca", "cg", "commit_group", "wait_group", "wait_all"])? {
            "commit_group" => {
                m.finish()?;
                self.emit(Op::CopyCommit);
                Ok(())
            }
            "wait_all" => {
                m.finish()?;
                // What is not committed yet counts as committed.
                self.emit(Op::CopyCommit);
                self.emit(Op::CopyWait(0));
                Ok(())
            }
            "wait_group" => {
                m.finish()?;
                let [Operand::Integer(groups)] = s.operands[..] else {
                    return Err(self.wrong_operands(s));
                };
                self.emit(Op::CopyWait(groups as u32));
                Ok(())
            }
            cache => self.copy_start(cache, m, s),
        }
    }

    fn copy_start(
        &mut self,
        cache: &str,
        mut m: Modifiers<'t>,
        s: &'t Statement<'t>,
    ) -> Result<(), LoadError> {
        m.expect_any(&["shared", "shared::cta"])?;
        m.expect("global")?;
        let hint = m.accept("L2::cache_hint");
        m.accept_any(&["L2::64B", "L2::128B", "L2::256B"]);
        m.finish()?;
        let operands = &s.operands[..s.operands.len() - usize::from(hint && s.operands.len() > 3)];
        let (to, from, bytes, filled) = match operands {
            [to, from, Operand::Integer(bytes)] => (to, from, *bytes, None),
            [to, from, Operand::Integer(bytes), filled] => (to, from, *bytes, Some(filled)),
            _ => return Err(self.wrong_operands(s)),
        };
        if !matches!((cache, bytes), (_, 16) | ("ca", 4 | 8)) {
            return Err(self.wrong_operands(s));
        }
        let source_bytes = match filled {
            Some(operand) => self.source(operand, Type::U32)?,
            None => self.constant(bytes),
        };
        let to = self.address(to, AccessSpace::Shared, bytes as u32, false)?;
        let from = self.address(from, AccessSpace::Global, bytes as u32, false)?;
        self.emit(Op::CopyStart(Box::new(AsyncCopy {
            to,
            from,
            bytes: bytes as u32,
            source_bytes,
        })));
        Ok(())
    }
}
