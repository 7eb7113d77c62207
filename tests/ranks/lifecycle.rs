//! The beginning and the end of jobs: initialization, finalization, ranks that die, deadlines, hang reports.

use std::thread;
use std::time::Duration;

use warpcomm::{Communicator, Config, ErrorKind, Op, Runtime, Tag, ThreadLevel};

use super::common::still_works;
use crate::harness::{
    Failure, Outcome, Solo, Start, expect_error, expect_text, solo_directory, wait_for_file, wait_for_release,
};

/// More than any message that travels in an envelope, and than MPI takes without its receiver.
const LONG: usize = 64 << 20;

pub const SOLOS: &[Solo] = &[
    Solo {
        name: "without_a_launcher",
        start: Start::Alone,
        environment: &[],
        program: without_a_launcher,
        release: None,
        expect: |ended| ended.check(true, &["one rank"]),
    },
    Solo {
        name: "initialized_once",
        start: Start::Alone,
        environment: &[],
        program: initialized_once,
        release: None,
        expect: |ended| ended.check(true, &["refused twice"]),
    },
    Solo {
        name: "a_variable_that_cannot_be_read",
        start: Start::Alone,
        environment: &[("WARPCOMM_TIMEOUT", "soon")],
        program: a_variable_that_cannot_be_read,
        release: None,
        expect: |ended| ended.check(true, &["refused: WARPCOMM_TIMEOUT=soon"]),
    },
    Solo {
        name: "world_is_one_communicator",
        start: Start::Ranks(3),
        environment: &[],
        program: world_is_one_communicator,
        release: None,
        expect: |ended| ended.check(true, &[]),
    },
    Solo {
        name: "settings_that_differ",
        start: Start::Ranks(3),
        environment: &[],
        program: settings_that_differ,
        release: None,
        expect: |ended| ended.check(true, &["rank 0 refuses", "rank 1 refuses", "rank 2 refuses"]),
    },
    Solo {
        name: "threads_where_mpi_allows_one",
        start: Start::Ranks(2),
        environment: &[("WARPCOMM_THREAD_LEVEL", "funneled")],
        program: threads_where_mpi_allows_one,
        release: None,
        expect: |ended| ended.check(true, &["rank 0 refused", "rank 1 refused"]),
    },
    Solo {
        name: "every_thread_level",
        start: Start::Ranks(2),
        environment: &[("WARPCOMM_THREAD_LEVEL", "single")],
        program: || with_world(still_works),
        release: None,
        expect: |ended| ended.check(true, &[]),
    },
    Solo {
        name: "finalized_with_operations_pending",
        start: Start::Ranks(2),
        environment: &[],
        program: finalized_with_operations_pending,
        release: None,
        expect: |ended| ended.check(true, &["refused: ", "irecv from rank 0, tag 5"]),
    },
    Solo {
        name: "communicators_that_outlive_mpi",
        start: Start::Ranks(2),
        environment: &[],
        program: communicators_that_outlive_mpi,
        release: None,
        expect: |ended| ended.check(true, &[]),
    },
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
                    "warpcomm: rank 0 has waited for 1",
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
                    "warpcomm: rank 0 has waited for 0.",
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
        expect: survived,
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
                    "warpcomm: rank 0 has waited for 1",
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

/// Runs a case on the world of this process.
fn with_world(case: fn(&Communicator) -> Outcome) -> Outcome {
    let runtime = Runtime::init()?;
    case(&runtime.world()?)?;
    runtime.finalize()?;
    Ok(())
}

fn without_a_launcher() -> Outcome {
    with_world(|world| {
        assert_eq!((world.rank(), world.size()), (0, 1));
        still_works(world)?;
        println!("one rank");
        Ok(())
    })
}

fn initialized_once() -> Outcome {
    let runtime = Runtime::init()?;
    expect_error(Runtime::init(), ErrorKind::InvalidArgument);
    assert!(!runtime.library_version().is_empty());
    runtime.finalize()?;
    expect_error(Runtime::init(), ErrorKind::InvalidArgument);
    println!("refused twice");
    Ok(())
}

fn a_variable_that_cannot_be_read() -> Outcome {
    println!(
        "refused: {}",
        expect_error(Runtime::init(), ErrorKind::InvalidArgument)
    );
    Ok(())
}

fn world_is_one_communicator() -> Outcome {
    let runtime = Runtime::init()?;
    let world = runtime.world()?;
    // Not collective any more, so that one rank may ask alone.
    let again = if world.rank() == 1 {
        runtime.world()?
    } else {
        world.clone()
    };
    still_works(&again)?;
    still_works(&world)?;
    runtime.finalize()?;
    Ok(())
}

/// The rank, as the launcher tells it before MPI is initialized.
fn rank_by_launcher() -> Result<usize, Failure> {
    let variables = ["OMPI_COMM_WORLD_RANK", "PMI_RANK", "PMIX_RANK"];
    let rank = variables.into_iter().find_map(|name| std::env::var(name).ok());
    rank.and_then(|rank| rank.parse().ok())
        .ok_or_else(|| Failure("the launcher does not tell the rank".to_owned()))
}

fn settings_that_differ() -> Outcome {
    let rank = rank_by_launcher()?;
    let limit = if rank == 1 { 100 } else { 4000 };
    let runtime = Runtime::init_with(&Config::default().eager_limit(limit))?;
    let error = expect_error(runtime.world(), ErrorKind::Mismatch);
    println!("rank {rank} refuses: {error}");
    runtime.finalize()?;
    Ok(())
}

fn threads_where_mpi_allows_one() -> Outcome {
    let runtime = Runtime::init()?;
    assert_eq!(runtime.thread_level(), ThreadLevel::Funneled);
    let world = runtime.world()?;
    still_works(&world)?;
    thread::scope(|scope| {
        let elsewhere = scope.spawn(|| -> Outcome {
            expect_error(world.barrier(), ErrorKind::Unsupported);
            expect_error(world.send(&[1u8], 0, Tag(0)), ErrorKind::Unsupported);
            expect_error(world.recv(&mut [1u8], 0, Tag(0)), ErrorKind::Unsupported);
            expect_error(world.duplicate(), ErrorKind::Unsupported);
            let (error, buffer) = world.isend(vec![1u8], 0, Tag(0)).wait().unwrap_err().into_parts();
            assert_eq!((error.kind(), buffer), (ErrorKind::Unsupported, Some(vec![1])));
            println!("rank {} refused: {error}", world.rank());
            Ok(())
        });
        elsewhere
            .join()
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })?;
    // Messages go on without a thread in the background.
    let peer = 1 - world.rank();
    let sending = world.isend(vec![world.rank() as u32; 50_000], peer, Tag(0));
    let receiving = world.irecv(vec![9u32; 50_000], peer, Tag(0));
    world.barrier()?;
    assert_eq!(receiving.wait()?.0, vec![peer as u32; 50_000]);
    sending.wait()?;
    still_works(&world)?;
    runtime.finalize()?;
    Ok(())
}

fn finalized_with_operations_pending() -> Outcome {
    let runtime = Runtime::init()?;
    let world = runtime.world()?;
    match world.rank() {
        0 => runtime.finalize()?,
        _ => {
            drop(world.irecv(vec![0u8; 9], 0, Tag(5)));
            let error = expect_error(runtime.finalize(), ErrorKind::InvalidArgument);
            println!("refused: {error}");
        }
    }
    Ok(())
}

fn communicators_that_outlive_mpi() -> Outcome {
    let runtime = Runtime::init()?;
    let world = runtime.world()?;
    let twin = world.duplicate()?;
    runtime.finalize()?;
    for comm in [&world, &twin] {
        expect_error(comm.barrier(), ErrorKind::InvalidArgument);
        expect_error(comm.send(&[1u8], 0, Tag(0)), ErrorKind::InvalidArgument);
        expect_error(
            comm.irecv(vec![1u8], 0, Tag(0)).wait(),
            ErrorKind::InvalidArgument,
        );
        expect_error(comm.duplicate(), ErrorKind::InvalidArgument);
    }
    Ok(())
}

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

/// What a rank does whose peer is gone.
fn survive(world: &Communicator) {
    let error = world.recv(&mut [0u8; 3], 1, Tag(7)).unwrap_err();
    let kinds = [ErrorKind::Timeout, ErrorKind::PeerLost];
    assert!(kinds.contains(&error.kind()), "{error}");
    let after = world.barrier().unwrap_err();
    assert!(kinds.contains(&after.kind()), "{after}");
    println!("survived: {:?}", error.kind());
}

fn survived(ended: &crate::harness::Ended) -> Result<(), String> {
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
        let outcome = world.send(&vec![1u8; LONG], 1, Tag(3));
        println!("returned with the memory lent: {outcome:?}");
        return Ok(());
    }
    // Says GO, and then does nothing more for the message.
    let receiving = world.irecv(vec![0u8; LONG], 0, Tag(3));
    while !format!("{receiving:?}").contains("the elements to be moved") {
        assert!(!receiving.is_done());
    }
    // Until rank 0 ends the job.
    loop {
        thread::sleep(Duration::from_secs(1));
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
