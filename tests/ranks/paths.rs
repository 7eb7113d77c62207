//! Which path long messages take between processes, and why: found out with the first of them.

use std::sync::Arc;
use std::time::Duration;

use warpcomm::cudarc::driver::CudaStream;
use warpcomm::{Communicator, Config, ErrorKind, OwnedBufferMut, Path, Place, Runtime, Tag, pinned_usage};

use super::common::still_works;
use super::device::Gate;
use super::lifecycle::{rank_by_launcher, with_world};
use super::simulated::Simulated;
use crate::harness::{Failure, NO_PEERS, Outcome, Solo, Start, expect_error, expect_text};
use crate::oracle::{assert_same, vector};

pub const SOLOS: &[Solo] = &[
    Solo {
        name: "a_path_is_found_out_and_kept",
        start: Start::RanksWithGpus(3),
        environment: &[NO_IPC],
        program: || with_world(a_path_is_found_out_and_kept),
        release: None,
        expect: |ended| ended.check(true, &[]),
    },
    Solo {
        name: "ranks_of_different_nodes",
        start: Start::RanksWithGpus(3),
        environment: &[],
        program: || on_nodes(&["left", "right", "left"], ranks_of_different_nodes),
        release: None,
        expect: |ended| ended.check(true, &[]),
    },
    Solo {
        name: "a_path_that_is_forced_and_cannot_be_used",
        start: Start::RanksWithGpus(2),
        environment: &[("WARPCOMM_PATHS", "shared-pinned")],
        program: || on_nodes(&["left", "right"], a_path_that_is_forced_and_cannot_be_used),
        release: None,
        expect: |ended| ended.check(true, &[]),
    },
    Solo {
        name: "memory_that_the_sender_cannot_lock",
        start: Start::RanksWithGpus(2),
        environment: &[NO_IPC],
        program: || with_world(|world| memory_that_cannot_be_locked(world, 0)),
        release: None,
        expect: |ended| ended.check(true, &[]),
    },
    Solo {
        name: "memory_that_the_receiver_cannot_lock",
        start: Start::RanksWithGpus(2),
        environment: &[NO_IPC],
        program: || with_world(|world| memory_that_cannot_be_locked(world, 1)),
        release: None,
        expect: |ended| ended.check(true, &[]),
    },
    Solo {
        name: "messages_that_are_first_at_the_same_time",
        start: Start::RanksWithGpus(2),
        environment: &[],
        program: || with_world(messages_that_are_first_at_the_same_time),
        release: None,
        expect: |ended| ended.check(true, &[]),
    },
    Solo {
        name: "messages_that_are_first_at_the_same_time_in_pinned_memory",
        start: Start::RanksWithGpus(2),
        environment: &[NO_IPC],
        program: || with_world(messages_that_are_first_at_the_same_time),
        release: None,
        expect: |ended| ended.check(true, &[]),
    },
    Solo {
        name: "a_first_message_that_is_withdrawn",
        start: Start::RanksWithGpus(2),
        environment: &[],
        program: || with_world(a_first_message_that_is_withdrawn),
        release: None,
        expect: |ended| ended.check(true, &[]),
    },
    Solo {
        name: "a_first_message_that_is_withdrawn_in_pinned_memory",
        start: Start::RanksWithGpus(2),
        environment: &[NO_IPC],
        program: || with_world(a_first_message_that_is_withdrawn),
        release: None,
        expect: |ended| ended.check(true, &[]),
    },
    Solo {
        name: "pieces_that_nobody_wants",
        start: Start::RanksWithGpus(2),
        environment: &[],
        program: || with_world(pieces_that_nobody_wants),
        release: None,
        expect: |ended| ended.check(true, &[]),
    },
    Solo {
        name: "pieces_that_nobody_wants_in_pinned_memory",
        start: Start::RanksWithGpus(2),
        environment: &[NO_IPC],
        program: || with_world(pieces_that_nobody_wants),
        release: None,
        expect: |ended| ended.check(true, &[]),
    },
    Solo {
        name: "paths_leave_no_files_open",
        start: Start::RanksWithGpus(3),
        environment: &[],
        program: || with_world(paths_leave_no_files_open),
        release: None,
        expect: |ended| ended.check(true, &[]),
    },
    Solo {
        name: "ipc_of_one_gpu",
        start: Start::RanksWithGpus(3),
        environment: &[],
        program: || with_world(|world| ipc_and_what_it_is_not_for(world, Path::SameGpuIpc, "use one GPU")),
        release: None,
        expect: |ended| ended.check(true, &[]),
    },
    Solo {
        name: "ipc_between_gpus",
        start: Start::RanksWithGpus(2),
        environment: &[],
        program: || {
            with_world(|world| ipc_and_what_it_is_not_for(world, Path::PeerGpuIpc, "reaches the other's"))
        },
        release: None,
        expect: |ended| ended.check(true, &[]),
    },
    Solo {
        name: "gpus_without_peer_access",
        start: Start::RanksWithGpus(2),
        environment: &[NO_PEERS],
        program: || with_world(gpus_without_peer_access),
        release: None,
        expect: |ended| ended.check(true, &[]),
    },
    Solo {
        name: "memory_that_cannot_be_exported",
        start: Start::RanksWithGpus(2),
        environment: &[],
        program: || with_world(|world| a_window_that_cannot_be_had(world, 0, "ipc_get:1=2", "cannot export")),
        release: None,
        expect: |ended| ended.check(true, &[]),
    },
    Solo {
        name: "memory_that_cannot_be_opened",
        start: Start::RanksWithGpus(2),
        environment: &[],
        program: || with_world(|world| a_window_that_cannot_be_had(world, 1, "ipc_open:1=2", "cannot open")),
        release: None,
        expect: |ended| ended.check(true, &[]),
    },
    Solo {
        name: "ipc_that_is_forced_and_cannot_be_used",
        start: Start::RanksWithGpus(2),
        environment: &[NO_PEERS, ("WARPCOMM_PATHS", "peer-gpu-ipc")],
        program: || with_world(ipc_that_is_forced_and_cannot_be_used),
        release: None,
        expect: |ended| ended.check(true, &[]),
    },
];

