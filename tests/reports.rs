//! What is reported of ranks that wait: by themselves after some time, or on SIGUSR1. Under MPI the cases of
//! `tests/ranks/hangs.rs` show the same.

use std::env;
use std::io::{BufRead, BufReader, Read};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Barrier, LazyLock};
use std::thread;
use std::time::Duration;

use signal_hook::consts::SIGUSR1;
use signal_hook::{flag, low_level};
use warpcomm::{Communicator, Op, Result, Tag};

/// How long a program may take.
const DEADLINE: Duration = Duration::from_secs(30);

/// Starts one of the programs below, releases it when each of these texts was printed in one line, and returns all
/// that was.
fn reported(program: &str, variables: &[(&str, &str)], texts: &[&[&str]]) -> String {
    let mut command = Command::new(env::current_exe().unwrap());
    command
        .args(["--exact", program, "--ignored", "--nocapture"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .envs(variables.iter().copied());
    let mut child = command.spawn().unwrap();
    let mut released = child.stdin.take();
    let mut missing = texts.to_vec();
    let mut lines = Vec::new();
    for line in BufReader::new(child.stderr.take().unwrap()).lines() {
        let line = line.unwrap();
        missing.retain(|parts| !parts.iter().all(|part| line.contains(part)));
        if missing.is_empty() {
            released = None;
        }
        lines.push(line);
    }
    let printed = lines.join("\n");
    assert!(released.is_none(), "{missing:?} was not printed:\n{printed}");
    assert!(child.wait().unwrap().success(), "{printed}");
    printed
}

/// Waits until the test that started this program releases it.
fn wait_for_release() {
    thread::spawn(|| {
        thread::sleep(DEADLINE);
        std::process::abort();
    });
    let _ = std::io::stdin().read(&mut [0]);
}

fn run(ranks: usize, program: impl Fn(Communicator) -> Result<()> + Sync) {
    let outcomes = Communicator::threads(ranks, program).unwrap();
    outcomes.into_iter().for_each(|outcome| outcome.unwrap());
}

/// Waits for the release, and lets all ranks of the process report again and again until then: the others may take
/// their time to come to where they wait.
fn report_until_release() {
    thread::spawn(|| {
        loop {
            low_level::raise(SIGUSR1).unwrap();
            thread::sleep(Duration::from_millis(200));
        }
    });
    wait_for_release();
}

#[test]
#[ignore = "a test starts it"]
fn a_rank_that_does_not_come() {
    static STARTED: LazyLock<Barrier> = LazyLock::new(|| Barrier::new(3));
    run(3, |comm| {
        comm.bcast(&mut [0u8], 0)?;
        let pending = comm.irecv(vec![0u8; 7], 2, Tag(5));
        if comm.rank() == 2 {
            pending.cancel()?;
            match env::var_os("BY_SIGNAL") {
                Some(_) => {
                    // So that the requests have some age.
                    STARTED.wait();
                    thread::sleep(Duration::from_millis(300));
                    report_until_release();
                }
                None => wait_for_release(),
            }
            comm.send(&[1u8; 7], 0, Tag(5))?;
            comm.send(&[1u8; 7], 1, Tag(5))?;
        } else if env::var_os("BY_SIGNAL").is_some() {
            STARTED.wait();
        }
        let mut sum = 0u64;
        comm.allreduce(&1u64, &mut sum, Op::Sum)?;
        assert_eq!(sum, 3);
        pending.wait().map(drop)?;
        Ok(())
    });
}

#[test]
fn a_signal_reports_all_ranks_of_the_process() {
    let printed = reported(
        "a_rank_that_does_not_come",
        &[("BY_SIGNAL", "1")],
        &[
            &["warpcomm: rank 0 reports; pending here:"],
            &["warpcomm: rank 1 reports; pending here:"],
            &["warpcomm:   allreduce #1, 8 bytes, waits for rank 2 to enter it ("],
            &["warpcomm:   irecv from rank 2, tag 5, 7 bytes, waits for a matching send ("],
            &["warpcomm:   in allreduce #1 of 3 ranks, for about"],
            &["warpcomm: rank 2 reports; nothing is pending here"],
            &["warpcomm:   last in bcast #0 of 3 ranks, left about"],
            &["warpcomm: rank 0 has asked the 3 ranks where they are:"],
            &[
                "warpcomm:   rank 2 has not entered allreduce #1, as ranks 0, 1 have; it was last in bcast #0, which it left about",
            ],
            &["warpcomm:   rank 1: irecv from rank 2, tag 5"],
            &["warpcomm:   rank 2: nothing is pending"],
        ],
    );
    // Ages count from the start of an operation, not from the first report.
    let age = |line: &str| line.rsplit_once('(')?.1.strip_suffix(" s)")?.parse::<f64>().ok();
    let ages: Vec<f64> = printed
        .lines()
        .filter(|line| line.contains("irecv"))
        .filter_map(age)
        .collect();
    assert!(ages.len() >= 4 && ages.iter().all(|age| *age >= 0.2), "{printed}");
}

#[test]
fn after_some_time_rank_0_tells_who_is_behind() {
    let variables = [("WARPCOMM_HANG_REPORT", "0.3")];
    let printed = reported(
        "a_rank_that_does_not_come",
        &variables,
        &[
            &["warpcomm: rank 0 has waited for 0."],
            &["warpcomm: rank 1 has waited for 0."],
            &["warpcomm:   rank 0: allreduce #1, 8 bytes, waits for rank 2 to enter it ("],
            &["warpcomm:   rank 1: allreduce #1, 8 bytes, waits for rank 2 to enter it ("],
            &["rank 2 has not entered allreduce #1, as ranks 0, 1 have; it was last in bcast #0"],
        ],
    );
    assert!(!printed.contains("reports;"), "{printed}");
}

#[test]
#[ignore = "a test starts it"]
fn threads_of_a_rank() {
    run(2, |comm| {
        let twin = comm.duplicate()?;
        if comm.rank() == 1 {
            report_until_release();
            twin.barrier()?;
            comm.send(&[1u8], 0, Tag(8))?;
            return comm.send(&[1u8], 0, Tag(9));
        }
        thread::scope(|scope| {
            let waiting = [8, 9].map(|tag| {
                let comm = &comm;
                scope.spawn(move || comm.recv(&mut [0u8], 1, Tag(tag)))
            });
            twin.barrier()?;
            waiting
                .into_iter()
                .try_for_each(|thread| thread.join().unwrap().map(drop))
        })
    });
}

#[test]
fn all_threads_of_a_rank_are_in_its_report() {
    reported(
        "threads_of_a_rank",
        &[],
        &[
            &["warpcomm:   recv from rank 1, tag 8, 1 bytes, waits for a matching send"],
            &["warpcomm:   recv from rank 1, tag 9, 1 bytes, waits for a matching send"],
            &["warpcomm:   barrier #0, waits for rank 1 to enter it"],
            &[
                "rank 1 has not entered barrier #0, as rank 0 has; it was in no collective of this communicator",
            ],
        ],
    );
}

#[test]
#[ignore = "a test starts it"]
fn a_program_with_a_handler_of_its_own() {
    let seen = Arc::new(AtomicBool::new(false));
    flag::register(SIGUSR1, Arc::clone(&seen)).unwrap();
    run(1, |_| {
        low_level::raise(SIGUSR1).unwrap();
        wait_for_release();
        Ok(())
    });
    assert!(seen.load(Ordering::SeqCst));
}

#[test]
fn a_program_keeps_its_own_handler() {
    let printed = reported(
        "a_program_with_a_handler_of_its_own",
        &[],
        &[&["rank 0 reports; nothing is pending here"]],
    );
    assert!(
        !printed.contains("has asked"),
        "there is nobody to ask:\n{printed}"
    );
}

/// A value that rank 1 takes until the release to read.
#[cfg(feature = "serde")]
#[derive(serde::Deserialize, serde::Serialize)]
#[serde(from = "()")]
struct Slow;

#[cfg(feature = "serde")]
impl From<()> for Slow {
    fn from((): ()) -> Slow {
        if thread::current().name() == Some("rank 1") {
            report_until_release();
        }
        Slow
    }
}

#[cfg(feature = "serde")]
#[test]
#[ignore = "a test starts it"]
fn a_rank_that_is_slow_inside() {
    run(3, |comm| {
        comm.barrier()?;
        let root = comm.rank() == 0;
        comm.bcast_object(root.then_some(Slow), 0).map(drop)
    });
}

#[cfg(feature = "serde")]
#[test]
fn a_rank_in_a_later_step_has_entered() {
    let waits = "waits for rank 1 to come to the next step of it";
    let printed = reported(
        "a_rank_that_is_slow_inside",
        &[],
        &[
            &["warpcomm:   bcast_object #1, ", waits],
            &["warpcomm: rank 1 reports; nothing is pending here"],
            &["warpcomm:   in bcast_object #1 of 3 ranks, for about"],
            &["warpcomm: rank 0 has asked the 3 ranks where they are:"],
            &["warpcomm:   rank 0: bcast_object #1, ", waits],
            &["warpcomm:   rank 2: bcast_object #1, ", waits],
        ],
    );
    let last = printed.rsplit("rank 0 has asked").next().unwrap();
    assert!(!last.contains("has not entered"), "{printed}");
}
