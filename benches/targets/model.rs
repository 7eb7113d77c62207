//! What operations should take, by the limits of the machine: formulas, so that a figure can be told from what was to be
//! expected, and for more ranks than there are here.
//!
//! n is the bytes of a message or of what each rank reduces, p the ranks, Bm the bytes that a GPU reads and writes in its
//! own memory per second, Bp those that a link takes each way, c and k the length and number of the pieces, o what a
//! piece costs beside its bytes. Where the library does what the algorithm says, the formula counts what the library does.
//!
//! | operation | seconds | from |
//! |---|---|---|
//! | message, host | a + n/b; above the eager limit 3a + n/b | envelope, answer, body |
//! | message, shared pinned | 3a + w + n/Bp + c/Bp + k·o | a pipeline of two copies |
//! | message, staged | 3a + w + n/min(Bp, b) + a piece through the two other stages + k·o | a pipeline of three stages |
//! | message, same GPU IPC | 3a + w + o + 2n/Bm; from a plain buffer 4n/Bm | the receiver's copy; the sender's before it |
//! | agreement | (p - 1)a; above 64 ranks 2a·log2 p | frames between all; up and down a tree |
//! | allreduce, leader | agreement + 2a + l + w + 2pn/Bm | p reads and p writes |
//! | allreduce, one GPU: one-shot, two-shot, ring | agreement + l + w, 2(l + w), 2(p - 1)(l + w); p(p + 1)n, 2pn, 5(p - 1)n over Bm | bytes on the device |
//! | allreduce, two-shot | agreement + 2(start + (p - 1)n/p over the link) + fold of p blocks | blocks to who folds them, blocks to all |
//! | allreduce, ring | agreement + 2(p - 1)(start + n/p over the link) + p - 1 folds of two blocks | the same bytes, one step after the other |
//! | bcast, tree | agreement + the sum over log2 p rounds of start + n over the link | |
//! | bcast, blocks | agreement + 2(start + (p - 1)n/p over the link) | a block to each, blocks to all |
//!
//! a and b are the latency and the bandwidth of messages between two hosts' ranks, w a wait for a stream, l the launch of
//! a kernel. Ranks that share a GPU, its link or the processors of one machine share their bandwidth; with more than
//! those of this machine, each is taken to have its own, and for the network the messages between two ranks here.

use serde::{Deserialize, Serialize};

#[allow(
    dead_code,
    unused_imports,
    reason = "the library needs more of it, and has its tests"
)]
#[path = "../../src/plan/lengths.rs"]
pub mod lengths;

/// The longest message in bytes that is not offered first.
const EAGER_BYTES: usize = 4000;

/// The most bytes that ride in the frames of an agreement, and the most ranks whose frames go to all.
const FRAME: (usize, usize) = (256, 64);

/// The most ranks for which one kernel folds.
const LED_RANKS: usize = 16;

/// From so many bytes on a bcast among three or more goes in blocks, and an allreduce.
const BLOCKS_FROM: (usize, usize) = (256 << 10, 16 << 10);

/// What a GPU and its link were measured to do.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct GpuLimits {
    /// Bytes read and written per second by copies of its own memory.
    pub copy_bytes_per_second: f64,
    /// Bytes per second into pinned memory of the host.
    pub down_bytes_per_second: f64,
    /// Bytes per second from there.
    pub up_bytes_per_second: f64,
    /// Bytes per second each way when both go at once: of the slower one.
    pub both_bytes_per_second: f64,
    /// A short copy and an event behind it, among many.
    pub copy_and_event_seconds: f64,
    /// The launch of a kernel, among many.
    pub launch_seconds: f64,
    /// What it takes the host to wait for a stream, beside what the stream does.
    pub synchronize_seconds: f64,
}

impl GpuLimits {
    /// Bytes per second of a message that goes down and up.
    pub fn pinned(&self) -> f64 {
        self.down_bytes_per_second.min(self.up_bytes_per_second)
    }
}

/// What messages and folds between ranks of the host were measured to do.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct HostLimits {
    /// A message of 8 bytes, one way.
    pub latency_seconds: f64,
    /// Of long messages, one way.
    pub bytes_per_second: f64,
    /// Bytes of one input per second that a rank adds to its result.
    pub fold_bytes_per_second: f64,
    /// Hardware threads of this machine.
    pub processors: usize,
}

/// All limits.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Limits {
    pub host: HostLimits,
    /// None without a GPU.
    pub gpu: Option<GpuLimits>,
}

