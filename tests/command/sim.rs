//! `--sim`: how the ranks of a job find the simulated driver, and that nobody else does.

use std::fs;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::machine::{MPICH, Machine, OPEN_MPI_4, output, refusal, start, text};

/// What a pretended launcher does to become a rank: whatever stands before the shell are its own options.
const BECOME_RANK: &str = r#"while [ "$1" != sh ]; do shift; done; exec "$@""#;

/// A machine with a simulated driver and an empty directory for temporary files.
fn machine(body: &str) -> Machine {
    let machine = Machine::new()
        .launcher("mpiexec", MPICH, body)
        .tools(&["sh", "rm", "ls", "readlink", "sleep", "env"]);
    fs::write(machine.path("libsimgpu.so"), "").unwrap();
    fs::create_dir(machine.path("tmp")).unwrap();
    machine
}

fn command(machine: &Machine, arguments: &[&str]) -> Command {
    let mut command = machine.command(arguments);
    command
        .env("TMPDIR", machine.path("tmp"))
        .env("WARPCOMM_SIMGPU", machine.path("libsimgpu.so"));
    command
}

fn temporary_files(machine: &Machine) -> Vec<PathBuf> {
    let entries = fs::read_dir(machine.path("tmp")).unwrap();
    entries.map(|entry| entry.unwrap().path()).collect()
}

