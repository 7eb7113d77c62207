//! `vprintf`: what kernels print goes to standard error.

use super::bytes::{self, Bytes};
use super::memory::{Memory, Who};
use crate::ptx::program::{AccessSpace, Address};
use crate::ptx::{Access, Fault};

/// Reads a value of `size` bytes through a generic address.
fn read(memory: &mut Memory, who: Who, stack: &mut Bytes, address: u64, size: u8) -> Result<u64, Fault> {
    let at = Address {
        space: AccessSpace::Generic,
        base: 0,
        offset: 0,
        site: 0,
        strong: true,
    };
    let place = memory.place(&at, address, size.into(), Access::Read, who, stack)?;
    // SAFETY: `place` checked the address.
    Ok(unsafe { bytes::read(place.pointer, size) })
}

/// The string at a generic address.
pub fn text(memory: &mut Memory, who: Who, stack: &mut Bytes, address: u64) -> Result<String, Fault> {
    let mut text = Vec::new();
    loop {
        match read(memory, who, stack, address + text.len() as u64, 1)? {
            0 => return Ok(String::from_utf8_lossy(&text).into_owned()),
            byte => text.push(byte as u8),
        }
    }
}

/// Prints by a format the arguments in a buffer; gives how many there were.
pub fn print(
    memory: &mut Memory,
    who: Who,
    stack: &mut Bytes,
    format: u64,
    mut buffer: u64,
) -> Result<u64, Fault> {
    let format = text(memory, who, stack, format)?;
    let mut output = String::new();
    let mut arguments = 0;
    let mut rest = format.chars().peekable();
    while let Some(next) = rest.next() {
        if next != '%' {
            output.push(next);
            continue;
        }
        if rest.peek() == Some(&'%') {
            rest.next();
            output.push('%');
            continue;
        }
        let (mut flags, mut long) = (String::new(), 0);
        let conversion = loop {
            match rest.next() {
                Some('l') => long += 1,
                Some(letter) if letter.is_ascii_alphabetic() && !matches!(letter, 'h' | 'z') => break letter,
                Some('z') => long += 1,
                Some(flag) => flags.push(flag),
                None => break 'd',
            }
        };
        let size = if long > 0 || matches!(conversion, 'f' | 'e' | 'g' | 'E' | 'G' | 's' | 'p') {
            8
        } else {
            4
        };
        buffer = buffer.next_multiple_of(size.into());
        let value = read(memory, who, stack, buffer, size)?;
        buffer += u64::from(size);
        arguments += 1;
        let written = match conversion {
            'd' | 'i' if size == 8 => (value as i64).to_string(),
            'd' | 'i' => (value as i32).to_string(),
            'u' => value.to_string(),
            'x' => format!("{value:x}"),
            'X' => format!("{value:X}"),
            'o' => format!("{value:o}"),
            'p' => format!("{value:#x}"),
            'c' => char::from(value as u8).to_string(),
            's' => text(memory, who, stack, value)?,
            'e' | 'E' => format!("{:e}", f64::from_bits(value)),
            _ => match flags.split_once('.').and_then(|(_, digits)| digits.parse().ok()) {
                Some(digits) => format!("{:.digits$}", f64::from_bits(value)),
                None if conversion == 'f' => format!("{:.6}", f64::from_bits(value)),
                None => f64::from_bits(value).to_string(),
            },
        };
        let width = flags
            .split('.')
            .next()
            .unwrap_or_default()
            .trim_start_matches(['-', '+', ' ', '#']);
        let (zeros, width) = (width.starts_with('0'), width.parse().unwrap_or(0usize));
        match (flags.starts_with('-'), zeros) {
            (true, _) => output += &format!("{written:<width$}"),
            (_, true) => output += &format!("{}{written}", "0".repeat(width.saturating_sub(written.len()))),
            _ => output += &format!("{written:>width$}"),
        }
    }
    eprint!("{output}");
    Ok(arguments)
}
