//! Messages from `DeviceBuffer`s between processes: lent to the receiver, which copies them from where they are.

use std::sync::Arc;
use std::time::Duration;

use warpcomm::cudarc::driver::CudaStream;
use warpcomm::{Communicator, DeviceBuffer, ErrorKind, Op, Place, Tag};

use super::common::still_works;
use super::copies::expected_path;
use super::lifecycle::with_world;
use super::paths::{LENGTH, expect_path, given_up_by_its_receiver, message, stream};
use super::simulated::Simulated;
use crate::harness::{Failure, Outcome, Solo, Start};
use crate::oracle::{assert_same, vector};

pub const SOLOS: &[Solo] = &[
    Solo {
        name: "buffers_of_the_library_are_lent",
        start: Start::RanksWithGpus(3),
        environment: &[],
        program: || with_world(buffers_of_the_library_are_lent),
        release: None,
        expect: |ended| ended.check(true, &[]),
    },
    Solo {
        name: "a_lent_buffer_that_cannot_be_opened",
        start: Start::RanksWithGpus(2),
        environment: &[],
        program: || with_world(a_lent_buffer_that_cannot_be_opened),
        release: None,
        expect: |ended| ended.check(true, &[]),
    },
    Solo {
        name: "events_that_cannot_be_exported",
        start: Start::RanksWithGpus(3),
        environment: &[],
        program: || {
            with_world(|world| copies_without_events(world, 0, "ipc_get:3=2", "cannot export an event"))
        },
        release: None,
        expect: |ended| ended.check(true, &[]),
    },
    Solo {
        name: "events_that_cannot_be_opened",
        start: Start::RanksWithGpus(3),
        environment: &[],
        program: || {
            with_world(|world| copies_without_events(world, 1, "ipc_open:3=2", "cannot open an event"))
        },
        release: None,
        expect: |ended| ended.check(true, &[]),
    },
    Solo {
        name: "a_lent_buffer_that_nobody_wants",
        start: Start::RanksWithGpus(2),
        environment: &[],
        program: || with_world(a_lent_buffer_that_nobody_wants),
        release: None,
        expect: |ended| ended.check(true, &[]),
    },
    Solo {
        name: "a_copy_of_a_lent_buffer_that_is_given_up",
        start: Start::RanksWithGpus(2),
        environment: &[],
        program: || with_world(a_copy_of_a_lent_buffer_that_is_given_up),
        release: None,
        expect: |ended| ended.check(true, &[]),
    },
    Solo {
        name: "memory_that_was_lent_is_closed_and_freed",
        start: Start::RanksWithGpus(2),
        environment: &[],
        program: || with_world(memory_that_was_lent_is_closed_and_freed),
        release: None,
        expect: |ended| ended.check(true, &[]),
    },
];

/// Sends a buffer of the library's from rank 0 to rank 1.
fn lent_message(comm: &Communicator, stream: &Arc<CudaStream>, length: usize) -> Outcome {
    let sent = vector::<f32>(4, 0, length);
    match comm.rank() {
        0 => comm.send(&DeviceBuffer::from_slice(stream, &sent)?, 1, Tag(5))?,
        1 => {
            let mut found = DeviceBuffer::<f32>::zeros(stream, length)?;
            let status = comm.recv(&mut found, 0, Tag(5))?;
            assert_eq!(status.count(), length as u64);
            assert_same(&found.to_vec()?, &sent, || format!("{length} lent elements"));
        }
        _ => {}
    }
    Ok(())
}

fn buffers_of_the_library_are_lent(comm: &Communicator) -> Outcome {
    let stream = stream(comm)?;
    // Small ones share windows, large ones have their own; some are used again.
    for length in [0, 1, 1_500, LENGTH, 300_000, 3_000_000, LENGTH, 300_000] {
        lent_message(comm, &stream, length)?;
    }
    // A part of one, from a kernel's stream to another's, and back by a request.
    let mut own = DeviceBuffer::from_slice(&stream, &vector::<f32>(6, comm.rank(), LENGTH))?;
    let (next, previous) = (
        (comm.rank() + 1) % comm.size(),
        (comm.rank() + comm.size() - 1) % comm.size(),
    );
    let mut found = DeviceBuffer::<f32>::zeros(&stream, LENGTH)?;
    comm.sendrecv(&own.slice(7..50_007), next, Tag(1), &mut found, previous, Tag(1))?;
    assert_same(
        &found.to_vec()?[..50_000],
        &vector::<f32>(6, previous, LENGTH)[7..50_007],
        || "a part of a lent buffer".to_owned(),
    );
    let request = comm.irecv(found, next, Tag(2));
    comm.send(&own.slice(..), previous, Tag(2))?;
    let (found, _) = request.wait()?;
    assert_same(&found.to_vec()?, &vector::<f32>(6, next, LENGTH), || {
        "a whole lent buffer".to_owned()
    });
    for round in 0..4 {
        what_is_written_later_does_not_travel(comm, &stream, round)?;
    }
    stream.memset_zeros(&mut own)?;
    assert_eq!(own.to_vec()?, vec![0.0; LENGTH]);
    let mut sums = DeviceBuffer::from_slice(&stream, &vec![1.0f32; LENGTH])?;
    comm.allreduce_in_place(&mut sums, Op::Sum)?;
    assert_eq!(sums.to_vec()?, vec![comm.size() as f32; LENGTH]);
    still_works(comm)
}

