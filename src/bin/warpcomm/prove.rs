//! Has a job of two ranks prove whether MPI takes addresses of GPU memory, as far as nobody has yet: the ranks of the
//! real job find the verdict in a file. A job of its own, because MPI libraries that are wrong about themselves crash
//! or hang, and started from here, because ranks cannot start ranks.

use std::ffi::OsString;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::awaited;
use crate::launcher::library::MpiLibrary;
use crate::launcher::surroundings::{in_slurm_allocation, is_on_several_nodes};
use crate::launcher::{Flavour, Job, Launcher};
use crate::rank_program::rank_program;
use crate::sim::Driver;

/// The variable that says what would be proved.
const OVERRIDE_VARIABLE: &str = "WARPCOMM_CUDA_AWARE";

/// The variable that says which paths messages may take.
pub const PATHS_VARIABLE: &str = "WARPCOMM_PATHS";

/// The name of the path that is proved.
const PATH: &str = "cuda-aware";

/// The variable with which messages do not go straight to MPI.
const FAULT_VARIABLE: &str = "WARPCOMM_FAULT";

/// The job of two ranks, for the ranks of another one.
pub struct Proof<'a> {
    program: PathBuf,
    launcher: &'a Launcher,
    environment: &'a [(OsString, OsString)],
    driver: Option<&'a Driver>,
}

impl<'a> Proof<'a> {
    /// The job for that of `program`, if there is something to prove about the MPI that it is linked with.
    pub fn of(
        program: &Path,
        launcher: &'a Launcher,
        environment: &'a [(OsString, OsString)],
        driver: Option<&'a Driver>,
    ) -> Option<Proof<'a>> {
        let rank_program = rank_program().ok()?;
        let library = MpiLibrary::of(program)?;
        let is_said = environment
            .iter()
            .any(|(name, _)| name == OVERRIDE_VARIABLE || name == FAULT_VARIABLE);
        // Outside an allocation a job may have to wait for the cluster, and other launchers than Slurm's begin with the
        // cores of one node, which alone has a simulated driver.
        let is_far = match launcher.flavour {
            Flavour::Slurm if driver.is_none() => !in_slurm_allocation(),
            Flavour::Slurm => !in_slurm_allocation() || is_on_several_nodes(),
            _ => is_on_several_nodes(),
        };
        if is_said || is_far || MpiLibrary::of(&rank_program) != Some(library) {
            return None;
        }
        Some(Proof {
            program: rank_program,
            launcher,
            environment,
            driver,
        })
    }

    /// Proves what nobody has proved, if messages of the job may take the path.
    pub fn prove_unknown(&self) {
        let said = self.environment.iter().rfind(|(name, _)| name == PATHS_VARIABLE);
        if said.is_some_and(|(_, paths)| leaves_out(&paths.to_string_lossy())) {
            return;
        }
        let mut tried = Vec::new();
        let is_new =
            |(kind, known): &(String, String), tried: &[String]| known == "unknown" && !tried.contains(kind);
        // A library that says that it is not CUDA-aware is asked once for all kinds.
        while let Some((kind, _)) = self.proved().into_iter().find(|line| is_new(line, &tried)) {
            self.prove(&kind);
            tried.push(kind);
        }
    }

    /// Proves everything anew; what is known then of each kind of memory.
    pub fn prove_all(&self) -> Vec<(String, String)> {
        for (kind, _) in self.proved() {
            self.prove(&kind);
        }
        self.proved()
    }

    fn job(&self, arguments: &[&str]) -> Job {
        let ranks = NonZeroUsize::MIN.saturating_add(1);
        let mut job = Job::new(ranks, &self.program);
        job.args = arguments.iter().map(Into::into).collect();
        job.environment = self.environment.to_vec();
        if let Some(driver) = self.driver {
            driver.put_before(&mut job);
        }
        job
    }

    /// What is known of each kind of memory on this host; nothing where there is no GPU.
    fn proved(&self) -> Vec<(String, String)> {
        let arguments: &[&str] = match is_on_several_nodes() {
            true => &["proved", "--several-nodes"],
            false => &["proved"],
        };
        let job = self.job(arguments);
        let mut command = Command::new(&job.program);
        command
            .args(&job.args)
            .envs(job.environment)
            .stderr(Stdio::null());
        let printed = command.output().map(|output| output.stdout).unwrap_or_default();
        let printed = String::from_utf8_lossy(&printed);
        let line = |line: &str| {
            let (kind, known) = line.split_once(" = ")?;
            Some((kind.to_owned(), known.to_owned()))
        };
        printed.lines().filter_map(line).collect()
    }

    /// Runs the job. Whatever becomes of it, its ranks have written it down before.
    fn prove(&self, kind: &str) {
        let mut command = self.launcher.command(&self.job(&["prove", kind]));
        let _ = awaited::run(&mut command);
    }
}

/// Whether messages may not take the path where the variable has such a value.
fn leaves_out(paths: &str) -> bool {
    let (names, are_excluded) = match paths.strip_prefix('^') {
        Some(names) => (names, true),
        None => (paths, false),
    };
    let is_named = names.split(',').any(|name| name.trim() == PATH);
    is_named == are_excluded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_path_is_left_out_by_others_or_behind_a_sign() {
        for (paths, expected) in [
            ("cuda-aware", false),
            ("staged, cuda-aware", false),
            ("staged,shared-pinned", true),
            ("^staged", false),
            ("^staged,cuda-aware", true),
        ] {
            assert_eq!(leaves_out(paths), expected, "{paths}");
        }
    }
}
