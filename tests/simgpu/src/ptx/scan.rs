//! Scanning a text: blanks and comments, names, numbers.

use super::LoadError;
use super::syntax::Place;

/// A position in a text.
pub struct Scanner<'a> {
    text: &'a str,
    at: usize,
    line: u32,
}

/// A number as PTX writes it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Number {
    Integer(u64),
    Float32(u32),
    Float64(u64),
}

fn of_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'$' | b'%')
}

impl<'a> Scanner<'a> {
    pub fn new(text: &'a str) -> Self {
        let mut scanner = Self { text, at: 0, line: 1 };
        scanner.blanks();
        scanner
    }

    pub fn at_end(&self) -> bool {
        self.at >= self.text.len()
    }

    /// The next byte; 0 at the end.
    pub fn peek(&self) -> u8 {
        self.byte(0)
    }

    fn byte(&self, ahead: usize) -> u8 {
        self.text.as_bytes().get(self.at + ahead).copied().unwrap_or(0)
    }

    pub fn place(&self) -> Place {
        Place {
            line: self.line,
            start: self.at as u32,
            end: self.at as u32,
        }
    }

    /// `from`, ended at what was last scanned.
    pub fn until_here(&self, from: Place) -> Place {
        let end = self.text[..self.at].trim_end().len();
        Place {
            end: end.max(from.start as usize) as u32,
            ..from
        }
    }

    pub fn syntax(&self, what: &str) -> LoadError {
        let rest: String = self.text[self.at..]
            .chars()
            .take_while(|&c| c != '\n')
            .take(40)
            .collect();
        LoadError::Syntax(format!("line {}: {what} at `{rest}`", self.line))
    }

    pub fn unknown(&self, what: &str) -> LoadError {
        LoadError::Unknown(format!("line {}: {what}", self.line))
    }

    fn blanks(&mut self) {
        loop {
            match self.peek() {
                b'\n' => {
                    self.line += 1;
                    self.at += 1;
                }
                b' ' | b'\t' | b'\r' => self.at += 1,
                b'/' if self.byte(1) == b'/' => self.rest_of_line(),
                b'/' if self.byte(1) == b'*' => {
                    let rest = &self.text[self.at..];
                    let comment = rest.find("*/").map_or(rest, |end| &rest[..end + 2]);
                    self.line += comment.bytes().filter(|&byte| byte == b'\n').count() as u32;
                    self.at += comment.len();
                }
                _ => return,
            }
        }
    }

    fn rest_of_line(&mut self) {
        while !self.at_end() && self.peek() != b'\n' {
            self.at += 1;
        }
    }

    /// Skips the rest of a line, of a directive for debuggers.
    pub fn skip_line(&mut self) {
        self.rest_of_line();
        self.blanks();
    }

    /// Skips to behind the next `end`.
    pub fn skip_past(&mut self, end: u8) {
        while !self.at_end() {
            let byte = self.peek();
            self.line += u32::from(byte == b'\n');
            self.at += 1;
            if byte == end {
                break;
            }
        }
        self.blanks();
    }

    /// Takes `what` if it comes next.
    pub fn accept(&mut self, what: u8) -> bool {
        let here = self.peek() == what && !self.at_end();
        if here {
            self.at += 1;
            self.blanks();
        }
        here
    }

    pub fn expect(&mut self, what: u8) -> Result<(), LoadError> {
        if self.accept(what) {
            return Ok(());
        }
        Err(self.syntax(&format!("expected `{}`", what as char)))
    }

    /// The byte behind the next one.
    pub fn peek_second(&self) -> u8 {
        self.byte(1)
    }

    /// Takes the one of these operators that comes next.
    pub fn accept_operator(&mut self, operators: &[&'static str]) -> Option<&'static str> {
        let rest = &self.text[self.at..];
        let next = operators.iter().find(|operator| rest.starts_with(**operator))?;
        // `|` also parts destinations, `||`, `<<` and their like are operators of another level.
        let second = rest.as_bytes().get(next.len()).copied().unwrap_or(0);
        if next.len() == 1
            && matches!(rest.as_bytes()[0], b'|' | b'&' | b'<' | b'>')
            && second == rest.as_bytes()[0]
        {
            return None;
        }
        self.at += next.len();
        self.blanks();
        Some(next)
    }

    /// Whether a name comes next.
    pub fn at_name(&self) -> bool {
        of_name(self.peek()) && !self.peek().is_ascii_digit()
    }

    /// A name: of a register, a variable, a label.
    pub fn name(&mut self) -> Result<&'a str, LoadError> {
        if !self.at_name() {
            return Err(self.syntax("expected a name"));
        }
        let start = self.at;
        while of_name(self.peek()) {
            self.at += 1;
        }
        let name = &self.text[start..self.at];
        self.blanks();
        Ok(name)
    }

    /// A name, with the components behind it that special registers have (`%tid.x`).
    pub fn dotted(&mut self) -> Result<&'a str, LoadError> {
        if !self.at_name() {
            return Err(self.syntax("expected a name"));
        }
        Ok(self.word())
    }

