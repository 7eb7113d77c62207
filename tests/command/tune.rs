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
        ("1M:1000", "goes down"),
        ("1000,many", "`many` is no length"),
        ("", "is no length"),
    ] {
        let refused = output(&mut tune(&["-n", "2", "--sizes", sizes]));
        assert_eq!(refused.status.code(), Some(2));
        assert!(text(&refused.stderr).contains(why), "{}", text(&refused.stderr));
    }
}

#[test]
fn places_are_separated_by_commas() {
    let refused = output(&mut tune(&["-n", "2", "--place", "host,devise"]));
    assert_eq!(refused.status.code(), Some(2));
    let message = text(&refused.stderr);
    assert!(message.contains("invalid value 'devise'"), "{message}");
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

/// A job whose ranks explain what they take, which a test below does.
#[cfg(all(feature = "mpi", feature = "serde"))]
fn explaining(ranks: &str) -> Command {
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
        .env_remove("WARPCOMM_TUNING");
    command
}

#[cfg(all(feature = "mpi", feature = "serde"))]
fn explained(ranks: &str, cache: &Path) -> Output {
    output(explaining(ranks).env("WARPCOMM_CACHE", cache))
}

/// What all ranks of such a job say alike of each question.
#[cfg(all(feature = "mpi", feature = "serde"))]
fn said_alike(ranks: usize, job: &mut Command) -> [String; 3] {
    let done = output(job);
    let stdout = text(&done.stdout);
    assert!(done.status.success(), "{stdout}{}", text(&done.stderr));
    ["explained: ", "on GPUs: ", "of neighbours: "].map(|start| {
        let said: Vec<&str> = stdout
            .lines()
            .filter_map(|line| line.split_once(start))
            .map(|(_, said)| said)
            .collect();
        assert!(
            said.len() == ranks && said.iter().all(|other| *other == said[0]),
            "{start}{stdout}"
        );
        said[0].to_owned()
    })
}

#[cfg(all(feature = "mpi", feature = "serde"))]
#[test]
#[ignore = "a rank of a job of the test below"]
fn a_rank_that_explains() {
    let runtime = warpcomm::Runtime::init().unwrap();
    let explained = |world: warpcomm::Communicator| {
        let explain = |place| world.explain("allreduce", 5000, place);
        Ok([
            explain(warpcomm::Place::Host)?,
            explain(warpcomm::Place::Device)?,
            world.explain_neighbours("allreduce", 5000)?,
        ])
    };
    // In one write each, that of other ranks does not come between.
    match runtime.world().and_then(explained) {
        Ok([host, device, neighbours]) => {
            print!("explained: {host}\non GPUs: {device}\nof neighbours: {neighbours}\n");
        }
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
        let lines = stdout.lines().filter(|line| line.contains("explained: "));
        let each = lines.filter(|line| line.contains(part)).count();
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

/// Measures 4 ranks at two lengths, into a file.
#[cfg(all(feature = "mpi", feature = "serde"))]
fn measured_into(file: &Path, place: &str, others: &[&str]) -> Command {
    let arguments = [
        "-n",
        "4",
        "--sizes",
        "1000,20000",
        "--rounds",
        "1",
        "--place",
        place,
    ];
    let mut command = tune(&arguments);
    command.args(others).arg("--output").arg(file);
    command
}

#[cfg(all(feature = "mpi", feature = "serde", feature = "cuda"))]
#[test]
fn gpus_that_reach_each_others_memory_are_measured_in_shots() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("measured.json");
    let shown = file.display();
    let explained = || said_alike(4, explaining("4").env("WARPCOMM_TUNING", &file));

    let printed = output(&mut measured_into(&file, "device", &["--sim=4"]));
    let stdout = text(&printed.stdout);
    assert!(printed.status.success(), "{}", text(&printed.stderr));
    let tables = |ranks: &str| {
        let lines = stdout.lines().filter(|line| line.ends_with(ranks));
        lines
            .map(|line| line.trim_end_matches(ranks).to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(
        tables(", 4 ranks"),
        [
            "bcast, device",
            "reduce, device",
            "allreduce, device",
            "who folds in allreduce, device",
            "reduce, DeviceBuffer",
            "allreduce, DeviceBuffer",
        ],
        "{stdout}"
    );
    // Two ranks have one way to fold, and all are on one node.
    assert_eq!(
        tables(", 2 ranks"),
        [
            "reduce, device",
            "allreduce, device",
            "who folds in allreduce, device"
        ],
        "{stdout}"
    );
    let [_, on_gpus, of_neighbours] = explained();
    let origin = format!(", as measured with 4 ranks: {shown}");
    assert!(of_neighbours.ends_with(&origin), "{of_neighbours}");
    assert!(
        on_gpus.ends_with(&origin) && on_gpus.matches(&origin).count() == 2,
        "{on_gpus}"
    );

    // Without access to each other's memory there is no choice.
    let printed = output(measured_into(&file, "device", &["--sim=4"]).env("SIMGPU_PEER", "0"));
    let stdout = text(&printed.stdout);
    assert!(printed.status.success(), "{}", text(&printed.stderr));
    let left_out = "allreduce, DeviceBuffer, 4 ranks: one-shot is not measured: the ranks take ";
    assert!(stdout.contains(left_out), "{stdout}");
    let written = fs::read_to_string(&file).unwrap();
    assert!(written.contains("\"reason\": \"the ranks take "), "{written}");
    let [_, _, of_neighbours] = explained();
    let default = format!(
        "one-shot: the ranks' GPUs reach each other's memory, and 5000 bytes are below 524289, the default: {shown} has nothing for this"
    );
    assert_eq!(of_neighbours, default);
}

/// A launcher that has two ranks on each of some made-up nodes.
#[cfg(all(feature = "mpi", feature = "serde"))]
fn launcher_of_nodes(machine: &Machine) -> PathBuf {
    let own = std::env::current_exe().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_warpcomm"));
    command.args(["run", "--dry-run", "-n", "4"]).arg(own);
    let line = text(&output(&mut command).stdout);
    let real = line.split_whitespace().next().expect("a launcher");
    let rank = "#!/bin/sh\nWARPCOMM_NODE_ID=node-$((${OMPI_COMM_WORLD_RANK:-$PMI_RANK} / 2)) exec \"$@\"\n";
    machine.program("rank", rank.as_bytes());
    // The program is the first word that is one of this library's.
    let launcher = format!(
        "#!/bin/sh\nfor word; do shift; case $word in */warpcomm-rank|*/command-*) set -- \"$@\" {} \"$word\";; \
         *) set -- \"$@\" \"$word\";; esac; done; exec {real} \"$@\"\n",
        machine.path("bin/rank").display()
    );
    machine.program("launcher", launcher.as_bytes());
    machine.path("bin/launcher")
}

#[cfg(all(feature = "mpi", feature = "serde"))]
#[test]
fn ranks_on_several_nodes_are_measured_in_levels() {
    let machine = Machine::new();
    let launcher = launcher_of_nodes(&machine);
    let file = machine.path("measured.json");
    let printed = output(measured_into(&file, "host", &[]).arg("--launcher").arg(&launcher));
    let stdout = text(&printed.stdout);
    assert!(printed.status.success(), "{stdout}{}", text(&printed.stderr));
    for operation in ["reduce", "allreduce"] {
        let mut lines = stdout
            .lines()
            .skip_while(|line| *line != format!("{operation}, host, 4 ranks"));
        let heading: Vec<&str> = lines.nth(1).expect("a table").split_whitespace().collect();
        assert_eq!(
            heading,
            ["bytes", "direct", "blocks", "levels", "choice"],
            "{stdout}"
        );
        // They are on one node.
        let left_out =
            format!("{operation}, host, 2 ranks: levels is not measured: levels is for several nodes ");
        assert!(stdout.contains(&left_out), "{stdout}");
    }
    let tuning = warpcomm::Tuning::read(&file).unwrap();
    assert_eq!(tuning.machine().nodes, 2);
    // On two nodes what was measured there is nearer than 2 ranks on one; on one node it is not.
    for (launcher, ranks, measured) in [(Some(&launcher), 3, 4), (Some(&launcher), 2, 2), (None, 3, 2)] {
        let mut job = explaining(&ranks.to_string());
        job.env("WARPCOMM_TUNING", &file);
        if let Some(launcher) = launcher {
            job.env(crate::launcher::LAUNCHER_VARIABLE, launcher);
        }
        let [on_hosts, ..] = said_alike(ranks, &mut job);
        let origin = format!(", as measured with {measured} ranks: {}", file.display());
        assert!(on_hosts.ends_with(&origin), "{on_hosts}");
    }
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
