//! The launchers and compilers that this machine really has.

use std::ffi::OsStr;
use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use crate::launcher::{LAUNCHER_VARIABLE, on_path};
use crate::machine::{output, text};

/// The launchers of this machine that fit each compiler wrapper of Debian.
pub const REAL: [(&str, &str); 2] = [
    ("mpirun.openmpi", "mpicc.openmpi"),
    ("mpiexec.mpich", "mpicc.mpich"),
];

/// A run with the real launchers on `PATH`.
pub fn real_run(arguments: &[&OsStr]) -> Output {
    output(&mut real_command(arguments))
}

pub fn real_command(arguments: &[&OsStr]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_warpcomm"));
    command
        .arg("run")
        .args(arguments)
        .env_remove(LAUNCHER_VARIABLE)
        .env_remove("SLURM_JOB_ID");
    command
}

/// A script that goes on when so many ranks run it, each of which leaves a file in a directory: Hydra dies of a closed
/// pipe where one ends before all have started.
pub fn when_all_run(ranks: usize, directory: &Path, then: &str) -> String {
    let directory = directory.display();
    format!(": >{directory}/$$; while [ $(ls {directory} | wc -l) -lt {ranks} ]; do :; done; {then}")
}

#[test]
fn real_launchers_start_ranks_and_pass_on_their_status() {
    for (name, _) in REAL {
        if on_path(OsStr::new(name)).is_none() {
            eprintln!("not tested, since it is not installed: {name}");
            continue;
        }
        let run = |script: &str| {
            let variable = "SENTENCE=it's a, b;  c=d";
            let words = [
                "-n",
                "5",
                "--launcher",
                name,
                "--env",
                variable,
                "--",
                "sh",
                "-c",
                script,
                "sh",
                "x  y",
                ":",
            ];
            real_run(&words.map(OsStr::new))
        };
        let started = tempfile::tempdir().unwrap();
        let done = run(&when_all_run(
            5,
            started.path(),
            r#"echo "$OMPI_COMM_WORLD_RANK$PMI_RANK $1 $2 $SENTENCE""#,
        ));
        assert!(done.status.success(), "{name}: {}", text(&done.stderr));
        let mut lines: Vec<_> = text(&done.stdout).lines().map(str::to_owned).collect();
        lines.sort();
        let expected: Vec<_> = (0..5)
            .map(|rank| format!("{rank} x  y : it's a, b;  c=d"))
            .collect();
        assert_eq!(lines, expected, "{name}");
        let started = tempfile::tempdir().unwrap();
        let script = when_all_run(5, started.path(), "exit 3");
        assert_eq!(run(&script).status.code(), Some(3), "{name}");
    }
}

#[test]
fn real_programs_find_the_launcher_of_their_mpi() {
    let directory = tempfile::tempdir().unwrap();
    let source = directory.path().join("size.c");
    let lines = [
        "#include <mpi.h>",
        "#include <stdio.h>",
        "int main(void) {",
        "    int size;",
        "    MPI_Init(0, 0);",
        "    MPI_Comm_size(MPI_COMM_WORLD, &size);",
        "    printf(\"%d ranks\\n\", size);",
        "    return MPI_Finalize();",
        "}",
    ];
    fs::write(&source, lines.join("\n")).unwrap();
    for (name, compiler) in REAL {
        if [name, compiler]
            .iter()
            .any(|tool| on_path(OsStr::new(tool)).is_none())
        {
            eprintln!("not tested, since it is not installed: {name} or {compiler}");
            continue;
        }
        let program = directory.path().join(compiler);
        let compiled = output(Command::new(compiler).arg(&source).arg("-o").arg(&program));
        assert!(compiled.status.success(), "{}", text(&compiled.stderr));
        let done = real_run(&["-n".as_ref(), "3".as_ref(), program.as_os_str()]);
        assert!(done.status.success(), "{name}: {}", text(&done.stderr));
        assert_eq!(text(&done.stdout), "3 ranks\n".repeat(3), "{compiler}");
    }
}

