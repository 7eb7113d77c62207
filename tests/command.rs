//! The command `warpcomm`, run as a user runs it: with launchers that only pretend, and with the real ones of
//! this machine.

#![cfg(feature = "cli")]

#[allow(dead_code, reason = "the command uses more of it than these tests")]
#[path = "../src/bin/warpcomm/launcher.rs"]
mod launcher;

#[path = "command/bench.rs"]
mod bench;
#[cfg(all(feature = "mpi", feature = "serde"))]
#[path = "command/bench_rank.rs"]
mod bench_rank;
#[path = "command/binding.rs"]
mod binding;
#[path = "command/closed_pipe.rs"]
mod closed_pipe;
#[path = "command/diff.rs"]
mod diff;
#[path = "command/doctor.rs"]
mod doctor;
#[path = "../src/bin/warpcomm/bench/elements.rs"]
mod elements;
#[path = "command/generated.rs"]
mod generated;
#[path = "command/hosts.rs"]
mod hosts;
#[path = "command/info.rs"]
mod info;
#[path = "command/launches.rs"]
mod launches;
#[path = "command/machine.rs"]
mod machine;
#[cfg(all(feature = "mpi", feature = "serde"))]
#[path = "command/measured.rs"]
mod measured;
#[path = "command/parts.rs"]
mod parts;
#[path = "command/peers.rs"]
mod peers;
#[path = "command/plot.rs"]
mod plot;
#[path = "command/programs.rs"]
mod programs;
#[path = "command/prove.rs"]
mod prove;
#[path = "../src/bin/shared/reading.rs"]
mod reading;
#[path = "command/real.rs"]
mod real;
#[allow(dead_code, reason = "the command writes more of it than these tests read")]
#[path = "../src/bin/shared/record.rs"]
mod record;
#[path = "command/schema.rs"]
mod schema;
#[path = "command/sim.rs"]
mod sim;
#[path = "command/slurm.rs"]
mod slurm;
#[allow(dead_code, reason = "records need it")]
#[path = "../src/bin/shared/statistics.rs"]
mod statistics;
#[path = "command/time_limit.rs"]
mod time_limit;
#[path = "command/tune.rs"]
mod tune;

use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Stdio};

use machine::{INTEL_MPI, MPICH, Machine, OPEN_MPI_4, OPEN_MPI_5, SLURM, output, start, text};

/// More ranks than any machine has cores.
const CROWD: &str = "1000000";

#[test]
fn each_launcher_gets_its_own_options() {
    let of = |name, version| Machine::new().launcher(name, version, "exit 9");
    assert_eq!(of("mpirun", OPEN_MPI_4).line(&["-n", "1"]), "mpirun -n 1 program");
    assert_eq!(of("mpirun", OPEN_MPI_5).line(&["-n", "1"]), "mpirun -n 1 program");
    assert_eq!(
        of("mpiexec", MPICH).line(&["--ranks", "3"]),
        "mpiexec -n 3 program"
    );
    assert_eq!(
        of("mpiexec.hydra", INTEL_MPI).line(&["-n", "3"]),
        "mpiexec.hydra -n 3 program"
    );
    let slurm = of("srun", SLURM);
    let srun = slurm.path("bin/srun");
    assert_eq!(
        slurm.line(&["-n", "3"]),
        format!("{} -n 3 --export=ALL program", srun.display())
    );
}

#[test]
fn more_ranks_than_cores_share_them() {
    let crowd = |name, version| {
        Machine::new()
            .launcher(name, version, "exit 9")
            .line(&["-n", CROWD])
    };
    assert_eq!(
        crowd("mpirun", OPEN_MPI_4),
        "mpirun -n 1000000 --oversubscribe --bind-to none --mca mpi_yield_when_idle 1 program"
    );
    assert_eq!(
        crowd("mpirun", OPEN_MPI_5),
        "mpirun -n 1000000 --map-by :OVERSUBSCRIBE --bind-to none -x OMPI_MCA_mpi_yield_when_idle=1 program"
    );
    assert_eq!(crowd("mpiexec", MPICH), "mpiexec -n 1000000 program");
    assert_eq!(crowd("mpiexec", INTEL_MPI), "mpiexec -n 1000000 program");
    assert!(
        !crowd("srun", SLURM).contains("--overcommit"),
        "the cluster's cores are not this host's"
    );
}

