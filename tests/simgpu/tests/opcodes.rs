//! Every opcode form against the opcode table, on the interpreter; and no form without a row.

#[path = "../opcodes/replay/interpreter.rs"]
mod interpreter;
// Each of the programs that replay the lists uses a part of this.
#[allow(dead_code)]
#[path = "../opcodes/replay/mod.rs"]
mod replay;

use std::collections::BTreeSet;
use std::path::Path;

use libtest_mimic::{Arguments, Failed, Trial};
use replay::{case, coverage, listings};

fn main() {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut trials = Vec::new();
    let mut covered = BTreeSet::new();
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
