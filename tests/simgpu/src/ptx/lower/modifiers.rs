//! The modifiers of an opcode, taken one by one in PTX's order; what is left over is unknown.

use crate::ptx::LoadError;
use crate::ptx::exact;
use crate::ptx::types::Type;

/// An opcode being taken apart.
#[derive(Clone)]
pub struct Modifiers<'a> {
    opcode: &'a str,
    line: u32,
    rest: &'a str,
}

impl<'a> Modifiers<'a> {
    /// The base opcode and its modifiers.
    pub fn new(opcode: &'a str, line: u32) -> (&'a str, Self) {
        let (base, rest) = opcode.split_once('.').unwrap_or((opcode, ""));
        (base, Self { opcode, line, rest })
    }

    /// The error that names this opcode.
    pub fn unknown(&self) -> LoadError {
        LoadError::Unknown(format!("line {}: instruction `{}`", self.line, self.opcode))
    }

    fn next(&self) -> (&'a str, &'a str) {
        self.rest.split_once('.').unwrap_or((self.rest, ""))
    }

    /// The next modifier, taken; empty if there is none.
    pub fn take(&mut self) -> &'a str {
        let (next, rest) = self.next();
        self.rest = rest;
        next
    }

    /// Whether the modifier is next.
    pub fn at(&self, modifier: &str) -> bool {
        self.next().0 == modifier
    }

    /// Takes the modifier if it is next.
    pub fn accept(&mut self, modifier: &str) -> bool {
        self.accept_any(&[modifier]).is_some()
    }

    /// Takes the next modifier if it is one of these.
    pub fn accept_any(&mut self, modifiers: &[&str]) -> Option<&'a str> {
        let (next, rest) = self.next();
        let known = !next.is_empty() && modifiers.contains(&next);
        known.then(|| {
            self.rest = rest;
            next
        })
    }

    /// Takes the next modifier, which must be one of these.
    pub fn expect_any(&mut self, modifiers: &[&str]) -> Result<&'a str, LoadError> {
        self.accept_any(modifiers).ok_or_else(|| self.unknown())
    }

    /// Takes the modifier, which must be next.
    pub fn expect(&mut self, modifier: &str) -> Result<(), LoadError> {
        self.expect_any(&[modifier]).map(|_| ())
    }

    /// The type that must come next.
    pub fn of_type(&mut self) -> Result<Type, LoadError> {
        Type::named(self.take()).ok_or_else(|| self.unknown())
    }

    /// The type that must come next, last, and be one of these.
    pub fn last_type(&mut self, types: &[Type]) -> Result<Type, LoadError> {
        let found = self.of_type()?;
        if types.contains(&found) {
            self.finish().map(|()| found)
        } else {
            Err(self.unknown())
        }
    }

    /// A rounding mode of the fractional kind.
    pub fn rounding(&mut self) -> Option<u8> {
        self.accept_any(&["rn", "rz", "rm", "rp"]).map(|mode| match mode {
            "rn" => exact::NEAREST,
            "rz" => exact::ZERO,
            "rm" => exact::DOWN,
            _ => exact::UP,
        })
    }

    /// Nothing may be left.
    pub fn finish(&self) -> Result<(), LoadError> {
        if self.rest.is_empty() {
            Ok(())
        } else {
            Err(self.unknown())
        }
    }

    /// Unknown unless it holds.
    pub fn require(&self, holds: bool) -> Result<(), LoadError> {
        if holds { Ok(()) } else { Err(self.unknown()) }
    }
}
