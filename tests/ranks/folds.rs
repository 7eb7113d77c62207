//! Reductions by kernels that reach the elements of other processes, and what takes their place where they cannot.

use std::time::Duration;

use warpcomm::{Communicator, DeviceBuffer, ErrorKind, Op};

use super::common::still_works;
use super::device::Gate;
use super::lifecycle::with_world;
use super::neighbours::nothing_moves_but_by_a_kernel_of_each;
use super::paths::{LENGTH, on_nodes, stream};
use super::simulated::Simulated;
use crate::harness::{Failure, Outcome, Solo, Start};

pub const SOLOS: &[Solo] = &[
    Solo {
        name: "folds_where_ipc_between_gpus_is_all_there_is",
        start: Start::RanksWithGpus(2),
        environment: &[("WARPCOMM_PATHS", "peer-gpu-ipc")],
        program: || with_world(nothing_moves_but_by_a_kernel_of_each),
        release: None,
        expect: |ended| ended.check(true, &[]),
    },
    Solo {
        name: "a_leader_that_cannot_open_what_is_lent",
        start: Start::RanksWithGpus(3),
        environment: &[],
        program: || with_world(|world| a_fold_without_a_leader(world, 0, "ipc_open:1=2")),
        release: None,
        expect: |ended| ended.check(true, &[]),
    },
    Solo {
        name: "a_leader_that_lacks_what_is_shared",
        start: Start::RanksWithGpus(3),
        environment: &[],
        program: || with_world(a_leader_that_lacks_what_is_shared),
        release: None,
        expect: |ended| ended.check(true, &[]),
    },
    Solo {
        name: "a_rank_that_cannot_lend_to_its_leader",
        start: Start::RanksWithGpus(3),
        environment: &[],
        program: || with_world(|world| a_fold_without_a_leader(world, 1, "ipc_get:1=2")),
        release: None,
        expect: |ended| ended.check(true, &[]),
    },
    Solo {
        name: "memory_that_was_lent_to_a_leader_is_closed_and_freed",
        start: Start::RanksWithGpus(3),
        environment: &[],
        program: || with_world(memory_that_was_lent_to_a_leader_is_closed_and_freed),
        release: None,
        expect: |ended| ended.check(true, &[]),
    },
    Solo {
        name: "a_fold_that_is_given_up",
        start: Start::RanksWithGpus(3),
        environment: &[],
        program: || with_world(a_fold_that_is_given_up),
        release: None,
        expect: |ended| ended.check(true, &[]),
    },
    Solo {
        name: "a_rank_that_has_lent_nothing_gives_up",
        start: Start::RanksWithGpus(3),
        environment: &[],
        program: || with_world(a_rank_that_has_lent_nothing_gives_up),
        release: None,
        expect: |ended| ended.check(true, &[]),
    },
    Solo {
        name: "a_fold_of_all_that_is_given_up",
        start: Start::RanksWithGpus(2),
        environment: &[],
        program: || with_world(a_fold_of_all_that_is_given_up),
        release: None,
        expect: |ended| ended.check(true, &[]),
    },
    Solo {
        name: "a_leader_on_another_node",
        start: Start::RanksWithGpus(3),
        environment: &[],
        program: || on_nodes(&["left", "right", "left"], a_leader_on_another_node),
        release: None,
        expect: |ended| ended.check(true, &[]),
    },
];

/// The sum over the ranks of buffers that one kernel could reach, and how many kernels this rank has started.
fn summed(comm: &Communicator, length: usize) -> Result<u64, Failure> {
    let (stream, driver) = (stream(comm)?, Simulated::load()?);
    let mut sums = DeviceBuffer::from_slice(&stream, &vec![1 + comm.rank() as u32; length])?;
    let before = driver.count("launch");
    comm.allreduce_in_place(&mut sums, Op::Sum)?;
    let launches = driver.count("launch") - before;
    let ranks = comm.size() as u32;
    assert_eq!(sums.to_vec()?, vec![ranks * (ranks + 1) / 2; length]);
    Ok(launches)
}

/// Whether one kernel, of rank 0, has folded for all.
fn is_led(comm: &Communicator, launches: u64) -> bool {
    launches == u64::from(comm.rank() == 0)
}

fn a_fold_without_a_leader(comm: &Communicator, rank: usize, fault: &str) -> Outcome {
    comm.device()?.bind_to_thread()?;
    let driver = Simulated::load()?;
    if comm.rank() == rank {
        driver.set(fault);
    }
    // All of them take another way, and each folds a block.
    assert_eq!(summed(comm, LENGTH)?, 1);
    assert_eq!(driver.fired(), u64::from(comm.rank() == rank));
    driver.set("");
    for length in [LENGTH, 2 * LENGTH, LENGTH] {
        let launches = summed(comm, length)?;
        // Who could not open something tries no more.
        assert_eq!(
            is_led(comm, launches),
            comm.rank() == 0 || rank == 1,
            "{launches}"
        );
    }
    // It was rank 1 whose memory rank 0 could not open.
    let without = comm.split(Some((comm.rank() % 2) as u32), 0)?;
    let without = without.ok_or_else(|| Failure("no part".to_owned()))?;
    if without.size() > 1 {
        let launches = summed(&without, LENGTH)?;
        assert!(is_led(&without, launches), "{launches}");
    }
    still_works(comm)
}

