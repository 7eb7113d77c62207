//! What `warpcomm tune` has measured, and the table that collectives plan by.

#[cfg(feature = "serde")]
mod file;
mod machine;
#[cfg(all(test, feature = "serde"))]
mod properties;

#[cfg(feature = "serde")]
use std::fs;
use std::path::{Path, PathBuf};

pub use machine::Machine;

use crate::config::{Config, TuningFile};
use crate::device::Place;
use crate::error::{Error, Result};
use crate::plan::{Algorithm, Choice, Ladder, Row, Step, Table};

/// Measured crossovers of one machine: from which lengths on its collectives take which algorithm.
///
/// `warpcomm tune` measures them and writes them to a file in `tuning` of the directory that [`Config::cache`] says, usually
/// `~/.cache/warpcomm`, whose name says for which [`Machine`] it is. Where a
/// program gets its first communicator, by `Runtime::world` or `into_native`, rank 0 of it reads the file, and tells all
/// ranks what is in it, so that all have the same, also where the others have another file or none. Communicators that are made of that one, by `duplicate`,
/// `split` and their relatives, have the same too. Those of two groups, and what `merge` makes of them, have the defaults.
///
/// - Without a file there are [defaults](crate::Communicator::explain).
/// - A file that says that it is of another machine is not used.
/// - One that cannot be understood is [`InvalidArgument`](crate::ErrorKind::InvalidArgument) on rank 0, naming it, and
///   [`PeerFailed`](crate::ErrorKind::PeerFailed) on the others.
/// - A file that [`WARPCOMM_TUNING`](crate::Config) or [`Config::tuning`](crate::Config::tuning) names is used whatever
///   machine it is of, and must be there. Ranks that are threads use no other.
///
/// Results have the same bits whatever a file says. [`explain`](crate::Communicator::explain) tells what is taken and why.
///
/// ```
/// use warpcomm::{Algorithm, Communicator, Config, Machine, Place, Tuning};
///
/// let mut tuning = Tuning::new(Machine::here("threads", 2));
/// tuning.add("allreduce", Place::Host, 2, &[(0, Algorithm::Direct), (5000, Algorithm::Blocks)])?;
/// # #[cfg(feature = "serde")]
/// # {
/// let file = std::env::temp_dir().join(format!("crossovers-{}.json", std::process::id()));
/// tuning.write(&file)?;
/// let config = Config::default().tuning(Some(file.clone()));
/// let chosen = Communicator::threads_with(&config, 2, |comm| comm.explain("allreduce", 5000, Place::Host))?;
/// assert!(chosen.into_iter().all(|chosen| chosen.unwrap().algorithm() == Algorithm::Blocks));
/// # std::fs::remove_file(file).unwrap();
/// # }
/// # Ok::<(), warpcomm::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tuning {
    machine: Machine,
    rows: Vec<Row>,
}

impl Tuning {
    /// Of a machine, with nothing measured yet.
    pub fn new(machine: Machine) -> Tuning {
        Tuning {
            machine,
            rows: Vec::new(),
        }
    }

    /// The machine that it is of.
    pub fn machine(&self) -> &Machine {
        &self.machine
    }

    /// Adds what was measured of an operation with `ranks` ranks and with the elements at `place`: from how many bytes on
    /// it takes which algorithm. The first is from 0 bytes on, and the lengths go up.
    ///
    /// # Errors
    /// [`InvalidArgument`](crate::ErrorKind::InvalidArgument) if the operation has no choice, or not of these algorithms
    /// (see [`Algorithm::of`]), if the steps are not as above, or if it was added already for so many ranks and this place.
    pub fn add(
        &mut self,
        operation: &str,
        place: Place,
        ranks: usize,
        steps: &[(usize, Algorithm)],
    ) -> Result<()> {
        let choice = Choice::of_name(operation).ok_or_else(|| {
            Error::invalid(format!("{operation:?} is no operation with several algorithms"))
        })?;
        let is_same = |row: &Row| (row.choice, row.place, row.ranks) == (choice, place, ranks);
        if self.rows.iter().any(is_same) {
            return Err(Error::invalid(format!(
                "{operation} with {ranks} ranks and {place} buffers is there twice"
            )));
        }
        let step = |&(from, algorithm)| Step { from, algorithm };
        let ladder = Ladder::new(choice, steps.iter().map(step).collect())?;
        self.rows.push(Row {
            choice,
            place,
            ranks,
            ladder,
        });
        Ok(())
    }

    /// The file for a machine in the directory that [`Config::cache`](crate::Config::cache) says; none where neither that
    /// nor the variables `XDG_CACHE_HOME` and `HOME` say where it would be.
    pub fn cached(config: &Config, machine: &Machine) -> Option<PathBuf> {
        let name = format!("{}.json", machine.file_name());
        Some(config.cache_directory()?.join("tuning").join(name))
    }
}

