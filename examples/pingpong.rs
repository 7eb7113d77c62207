//! How long a message from one rank to another takes: a table from 1 byte to 16 MiB.
//!
//! Ranks 0 and 1 send each other messages of the same size in turn, and any other ranks wait until
//! they are done. A rank that is alone sends to itself. What arrives is compared with what was sent. With
//! `--place device` the messages go from GPU to GPU.

use std::process::ExitCode;
use std::time::{Duration, Instant};

#[cfg(feature = "cuda")]
use warpcomm::cudarc::driver::CudaSlice;
use warpcomm::{Buffer, BufferMut, Communicator, Place, Tag};

#[cfg(feature = "cuda")]
#[path = "shared/gpu.rs"]
mod gpu;
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
        let mut pair = rank.agree(Pair::new(rank, options.place, bytes))?;
        // The others take part in what all agree on only, so that they do not disturb.
        let measured = if rank.comm.rank() < 2 {
            pair.measure()
        } else {
            Ok(Measured::default())
        };
        let measured = rank.agree(measured)?;
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
    memory: Memory,
}

/// What a rank sends, and what it receives.
enum Memory {
    Host {
        ping: Vec<u8>,
        pong: Vec<u8>,
    },
    #[cfg(feature = "cuda")]
    Device {
        gpu: gpu::Gpu,
        ping: CudaSlice<u8>,
        pong: CudaSlice<u8>,
    },
}

impl Memory {
    #[cfg_attr(
        not(feature = "cuda"),
        expect(unused_variables, reason = "only a GPU is a rank's own")
    )]
    fn new(comm: &Communicator, place: Place, ping: Vec<u8>) -> Result<Memory, String> {
        match place {
            #[cfg(feature = "cuda")]
            Place::Device => {
                let gpu = gpu::Gpu::new(comm)?;
                let (ping, pong) = (gpu.upload(&ping)?, gpu.zeroed(ping.len())?);
                gpu.stream.synchronize().map_err(gpu::failed)?;
                Ok(Memory::Device { gpu, ping, pong })
            }
            _ => {
                let pong = vec![0; ping.len()];
                Ok(Memory::Host { ping, pong })
            }
        }
    }

    /// Forgets what was received.
    fn clear(&mut self) -> Result<(), String> {
        match self {
            Memory::Host { pong, .. } => pong.fill(0),
            #[cfg(feature = "cuda")]
            Memory::Device { gpu, pong, .. } => gpu.stream.memset_zeros(pong).map_err(gpu::failed)?,
        }
        Ok(())
    }

    /// What was received.
    fn received(&self) -> Result<Vec<u8>, String> {
        match self {
            Memory::Host { pong, .. } => Ok(pong.clone()),
            #[cfg(feature = "cuda")]
            Memory::Device { gpu, pong, .. } => gpu.download(pong, pong.len()),
        }
    }
}

#[derive(Default)]
struct Measured {
    repetitions: usize,
    one_way: Duration,
    wrong_bytes: usize,
}

impl Pair<'_> {
    fn new(rank: &Rank, place: Place, bytes: usize) -> Result<Pair<'_>, String> {
        let me = rank.comm.rank();
        let ping = (0..bytes).map(|index| contents(me, index)).collect();
        let memory = Memory::new(&rank.comm, place, ping)?;
        Ok(Pair { rank, memory })
    }

    fn measure(&mut self) -> Result<Measured, String> {
        let text = |error: warpcomm::Error| error.to_string();
        // The first round trip also shows how many of them fit into the time.
        let first = self.round_trip().map_err(text)?;
        let mut wrong_bytes = self.wrong_bytes()?;
        let fitting = (TIME_PER_SIZE.as_nanos() / first.as_nanos().max(1)) as usize;
        let mut repetitions = fitting.clamp(FEWEST_REPETITIONS, MOST_REPETITIONS);
        if self.rank.comm.size() > 1 {
            repetitions = self.as_rank_0_says(repetitions).map_err(text)?;
        }

        self.memory.clear()?;
        let mut times = Vec::with_capacity(repetitions);
        for _ in 0..repetitions {
            times.push(self.round_trip().map_err(text)?);
        }
        wrong_bytes += self.wrong_bytes()?;
        times.sort_unstable();
        let legs = if self.rank.comm.size() > 1 { 2 } else { 1 };
        Ok(Measured {
            repetitions,
            one_way: times[times.len() / 2] / legs,
            wrong_bytes,
        })
    }

    fn round_trip(&mut self) -> warpcomm::Result<Duration> {
        let comm = &self.rank.comm;
        let start = Instant::now();
        match &mut self.memory {
            Memory::Host { ping, pong } => there_and_back(comm, ping, pong)?,
            #[cfg(feature = "cuda")]
            Memory::Device { ping, pong, .. } => there_and_back(comm, ping, pong)?,
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

    fn wrong_bytes(&self) -> Result<usize, String> {
        let sender = match self.rank.comm.size() {
            1 => 0,
            _ => 1 - self.rank.comm.rank(),
        };
        let received = self.memory.received()?;
        let is_wrong = |&(index, &byte): &(usize, &u8)| byte != contents(sender, index);
        Ok(received.iter().enumerate().filter(is_wrong).count())
    }
}

/// Sends a message there and receives one back, or sends one to this rank itself.
fn there_and_back<S, R>(comm: &Communicator, ping: &S, pong: &mut R) -> warpcomm::Result<()>
where
    S: Buffer<Element = u8>,
    R: BufferMut<Element = u8>,
{
    match (comm.rank(), comm.size()) {
        (_, 1) => {
            comm.sendrecv(ping, 0, Tag(0), pong, 0, Tag(0))?;
        }
        (0, _) => {
            comm.send(ping, 1, Tag(0))?;
            comm.recv(pong, 1, Tag(0))?;
        }
        _ => {
            comm.recv(pong, 0, Tag(0))?;
            comm.send(ping, 0, Tag(0))?;
        }
    }
    Ok(())
}

/// The byte at `index` of what `sender` sends; never 0, which is what the receiver starts with.
fn contents(sender: usize, index: usize) -> u8 {
    ((index * 7 + index / 251 + sender * 101) % 255) as u8 + 1
}
