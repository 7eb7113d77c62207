//! `warpcomm diff`: what got slower or faster between two files of measurements.

mod launches;
mod settings;
mod shared;
mod table;
mod test;
mod verdict;

#[cfg(test)]
mod properties;

use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use serde::Serialize;

use self::launches::{Compared, Only};
use self::table::Report;
use self::verdict::{Change, Thresholds, Verdict, judge};
use crate::operation::Operation;
use crate::reading::{Measured, read};
use crate::record::Key;
use crate::standard_output::print;

/// The version of what `--json` prints.
const FORMAT: u32 = 1;

/// The exit status where something is slower.
const SLOWER: u8 = 1;

/// The exit status where nothing can be compared.
const NOT_COMPARED: u8 = 2;

const MORE_HELP: &str = "\
Examples:
  warpcomm diff before.json after.json
  warpcomm diff before.json after.json --latency 5 --throughput 5 --only allreduce --all
  warpcomm diff main.json branch.json --json > diff.json

A file is what `warpcomm bench --launches 6 --json FILE` writes, or several such one after the other, as `cat` joins them.
Each run in it is a launch. Samples of one launch depend on each other, and launches on a busy machine differ by more than samples do, so it
takes launches to tell a change from noise: 6 for each file, or 3 against 20; with fewer, differences are shown with `perhaps`,
and nothing can be said to be slower or not. Measure the two builds in turn rather than one after the other, so that what
the machine does meanwhile befalls both.

Something is slower or faster if the time of a message below 64 KiB changes by more than --latency, or the bandwidth of one
from 64 KiB on (and of the operations that measure rates) by more than --throughput, and if no more than 2 in 1000 ways to
deal the launches to two files make any measurement differ as much. The time of a launch is the first decile of its samples. That is looked at
twice: as it is, and without what all measurements of a launch have in common, such as how its memory lies in the caches.
Where both files are of one machine, the measurements of MPI itself are a yardstick: what changes in them is said to be the
machine's, and what the library's with host buffers change by counts as far as MPI's of the same operation and length have not.
In the table, the letter behind a change says of what it is: the time (t) or the bandwidth (b).

The exit status is 0 if nothing is slower, 1 if something is, and 2 where that cannot be told of any measurement: a file cannot
be read, both have none in common or too few launches, or the arguments are wrong.";

/// Compare two files of measurements: what got slower or faster beyond noise
#[derive(Args)]
#[command(after_help = MORE_HELP)]
pub struct Arguments {
    /// What was measured before
    #[arg(value_name = "FIRST")]
    first: PathBuf,

    /// What was measured after
    #[arg(value_name = "SECOND")]
    second: PathBuf,

    /// By how much the time of a short message has to change
    #[arg(long, value_name = "PERCENT", default_value = "10", value_parser = percent)]
    latency: f64,

    /// By how much the bandwidth of a long message has to change
    #[arg(long, value_name = "PERCENT", default_value = "10", value_parser = percent)]
    throughput: f64,

    /// Compare these operations only, separated by commas
    #[arg(long, value_name = "OPERATION", value_delimiter = ',')]
    only: Vec<Operation>,

    /// Show what has not changed, too
    #[arg(long)]
    all: bool,

    /// Print everything as one object of JSON
    #[arg(long)]
    json: bool,
}

/// A percentage, in parts of one.
fn percent(text: &str) -> Result<f64, String> {
    let number: f64 = text
        .trim_end_matches('%')
        .parse()
        .map_err(|error| format!("{error}"))?;
    match number > 0.0 && number < 100.0 {
        true => Ok(number / 100.0),
        false => Err("it must be more than 0 and less than 100".to_owned()),
    }
}

/// What `--json` prints.
#[derive(Serialize)]
struct Document<'a> {
    format: u32,
    first: &'a Path,
    second: &'a Path,
    /// In parts of one.
    latency_threshold: f64,
    throughput_threshold: f64,
    warnings: &'a [String],
    slower: bool,
    judged: usize,
    changes: &'a [Change],
    only_in_first: &'a [Only],
    only_in_second: &'a [Only],
}

/// Compares two files; the exit status says whether something is slower.
pub fn run(arguments: &Arguments) -> ExitCode {
    match compare(arguments) {
        Ok(slower) => ExitCode::from(if slower { SLOWER } else { 0 }),
        Err(message) => {
            eprintln!("warpcomm diff: {message}");
            ExitCode::from(NOT_COMPARED)
        }
    }
}

/// Prints what two files say; whether something is slower.
fn compare(arguments: &Arguments) -> Result<bool, String> {
    let (first, second) = (read(&arguments.first)?, read(&arguments.second)?);
    let only: Vec<String> = arguments.only.iter().map(|operation| operation.name()).collect();
    let wanted = |key: &Key| only.is_empty() || only.contains(&key.operation);
    let compared = Compared::new(&first, &second, wanted);
    if compared.rows.is_empty() {
        return Err(nothing_in_common(arguments, &first, &second));
    }
    let thresholds = Thresholds {
        latency: arguments.latency,
        throughput: arguments.throughput,
    };
    let changes = judge(&compared, thresholds, settings::are_the_same(&first, &second));
    let slower = changes.iter().any(|change| change.verdict == Verdict::Slower);
    let judged = changes.iter().filter(|change| change.chance.is_some()).count();
    let warnings = settings::warnings(&first, &second);
    for warning in &warnings {
        eprintln!("warpcomm diff: warning: {warning}");
    }
    let text = if arguments.json {
        let document = Document {
            format: FORMAT,
            first: &arguments.first,
            second: &arguments.second,
            latency_threshold: thresholds.latency,
            throughput_threshold: thresholds.throughput,
            warnings: &warnings,
            slower,
            judged,
            changes: &changes,
            only_in_first: &compared.only_in_first,
            only_in_second: &compared.only_in_second,
        };
        serde_json::to_string_pretty(&document).map_err(|error| error.to_string())? + "\n"
    } else {
        let is_terminal = std::io::stdout().is_terminal();
        let report = Report {
            changes: &changes,
            only_in_first: &compared.only_in_first,
            only_in_second: &compared.only_in_second,
            all: arguments.all,
            colours: is_terminal && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty()),
        };
        report.text()
    };
    print(text)?;
    match judged {
        0 => Err("there are too few launches to tell whether anything is slower".to_owned()),
        _ => Ok(slower),
    }
}

fn nothing_in_common(arguments: &Arguments, first: &[Measured], second: &[Measured]) -> String {
    let operations = |runs: &[Measured]| {
        let mut names: Vec<String> = runs
            .iter()
            .flat_map(|run| &run.rows)
            .map(|row| row.key.operation.clone())
            .collect();
        names.sort();
        names.dedup();
        match names.is_empty() {
            true => "nothing".to_owned(),
            false => names.join(", "),
        }
    };
    format!(
        "{} and {} have no measurement in common{}: the first has {}, the second {}",
        arguments.first.display(),
        arguments.second.display(),
        if arguments.only.is_empty() {
            ""
        } else {
            " of these operations"
        },
        operations(first),
        operations(second)
    )
}
