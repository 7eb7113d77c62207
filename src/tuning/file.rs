//! Measured crossovers as JSON.

use std::fs;
use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::{LeftOut, Machine, Tuning};
use crate::error::{Error, Result};
use crate::plan::{HostFold, Row};
use crate::replace::replace;

/// The number of the form that is written here; another is not understood.
const FORMAT: u32 = 3;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    format: u32,
    machine: Machine,
    choices: Vec<Entry>,
    /// Empty where no elements on GPUs were measured.
    host_folds: Vec<UpTo>,
    not_measured: Vec<Missing>,
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

/// What the host folds.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct UpTo {
    ranks: usize,
    /// In bytes.
    most: usize,
}

/// What could not be measured.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Missing {
    operation: String,
    place: String,
    ranks: usize,
    algorithm: String,
    reason: String,
}

impl Missing {
    fn of(left_out: &LeftOut) -> Missing {
        Missing {
            operation: left_out.choice.name().to_owned(),
            place: left_out.place.to_string(),
            ranks: left_out.ranks,
            algorithm: left_out.algorithm.to_string(),
            reason: left_out.reason.clone(),
        }
    }

    fn add_to(&self, tuning: &mut Tuning) -> Result<()> {
        let (place, algorithm) = (self.place.parse()?, self.algorithm.parse()?);
        tuning.leave_out(&self.operation, place, self.ranks, algorithm, &*self.reason)
    }
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
            host_folds: self.host_folds.iter().map(up_to).collect(),
            not_measured: self.left_out.iter().map(Missing::of).collect(),
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
            "its format is {format}, and {FORMAT} is known: `warpcomm tune` makes it anew"
        )));
    }
    let file: File = serde_json::from_str(text).map_err(broken)?;
    let mut tuning = Tuning::new(file.machine);
    let at = |list: &str, position: usize, error: Error| {
        Error::invalid(format!("{list}[{position}]: {}", error.message()))
    };
    for (position, entry) in file.choices.iter().enumerate() {
        let added = entry.add_to(&mut tuning);
        added.map_err(|error| at("choices", position, error))?;
    }
    for (position, fold) in file.host_folds.iter().enumerate() {
        let added = tuning.add_host_fold(fold.ranks, fold.most);
        added.map_err(|error| at("host_folds", position, error))?;
    }
    for (position, missing) in file.not_measured.iter().enumerate() {
        let added = missing.add_to(&mut tuning);
        added.map_err(|error| at("not_measured", position, error))?;
    }
    Ok(tuning)
}

fn up_to(&HostFold { ranks, most }: &HostFold) -> UpTo {
    UpTo { ranks, most }
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
        let shots = [(0, Algorithm::OneShot), (9000, Algorithm::TwoShot)];
        tuning.add("reduce", Place::Device, 2, &shots).unwrap();
        tuning.add_host_fold(2, 5000).unwrap();
        tuning
            .leave_out("reduce", Place::Host, 2, Algorithm::Levels, "there is one node")
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
            (whole.replace("\"format\": 3", "\"format\": 4"), "format is 4"),
            (
                "{\"format\": 2, \"machine\": {}, \"choices\": []}".to_owned(),
                "format is 2, and 3 is known: `warpcomm tune` makes it anew",
            ),
            (whole.replace("\"tree\"", "\"ring\""), "choices[0]: \"ring\""),
            (
                whole.replace("\"tree\"", "\"direct\""),
                "bcast cannot take direct",
            ),
            (whole.replace("\"device\"", "\"moon\""), "choices[0]"),
            (whole.replace("\"from\": 0", "\"from\": 1"), "from 0 bytes on"),
            (whole.replace("\"from\": 0", "\"from\": -1"), "line"),
            (whole.replace("\"reduce\"", "\"scan\""), "choices[1]: \"scan\""),
            (
                whole.replace("\"two-shot\"", "\"blocks\""),
                "choices[2]: reduce cannot take blocks",
            ),
            (
                whole.replace("\"levels\"", "\"tree\""),
                "not_measured[0]: reduce cannot take tree",
            ),
            (whole.replace("\"most\": 5000", "\"most\": \"few\""), "line"),
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
