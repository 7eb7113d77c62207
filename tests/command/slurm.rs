//! The batch script for Slurm, in an allocation that only pretends.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::machine::{Machine, SLURM, output, text};

fn script() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/slurm.sh")
}

#[test]
fn the_batch_script_runs_the_examples_by_srun() {
    let machine = Machine::new()
        .launcher(
            "srun",
            SLURM,
            r#"echo "$SRUN_CPUS_PER_TASK $WARPCOMM_TIMEOUT $@""#,
        )
        .tools(&["bash"]);
    fs::create_dir_all(machine.path("target/release/examples")).unwrap();
    symlink(
        env!("CARGO_BIN_EXE_warpcomm"),
        machine.path("target/release/warpcomm"),
    )
    .unwrap();
    for example in ["sum", "matvec"] {
        let program = format!("../target/release/examples/{example}");
        machine.program(&program, b"#!/bin/sh\n");
    }
    let mut batch = Command::new("/bin/bash");
    batch
        .arg(script())
        .env_clear()
        .env("PATH", machine.path("bin"))
        .current_dir(machine.path("."))
        .envs([
            ("SLURM_JOB_ID", "1"),
            ("SLURM_JOB_NUM_NODES", "2"),
            ("SLURM_NTASKS", "8"),
            ("SLURM_TASKS_PER_NODE", "4(x2)"),
            ("SLURM_CPUS_PER_TASK", "8"),
        ]);
    let done = output(&mut batch);
    assert!(done.status.success(), "{}", text(&done.stderr));
    let own = fs::canonicalize(env!("CARGO_BIN_EXE_warpcomm")).unwrap();
    let bind = format!("{} bind-rank numa --", own.display());
    let examples = "target/release/examples";
    assert_eq!(
        text(&done.stdout),
        format!(
            "8 60 -n 8 --export=ALL --cpu-bind=none --label --time=4:00 {bind} {examples}/sum --place device\n\
             8  -n 8 --export=ALL --cpu-bind=none --time=4:00 {bind} {examples}/matvec --place device\n"
        )
    );
}

/// sbatch(1) reads options up to the first command, one word each.
#[test]
fn the_batch_script_has_options_that_sbatch_reads() {
    let text = fs::read_to_string(script()).unwrap();
    let commands = text.find("\nset -eu\n").unwrap();
    let (head, rest) = text.split_at(commands);
    assert!(!rest.contains("#SBATCH"));
    let options: Vec<&str> = head
        .lines()
        .filter_map(|line| line.strip_prefix("#SBATCH "))
        .collect();
    let known = [
        "job-name",
        "output",
        "time",
        "nodes",
        "ntasks-per-node",
        "cpus-per-task",
        "gpus-per-node",
    ];
    assert_eq!(options.len(), known.len());
    for (option, name) in options.iter().zip(known) {
        let (found, value) = option.strip_prefix("--").unwrap().split_once('=').unwrap();
        assert_eq!(found, name);
        assert!(!value.is_empty() && !value.contains(' '), "{option}");
    }
    let checked = output(Command::new("bash").arg("-n").arg(script()));
    assert!(checked.status.success(), "{checked:?}");
}