/// Leaves CUDA IPC out.
const NO_IPC: (&str, &str) = ("WARPCOMM_PATHS", "^peer-gpu-ipc,same-gpu-ipc");

/// The first message in which two processes find out how, with its envelope.
const FOUND_OUT: &str = "both ranks are on one node";

pub const LENGTH: usize = 100_000;

/// Runs a case in a world whose ranks are on these nodes.
pub fn on_nodes(nodes: &[&str], case: fn(&Communicator) -> Outcome) -> Outcome {
    let config = Config::from_env()?.node_id(nodes[rank_by_launcher()?]);
    let runtime = Runtime::init_with(&config)?;
    case(&runtime.world()?)?;
    runtime.finalize()?;
    Ok(())
}

pub fn stream(comm: &Communicator) -> Result<Arc<CudaStream>, Failure> {
    Ok(comm.device()?.new_stream()?)
}

/// Sends a message from rank `from`, where it is at the first of `places`, to rank `to`.
pub fn message(comm: &Communicator, [from, to]: [usize; 2], places: [Place; 2]) -> Outcome {
    let sent = vector::<f32>(1, from, LENGTH);
    let stream = stream(comm)?;
    if comm.rank() == from {
        match places[0] {
            Place::Host => comm.send(&sent, to, Tag(3))?,
            _ => comm.send(&stream.clone_htod(&sent)?, to, Tag(3))?,
        }
    } else if comm.rank() == to {
        let mut found = vec![0.0; LENGTH];
        match places[1] {
            Place::Host => drop(comm.recv(&mut found, from, Tag(3))?),
            _ => {
                let mut there = stream.alloc_zeros::<f32>(LENGTH)?;
                comm.recv(&mut there, from, Tag(3))?;
                stream.memcpy_dtoh(&there, &mut found)?;
                stream.synchronize()?;
            }
        }
        assert_same(&found, &sent, || format!("from {from} to {to}, {places:?}"));
    }
    Ok(())
}

pub fn expect_path(comm: &Communicator, peer: usize, path: Path, reason: &str) {
    match comm.path(peer) {
        Ok(Some(chosen)) => {
            assert_eq!(chosen.path(), path, "{chosen}");
            assert!(chosen.reason().contains(reason), "{chosen}");
        }
        other => panic!("{other:?}"),
    }
}

/// The path between two ranks with GPUs of their own.
fn path_of_job() -> Path {
    match std::env::var_os("WARPCOMM_PATHS") {
        Some(_) => Path::SharedPinned,
        None => Path::PeerGpuIpc,
    }
}

