//! Every opcode form against the opcode table, on the interpreter; and no form without a row.

#[path = "../opcodes/replay/closure.rs"]
mod closure;
#[path = "../opcodes/replay/interpreter.rs"]
mod interpreter;
// Each of the programs that replay the lists uses a part of this.
#[allow(dead_code)]
#[path = "../opcodes/replay/mod.rs"]
mod replay;

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use libtest_mimic::{Arguments, Failed, Trial};
use replay::{case, coverage, listings};

/// Forms whose results nobody can know.
const UNKNOWABLE: [&str; 7] = [
    "%smid",
    "%nsmid",
    "%warpid",
    "%nwarpid",
    "%clock",
    "%total_smem_size",
    "%gridid",
];
/// Into how many tests the search for forms without rows is cut.
const SHARDS: usize = 16;

fn main() {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut trials = Vec::new();
    let mut covered = BTreeSet::new();
    let returning = |(_, job): &(String, replay::Job)| job.end == replay::End::Returns;
    let jobs: Vec<_> = listings::opcodes(here)
        .into_iter()
        .filter(returning)
        .map(|(_, job)| job)
        .collect();
    let table = Arc::new(closure::Table::new(jobs.iter()));
    trials.push(Trial::test("a wrong value would be found in every form", || {
        spoilt(jobs)
    }));
    for shard in 0..SHARDS {
        let table = Arc::clone(&table);
        let name = format!("every accepted form has rows, part {shard}");
        // Minutes long: run on demand.
        trials.push(Trial::test(name, move || none(table.strangers(shard, SHARDS))).with_ignored_flag(true));
    }
    for (family, job) in listings::opcodes(here) {
        covered.extend(coverage::forms(&job.ptx));
        let name = format!("{family}: {}", job.name);
        trials.push(Trial::test(name, move || {
            interpreter::check(&job).map_err(Failed::from)
        }));
    }
    let shipped = covered.clone();
    trials.push(Trial::test(
        "every form of the shipped kernels has rows",
        move || uncovered(&shipped, listings::texts(&here.join("../../kernels/ptx"), "ptx")),
    ));
    trials.push(Trial::test("every form of the corpus has rows", move || {
        let modules = case::modules(&here.join("corpus/ptx")).into_iter();
        uncovered(
            &covered,
            modules
                .map(|(compiled, name, text)| (format!("{compiled} {name}"), text))
                .collect(),
        )
    }));
    libtest_mimic::run(&Arguments::from_args(), trials).exit();
}

fn spoilt(jobs: Vec<replay::Job>) -> Result<(), Failed> {
    let mut unnoticed = BTreeSet::new();
    for mut job in jobs {
        let known = job.spoil();
        if known == UNKNOWABLE.contains(&job.name.as_str()) || known && interpreter::check(&job).is_ok() {
            unnoticed.insert(job.name);
        }
    }
    none(unnoticed)
}

fn none(found: BTreeSet<String>) -> Result<(), Failed> {
    let lines: Vec<_> = found.iter().map(String::as_str).collect();
    if lines.is_empty() {
        Ok(())
    } else {
        Err(format!("{}:\n{}", lines.len(), lines.join("\n")).into())
    }
}

fn uncovered(covered: &BTreeSet<String>, texts: Vec<(String, String)>) -> Result<(), Failed> {
    let mut missing = Vec::new();
    for (name, text) in texts {
        for form in coverage::forms(&text).difference(covered) {
            missing.push(format!("{form} in {name}"));
        }
    }
    missing.sort();
    missing.dedup_by_key(|line| line.split(' ').next().unwrap_or_default().to_owned());
    if missing.is_empty() {
        return Ok(());
    }
    Err(format!("{} forms have no row:\n{}", missing.len(), missing.join("\n")).into())
}
