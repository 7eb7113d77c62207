//! The launchers and compilers that this machine really has.

use std::ffi::OsStr;
use std::fs;
use std::process::{Command, Output};

use crate::launcher::{LAUNCHER_VARIABLE, on_path};
use crate::machine::{output, text};

/// The launchers of this machine that fit each compiler wrapper of Debian.
const REAL: [(&str, &str); 2] = [
    ("mpirun.openmpi", "mpicc.openmpi"),
    ("mpiexec.mpich", "mpicc.mpich"),
];

/// A run with the real launchers on `PATH`.
fn real_run(arguments: &[&OsStr]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_warpcomm"));
    command
        .arg("run")
        .args(arguments)
        .env_remove(LAUNCHER_VARIABLE)
        .env_remove("SLURM_JOB_ID");
    output(&mut command)
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
                "sh",
                "-c",
                script,
                "sh",
                "x  y",
                ":",
            ];
            real_run(&words.map(OsStr::new))
        };
        let done = run(r#"echo "$OMPI_COMM_WORLD_RANK$PMI_RANK $1 $2 $SENTENCE""#);
        assert!(done.status.success(), "{name}: {}", text(&done.stderr));
        let mut lines: Vec<_> = text(&done.stdout).lines().map(str::to_owned).collect();
        lines.sort();
        let expected: Vec<_> = (0..5)
            .map(|rank| format!("{rank} x  y : it's a, b;  c=d"))
            .collect();
        assert_eq!(lines, expected, "{name}");
        assert_eq!(run("exit 3").status.code(), Some(3), "{name}");
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
