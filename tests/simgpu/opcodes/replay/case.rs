//! The corpus: `*.cases`, launches of kernels that compilers made.
//!
//! ```text
//! case dot of 1000
//! source reduce                      the source's name; every PTX compiled from it runs the case
//! entry dot
//! grid 4 1 1
//! block 128 1 1
//! shared 512                         dynamic shared memory, none when not given
//! argument buffer f32 3f800000 ...   memory that the kernel reads
//! bound ulp 2                        how far the next buffer's values marked ~ may be
//! argument buffer f32 00000000 -> ~3ff0000000000000
//! argument u32 000003e8
//! ```

use std::path::Path;

use super::expect::{Check, Expected};
use super::{Argument, End, Job, Needs, records, shape};

/// Reads a listing of cases; `modules` are the compiled sources, as (compiler and target, source, PTX).
pub fn parse(text: &str, modules: &[(String, String, String)]) -> Vec<Job> {
    let mut jobs = Vec::new();
    for record in records(text, "case") {
        let source = field(&record, "source").expect("a case has a source");
        for (compiled, _, ptx) in modules.iter().filter(|(_, name, _)| name == source) {
            // Not every target has every kernel of a source.
            let entry = field(&record, "entry").expect("a case has an entry");
            if ptx.contains(&format!(".entry {entry}(")) {
                jobs.push(job(&record, entry, compiled, ptx));
            }
        }
    }
    jobs
}

/// Reads the compiled sources below a folder: `<compiler and target>/<source>.ptx`.
pub fn modules(folder: &Path) -> Vec<(String, String, String)> {
    let entries = |folder: &Path| {
        let mut paths: Vec<_> = std::fs::read_dir(folder)
            .expect("a folder")
            .map(|entry| entry.expect("an entry").path())
            .collect();
        paths.sort();
        paths
    };
    let text = |name: Option<&std::ffi::OsStr>| name.expect("a name").to_string_lossy().into_owned();
    let mut found = Vec::new();
    for compiled in entries(folder).iter().filter(|path| path.is_dir()) {
        for path in entries(compiled) {
            let ptx = std::fs::read_to_string(&path).expect("a readable file");
            found.push((text(compiled.file_name()), text(path.file_stem()), ptx));
        }
    }
    found
}

fn field<'a>(record: &[(&str, &'a str)], keyword: &str) -> Option<&'a str> {
    record
        .iter()
        .find(|(word, _)| *word == keyword)
        .map(|(_, rest)| *rest)
}

fn job(record: &[(&str, &str)], entry: &str, compiled: &str, ptx: &str) -> Job {
    let mut arguments = Vec::new();
    let mut bound = None;
    for (keyword, rest) in record {
        match *keyword {
            "bound" => bound = Some(*rest),
            "argument" => arguments.push(argument(rest, bound)),
            _ => {}
        }
    }
    Job {
        name: format!("{} ({compiled})", field(record, "case").unwrap_or_default()),
        needs: header(ptx),
        ptx: ptx.to_owned(),
        entry: entry.to_owned(),
        grid: field(record, "grid").map_or([1, 1, 1], shape),
        block: field(record, "block").map_or([1, 1, 1], shape),
        shared: field(record, "shared").map_or(0, |bytes| bytes.parse().expect("a number")),
        arguments,
        end: End::Returns,
    }
}

/// What a module itself says that it needs.
fn header(ptx: &str) -> Needs {
    let word = |directive: &str| {
        let line = ptx
            .lines()
            .find(|line| line.starts_with(directive))
            .expect("a version and a target");
        line[directive.len()..]
            .split([',', ' '])
            .find(|word| !word.is_empty())
            .unwrap_or("")
            .to_owned()
    };
    Needs::parse(&format!("{} {}", word(".version"), word(".target"))).expect("a version and a target")
}

fn argument(text: &str, bound: Option<&str>) -> Argument {
    let (kind, rest) = text.split_once(' ').expect("an argument has a value");
    if kind != "buffer" {
        return Argument::Value(bytes(rest, size_of_type(kind)));
    }
    let (element, values) = rest.split_once(' ').expect("a buffer has elements");
    let size = size_of_type(element);
    let (before, after) = values.split_once(" -> ").unwrap_or((values, ""));
    let checks = after.split_whitespace().enumerate().map(|(place, cell)| Check {
        offset: place * size,
        bytes: size,
        expected: Expected::parse(cell, element, size, bound),
        label: format!("element {place}"),
    });
    Argument::Buffer {
        initial: bytes(before, size),
        checks: checks.collect(),
    }
}

fn bytes(cells: &str, size: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    for cell in cells.split_whitespace() {
        let word = u64::from_str_radix(cell, 16)
            .expect("hexadecimal bits")
            .to_le_bytes();
        bytes.extend(&word[..size]);
    }
    bytes
}

fn size_of_type(name: &str) -> usize {
    let digits = name.trim_start_matches(|letter: char| letter.is_alphabetic());
    digits.parse::<usize>().expect("a type ends in its width") / 8
}