fn a_path_is_found_out_and_kept(comm: &Communicator) -> Outcome {
    let bad = expect_error(comm.path(3), ErrorKind::InvalidArgument);
    expect_text(&bad, &["path on rank", "3 ranks, 0 to 2"]);
    expect_path(comm, comm.rank(), Path::SameProcess, "in one process");
    for peer in (0..3).filter(|&peer| peer != comm.rank()) {
        assert_eq!(comm.path(peer)?, None);
    }
    // What rides in an envelope goes as ever.
    comm.barrier()?;
    if comm.rank() == 0 {
        comm.send(&stream(comm)?.clone_htod(&[1u8; 100])?, 1, Tag(0))?;
        assert_eq!(comm.path(1)?, None);
    } else if comm.rank() == 1 {
        comm.recv(&mut stream(comm)?.alloc_zeros::<u8>(100)?, 0, Tag(0))?;
    }
    // So do messages between hosts.
    message(comm, [0, 1], [Place::Host; 2])?;
    assert_eq!(comm.path((comm.rank() + 1) % 3)?, None);
    // Either end on a GPU is enough, and the first message finds it out for all places.
    let (host, device) = (Place::Host, Place::Device);
    message(comm, [0, 1], [device, device])?;
    message(comm, [1, 2], [device, host])?;
    message(comm, [2, 0], [host, device])?;
    comm.barrier()?;
    let next = (comm.rank() + 1) % 3;
    expect_path(comm, next, Path::SharedPinned, FOUND_OUT);
    // Nobody has sent the other way round.
    assert_eq!(comm.path((comm.rank() + 2) % 3)?, None);
    for places in [[device, device], [device, host], [host, device]] {
        for from in 0..3 {
            message(comm, [from, (from + 1) % 3], places)?;
        }
    }
    comm.barrier()?;
    expect_path(comm, next, Path::SharedPinned, FOUND_OUT);
    // A communicator of some of the ranks has found it out too.
    if let Some(pair) = comm.split((comm.rank() < 2).then_some(0), 0)? {
        let other = 1 - pair.rank();
        match pair.rank() {
            0 => expect_path(&pair, other, Path::SharedPinned, FOUND_OUT),
            _ => assert_eq!(pair.path(other)?, None),
        }
        message(&pair, [0, 1], [device, device])?;
    }
    // No slab of the pool was taken for these; there is one sender to this rank, and one receiver, and rank 1 has
    // received in another communicator too.
    let usage = pinned_usage();
    assert_eq!(
        (usage.bytes_in_use, usage.bytes_shared >> 24),
        (0, 2),
        "{usage:?}"
    );
    still_works(comm)
}

fn ranks_of_different_nodes(comm: &Communicator) -> Outcome {
    assert_eq!(comm.split_shared(0)?.size(), if comm.rank() == 1 { 1 } else { 2 });
    for pair in [[0, 1], [1, 2], [2, 0]] {
        for places in [
            [Place::Device; 2],
            [Place::Device, Place::Host],
            [Place::Host, Place::Device],
        ] {
            message(comm, pair, places)?;
        }
    }
    match comm.rank() {
        2 => expect_path(comm, 0, Path::SameGpuIpc, "one GPU of a node"),
        rank => expect_path(comm, rank + 1, Path::Staged, "on different nodes"),
    }
    still_works(comm)
}

fn a_path_that_is_forced_and_cannot_be_used(comm: &Communicator) -> Outcome {
    let stream = stream(comm)?;
    let mut buffer = stream.alloc_zeros::<f32>(LENGTH)?;
    // Both find it out with the first message; the receiver refuses the second one at once.
    for kind_at_sender in [ErrorKind::Unsupported, ErrorKind::PeerFailed] {
        let (outcome, kind, operation) = match comm.rank() {
            0 => {
                let outcome = comm.send(&buffer, 1, Tag(0));
                (outcome, kind_at_sender, "send on rank 0 to rank 1")
            }
            _ => {
                let outcome = comm.recv(&mut buffer, 0, Tag(0)).map(drop);
                (outcome, ErrorKind::Unsupported, "recv on rank 1 from rank 0")
            }
        };
        let error = expect_error(outcome, kind);
        expect_text(&error, &[operation]);
        if kind == ErrorKind::Unsupported {
            expect_text(&error, &["different nodes", "WARPCOMM_PATHS leaves it out"]);
        }
    }
    // Nor can a rank of this process be reached so.
    let outcome = comm.sendrecv(
        &vec![1.0f32; LENGTH],
        comm.rank(),
        Tag(0),
        &mut buffer,
        comm.rank(),
        Tag(0),
    );
    expect_error(outcome, ErrorKind::Unsupported);
    let kind = [ErrorKind::PeerFailed, ErrorKind::Unsupported][comm.rank()];
    expect_error(comm.bcast(&mut buffer, 0), kind);
    still_works(comm)
}