/// Removing begins when the last process of the job has ended.
fn nothing_is_left(machine: &Machine) {
    let start = Instant::now();
    while !temporary_files(machine).is_empty() {
        assert!(
            start.elapsed() < Duration::from_secs(30),
            "{:?}",
            temporary_files(machine)
        );
        thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn ranks_find_the_driver_before_all_other_libraries() {
    let machine = machine(BECOME_RANK);
    let program = "#!/bin/sh\nd=${LD_LIBRARY_PATH%%:*}\necho \"$d:${LD_LIBRARY_PATH#*:}\" \"$@\"\nls -ld \"$d\"\n\
                   for f in \"$d\"/*; do echo \"${f##*/} $(readlink \"$f\")\"; done\n";
    machine.program("program", program.as_bytes());
    let mut command = command(&machine, &["-n", "2", "--sim=16", "program", "a b", "it's"]);
    let done = output(command.env("LD_LIBRARY_PATH", "/one:/two"));
    assert!(done.status.success(), "{}", text(&done.stderr));
    assert_eq!(text(&done.stderr), "warpcomm run: 16 simulated GPUs\n");
    let stdout = text(&done.stdout);
    let lines: Vec<&str> = stdout.lines().collect();
    let temporary = machine.path("tmp").display().to_string();
    assert!(lines[0].starts_with(&temporary), "{stdout}");
    assert!(lines[0].ends_with(":/one:/two a b it's"), "{stdout}");
    assert!(lines[1].starts_with("drwx------"), "{stdout}");
    let library = fs::canonicalize(machine.path("libsimgpu.so")).unwrap();
    let links: Vec<String> = ["libcuda.so", "libcuda.so.1", "libnvidia-ml.so.1"]
        .iter()
        .map(|name| format!("{name} {}", library.display()))
        .collect();
    assert_eq!(lines[2..], links);
    nothing_is_left(&machine);
}

#[test]
fn launchers_hand_the_number_of_gpus_on() {
    let arguments = |name, version| {
        let machine = machine("").launcher(name, version, r#"echo "$@""#);
        let mut command = command(
            &machine,
            &["-n", "1", "--launcher", name, "--sim", "--", "program", ":"],
        );
        let done = output(
            command
                .env_remove("WARPCOMM_SIMGPU")
                .env("WARPCOMM_SIMGPU", "libsimgpu.so"),
        );
        assert_eq!(text(&done.stderr), "warpcomm run: 1 simulated GPU\n");
        nothing_is_left(&machine);
        text(&done.stdout)
    };
    assert!(arguments("mpiexec", MPICH).contains(" -genv SIMGPU_DEVICES 1 sh -c "));
    assert!(arguments("mpirun", OPEN_MPI_4).contains(" -x SIMGPU_DEVICES=1 sh -c "));
}

#[test]
fn nothing_is_left_however_the_job_ends() {
    for (body, code, signal) in [
        ("exit 0", Some(0), None),
        ("exit 7", Some(7), None),
        ("kill -9 $$", None, Some(9)),
        ("kill -SEGV $$", None, Some(11)),
    ] {
        let machine = machine(body);
        let done = output(&mut command(&machine, &["-n", "1", "--sim", "program"]));
        assert_eq!(
            (done.status.code(), done.status.signal()),
            (code, signal),
            "{body}"
        );
        nothing_is_left(&machine);
    }
}

/// The program takes signals as at a terminal, also where this process was started without one.
#[test]
fn nothing_is_left_when_the_job_is_interrupted_at_the_terminal() {
    for signal in ["INT", "TERM", "HUP", "KILL"] {
        let machine = machine("exec env --default-signal sh -c 'echo $$; exec sleep 600'");
        let mut command = command(&machine, &["-n", "1", "--sim", "program"]);
        command
            .process_group(0)
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        let mut child = start(&mut command);
        let (id, mut line) = (child.id(), String::new());
        std::io::BufRead::read_line(
            &mut std::io::BufReader::new(child.stdout.take().unwrap()),
            &mut line,
        )
        .unwrap();
        // The launcher is the process that the caller has started.
        assert_eq!(line, format!("{id}\n"));
        assert_eq!(temporary_files(&machine).len(), 1);
        let group = format!("-{id}");
        let sent = Command::new("/bin/sh")
            .args(["-c", "kill -s \"$0\" -- \"$1\"", signal, &group])
            .status();
        assert!(sent.unwrap().success());
        assert!(child.wait().unwrap().signal().is_some());
        nothing_is_left(&machine);
    }
}

#[test]
fn a_job_that_cannot_start_leaves_nothing() {
    let machine = machine(BECOME_RANK);
    let absent =
        refusal(command(&machine, &["-n", "1", "--sim", "program"]).env("WARPCOMM_SIMGPU", "absent.so"));
    assert!(
        absent.starts_with("WARPCOMM_SIMGPU names `absent.so`: No such file"),
        "{absent}"
    );
    let directory =
        refusal(command(&machine, &["-n", "1", "--sim", "program"]).env("WARPCOMM_SIMGPU", "bin"));
    assert_eq!(directory, "WARPCOMM_SIMGPU names `bin`, which is no file\n");
    let elsewhere =
        refusal(command(&machine, &["-n", "1", "--sim", "program"]).env("TMPDIR", "/proc/absent"));
    assert!(elsewhere.contains("cannot make a directory"), "{elsewhere}");
    fs::create_dir(machine.path("tmp/a:b")).unwrap();
    let mut odd = command(&machine, &["-n", "1", "--sim", "program"]);
    let odd = refusal(odd.env("TMPDIR", machine.path("tmp/a:b")));
    assert!(odd.contains("set TMPDIR to another"), "{odd}");
    assert_eq!(fs::read_dir(machine.path("tmp/a:b")).unwrap().count(), 0);
}

/// Ranks elsewhere would take a real driver.
#[test]
fn no_command_simulates_gpus_on_several_nodes() {
    let machine = machine("echo started");
    machine.program("warpcomm-rank", b"#!/bin/sh\n");
    for words in [
        &["bench", "latency", "--sim"][..],
        &["tune", "-n", "2", "--sim"],
        &["info", "-n", "2", "--sim"],
        &["doctor", "--sim"],
    ] {
        let mut command = machine.installed(words);
        command
            .env("TMPDIR", machine.path("tmp"))
            .env("WARPCOMM_SIMGPU", machine.path("libsimgpu.so"))
            .envs([("SLURM_JOB_ID", "1"), ("SLURM_JOB_NUM_NODES", "2")]);
        let done = output(&mut command);
        let said = text(&done.stdout) + &text(&done.stderr);
        assert_eq!(done.status.code(), Some(1), "{said}");
        assert!(
            said.contains("with --sim all ranks run on this host, and the allocation has several nodes"),
            "{said}"
        );
        assert!(!said.contains("started\n"), "{said}");
    }
}

#[test]
fn the_library_lies_beside_the_command() {
    let machine = machine(BECOME_RANK);
    machine.program(
        "program",
        b"#!/bin/sh\nreadlink \"${LD_LIBRARY_PATH%%:*}/libcuda.so.1\"\n",
    );
    for profile in ["release", "debug"] {
        fs::create_dir_all(machine.path(profile).join("deps")).unwrap();
        // Written like a program that another test might be starting.
        let contents = fs::read(env!("CARGO_BIN_EXE_warpcomm")).unwrap();
        machine.program("../copy", &contents);
        fs::rename(machine.path("copy"), machine.path(profile).join("warpcomm")).unwrap();
        let command = || {
            let mut command = Command::new(machine.path(profile).join("warpcomm"));
            command
                .env_clear()
                .env("PATH", machine.path("bin"))
                .env("TMPDIR", machine.path("tmp"))
                .current_dir(machine.path("bin"))
                .args(["run", "-n", "1", "--sim", "program"]);
            command
        };
        let build = match profile {
            "release" => "`cargo build --release -p simgpu`",
            _ => "`cargo build -p simgpu`",
        };
        let missing = refusal(&mut command());
        for part in ["libsimgpu.so", build, "WARPCOMM_SIMGPU", profile] {
            assert!(missing.contains(part), "{missing:?} does not say {part:?}");
        }
        for place in ["deps/libsimgpu.so", "libsimgpu.so"] {
            let library = machine.path(profile).join(place);
            fs::write(&library, "").unwrap();
            let done = output(&mut command());
            let found = fs::canonicalize(library).unwrap();
            assert_eq!(text(&done.stdout), format!("{}\n", found.display()));
        }
    }
    nothing_is_left(&machine);
}

#[test]
fn the_number_of_gpus_is_checked() {
    let machine = machine("echo started");
    for wrong in [
        "--sim=0",
        "--sim=17",
        "--sim=-1",
        "--sim=two",
        "--sim=",
        "--sim=1000",
    ] {
        let done = output(&mut command(&machine, &["-n", "1", wrong, "program"]));
        assert_eq!(done.status.code(), Some(2), "{wrong}");
        assert_eq!(text(&done.stdout), "", "{wrong}");
    }
    let done = output(&mut command(
        &machine,
        &["-n", "1", "--sim", "--dry-run", "program"],
    ));
    assert_eq!(done.status.code(), Some(2));
    assert_eq!(temporary_files(&machine).len(), 0);
    // The value stands behind an equals sign, so that the program is not taken for it.
    let done = output(&mut command(&machine, &["-n", "1", "--sim", "./bin/program"]));
    assert_eq!(text(&done.stdout), "started\n");
    nothing_is_left(&machine);
}

#[test]
fn no_file_that_cargo_builds_has_a_name_of_the_driver() {
    fn walk(directory: &Path) {
        // Other tests and builds come and go.
        for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
            let name = entry.file_name().into_string().unwrap_or_default();
            let names_driver = name.starts_with("libcuda.") || name.starts_with("libnvidia-ml.");
            assert!(
                !names_driver,
                "{} would shadow the real driver",
                entry.path().display()
            );
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                walk(&entry.path());
            }
        }
    }
    walk(Path::new(env!("CARGO_BIN_EXE_warpcomm")).parent().unwrap());
}

#[test]
fn nothing_else_in_the_source_names_the_simulated_driver() {
    fn walk(directory: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(&path, found);
            } else if String::from_utf8_lossy(&fs::read(&path).unwrap())
                .to_lowercase()
                .contains("simgpu")
            {
                found.push(path);
            }
        }
    }
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    walk(&source, &mut found);
    found.sort();
    // The launcher, and the list of its variables.
    let files = [
        "bin/shared/variables.rs",
        "bin/warpcomm/run.rs",
        "bin/warpcomm/sim.rs",
    ];
    assert_eq!(found, files.map(|file| source.join(file)));
}
