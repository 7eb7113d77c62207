//! `warpcomm info`, without ranks and with those of this machine.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

use crate::launcher::library::needed_libraries;
use crate::machine::{Machine, OPEN_MPI_4, output, text};
use crate::schema::complaints;

const SCHEMA: &str = "info.schema.json";

/// The command alone, without the program of its ranks.
fn alone(machine: &Machine, arguments: &[&str]) -> Command {
    let file = machine.path("bin/warpcomm");
    if !file.exists() {
        machine.program("warpcomm", &fs::read(env!("CARGO_BIN_EXE_warpcomm")).unwrap());
    }
    let mut command = Command::new(file);
    command.env_clear().env("PATH", machine.path("bin"));
    command.arg("info").args(arguments);
    command
}

fn object(done: &Output) -> Value {
    let object: Value = serde_json::from_slice(&done.stdout)
        .unwrap_or_else(|error| panic!("{error}: {}{}", text(&done.stdout), text(&done.stderr)));
    assert_eq!(complaints(SCHEMA, &object), [""; 0]);
    object
}

#[test]
fn the_command_is_linked_with_neither_mpi_nor_cuda() {
    let needed = needed_libraries(Path::new(env!("CARGO_BIN_EXE_warpcomm"))).unwrap();
    let foreign = ["libmpi", "libmpich", "libopen-", "libpmi", "libcuda", "libnv"];
    for name in needed {
        let name = name.into_string().unwrap();
        assert!(!foreign.iter().any(|start| name.starts_with(start)), "{name}");
    }
}

#[test]
fn without_ranks_it_tells_the_rest() {
    let machine = Machine::new();
    let mut command = alone(&machine, &[]);
    command.envs([("WARPCOMM_TIMEOUT", "5"), ("WARPCOMM_TIMOUT", "6")]);
    let done = output(&mut command);
    assert!(done.status.success());
    let told = text(&done.stdout);
    assert!(
        told.contains("No ranks were started, who know the rest: warpcomm-rank is not in"),
        "{told}"
    );
    assert!(
        told.contains("\n* WARPCOMM_TIMEOUT=5 (default: none: calls wait)\n      seconds a call may"),
        "{told}"
    );
    assert!(
        told.contains("\n  WARPCOMM_LAUNCHER is not set (default: "),
        "{told}"
    );
    let unknown = "\n  WARPCOMM_TIMOUT is set, and nobody reads it; did you mean WARPCOMM_TIMEOUT?\n";
    assert!(told.contains(unknown), "{told}");

    let object = object(&output(alone(&machine, &["--json"]).env("WARPCOMM_CHUNK", "1")));
    assert_eq!(object["job"], Value::Null);
    let settings = object["settings"].as_array().unwrap();
    let chunk = settings
        .iter()
        .find(|setting| setting["name"] == "WARPCOMM_CHUNK")
        .unwrap();
    assert_eq!(chunk["problem"], "not a number of bytes from 4096 to 67108864");
    assert!(settings.len() > 14, "{settings:?}");
}

#[test]
fn ranks_that_are_asked_for_and_missing_are_a_failure() {
    let machine = Machine::new();
    for asked in [&["-n", "2"][..], &["--sim"], &["--plan", "allreduce", "1M"]] {
        let done = output(&mut alone(&machine, asked));
        assert_eq!(done.status.code(), Some(1), "{asked:?}");
        let message = text(&done.stderr);
        assert!(
            message.starts_with("warpcomm info: warpcomm-rank is not in"),
            "{message}"
        );
    }
    // The program is there, and nobody to start it.
    machine.program("warpcomm-rank", b"#!/bin/sh\n");
    let done = output(&mut alone(&machine, &[]));
    assert!(done.status.success());
    assert!(text(&done.stdout).contains("no MPI launcher (mpirun, mpiexec or srun)"));
}

#[test]
fn without_ranks_one_process_of_a_launcher_tells_the_rest() {
    let machine = Machine::new();
    for (rank, tells) in [("0", true), ("1", false)] {
        let mut command = alone(&machine, &[]);
        command.envs([("OMPI_COMM_WORLD_RANK", rank), ("OMPI_COMM_WORLD_SIZE", "2")]);
        let done = output(&mut command);
        assert!(done.status.success());
        assert_eq!(text(&done.stdout).contains("\nSettings\n"), tells);
    }
}

#[test]
fn ranks_are_not_started_with_a_variable_that_cannot_be_used() {
    let machine = Machine::new().launcher("mpirun", OPEN_MPI_4, "echo started");
    machine.program("warpcomm-rank", b"#!/bin/sh\n");
    let done = output(alone(&machine, &[]).env("WARPCOMM_CHECK", "maybe"));
    let told = text(&done.stdout);
    assert!(
        told.contains("WARPCOMM_CHECK cannot be used: neither 1 nor 0"),
        "{told}"
    );
    assert!(!told.contains("started\n"), "{told}");
}

#[test]
fn what_cannot_be_planned_is_refused_with_the_nearest_name() {
    for (words, said) in [
        (
            ["alreduce", "1M"],
            "invalid value 'alreduce' for '--plan <OPERATION> <SIZE>'\n\n  tip: a similar value exists: 'allreduce'",
        ),
        (["zzz", "1M"], "the operations are bcast, gather, "),
        (
            ["bcast", "1Q"],
            "invalid value '1Q' for '--plan <OPERATION> <SIZE>': `Q` is no unit",
        ),
    ] {
        let done = output(&mut alone(&Machine::new(), &["--plan", words[0], words[1]]));
        assert_eq!(done.status.code(), Some(2), "{words:?}");
        let message = text(&done.stderr);
        assert!(
            message.starts_with("error: ") && message.contains(said),
            "{message}"
        );
    }
}

/// What a launcher that pretends is told; it is a rank's process that runs it.
#[test]
fn a_process_of_a_launcher_becomes_a_rank_of_it() {
    let machine = Machine::new().launcher("mpirun", OPEN_MPI_4, "echo launched \"$@\"");
    machine.program("warpcomm-rank", b"#!/bin/sh\necho rank \"$@\"\n");
    let said = |arguments: &[&str], variables: &[(&str, &str)]| {
        let done = output(alone(&machine, arguments).envs(variables.iter().copied()));
        text(&done.stdout).replace(" --allow-run-as-root", "")
    };
    let rank = [("OMPI_COMM_WORLD_RANK", "1"), ("OMPI_COMM_WORLD_SIZE", "4")];
    assert_eq!(said(&["--json"], &rank), "rank info --json\n");
    assert_eq!(
        said(&["--plan", "bcast", "64K"], &rank),
        "rank info --operation bcast --bytes 65536\n"
    );
    let program = machine.path("bin/warpcomm-rank");
    let launched = format!(
        "launched -n 1 {} info --launcher Open MPI 4.1.4 (mpirun)\n",
        program.display()
    );
    assert_eq!(said(&[], &[]), launched);
    // Ranks that are asked for are started by this command.
    assert!(said(&["-n", "3"], &rank).starts_with("launched -n 3 "));
}

#[cfg(all(feature = "mpi", feature = "serde", feature = "cuda"))]
#[path = "info/ranks.rs"]
mod ranks;