fn memory_that_cannot_be_locked(comm: &Communicator, unable: usize) -> Outcome {
    Place::Device.check()?;
    let driver = Simulated::load()?;
    if comm.rank() == unable {
        driver.set("pinned:1=2");
    }
    message(comm, [0, 1], [Place::Device; 2])?;
    message(comm, [0, 1], [Place::Device; 2])?;
    if comm.rank() == 0 {
        expect_path(comm, 1, Path::Staged, "cannot lock");
    }
    assert_eq!(driver.fired(), u64::from(comm.rank() == unable));
    // The other way is another matter.
    message(comm, [1, 0], [Place::Device; 2])?;
    if comm.rank() == 1 {
        expect_path(comm, 0, Path::SharedPinned, FOUND_OUT);
    }
    still_works(comm)
}

fn messages_that_are_first_at_the_same_time(comm: &Communicator) -> Outcome {
    let stream = stream(comm)?;
    let other = 1 - comm.rank();
    let mut receives = Vec::new();
    let mut sends = Vec::new();
    for number in 0..8 {
        receives.push(comm.irecv(stream.alloc_zeros::<f64>(LENGTH)?, other, Tag(number)));
    }
    for number in 0..8 {
        let own = vector::<f64>(number as u64, comm.rank(), LENGTH);
        sends.push(comm.isend(stream.clone_htod(&own)?, other, Tag(number)));
    }
    for (number, receive) in receives.into_iter().enumerate() {
        let (found, _) = receive.wait()?;
        let expected = vector::<f64>(number as u64, other, LENGTH);
        assert_same(&stream.clone_dtoh(&found)?, &expected, || {
            format!("message {number}")
        });
    }
    for send in sends {
        send.wait()?;
    }
    expect_path(comm, other, path_of_job(), "");
    still_works(comm)
}

fn a_first_message_that_is_withdrawn(comm: &Communicator) -> Outcome {
    let stream = stream(comm)?;
    let mut buffer = stream.alloc_zeros::<f32>(LENGTH)?;
    // Once while the path is found out, and once when it is known.
    for _ in 0..2 {
        match comm.rank() {
            0 => {
                let outcome = comm.scope(|scope| {
                    scope.isend(&buffer, 1, Tag(0))?;
                    comm.send(&[0u8], 7, Tag(0))
                });
                expect_error(outcome, ErrorKind::InvalidArgument);
                comm.barrier()?;
            }
            _ => {
                comm.barrier()?;
                expect_error(comm.recv(&mut buffer, 0, Tag(0)), ErrorKind::PeerFailed);
            }
        }
        message(comm, [0, 1], [Place::Device; 2])?;
    }
    if comm.rank() == 0 {
        expect_path(comm, 1, path_of_job(), "");
    }
    still_works(comm)
}

/// A message from rank 0 whose receiver is ready for it, and gives up while what is in the stream keeps it back.
pub fn given_up_by_its_receiver(
    comm: &Communicator,
    stream: &CudaStream,
    mut buffer: impl OwnedBufferMut,
) -> Outcome {
    let doomed = comm.duplicate()?;
    if comm.rank() == 0 {
        let gate = Gate::default();
        // SAFETY: the gate lives until the stream was waited for.
        unsafe { gate.stop(stream) }?;
        let send = doomed.isend(buffer, 1, Tag(0));
        while !format!("{send:?}").contains("the elements to be moved") {
            assert!(!send.is_done());
        }
        comm.barrier()?;
        gate.open();
        let outcome = send.wait();
        stream.synchronize()?;
        outcome?;
    } else {
        let impatient = doomed.with_timeout(Some(Duration::from_secs(2)));
        expect_error(impatient.recv(&mut buffer, 0, Tag(0)), ErrorKind::Timeout);
        comm.barrier()?;
    }
    Ok(())
}

