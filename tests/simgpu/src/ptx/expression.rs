//! Constant expressions: what may stand where a number does.

use super::LoadError;
use super::parse::Parser;
use super::scan::Number;

/// The binary operators, from those that bind least.
const OPERATORS: [&[&str]; 10] = [
    &["||"],
    &["&&"],
    &["|"],
    &["^"],
    &["&"],
    &["==", "!="],
    &["<=", ">=", "<", ">"],
    &["<<", ">>"],
    &["+", "-"],
    &["*", "/", "%"],
];

impl Parser<'_> {
    /// A constant expression; only integers have operators.
    pub fn expression(&mut self) -> Result<Number, LoadError> {
        let condition = self.binary(0)?;
        if !self.scanner.accept(b'?') {
            return Ok(condition);
        }
        let yes = self.expression()?;
        self.scanner.expect(b':')?;
        let no = self.expression()?;
        Ok(if self.integer(condition)? != 0 { yes } else { no })
    }

    fn integer(&self, number: Number) -> Result<i64, LoadError> {
        match number {
            Number::Integer(bits) => Ok(bits as i64),
            _ => Err(self.scanner.syntax("an operator of integers")),
        }
    }

    fn binary(&mut self, level: usize) -> Result<Number, LoadError> {
        let Some(operators) = OPERATORS.get(level) else {
            return self.unary();
        };
        let mut left = self.binary(level + 1)?;
        while let Some(operator) = self.scanner.accept_operator(operators) {
            let right = self.binary(level + 1)?;
            let (a, b) = (self.integer(left)?, self.integer(right)?);
            let truth = |holds: bool| Some(i64::from(holds));
            let value = match operator {
                "||" => truth(a != 0 || b != 0),
                "&&" => truth(a != 0 && b != 0),
                "|" => Some(a | b),
                "^" => Some(a ^ b),
                "&" => Some(a & b),
                "==" => truth(a == b),
                "!=" => truth(a != b),
                "<=" => truth(a <= b),
                ">=" => truth(a >= b),
                "<" => truth(a < b),
                ">" => truth(a > b),
                "<<" => Some(a.checked_shl(b as u32).unwrap_or(0)),
                ">>" => Some(a >> b.clamp(0, 63)),
                "+" => Some(a.wrapping_add(b)),
                "-" => Some(a.wrapping_sub(b)),
                "*" => Some(a.wrapping_mul(b)),
                "/" => a.checked_div(b),
                _ => a.checked_rem(b),
            };
            let value = value.ok_or_else(|| self.scanner.syntax("a division by zero before"))?;
            left = Number::Integer(value as u64);
        }
        Ok(left)
    }

    fn unary(&mut self) -> Result<Number, LoadError> {
        if self.scanner.accept(b'(') {
            let inner = self.expression()?;
            self.scanner.expect(b')')?;
            return Ok(inner);
        }
        for (operator, f) in [(b'~', (|a| !a) as fn(i64) -> i64), (b'!', |a| i64::from(a == 0))] {
            if self.scanner.accept(operator) {
                let operand = self.unary()?;
                return Ok(Number::Integer(f(self.integer(operand)?) as u64));
            }
        }
        if self.scanner.peek() == b'-' && self.scanner.peek_second() == b'(' {
            self.scanner.accept(b'-');
            let operand = self.unary()?;
            return Ok(Number::Integer(self.integer(operand)?.wrapping_neg() as u64));
        }
        self.scanner.number()
    }
}
