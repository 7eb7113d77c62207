//! `--time-limit`: a job that ends in time, and leaves nothing behind.

use std::ffi::OsStr;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};

use crate::hosts::usage_error;
use crate::launcher::on_path;
use crate::machine::{MPICH, Machine, OPEN_MPI_4, SLURM, output, start, text};
use crate::real::{REAL, real_run, when_all_run};

/// Whether any of the processes whose numbers are the names of files there is still a `sleep`.
fn sleeps(directory: &Path) -> bool {
    fs::read_dir(directory).unwrap().any(|file| {
        let number = file.unwrap().file_name().into_string().unwrap();
        fs::read_to_string(format!("/proc/{number}/comm")).is_ok_and(|name| name.trim() == "sleep")
    })
}

/// Tries longer and longer limits, until one is long enough for a job to start.
fn with_a_limit(job_with_limit: impl Fn(&str) -> bool) {
    let limits = ["1", "4", "16", "64"];
    assert!(limits.into_iter().any(job_with_limit), "the job does not start");
}

#[test]
fn real_jobs_end_in_time() {
    for (name, _) in REAL {
        if on_path(OsStr::new(name)).is_none() {
            eprintln!("not tested, since it is not installed: {name}");
            continue;
        }
        with_a_limit(|limit| {
            let started = tempfile::tempdir().unwrap();
            let script = when_all_run(3, started.path(), "exec sleep 600");
            let words = [
                "-n",
                "3",
                "--launcher",
                name,
                "--time-limit",
                limit,
                "sh",
                "-c",
                &script,
            ];
            let done = real_run(&words.map(OsStr::new));
            assert_eq!(done.status.code(), Some(124), "{name}: {}", text(&done.stderr));
            let said = format!("warpcomm run: the time limit of {limit} s is over");
            assert!(text(&done.stderr).contains(&said));
            assert!(!sleeps(started.path()), "{name} has left a rank");
            fs::read_dir(started.path()).unwrap().count() == 3
        });
    }
}

/// A launcher that ends and one that does not, with ranks that ignore what it tells them.
#[test]
fn nothing_is_left_of_a_stubborn_job() {
    let stubborn = "(trap '' TERM; exec sleep 600 >/dev/null 2>&1) & : >pids/$!; wait";
    for body in ["", "trap '' TERM; "] {
        with_a_limit(|limit| {
            let machine = Machine::new()
                .launcher("mpiexec", MPICH, &format!("{body}{stubborn}"))
                .tools(&["sleep"]);
            fs::create_dir(machine.path("pids")).unwrap();
            let done = machine.run(&["-n", "1", "--time-limit", limit, "program"]);
            assert_eq!(done.status.code(), Some(124), "{body}");
            assert!(!sleeps(&machine.path("pids")), "{body}");
            fs::read_dir(machine.path("pids")).unwrap().count() == 1
        });
    }
}

#[test]
fn others_that_the_callers_shell_has_started_go_on() {
    let machine = Machine::new()
        .launcher("mpiexec", MPICH, "exec sleep 600")
        .tools(&["sleep"]);
    let script =
        r#"exec 3<&0; { read -r line <&3; echo "$line"; } & exec "$0" run -n 1 --time-limit 1 program 3<&-"#;
    let mut shell = Command::new("/bin/sh");
    shell
        .args(["-c", script, env!("CARGO_BIN_EXE_warpcomm")])
        .env_clear()
        .env("PATH", machine.path("bin"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped());
    let mut child = start(&mut shell);
    let mut input = child.stdin.take().unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(124));
    input.write_all(b"still there\n").unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap())
        .read_line(&mut line)
        .unwrap();
    assert_eq!(line, "still there\n");
}

#[test]
fn before_the_limit_the_job_is_as_without_it() {
    let status = |body| {
        let machine = Machine::new().launcher("mpirun", OPEN_MPI_4, body);
        fs::write(machine.path("input"), "from the caller\n").unwrap();
        let mut command = machine.command(&["-n", "1", "--time-limit", "1d", "program"]);
        command
            .stdin(fs::File::open(machine.path("input")).unwrap())
            .stdout(Stdio::piped());
        let done = start(&mut command).wait_with_output().unwrap();
        (done.status.code(), text(&done.stdout))
    };
    assert_eq!(
        status("read -r line; echo $line"),
        (Some(0), "from the caller\n".to_owned())
    );
    assert_eq!(status("exit 7").0, Some(7));
    assert_eq!(status("kill -9 $$").0, Some(128 + 9));
}

#[test]
fn signals_reach_the_launcher() {
    for (signal, code) in [("TERM", 15), ("INT", 2), ("HUP", 1), ("USR1", 10)] {
        let body = format!("trap 'kill $!; exit {code}' {signal}; sleep 600 & echo ready; wait");
        let machine = Machine::new()
            .launcher("mpirun", OPEN_MPI_4, &body)
            .tools(&["sleep"]);
        // A shell ignores what it has been started to ignore.
        let command = machine.command(&["-n", "1", "--time-limit", "600", "program"]);
        let mut by_default = Command::new("/usr/bin/setsid");
        by_default
            .args(["/usr/bin/env", "--default-signal"])
            .arg(command.get_program())
            .args(command.get_args())
            .env_clear()
            .env("PATH", machine.path("bin"))
            .current_dir(machine.path("."))
            .stdout(Stdio::piped());
        let mut child = start(&mut by_default);
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        assert_eq!(line, "ready\n");
        let sent = Command::new("/bin/sh")
            .args(["-c", "kill -s \"$0\" \"$1\"", signal, &child.id().to_string()])
            .status();
        assert!(sent.unwrap().success());
        assert_eq!(child.wait().unwrap().code(), Some(code), "{signal}");
    }
}

#[test]
fn a_dry_run_shows_the_limit() {
    let machine = Machine::new().launcher("mpiexec", MPICH, "exit 9");
    let limited = machine.run(&["-n", "2", "--time-limit", "10m", "--dry-run", "program"]);
    assert_eq!(
        text(&limited.stdout),
        "timeout --foreground --kill-after=5 600 mpiexec -n 2 program\n"
    );
    let machine = Machine::new().launcher("srun", SLURM, "exit 9");
    let mut command = machine.command(&[
        "-n",
        "2",
        "--time-limit",
        "90",
        "--env",
        "A=b",
        "--dry-run",
        "program",
    ]);
    assert_eq!(
        text(&output(&mut command).stdout),
        format!(
            "A=b timeout --foreground --kill-after=5 90 {}srun -n 2 --export=ALL --time=1:30 program\n",
            machine.bin()
        )
    );
}

#[test]
fn a_limit_that_is_none_is_refused() {
    let machine = Machine::new().launcher("mpirun", OPEN_MPI_4, "echo started");
    for wrong in ["0", "10min", "ten", "1.5h"] {
        let message = usage_error(&machine, &["-n", "1", "--time-limit", wrong, "program"]);
        assert!(message.contains("90, 10m, 2h"), "{message}");
    }
}