/// The table that the settings of this process say: of ranks that are processes on `here`, or that are threads.
pub(crate) fn load(config: &Config, here: Option<Machine>) -> Result<Table> {
    match (&config.tuning, here) {
        (TuningFile::None, _) => Ok(Table::empty("WARPCOMM_TUNING=none")),
        (TuningFile::Named(file), _) => named(file),
        (TuningFile::OfThisMachine, None) => {
            Ok(Table::empty("nothing is measured of ranks that are threads"))
        }
        (TuningFile::OfThisMachine, Some(here)) => of_machine(config, &here),
    }
}

#[cfg(feature = "serde")]
fn named(file: &Path) -> Result<Table> {
    let Tuning { rows, .. } = Tuning::read(file)?;
    Ok(Table::new(rows, file.display().to_string()))
}

#[cfg(not(feature = "serde"))]
fn named(file: &Path) -> Result<Table> {
    Err(Error::unsupported(format!(
        "{}: warpcomm was built without the feature serde, which reads such files",
        file.display()
    )))
}

#[cfg(feature = "serde")]
fn of_machine(config: &Config, here: &Machine) -> Result<Table> {
    match Tuning::cached(config, here) {
        Some(file) => cached(&file, here),
        None => Ok(Table::empty(
            "neither WARPCOMM_CACHE nor HOME says where a file would be",
        )),
    }
}

/// What is in a file that nobody has named, if it is of this machine.
#[cfg(feature = "serde")]
fn cached(file: &Path, here: &Machine) -> Result<Table> {
    let shown = file.display();
    let text = match fs::read_to_string(file) {
        Ok(text) => text,
        Err(error) => {
            return Ok(Table::empty(format!(
                "there is no {shown}, which warpcomm tune makes ({error})"
            )));
        }
    };
    let Tuning { machine, rows } = file::read(&text).map_err(|error| file::named(file, error))?;
    match machine == *here {
        true => Ok(Table::new(rows, shown.to_string())),
        false => Ok(Table::empty(format!(
            "{shown} is of {machine}, and this is {here}"
        ))),
    }
}

#[cfg(not(feature = "serde"))]
fn of_machine(_config: &Config, _here: &Machine) -> Result<Table> {
    Ok(Table::empty(
        "warpcomm was built without the feature serde, which reads files",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_can_be_chosen_is_added_once() {
        let mut tuning = Tuning::new(Machine::here("none", 2));
        let blocks = [(0, Algorithm::Blocks)];
        assert!(tuning.add("reduce", Place::Host, 2, &blocks).is_ok());
        assert!(tuning.add("reduce", Place::Device, 2, &blocks).is_ok());
        assert!(tuning.add("reduce", Place::Host, 3, &blocks).is_ok());
        assert!(tuning.add("reduce", Place::Host, 2, &blocks).is_err());
        assert!(tuning.add("gather", Place::Host, 2, &blocks).is_err());
        assert!(
            tuning
                .add("bcast", Place::Host, 2, &[(0, Algorithm::Frames)])
                .is_err()
        );
    }

    #[test]
    fn settings_without_a_file_say_so() {
        let origin = |setting, here| {
            let config = Config {
                tuning: setting,
                ..Config::default()
            };
            let table = load(&config, here).unwrap();
            assert_eq!(table, Table::empty(table.origin()));
            table.origin().to_owned()
        };
        let here = Some(Machine::here("none", 2));
        assert_eq!(origin(TuningFile::None, here), "WARPCOMM_TUNING=none");
        assert!(origin(TuningFile::OfThisMachine, None).contains("threads"));
    }

    #[cfg(feature = "serde")]
    #[test]
    fn a_file_of_another_machine_is_not_used_and_a_broken_one_is_an_error() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("cached.json");
        let here = Machine::here("a library", 2);
        let origin = || cached(&file, &here).map(|table| table.origin().to_owned());
        assert!(origin().unwrap().starts_with("there is no "));
        let mut tuning = Tuning::new(here.clone());
        tuning
            .add("reduce", Place::Host, 2, &[(0, Algorithm::Blocks)])
            .unwrap();
        tuning.write(&file).unwrap();
        assert_eq!(origin().unwrap(), file.display().to_string());
        assert_ne!(
            cached(&file, &here).unwrap(),
            Table::empty(file.display().to_string())
        );

        let others = [
            Machine::here("a library", 3),
            Machine::here("another library", 2),
            Machine {
                gpu: "another".to_owned(),
                ..here.clone()
            },
            Machine {
                host: "another".to_owned(),
                ..here.clone()
            },
        ];
        for machine in others {
            let reason = format!("{} is of {machine}, and this is {here}", file.display());
            tuning.machine = machine;
            tuning.write(&file).unwrap();
            assert_eq!(cached(&file, &here).unwrap(), Table::empty(reason));
            // One that is named is used.
            let config = Config::default().tuning(Some(file.clone()));
            let table = load(&config, Some(here.clone())).unwrap();
            assert_eq!(table, Table::new(tuning.rows.clone(), file.display().to_string()));
        }
        fs::write(&file, "{}").unwrap();
        assert!(origin().unwrap_err().to_string().contains("cached.json"));
    }
}
