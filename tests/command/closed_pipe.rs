//! Output of which somebody reads only the first lines, as `head` does.

use std::fs;
use std::io::pipe;
use std::process::{Command, Stdio};

use crate::launches::{Launch, file};
use crate::machine::{Machine, OPEN_MPI_4, start, text};

#[test]
fn a_reader_that_has_seen_enough_is_no_error() {
    let alone = Machine::new();
    let with_ranks = Machine::new().launcher("mpirun", OPEN_MPI_4, "exit 9");
    with_ranks.program("warpcomm-rank", b"#!/bin/sh\n");
    file(&alone.path("."), "measured.json", &[Launch::new(1)]);
    fs::create_dir(alone.path("system")).unwrap();
    let commands: [(&Machine, &[&str]); 8] = [
        (&alone, &["man"]),
        (&alone, &["completions", "bash"]),
        (&alone, &["info"]),
        (&alone, &["doctor", "--sysroot", "system"]),
        (&alone, &["diff", "measured.json", "measured.json"]),
        (&alone, &["plot", "measured.json"]),
        (&with_ranks, &["run", "-n", "1", "--dry-run", "program"]),
        (&with_ranks, &["tune", "-n", "2", "--proof"]),
    ];
    for (machine, words) in commands {
        let ended = |output: Stdio| {
            let mut command: Command = machine.installed(words);
            command.stdin(Stdio::null()).stdout(output).stderr(Stdio::piped());
            let done = start(&mut command).wait_with_output().unwrap();
            (done.status.code(), text(&done.stderr))
        };
        let (reader, writer) = pipe().unwrap();
        drop(reader);
        assert_eq!(ended(writer.into()), ended(Stdio::null()), "{words:?}");
    }
    assert!(alone.path("warpcomm-plot/report.html").is_file());
}
