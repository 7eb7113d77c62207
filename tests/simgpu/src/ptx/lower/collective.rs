//! Barriers, and what the lanes of a warp do together.

use super::{Lower, Modifiers};
use crate::ptx::LoadError;
use crate::ptx::program::{Barrier, Collect, Collective, Meet, Op, Shuffle, Slot, Ternary};
use crate::ptx::syntax::{Operand, Statement};
use crate::ptx::types::Type;

impl<'t> Lower<'t, '_> {
    pub fn collective(
        &mut self,
        base: &str,
        mut m: Modifiers<'t>,
        s: &'t Statement<'t>,
    ) -> Result<(), LoadError> {
        match base {
            "bar" if m.clone().accept("warp") => {
                m.take();
                m.expect("sync")?;
                m.finish()?;
                let [mask] = &s.operands[..] else {
                    return Err(self.wrong_operands(s));
                };
                let mask = self.source(mask, Type::U32)?;
                self.collect(Collect::Sync, mask, 0, 0, [0; 3]);
                Ok(())
            }
            "bar" => {
                m.accept("cta");
                self.barrier(true, m, s)
            }
            "barrier" => {
                m.accept("cta");
                self.barrier(false, m, s)
            }
            "activemask" => {
                m.last_type(&[Type::B32])?;
                let [d] = &s.operands[..] else {
                    return Err(self.wrong_operands(s));
                };
                let d = self.destination(d, Type::U32)?;
                self.collect(Collect::ActiveMask, 0, d, 0, [0; 3]);
                Ok(())
            }
            // Forms without `.sync` do not exist on the architectures that this is.
            "elect" => {
                m.expect("sync")?;
                m.finish()?;
                let [d, mask] = &s.operands[..] else {
                    return Err(self.wrong_operands(s));
                };
                let (d, p) = self.with_predicate(d, Type::U32)?;
                let mask = self.source(mask, Type::U32)?;
                self.collect(Collect::Elect, mask, d, p, [0; 3]);
                Ok(())
            }
            "shfl" => self.shuffle(m, s),
            "vote" => self.vote(m, s),
            "match" => self.matching(m, s),
            _ => self.redux(m, s),
        }
    }

    fn collect(&mut self, what: Collect, mask: Slot, d: Slot, p: Slot, [a, b, c]: [Slot; 3]) {
        let p = if p == 0 { self.slot() } else { p };
        let d = if d == 0 { self.slot() } else { d };
        self.emit(Op::Collective(Box::new(Collective {
            what,
            mask,
            d,
            p,
            a,
            b,
            c,
        })));
    }

    /// The slots of `d|p`; p is 0 if it is not there.
    fn with_predicate(&mut self, operand: &'t Operand<'t>, of: Type) -> Result<(Slot, Slot), LoadError> {
        match operand {
            Operand::Pair(d, p) => Ok((self.destination(d, of)?, self.destination(p, Type::Pred)?)),
            d => Ok((self.destination(d, of)?, 0)),
        }
    }

    fn shuffle(&mut self, mut m: Modifiers<'t>, s: &'t Statement<'t>) -> Result<(), LoadError> {
        m.expect("sync")?;
        let mode = match m.take() {
            "up" => Shuffle::Up,
            "down" => Shuffle::Down,
            "bfly" => Shuffle::Butterfly,
            "idx" => Shuffle::Index,
            _ => return Err(m.unknown()),
        };
        m.last_type(&[Type::B32])?;
        let [d, a, b, c, mask] = &s.operands[..] else {
            return Err(self.wrong_operands(s));
        };
        let (d, p) = self.with_predicate(d, Type::B32)?;
        let [a, b, c, mask] = [a, b, c, mask].map(|operand| self.source(operand, Type::B32));
        self.collect(Collect::Shuffle(mode), mask?, d, p, [a?, b?, c?]);
        Ok(())
    }

    fn vote(&mut self, mut m: Modifiers<'t>, s: &'t Statement<'t>) -> Result<(), LoadError> {
        m.expect("sync")?;
        let what = match m.take() {
            "all" => Collect::All,
            "any" => Collect::Any,
            "uni" => Collect::Uniform,
            "ballot" => Collect::Ballot,
            _ => return Err(m.unknown()),
        };
        let to = m.last_type(&[if matches!(what, Collect::Ballot) {
            Type::B32
        } else {
            Type::Pred
        }])?;
        let [d, a, mask] = &s.operands[..] else {
            return Err(self.wrong_operands(s));
        };
        let d = self.destination(d, to)?;
        let (a, mask) = (self.source(a, Type::Pred)?, self.source(mask, Type::B32)?);
        self.collect(what, mask, d, 0, [a, 0, 0]);
        Ok(())
    }

    fn matching(&mut self, mut m: Modifiers<'t>, s: &'t Statement<'t>) -> Result<(), LoadError> {
        let what = match m.take() {
            "any" => Collect::MatchAny,
            "all" => Collect::MatchAll,
            _ => return Err(m.unknown()),
        };
        m.expect("sync")?;
        let of = m.last_type(&[Type::B32, Type::B64])?;
        let [d, a, mask] = &s.operands[..] else {
            return Err(self.wrong_operands(s));
        };
        let (d, p) = self.with_predicate(d, Type::B32)?;
        m.require(p == 0 || matches!(what, Collect::MatchAll))?;
        let (a, mask) = (self.source(a, of)?, self.source(mask, Type::B32)?);
        self.collect(what, mask, d, p, [a, 0, 0]);
        Ok(())
    }

    fn redux(&mut self, mut m: Modifiers<'t>, s: &'t Statement<'t>) -> Result<(), LoadError> {
        m.expect("sync")?;
        let operation = m.take();
        let of = m.last_type(&[Type::U32, Type::S32, Type::B32])?;
        let f: Ternary = match (operation, of) {
            ("add", Type::U32 | Type::S32) => |a, b, _| a.wrapping_add(b) as u32 as u64,
            ("min", Type::U32) => |a, b, _| a.min(b),
            ("max", Type::U32) => |a, b, _| a.max(b),
            ("min", Type::S32) => |a, b, _| (a as i32).min(b as i32) as u32 as u64,
            ("max", Type::S32) => |a, b, _| (a as i32).max(b as i32) as u32 as u64,
            ("and", Type::B32) => |a, b, _| a & b,
            ("or", Type::B32) => |a, b, _| a | b,
            ("xor", Type::B32) => |a, b, _| a ^ b,
            _ => return Err(m.unknown()),
        };
        let [d, a, mask] = &s.operands[..] else {
            return Err(self.wrong_operands(s));
        };
        let d = self.destination(d, of)?;
        let (a, mask) = (self.source(a, of)?, self.source(mask, Type::B32)?);
        self.collect(Collect::Reduce(f), mask, d, 0, [a, 0, 0]);
        Ok(())
    }

    fn barrier(
        &mut self,
        always_aligned: bool,
        mut m: Modifiers<'t>,
        s: &'t Statement<'t>,
    ) -> Result<(), LoadError> {
        let kind = m
            .accept_any(&["sync", "arrive", "red"])
            .ok_or_else(|| m.unknown())?;
        let reduction = if kind == "red" { m.take() } else { "" };
        let aligned = always_aligned || m.accept("aligned");
        let (operands, what) = match kind {
            "sync" => (&s.operands[..], Meet::Sync),
            "arrive" => (&s.operands[..], Meet::Arrive),
            _ => {
                let of = m.of_type()?;
                let [d, operands @ .., a] = &s.operands[..] else {
                    return Err(self.wrong_operands(s));
                };
                let d = self.destination(d, of)?;
                let a = self.source(a, Type::Pred)?;
                let what = match (reduction, of) {
                    ("popc", Type::U32) => Meet::Popc { d, a },
                    ("and", Type::Pred) => Meet::And { d, a },
                    ("or", Type::Pred) => Meet::Or { d, a },
                    _ => return Err(m.unknown()),
                };
                (operands, what)
            }
        };
        m.finish()?;
        let (id, count) = match operands {
            [id] if what != Meet::Arrive => (id, None),
            [id, count] => (id, Some(count)),
            _ => return Err(self.wrong_operands(s)),
        };
        let id = self.source(id, Type::U32)?;
        let count = match count {
            Some(count) => {
                self.linker.cross_warp = true;
                Some(self.source(count, Type::U32)?)
            }
            None => None,
        };
        self.emit(Op::Barrier(Box::new(Barrier {
            id,
            count,
            aligned,
            what,
        })));
        Ok(())
    }
}
