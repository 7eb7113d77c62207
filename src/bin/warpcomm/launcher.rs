//! Finds the MPI launcher that fits a program, and writes its command line.
//!
//! Every MPI comes with a launcher of its own, and ranks started by another MPI's launcher do not find each
//! other: each believes that it is alone. So the choice starts from the library that the program is linked
//! with. This file needs nothing but the standard library and `object`, so that programs which start jobs
//! (the test harness, the benches) can include it as it is.

#[path = "launcher/binding.rs"]
pub mod binding;
#[path = "launcher/command_line.rs"]
mod command_line;
#[path = "launcher/error.rs"]
pub mod error;
#[path = "launcher/hosts.rs"]
pub mod hosts;
#[path = "launcher/job.rs"]
mod job;
#[path = "launcher/library.rs"]
pub mod library;
#[path = "launcher/shell.rs"]
pub mod shell;
#[path = "launcher/surroundings.rs"]
pub mod surroundings;

use std::ffi::OsStr;
use std::fmt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use error::LaunchError;
use library::MpiLibrary;
use surroundings::in_slurm_allocation;

#[allow(
    unused_imports,
    reason = "not every program that includes this file uses all of it"
)]
pub use job::{Job, Part, passed_on};

/// Names under which launchers are installed, in the order in which they are tried.
const CANDIDATES: [&str; 10] = [
    "mpirun",
    "mpiexec",
    "mpirun.openmpi",
    "mpiexec.openmpi",
    "mpiexec.mpich",
    "mpiexec.hydra",
    "mpirun.mpich",
    "orterun",
    "prterun",
    "srun",
];

/// The variable that names the launcher where the caller does not.
pub const LAUNCHER_VARIABLE: &str = "WARPCOMM_LAUNCHER";

/// Whose launcher it is, which decides how its options are spelled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flavour {
    /// Open MPI up to version 4 (`mpirun`, `orterun`).
    OpenMpi4,
    /// Open MPI from version 5 on (`mpirun`, `prterun`).
    OpenMpi5,
    /// MPICH and what is derived from it (Hydra).
    Mpich,
    /// Intel MPI, whose Hydra is its own.
    IntelMpi,
    /// Slurm's `srun`.
    Slurm,
}

impl Flavour {
    /// Reads flavour and version from what a launcher prints for `--version`; `None` if it is none of these.
    pub fn of_version(text: &str) -> Option<(Self, String)> {
        let word_after = |mark: &str| {
            let (_, rest) = text.split_once(mark)?;
            Some(rest.split_whitespace().next()?.to_owned())
        };
        if let Some(version) = word_after("(Open MPI)").or_else(|| word_after("(OpenRTE)")) {
            let major = version
                .split('.')
                .next()
                .and_then(|major| major.parse::<u32>().ok())?;
            let flavour = if major < 5 { Self::OpenMpi4 } else { Self::OpenMpi5 };
            return Some((flavour, version));
        }
        if let Some(version) = word_after("(PRRTE)") {
            return Some((Self::OpenMpi5, format!("5 (PRRTE {version})")));
        }
        if text.contains("Intel(R) MPI Library") {
            return Some((Self::IntelMpi, word_after("Version ")?));
        }
        if text.contains("HYDRA build details") {
            return Some((Self::Mpich, word_after("Version:")?));
        }
        // Distributions rename it: Debian's says "slurm-wlm 22.05.8".
        let slurm = text.lines().find(|line| line.starts_with("slurm"))?;
        Some((Self::Slurm, slurm.split_whitespace().nth(1)?.to_owned()))
    }

    /// Whether ranks that are linked with `library` find each other when this launcher starts them.
    ///
    /// Open MPI 4 and 5 start each other's programs; so do MPICH and Intel MPI, which share a wire-up protocol.
    pub fn starts(self, library: MpiLibrary) -> bool {
        match self {
            Self::OpenMpi4 | Self::OpenMpi5 => library == MpiLibrary::OpenMpi,
            Self::Mpich | Self::IntelMpi => library != MpiLibrary::OpenMpi,
            Self::Slurm => true,
        }
    }
}

