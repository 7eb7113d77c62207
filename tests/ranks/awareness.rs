//! Whether MPI gets the addresses of device buffers: only where it says that it takes them and that was proved, or where
//! somebody says so.

use std::sync::Arc;

use warpcomm::cudarc::driver::{CudaSlice, CudaStream, result};
use warpcomm::{Allocation, Communicator, Config, ErrorKind, Path, Runtime, Tag};

use super::common::still_works;
use super::device::Gate;
use super::lifecycle::rank_by_launcher;
use crate::harness::{Ended, Failure, Outcome, Solo, Start, expect_error, expect_text};
use crate::oracle::{assert_same, vector};

pub const SOLOS: &[Solo] = &[
    Solo {
        name: "what_nobody_has_proved",
        start: Start::RanksWithGpus(2),
        environment: STAGED_OR_NOT,
        program: || with_runtime(what_nobody_has_proved),
        release: None,
        expect: |ended| ended.check(true, &[]).and_then(|()| told(ended)),
    },
    Solo {
        name: "what_was_found_wrong",
        start: Start::RanksWithGpus(2),
        environment: STAGED_OR_NOT,
        program: || with_runtime(what_was_found_wrong),
        release: None,
        expect: |ended| ended.check(true, &[]).and_then(|()| told(ended)),
    },
    Solo {
        name: "what_is_forced_and_not_proved",
        start: Start::RanksWithGpus(2),
        environment: &[("WARPCOMM_PATHS", "cuda-aware")],
        program: || with_runtime(what_is_forced_and_not_proved),
        release: None,
        expect: |ended| ended.check(true, &[]),
    },
    Solo {
        name: "ranks_that_say_different_things",
        start: Start::Ranks(2),
        environment: &[],
        program: ranks_that_say_different_things,
        release: None,
        expect: |ended| ended.check(true, &[]),
    },
];

/// Those for an MPI that really is CUDA-aware.
pub const AWARE_SOLOS: &[Solo] = &[
    Solo {
        name: "what_was_proved",
        start: Start::RanksWithGpus(2),
        environment: STAGED_OR_NOT,
        program: || with_runtime(what_was_proved),
        release: None,
        expect: |ended| ended.check(true, &[]).and_then(|()| told(ended)),
    },
    Solo {
        name: "what_is_better_on_a_node",
        start: Start::RanksWithGpus(3),
        environment: &[("WARPCOMM_CUDA_AWARE", "yes")],
        program: what_is_better_on_a_node,
        release: None,
        expect: |ended| ended.check(true, &[]),
    },
    Solo {
        name: "what_is_still_written_and_read",
        start: Start::RanksWithGpus(2),
        environment: &[("WARPCOMM_PATHS", "cuda-aware"), ("WARPCOMM_CUDA_AWARE", "yes")],
        program: || with_runtime(what_is_still_written_and_read),
        release: None,
        expect: |ended| ended.check(true, &[]),
    },
    Solo {
        name: "messages_of_several_pieces",
        start: Start::RanksWithGpus(2),
        environment: &[("WARPCOMM_PATHS", "cuda-aware"), ("WARPCOMM_CUDA_AWARE", "yes")],
        program: || with_runtime(messages_of_several_pieces),
        release: None,
        expect: |ended| ended.check(true, &[]),
    },
];

const STAGED_OR_NOT: &[(&str, &str)] = &[("WARPCOMM_PATHS", "staged,cuda-aware")];

const LENGTH: usize = 100_000;

/// How often a rank looks whether a message is over.
const POLLS: usize = 20_000;

/// What a rank prints where nobody tells the user of what could be proved.
const NOTHING_TO_TELL: &str = "there is nothing to tell";

/// Whether the user was told once what could be proved, if there is something.
fn told(ended: &Ended) -> Result<(), String> {
    let times = ended.output.matches("warpcomm tune").count();
    match times == usize::from(!ended.output.contains(NOTHING_TO_TELL)) {
        true => Ok(()),
        false => Err(format!("the user was told {times} times")),
    }
}

fn with_runtime(case: fn(&Runtime, &Communicator) -> Outcome) -> Outcome {
    let runtime = Runtime::init()?;
    case(&runtime, &runtime.world()?)?;
    runtime.finalize()?;
    Ok(())
}

