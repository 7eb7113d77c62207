//! Ordinary kernels, as compilers make them, on the interpreter.

#[path = "../opcodes/replay/interpreter.rs"]
mod interpreter;
// Each of the programs that replay the lists uses a part of this.
#[allow(dead_code)]
#[path = "../opcodes/replay/mod.rs"]
mod replay;

use std::path::Path;

use libtest_mimic::{Arguments, Failed, Trial};
use replay::listings;

fn main() {
    let jobs = listings::corpus(Path::new(env!("CARGO_MANIFEST_DIR"))).into_iter();
    let trials = jobs.map(|(_, job)| {
        Trial::test(job.name.clone(), move || {
            interpreter::check(&job).map_err(Failed::from)
        })
    });
    libtest_mimic::run(&Arguments::from_args(), trials.collect()).exit();
}
