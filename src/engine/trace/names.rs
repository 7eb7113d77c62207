//! The file of each rank.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

/// What stands for the number of the rank.
const RANK: &[u8] = b"%r";

/// The name of a rank's file: with the number for each `%r`, or else in front of the extension.
pub(super) fn of_rank(named: &Path, rank: usize) -> PathBuf {
    let number = rank.to_string();
    let bytes = named.as_os_str().as_bytes();
    if bytes.windows(RANK.len()).any(|part| part == RANK) {
        return OsString::from_vec(replaced(bytes, number.as_bytes())).into();
    }
    let mut name = named.file_stem().unwrap_or_default().to_owned();
    for part in [Some(OsStr::new(&number)), named.extension()]
        .into_iter()
        .flatten()
    {
        name.push(".");
        name.push(part);
    }
    named.with_file_name(name)
}

fn replaced(mut rest: &[u8], number: &[u8]) -> Vec<u8> {
    let mut name = Vec::new();
    while let Some(&first) = rest.first() {
        match rest.strip_prefix(RANK) {
            Some(behind) => {
                name.extend_from_slice(number);
                rest = behind;
            }
            None => {
                name.push(first);
                rest = &rest[1..];
            }
        }
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_rank_has_its_own() {
        for (named, file) in [
            ("trace.json", "trace.12.json"),
            ("/a/b.c/trace.json", "/a/b.c/trace.12.json"),
            ("/a/b.c/trace", "/a/b.c/trace.12"),
            ("a.b.json", "a.b.12.json"),
            ("%r.json", "12.json"),
            ("%r/of-%r", "12/of-12"),
            ("%", "%.12"),
        ] {
            assert_eq!(of_rank(Path::new(named), 12), Path::new(file), "{named}");
        }
    }
}
