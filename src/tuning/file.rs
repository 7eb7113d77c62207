//! Measured crossovers as JSON.

use std::fs;
use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::{Machine, Tuning};
use crate::error::{Error, Result};
use crate::plan::Row;
use crate::replace::replace;

/// The number of the form that is written here; another is not understood.
const FORMAT: u32 = 2;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    format: u32,
    machine: Machine,
    choices: Vec<Entry>,
}

/// What files of all forms say.
#[derive(Deserialize)]
struct Format {
    format: u32,
}

/// A row as text.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    operation: String,
    place: String,
    ranks: usize,
    steps: Vec<Rung>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Rung {
    /// In bytes.
    from: usize,
    algorithm: String,
}

impl Entry {
    fn of(row: &Row) -> Entry {
        let rung = |step: &crate::plan::Step| Rung {
            from: step.from,
            algorithm: step.algorithm.to_string(),
        };
        Entry {
            operation: row.choice.name().to_owned(),
            place: row.place.to_string(),
            ranks: row.ranks,
            steps: row.ladder.steps().iter().map(rung).collect(),
        }
    }

    fn add_to(&self, tuning: &mut Tuning) -> Result<()> {
        let rung = |rung: &Rung| Ok((rung.from, rung.algorithm.parse()?));
        let steps: Vec<_> = self.steps.iter().map(rung).collect::<Result<_>>()?;
        tuning.add(&self.operation, self.place.parse()?, self.ranks, &steps)
    }
}

impl Tuning {
    /// Reads a file.
    ///
    /// # Errors
    /// [`InvalidArgument`](crate::ErrorKind::InvalidArgument), naming the file, if it cannot be read, or is not what
    /// [`write`](Self::write) writes.
    pub fn read(file: impl AsRef<Path>) -> Result<Tuning> {
        let file = file.as_ref();
        let text = fs::read_to_string(file).map_err(|error| of_system(file, error))?;
        read(&text).map_err(|error| named(file, error))
    }

    /// Writes a file, and makes its directory where there is none. A file that is there is replaced as a whole.
    ///
    /// # Errors
    /// [`InvalidArgument`](crate::ErrorKind::InvalidArgument), naming the file, if it cannot be written.
    pub fn write(&self, file: impl AsRef<Path>) -> Result<()> {
        let file = file.as_ref();
        let content = File {
            format: FORMAT,
            machine: self.machine.clone(),
            choices: self.rows.iter().map(Entry::of).collect(),
        };
        let mut text = serde_json::to_string_pretty(&content)
            .map_err(|error| named(file, Error::invalid(error.to_string())))?;
        text.push('\n');
        replace(file, &text).map_err(|error| of_system(file, error))
    }
}

/// Reads what a file has in it.
pub(super) fn read(text: &str) -> Result<Tuning> {
    let broken = |error: serde_json::Error| Error::invalid(error.to_string());
    let Format { format } = serde_json::from_str(text).map_err(broken)?;
    if format != FORMAT {
        return Err(Error::invalid(format!(
            "its format is {format}, and {FORMAT} is known"
        )));
    }
    let File { machine, choices, .. } = serde_json::from_str(text).map_err(broken)?;
    let mut tuning = Tuning::new(machine);
    for (position, entry) in choices.iter().enumerate() {
        let added = entry.add_to(&mut tuning);
        added.map_err(|error| Error::invalid(format!("choices[{position}]: {}", error.message())))?;
    }
    Ok(tuning)
}

/// Names the file in an error of its content.
pub(super) fn named(file: &Path, error: Error) -> Error {
    Error::invalid(format!(
        "the measured crossovers in {}: {}",
        file.display(),
        error.message()
    ))
}

fn of_system(file: &Path, error: io::Error) -> Error {
    named(file, Error::invalid(error.to_string())).with_source(error)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::Place;
    use crate::plan::Algorithm;

    fn some() -> Tuning {
        let mut tuning = Tuning::new(Machine::here("none", 2));
        let steps = [(0, Algorithm::Tree), (1 << 40, Algorithm::Blocks)];
        tuning.add("bcast", Place::Device, 3, &steps).unwrap();
        tuning
            .add("reduce", Place::Host, 2, &[(0, Algorithm::Direct)])
            .unwrap();
        tuning
    }

    #[test]
    fn files_are_read_as_they_are_written() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("one/two/three.json");
        some().write(&file).unwrap();
        assert_eq!(Tuning::read(&file).unwrap(), some());
        let fewer = Tuning::new(Machine::here("none", 2));
        fewer.write(&file).unwrap();
        assert_eq!(Tuning::read(&file).unwrap(), fewer);
        assert_eq!(file.parent().unwrap().read_dir().unwrap().count(), 1);
    }

    #[test]
    fn broken_files_are_errors_that_name_them() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("broken.json");
        some().write(&file).unwrap();
        let whole = fs::read_to_string(&file).unwrap();
        let mut broken: Vec<(String, &str)> = vec![
            (String::new(), "EOF"),
            (whole.replace("\"format\": 2", "\"format\": 3"), "format is 3"),
            ("{\"format\": 1, \"machine\": {}}".to_owned(), "format is 1"),
            (whole.replace("\"tree\"", "\"ring\""), "choices[0]: \"ring\""),
            (
                whole.replace("\"tree\"", "\"direct\""),
                "bcast cannot take direct",
            ),
            (whole.replace("\"device\"", "\"moon\""), "choices[0]"),
            (whole.replace("\"from\": 0", "\"from\": 1"), "from 0 bytes on"),
            (whole.replace("\"from\": 0", "\"from\": -1"), "line"),
            (whole.replace("\"reduce\"", "\"scan\""), "choices[1]: \"scan\""),
            (whole.replace("\"steps\"", "\"stairs\""), "stairs"),
        ];
        broken.push((whole[..whole.len() / 2].to_owned(), "line"));
        for (text, part) in broken {
            fs::write(&file, text).unwrap();
            let error = Tuning::read(&file).unwrap_err().to_string();
            assert!(error.contains("broken.json") && error.contains(part), "{error}");
        }
        let missing = Tuning::read(directory.path().join("missing.json")).unwrap_err();
        assert!(missing.to_string().contains("missing.json"), "{missing}");
    }
}
