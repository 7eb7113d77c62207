//! Parsing the body of a function: declarations, labels, instructions and their operands.

use super::LoadError;
use super::parse::Parser;
use super::scan::Number;
use super::syntax::{Item, Operand, Statement};

impl<'a> Parser<'a> {
    pub fn body(&mut self) -> Result<Vec<Item<'a>>, LoadError> {
        self.scanner.expect(b'{')?;
        let mut items = Vec::new();
        let mut depth = 0;
        loop {
            match self.scanner.peek() {
                0 if self.scanner.at_end() => return Err(self.scanner.syntax("a body that does not end")),
                b'{' => {
                    self.scanner.accept(b'{');
                    items.push(Item::Open);
                    depth += 1;
                }
                b'}' => {
                    self.scanner.accept(b'}');
                    if depth == 0 {
                        return Ok(items);
                    }
                    items.push(Item::Close);
                    depth -= 1;
                }
                b';' => {
                    self.scanner.accept(b';');
                }
                b'.' => self.body_directive(&mut items)?,
                _ => self.statement(&mut items)?,
            }
        }
    }

    fn body_directive(&mut self, items: &mut Vec<Item<'a>>) -> Result<(), LoadError> {
        match self.scanner.directive() {
            ".loc" | ".file" => self.scanner.skip_line(),
            ".pragma" => self.scanner.skip_past(b';'),
            ".reg" => {
                self.scanner.word();
                let element = self.declarator()?;
                if element.lanes != 1 {
                    return Err(self.scanner.unknown("vector registers"));
                }
                loop {
                    let name = self.scanner.name()?;
                    let count = self.family()?;
                    items.push(Item::Registers {
                        element: element.element,
                        name,
                        count,
                    });
                    if !self.scanner.accept(b',') {
                        break;
                    }
                }
                self.scanner.expect(b';')?;
            }
            ".extern" => {
                self.scanner.word();
                items.extend(self.variables(true)?.into_iter().map(Item::Variable));
            }
            ".visible" | ".weak" => {
                self.scanner.word();
            }
            ".global" | ".const" | ".shared" | ".local" | ".param" => {
                items.extend(self.variables(false)?.into_iter().map(Item::Variable));
            }
            other => return Err(self.scanner.unknown(&format!("directive `{other}`"))),
        }
        Ok(())
    }

    fn statement(&mut self, items: &mut Vec<Item<'a>>) -> Result<(), LoadError> {
        let place = self.scanner.place();
        let mut guard = None;
        if self.scanner.accept(b'@') {
            let negated = self.scanner.accept(b'!');
            guard = Some((self.scanner.name()?, negated));
        }
        if !self.scanner.at_name() {
            return Err(self.scanner.syntax("expected an instruction"));
        }
        let opcode = self.scanner.word();
        if guard.is_none() && self.scanner.accept_colon() {
            return self.label(opcode, items);
        }
        let mut operands = Vec::new();
        while self.scanner.peek() != b';' {
            // The separators of a call's lists are not always there.
            if !operands.is_empty() && !self.scanner.accept(b',') {
                return Err(self.scanner.syntax("expected `,` or `;`"));
            }
            operands.push(self.operand(opcode.starts_with("call"))?);
        }
        let place = self.scanner.until_here(place);
        self.scanner.expect(b';')?;
        items.push(Item::Statement(Statement {
            place,
            guard,
            opcode,
            operands,
        }));
        Ok(())
    }

    fn label(&mut self, label: &'a str, items: &mut Vec<Item<'a>>) -> Result<(), LoadError> {
        match self.scanner.directive() {
            ".branchtargets" | ".calltargets" => {
                self.scanner.word();
                let mut names = vec![self.scanner.name()?];
                while self.scanner.accept(b',') {
                    names.push(self.scanner.name()?);
                }
                self.scanner.expect(b';')?;
                items.push(Item::Targets { label, names });
            }
            ".callprototype" => {
                self.scanner.word();
                let returns = self.formals()?;
                self.scanner.name()?;
                let formals = self.formals()?;
                while self.scanner.accept_directive(".noreturn") {}
                self.scanner.expect(b';')?;
                items.push(Item::Prototype {
                    label,
                    returns,
                    formals,
                });
            }
            _ => items.push(Item::Label(label)),
        }
        Ok(())
    }

    fn operands_until(&mut self, end: u8) -> Result<Vec<Operand<'a>>, LoadError> {
        let mut operands = Vec::new();
        while !self.scanner.accept(end) {
            if !operands.is_empty() {
                self.scanner.expect(b',')?;
            }
            operands.push(self.operand(false)?);
        }
        Ok(operands)
    }

    /// An operand; only a call has lists of them.
    fn operand(&mut self, calls: bool) -> Result<Operand<'a>, LoadError> {
        let operand = match self.scanner.peek() {
            b'{' => {
                self.scanner.accept(b'{');
                Operand::Vector(self.operands_until(b'}')?)
            }
            b'(' if calls => {
                self.scanner.accept(b'(');
                Operand::List(self.operands_until(b')')?)
            }
            b'[' => {
                self.scanner.accept(b'[');
                let base = if self.scanner.at_name() {
                    Some(self.scanner.name()?)
                } else {
                    None
                };
                let offset = if self.scanner.peek() == b']' {
                    0
                } else {
                    self.scanner.natural()? as i64
                };
                self.scanner.expect(b']')?;
                Operand::Address(base, offset)
            }
            b'!' => {
                self.scanner.accept(b'!');
                Operand::Not(self.scanner.name()?)
            }
            _ if self.scanner.at_name() => match self.scanner.dotted()? {
                "_" => Operand::Sink,
                "WARP_SZ" => Operand::Integer(32),
                name if matches!(self.scanner.peek(), b'+' | b'-') => {
                    Operand::Sum(name, self.scanner.natural()? as i64)
                }
                name => Operand::Name(name),
            },
            _ => match self.expression()? {
                Number::Integer(bits) => Operand::Integer(bits),
                Number::Float32(bits) => Operand::Float32(bits),
                Number::Float64(bits) => Operand::Float64(bits),
            },
        };
        if self.scanner.accept(b'|') {
            return Ok(Operand::Pair(Box::new(operand), Box::new(self.operand(false)?)));
        }
        Ok(operand)
    }
}