fn stream(comm: &Communicator) -> Result<Arc<CudaStream>, Failure> {
    Ok(comm.device()?.new_stream()?)
}

/// Sends a message there and back, and tells which path it took and why.
fn there_and_back(comm: &Communicator, buffer: &mut CudaSlice<f32>) -> Result<(Path, String), Failure> {
    let stream = Arc::clone(buffer.stream());
    let length = buffer.len();
    for from in [0, 1] {
        let sent = vector::<f32>(4, from, length);
        if comm.rank() == from {
            stream.memcpy_htod(&sent, buffer)?;
            comm.send(&*buffer, 1 - from, Tag(0))?;
        } else {
            stream.memset_zeros(buffer)?;
            comm.recv(buffer, from, Tag(0))?;
            assert_same(&stream.clone_dtoh(buffer)?, &sent, || format!("from {from}"));
        }
    }
    let chosen = comm.path(1 - comm.rank())?.ok_or(Failure("no path".to_owned()))?;
    Ok((chosen.path(), chosen.reason().to_owned()))
}

fn what_nobody_has_proved(runtime: &Runtime, comm: &Communicator) -> Outcome {
    let mut buffer = stream(comm)?.alloc_zeros(LENGTH)?;
    let expected = match runtime.says_cuda_aware() {
        true => "nobody has proved that MPI is CUDA-aware",
        false => "MPI says that it is not CUDA-aware",
    };
    if !runtime.says_cuda_aware() {
        println!("{NOTHING_TO_TELL}");
    }
    for _ in 0..2 {
        let (path, reason) = there_and_back(comm, &mut buffer)?;
        assert_eq!(path, Path::Staged, "{reason}");
        assert!(reason.contains(expected), "{reason}");
    }
    still_works(comm)
}

fn what_was_found_wrong(runtime: &Runtime, comm: &Communicator) -> Outcome {
    println!("{NOTHING_TO_TELL}");
    for allocation in Allocation::ALL {
        runtime.record_cuda_awareness(allocation, Err("it was tried".to_owned()))?;
    }
    comm.barrier()?;
    let mut buffer = stream(comm)?.alloc_zeros(LENGTH)?;
    let (path, reason) = there_and_back(comm, &mut buffer)?;
    assert_eq!(path, Path::Staged, "{reason}");
    let expected = match runtime.says_cuda_aware() {
        true => "it was tried",
        false => "MPI says that it is not CUDA-aware",
    };
    assert!(reason.contains(expected), "{reason}");
    still_works(comm)
}

fn what_is_forced_and_not_proved(_: &Runtime, comm: &Communicator) -> Outcome {
    let mut buffer = stream(comm)?.alloc_zeros::<f32>(LENGTH)?;
    for _ in 0..2 {
        match comm.rank() {
            0 => drop(expect_error(comm.send(&buffer, 1, Tag(0)), ErrorKind::PeerFailed)),
            _ => {
                let error = expect_error(comm.recv(&mut buffer, 0, Tag(0)), ErrorKind::Unsupported);
                expect_text(&error, &["no path is left", "WARPCOMM_PATHS leaves it out"]);
            }
        }
    }
    still_works(comm)
}

fn ranks_that_say_different_things() -> Outcome {
    let config = Config::from_env()?.cuda_aware(rank_by_launcher()? == 0);
    let runtime = Runtime::init_with(&config)?;
    let error = expect_error(runtime.world().map(drop), ErrorKind::Mismatch);
    expect_text(&error, &["WARPCOMM_CUDA_AWARE"]);
    runtime.finalize()?;
    Ok(())
}

fn what_was_proved(runtime: &Runtime, comm: &Communicator) -> Outcome {
    let stream = stream(comm)?;
    if !runtime.says_cuda_aware() {
        println!("{NOTHING_TO_TELL}");
        return Ok(());
    }
    runtime.record_cuda_awareness(Allocation::Pool, Ok(()))?;
    comm.barrier()?;
    let mut buffer = stream.alloc_zeros(LENGTH)?;
    let (path, reason) = there_and_back(comm, &mut buffer)?;
    assert_eq!(path, Path::CudaAware, "{reason}");
    assert!(reason.contains("as was proved"), "{reason}");
    // Other memory is another matter.
    // SAFETY: memory of that length, which nobody else has.
    let mut plain = unsafe {
        let address = result::malloc_sync(LENGTH * size_of::<f32>())?;
        stream.upgrade_device_ptr::<f32>(address, LENGTH)
    };
    let (path, reason) = there_and_back(comm, &mut plain)?;
    // It stays to the end of the process: its kind is not freed as cudarc does.
    plain.leak();
    assert_eq!(path, Path::Staged, "{reason}");
    assert!(reason.contains("nobody has proved"), "{reason}");
    still_works(comm)
}

