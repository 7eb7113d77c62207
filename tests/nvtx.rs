//! Operations are ranges of NVTX where a tool takes them, in each of the ways in which one is found.

use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use warpcomm::{Communicator, Op, Result, Tag};

/// Builds the tool of `tests/nvtx/tool.c` as a library of this name.
fn tool(directory: &Path, name: &str, options: &[&str]) -> PathBuf {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/nvtx/tool.c");
    let library = directory.join(name);
    let built = Command::new(env::var_os("CC").unwrap_or_else(|| "cc".into()))
        .args(["-shared", "-fPIC", "-Wall", "-Werror", "-o"])
        .args([&library, &source])
        .args(options)
        .status()
        .unwrap();
    assert!(built.success());
    library
}

/// What a tool, loaded as these variables say, is told about the program below.
fn recorded(directory: &Path, variables: &[(&str, &Path)]) -> Vec<String> {
    let record = directory.join("record");
    let mut command = Command::new(env::current_exe().unwrap());
    command
        .args(["--exact", "program", "--ignored"])
        .env_remove("NVTX_INJECTION64_PATH")
        .env("NVTX_TOOL_RECORD", &record);
    for (name, value) in variables {
        command.env(name, value);
    }
    let output = command.output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let record = fs::read_to_string(&record).unwrap_or_default();
    record.lines().map(str::to_owned).collect()
}

#[test]
#[ignore = "the others start it"]
fn program() {
    let outcomes = Communicator::threads(2, |comm| -> Result<()> {
        let peer = 1 - comm.rank();
        comm.allreduce(&[1i32, 2], &mut [0i32; 2], Op::Sum)?;
        let receive = comm.irecv(vec![0f64; 1000], peer, Tag(1));
        comm.send(&[1f64; 1000], peer, Tag(1))?;
        receive.wait()?;
        comm.send(&[1u8], 9, Tag(1)).unwrap_err();
        Ok(())
    });
    assert!(outcomes.unwrap().into_iter().all(|outcome| outcome.is_ok()));
}

/// Checks that each operation of the program was a range with a start and an end.
fn check_ranges(lines: &[String]) {
    let mut started = BTreeMap::new();
    let mut ended = Vec::new();
    for line in lines {
        match *line.split(' ').collect::<Vec<_>>() {
            ["start", number, name, bytes] => {
                let again = started.insert(number, (name, bytes));
                assert!(again.is_none(), "{lines:#?}");
            }
            ["end", number] => ended.push(number),
            _ => {}
        }
    }
    let mut ranges: Vec<(&str, &str)> = started.values().copied().collect();
    ranges.sort_unstable();
    let of_a_rank = [
        ("allreduce", "8"),
        ("irecv", "8000"),
        ("send", "1"),
        ("send", "8000"),
    ];
    let expected: Vec<(&str, &str)> = of_a_rank.iter().flat_map(|range| [*range; 2]).collect();
    assert_eq!(ranges, expected, "{lines:#?}");
    ended.sort_unstable();
    let mut numbers: Vec<&str> = started.into_keys().collect();
    numbers.sort_unstable();
    assert_eq!(ended, numbers, "{lines:#?}");
}

#[test]
fn a_tool_that_a_variable_names() {
    let directory = tempfile::tempdir().unwrap();
    let library = tool(directory.path(), "libtool.so", &[]);
    let lines = recorded(directory.path(), &[("NVTX_INJECTION64_PATH", &library)]);
    assert_eq!(lines[..2], ["injected", "domain warpcomm"]);
    check_ranges(&lines);
}

#[test]
fn a_tool_that_is_preloaded() {
    let directory = tempfile::tempdir().unwrap();
    let library = tool(directory.path(), "libtool.so", &["-DPRELOADED"]);
    let lines = recorded(directory.path(), &[("LD_PRELOAD", &library)]);
    assert_eq!(lines[..2], ["injected", "domain warpcomm"]);
    check_ranges(&lines);
}

#[test]
fn a_tool_in_the_place_of_the_library() {
    let directory = tempfile::tempdir().unwrap();
    tool(directory.path(), "libnvToolsExt.so.1", &[]);
    let lines = recorded(directory.path(), &[("LD_LIBRARY_PATH", directory.path())]);
    assert_eq!(lines[0], "domain warpcomm");
    check_ranges(&lines);
}

#[test]
fn the_library_without_a_tool() {
    let directory = tempfile::tempdir().unwrap();
    tool(directory.path(), "libnvToolsExt.so.1", &[]);
    let variables = [
        ("LD_LIBRARY_PATH", directory.path()),
        ("NVTX_TOOL_ABSENT", Path::new("1")),
    ];
    // Nothing is called again.
    assert_eq!(recorded(directory.path(), &variables), ["domain warpcomm"]);
}

#[test]
fn a_tool_that_is_not_there() {
    let directory = tempfile::tempdir().unwrap();
    let nowhere = directory.path().join("nowhere.so");
    assert!(recorded(directory.path(), &[("NVTX_INJECTION64_PATH", &nowhere)]).is_empty());
}
