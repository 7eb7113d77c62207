//! Variables and the directory for temporary files.

use std::env;
use std::fs;
use std::os::unix::ffi::OsStrExt;

use super::report::Finding;
use crate::sim;
use crate::variables;

/// `PATH_MAX` of Linux, with the byte at the end.
const LONGEST_PATH: usize = 4096;

/// What is put behind the directory: that of a job, and the names in it.
const BEHIND: usize = 100;

/// The variables that are set and cannot be used, or that nobody reads.
pub fn settings() -> Vec<Finding> {
    let check = "variables";
    let known = variables::known();
    let unusable = known.iter().filter_map(|variable| {
        let (value, problem) = (variable.value.as_ref()?, variable.problem.as_ref()?);
        let name = &variable.name;
        Some(Finding::error(
            check,
            format!("{name}={value} cannot be used: {problem}"),
            format!("unset {name}, or: {}", variable.meaning),
        ))
    });
    let unknown = variables::unknown().into_iter().map(|unknown| {
        let name = unknown.name;
        let remedy = match unknown.nearest {
            Some(nearest) => format!("did you mean {nearest}?"),
            None => {
                format!("unset it; `warpcomm info` lists those that are read, and {name} is none of them")
            }
        };
        Finding::warning(check, format!("{name} is set, and nobody reads it"), remedy)
    });
    let mut findings: Vec<Finding> = unusable.chain(unknown).collect();
    if findings.is_empty() {
        let set = known.iter().filter(|variable| variable.value.is_some()).count();
        findings.push(Finding::ok(check, format!("{set} of {} are set", known.len())));
    }
    findings
}

/// The directory for temporary files, where launchers and `--sim` put theirs.
pub fn temporary_files() -> Finding {
    let check = "TMPDIR";
    let directory = env::temp_dir();
    let shown = directory.display();
    let remedy = "set TMPDIR to a directory on this host that you may write to: export TMPDIR=/tmp";
    let bytes = directory.as_os_str().as_bytes();
    if bytes.len() + BEHIND > LONGEST_PATH {
        let message = format!(
            "its name has {} bytes, and that of a file at most {LONGEST_PATH}",
            bytes.len()
        );
        return Finding::error(check, message, remedy);
    }
    let probe = directory.join(format!("warpcomm-doctor-{}", std::process::id()));
    let made = fs::create_dir(&probe);
    match made {
        Ok(()) => drop(fs::remove_dir(&probe)),
        Err(error) => {
            return Finding::error(
                check,
                format!("nothing can be made in `{shown}`: {error}"),
                remedy,
            );
        }
    }
    match bytes.iter().any(|byte| b":;".contains(byte)) {
        true => Finding::warning(
            check,
            format!("`{shown}` cannot be in LD_LIBRARY_PATH because of its name, which --sim needs"),
            remedy,
        ),
        false => Finding::ok(check, shown.to_string()),
    }
}

/// The simulated GPU.
pub fn simulation() -> Finding {
    let check = "simulated GPU";
    match sim::ranks_are_here(None).and_then(|()| sim::find_library()) {
        Ok(file) => Finding::ok(check, file.display().to_string()),
        Err(error) => {
            let (message, remedy) = error
                .split_once(". ")
                .unwrap_or((&error, "unset it, or name the file"));
            Finding::error(check, message, remedy)
        }
    }
}