/// What is written after a send has returned does not travel: not even at the end, which is copied last. How often the
/// send of this rank has had a stream wait for something.
fn what_is_written_later_does_not_travel(
    comm: &Communicator,
    stream: &Arc<CudaStream>,
    round: u8,
) -> Result<u64, Failure> {
    const LONG: usize = 24 << 20;
    let driver = Simulated::load()?;
    let mut waits = 0;
    for from in 0..comm.size() {
        let to = (from + 1) % comm.size();
        if comm.rank() == from {
            let mut bytes = DeviceBuffer::from_slice(stream, &vec![round; LONG])?;
            let before = driver.count("wait");
            comm.send(&bytes, to, Tag(3))?;
            waits = driver.count("wait") - before;
            stream.memset_zeros(&mut bytes.try_slice_mut(LONG - 4096..).expect("as many"))?;
            stream.synchronize()?;
        } else if comm.rank() == to {
            let mut received = DeviceBuffer::<u8>::zeros(stream, LONG)?;
            comm.recv(&mut received, from, Tag(3))?;
            assert!(received.to_vec()? == vec![round; LONG], "round {round}");
        }
        comm.barrier()?;
    }
    Ok(waits)
}

fn copies_without_events(comm: &Communicator, rank: usize, fault: &str, reason: &str) -> Outcome {
    let stream = stream(comm)?;
    let driver = Simulated::load()?;
    if comm.rank() == rank {
        driver.set(fault);
    }
    message(comm, [0, 1], [Place::Device; 2])?;
    assert_eq!(driver.fired(), u64::from(comm.rank() == rank));
    if comm.rank() == 0 {
        expect_path(comm, 1, expected_path(comm), reason);
    }
    let mut waits = 0;
    for round in 0..3 {
        waits = what_is_written_later_does_not_travel(comm, &stream, round)?;
    }
    // Other pairs have events: one stream more waits, that of the lent elements for their copy.
    let mut all = vec![0; comm.size()];
    comm.allgather(&[waits], &mut all)?;
    assert!(
        all[1..].iter().all(|&with_event| with_event == all[0] + 1),
        "{all:?}"
    );
    lent_message(comm, &stream, LENGTH)?;
    still_works(comm)
}

fn a_lent_buffer_that_cannot_be_opened(comm: &Communicator) -> Outcome {
    let stream = stream(comm)?;
    message(comm, [0, 1], [Place::Device; 2])?;
    let driver = Simulated::load()?;
    if comm.rank() == 1 {
        driver.set("ipc_open:1=2");
    }
    lent_message(comm, &stream, LENGTH)?;
    assert_eq!(driver.fired(), u64::from(comm.rank() == 1));
    lent_message(comm, &stream, LENGTH)?;
    if comm.rank() == 0 {
        driver.set("ipc_get:1=2");
    }
    lent_message(comm, &stream, 3 * LENGTH)?;
    lent_message(comm, &stream, 3 * LENGTH)?;
    still_works(comm)
}

fn a_lent_buffer_that_nobody_wants(comm: &Communicator) -> Outcome {
    let stream = stream(comm)?;
    message(comm, [0, 1], [Place::Device; 2])?;
    let buffer = DeviceBuffer::<f32>::zeros(&stream, LENGTH)?;
    given_up_by_its_receiver(comm, &stream, buffer)?;
    for length in [LENGTH, 2 * LENGTH] {
        lent_message(comm, &stream, length)?;
    }
    message(comm, [0, 1], [Place::Device; 2])?;
    still_works(comm)
}

/// A message is given up while its copy runs; the sender has its buffer again afterwards.
fn a_copy_of_a_lent_buffer_that_is_given_up(comm: &Communicator) -> Outcome {
    const LONG: usize = 256 << 20;
    // Where the deadline has not passed before the copy was over.
    const ATTEMPTS: usize = 10;
    let (stream, driver) = (stream(comm)?, Simulated::load()?);
    message(comm, [0, 1], [Place::Device; 2])?;
    let mut buffer = DeviceBuffer::<u8>::zeros(&stream, LONG)?;
    for _ in 0..ATTEMPTS {
        let doomed = comm.duplicate()?;
        let mut is_given_up = [false];
        if comm.rank() == 0 {
            doomed.send(&buffer, 1, Tag(0))?;
        } else {
            let impatient = doomed.with_timeout(Some(Duration::from_millis(1)));
            let before = driver.count("copy");
            let outcome = impatient.scope(|scope| {
                let receive = scope.irecv(&mut buffer, 0, Tag(0))?;
                while driver.count("copy") == before {
                    assert!(!receive.is_done());
                }
                Ok(())
            });
            is_given_up = [outcome.is_err()];
            outcome.or_else(|error| match error.kind() {
                ErrorKind::Timeout => Ok(()),
                _ => Err(error),
            })?;
        }
        comm.bcast(&mut is_given_up, 1)?;
        if is_given_up[0] {
            break;
        }
    }
    lent_message(comm, &stream, LENGTH)?;
    still_works(comm)
}

fn memory_that_was_lent_is_closed_and_freed(comm: &Communicator) -> Outcome {
    const WINDOWS: usize = 40;
    let stream = stream(comm)?;
    message(comm, [0, 1], [Place::Device; 2])?;
    let driver = Simulated::load()?;
    let before = driver.count("device_allocations");
    // No two are of one size, so that none is used again.
    for megabytes in (1..=WINDOWS).map(|window| 2 * window) {
        let mut buffer = DeviceBuffer::<u8>::zeros(&stream, megabytes << 20)?;
        match comm.rank() {
            0 => comm.send(&buffer, 1, Tag(0))?,
            _ => drop(comm.recv(&mut buffer, 0, Tag(0))?),
        }
        drop(buffer);
        comm.barrier()?;
    }
    // At most 64 MiB are kept, beside what the receiver has not closed yet.
    let live = [
        driver.count("device_allocations").saturating_sub(before),
        driver.count("ipc_handles"),
    ];
    assert!(live.iter().all(|&count| count < 10), "{live:?}");
    still_works(comm)
}
