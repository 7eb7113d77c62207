//! Every opcode form against the opcode table, on the interpreter; and no form without a row.

#[path = "../opcodes/replay/interpreter.rs"]
mod interpreter;
// Each of the programs that replay the lists uses a part of this.
#[allow(dead_code)]
#[path = "../opcodes/replay/mod.rs"]
mod replay;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use libtest_mimic::{Arguments, Failed, Trial};
use replay::{case, coverage, form};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("opcodes")
}

fn main() {
    let mut trials = Vec::new();
    let mut covered = BTreeSet::new();
    for (family, text) in tables() {
        for job in form::parse(&text) {
            covered.extend(coverage::forms(&job.ptx));
            trials.push(Trial::test(format!("{family}: {}", job.name), move || {
                interpreter::check(&job).map_err(Failed::from)
            }));
        }
    }
    trials.push(Trial::test("every form of the shipped kernels has rows", {
        let covered = covered.clone();
        move || uncovered(&covered, shipped())
    }));
    trials.push(Trial::test("every form of the corpus has rows", move || {
        let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join("ptx");
        let texts = case::modules(&corpus)
            .into_iter()
            .map(|(compiled, name, text)| (compiled + " " + &name, text));
        uncovered(&covered, texts.collect())
    }));
    libtest_mimic::run(&Arguments::from_args(), trials).exit();
}

/// The families of the table and their text.
fn tables() -> Vec<(String, String)> {
    let mut tables = Vec::new();
    for entry in std::fs::read_dir(folder()).expect("the opcode table") {
        let path = entry.expect("an entry").path();
        if path.extension().is_some_and(|extension| extension == "forms") {
            let family = path.file_stem().expect("a name").to_string_lossy().into_owned();
            tables.push((family, std::fs::read_to_string(&path).expect("a readable table")));
        }
    }
    tables.sort();
    tables
}

/// The kernels that the library embeds.
fn shipped() -> Vec<(String, String)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../kernels/ptx");
    let paths = std::fs::read_dir(folder)
        .expect("the shipped kernels")
        .map(|entry| entry.expect("an entry").path());
    let text = |path: &Path| std::fs::read_to_string(path).expect("a readable kernel");
    paths
        .map(|path| (path.display().to_string(), text(&path)))
        .collect()
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
