//! The beginning and the end of jobs: initialization, settings, thread levels, finalization.

use std::thread;

use warpcomm::{Communicator, Config, ErrorKind, Runtime, Tag, ThreadLevel};

use super::common::still_works;
use crate::harness::{Failure, Outcome, Solo, Start, expect_error, wait_for_release};

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
        name: "the_lowest_thread_level",
        start: Start::Ranks(2),
        environment: &[("WARPCOMM_THREAD_LEVEL", "single")],
        program: || with_world(still_works),
        release: None,
        expect: |ended| ended.check(true, &[]),
    },
    Solo {
        name: "the_serialized_thread_level",
        start: Start::Ranks(2),
        environment: &[("WARPCOMM_THREAD_LEVEL", "serialized")],
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
        name: "plain_worlds_are_one_communicator",
        start: Start::Ranks(2),
        environment: &[],
        program: plain_worlds_are_one_communicator,
        release: None,
        expect: |ended| ended.check(true, &[]),
    },
    Solo {
        name: "a_buffered_send_goes_on_while_mpi_ends",
        start: Start::Ranks(2),
        environment: &[],
        program: a_buffered_send_goes_on_while_mpi_ends,
        release: None,
        expect: |ended| ended.check(true, &["all of it has come"]),
    },
    Solo {
        name: "a_barrier_where_others_finalize",
        start: Start::Ranks(3),
        environment: &[],
        program: a_barrier_where_others_finalize,
        release: None,
        expect: |ended| ended.check(true, &["rank 0 was told", "rank 1 was told", "rank 2 was told"]),
    },
    Solo {
        name: "finalized_while_another_thread_waits",
        start: Start::Alone,
        environment: &[("WARPCOMM_HANG_REPORT", "0.2")],
        program: finalized_while_another_thread_waits,
        release: Some("recv from rank 0, tag 3"),
        expect: |ended| ended.check(true, &["1 calls on other threads", "the receive has ended"]),
    },
    Solo {
        name: "finalized_on_a_thread_that_mpi_forbids",
        start: Start::Alone,
        environment: &[("WARPCOMM_THREAD_LEVEL", "funneled")],
        program: finalized_on_a_thread_that_mpi_forbids,
        release: None,
        expect: |ended| ended.check(true, &["refused, and MPI goes on"]),
    },
    Solo {
        name: "a_withdrawn_send_at_the_end",
        start: Start::Ranks(2),
        environment: &[],
        program: a_withdrawn_send_at_the_end,
        release: None,
        expect: |ended| ended.check(true, &[]),
    },
    Solo {
        name: "communicators_that_outlive_mpi",
        start: Start::Ranks(2),
        environment: &[],
        program: communicators_that_outlive_mpi,
        release: None,
        expect: |ended| ended.check(true, &[]),
    },
];

/// Runs a case on the world of this process.
pub fn with_world(case: fn(&Communicator) -> Outcome) -> Outcome {
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

fn plain_worlds_are_one_communicator() -> Outcome {
    let runtime = Runtime::init()?;
    let (one, other) = (runtime.world_plain()?, runtime.world_plain()?);
    let peer = 1 - one.rank();
    // What one receive waits for is not taken by a look on behalf of another.
    let receive = one.irecv(vec![0u8; 1], peer, Tag(1));
    assert!(other.iprobe(peer, Tag(2))?.is_none());
    // Both have looked before either sends.
    one.barrier()?;
    other.send(&[5u8], peer, Tag(1))?;
    other.send(&[6u8], peer, Tag(2))?;
    let mut second = [0u8];
    other.recv(&mut second, peer, Tag(2))?;
    assert_eq!((receive.wait()?.0, second), (vec![5], [6]));
    drop((one, other));
    runtime.finalize()?;
    Ok(())
}

/// As MPI_Finalize would wait for it.
fn a_buffered_send_goes_on_while_mpi_ends() -> Outcome {
    let runtime = Runtime::init()?;
    let world = runtime.world_plain()?;
    if world.rank() == 0 {
        world.bsend(&vec![5u32; 1_000_000], 1, Tag(0))?;
    } else {
        let mut received = vec![0u32; 1_000_000];
        world.recv(&mut received, 0, Tag(0))?;
        assert_eq!(received, vec![5; 1_000_000]);
        println!("all of it has come");
    }
    drop(world);
    runtime.finalize()?;
    Ok(())
}

/// The rank, as the launcher tells it before MPI is initialized.
pub fn rank_by_launcher() -> Result<usize, Failure> {
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

fn a_barrier_where_others_finalize() -> Outcome {
    let runtime = Runtime::init()?;
    let world = runtime.world()?;
    if world.rank() == 1 {
        let error = expect_error(world.barrier(), ErrorKind::Mismatch);
        println!("rank 1 was told: {error}");
        // Now it comes, too, and the others have waited for it.
        runtime.finalize()?;
    } else {
        let error = expect_error(runtime.finalize(), ErrorKind::Mismatch);
        println!("rank {} was told: {error}", world.rank());
    }
    expect_error(world.barrier(), ErrorKind::InvalidArgument);
    Ok(())
}

fn finalized_while_another_thread_waits() -> Outcome {
    let runtime = Runtime::init()?;
    let world = runtime.world()?;
    thread::scope(|scope| {
        let waiting = scope.spawn(|| {
            expect_error(world.recv(&mut [0u8], 0, Tag(3)), ErrorKind::InvalidArgument);
            println!("the receive has ended");
        });
        // Its hang report shows that it waits.
        wait_for_release();
        let error = expect_error(runtime.finalize(), ErrorKind::InvalidArgument);
        println!("refused: {error}");
        waiting
            .join()
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    });
    Ok(())
}

fn finalized_on_a_thread_that_mpi_forbids() -> Outcome {
    let runtime = Runtime::init()?;
    let world = runtime.world()?;
    let refused = thread::spawn(move || expect_error(runtime.finalize(), ErrorKind::Unsupported)).join();
    refused.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    still_works(&world)?;
    println!("refused, and MPI goes on");
    Ok(())
}

fn a_withdrawn_send_at_the_end() -> Outcome {
    with_world(|world| {
        if world.rank() == 0 {
            let long = vec![1u8; 100_000];
            let outcome = world.scope(|scope| -> warpcomm::Result<()> {
                scope.isend(&long, 1, Tag(4))?;
                world.recv(&mut [0u8; 1], 9, Tag(0)).map(drop)
            });
            expect_error(outcome, ErrorKind::InvalidArgument);
        }
        // Rank 1 never receives it; what is left of the send must not keep the job from ending.
        Ok(())
    })
}