/// A library that pretends to be the simulated driver, and a program that loads the driver.
const DRIVER: &str = "int simulated_for_this_test(void) { return 1; }";
const LOADER: &str = r#"
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
static const char *loaded(const char *name) {
    void *library = dlopen(name, RTLD_NOW);
    return library && dlsym(library, "simulated_for_this_test") ? "simulated" : "another";
}
static const char *value(const char *name) {
    return getenv(name) ? getenv(name) : "none";
}
int main(void) {
    printf("%s %s %s gpus %s path %s\n", loaded("libcuda.so.1"), loaded("libcuda.so"),
           loaded("libnvidia-ml.so.1"), value("SIMGPU_DEVICES"), value("LD_LIBRARY_PATH"));
}
"#;

#[test]
fn only_ranks_of_a_simulated_job_load_the_simulated_driver() {
    let directory = tempfile::tempdir().unwrap();
    let file = |name: &str| directory.path().join(name);
    fs::write(file("driver.c"), DRIVER).unwrap();
    fs::write(file("loader.c"), LOADER).unwrap();
    let compile = |arguments: &[&str]| {
        let compiled = output(Command::new("cc").args(arguments).current_dir(directory.path()));
        assert!(compiled.status.success(), "{}", text(&compiled.stderr));
    };
    compile(&["-shared", "-fPIC", "driver.c", "-o", "libsimgpu.so"]);
    compile(&["loader.c", "-o", "loader", "-ldl"]);
    for (name, _) in REAL {
        let Some(path) = on_path(OsStr::new(name)) else {
            eprintln!("not tested, since it is not installed: {name}");
            continue;
        };
        // Open MPI that is started by its path puts the directory of its libraries in front of what it is told.
        for launcher in [Path::new(name), &path] {
            let run = |options: &[&str]| {
                let words = [&["-n", "3", "--launcher", launcher.to_str().unwrap()], options].concat();
                let started = tempfile::tempdir().unwrap();
                let (script, loader) = (when_all_run(3, started.path(), r#"exec "$0""#), file("loader"));
                let mut words: Vec<&OsStr> = words.into_iter().map(OsStr::new).collect();
                words.extend(["sh", "-c", script.as_str()].map(OsStr::new));
                words.push(loader.as_os_str());
                let mut command = real_command(&words);
                command
                    .env("WARPCOMM_SIMGPU", file("libsimgpu.so"))
                    .env("LD_LIBRARY_PATH", "/of/the/caller")
                    .env_remove("SIMGPU_DEVICES");
                let done = output(&mut command);
                assert!(done.status.success(), "{name}: {}", text(&done.stderr));
                let lines: Vec<String> = text(&done.stdout).lines().map(str::to_owned).collect();
                assert_eq!(lines.len(), 3, "{name}: {lines:?}");
                (lines, text(&done.stderr).matches("simulated GPU").count())
            };
            let (simulated, said) = run(&["--sim=2"]);
            assert_eq!(said, 1);
            for line in simulated {
                assert!(
                    line.starts_with("simulated simulated simulated gpus 2 path /"),
                    "{line}"
                );
                assert!(line.ends_with(":/of/the/caller"), "{line}");
            }
            for line in run(&["--sim", "--env", "LD_LIBRARY_PATH=/of/the/job"]).0 {
                assert!(
                    line.starts_with("simulated simulated simulated gpus 1 path /"),
                    "{line}"
                );
                assert!(line.contains(":/of/the/job"), "{line}");
            }
            let (real, said) = run(&[]);
            assert_eq!(said, 0);
            for line in real {
                assert!(
                    line.starts_with("another another another gpus none path "),
                    "{line}"
                );
                assert!(!line.contains("warpcomm"), "{line}");
            }
        }
    }
}
