//! The messages that two ranks send each other in one launch.

use std::time::{Duration, Instant};

use warpcomm::{Communicator, Result, Tag};

/// The lengths of messages, in bytes.
pub const SIZES: [usize; 3] = [8, 4096, 64 << 10];

/// How much is sent in one launch.
#[derive(Clone, Copy)]
pub struct Effort {
    rounds: u32,
    is_measured: bool,
}

impl Effort {
    /// So many rounds with messages of each length, or one that only checks them.
    pub fn new(is_measured: bool, rounds: u32) -> Effort {
        Effort {
            rounds: if is_measured { rounds } else { 1 },
            is_measured,
        }
    }

    /// How often a message goes there and back in a round.
    pub fn repetitions(self, bytes: usize) -> u32 {
        match self.is_measured {
            true if bytes < 1024 => 200,
            true => 20,
            false => 2,
        }
    }

    /// How many messages each rank sends in all.
    pub fn messages(self) -> usize {
        let of_a_round: u32 = SIZES.into_iter().map(|bytes| self.repetitions(bytes)).sum();
        ((1 + self.rounds) * of_a_round) as usize
    }
}

/// What the rounds with messages of each length take on this rank.
pub fn send_all(comm: &Communicator, effort: Effort) -> Result<Vec<Vec<Duration>>> {
    SIZES.into_iter().map(|bytes| send(comm, bytes, effort)).collect()
}

fn send(comm: &Communicator, bytes: usize, effort: Effort) -> Result<Vec<Duration>> {
    let (rank, peer) = (comm.rank(), 1 - comm.rank());
    // No byte is 0: memory that is 0 from the start may have no pages.
    let filled = |rank: usize| vec![rank as u8 + 1; bytes];
    let (own, mut into) = (filled(rank), vec![9u8; bytes]);
    let mut rounds = Vec::with_capacity(effort.rounds as usize + 1);
    // The first finds cold caches.
    for _ in 0..=effort.rounds {
        comm.barrier()?;
        let start = Instant::now();
        for _ in 0..effort.repetitions(bytes) {
            if rank == 0 {
                comm.send(&own, peer, Tag(0))?;
                comm.recv(&mut into, peer, Tag(0))?;
            } else {
                comm.recv(&mut into, peer, Tag(0))?;
                comm.send(&own, peer, Tag(0))?;
            }
        }
        rounds.push(start.elapsed());
    }
    assert!(into == filled(peer), "what has come");
    rounds.remove(0);
    Ok(rounds)
}
