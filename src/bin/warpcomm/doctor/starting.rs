//! Whether a program's ranks can be started, and by whom.

use std::ffi::OsStr;
use std::path::Path;
use std::process::{Command, Stdio};

use super::report::Finding;
use crate::launcher::error::LaunchError;
use crate::launcher::library::MpiLibrary;
use crate::launcher::{Launcher, on_path};

/// The program of the ranks of `info`, `tune` and others: whether it is there and starts.
pub fn rank_program(found: &Result<std::path::PathBuf, String>) -> Finding {
    let check = "warpcomm-rank";
    let program = match found {
        Ok(program) => program,
        Err(error) => {
            let (message, remedy) = error.split_once(". ").unwrap_or((error, "build it with an MPI"));
            return Finding::error(check, message, remedy);
        }
    };
    let started = Command::new(program)
        .arg("--version")
        .stdin(Stdio::null())
        .output();
    match started {
        Ok(done) if done.status.success() => Finding::ok(
            check,
            match MpiLibrary::of(program) {
                Some(library) => format!("linked with {library}"),
                None => "it starts".to_owned(),
            },
        ),
        Ok(done) => {
            let said = String::from_utf8_lossy(&done.stderr);
            let said = said.lines().next().unwrap_or_default();
            Finding::error(
                check,
                format!("it does not start: {said}"),
                "name the directory of that library in LD_LIBRARY_PATH: builds do not keep where their MPI lies",
            )
        }
        Err(error) => Finding::error(check, format!("it does not start: {error}"), "build it anew"),
    }
}

/// The launcher of a program, and whether the bare `mpirun` is another one.
pub fn launcher(program: &Path, found: &Result<Launcher, LaunchError>) -> Vec<Finding> {
    let check = "launcher";
    let launcher = match found {
        Ok(launcher) => launcher,
        Err(error) => {
            let text = error.to_string();
            let (message, remedy) = match text.rsplit_once(". Install ") {
                Some((message, remedy)) => (message.to_owned(), format!("install {remedy}")),
                None => (
                    text,
                    "leave --launcher and WARPCOMM_LAUNCHER out, or name that of the program's MPI"
                        .to_owned(),
                ),
            };
            return vec![Finding::error(check, message, remedy)];
        }
    };
    let mut findings = vec![Finding::ok(
        check,
        format!("{launcher}, `{}`", launcher.program.display()),
    )];
    let mut others: Vec<(Launcher, MpiLibrary, Vec<&str>)> = Vec::new();
    for name in ["mpirun", "mpiexec"] {
        if on_path(OsStr::new(name)).is_none() {
            continue;
        }
        if let Err(LaunchError::Unfit {
            launcher: other,
            library,
            ..
        }) = Launcher::find(program, Some(OsStr::new(name)))
        {
            let known = others
                .iter_mut()
                .find(|(known, ..)| known.to_string() == other.to_string());
            match known {
                Some((.., names)) => names.push(name),
                None => others.push((other, library, vec![name])),
            }
        }
    }
    let warning = |(other, library, names): (Launcher, MpiLibrary, Vec<&str>)| {
        Finding::warning(
            check,
            format!(
                "{} on PATH is of {other}, and `{}` is linked with {library}: started by it, each rank would believe that \
                 it is alone",
                names
                    .iter()
                    .map(|name| format!("`{name}`"))
                    .collect::<Vec<_>>()
                    .join(" and "),
                program.display()
            ),
            format!(
                "use `warpcomm run`, which takes `{}`, or that one",
                launcher.program.display()
            ),
        )
    };
    findings.extend(others.into_iter().map(warning));
    findings
}

/// The MPI library of a program that the user names.
pub fn named_program(program: &Path) -> Finding {
    let check = "program";
    let shown = program.display();
    match MpiLibrary::of(program) {
        Some(library) => Finding::ok(check, format!("`{shown}` is linked with {library}")),
        None => Finding::warning(
            check,
            format!(
                "`{shown}` is linked with no MPI library that is known here: a launcher of another MPI would not be noticed"
            ),
            "if it is a script, name the program that it starts",
        ),
    }
}