#[test]
fn batch_systems_say_how_many_ranks_fit() {
    let machine = Machine::new().launcher("mpirun", OPEN_MPI_4, "exit 9");
    let mut within = machine.command(&["-n", "8"]);
    within.envs([("SLURM_JOB_ID", "1"), ("SLURM_NTASKS", "8")]);
    assert_eq!(machine.line_of(&mut within), "mpirun -n 8 program");
    let mut beyond = machine.command(&["-n", "10"]);
    beyond.envs([("SLURM_JOB_ID", "1"), ("SLURM_TASKS_PER_NODE", "4(x2),1")]);
    assert!(machine.line_of(&mut beyond).contains("--oversubscribe"));
    let mut unknown = machine.command(&["-n", CROWD]);
    unknown.env("PBS_NODEFILE", "/nodes");
    assert_eq!(machine.line_of(&mut unknown), "mpirun -n 1000000 program");

    let machine = machine.launcher("srun", SLURM, "exit 9");
    let srun = machine.path("bin/srun");
    let mut within = machine.command(&["-n", "8"]);
    within.envs([("SLURM_JOB_ID", "1"), ("SLURM_NTASKS", "8")]);
    assert_eq!(
        machine.line_of(&mut within),
        format!("{} -n 8 --export=ALL program", srun.display())
    );
    let mut beyond = machine.command(&["-n", "9"]);
    beyond.envs([("SLURM_JOB_ID", "1"), ("SLURM_NTASKS", "8")]);
    let line = format!("{} -n 9 --export=ALL --overcommit program", srun.display());
    assert_eq!(machine.line_of(&mut beyond), line);
    // In a shell that has been started by srun, and in that of salloc.
    for (step, variables) in [("0", "SLURM_OVERLAP=1 "), ("4294967290", "")] {
        let mut shell = machine.command(&["-n", "8"]);
        shell.envs([
            ("SLURM_JOB_ID", "1"),
            ("SLURM_NTASKS", "8"),
            ("SLURM_STEP_ID", step),
        ]);
        let line = format!("{variables}{} -n 8 --export=ALL program", srun.display());
        assert_eq!(machine.line_of(&mut shell), line);
    }
}

#[test]
fn variables_reach_the_ranks_in_each_launchers_way() {
    let line = |name, version, job: &[(&str, &str)]| {
        let machine = Machine::new().launcher(name, version, "exit 9");
        let mut command = machine.command(&[
            "-n",
            "1",
            "--env",
            "A=b c,d",
            "--env",
            "RUST_LOG=info",
            "--env",
            "A=it's=",
        ]);
        command.envs([("WARPCOMM_TIMEOUT", "5"), ("RUST_LOG", "debug"), ("OTHER", "1")]);
        command.envs(job.iter().copied());
        machine.line_of(&mut command)
    };
    let none = &[];
    let open_mpi = r"mpirun -n 1 -x WARPCOMM_TIMEOUT=5 -x RUST_LOG=info -x 'A=it'\''s=' program";
    assert_eq!(line("mpirun", OPEN_MPI_4, none), open_mpi);
    assert_eq!(line("mpirun", OPEN_MPI_5, none), open_mpi);
    let hydra = r"mpiexec -n 1 -genv WARPCOMM_TIMEOUT 5 -genv RUST_LOG info -genv A 'it'\''s=' program";
    assert_eq!(line("mpiexec", MPICH, none), hydra);
    assert_eq!(line("mpiexec", INTEL_MPI, none), hydra);
    let slurm = line("srun", SLURM, &[("SLURM_JOB_ID", "1")]);
    let (variables, rest) = slurm.split_once(" /").unwrap();
    assert_eq!(variables, r"A='it'\''s=' RUST_LOG=info WARPCOMM_TIMEOUT=5");
    assert!(rest.ends_with("srun -n 1 --export=ALL program"), "{rest}");
}

