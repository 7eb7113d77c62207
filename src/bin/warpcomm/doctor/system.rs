//! The files of a system, below its root directory.

use std::fs;
use std::path::{Path, PathBuf};

/// A system whose files can be read.
pub struct System {
    root: PathBuf,
}

impl System {
    /// The system below a directory; this one below `/`.
    pub fn below(root: &Path) -> System {
        System {
            root: root.to_owned(),
        }
    }

    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Where a file lies that has an absolute path in the system.
    pub fn path(&self, file: impl AsRef<Path>) -> PathBuf {
        let file = file.as_ref();
        self.root.join(file.strip_prefix("/").unwrap_or(file))
    }

    pub fn exists(&self, file: impl AsRef<Path>) -> bool {
        self.path(file).exists()
    }

    pub fn read(&self, file: impl AsRef<Path>) -> Option<String> {
        fs::read_to_string(self.path(file)).ok()
    }

    pub fn line(&self, file: impl AsRef<Path>) -> Option<String> {
        Some(self.read(file)?.trim().to_owned())
    }

    /// What is behind a word at the start of a line of a file.
    pub fn field(&self, file: impl AsRef<Path>, word: &str) -> Option<String> {
        let text = self.read(file)?;
        let value = text.lines().find_map(|line| line.strip_prefix(word))?;
        Some(value.trim().to_owned())
    }

    /// What is in a directory, in the order of the names; nothing where it is missing.
    pub fn entries(&self, directory: impl AsRef<Path>) -> Vec<PathBuf> {
        let entries = fs::read_dir(self.path(directory)).into_iter().flatten().flatten();
        let mut paths: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
        paths.sort();
        paths
    }
}
