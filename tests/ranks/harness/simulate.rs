//! The simulated GPU, for jobs with device buffers: a library that their ranks find where they look for the
//! CUDA driver, unless a real one is required.

use std::ffi::OsString;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use super::REQUIRE_GPU_VARIABLE;
use super::world::Environment;

/// The file of the simulated driver.
const LIBRARY: &str = "libsimgpu.so";

/// The variable that names that file where it is not among what cargo builds.
const LIBRARY_VARIABLE: &str = "WARPCOMM_SIMGPU";

/// The names under which programs load the driver and its management library.
const DRIVER_NAMES: [&str; 3] = ["libcuda.so.1", "libcuda.so", "libnvidia-ml.so.1"];

/// Becomes the program with the directory `$0` before all others in which it looks for libraries. A variable
/// of the job would not do: Open MPI puts the directory of its own libraries before that.
const WITH_DRIVER: &str = r#"export LD_LIBRARY_PATH="$0${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"; exec "$@""#;

/// GPUs that cannot be given access to each other's memory.
pub const NO_PEERS: (&str, &str) = ("SIMGPU_PEER", "0");

/// A driver without a GPU.
pub const NO_DEVICES: (&str, &str) = ("CUDA_VISIBLE_DEVICES", "-1");

/// The longest time that an operation of a stream is kept back, in microseconds.
const DELAY: &str = "60";

/// Whether device buffers must be those of a real GPU.
pub fn is_real_required() -> bool {
    std::env::var_os(REQUIRE_GPU_VARIABLE).is_some_and(|value| value == "1")
}

/// Makes a directory with the simulated driver inside that of a job, and says in its environment what GPUs there
/// are; none if real ones are required.
pub fn driver(job: &Path, ranks: usize, environment: &mut Environment) -> Result<Option<PathBuf>, String> {
    if is_real_required() {
        return Ok(None);
    }
    static FOUND: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    let library = FOUND.get_or_init(library).clone()?;
    let directory = job.join("driver");
    let made = std::fs::create_dir_all(&directory).and_then(|()| {
        DRIVER_NAMES
            .iter()
            .try_for_each(|name| match directory.join(name) {
                link if link.exists() => Ok(()),
                link => symlink(&library, link),
            })
    });
    made.map_err(|error| error.to_string())?;
    // Ranks that share a GPU, and ranks that do not.
    let gpus = [1, 2, 4][ranks % 3];
    environment.push(("SIMGPU_DEVICES", gpus.to_string().into()));
    environment.push(("SIMGPU_DELAY", DELAY.into()));
    environment.push(("SIMGPU_SEED", ranks.to_string().into()));
    Ok(Some(directory))
}

/// A program and its arguments, so that it finds a directory's libraries before all others.
pub fn with(driver: Option<&Path>, program: &Path) -> (OsString, Vec<OsString>) {
    match driver {
        None => (program.into(), Vec::new()),
        Some(driver) => (
            "sh".into(),
            vec!["-c".into(), WITH_DRIVER.into(), driver.into(), program.into()],
        ),
    }
}

/// The library, built anew by cargo if that is there.
fn library() -> Result<PathBuf, String> {
    if let Some(named) = std::env::var_os(LIBRARY_VARIABLE).filter(|name| !name.is_empty()) {
        return Ok(named.into());
    }
    // This program is in `TARGET/PROFILE/deps`.
    let program = std::env::current_exe().map_err(|error| error.to_string())?;
    let profile = program.ancestors().nth(2).unwrap_or(Path::new("/"));
    let is_release = profile.ends_with("release");
    let build = match is_release {
        true => "cargo build --release -p simgpu",
        false => "cargo build -p simgpu",
    };
    if let Some(cargo) = std::env::var_os("CARGO") {
        let mut command = Command::new(cargo);
        command
            .args(build.split(' ').skip(1))
            .arg("--target-dir")
            .arg(profile.parent().unwrap_or(profile))
            .current_dir(env!("CARGO_MANIFEST_DIR"));
        let done = command.output().map_err(|error| format!("{build}: {error}"))?;
        if !done.status.success() {
            return Err(format!("{build}: {}", String::from_utf8_lossy(&done.stderr)));
        }
    }
    let file = profile.join(LIBRARY);
    match file.is_file() {
        true => Ok(file),
        false => Err(format!(
            "there is no {}: build it with `{build}`, or name it in {LIBRARY_VARIABLE}",
            file.display()
        )),
    }
}