#[test]
fn a_dry_run_prints_what_a_run_does() {
    let machine = Machine::new().launcher("mpiexec", MPICH, r#"printf '<%s>\n' "$@""#);
    let program = [
        "program",
        "-n",
        "--help",
        "--dry-run",
        "",
        "a  b",
        "it's",
        "$HOME",
        "`x`",
        "*",
        "\\",
        "a\nb",
        "ü",
    ];
    let job = [&["-n", "2", "--env", "A=b c"], program.as_slice()].concat();
    let run = machine.run(&job);
    assert!(run.status.success());
    let arguments: String = program.iter().map(|argument| format!("<{argument}>\n")).collect();
    assert_eq!(
        text(&run.stdout),
        format!("<-n>\n<2>\n<-genv>\n<A>\n<b c>\n{arguments}")
    );

    let dry_run = machine.run(&[&["--dry-run"], job.as_slice()].concat());
    assert!(dry_run.status.success());
    let mut again = Command::new("/bin/sh");
    again
        .arg("-c")
        .arg(text(&dry_run.stdout))
        .env("PATH", machine.path("bin"));
    assert_eq!(text(&output(&mut again).stdout), text(&run.stdout));
}

#[test]
fn a_lone_colon_behind_two_hyphens_does_not_end_the_program() {
    let machine = Machine::new().launcher("mpiexec", MPICH, r#"shift 2; exec "$@""#);
    machine.program("program", b"#!/bin/sh\nprintf '<%s>' \"$@\"\n");
    machine.program("sh", b"#!/bin/sh\nexec /bin/sh \"$@\"\n");
    let done = machine.run(&["-n", "2", "--", "program", "a b", ":", "it's"]);
    assert_eq!(text(&done.stdout), "<a b><:><it's>");
    let line = machine.run(&["-n", "2", "--dry-run", "--", "program", ":"]);
    assert_eq!(text(&line.stdout), "mpiexec -n 2 sh -c 'exec program :'\n");
}

#[test]
fn the_exit_status_is_the_launchers() {
    let status = |body| {
        Machine::new()
            .launcher("mpirun", OPEN_MPI_4, body)
            .run(&["-n", "1", "program"])
            .status
    };
    assert_eq!(status("exit 0").code(), Some(0));
    assert_eq!(status("exit 7").code(), Some(7));
    assert_eq!(status("kill -9 $$").signal(), Some(9));

    let machine = Machine::new().launcher("mpirun", OPEN_MPI_4, "kill -9 $$");
    let mut shell = Command::new("/bin/sh");
    shell.arg("-c").arg(format!(
        "'{}' run -n 1 program; exit $?",
        env!("CARGO_BIN_EXE_warpcomm")
    ));
    shell.env("PATH", machine.path("bin"));
    assert_eq!(output(&mut shell).status.code(), Some(128 + 9));
}

#[test]
fn signals_and_the_standard_input_reach_the_launcher_itself() {
    let machine = Machine::new().launcher("mpirun", OPEN_MPI_4, "echo $$; read -r line; echo $line");
    fs::write(machine.path("input"), "from the caller\n").unwrap();
    let mut command = machine.command(&["-n", "1", "program"]);
    command
        .stdin(fs::File::open(machine.path("input")).unwrap())
        .stdout(Stdio::piped());
    let child = start(&mut command);
    let process = child.id();
    let done = child.wait_with_output().unwrap();
    assert_eq!(text(&done.stdout), format!("{process}\nfrom the caller\n"));
}

#[test]
fn the_programs_library_chooses_the_launcher() {
    let machine = Machine::new()
        .launcher("mpirun", OPEN_MPI_4, "exit 9")
        .launcher("mpiexec", OPEN_MPI_4, "exit 9")
        .launcher("mpiexec.mpich", MPICH, "exit 9")
        .elf("open-mpi", &["libc.so.6", "libmpi.so.40"])
        .elf("mpich", &["libmpich.so.12", "libc.so.6"])
        .elf("mpich-interface", &["libmpi.so.12"])
        .elf("none", &["libc.so.6"]);
    let chosen = |program| {
        let done = machine.run(&["-n", "1", "--dry-run", program]);
        text(&done.stdout).split(' ').next().unwrap().to_owned()
    };
    assert_eq!(chosen("open-mpi"), "mpirun");
    assert_eq!(chosen("mpich"), "mpiexec.mpich");
    assert_eq!(chosen("mpich-interface"), "mpiexec.mpich");
    assert_eq!(chosen("none"), "mpirun");
    assert_eq!(chosen("program"), "mpirun");
}

#[test]
fn a_launcher_that_does_not_answer_is_passed_over() {
    let machine = Machine::new()
        .launcher("mpirun", "no known launcher 1.0", "exit 9")
        .launcher("mpiexec", MPICH, "exit 9")
        .launcher(
            "srun",
            "srun: fatal: Could not establish a configuration source",
            "exit 9",
        );
    assert_eq!(machine.line(&["-n", "1"]), "mpiexec -n 1 program");
    let mut in_allocation = machine.command(&["-n", "1"]);
    in_allocation.env("SLURM_JOB_ID", "1");
    assert_eq!(machine.line_of(&mut in_allocation), "mpiexec -n 1 program");
}

#[test]
fn a_named_launcher_is_used_and_no_other() {
    let machine = Machine::new()
        .launcher("mpirun", OPEN_MPI_4, "exit 9")
        .launcher("other", MPICH, "exit 9")
        .elf("open-mpi", &["libmpi.so.40"]);
    assert_eq!(
        machine.line(&["-n", "1", "--launcher", "other"]),
        "other -n 1 program"
    );
    assert_eq!(
        machine.line(&["-n", "1", "--launcher", "bin/other"]),
        "bin/other -n 1 program"
    );
    let mut by_variable = machine.command(&["-n", "1"]);
    by_variable.env("WARPCOMM_LAUNCHER", "other");
    assert_eq!(
        machine.line_of(&mut by_variable),
        "other -n 1 -genv WARPCOMM_LAUNCHER other program"
    );
    let mut by_both = machine.command(&["-n", "1", "--launcher", "mpirun"]);
    by_both.env("WARPCOMM_LAUNCHER", "other");
    assert_eq!(
        machine.line_of(&mut by_both),
        "mpirun -n 1 -x WARPCOMM_LAUNCHER=other program"
    );

    assert_eq!(
        machine
            .refusal(&["-n", "1", "--launcher", "other", "open-mpi"])
            .replace(&machine.bin(), ""),
        "the launcher `other` is of MPICH 4.0.2, but `open-mpi` is linked with libmpi.so.40 (Open MPI): its \
         ranks would not find each other\n"
    );
    assert_eq!(
        machine.refusal(&["-n", "1", "--launcher", "absent", "program"]),
        "the launcher `absent` cannot be used: it is not on PATH\n"
    );
    let no_launcher = machine.refusal(&["-n", "1", "--launcher", "program", "program"]);
    assert!(
        no_launcher.starts_with("the launcher `program` cannot be used: "),
        "{no_launcher}"
    );
    let missing = machine.refusal(&["-n", "1", "--launcher", "./absent", "program"]);
    assert!(
        missing.starts_with("the launcher `./absent` cannot be used: it does not start: "),
        "{missing}"
    );
}

#[test]
fn without_a_launcher_the_message_says_what_to_install() {
    let machine = Machine::new().elf("mpich", &["libmpich.so.12"]);
    assert_eq!(
        machine.refusal(&["-n", "2", "program"]),
        "no MPI launcher (mpirun, mpiexec or srun); there is none on PATH. Install one (Debian, Ubuntu: \
         `openmpi-bin` or `mpich`), or name one with --launcher or WARPCOMM_LAUNCHER\n"
    );
    let machine = machine
        .launcher("mpirun", OPEN_MPI_4, "exit 9")
        .launcher("mpiexec", "?", "exit 9");
    assert_eq!(
        machine.refusal(&["-n", "2", "mpich"]).replace(&machine.bin(), ""),
        "no MPI launcher that can start `mpich`, which is linked with libmpich.so.12 (MPICH of Debian); tried \
         mpirun (Open MPI 4.1.4), mpiexec (its --version names no MPI launcher that is known here). Install \
         one (Debian, Ubuntu: `mpich`), or name one with --launcher or WARPCOMM_LAUNCHER\n"
    );
}

#[test]
fn a_program_that_cannot_be_started_is_named_before_the_launcher_is() {
    let machine = Machine::new().launcher("mpirun", OPEN_MPI_4, "echo started");
    fs::write(machine.path("plain"), "").unwrap();
    let refusal = |program| machine.refusal(&["-n", "2", program]);
    assert_eq!(refusal("absent"), "the program `absent` is not on PATH\n");
    assert_eq!(
        refusal("plain"),
        "the program `plain` is not on PATH; did you mean `./plain`?\n"
    );
    assert_eq!(refusal("./plain"), "the program `./plain` is not executable\n");
    assert_eq!(refusal("./bin"), "the program `./bin` is a directory\n");
    assert!(refusal("./absent").starts_with("the program `./absent` cannot be found: No such file"));
    let started = machine.run(&["-n", "2", "bin/program"]);
    assert_eq!(text(&started.stdout), "started\n");
}

#[test]
fn wrong_arguments_exit_with_2() {
    let machine = Machine::new().launcher("mpirun", OPEN_MPI_4, "echo started");
    let wrong: [&[&str]; 9] = [
        &[],
        &["program"],
        &["-n", "2"],
        &["-n", "0", "program"],
        &["-n", "-1", "program"],
        &["-n", "two", "program"],
        &["-n", "2", "--env", "A", "program"],
        &["-n", "2", "--env", "=b", "program"],
        &["--unknown", "-n", "2", "program"],
    ];
    for arguments in wrong {
        let done = machine.run(arguments);
        assert_eq!(done.status.code(), Some(2), "{arguments:?}");
        assert!(text(&done.stderr).starts_with("error: "), "{arguments:?}");
        assert_eq!(text(&done.stdout), "", "{arguments:?}");
    }
}

#[test]
fn help_shows_an_example_and_goes_to_the_standard_output() {
    let done = Machine::new().run(&["--help"]);
    assert!(done.status.success());
    let help = text(&done.stdout);
    for example in [
        "-n 4 target",
        "-n 6 --host ",
        "-n 6 --hostfile ",
        "-n 4 --bind numa ",
        "-n 4 --tag-output --time-limit 10m ",
        "-n 1 ./server : -n 3 ./worker",
        "-n 2 -- ./calculator 6 : 3",
    ] {
        assert!(help.contains(&format!("\n  warpcomm run {example}")), "{example}");
    }
    assert!(!help.contains("bind-rank"));
    let version = output(Command::new(env!("CARGO_BIN_EXE_warpcomm")).arg("--version"));
    assert_eq!(
        text(&version.stdout),
        concat!("warpcomm ", env!("CARGO_PKG_VERSION"), "\n")
    );
}