/// How messages go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Way {
    Host,
    Staged,
    SharedPinned,
    /// From a buffer that others can copy from.
    SameGpuIpc,
    /// From any other buffer.
    SameGpuIpcByTwoCopies,
}

/// How ranks reduce.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Shape {
    /// One kernel of one rank, for all.
    Leader,
    /// Each rank reads the elements of all.
    OneShot,
    /// Each rank folds a block, then all get all blocks.
    TwoShot,
    /// Blocks go around.
    Ring,
}

/// What ranks have to themselves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Spread {
    /// All ranks share this machine, its GPU and the link to it.
    OneMachine,
    /// Each has a GPU, a link and processors of its own.
    OwnEach,
}

/// What carries messages, as algorithms see it.
struct Link {
    /// A message beside its bytes.
    start: f64,
    /// Each further one that a rank has at the same time.
    more: f64,
    seconds_per_byte: f64,
    /// How many go at full speed at the same time.
    at_once: f64,
}

impl Link {
    /// `messages` at the same time, each of so many bytes.
    fn round(&self, messages: f64, bytes: f64) -> f64 {
        bytes * self.seconds_per_byte * (messages / self.at_once).max(1.0)
    }

    /// Every one of `ranks` ranks sends so many bytes to each other one.
    fn exchange(&self, ranks: f64, bytes: f64) -> f64 {
        self.start + (ranks - 2.0) * self.more + (ranks - 1.0) * self.round(ranks, bytes)
    }
}

impl Limits {
    /// A message from one rank to another, in seconds; none for a way that needs a GPU where there is none.
    pub fn message(&self, way: Way, bytes: usize) -> Option<f64> {
        let n = bytes as f64;
        let host = &self.host;
        if way == Way::Host {
            return Some(self.start(bytes) + n / host.bytes_per_second);
        }
        let gpu = self.gpu.as_ref()?;
        let start = self.start(usize::MAX) + gpu.synchronize_seconds;
        let chunk = lengths::chunk_bytes(bytes);
        let (c, pieces) = (
            chunk.min(bytes) as f64,
            bytes.div_ceil(chunk) as f64 * gpu.copy_and_event_seconds,
        );
        Some(match way {
            Way::Host => return None,
            Way::SharedPinned => start + (n + c) / gpu.pinned() + pieces,
            Way::Staged => {
                let stages = [
                    gpu.down_bytes_per_second,
                    gpu.up_bytes_per_second,
                    host.bytes_per_second,
                ];
                let slowest = stages.into_iter().fold(f64::INFINITY, f64::min);
                let through: f64 = stages.into_iter().map(|stage| c / stage).sum();
                start + (n - c) / slowest + through + pieces
            }
            Way::SameGpuIpc => start + gpu.copy_and_event_seconds + 2.0 * n / gpu.copy_bytes_per_second,
            Way::SameGpuIpcByTwoCopies => {
                start + 2.0 * gpu.copy_and_event_seconds + 4.0 * n / gpu.copy_bytes_per_second
            }
        })
    }

    /// An allreduce of so many bytes on each rank, in seconds; none where it cannot be.
    pub fn allreduce(
        &self,
        shape: Shape,
        way: Way,
        spread: Spread,
        ranks: usize,
        bytes: usize,
    ) -> Option<f64> {
        let agreement = self.agreement(ranks);
        if bytes <= FRAME.0 && ranks <= FRAME.1 {
            return Some(agreement + self.ends(way)?);
        }
        let (n, p) = (bytes as f64, ranks as f64);
        if shape == Shape::Leader || shape == Shape::OneShot || way == Way::SameGpuIpc {
            let gpu = self.gpu.as_ref().filter(|_| way == Way::SameGpuIpc)?;
            if spread == Spread::OwnEach || shape == Shape::Leader && ranks > LED_RANKS {
                return None;
            }
            let wait = gpu.launch_seconds + gpu.synchronize_seconds;
            let (waits, moved) = match shape {
                Shape::Leader => (wait + 2.0 * self.host.latency_seconds, 2.0 * p * n),
                Shape::OneShot => (wait, p * (p + 1.0) * n),
                Shape::TwoShot => (2.0 * wait, 2.0 * p * n),
                Shape::Ring => (2.0 * (p - 1.0) * wait, 5.0 * (p - 1.0) * n),
            };
            return Some(agreement + waits + moved / gpu.copy_bytes_per_second);
        }
        let block = n / p;
        let link = self.link(way, spread, bytes.div_ceil(ranks))?;
        Some(match shape {
            Shape::Ring => {
                let step = link.start + link.round(p, block);
                agreement + 2.0 * (p - 1.0) * step + (p - 1.0) * self.fold(way, spread, p, 2.0, block)?
            }
            // Each rank sends everything to each other one, and folds all of it.
            _ if bytes < BLOCKS_FROM.1 => {
                let link = self.link(way, spread, bytes)?;
                agreement + link.exchange(p, n) + self.fold(way, spread, p, p, n)?
            }
            _ => agreement + 2.0 * link.exchange(p, block) + self.fold(way, spread, p, p, block)?,
        })
    }

