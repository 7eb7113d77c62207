//! The results that there are already, in a file that survives whoever writes it.
//!
//! The first line says what is scanned. Each other one is a result: its number, its bits and a checksum of both, in
//! hexadecimal. A line is appended by one write as soon as its result is there, so a program that is killed loses none but
//! the last, of which a part may be in the file. Lines that are not whole are ignored.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::Path;

/// A file of results.
pub struct Record {
    name: String,
    file: File,
}

impl Record {
    /// Opens the record of what `title` says, or begins it, and returns the results of numbers below `length` in it.
    pub fn open(path: &Path, title: &str, length: usize) -> Result<(Record, BTreeMap<usize, f64>), String> {
        let name = path.display().to_string();
        let failed = |error: std::io::Error| format!("{name}: {error}");
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)
            .map_err(failed)?;
        if !file.metadata().map_err(failed)?.is_file() {
            return Err(format!("{name}: not a regular file"));
        }
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).map_err(failed)?;
        let title = format!("{title}\n");
        let is_new = title.as_bytes().starts_with(&bytes) && bytes.len() < title.len();
        if !is_new && !bytes.starts_with(title.as_bytes()) {
            return Err(format!(
                "{name}: not a record of this scan: it does not begin with {title:?}"
            ));
        }

        // What is behind the last end of a line is a part of one.
        let whole = bytes
            .iter()
            .rposition(|&byte| byte == b'\n')
            .map_or(0, |end| end + 1);
        file.set_len(whole as u64).map_err(failed)?;
        file.seek(SeekFrom::Start(whole as u64)).map_err(failed)?;
        if is_new {
            file.write_all(title.as_bytes()).map_err(failed)?;
        }
        let results = bytes[..whole]
            .split(|&byte| byte == b'\n')
            .skip(1)
            .filter_map(result);
        let results = results.filter(|&(number, _)| number < length).collect();
        Ok((Record { name, file }, results))
    }

    /// Appends a result.
    pub fn add(&mut self, number: usize, value: f64) -> Result<(), String> {
        self.file
            .write_all(line(number, value).as_bytes())
            .map_err(|error| format!("{}: {error}", self.name))
    }
}

/// The line of a result.
fn line(number: usize, value: f64) -> String {
    let (number, bits) = (number as u64, value.to_bits());
    format!("{number:x} {bits:016x} {:016x}\n", checksum(&[number, bits]))
}

/// The result in a line, if it is whole.
fn result(text: &[u8]) -> Option<(usize, f64)> {
    let text = std::str::from_utf8(text).ok()?;
    let mut words = text.split(' ').map(|word| u64::from_str_radix(word, 16));
    let (Some(Ok(number)), Some(Ok(bits))) = (words.next(), words.next()) else {
        return None;
    };
    let (number, value) = (usize::try_from(number).ok()?, f64::from_bits(bits));
    (line(number, value).trim_end() == text).then_some((number, value))
}

/// Of numbers in their order: FNV-1a, a byte at a time.
pub fn checksum(numbers: &[u64]) -> u64 {
    let bytes = numbers.iter().flat_map(|number| number.to_le_bytes());
    bytes.fold(0xcbf2_9ce4_8422_2325, |sum, byte| {
        (sum ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}
