//! Ordinary kernels, as compilers make them, on the interpreter.

#[path = "../opcodes/replay/interpreter.rs"]
mod interpreter;
// Each of the programs that replay the lists uses a part of this.
#[allow(dead_code)]
#[path = "../opcodes/replay/mod.rs"]
mod replay;

use std::path::Path;

use libtest_mimic::{Arguments, Failed, Trial};
use replay::case;

fn main() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
    let modules = case::modules(&corpus.join("ptx"));
    let mut trials = Vec::new();
    for entry in std::fs::read_dir(&corpus).expect("the corpus") {
        let path = entry.expect("an entry").path();
        if path.extension().is_some_and(|extension| extension == "cases") {
            let text = std::fs::read_to_string(&path).expect("a readable file");
            for job in case::parse(&text, &modules) {
                trials.push(Trial::test(job.name.clone(), move || {
                    interpreter::check(&job).map_err(Failed::from)
                }));
            }
        }
    }
    libtest_mimic::run(&Arguments::from_args(), trials).exit();
}
