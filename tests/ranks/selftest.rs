//! The harness itself: cases that fail, hang and crash on purpose, which only exist when the test program
//! starts itself to see what becomes of them.

use std::process::Command;

use warpcomm::{Communicator, Tag};

use crate::harness::{Check, Failure, Outcome, say};

/// Set for the test program that has these cases.
const VARIABLE: &str = "WARPCOMM_TEST_SELF";

mod deliberate {
    use super::*;

    cases! {
        a_passes: 1..=2;
        b_fails_on_one_rank: 2..=2;
        c_passes: 2..=2;
        d_panics_on_one_rank_while_the_other_waits: 2..=2;
        e_passes: 2..=2;
        f_hangs_on_one_rank: 2..=2;
        g_passes: 2..=2;
        h_crashes_on_one_rank: 2..=2;
        i_passes: 2..=2;
    }

    fn a_passes(comm: &Communicator) -> Outcome {
        super::super::common::still_works(comm)
    }

    fn b_fails_on_one_rank(comm: &Communicator) -> Outcome {
        match comm.rank() {
            1 => Err(Failure("a reason\nof two lines".to_owned())),
            _ => Ok(()),
        }
    }

    fn c_passes(comm: &Communicator) -> Outcome {
        a_passes(comm)
    }

    fn d_panics_on_one_rank_while_the_other_waits(comm: &Communicator) -> Outcome {
        say(&format!("said by rank {}", comm.rank()));
        match comm.rank() {
            1 => panic!("a panic on purpose"),
            _ => comm.recv(&mut [0u8], 1, Tag(0)).map(drop).map_err(Failure::from),
        }
    }

    fn e_passes(comm: &Communicator) -> Outcome {
        a_passes(comm)
    }

    fn f_hangs_on_one_rank(comm: &Communicator) -> Outcome {
        match comm.rank() {
            1 => loop {
                std::thread::park();
            },
            _ => Ok(()),
        }
    }

    fn g_passes(comm: &Communicator) -> Outcome {
        a_passes(comm)
    }

    fn h_crashes_on_one_rank(comm: &Communicator) -> Outcome {
        match comm.rank() {
            1 => std::process::abort(),
            _ => comm.barrier().map_err(Failure::from),
        }
    }

    fn i_passes(comm: &Communicator) -> Outcome {
        a_passes(comm)
    }
}

/// The cases, in the test program that is to have them.
pub fn cases() -> &'static [crate::harness::Case] {
    match std::env::var_os(VARIABLE) {
        Some(_) => deliberate::CASES,
        None => &[],
    }
}

pub const CHECKS: &[Check] = &[Check {
    name: "harness::tells_what_fails_and_goes_on",
    run: tells_what_fails,
}];

fn tells_what_fails() -> Result<(), String> {
    let program = std::env::current_exe().map_err(|error| error.to_string())?;
    let mut command = Command::new(program);
    command
        .arg("deliberate::")
        .env(VARIABLE, "1")
        .env("WARPCOMM_TEST_DEADLINE", "8");
    let output = command.output().map_err(|error| error.to_string())?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let mut wrong = Vec::new();
    let mut expect = |what: String, holds: bool| {
        if !holds {
            wrong.push(what);
        }
    };
    expect("it fails".to_owned(), !output.status.success());
    let worlds: &[&str] = if cfg!(feature = "mpi") {
        &["threads", "mpi"]
    } else {
        &["threads"]
    };
    let verdict = |name: &str, world: &str| {
        let start = format!("test deliberate::{name} [{world} np=2]");
        let line = text.lines().find(|line| line.starts_with(&start));
        line.and_then(|line| line.split_whitespace().last())
            .unwrap_or("missing")
            .to_owned()
    };
    for world in worlds {
        for case in deliberate::CASES {
            let expected = if case.name.ends_with("_passes") {
                "ok"
            } else {
                "FAILED"
            };
            let found = verdict(case.name, world);
            expect(format!("{} [{world}] is {found}", case.name), found == expected);
        }
        let told = |case: &str, parts: &[&str]| {
            let section = format!("---- deliberate::{case} [{world} np=2] ----");
            let section = text
                .split_once(&section)
                .map_or("", |(_, rest)| rest.split("\n---- ").next().unwrap_or(""));
            parts.iter().all(|part| section.contains(part))
        };
        let reasons: &[(&str, &[&str])] = &[
            (
                "b_fails_on_one_rank",
                &["rank 0 passed", "rank 1: a reason\nof two lines"],
            ),
            (
                "d_panics_on_one_rank_while_the_other_waits",
                &[
                    "rank 1: panicked at",
                    "selftest.rs",
                    "a panic on purpose",
                    "rank 0 did not finish",
                    "said by rank 1",
                ],
            ),
            (
                "f_hangs_on_one_rank",
                &["rank 0 passed", "rank 1: not done within 8 s"],
            ),
            ("h_crashes_on_one_rank", &["rank 1 did not finish"]),
        ];
        for (case, parts) in reasons {
            expect(format!("{case} [{world}] tells {parts:?}"), told(case, parts));
        }
    }
    match wrong.is_empty() {
        true => Ok(()),
        false => Err(format!("not so:\n{}\n--- printed\n{text}", wrong.join("\n"))),
    }
}
