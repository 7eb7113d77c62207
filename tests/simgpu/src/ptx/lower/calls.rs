//! Calls of functions.

use super::{Label, Lower, Modifiers};
use crate::ptx::LoadError;
use crate::ptx::program::{Call, Held, Op, Target};
use crate::ptx::syntax::{Formal, Item, Operand, Statement};
use crate::ptx::types::Type;

impl<'t> Lower<'t, '_> {
    pub fn call(&mut self, mut m: Modifiers<'t>, s: &'t Statement<'t>) -> Result<(), LoadError> {
        m.accept("uni");
        m.finish()?;
        let (returns, rest) = match &s.operands[..] {
            [Operand::List(returns), rest @ ..] => (&returns[..], rest),
            rest => (&[][..], rest),
        };
        let (callee, arguments, prototype) = match rest {
            [Operand::Name(callee)] => (*callee, &[][..], None),
            [Operand::Name(callee), Operand::List(arguments)] => (*callee, &arguments[..], None),
            [
                Operand::Name(callee),
                Operand::List(arguments),
                Operand::Name(prototype),
            ] => (*callee, &arguments[..], Some(*prototype)),
            _ => return Err(self.wrong_operands(s)),
        };
        let direct = self
            .symbols
            .functions
            .get(callee)
            .copied()
            .filter(|_| self.register(callee).is_none());
        let functions = &self.symbols.tree.functions;
        let (target, expected) = match direct {
            Some(index) => {
                let function = &functions[index];
                let target = match (function.name, &function.body) {
                    (_, Some(_)) if !function.entry => Target::Routine(self.linker.routine(index)),
                    ("vprintf", None) => Target::Print,
                    ("__assertfail", None) => Target::AssertFail,
                    (name, _) => return Err(self.unknown(&format!("a call of `{name}`, which has no body"))),
                };
                (target, (&function.returns[..], &function.formals[..]))
            }
            None => {
                let pointer = self.source(&Operand::Name(callee), Type::U64)?;
                let label = prototype.and_then(|name| self.label(self.scope, name));
                if !matches!(label, Some(Label::Prototype | Label::Targets(_))) {
                    return Err(self.syntax("an indirect call without a prototype"));
                }
                let expected = self.prototype(prototype.unwrap_or_default())?;
                // Whose address is taken where is not followed: every function may be called.
                for (index, function) in functions.iter().enumerate() {
                    if !function.entry && function.body.is_some() {
                        self.linker.routine(index);
                    }
                }
                (Target::Pointer(pointer), expected)
            }
        };
        if expected.0.len() != returns.len() || expected.1.len() != arguments.len() {
            return Err(self.wrong_operands(s));
        }
        let arguments = self.held(arguments, expected.1, false)?;
        let returns = self.held(returns, expected.0, true)?;
        self.emit(Op::Call(Box::new(Call {
            target,
            arguments,
            returns,
        })));
        Ok(())
    }

    /// The returned values and formal parameters that a prototype, or the first of a list of targets, has.
    fn prototype(&self, name: &str) -> Result<(&'t [Formal<'t>], &'t [Formal<'t>]), LoadError> {
        let functions = &self.symbols.tree.functions;
        for item in self.function.body.iter().flatten() {
            match item {
                Item::Prototype {
                    label,
                    returns,
                    formals,
                } if *label == name => {
                    return Ok((returns, formals));
                }
                Item::Targets { label, names } if *label == name => {
                    let first = names.first().and_then(|first| self.symbols.functions.get(first));
                    let function = first.map(|&index| &functions[index]);
                    return function
                        .map(|function| (&function.returns[..], &function.formals[..]))
                        .ok_or_else(|| self.syntax(&format!("`{name}` names no functions")));
                }
                _ => {}
            }
        }
        Err(self.syntax(&format!("`{name}` is no prototype")))
    }

    /// Where arguments or returned values are held in this function.
    fn held(
        &mut self,
        operands: &'t [Operand<'t>],
        formals: &[Formal],
        written: bool,
    ) -> Result<Vec<Held>, LoadError> {
        let mut held = Vec::new();
        for (operand, formal) in operands.iter().zip(formals) {
            let variable = match operand {
                Operand::Name(name) => self.frame_variable(name),
                _ => None,
            };
            held.push(match variable {
                Some((offset, bytes)) => {
                    if formal.register || bytes as usize != formal.bytes {
                        return Err(self.syntax(&format!("`{operand:?}` does not fit `{}`", formal.name)));
                    }
                    Held::Memory { offset, bytes }
                }
                None if written => Held::Slot(self.destination(operand, formal.element)?),
                None => Held::Slot(self.source(operand, formal.element)?),
            });
        }
        Ok(held)
    }
}
