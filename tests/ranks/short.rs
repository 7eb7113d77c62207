//! What a message costs that rides in its envelope, from GPU to GPU: as the simulated driver counts.

use warpcomm::{Communicator, ErrorKind, Tag};

use super::copies::Counts;
use super::device::Gate;
use super::lifecycle::with_world;
use super::simulated::Simulated;
use crate::harness::{Failure, Outcome, Solo, Start, expect_error};
use crate::oracle::{assert_same, vector};

cases! {
    between_processes: 2..=3, mpi;
}

pub const SOLOS: &[Solo] = &[
    Solo {
        name: "gpus_that_write_no_words",
        start: Start::RanksWithGpus(2),
        environment: &[("SIMGPU_FAULT", "write:1=801")],
        program: || with_world(gpus_that_write_no_words),
        release: None,
        expect: |ended| ended.check(true, &[]),
    },
    Solo {
        name: "a_gpu_that_fails_before_a_word",
        start: Start::RanksWithGpus(2),
        environment: &[("SIMGPU_QUIET", "1")],
        program: || with_world(a_gpu_that_fails_before_a_word),
        release: None,
        expect: |ended| ended.check(true, &[]),
    },
];

/// Bytes of the messages.
const LENGTHS: [usize; 3] = [1, 1_000, 4_000];

/// Messages there and back.
const ROUNDS: usize = 40;

/// How often a rank has called the driver, and for what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Calls {
    all: u64,
    copies: u64,
    writes: u64,
    launches: u64,
}

impl Calls {
    fn now() -> Result<Calls, Failure> {
        let driver = Simulated::load()?;
        Ok(Calls {
            all: driver.count("calls"),
            copies: driver.count("copy"),
            writes: driver.count("write"),
            launches: driver.count("launch"),
        })
    }

    fn since(self, before: Calls) -> Calls {
        Calls {
            all: self.all - before.all,
            copies: self.copies - before.copies,
            writes: self.writes - before.writes,
            launches: self.launches - before.launches,
        }
    }
}

/// Sends messages of so many bytes from rank 0 to rank 1 and back: what all rounds but the first have cost this rank.
fn there_and_back(comm: &Communicator, length: usize) -> Result<(Counts, Calls), Failure> {
    let stream = comm.device()?.new_stream()?;
    // Each message has other bytes.
    let messages: Vec<u8> = vector(8, 0, length + 2 * ROUNDS);
    let own = stream.clone_htod(&messages)?;
    let mut there = stream.alloc_zeros::<u8>(length)?;
    let mut back = stream.alloc_zeros::<u8>(2 * ROUNDS * length)?;
    let mut before = (Counts::now()?, Calls::now()?);
    // First until there are as many streams, events and slabs as it takes.
    for round in 0..2 * ROUNDS {
        if round == ROUNDS {
            stream.synchronize()?;
            comm.barrier()?;
            before = (Counts::now()?, Calls::now()?);
        }
        match comm.rank() {
            0 => {
                comm.send(&own.slice(round..round + length), 1, Tag(1))?;
                let part = round * length..(round + 1) * length;
                comm.recv(&mut back.slice_mut(part), 1, Tag(2))?;
            }
            1 => {
                comm.recv(&mut there, 0, Tag(1))?;
                comm.send(&there, 0, Tag(2))?;
            }
            _ => {}
        }
    }
    let cost = (Counts::now()?.since(before.0), Calls::now()?.since(before.1));
    if comm.rank() == 0 {
        let expected: Vec<u8> = (0..2 * ROUNDS)
            .flat_map(|round| &messages[round..round + length])
            .copied()
            .collect();
        assert_same(&stream.clone_dtoh(&back)?, &expected, || {
            format!("{length} bytes")
        });
    }
    comm.barrier()?;
    Ok(cost)
}

fn between_processes(comm: &Communicator) -> Outcome {
    for length in LENGTHS {
        let (moved, calls) = there_and_back(comm, length)?;
        let rounds = if comm.rank() < 2 { ROUNDS as u64 } else { 0 };
        let once = rounds * length as u64;
        let expected = Counts {
            to_device: once,
            to_host: once,
            ..Counts::default()
        };
        assert_eq!(moved, expected);
        // A send and a receive: each is one copy, behind which the GPU writes a word that nobody asks the driver for. With
        // questions there are three times as many calls, and more where copies take longer.
        let expected = Calls {
            all: calls.all,
            copies: 2 * rounds,
            writes: 2 * rounds,
            launches: 0,
        };
        assert_eq!(calls, expected);
        assert!(calls.all <= 60 * rounds, "{calls:?}");
    }
    Ok(())
}

fn gpus_that_write_no_words(comm: &Communicator) -> Outcome {
    for length in LENGTHS {
        there_and_back(comm, length)?;
    }
    // They are not asked again.
    assert_eq!(Calls::now()?.writes, 1);
    Ok(())
}

fn a_gpu_that_fails_before_a_word(comm: &Communicator) -> Outcome {
    const LENGTH: usize = 100;
    if comm.rank() == 1 {
        expect_error(comm.recv(&mut [0u8; LENGTH], 0, Tag(1)), ErrorKind::PeerFailed);
        return Ok(());
    }
    let stream = comm.device()?.new_stream()?;
    let own = stream.alloc_zeros::<u8>(LENGTH)?;
    let mut other = stream.alloc_zeros::<u8>(LENGTH)?;
    let gate = Gate::default();
    // SAFETY: the gate lives until the stream has failed, which is behind it.
    unsafe { gate.stop(&stream) }?;
    Simulated::load()?.set("async:1=719");
    stream.memset_zeros(&mut other)?;
    let request = comm.isend(own, 1, Tag(1));
    gate.open();
    match request.wait() {
        Ok(_) => panic!("the elements were copied by a GPU that has failed"),
        Err(failed) => assert_eq!(failed.into_parts().0.kind(), ErrorKind::Device),
    }
    Ok(())
}
