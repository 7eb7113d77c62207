//! Messages back and forth: the one-way latency is half of a round trip.

use warpcomm::{Communicator, Tag};

use crate::Failure;
use crate::contest::Contest;
use crate::raw;

/// Two ranks that send each other a message in turn.
pub struct Latency<'a> {
    comm: &'a Communicator,
    peer: usize,
    out: Vec<u8>,
    into: Vec<u8>,
}

impl<'a> Latency<'a> {
    /// Messages of so many bytes.
    pub fn new(comm: &'a Communicator, bytes: usize) -> Self {
        Latency {
            comm,
            peer: 1 - comm.rank(),
            out: vec![0; bytes],
            into: vec![0; bytes],
        }
    }

    fn has_arrived(&self, seed: usize, how: &str) -> Result<(), Failure> {
        let wrong = (0..self.into.len()).find(|&at| self.into[at] != content(at, self.peer, seed));
        match wrong {
            None => Ok(()),
            Some(at) => Err(format!(
                "{how}: byte {at} of a message of {} is {}, but {} was sent",
                self.into.len(),
                self.into[at],
                content(at, self.peer, seed)
            )
            .into()),
        }
    }

    fn fill(&mut self, seed: usize) {
        for at in 0..self.out.len() {
            self.out[at] = content(at, self.comm.rank(), seed);
            self.into[at] = !content(at, self.peer, seed);
        }
    }
}

/// Byte `at` of the message that `rank` sends.
fn content(at: usize, rank: usize, seed: usize) -> u8 {
    (at * 31 + at / 251 + rank * 101 + seed * 7) as u8
}

impl Contest for Latency<'_> {
    fn bytes(&self) -> usize {
        self.out.len()
    }

    fn operations_per_repetition(&self) -> u32 {
        2
    }

    fn check(&mut self, seed: usize) -> Result<(), Failure> {
        self.fill(2 * seed);
        self.raw(1)?;
        self.has_arrived(2 * seed, "raw MPI")?;
        self.fill(2 * seed + 1);
        self.ours(1)?;
        self.has_arrived(2 * seed + 1, "warpcomm")
    }

    fn raw(&mut self, repetitions: u32) -> Result<(), Failure> {
        let peer = i32::try_from(self.peer)?;
        for _ in 0..repetitions {
            if peer == 1 {
                raw::send(&self.out, peer)?;
                raw::recv(&mut self.into, peer)?;
            } else {
                raw::recv(&mut self.into, peer)?;
                raw::send(&self.out, peer)?;
            }
        }
        Ok(())
    }

    fn ours(&mut self, repetitions: u32) -> Result<(), Failure> {
        let (comm, peer) = (self.comm, self.peer);
        for _ in 0..repetitions {
            if peer == 1 {
                comm.send(&self.out, peer, Tag(0))?;
                comm.recv(&mut self.into, peer, Tag(0))?;
            } else {
                comm.recv(&mut self.into, peer, Tag(0))?;
                comm.send(&self.out, peer, Tag(0))?;
            }
        }
        Ok(())
    }
}
