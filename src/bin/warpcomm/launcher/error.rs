//! Why a program could not be given a launcher.

use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;

use super::library::MpiLibrary;
use super::{LAUNCHER_VARIABLE, Launcher};

/// Why there is no launcher for a program.
#[derive(Clone, Debug)]
pub enum LaunchError {
    /// None of the installed launchers can start the program.
    NoneFits {
        /// The program that was to be started.
        program: PathBuf,
        /// The MPI library that the program is linked with.
        library: Option<MpiLibrary>,
        /// The launchers on `PATH`, and what each turned out to be.
        tried: Vec<(&'static str, String)>,
    },
    /// The launcher that was asked for is of another MPI than the program.
    Unfit {
        /// The launcher that was asked for.
        launcher: Launcher,
        /// The program that was to be started.
        program: PathBuf,
        /// The MPI library that the program is linked with.
        library: MpiLibrary,
    },
    /// The launcher that was asked for is missing, or is no launcher.
    Unusable {
        /// The launcher that was asked for.
        launcher: OsString,
        /// What is wrong with it.
        reason: String,
    },
}

impl fmt::Display for LaunchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoneFits {
                program,
                library,
                tried,
            } => {
                match library {
                    Some(library) => write!(
                        f,
                        "no MPI launcher that can start `{}`, which is linked with {library}",
                        program.display()
                    )?,
                    None => write!(f, "no MPI launcher (mpirun, mpiexec or srun)")?,
                }
                if tried.is_empty() {
                    write!(f, "; there is none on PATH")?;
                }
                for (position, (name, found)) in tried.iter().enumerate() {
                    let separator = if position == 0 { "; tried" } else { "," };
                    write!(f, "{separator} {name} ({found})")?;
                }
                let package = library.map_or("`openmpi-bin` or `mpich`", MpiLibrary::package);
                write!(
                    f,
                    ". Install one (Debian, Ubuntu: {package}), or name one with --launcher or {LAUNCHER_VARIABLE}"
                )
            }
            Self::Unfit {
                launcher,
                program,
                library,
            } => write!(
                f,
                "the launcher `{}` is of {launcher}, but `{}` is linked with {library}: its ranks would not \
                 find each other",
                launcher.program.display(),
                program.display()
            ),
            Self::Unusable { launcher, reason } => {
                write!(
                    f,
                    "the launcher `{}` cannot be used: {reason}",
                    launcher.to_string_lossy()
                )
            }
        }
    }
}

impl std::error::Error for LaunchError {}
