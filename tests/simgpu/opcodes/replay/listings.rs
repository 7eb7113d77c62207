//! All jobs: the opcode table and the corpus.

use std::path::{Path, PathBuf};

use super::{Job, case, form};

/// The jobs of the folders `opcodes` and `corpus` below `data`, each with the listing that it is from.
pub fn all(data: &Path) -> Vec<(String, Job)> {
    let mut jobs = opcodes(data);
    jobs.extend(corpus(data));
    jobs
}

/// The jobs of the opcode table.
pub fn opcodes(data: &Path) -> Vec<(String, Job)> {
    let mut jobs = Vec::new();
    for (family, text) in texts(&data.join("opcodes"), "forms") {
        jobs.extend(form::parse(&text).into_iter().map(|job| (family.clone(), job)));
    }
    jobs
}

/// The jobs of the corpus.
pub fn corpus(data: &Path) -> Vec<(String, Job)> {
    let folder = data.join("corpus");
    let modules = case::modules(&folder.join("ptx"));
    let mut jobs = Vec::new();
    for (listing, text) in texts(&folder, "cases") {
        jobs.extend(
            case::parse(&text, &modules)
                .into_iter()
                .map(|job| (listing.clone(), job)),
        );
    }
    jobs
}

/// The files of a folder that have an extension: their names without it, and their text.
pub fn texts(folder: &Path, extension: &str) -> Vec<(String, String)> {
    let entries = std::fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.expect("an entry").path()).collect();
    paths.retain(|path| path.extension().is_some_and(|found| found == extension));
    paths.sort();
    let name = |path: &Path| path.file_stem().expect("a name").to_string_lossy().into_owned();
    let text = |path: &Path| std::fs::read_to_string(path).expect("a readable listing");
    paths.iter().map(|path| (name(path), text(path))).collect()
}
