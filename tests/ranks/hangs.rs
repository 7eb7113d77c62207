//! Ranks that wait in vain, die, or panic: deadlines, hang reports, and what becomes of the others.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use signal_hook::consts::SIGUSR1;
use signal_hook::low_level;
use warpcomm::{Communicator, ErrorKind, Op, Runtime, Tag};

use super::common::still_works;
use super::lifecycle::with_world;
use crate::harness::{Ended, Outcome, Solo, Start};
use crate::harness::{expect_error, expect_text, solo_directory, wait_for_file, wait_for_release};

/// More than any message that travels in an envelope, and than MPI takes without its receiver.
const LONG: usize = 64 << 20;

pub const SOLOS: &[Solo] = &[
    Solo {
        name: "a_receive_without_a_send",
        start: Start::Ranks(2),
        environment: &[("WARPCOMM_TIMEOUT", "1")],
        program: a_receive_without_a_send,
        release: None,
        expect: |ended| {
            ended.check(
                true,
                &[
                    "warpcomm: rank 0 has waited for ",
                    "recv from rank 1, tag 5",
                    "waits for a matching send",
                ],
            )
        },
    },
    Solo {
        name: "a_hang_report_and_waiting_goes_on",
        start: Start::Ranks(2),
        environment: &[("WARPCOMM_HANG_REPORT", "0.5")],
        program: a_hang_report_and_waiting_goes_on,
        release: Some("recv from rank 1, tag 6"),
        expect: |ended| {
            ended.check(
                true,
                &[
                    "warpcomm: rank 0 has waited for ",
                    "irecv from any rank, tag 9",
                    "received 3",
                ],
            )
        },
    },
    Solo {
        name: "a_hang_report_of_a_collective",
        start: Start::Ranks(3),
        environment: &[("WARPCOMM_HANG_REPORT", "0.5")],
        program: a_hang_report_of_a_collective,
        release: Some("waits for rank 2 to enter it"),
        expect: |ended| ended.check(true, &["allreduce #"]),
    },
    Solo {
        name: "a_rank_in_user_code_is_behind",
        start: Start::Ranks(3),
        environment: &[("WARPCOMM_HANG_REPORT", "0.5")],
        program: a_rank_that_comes_late,
        release: Some("rank 2 has not entered"),
        expect: |ended| {
            ended.check(
                true,
                &[
                    "warpcomm: rank 0 has asked the 3 ranks where they are:",
                    "rank 2 has not entered allreduce #2, as ranks 0, 1 have; it was last in bcast #1, which it left about",
                    "warpcomm:   rank 1: allreduce #2, 24 bytes, waits for rank 2 to enter it",
                    "warpcomm:   rank 2: nothing is pending",
                ],
            )
        },
    },
    Solo {
        name: "a_rank_that_cannot_answer_is_behind",
        start: Start::Ranks(3),
        // Rank 2 is in no call, and no other thread may answer for it.
        environment: &[
            ("WARPCOMM_HANG_REPORT", "0.5"),
            ("WARPCOMM_THREAD_LEVEL", "funneled"),
        ],
        program: a_rank_that_comes_late,
        release: Some("rank 2 has not entered"),
        expect: |ended| {
            ended.check(
                true,
                &[
                    "rank 2 has not entered allreduce #2, for which rank 0 waits; it was last in bcast #1; it does not answer",
                    "warpcomm:   rank 1: allreduce #2, 24 bytes, waits for rank 2 to enter it",
                ],
            )
        },
    },
    Solo {
        name: "a_signal_in_a_call",
        start: Start::Ranks(3),
        environment: &[("WARPCOMM_TEST_SIGNALLED", "0")],
        program: a_rank_that_comes_late,
        release: Some("as ranks 0, 1 have"),
        expect: |ended| {
            ended.check(
                true,
                &[
                    "warpcomm: rank 0 reports; pending here:",
                    "warpcomm:   allreduce #2, 24 bytes, waits for rank 2 to enter it",
                    "rank 2 has not entered allreduce #2, as ranks 0, 1 have",
                ],
            )
        },
    },
    Solo {
        name: "a_signal_in_user_code",
        start: Start::Ranks(3),
        environment: &[
            ("WARPCOMM_TEST_SIGNALLED", "2"),
            ("WARPCOMM_THREAD_LEVEL", "funneled"),
        ],
        program: a_rank_that_comes_late,
        release: Some("last in bcast #1"),
        expect: |ended| {
            ended.check(
                true,
                &[
                    "warpcomm: rank 2 reports; nothing is pending here",
                    "warpcomm:   last in bcast #1 of 3 ranks, left about",
                ],
            )
        },
    },
    Solo {
        name: "a_hang_report_of_a_plain_collective",
        start: Start::Ranks(2),
        environment: &[],
        program: a_hang_report_of_a_plain_collective,
        release: Some("barrier #0, waits for MPI's own collective"),
        expect: |ended| ended.check(true, &["warpcomm: rank 0 reports; pending here:"]),
    },
    Solo {
        name: "a_peer_that_exits",
        start: Start::Survivors(2),
        environment: &[("WARPCOMM_TIMEOUT", "2")],
        program: a_peer_that_exits,
        release: None,
        expect: survived,
    },
    Solo {
        name: "a_peer_that_crashes",
        start: Start::Survivors(2),
        environment: &[("WARPCOMM_TIMEOUT", "2")],
        program: a_peer_that_crashes,
        release: None,
        // Hydra ends a job in which a rank dies of a signal, whatever it was told, and now and then dies of it itself.
        expect: |ended| {
            let of_hydra = ["TERMINATED WITH THE EXIT STRING", "[mpiexec@"];
            match of_hydra.iter().any(|text| ended.output.contains(text)) {
                true => Ok(()),
                false => survived(ended),
            }
        },
    },
    Solo {
        name: "memory_that_mpi_holds_at_the_deadline",
        start: Start::Ranks(2),
        // Below this level no thread of the library makes progress in the background.
        environment: &[("WARPCOMM_TIMEOUT", "1"), ("WARPCOMM_THREAD_LEVEL", "funneled")],
        program: memory_that_mpi_holds_at_the_deadline,
        release: None,
        expect: |ended| {
            ended.check(
                false,
                &[
                    "warpcomm: rank 0 has waited for ",
                    "send to rank 1, tag 3",
                    "waits for the elements to be moved",
                ],
            )?;
            match ended.output.contains("returned with the memory lent") {
                true => Err("the call returned though MPI held its memory".to_owned()),
                false => Ok(()),
            }
        },
    },
    Solo {
        name: "a_panic_on_one_rank",
        start: Start::Ranks(2),
        environment: &[],
        program: a_panic_on_one_rank,
        release: None,
        expect: |ended| ended.check(false, &["on purpose"]),
    },
];

