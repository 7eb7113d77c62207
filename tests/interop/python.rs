//! The Python that has mpi4py, and how it finds the MPI library of this program.

use std::ffi::OsString;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::harness::Environment;
use crate::launcher::library::MpiLibrary;

/// Becomes the program with the directory `$0` before all others in which it looks for libraries.
const WITH_LIBRARIES: &str = r#"export LD_LIBRARY_PATH="$0${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"; exec "$@""#;

/// Names the Python to use instead.
const PYTHON_VARIABLE: &str = "WARPCOMM_TEST_PYTHON";

/// The Python in which `ci/setup.sh --tests` has installed mpi4py.
///
/// Panics where it is missing if `WARPCOMM_TEST_REQUIRE_MPI4PY` is 1.
pub fn with_mpi4py() -> Option<PathBuf> {
    let installed = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/venv/bin/python");
    let python = std::env::var_os(PYTHON_VARIABLE).map_or(installed, PathBuf::from);
    let found = Command::new(&python)
        .args(["-c", "import mpi4py, numpy"])
        .output();
    let found = found.is_ok_and(|output| output.status.success());
    let required = std::env::var("WARPCOMM_TEST_REQUIRE_MPI4PY").is_ok_and(|value| value == "1");
    assert!(
        found || !required,
        "{} has no mpi4py; ci/setup.sh --tests installs it",
        python.display()
    );
    found.then_some(python)
}

/// The binary interface of the MPI library of this program, by the name that mpi4py has for it.
pub fn library() -> Option<&'static str> {
    let own = std::env::current_exe().ok()?;
    MpiLibrary::of(&own).map(|library| match library {
        MpiLibrary::OpenMpi => "openmpi",
        MpiLibrary::MpichInterface | MpiLibrary::DebianMpich => "mpich",
    })
}

/// The program of a rank that is mpi4py, with its arguments.
///
/// mpi4py's own files know two binary interfaces, by the names of their libraries. Debian's MPICH has the one of
/// MPICH under another name, which gets this one in the job's directory.
pub fn command(python: &Path, job: &Path, environment: &mut Environment) -> Result<Vec<OsString>, String> {
    let peer = crate::case::directory().join("peer.py");
    let own = std::env::current_exe().map_err(|error| error.to_string())?;
    let mut command: Vec<OsString> = Vec::new();
    let interface = library().ok_or("this program is linked with no MPI library")?;
    environment.push(("MPI4PY_MPIABI", interface.into()));
    if MpiLibrary::of(&own) == Some(MpiLibrary::DebianMpich) {
        let libraries = job.join("mpich");
        let link = libraries.join(MpiLibrary::MpichInterface.soname());
        let made = std::fs::create_dir_all(&libraries).and_then(|()| symlink(debian_mpich()?, link));
        made.map_err(|error| error.to_string())?;
        command.extend(["sh".into(), "-c".into(), WITH_LIBRARIES.into(), libraries.into()]);
    }
    command.extend([python.into(), "-B".into(), peer.into()]);
    Ok(command)
}

/// The file of Debian's MPICH that this process has loaded.
fn debian_mpich() -> std::io::Result<PathBuf> {
    let maps = std::fs::read_to_string("/proc/self/maps")?;
    let file = maps
        .lines()
        .filter_map(|line| line.split_whitespace().last())
        .find(|file| file.contains("libmpich.so"));
    file.map(PathBuf::from)
        .ok_or_else(|| std::io::Error::other("this process has not loaded libmpich.so.12"))
}
