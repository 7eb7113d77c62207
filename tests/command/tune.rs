//! `warpcomm tune`, with the launchers of this machine.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::machine::{Machine, output, text};

fn tune(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_warpcomm"));
    // What is proved of MPI is another matter.
    command
        .arg("tune")
        .args(arguments)
        .env("WARPCOMM_CUDA_AWARE", "no");
    command
}

#[test]
fn wrong_lengths_are_refused_before_anything_starts() {
    for (sizes, why) in [
        ("256", "there is no choice"),
        ("1000,1000", "they must go up"),
        ("1000,many", "invalid digit"),
        ("", "cannot parse"),
    ] {
        let refused = output(&mut tune(&["-n", "2", "--sizes", sizes]));
        assert_eq!(refused.status.code(), Some(2));
        assert!(text(&refused.stderr).contains(why), "{}", text(&refused.stderr));
    }
}

#[test]
fn without_its_ranks_it_says_how_to_build_them() {
    let machine = Machine::new();
    machine.program("warpcomm", &fs::read(env!("CARGO_BIN_EXE_warpcomm")).unwrap());
    let mut command = Command::new(machine.path("bin/warpcomm"));
    let refused = output(command.args(["tune", "-n", "2"]));
    assert_eq!(refused.status.code(), Some(1));
    let message = text(&refused.stderr);
    assert!(
        message.starts_with("warpcomm tune: warpcomm-rank is not in"),
        "{message}"
    );
    assert!(message.contains("cargo build"), "{message}");
}

/// The explanations of a job's ranks, which a test below gives.
#[cfg(all(feature = "mpi", feature = "serde"))]
fn explained(ranks: &str, cache: &Path) -> Output {
    let own = std::env::current_exe().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_warpcomm"));
    command
        .args(["run", "-n", ranks])
        .arg(own)
        .args([
            "--ignored",
            "--exact",
            "--nocapture",
            "tune::a_rank_that_explains",
        ])
        .env("WARPCOMM_CACHE", cache)
        .env_remove("WARPCOMM_TUNING");
    output(&mut command)
}

#[cfg(all(feature = "mpi", feature = "serde"))]
#[test]
#[ignore = "a rank of a job of the test below"]
fn a_rank_that_explains() {
    let runtime = warpcomm::Runtime::init().unwrap();
    let chosen = runtime
        .world()
        .and_then(|world| world.explain("allreduce", 5000, warpcomm::Place::Host));
    match chosen {
        Ok(chosen) => println!("explained: {chosen}"),
        Err(error) => println!("refused: {error}"),
    }
    runtime.finalize().unwrap();
}

/// The only file in the cache.
#[cfg(all(feature = "mpi", feature = "serde"))]
fn only_file(cache: &Path) -> PathBuf {
    let files = fs::read_dir(cache.join("tuning")).unwrap();
    let files: Vec<PathBuf> = files.map(|file| file.unwrap().path()).collect();
    let [file] = &files[..] else {
        panic!("{files:?}");
    };
    file.clone()
}

#[cfg(all(feature = "mpi", feature = "serde"))]
#[test]
fn what_is_measured_is_printed_and_written_and_used_by_as_many_ranks() {
    let cache = tempfile::tempdir().unwrap();
    let cache = cache.path();
    let mut command = tune(&[
        "-n",
        "2",
        "--place",
        "host",
        "--sizes",
        "1000,20000",
        "--rounds",
        "2",
    ]);
    command.env("WARPCOMM_CACHE", cache).env_remove("WARPCOMM_TUNING");
    let done = output(&mut command);
    assert!(done.status.success(), "{}", text(&done.stderr));
    let file = only_file(cache);
    let stdout = text(&done.stdout);
    // With 2 ranks bcast has no choice.
    let tables: Vec<&str> = stdout
        .lines()
        .filter(|line| line.ends_with(", host, 2 ranks"))
        .collect();
    assert_eq!(
        tables,
        ["reduce, host, 2 ranks", "allreduce, host, 2 ranks"],
        "{stdout}"
    );
    for line in [
        "        1000",
        "       20000",
        &format!("written to {}", file.display()),
    ] {
        assert!(
            stdout.lines().any(|printed| printed.starts_with(line)),
            "{line:?} in {stdout}"
        );
    }

    let tuning = warpcomm::Tuning::read(&file).unwrap();
    let machine = tuning.machine().clone();
    assert_eq!(machine.ranks, 2);
    let found = |ranks: &str, part: &str| {
        let done = explained(ranks, cache);
        let stdout = text(&done.stdout);
        assert!(done.status.success(), "{stdout}{}", text(&done.stderr));
        let each = stdout.matches(part).count();
        assert_eq!(each, ranks.parse::<usize>().unwrap(), "{part:?} in {stdout}");
    };
    let origin = format!("as measured with 2 ranks: {}", file.display());
    found("2", &origin);
    found("3", "the default: there is no ");

    // As if it had come from another machine, in the same file.
    let whole = fs::read_to_string(&file).unwrap();
    let host = format!("\"host\": {:?}", machine.host);
    fs::write(&file, whole.replace(&host, "\"host\": \"elsewhere\"")).unwrap();
    found("2", "is of elsewhere with ");

    fs::write(&file, &whole[..whole.len() / 2]).unwrap();
    let refused = text(&explained("2", cache).stdout);
    assert_eq!(refused.matches("refused: ").count(), 2, "{refused}");
    assert!(refused.contains(&file.display().to_string()), "{refused}");
}

#[cfg(all(feature = "mpi", feature = "serde"))]
#[test]
fn the_file_is_where_the_caller_says_or_nowhere() {
    let directory = tempfile::tempdir().unwrap();
    let file = |name: &str| directory.path().join(name);
    let measured = |arguments: &[&str], variable: &Path| {
        let arguments = [
            &["-n", "3", "--place", "host", "--sizes", "1000", "--rounds", "1"],
            arguments,
        ]
        .concat();
        let mut command = tune(&arguments);
        command
            .env("WARPCOMM_TUNING", variable)
            .env("WARPCOMM_CACHE", directory.path());
        let done = output(&mut command);
        assert!(done.status.success(), "{}", text(&done.stderr));
        text(&done.stdout)
    };
    let stdout = measured(&[], Path::new("none"));
    assert!(stdout.contains("not written"), "{stdout}");
    assert!(stdout.contains("bcast, host, 3 ranks"), "{stdout}");
    measured(&[], &file("named"));
    measured(&["--output", file("put").to_str().unwrap()], &file("elsewhere"));
    let mut names: Vec<_> = fs::read_dir(directory.path())
        .unwrap()
        .collect::<Result<_, _>>()
        .unwrap();
    names.sort_by_key(|entry| entry.path());
    let names: Vec<_> = names.iter().map(|entry| entry.file_name()).collect();
    assert_eq!(names, ["named", "put"]);
}