fn a_leader_that_lacks_what_is_shared(comm: &Communicator) -> Outcome {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

    let launches = summed(comm, LENGTH)?;
    assert!(is_led(comm, launches), "{launches}");
    // The leader cannot take a file, which is how it gets the memory that the others share with it.
    let limit = getrlimit(Resource::Nofile);
    let few = Rlimit {
        current: Some(0),
        maximum: limit.maximum,
    };
    let limited = |limit| match comm.rank() {
        0 => setrlimit(Resource::Nofile, limit).map_err(|error| Failure(error.to_string())),
        _ => Ok(()),
    };
    limited(few)?;
    let launches = summed(comm, LENGTH);
    limited(limit)?;
    // Each folds a block.
    assert_eq!(launches?, 1);
    // They share other memory from now on.
    for _ in 0..3 {
        let launches = summed(comm, LENGTH)?;
        assert!(is_led(comm, launches), "{launches}");
    }
    still_works(comm)
}

fn a_leader_on_another_node(comm: &Communicator) -> Outcome {
    assert_eq!(summed(comm, LENGTH)?, 1);
    // The leader is rank 0 of a communicator, and the others of its node are led.
    let node = comm.split(Some((comm.rank() % 2) as u32), 0)?;
    let node = node.ok_or_else(|| Failure("no part".to_owned()))?;
    if node.size() > 1 {
        let launches = summed(&node, LENGTH)?;
        assert!(is_led(&node, launches), "{launches}");
    }
    still_works(comm)
}

fn memory_that_was_lent_to_a_leader_is_closed_and_freed(comm: &Communicator) -> Outcome {
    const WINDOWS: usize = 20;
    let stream = stream(comm)?;
    let driver = Simulated::load()?;
    // Finds out how, and shares memory.
    for _ in 0..2 {
        summed(comm, LENGTH)?;
    }
    let before = driver.count("device_allocations");
    // No two are of one size, so that none is used again.
    for megabytes in (1..=WINDOWS).map(|window| 4 * window) {
        let mut buffer = DeviceBuffer::<u8>::zeros(&stream, megabytes << 20)?;
        let mut part = buffer
            .try_slice_mut(..LENGTH)
            .ok_or_else(|| Failure("no part".to_owned()))?;
        comm.allreduce_in_place(&mut part, Op::Max)?;
        drop(buffer);
        comm.barrier()?;
    }
    // At most 64 MiB are kept, beside what the leader has not closed yet, of two ranks.
    let live = [
        driver.count("device_allocations").saturating_sub(before),
        driver.count("ipc_handles"),
    ];
    assert!(live[0] < 10 && live[1] < 20, "{live:?}");
    still_works(comm)
}

fn a_fold_that_is_given_up(comm: &Communicator) -> Outcome {
    is_given_up(comm, is_led)
}

fn a_fold_of_all_that_is_given_up(comm: &Communicator) -> Outcome {
    // Each rank has a kernel, and there are no copies.
    is_given_up(comm, |_, launches| launches == 1)?;
    let driver = Simulated::load()?;
    let before = driver.count("bytes_to_host");
    summed(comm, LENGTH)?;
    assert_eq!(driver.count("bytes_to_host") - before, 4 * LENGTH as u64);
    Ok(())
}

/// Gives up folds for which a rank is late, and goes on as `is_folded` says of the kernels that were started.
fn is_given_up(comm: &Communicator, is_folded: fn(&Communicator, u64) -> bool) -> Outcome {
    let stream = stream(comm)?;
    summed(comm, LENGTH)?;
    for late in 0..2 {
        let doomed = comm.duplicate()?.with_timeout(Some(Duration::from_secs(2)));
        let mut buffer = DeviceBuffer::<f32>::zeros(&stream, LENGTH)?;
        let gate = Gate::default();
        if comm.rank() == late {
            // SAFETY: the gate lives until the stream was waited for.
            unsafe { gate.stop(&stream) }?;
        }
        // The first whose time is up fails the others.
        let outcome = doomed.allreduce_in_place(&mut buffer, Op::Sum);
        gate.open();
        stream.synchronize()?;
        match outcome {
            Err(error) if [ErrorKind::Timeout, ErrorKind::PeerFailed].contains(&error.kind()) => {}
            other => panic!("{other:?}"),
        }
        comm.barrier()?;
        let launches = summed(comm, LENGTH)?;
        assert!(is_folded(comm, launches), "{launches}");
    }
    still_works(comm)
}

fn a_rank_that_has_lent_nothing_gives_up(comm: &Communicator) -> Outcome {
    let (stream, driver) = (stream(comm)?, Simulated::load()?);
    let doomed = comm.duplicate()?.with_timeout(Some(Duration::from_secs(2)));
    let mut buffer = DeviceBuffer::<f32>::zeros(&stream, LENGTH)?;
    let gate = Gate::default();
    stream.synchronize()?;
    comm.barrier()?;
    let request = match comm.rank() {
        1 => {
            driver.set("ipc_get:1=2");
            // The leader does not answer, but it has nothing of this rank: nobody has to wait for it, and no memory is held.
            let outcome = doomed.allreduce_in_place(&mut buffer, Op::Sum);
            driver.set("");
            assert_eq!(outcome.map_err(|error| error.kind()), Err(ErrorKind::Timeout));
            None
        }
        rank => {
            if rank == 0 {
                // SAFETY: the gate lives until the stream was waited for.
                unsafe { gate.stop(&stream) }?;
            }
            Some(doomed.iallreduce_in_place(buffer, Op::Sum))
        }
    };
    let together = comm.barrier();
    gate.open();
    stream.synchronize()?;
    together?;
    if let Some(request) = request {
        // Rank 1 has left.
        let kind = request.wait().map(drop).map_err(|failed| failed.error().kind());
        assert_eq!(kind, Err(ErrorKind::Timeout));
    }
    still_works(comm)
}
