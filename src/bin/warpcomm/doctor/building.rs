//! What building needs, and running does not.

use std::env;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::report::Finding;
use super::system::System;
use crate::launcher::library::MpiLibrary;
use crate::launcher::on_path;

/// The variable that names the compiler to the crate that builds the bindings.
const COMPILER_VARIABLE: &str = "MPICC";

/// Whose compiler it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Family {
    OpenMpi,
    Mpich,
}

impl Family {
    fn of(library: MpiLibrary) -> Family {
        match library {
            MpiLibrary::OpenMpi => Family::OpenMpi,
            MpiLibrary::MpichInterface | MpiLibrary::DebianMpich => Family::Mpich,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Family::OpenMpi => "Open MPI",
            Family::Mpich => "MPICH or Intel MPI",
        }
    }
}

/// The compiler of an MPI, and whether it is the one that the ranks' program is linked with. Without ranks' program it
/// is needed to get one.
pub fn compiler(library: Option<MpiLibrary>, is_built: bool) -> Finding {
    let check = "MPI compiler";
    let named = env::var_os(COMPILER_VARIABLE).filter(|name| !name.is_empty());
    let name = named.as_deref().unwrap_or(OsStr::new("mpicc"));
    let shown = name.to_string_lossy();
    let path = match shown.contains('/') {
        true => Some(PathBuf::from(name)).filter(|path| path.is_file()),
        false => on_path(name),
    };
    let Some(path) = path else {
        return missing(
            check,
            is_built,
            format!("`{shown}` is not there, which building with MPI needs"),
            "install an MPI with its headers (Debian, Ubuntu: `libopenmpi-dev` or `libmpich-dev`), or name its compiler in \
             MPICC",
        );
    };
    let Some(family) = family(&path) else {
        return Finding::note(check, format!("`{shown}` does not say which MPI it is of"));
    };
    match library.map(Family::of) {
        Some(linked) if linked != family => Finding::warning(
            check,
            format!(
                "`{shown}` is of {}, and what is built is linked with {}: the next build takes the other MPI",
                family.name(),
                linked.name()
            ),
            "set MPICC to the compiler of the MPI that you want (Debian: mpicc.openmpi or mpicc.mpich), and use a target \
             directory for each",
        ),
        _ => Finding::ok(check, format!("`{shown}` of {}", family.name())),
    }
}

fn family(compiler: &Path) -> Option<Family> {
    let says = |argument: &str| {
        let done = Command::new(compiler).arg(argument).stdin(Stdio::null()).output();
        let done = done.ok()?;
        Some(String::from_utf8_lossy(&[done.stdout, done.stderr].concat()).into_owned())
    };
    if says("--showme:version")?.contains("Open MPI") {
        return Some(Family::OpenMpi);
    }
    let version = says("-v")?;
    let is_mpich = ["for MPICH", "for the Intel(R) MPI", "MVAPICH"]
        .iter()
        .any(|words| version.contains(words));
    is_mpich.then_some(Family::Mpich)
}

/// What the bindings to MPI are made with.
pub fn libclang(system: &System, is_built: bool) -> Finding {
    let check = "libclang";
    let named = env::var_os("LIBCLANG_PATH").map(PathBuf::from);
    let is_it = |file: &Path| {
        let name = file.file_name().unwrap_or_default().to_string_lossy();
        (name.starts_with("libclang.so") || name.starts_with("libclang-")) && name.contains(".so")
    };
    let in_directory = |directory: &Path| {
        let entries = system.entries(directory);
        entries.into_iter().find(|file| is_it(file))
    };
    if let Some(named) = named {
        let is_there = is_it(&named) && system.path(&named).is_file() || in_directory(&named).is_some();
        return match is_there {
            true => Finding::ok(check, format!("LIBCLANG_PATH={}", named.display())),
            false => missing(
                check,
                is_built,
                format!("LIBCLANG_PATH={} has no libclang.so", named.display()),
                "unset it, or name the directory of libclang.so",
            ),
        };
    }
    // Where the crate clang-sys looks, which loads it.
    let tops = ["/usr/local/lib", "/usr/lib", "/usr/lib64", "/usr/local/lib64"];
    let below = |directory: &PathBuf| {
        let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
        entries
            .map(|entry| entry.path())
            .filter(|path| path.is_dir())
            .collect::<Vec<_>>()
    };
    let linked = env::var_os("LD_LIBRARY_PATH").unwrap_or_default();
    let mut directories: Vec<PathBuf> = env::split_paths(&linked)
        .filter(|path| path.is_absolute())
        .collect();
    for top in tops.map(|top| system.path(top)) {
        let first: Vec<PathBuf> = below(&top);
        // The versions of Debian: /usr/lib/llvm-14/lib.
        let second = first.iter().map(|directory| directory.join("lib"));
        directories.extend(second.collect::<Vec<_>>());
        directories.extend(first);
        directories.push(top);
    }
    let found = directories.iter().find_map(|directory| {
        let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
        entries.map(|entry| entry.path()).find(|file| is_it(file))
    });
    match found {
        Some(file) => Finding::ok(check, file.display().to_string()),
        None => missing(
            check,
            is_built,
            "there is no libclang, which building with MPI needs".to_owned(),
            "install it (Debian, Ubuntu: `libclang-dev`), or name its directory in LIBCLANG_PATH",
        ),
    }
}

/// What is needed to build: that is wrong where something has still to be built.
fn missing(check: &'static str, is_built: bool, message: String, remedy: &str) -> Finding {
    match is_built {
        true => Finding::warning(check, message, remedy),
        false => Finding::error(check, message, remedy),
    }
}
