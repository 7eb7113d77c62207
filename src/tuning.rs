//! What `warpcomm tune` has measured, and the table that collectives plan by.

#[cfg(feature = "serde")]
mod file;
mod left_out;
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
use crate::plan::{Algorithm, Choice, HostFold, Ladder, Row, Step, Table};
use left_out::LeftOut;

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
    host_folds: Vec<HostFold>,
    left_out: Vec<LeftOut>,
}

impl Tuning {
    /// Of a machine, with nothing measured yet.
    pub fn new(machine: Machine) -> Tuning {
        Tuning {
            machine,
            rows: Vec::new(),
            host_folds: Vec::new(),
            left_out: Vec::new(),
        }
    }

    /// The machine that it is of.
    pub fn machine(&self) -> &Machine {
        &self.machine
    }

    /// Adds what was measured of an operation with `ranks` ranks and with the elements at `place`: from how many bytes on
    /// it takes which algorithm. The first is from 0 bytes on, and the lengths go up.
    ///
    /// What was measured of elements in `DeviceBuffer`s on GPUs that reach each other's memory
    /// ([`Algorithm::of_neighbours`]) is added beside what was measured of others on GPUs.
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
        let first = steps.first().map(|&(_, algorithm)| algorithm);
        let choice = choice(operation, place, first)?;
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
            has_levels: true,
            ladder,
        });
        Ok(())
    }

    /// Adds why an algorithm was not measured of an operation with `ranks` ranks and with the elements at `place`.
    ///
    /// Where ranks are on several nodes, what was measured without [`Algorithm::Levels`] does not count.
    ///
    /// # Errors
    /// [`InvalidArgument`](crate::ErrorKind::InvalidArgument) if the operation cannot take it.
    pub fn leave_out(
        &mut self,
        operation: &str,
        place: Place,
        ranks: usize,
        algorithm: Algorithm,
        reason: impl Into<String>,
    ) -> Result<()> {
        self.left_out.push(LeftOut {
            choice: choice(operation, place, Some(algorithm))?,
            place,
            ranks,
            algorithm,
            reason: reason.into(),
        });
        Ok(())
    }

    /// Adds up to how many bytes of each of `ranks` ranks' elements on a GPU the host folds faster than kernels, where no
    /// kernel reaches the elements of all.
    ///
    /// # Errors
    /// [`InvalidArgument`](crate::ErrorKind::InvalidArgument) if it was added already for so many ranks.
    pub fn add_host_fold(&mut self, ranks: usize, most: usize) -> Result<()> {
        if self.host_folds.iter().any(|fold| fold.ranks == ranks) {
            return Err(Error::invalid(format!(
                "what the host folds with {ranks} ranks is there twice"
            )));
        }
        self.host_folds.push(HostFold { ranks, most });
        Ok(())
    }

    /// The table that collectives plan by.
    #[cfg(feature = "serde")]
    fn into_table(self, origin: String) -> Table {
        let left_out = self.left_out;
        let mut rows = self.rows;
        for row in &mut rows {
            row.has_levels = !left_out
                .iter()
                .any(|left_out| left_out.is_of(row) && left_out.algorithm == Algorithm::Levels);
        }
        Table::new(rows, self.host_folds, origin)
    }

    /// The file for a machine in the directory that [`Config::cache`](crate::Config::cache) says; none where neither that
    /// nor the variables `XDG_CACHE_HOME` and `HOME` say where it would be.
    pub fn cached(config: &Config, machine: &Machine) -> Option<PathBuf> {
        let name = format!("{}.json", machine.file_name());
        Some(config.cache_directory()?.join("tuning").join(name))
    }
}

/// The choice of an operation that has an algorithm; or its first, whatever that is.
fn choice(operation: &str, place: Place, algorithm: Option<Algorithm>) -> Result<Choice> {
    let first = Algorithm::of(operation).first().copied();
    let first = first
        .ok_or_else(|| Error::invalid(format!("{operation:?} is no operation with several algorithms")))?;
    let algorithm = algorithm.unwrap_or(first);
    let choice = Choice::with(operation, algorithm)
        .ok_or_else(|| Error::invalid(format!("{operation} cannot take {algorithm}")))?;
    match choice.is_of_neighbours() && place == Place::Host {
        true => Err(Error::invalid(format!("{algorithm} is not for {place} buffers"))),
        false => Ok(choice),
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
    Ok(Tuning::read(file)?.into_table(file.display().to_string()))
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
    let tuning = file::read(&text).map_err(|error| file::named(file, error))?;
    match tuning.machine == *here {
        true => Ok(tuning.into_table(shown.to_string())),
        false => Ok(Table::empty(format!(
            "{shown} is of {}, and this is {here}",
            tuning.machine
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
        let one_shot = [(0, Algorithm::OneShot)];
        assert!(tuning.add("reduce", Place::Device, 2, &one_shot).is_ok());
        assert!(tuning.add("reduce", Place::Device, 2, &one_shot).is_err());
        assert!(tuning.add("reduce", Place::Host, 2, &one_shot).is_err());
        assert!(tuning.add("bcast", Place::Device, 2, &one_shot).is_err());
        let mixed = [(0, Algorithm::OneShot), (1, Algorithm::Blocks)];
        assert!(tuning.add("allreduce", Place::Device, 2, &mixed).is_err());
        assert!(tuning.add_host_fold(2, 0).is_ok());
        assert!(tuning.add_host_fold(2, 1).is_err());
        let unknown = tuning.leave_out("bcast", Place::Host, 2, Algorithm::Levels, "it has none");
        assert!(unknown.is_err());
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
            assert_eq!(table, tuning.clone().into_table(file.display().to_string()));
        }
        fs::write(&file, "{}").unwrap();
        assert!(origin().unwrap_err().to_string().contains("cached.json"));
    }
}
