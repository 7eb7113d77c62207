//! `warpcomm run --sim`: ranks that find a simulated CUDA driver where they look for the real one.
//!
//! Nothing may find the simulated driver by accident. Its library has a name of its own wherever it lies; only
//! in a directory that lasts as long as the job, and that nobody but the job's ranks looks into, links give it
//! the names under which programs load the driver.

use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, symlink};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rustix::io::{FdFlags, fcntl_setfd};

use crate::launcher::Job;
use crate::launcher::hosts::Hosts;
use crate::launcher::surroundings::is_on_several_nodes;

/// The file of the simulated driver.
const LIBRARY: &str = "libsimgpu.so";

/// The variable that names that file where it does not lie beside this command.
const LIBRARY_VARIABLE: &str = "WARPCOMM_SIMGPU";

/// Where the simulated driver reads how many GPUs it has.
const GPUS_VARIABLE: &str = "SIMGPU_DEVICES";

/// The names under which programs load the driver and its management library.
const DRIVER_NAMES: [&str; 3] = ["libcuda.so.1", "libcuda.so", "libnvidia-ml.so.1"];

/// Becomes the program with the directory `$0` before all others in which it looks for libraries. A variable
/// of the job would not do: Open MPI puts the directory of its own libraries before that.
const WITH_DRIVER: &str = r#"export LD_LIBRARY_PATH="$0${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"; exec "$@""#;

/// Leaves a process behind, no child of anybody here, that removes the directory `$0` at the end of its input.
const REMOVE_LATER: &str = r#"exec 3<&0; { read -r _ <&3; rm -r -- "$0"; } &"#;

/// A simulated driver, for the jobs of this process.
pub struct Driver {
    directory: Directory,
    gpus: u8,
}

impl Driver {
    /// A driver with `gpus` GPUs, for a job on these hosts, or on those of the launcher's choice.
    ///
    /// # Errors
    ///
    /// When ranks would run elsewhere, and where the driver cannot be had.
    pub fn for_job(gpus: u8, hosts: Option<&Hosts>) -> Result<Driver, String> {
        ranks_are_here(hosts)?;
        Driver::for_this_host(gpus)
    }

    /// A driver with `gpus` GPUs, for ranks of this host, whichever others their job has.
    ///
    /// # Errors
    ///
    /// When the library is missing, and where there can be no directory for it.
    pub fn for_this_host(gpus: u8) -> Result<Driver, String> {
        let library = find_library()?;
        let directory = Directory::create().map_err(|error| {
            format!(
                "cannot make a directory for the simulated driver in `{}`: {error}",
                std::env::temp_dir().display()
            )
        })?;
        let path = directory.0.as_os_str();
        if path.as_bytes().iter().any(|byte| b":;".contains(byte)) {
            return Err(format!(
                "the directory `{}` cannot be in LD_LIBRARY_PATH because of its name; set TMPDIR to another",
                directory.0.display()
            ));
        }
        for name in DRIVER_NAMES {
            symlink(&library, directory.0.join(name)).map_err(|error| error.to_string())?;
        }
        Ok(Driver { directory, gpus })
    }

    /// Has the ranks of a job use it.
    pub fn put_before(&self, job: &mut Job) {
        let directory = self.directory.0.as_os_str();
        job.run_by(
            "sh".as_ref(),
            &["-c".into(), WITH_DRIVER.into(), directory.to_owned()],
        );
        job.environment
            .push((GPUS_VARIABLE.into(), self.gpus.to_string().into()));
    }

    /// Lets it last until this process and all that it becomes and starts have ended.
    pub fn outlive_this_program(self) -> Result<(), String> {
        self.directory
            .outlive_this_program()
            .map_err(|error| format!("cannot arrange that the simulated driver is removed: {error}"))
    }
}

/// Whether all ranks of a job on these hosts, or on those of the launcher's choice, run on this host: elsewhere they would
/// not find the simulated driver, and take a real one.
///
/// # Errors
///
/// When some do not.
pub fn ranks_are_here(hosts: Option<&Hosts>) -> Result<(), String> {
    match hosts {
        Some(hosts) if !hosts.are_here() => Err(format!(
            "with --sim all ranks run on this host, and {hosts} names another"
        )),
        None if is_on_several_nodes() => Err(
            "with --sim all ranks run on this host, and the allocation has several nodes. Name this one by `warpcomm run \
             --host`, or take an allocation of one"
                .to_owned(),
        ),
        _ => Ok(()),
    }
}

/// The library, which cargo builds beside this command or, as a dependency of tests, one level below.
pub fn find_library() -> Result<PathBuf, String> {
    if let Some(named) = std::env::var_os(LIBRARY_VARIABLE).filter(|name| !name.is_empty()) {
        let file = PathBuf::from(named);
        return match fs::canonicalize(&file) {
            Ok(path) if path.is_file() => Ok(path),
            Ok(_) => Err(format!(
                "{LIBRARY_VARIABLE} names `{}`, which is no file",
                file.display()
            )),
            Err(error) => Err(format!("{LIBRARY_VARIABLE} names `{}`: {error}", file.display())),
        };
    }
    let own = std::env::current_exe().map_err(|error| error.to_string())?;
    let beside = own.parent().unwrap_or(Path::new("/"));
    [beside.join(LIBRARY), beside.join("deps").join(LIBRARY)]
        .into_iter()
        .find(|file| file.is_file())
        .ok_or_else(|| {
            let profile = match beside.ends_with("debug") {
                true => "",
                false => " --release",
            };
            format!(
                "the simulated GPU, {LIBRARY}, is not in `{}`. Build it with `cargo build{profile} -p simgpu`, \
                 or name its file in {LIBRARY_VARIABLE}",
                beside.display()
            )
        })
}

/// A directory of this process, removed with it.
struct Directory(PathBuf);

impl Directory {
    fn create() -> io::Result<Directory> {
        let parent = std::path::absolute(std::env::temp_dir())?;
        // A process that had this number before may have left its directory.
        for attempt in 0_u32.. {
            let path = parent.join(format!("warpcomm-sim-{}-{attempt}", std::process::id()));
            match fs::DirBuilder::new().mode(0o700).create(&path) {
                Ok(()) => return Ok(Directory(path)),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
            }
        }
        Err(io::ErrorKind::AlreadyExists.into())
    }

    /// Lets the directory last until the last process that has inherited an open file from here has ended, in
    /// whatever way: this process is about to become the launcher, and has nobody to wait for it.
    fn outlive_this_program(self) -> io::Result<()> {
        let (end, alive) = io::pipe()?;
        let remover = Command::new("/bin/sh")
            .arg("-c")
            .arg(REMOVE_LATER)
            .arg(&self.0)
            .stdin(end)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            // What is typed at the terminal to end the job must not end the remover.
            .process_group(0)
            .status()?;
        if !remover.success() {
            return Err(io::Error::other("the shell has failed"));
        }
        std::mem::forget(self);
        fcntl_setfd(&alive, FdFlags::empty())?;
        // Held open until the end.
        std::mem::forget(alive);
        Ok(())
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
