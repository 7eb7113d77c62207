//! Several programs in one job, between lone colons.

use std::ffi::OsStr;

use crate::hosts::usage_error;
use crate::launcher::on_path;
use crate::machine::{INTEL_MPI, MPICH, Machine, OPEN_MPI_4, OPEN_MPI_5, SLURM, text};
use crate::real::{REAL, real_run, when_all_run};

/// Programs whose arguments are their own, whatever they look like.
const PROGRAMS: [&str; 13] = [
    "-n",
    "2",
    "program",
    "-n",
    "x",
    ":",
    "-n",
    "3",
    "program",
    "a b",
    ":",
    "--ranks=1",
    "program",
];

fn line(name: &str, version: &str, options: &[&str]) -> String {
    let machine = Machine::new().launcher(name, version, "exit 9");
    let done = machine.run(&[&["--dry-run"], options, PROGRAMS.as_slice()].concat());
    assert!(done.status.success(), "{}", text(&done.stderr));
    text(&done.stdout)
        .trim_end()
        .replace(" --allow-run-as-root", "")
        .replace(&machine.bin(), "")
}

#[test]
fn each_launcher_gets_programs_in_its_form() {
    let options = ["--host", "a:4,b:4", "--env", "A=1"];
    let open_mpi = "mpirun -n 2 --host a:4,b:4 -x A=1 program -n x : -n 3 --host a:4,b:4 -x A=1 program 'a b' : -n 1 \
                    --host a:4,b:4 -x A=1 program";
    assert_eq!(line("mpirun", OPEN_MPI_4, &options), open_mpi);
    assert_eq!(line("mpirun", OPEN_MPI_5, &options), open_mpi);
    assert_eq!(
        line("mpiexec", MPICH, &options),
        "mpiexec -n 2 -hosts a:4,b:4 -genv A 1 program -n x : -n 3 program 'a b' : -n 1 program"
    );
    assert_eq!(
        line("mpiexec", INTEL_MPI, &options),
        "mpiexec -n 2 -genv A 1 -host a program -n x : -n 2 -host a program 'a b' : -n 1 -host b program 'a b' : -n 1 \
         -host b program"
    );
    assert_eq!(
        line("srun", SLURM, &["--env", "A=1"]),
        r#"A=1 srun -n 6 --export=ALL sh -c 'if [ "$SLURM_PROCID" -lt 2 ]; then exec program -n x; elif [ "$SLURM_PROCID" -lt 5 ]; then exec program '\''a b'\''; elif [ "$SLURM_PROCID" -lt 6 ]; then exec program; fi'"#
    );
}

#[test]
fn ranks_that_share_cores_are_counted_over_all_programs() {
    for (version, mapping, yielding) in [
        (
            OPEN_MPI_4,
            "--oversubscribe --bind-to none",
            "--mca mpi_yield_when_idle 1",
        ),
        (
            OPEN_MPI_5,
            "--map-by :OVERSUBSCRIBE --bind-to none",
            "-x OMPI_MCA_mpi_yield_when_idle=1",
        ),
    ] {
        let machine = Machine::new().launcher("mpirun", version, "exit 9");
        let words = ["--dry-run", "-n", "1", "program", ":", "-n", "999999", "program"];
        let line = text(&machine.run(&words).stdout);
        assert_eq!(line.matches(mapping).count(), 1, "{line}");
        assert_eq!(line.matches(yielding).count(), 2, "{line}");
    }
}

#[test]
fn ranks_of_srun_become_the_program_of_their_number() {
    let body = r#"while [ "$1" != sh ]; do shift; done
        for SLURM_PROCID in 0 1 2 3; do export SLURM_PROCID; "$@"; done"#;
    let machine = Machine::new().launcher("srun", SLURM, body);
    machine.program("sh", b"#!/bin/sh\nexec /bin/sh \"$@\"\n");
    machine.program("one", b"#!/bin/sh\necho \"one $SLURM_PROCID <$1>\"\n");
    machine.program("two", b"#!/bin/sh\necho \"two $SLURM_PROCID <$1>\"\n");
    let done = machine.run(&["-n", "3", "one", "it's %t", ":", "-n", "1", "--", "two", ":"]);
    assert_eq!(
        text(&done.stdout),
        "one 0 <it's %t>\none 1 <it's %t>\none 2 <it's %t>\ntwo 3 <:>\n"
    );
}

#[test]
fn real_launchers_start_several_programs() {
    for (name, _) in REAL {
        if on_path(OsStr::new(name)).is_none() {
            eprintln!("not tested, since it is not installed: {name}");
            continue;
        }
        let started = tempfile::tempdir().unwrap();
        let script = |program: &str| {
            let then = format!("echo {program} $OMPI_COMM_WORLD_RANK$PMI_RANK $A \"$1\"");
            when_all_run(3, started.path(), &then)
        };
        let (first, second) = (script("first"), script("second"));
        let words = [
            "-n",
            "2",
            "--launcher",
            name,
            "--env",
            "A=b c",
            "sh",
            "-c",
            &first,
            "sh",
            "x",
            ":",
            "-n",
            "1",
            "--",
            "sh",
            "-c",
            &second,
            "sh",
            ":",
        ];
        let done = real_run(&words.map(OsStr::new));
        assert!(done.status.success(), "{name}: {}", text(&done.stderr));
        let mut lines: Vec<_> = text(&done.stdout).lines().map(str::to_owned).collect();
        lines.sort();
        assert_eq!(
            lines,
            ["first 0 b c x", "first 1 b c x", "second 2 b c :"],
            "{name}"
        );
    }
}

#[test]
fn programs_of_one_job_are_of_one_mpi() {
    let machine = Machine::new()
        .launcher("mpirun", OPEN_MPI_4, "echo started")
        .launcher("mpiexec.mpich", MPICH, "echo started")
        .elf("open-mpi", &["libmpi.so.40"])
        .elf("mpich", &["libmpich.so.12"]);
    let words = |first, second| ["-n", "1", first, ":", "-n", "1", second];
    assert_eq!(
        machine.refusal(&words("open-mpi", "mpich")),
        "`open-mpi` is linked with libmpi.so.40 (Open MPI), but `mpich` with libmpich.so.12 (MPICH of Debian): their \
         ranks would not find each other in one job\n"
    );
    // A script may start whatever it likes.
    let chosen = machine.run(&[&["--dry-run"], words("program", "mpich").as_slice()].concat());
    assert!(text(&chosen.stdout).starts_with("mpiexec.mpich -n 1 program : -n 1 mpich"));
    assert_eq!(
        machine.refusal(&words("program", "absent")),
        "the program `absent` is not on PATH\n"
    );
}

#[test]
fn parts_that_are_wrong_are_usage_errors() {
    let machine = Machine::new().launcher("mpirun", OPEN_MPI_4, "echo started");
    let wrong = |words: &[&str]| usage_error(&machine, &[&["-n", "1"], words].concat());
    assert!(wrong(&["program", ":"]).contains("not provided"));
    assert!(wrong(&["program", ":", "program"]).contains("not provided"));
    assert!(wrong(&["program", ":", "-n", "2"]).contains("not provided"));
    assert!(wrong(&["program", ":", "-n", "0", "program"]).contains("at least one rank"));
    assert!(wrong(&["program", ":", "-n", "2", "--bind", "none", "program"]).contains("'--bind'"));
    assert_eq!(
        wrong(&[":", "-n", "1", "program"]),
        "a program must stand before the colon"
    );
}