fn pieces_that_nobody_wants(comm: &Communicator) -> Outcome {
    // More than there are slots for.
    const LENGTH: usize = 32 << 20;
    message(comm, [0, 1], [Place::Device; 2])?;
    let stream = stream(comm)?;
    let buffer = stream.alloc_zeros::<u8>(LENGTH)?;
    given_up_by_its_receiver(comm, &stream, buffer)?;
    // They are not in the way of others.
    for _ in 0..3 {
        message(comm, [0, 1], [Place::Device; 2])?;
    }
    still_works(comm)
}

fn ipc_and_what_it_is_not_for(comm: &Communicator, path: Path, reason: &str) -> Outcome {
    let (next, (host, device)) = ((comm.rank() + 1) % comm.size(), (Place::Host, Place::Device));
    let around = |places| -> Outcome {
        for from in 0..comm.size() {
            message(comm, [from, (from + 1) % comm.size()], places)?;
        }
        comm.barrier().map_err(Failure::from)
    };
    // A host at one end says nothing of two GPUs.
    around([device, host])?;
    assert_eq!(comm.path(next)?, None);
    around([device, device])?;
    expect_path(comm, next, path, reason);
    around([host, device])?;
    around([device, device])?;
    expect_path(comm, next, path, reason);
    // Pinned memory for hosts is that of the first message.
    let usage = pinned_usage();
    assert_eq!(
        (usage.bytes_in_use, usage.bytes_shared >> 24),
        (0, 2),
        "{usage:?}"
    );
    still_works(comm)
}

fn gpus_without_peer_access(comm: &Communicator) -> Outcome {
    for _ in 0..2 {
        message(comm, [0, 1], [Place::Device; 2])?;
    }
    if comm.rank() == 0 {
        expect_path(comm, 1, Path::SharedPinned, "no CUDA IPC: cannot open memory");
    }
    still_works(comm)
}

fn a_window_that_cannot_be_had(comm: &Communicator, unable: usize, fault: &str, reason: &str) -> Outcome {
    Place::Device.check()?;
    let driver = Simulated::load()?;
    if comm.rank() == unable {
        driver.set(fault);
    }
    for _ in 0..2 {
        message(comm, [0, 1], [Place::Device; 2])?;
    }
    if comm.rank() == 0 {
        expect_path(comm, 1, Path::SharedPinned, reason);
    }
    assert_eq!(driver.fired(), u64::from(comm.rank() == unable));
    // The other way is another matter.
    message(comm, [1, 0], [Place::Device; 2])?;
    if comm.rank() == 1 {
        expect_path(comm, 0, Path::PeerGpuIpc, "");
    }
    still_works(comm)
}

fn ipc_that_is_forced_and_cannot_be_used(comm: &Communicator) -> Outcome {
    let mut buffer = stream(comm)?.alloc_zeros::<f32>(LENGTH)?;
    for kind_at_sender in [ErrorKind::Unsupported, ErrorKind::PeerFailed] {
        let (outcome, kind) = match comm.rank() {
            0 => (comm.send(&buffer, 1, Tag(0)), kind_at_sender),
            _ => (
                comm.recv(&mut buffer, 0, Tag(0)).map(drop),
                ErrorKind::Unsupported,
            ),
        };
        let error = expect_error(outcome, kind);
        if kind == ErrorKind::Unsupported {
            expect_text(&error, &["no CUDA IPC", "WARPCOMM_PATHS leaves it out"]);
        }
    }
    still_works(comm)
}

/// What this process has open, beside what the simulated driver has.
fn open_files() -> Result<Vec<String>, Failure> {
    let listed = std::fs::read_dir("/proc/self/fd").map_err(|error| Failure(error.to_string()))?;
    let links = listed.filter_map(|file| std::fs::read_link(file.ok()?.path()).ok());
    let names = links.map(|link| link.display().to_string());
    Ok(names.filter(|name| !name.starts_with("/memfd:simgpu")).collect())
}

fn paths_leave_no_files_open(comm: &Communicator) -> Outcome {
    let all_pairs = || -> Outcome {
        for from in 0..3 {
            for to in (0..3).filter(|&to| to != from) {
                message(comm, [from, to], [Place::Device; 2])?;
            }
        }
        comm.barrier()?;
        Ok(())
    };
    comm.barrier()?;
    let before = open_files()?;
    all_pairs()?;
    let after = open_files()?;
    // A rank listens, for whoever may come.
    assert!(after.len() <= before.len() + 1, "{before:?}, then {after:?}");
    all_pairs()?;
    let later = open_files()?;
    assert_eq!(later.len(), after.len(), "{after:?}, then {later:?}");
    Ok(())
}
