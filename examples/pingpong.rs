//! How long a message from one rank to another takes: a table from 1 byte to 16 MiB.
//!
//! Ranks 0 and 1 send each other messages of the same size in turn, and any other ranks wait until
//! they are done. A rank that is alone sends to itself. What arrives is compared with what was sent.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use warpcomm::{Place, Tag};

#[path = "shared/ranks.rs"]
mod ranks;

use ranks::{Failure, Rank};

const LARGEST_BYTES: usize = 16 << 20;
/// How long one size is measured, so that its median is steady and the whole table takes seconds.
const TIME_PER_SIZE: Duration = Duration::from_millis(60);
const FEWEST_REPETITIONS: usize = 5;
const MOST_REPETITIONS: usize = 10_000;

/// Measures messages between ranks 0 and 1.
#[derive(clap::Args)]
struct Options {
    /// Where the messages lie: host or device.
    #[arg(long, default_value = "host")]
    place: Place,
}

fn main() -> ExitCode {
    ranks::run("pingpong", pingpong)
}

fn pingpong(rank: &Rank, options: &Options) -> Result<(), Failure> {
    rank.agree_to_place(options.place)?;
    let peers = match rank.comm.size() {
        1 => "rank 0 to itself",
        _ => "ranks 0 and 1",
    };
    rank.print(&format!(
        "{peers}, place {}, path {}\n{:>10} {:>12} {:>14} {:>12}",
        options.place, rank.path, "bytes", "repetitions", "one-way us", "MB/s"
    ))?;

    let mut bytes = 1;
    while bytes <= LARGEST_BYTES {
        let mut pair = Pair::new(rank, bytes);
        // The others take part in what all agree on only, so that they do not disturb.
        let measured = if rank.comm.rank() < 2 {
            pair.measure()
        } else {
            Ok(Measured::default())
        };
        let measured = rank.agree(measured.map_err(|error| error.to_string()))?;
        rank.agree(match measured.wrong_bytes {
            0 => Ok(()),
            wrong => Err(format!("{wrong} of {bytes} bytes arrived with wrong contents")),
        })?;
        let microseconds = measured.one_way.as_secs_f64() * 1e6;
        rank.print(&format!(
            "{bytes:>10} {:>12} {microseconds:>14.2} {:>12.1}",
            measured.repetitions,
            bytes as f64 / microseconds
        ))?;
        bytes *= 2;
    }
    Ok(())
}

/// The buffers of one rank for one size of message.
struct Pair<'a> {
    rank: &'a Rank,
    /// What this rank sends.
    ping: Vec<u8>,
    /// What it receives.
    pong: Vec<u8>,
}

#[derive(Default)]
struct Measured {
    repetitions: usize,
    one_way: Duration,
    wrong_bytes: usize,
}

impl Pair<'_> {
    fn new(rank: &Rank, bytes: usize) -> Pair<'_> {
        let me = rank.comm.rank();
        let ping = (0..bytes).map(|index| contents(me, index)).collect();
        Pair {
            rank,
            ping,
            pong: vec![0; bytes],
        }
    }

    fn measure(&mut self) -> warpcomm::Result<Measured> {
        // The first round trip also shows how many of them fit into the time.
        let first = self.round_trip()?;
        let mut wrong_bytes = self.wrong_bytes();
        let fitting = (TIME_PER_SIZE.as_nanos() / first.as_nanos().max(1)) as usize;
        let mut repetitions = fitting.clamp(FEWEST_REPETITIONS, MOST_REPETITIONS);
        if self.rank.comm.size() > 1 {
            repetitions = self.as_rank_0_says(repetitions)?;
        }

        self.pong.fill(0);
        let mut times = Vec::with_capacity(repetitions);
        for _ in 0..repetitions {
            times.push(self.round_trip()?);
        }
        wrong_bytes += self.wrong_bytes();
        times.sort_unstable();
        let legs = if self.rank.comm.size() > 1 { 2 } else { 1 };
        Ok(Measured {
            repetitions,
            one_way: times[times.len() / 2] / legs,
            wrong_bytes,
        })
    }

    /// Sends a message there and receives one back, or sends one to this rank itself.
    fn round_trip(&mut self) -> warpcomm::Result<Duration> {
        let comm = &self.rank.comm;
        let start = Instant::now();
        match (comm.rank(), comm.size()) {
            (_, 1) => {
                comm.sendrecv(&self.ping, 0, Tag(0), &mut self.pong, 0, Tag(0))?;
            }
            (0, _) => {
                comm.send(&self.ping, 1, Tag(0))?;
                comm.recv(&mut self.pong, 1, Tag(0))?;
            }
            _ => {
                comm.recv(&mut self.pong, 0, Tag(0))?;
                comm.send(&self.ping, 0, Tag(0))?;
            }
        }
        Ok(start.elapsed())
    }

    fn as_rank_0_says(&self, repetitions: usize) -> warpcomm::Result<usize> {
        let comm = &self.rank.comm;
        let mut agreed = repetitions as u64;
        match comm.rank() {
            0 => comm.send(&agreed, 1, Tag(1))?,
            _ => {
                comm.recv(&mut agreed, 0, Tag(1))?;
            }
        }
        Ok(agreed as usize)
    }

    fn wrong_bytes(&self) -> usize {
        let sender = match self.rank.comm.size() {
            1 => 0,
            _ => 1 - self.rank.comm.rank(),
        };
        let received = self.pong.iter().enumerate();
        received
            .filter(|&(index, &byte)| byte != contents(sender, index))
            .count()
    }
}

/// The byte at `index` of what `sender` sends; never 0, which is what the receiver starts with.
fn contents(sender: usize, index: usize) -> u8 {
    ((index * 7 + index / 251 + sender * 101) % 255) as u8 + 1
}