fn a_receive_without_a_send() -> Outcome {
    let runtime = Runtime::init()?;
    let world = runtime.world()?;
    // The deadline is that of every communicator that comes from this one.
    let twin = world.duplicate()?;
    if world.rank() == 0 {
        let error = expect_error(twin.recv(&mut [0u8], 1, Tag(5)), ErrorKind::Timeout);
        expect_text(&error, &["recv", "from rank 1"]);
        expect_error(twin.barrier(), ErrorKind::Timeout);
        std::fs::write(solo_directory().join("timed-out"), "")?;
    } else {
        wait_for_file("timed-out");
    }
    still_works(&world)?;
    runtime.finalize()?;
    Ok(())
}

fn a_hang_report_and_waiting_goes_on() -> Outcome {
    with_world(|world| {
        if world.rank() == 0 {
            let pending = world.irecv(vec![0u8; 3], warpcomm::Source::Any, Tag(9));
            let mut buffer = [0u8; 5];
            let status = world.recv(&mut buffer, 1, Tag(6))?;
            println!("received {}", status.count());
            pending.wait()?;
        } else {
            wait_for_release();
            world.send(&[1u8; 3], 0, Tag(6))?;
            world.send(&[1u8; 3], 0, Tag(9))?;
        }
        still_works(world)
    })
}

fn a_hang_report_of_a_collective() -> Outcome {
    with_world(|world| {
        if world.rank() == 2 {
            wait_for_release();
        }
        let mut sum = [0u64; 3];
        world.allreduce(&[1, 2, 3], &mut sum, Op::Sum)?;
        assert_eq!(sum, [3, 6, 9]);
        Ok(())
    })
}