    /// A bcast of so many bytes, in seconds.
    pub fn bcast(&self, way: Way, spread: Spread, ranks: usize, bytes: usize) -> Option<f64> {
        let agreement = self.agreement(ranks);
        if bytes <= FRAME.0 && ranks <= FRAME.1 {
            return Some(agreement + self.ends(way)?);
        }
        let (n, p) = (bytes as f64, ranks as f64);
        if bytes >= BLOCKS_FROM.0 && ranks >= 3 {
            let block = n / p;
            let link = self.link(way, spread, bytes.div_ceil(ranks))?;
            // The root's own link takes one block after the other.
            let dealt = link.start + (p - 2.0) * link.more + (p - 1.0) * link.round(1.0, block);
            return Some(agreement + dealt + link.exchange(p, block));
        }
        let link = self.link(way, spread, bytes)?;
        let mut seconds = agreement;
        let mut have = 1;
        while have < ranks {
            let messages = have.min(ranks - have);
            seconds += link.start + link.round(messages as f64, n);
            have += messages;
        }
        Some(seconds)
    }

    /// The agreement of ranks before a collective.
    fn agreement(&self, ranks: usize) -> f64 {
        let messages = match ranks <= FRAME.1 {
            true => ranks - 1,
            false => 2 * ranks.next_power_of_two().ilog2() as usize,
        };
        messages as f64 * self.host.latency_seconds
    }

    /// What few bytes cost at both ends of a message, beside the message.
    fn ends(&self, way: Way) -> Option<f64> {
        match way {
            Way::Host => Some(0.0),
            _ => self
                .gpu
                .map(|gpu| 2.0 * gpu.copy_and_event_seconds + gpu.synchronize_seconds),
        }
    }

    /// Envelope and, if it is too long to go along, the answer and the body.
    fn start(&self, bytes: usize) -> f64 {
        let messages = if bytes <= EAGER_BYTES { 1.0 } else { 3.0 };
        messages * self.host.latency_seconds
    }

    fn link(&self, way: Way, spread: Spread, bytes: usize) -> Option<Link> {
        let host = &self.host;
        let many = |few: f64| match spread {
            Spread::OneMachine => few.max(1.0),
            Spread::OwnEach => f64::INFINITY,
        };
        if way == Way::Host {
            return Some(Link {
                start: self.start(bytes),
                more: self.start(bytes),
                seconds_per_byte: 1.0 / host.bytes_per_second,
                // Each keeps who sends and who receives.
                at_once: many(host.processors as f64 / 2.0),
            });
        }
        let gpu = self.gpu.as_ref()?;
        // Both directions of one link at once, or of a link each.
        let pinned = gpu.both_bytes_per_second.min(gpu.pinned());
        let seconds_per_byte = match way {
            Way::Staged => 1.0 / pinned.min(host.bytes_per_second),
            Way::SameGpuIpc => 2.0 / gpu.copy_bytes_per_second,
            Way::SameGpuIpcByTwoCopies => 4.0 / gpu.copy_bytes_per_second,
            Way::Host | Way::SharedPinned => 1.0 / pinned,
        };
        Some(Link {
            start: self.message(way, bytes)? - bytes as f64 * seconds_per_byte,
            more: self.start(bytes) + gpu.copy_and_event_seconds,
            seconds_per_byte,
            at_once: many(1.0),
        })
    }

    /// A fold of so many inputs of so many bytes by each of `ranks` ranks.
    fn fold(&self, way: Way, spread: Spread, ranks: f64, inputs: f64, bytes: f64) -> Option<f64> {
        if way == Way::Host {
            let crowd = match spread {
                Spread::OneMachine => (ranks / self.host.processors as f64).max(1.0),
                Spread::OwnEach => 1.0,
            };
            return Some(inputs * bytes * crowd / self.host.fold_bytes_per_second);
        }
        let gpu = self.gpu.as_ref()?;
        let crowd = match spread {
            Spread::OneMachine => ranks,
            Spread::OwnEach => 1.0,
        };
        Some(gpu.launch_seconds + (inputs + 1.0) * bytes * crowd / gpu.copy_bytes_per_second)
    }
}