    /// An opcode with its modifiers, or a directive with its dot.
    pub fn word(&mut self) -> &'a str {
        let start = self.at;
        loop {
            match self.peek() {
                b'.' => self.at += 1,
                b':' if self.byte(1) == b':' => self.at += 2,
                byte if of_name(byte) => self.at += 1,
                _ => break,
            }
        }
        let word = &self.text[start..self.at];
        self.blanks();
        word
    }

    /// Whether a label's colon comes next.
    pub fn accept_colon(&mut self) -> bool {
        self.byte(1) != b':' && self.accept(b':')
    }

    /// The directive that comes next, not taken; empty if none does.
    pub fn directive(&self) -> &'a str {
        let mut ahead = Scanner {
            text: self.text,
            at: self.at,
            line: self.line,
        };
        if ahead.peek() == b'.' { ahead.word() } else { "" }
    }

    /// Takes a directive if it comes next.
    pub fn accept_directive(&mut self, directive: &str) -> bool {
        let here = self.directive() == directive;
        if here {
            self.word();
        }
        here
    }

    /// A number, with its sign.
    pub fn number(&mut self) -> Result<Number, LoadError> {
        let mut negative = false;
        while matches!(self.peek(), b'-' | b'+') {
            negative ^= self.peek() == b'-';
            self.at += 1;
            self.blanks();
        }
        let start = self.at;
        while self.peek().is_ascii_alphanumeric()
            || self.peek() == b'.'
            || matches!(self.peek(), b'+' | b'-')
                && matches!(self.text.as_bytes()[self.at - 1], b'e' | b'E')
                && !self.text[start..].starts_with("0x")
                && !self.text[start..].starts_with("0X")
                && self.at > start
        {
            self.at += 1;
        }
        let word = &self.text[start..self.at];
        let number =
            Self::parse_number(word).ok_or_else(|| self.syntax(&format!("`{word}` is no number")))?;
        self.blanks();
        Ok(match number {
            Number::Integer(bits) if negative => Number::Integer(bits.wrapping_neg()),
            Number::Float32(bits) if negative => Number::Float32(bits ^ 1 << 31),
            Number::Float64(bits) if negative => Number::Float64(bits ^ 1 << 63),
            number => number,
        })
    }

    fn parse_number(word: &str) -> Option<Number> {
        if let Some(digits) = word.strip_prefix("0f").or_else(|| word.strip_prefix("0F")) {
            return (digits.len() == 8).then_some(Number::Float32(u32::from_str_radix(digits, 16).ok()?));
        }
        if let Some(digits) = word.strip_prefix("0d").or_else(|| word.strip_prefix("0D")) {
            return (digits.len() == 16).then_some(Number::Float64(u64::from_str_radix(digits, 16).ok()?));
        }
        let (digits, radix) = match word.as_bytes() {
            [b'0', b'x' | b'X', ..] => (&word[2..], 16),
            [b'0', b'b' | b'B', ..] => (&word[2..], 2),
            [b'0', _, ..] if word.bytes().all(|byte| byte.is_ascii_digit() || byte == b'U') => {
                (&word[1..], 8)
            }
            _ => (word, 10),
        };
        if let Ok(bits) = u64::from_str_radix(digits.trim_end_matches('U'), radix) {
            return Some(Number::Integer(bits));
        }
        word.parse()
            .ok()
            .filter(|_| radix == 10)
            .map(|value: f64| Number::Float64(value.to_bits()))
    }

    /// A number that must be a natural one, such as a size.
    pub fn natural(&mut self) -> Result<u64, LoadError> {
        match self.number()? {
            Number::Integer(value) => Ok(value),
            _ => Err(self.syntax("expected an integer before")),
        }
    }
}