/// The rank that this variable names gets a signal while the others wait for rank 2.
const SIGNALLED: &str = "WARPCOMM_TEST_SIGNALLED";

/// Lets this rank report again and again: ranks may take their time to come to where they wait.
fn report_until(is_over: &'static AtomicBool) {
    thread::spawn(|| {
        while !is_over.load(Ordering::Relaxed) {
            low_level::raise(SIGUSR1).expect("a handler");
            thread::sleep(Duration::from_millis(200));
        }
    });
}

fn a_rank_that_comes_late() -> Outcome {
    static IS_OVER: AtomicBool = AtomicBool::new(false);
    with_world(|world| {
        world.bcast(&mut [0u8], 0)?;
        if std::env::var(SIGNALLED).is_ok_and(|rank| rank == world.rank().to_string()) {
            report_until(&IS_OVER);
        }
        if world.rank() == 2 {
            wait_for_release();
        }
        let mut sum = [0u64; 3];
        world.allreduce(&[1, 2, 3], &mut sum, Op::Sum)?;
        IS_OVER.store(true, Ordering::Relaxed);
        assert_eq!(sum, [3, 6, 9]);
        still_works(world)
    })
}

fn a_hang_report_of_a_plain_collective() -> Outcome {
    static IS_OVER: AtomicBool = AtomicBool::new(false);
    let runtime = Runtime::init()?;
    let plain = runtime.world_plain()?;
    match plain.rank() {
        0 => report_until(&IS_OVER),
        _ => wait_for_release(),
    }
    // Rank 0 is inside of MPI, and polls for nobody.
    plain.barrier()?;
    IS_OVER.store(true, Ordering::Relaxed);
    drop(plain);
    runtime.finalize()?;
    Ok(())
}

/// What a rank does whose peer is gone.
fn survive(world: &Communicator) {
    let error = world.recv(&mut [0u8; 3], 1, Tag(7)).unwrap_err();
    let kinds = [ErrorKind::Timeout, ErrorKind::PeerLost];
    assert!(kinds.contains(&error.kind()), "{error}");
    let after = world.barrier().unwrap_err();
    assert!(kinds.contains(&after.kind()), "{after}");
    println!("survived: {:?}", error.kind());
}

fn survived(ended: &Ended) -> Result<(), String> {
    match ["Timeout", "PeerLost"]
        .iter()
        .any(|kind| ended.output.contains(&format!("survived: {kind}")))
    {
        true => Ok(()),
        false => Err(format!("no rank survived; the job ended with {}", ended.status)),
    }
}

fn a_peer_that_exits() -> Outcome {
    let runtime = Runtime::init()?;
    let world = runtime.world()?;
    world.barrier()?;
    if world.rank() == 1 {
        std::process::exit(0);
    }
    survive(&world);
    // The end of the survivor, which must not wait for the dead either.
    drop(runtime);
    Ok(())
}

fn a_peer_that_crashes() -> Outcome {
    let runtime = Runtime::init()?;
    let world = runtime.world()?;
    world.barrier()?;
    if world.rank() == 1 {
        std::process::abort();
    }
    survive(&world);
    drop(runtime);
    Ok(())
}

fn memory_that_mpi_holds_at_the_deadline() -> Outcome {
    let runtime = Runtime::init()?;
    let world = runtime.world()?;
    if world.rank() == 0 {
        let elements = vec![1u8; LONG];
        let outcome = loop {
            if let Err(error) = world.send(&elements, 1, Tag(3)) {
                break error;
            }
        };
        println!("returned with the memory lent: {outcome:?}");
        return Ok(());
    }
    let mut elements = vec![0u8; LONG];
    loop {
        let receiving = world.irecv(elements, 0, Tag(3));
        while !receiving.is_done() {
            // It has said GO, and does nothing more for the message until rank 0 ends the job.
            while format!("{receiving:?}").contains("the elements to be moved") {
                thread::sleep(Duration::from_secs(1));
            }
        }
        // All of it was done at once, and rank 0 sends another.
        elements = receiving.wait()?.0;
    }
}

fn a_panic_on_one_rank() -> Outcome {
    let runtime = Runtime::init()?;
    let world = runtime.world()?;
    if world.rank() == 1 {
        panic!("on purpose");
    }
    let _ = world.barrier();
    runtime.finalize()?;
    Ok(())
}
