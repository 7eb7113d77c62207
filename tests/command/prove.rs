//! What `warpcomm tune` and `warpcomm run` prove of MPI: with the MPI library that these tests are linked with, on
//! a simulated GPU.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::launcher::LAUNCHER_VARIABLE;
use crate::machine::{output, text};

/// The program that is started as ranks: one that is linked with MPI, and prints what was proved.
const RANK_PROGRAM: Option<&str> = option_env!("CARGO_BIN_EXE_warpcomm-rank");

/// A command that keeps what it finds in a directory.
fn command(cache: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_warpcomm"));
    command
        .args(arguments)
        .env("WARPCOMM_CACHE", cache)
        .env_remove("WARPCOMM_CUDA_AWARE")
        .env_remove(LAUNCHER_VARIABLE)
        .env_remove("SLURM_JOB_ID");
    command
}

fn printed(command: &mut Command) -> String {
    let done = output(command);
    assert!(done.status.success(), "{}", text(&done.stderr));
    text(&done.stdout)
}

fn files(cache: &Path) -> Vec<PathBuf> {
    let files = fs::read_dir(cache).into_iter().flatten();
    files.map(|file| file.unwrap().path()).collect()
}

#[test]
fn tune_asks_an_mpi_that_is_not_cuda_aware() {
    let cache = tempfile::tempdir().unwrap();
    let found = printed(&mut command(
        cache.path(),
        &["tune", "-n", "2", "--proof", "--sim"],
    ));
    let line = |kind| format!("MPI takes addresses of GPU memory, {kind}: no: it says that it is not\n");
    assert_eq!(found, ["plain", "pool"].map(line).concat());
    let files = files(cache.path());
    assert_eq!(files.len(), 1, "{files:?}");
    let kept = fs::read_to_string(&files[0]).unwrap();
    assert!(kept.contains("gpu = Simulated GPU 0\n"), "{kept}");
    assert!(
        kept.ends_with("plain = no: it says that it is not\npool = no: it says that it is not\n"),
        "{kept}"
    );
}

#[test]
fn run_proves_what_is_unknown_once() {
    let cache = tempfile::tempdir().unwrap();
    let program = RANK_PROGRAM.expect("it is built with the features of these tests");
    let run = ["run", "-n", "1", "--sim", program, "proved"];
    let unknown = "plain = unknown\npool = unknown\n";
    // Somebody knows.
    assert_eq!(
        printed(command(cache.path(), &run).env("WARPCOMM_CUDA_AWARE", "no")),
        unknown
    );
    // It would be for nothing.
    assert_eq!(
        printed(command(cache.path(), &run).env("WARPCOMM_PATHS", "^cuda-aware")),
        unknown
    );
    assert_eq!(files(cache.path()).len(), 0);
    let known = "plain = no: it says that it is not\npool = no: it says that it is not\n";
    assert_eq!(printed(&mut command(cache.path(), &run)), known);
    let file = files(cache.path()).pop().unwrap();
    // What it has found is believed.
    let other = fs::read_to_string(&file)
        .unwrap()
        .replace("it says that it is not", "it was tried");
    fs::write(&file, other).unwrap();
    let known = "plain = no: it was tried\npool = no: it was tried\n";
    assert_eq!(printed(&mut command(cache.path(), &run)), known);
}

/// An MPI library that is not CUDA-aware, and says that it is.
#[test]
fn a_crash_is_a_no() {
    let directory = tempfile::tempdir().unwrap();
    let (source, library) = (directory.path().join("says.c"), directory.path().join("says.so"));
    fs::write(&source, "int MPIX_Query_cuda_support(void) { return 1; }\n").unwrap();
    let built = Command::new(std::env::var_os("CC").unwrap_or_else(|| "cc".into()))
        .args(["-shared", "-fPIC", "-o"])
        .args([&library, &source])
        .status();
    assert!(built.unwrap().success());
    let cache = directory.path().join("cache");
    let found =
        printed(command(&cache, &["tune", "-n", "2", "--proof", "--sim"]).env("LD_PRELOAD", &library));
    let line = |kind| {
        format!(
            "MPI takes addresses of GPU memory, {kind}: no: a job of two ranks that tried it has crashed or hung\n"
        )
    };
    assert_eq!(found, ["plain", "pool"].map(line).concat());
}
