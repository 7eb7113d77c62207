//! The programs of a job, between lone colons.

use std::ffi::OsString;
use std::num::NonZeroUsize;

use clap::Parser;

use super::ranks;

/// What stands behind a lone colon.
#[derive(Parser)]
#[command(
    no_binary_name = true,
    disable_help_flag = true,
    override_usage = "warpcomm run -n <RANKS> [OPTIONS] <PROGRAM> [ARGS]... : -n <RANKS> <PROGRAM> [ARGS]..."
)]
pub struct Part {
    /// How many ranks run the program
    #[arg(short = 'n', long, value_parser = ranks)]
    pub ranks: NonZeroUsize,

    /// The program, a path or a name on PATH, and its own arguments
    #[arg(value_name = "PROGRAM", required = true, trailing_var_arg = true)]
    pub command: Vec<OsString>,
}

/// The first program with its arguments, and the parts behind the colons that follow it. With `is_last`, as behind
/// `--`, there is one program, and a colon is an argument like any other.
///
/// # Errors
///
/// When a part is not of the form `-n RANKS PROGRAM ARGS...`.
pub fn separated(words: &[OsString], is_last: bool) -> Result<(&[OsString], Vec<Part>), clap::Error> {
    let mut parts = split(words, is_last).into_iter();
    let first = parts.next().unwrap_or_default();
    let others: Result<_, _> = parts.map(Part::try_parse_from).collect();
    Ok((first, others?))
}

fn split(words: &[OsString], is_last: bool) -> Vec<&[OsString]> {
    let mut parts = Vec::new();
    let mut rest = words;
    let mut is_last = is_last;
    let mut is_program = true;
    loop {
        let mut length = 0;
        while !is_last && length < rest.len() && rest[length] != ":" {
            let word = &rest[length];
            length += 1;
            if !is_program {
                is_last = word == "--";
                // The number behind it is no program.
                length += usize::from(word == "-n" || word == "--ranks");
                is_program = !word.as_encoded_bytes().starts_with(b"-");
            }
        }
        if is_last || length >= rest.len() {
            parts.push(rest);
            return parts;
        }
        parts.push(&rest[..length]);
        rest = &rest[length + 1..];
        is_program = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(line: &str, is_last: bool) -> Vec<Vec<String>> {
        let words: Vec<OsString> = line.split(' ').map(OsString::from).collect();
        let text = |word: &OsString| word.to_str().unwrap().to_owned();
        split(&words, is_last)
            .iter()
            .map(|part| part.iter().map(text).collect())
            .collect()
    }

    #[test]
    fn a_lone_colon_separates_programs() {
        assert_eq!(parts("a x", false), [["a", "x"]]);
        assert_eq!(parts("a :x y:", false), [["a", ":x", "y:"]]);
        assert_eq!(
            parts("a x : -n 3 b : --ranks=1 c", false),
            [vec!["a", "x"], vec!["-n", "3", "b"], vec!["--ranks=1", "c"]]
        );
        assert_eq!(parts("a :", false), [vec!["a"], vec![]]);
        assert_eq!(parts(": -n 1 a", false), [vec![], vec!["-n", "1", "a"]]);
    }

    #[test]
    fn behind_two_hyphens_it_is_an_argument() {
        assert_eq!(parts("a : b", true), [["a", ":", "b"]]);
        assert_eq!(
            parts("a : -n 3 -- b : c", false),
            [vec!["a"], vec!["-n", "3", "--", "b", ":", "c"]]
        );
        // These are the program's own.
        assert_eq!(
            parts("a -- : -n 3 b -- : -n 1 c", false),
            [vec!["a", "--"], vec!["-n", "3", "b", "--"], vec!["-n", "1", "c"]]
        );
    }
}