impl fmt::Display for Flavour {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::OpenMpi4 | Self::OpenMpi5 => "Open MPI",
            Self::Mpich => "MPICH",
            Self::IntelMpi => "Intel MPI",
            Self::Slurm => "Slurm",
        })
    }
}

/// A launcher that is installed, and what it said about itself.
#[derive(Clone, Debug)]
pub struct Launcher {
    /// How to start it: a path, or a name on `PATH`.
    pub program: PathBuf,
    /// Whose launcher it is.
    pub flavour: Flavour,
    /// Its version.
    pub version: String,
}

impl Launcher {
    /// Finds the launcher for `program`, a path.
    ///
    /// `wanted`, or else the variable `WARPCOMM_LAUNCHER`, names the launcher, by path or by name. Otherwise
    /// it is the first that fits the program's MPI library, of: `srun` inside a Slurm allocation, then the
    /// usual names on `PATH`. A program without an MPI library (a script, an interpreter) takes any launcher.
    ///
    /// # Errors
    ///
    /// When no launcher is installed, none fits, or the wanted one is missing, is no launcher, or does not fit.
    pub fn find(program: &Path, wanted: Option<&OsStr>) -> Result<Self, LaunchError> {
        let library = MpiLibrary::of(program);
        let variable = std::env::var_os(LAUNCHER_VARIABLE).filter(|name| !name.is_empty());
        if let Some(wanted) = wanted.or(variable.as_deref()) {
            let launcher = Self::ask(wanted).map_err(|reason| LaunchError::Unusable {
                launcher: wanted.to_owned(),
                reason,
            })?;
            return match library {
                Some(library) if !launcher.flavour.starts(library) => Err(LaunchError::Unfit {
                    launcher,
                    program: program.to_owned(),
                    library,
                }),
                _ => Ok(launcher),
            };
        }
        let first = in_slurm_allocation().then_some("srun");
        let mut tried = Vec::new();
        for name in first.into_iter().chain(CANDIDATES) {
            if on_path(OsStr::new(name)).is_none() || tried.iter().any(|(earlier, _)| *earlier == name) {
                continue;
            }
            match Self::ask(OsStr::new(name)) {
                Ok(launcher) => {
                    if library.is_none_or(|library| launcher.flavour.starts(library)) {
                        return Ok(launcher);
                    }
                    tried.push((name, launcher.to_string()));
                }
                Err(reason) => tried.push((name, reason)),
            }
        }
        Err(LaunchError::NoneFits {
            program: program.to_owned(),
            library,
            tried,
        })
    }

    /// Starts `name --version` and reads the answer; the error says why it is not usable.
    fn ask(name: &OsStr) -> Result<Self, String> {
        let path = if name.as_bytes().contains(&b'/') {
            PathBuf::from(name)
        } else {
            on_path(name).ok_or("it is not on PATH")?
        };
        let output = Command::new(&path)
            .arg("--version")
            .stdin(Stdio::null())
            .output()
            .map_err(|error| format!("it does not start: {error}"))?;
        let mut text = String::from_utf8_lossy(&output.stdout).into_owned();
        text.push_str(&String::from_utf8_lossy(&output.stderr));
        let (flavour, version) =
            Flavour::of_version(&text).ok_or("its --version names no MPI launcher that is known here")?;
        // Open MPI takes an absolute path as a request for --prefix, which a bare name does not make. A bare
        // srun would be looked up again, in the PATH that the job's own variables may set.
        let program = if flavour == Flavour::Slurm {
            path
        } else {
            PathBuf::from(name)
        };
        Ok(Self {
            program,
            flavour,
            version,
        })
    }
}

impl fmt::Display for Launcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.flavour, self.version)
    }
}

/// The first executable file of that name in the directories of `PATH`, as a shell finds it.
pub fn on_path(name: &OsStr) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .map(|directory| directory.join(name))
        .find(|file| is_executable(file))
}

/// Whether `path` is a file that somebody may execute.
pub fn is_executable(path: &Path) -> bool {
    path.metadata()
        .is_ok_and(|metadata| metadata.is_file() && metadata.permissions().mode() & 0o111 != 0)
}