fn what_is_better_on_a_node() -> Outcome {
    let node = ["left", "left", "right"][rank_by_launcher()?];
    let runtime = Runtime::init_with(&Config::from_env()?.node_id(node))?;
    let comm = runtime.world()?;
    let mut buffer = stream(&comm)?.alloc_zeros(LENGTH)?;
    for ranks in [[0, 1], [1, 2]] {
        let is_one = ranks.contains(&comm.rank());
        if let Some(pair) = comm.split(is_one.then_some(0), 0)? {
            // The first message too, with which they find out where they are.
            let (path, reason) = there_and_back(&pair, &mut buffer)?;
            if ranks == [0, 1] {
                // By which way depends on the GPUs and what they share.
                assert!(
                    ![Path::CudaAware, Path::Staged].contains(&path),
                    "{path:?}: {reason}"
                );
            } else {
                assert_eq!(path, Path::CudaAware, "{reason}");
                assert!(
                    reason.contains("on different nodes; MPI is CUDA-aware"),
                    "{reason}"
                );
            }
        }
    }
    still_works(&comm)?;
    runtime.finalize()?;
    Ok(())
}

/// Elements that their stream is still to write at the sender, or to read at the receiver, when the message begins.
fn what_is_still_written_and_read(_: &Runtime, comm: &Communicator) -> Outcome {
    let stream = stream(comm)?;
    let (sent, before) = (vector::<f32>(4, 0, LENGTH), vector::<f32>(4, 1, LENGTH));
    for busy in [0, 1] {
        let mut buffer = stream.clone_htod(&before)?;
        let mut copy = stream.alloc_zeros::<f32>(LENGTH)?;
        stream.synchronize()?;
        let gate = Gate::default();
        if comm.rank() == busy {
            // SAFETY: the gate lives until the stream was waited for.
            unsafe { gate.stop(&stream) }?;
        }
        if comm.rank() == 0 {
            stream.memcpy_htod(&sent, &mut buffer)?;
            let send = comm.isend(buffer, 1, Tag(0));
            comm.barrier()?;
            // Time enough for an MPI that was told too early.
            for _ in 0..POLLS {
                assert!(busy != 0 || !send.is_done());
            }
            gate.open();
            send.wait()?;
        } else {
            stream.memcpy_dtod(&buffer, &mut copy)?;
            let receive = comm.irecv(buffer, 0, Tag(0));
            comm.barrier()?;
            for _ in 0..POLLS {
                assert!(!receive.is_done() || busy == 0);
            }
            gate.open();
            let (received, _) = receive.wait()?;
            assert_same(&stream.clone_dtoh(&received)?, &sent, || "the message".to_owned());
            assert_same(&stream.clone_dtoh(&copy)?, &before, || {
                "what was there".to_owned()
            });
        }
        stream.synchronize()?;
    }
    still_works(comm)
}

fn messages_of_several_pieces(_: &Runtime, comm: &Communicator) -> Outcome {
    // MPI gets 64 MiB at a time.
    const LENGTH: usize = (65 << 20) / size_of::<u64>();
    let stream = stream(comm)?;
    let sent = vector::<u64>(4, 0, LENGTH);
    if comm.rank() == 0 {
        comm.send(&stream.clone_htod(&sent)?, 1, Tag(0))?;
        let chosen = comm.path(1)?.ok_or(Failure("no path".to_owned()))?;
        assert_eq!(chosen.path(), Path::CudaAware, "{chosen}");
        assert!(
            chosen.reason().contains("as WARPCOMM_CUDA_AWARE says"),
            "{chosen}"
        );
    } else {
        let mut found = stream.alloc_zeros::<u64>(LENGTH)?;
        comm.recv(&mut found, 0, Tag(0))?;
        assert_same(&stream.clone_dtoh(&found)?, &sent, || "the message".to_owned());
    }
    still_works(comm)
}
