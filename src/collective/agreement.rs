//! How ranks agree on a collective before they move its data.
//!
//! Every rank tells every other what it is about to do, in a frame of 32 bytes behind which a payload of up
//! to 256 bytes may ride. Ranks that differ find out together, and a rank whose arguments are bad says so
//! instead of staying away.
//!
//! ```text
//! up to 64 ranks: frame to every other rank; compare all
//! above:          frames are merged up a binomial tree while they are the same;
//!                 rank 0 sends the verdict down; if they differ it asks for all frames first
//! ```

use bytemuck::{Pod, Zeroable};

use super::Call;
use crate::buffer::Span;
use crate::device::Place;
use crate::dtype::Dtype;
use crate::engine::{Phase, Sequence, Slab, Transfer};
use crate::error::{Error, ErrorKind, Result, shortened};
use crate::op::Op;
use crate::plan::{DIRECT_FRAME_RANKS, FRAME_PAYLOAD_BYTES, Operation};
use crate::transport::Whereabouts;

/// What a rank is about to do, as far as the ranks must agree on it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Terms {
    pub dtype: Option<Dtype>,
    pub op: Option<Op>,
    pub root: Option<usize>,
    /// Elements that each rank contributes or gets.
    pub count: usize,
    /// Whether the counts may differ.
    pub any_count: bool,
    /// Where kernels reach this rank's elements; they need not agree on that. See [`Call::reach`].
    pub reach: Whereabouts,
}

impl Terms {
    /// An operation without data.
    pub(super) const NONE: Terms = Terms {
        dtype: None,
        op: None,
        root: None,
        count: 0,
        any_count: false,
        reach: Whereabouts::NOWHERE,
    };
}

#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
struct Frame {
    sequence: u64,
    count: u64,
    root: u32,
    operation: u8,
    dtype: u8,
    op: u8,
    any_count: u8,
    /// Whether some of this rank's elements are on a GPU.
    on_device: u8,
    /// 0, or 1 + the code of the kind of this rank's error, whose text is the payload.
    failed: u8,
    payload_bytes: u16,
    /// See [`Terms::reach`].
    reach: u32,
}

const FRAME_BYTES: usize = size_of::<Frame>();
const CAPACITY: usize = FRAME_BYTES + FRAME_PAYLOAD_BYTES;
const NONE: u8 = u8::MAX;

impl Frame {
    fn new(call: &Call<'_>, terms: &Terms, local: &Result<()>, riding: Option<&[u8]>) -> Frame {
        let payload_bytes = match local {
            Err(error) => shortened(error.message(), FRAME_PAYLOAD_BYTES).len(),
            Ok(()) => riding.map_or(0, <[u8]>::len),
        };
        debug_assert!(payload_bytes <= FRAME_PAYLOAD_BYTES);
        Frame {
            sequence: call.sequence.code(),
            count: terms.count as u64,
            root: terms.root.map_or(u32::MAX, |root| root as u32),
            operation: call.operation as u8,
            dtype: terms.dtype.map_or(NONE, Dtype::code),
            op: terms.op.map_or(NONE, Op::code),
            any_count: u8::from(terms.any_count),
            on_device: u8::from(call.on_device),
            failed: local.as_ref().err().map_or(0, |error| 1 + error.kind().code()),
            payload_bytes: payload_bytes as u16,
            reach: terms.reach.word(),
        }
    }

    fn read(message: &[u8]) -> Result<Frame> {
        let head = message.get(..FRAME_BYTES).ok_or_else(|| {
            Error::new(
                ErrorKind::Mismatch,
                format!("a message of {} bytes is no frame", message.len()),
            )
        })?;
        Ok(bytemuck::pod_read_unaligned(head))
    }

    /// What must be the same on all ranks. Places may differ: they only choose the path.
    fn terms(&self) -> Frame {
        let count = if self.any_count == 1 { 0 } else { self.count };
        Frame {
            count,
            on_device: 0,
            failed: 0,
            payload_bytes: 0,
            reach: 0,
            ..*self
        }
    }

    fn failure(&self) -> Option<ErrorKind> {
        self.failed
            .checked_sub(1)
            .map(|code| ErrorKind::from_code(code).unwrap_or(ErrorKind::PeerFailed))
    }

    /// The operation in words.
    fn describe(&self) -> String {
        let name = Operation::from_code(self.operation).map_or("something unknown", Operation::name);
        let mut text = format!("{name} {}", Sequence::from_code(self.sequence));
        if let Some(dtype) = Dtype::from_code(self.dtype) {
            match self.any_count {
                0 => text.push_str(&format!(" of {} {dtype}", self.count)),
                _ => text.push_str(&format!(" of {dtype}")),
            }
        }
        if let Some(op) = Op::from_code(self.op) {
            text.push_str(&format!(", {op}"));
        }
        if self.root != u32::MAX {
            text.push_str(&format!(", root {}", self.root));
        }
        text
    }
}

/// What the ranks agreed on.
pub(super) struct Agreed<'a> {
    rank: usize,
    /// The frames of the other ranks in the order of [`Call::others`], where they were exchanged directly.
    peers: Vec<Peer<'a>>,
    /// Whether some of the elements of any rank are on a GPU.
    pub on_device: bool,
    /// From where kernels reach the elements.
    pub reach: Reach,
    /// This rank could not send a frame at the first attempt: it goes on, and marks what it owes.
    pub failure: Option<Error>,
}

/// From where kernels reach elements of the ranks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reach {
    /// No rank says that of its elements.
    Nobody,
    /// Those of some.
    Some,
    /// Those of all, which are on several GPUs.
    Apart,
    /// Those of all, which are on GPUs that may reach each other's memory.
    Neighbours,
    /// Those of all, which are on one GPU.
    OneGpu,
}

impl Reach {
    fn of(own: Whereabouts, peers: impl Iterator<Item = Whereabouts> + Clone) -> Reach {
        let (mut is_anybody, mut is_everybody) = (own.gpu != 0, own.gpu != 0);
        let (mut is_one_gpu, mut are_neighbours) = (true, own.neighbours != 0);
        let mut must_be_apart = own.neighbours & Whereabouts::APART != 0;
        for peer in peers.clone() {
            is_one_gpu &= peer.gpu == own.gpu;
            are_neighbours &= peer.neighbours == own.neighbours;
            must_be_apart |= peer.neighbours & Whereabouts::APART != 0;
            is_anybody |= peer.gpu != 0;
            is_everybody &= peer.gpu != 0;
        }
        if must_be_apart && is_everybody {
            let mut gpus: Vec<u16> = peers.map(|peer| peer.gpu).chain([own.gpu]).collect();
            gpus.sort_unstable();
            is_one_gpu = false;
            are_neighbours &= gpus.windows(2).all(|pair| pair[0] != pair[1]);
        }
        match is_everybody {
            true if is_one_gpu => Reach::OneGpu,
            true if are_neighbours => Reach::Neighbours,
            true => Reach::Apart,
            false if is_anybody => Reach::Some,
            false => Reach::Nobody,
        }
    }
}

/// The exchange of frames with one other rank.
struct Peer<'a> {
    rank: usize,
    receive: Transfer<'a>,
    send: Option<Transfer<'a>>,
    frame: Frame,
}

impl Agreed<'_> {
    fn peer(&self, rank: usize) -> Option<&Peer<'_>> {
        // Nobody, where frames were not exchanged directly.
        let ranks = self.peers.len() + 1;
        let step = (rank + ranks).checked_sub(self.rank)? % ranks;
        self.peers.get(step.checked_sub(1)?)
    }

    /// The payload that rode in a rank's frame; empty for one's own.
    pub(super) fn payload(&self, rank: usize) -> &[u8] {
        self.peer(rank).map_or(&[], Peer::payload)
    }

    /// The count in a rank's frame, where frames were exchanged directly.
    pub(super) fn count(&self, rank: usize) -> Option<u64> {
        self.peer(rank).map(|peer| peer.frame.count)
    }

    /// The end of a collective whose data were in its frames.
    pub(super) fn over(self) -> Result<()> {
        self.failure.map_or(Ok(()), Err)
    }
}

impl Peer<'_> {
    fn payload(&self) -> &[u8] {
        let end = FRAME_BYTES + usize::from(self.frame.payload_bytes);
        self.receive.slab().get(FRAME_BYTES..end).unwrap_or(&[])
    }
}

impl<'a> Call<'a> {
    /// Agrees with all ranks on `terms`; `local` says whether this rank is ready.
    ///
    /// The elements of `riding`, at most [`FRAME_PAYLOAD_BYTES`], reach every rank if there are at most
    /// [`DIRECT_FRAME_RANKS`].
    pub(super) async fn agree<'c>(
        &'c self,
        terms: Terms,
        local: Result<()>,
        riding: Option<&Span<'_>>,
    ) -> Result<Agreed<'c>> {
        if let Some(dtype) = terms.dtype.filter(|_| self.operation.moves_data()) {
            self.activity.carries(dtype);
        }
        let alone = Agreed {
            rank: self.rank(),
            peers: Vec::new(),
            on_device: self.on_device,
            reach: Reach::Nobody,
            failure: None,
        };
        if !self.is_checked() || self.ranks() == 1 {
            return local.map(|()| alone);
        }
        let mut fetched = None;
        let (local, riding) = match (local, riding) {
            (Ok(()), Some(span)) => match bytes_of(span, &mut fetched).await {
                Ok(bytes) => (Ok(()), Some(bytes)),
                Err(error) => (Err(error), None),
            },
            (local, _) => (local, None),
        };
        let frame = Frame::new(self, &terms, &local, riding);
        let agreed = match self.ranks() <= DIRECT_FRAME_RANKS {
            true => self.agree_directly(alone, frame, local, riding).await,
            // Boxed, because it is long, and rarely needed.
            false => Box::pin(self.agree_along_tree(frame, local))
                .await
                .map(|agreed| agreed.map(|on_device| Agreed { on_device, ..alone })),
        };
        // Frames that were lost on the way leave the ranks in different collectives.
        agreed.inspect_err(|error| self.endpoint().poison_with(error))?
    }

    /// The outer error is the transport's.
    async fn agree_directly<'c>(
        &'c self,
        mut agreed: Agreed<'c>,
        own: Frame,
        local: Result<()>,
        riding: Option<&[u8]>,
    ) -> Result<Result<Agreed<'c>>> {
        let (transport, private, tag) = (self.endpoint().engine.transport(), self.private(), self.tag());
        agreed.peers.reserve_exact(self.ranks() - 1);
        for rank in self.others() {
            let receive = Transfer::receive_slab(transport, private, Some(rank), Some(tag), CAPACITY)?;
            agreed.peers.push(Peer {
                rank,
                receive,
                send: None,
                frame: own,
            });
        }
        for peer in &mut agreed.peers {
            let send = || {
                let (slab, bytes) = written(own, &local, riding);
                Transfer::send_slab(transport, private, peer.rank, tag, slab, bytes)
            };
            // Without this frame the peer would wait for ever.
            let sent = send().or_else(|error| {
                // Between steps, what the second attempt mends must not divide the ranks.
                if !self.operation.has_steps() {
                    agreed.failure.get_or_insert(error);
                }
                send()
            });
            peer.send = Some(sent?);
        }
        for peer in &mut agreed.peers {
            self.activity.waits_to_agree_with(peer.rank);
            let delivery = (&mut peer.receive).await?;
            peer.frame = Frame::read(&peer.receive.slab()[..delivery.bytes])?;
        }
        self.activity.all_have_entered();
        for send in agreed.peers.iter_mut().filter_map(|peer| peer.send.take()) {
            send.await?;
        }
        if let Err(error) = local {
            return Ok(Err(error));
        }
        let differs = |peer: &Peer<'_>| peer.frame.failed != 0 || peer.frame.terms() != own.terms();
        if agreed.peers.iter().any(differs) {
            return Ok(Err(self.disagreement(&agreed, own)));
        }
        agreed.on_device |= agreed.peers.iter().any(|peer| peer.frame.on_device != 0);
        let whereabouts = |frame: &Frame| Whereabouts::of_word(frame.reach);
        let peers = agreed.peers.iter().map(|peer| whereabouts(&peer.frame));
        agreed.reach = Reach::of(whereabouts(&own), peers);
        Ok(Ok(agreed))
    }

    /// Why the ranks do not agree.
    #[cold]
    fn disagreement(&self, agreed: &Agreed<'_>, own: Frame) -> Error {
        let frame = |rank: usize| agreed.peer(rank).map_or(own, |peer| peer.frame);
        let failed = (0..self.ranks()).find_map(|rank| frame(rank).failure().map(|kind| (rank, kind)));
        match failed {
            Some((rank, kind)) => peer_failure(rank, kind, &String::from_utf8_lossy(agreed.payload(rank))),
            None => {
                let frames: Vec<Frame> = (0..self.ranks()).map(frame).collect();
                Error::new(ErrorKind::Mismatch, odd_ranks(&frames))
            }
        }
    }

    /// For many ranks: merges up a binomial tree, and brings rank 0's verdict down, with whether elements of any rank are
    /// on a GPU.
    async fn agree_along_tree(&self, own: Frame, local: Result<()>) -> Result<Result<bool>> {
        let (rank, ranks) = (self.rank(), self.ranks());
        let mut merged = Merged {
            frame: own,
            differ: false,
            failed: None,
        };
        if let Err(error) = &local {
            let text = shortened(error.message(), FRAME_PAYLOAD_BYTES).to_owned();
            merged.failed = Some((rank, error.kind(), text));
        }
        let mut bit = 1;
        while bit < ranks && rank & bit == 0 {
            if rank | bit < ranks {
                let (slab, bytes) = self.receive_frame(rank | bit).await?;
                merged.absorb(Merged::read(&slab.bytes()[..bytes])?);
            }
            bit <<= 1;
        }
        let parent = rank & !bit;
        let verdict = if rank == 0 {
            let on_device = merged.frame.on_device != 0;
            let failure = if merged.differ && merged.failed.is_none() {
                self.spread(bit, &[ASK]).await?;
                let mut all = vec![own];
                for other in 1..ranks {
                    let (slab, bytes) = self.receive_frame(other).await?;
                    all.push(Frame::read(&slab.bytes()[..bytes])?);
                }
                Some((ErrorKind::Mismatch, None, odd_ranks(&all)))
            } else {
                merged.failed.map(|(other, kind, text)| (kind, Some(other), text))
            };
            failure.map_or(Verdict::Agreed { on_device }, Verdict::Failed)
        } else {
            self.send_frame(parent, &merged.written()).await?;
            let (mut slab, mut bytes) = self.receive_frame(parent).await?;
            if slab.bytes()[..bytes] == [ASK] {
                self.spread(bit, &[ASK]).await?;
                self.send_frame(0, bytemuck::bytes_of(&own)).await?;
                (slab, bytes) = self.receive_frame(parent).await?;
            }
            read_verdict(&slab.bytes()[..bytes])?
        };
        self.spread(bit, &written_verdict(&verdict)).await?;
        Ok(local.and_then(|()| match verdict {
            Verdict::Agreed { on_device } => Ok(on_device),
            Verdict::Failed((kind, Some(other), text)) => Err(peer_failure(other, kind, &text)),
            Verdict::Failed((kind, None, text)) => Err(Error::new(kind, text)),
        }))
    }

    fn private(&self) -> &crate::transport::Context {
        &self.endpoint().family.private
    }

    async fn receive_frame(&self, from: usize) -> Result<(Slab, usize)> {
        // It may have entered, and wait for others further down or up.
        self.activity.waits_for_rank(Phase::Step, from);
        let (transport, tag) = (self.endpoint().engine.transport(), self.tag());
        let mut receive =
            Transfer::receive_slab(transport, self.private(), Some(from), Some(tag), VERDICT_BYTES)?;
        let delivery = (&mut receive).await?;
        Ok((receive.into_slab(), delivery.bytes))
    }

    async fn send_frame(&self, to: usize, bytes: &[u8]) -> Result<()> {
        let transport = self.endpoint().engine.transport();
        let send = || {
            let mut slab = Slab::take();
            slab.bytes_mut()[..bytes.len()].copy_from_slice(bytes);
            Transfer::send_slab(transport, self.private(), to, self.tag(), slab, bytes.len())
        };
        // Without this frame the peer would wait for ever.
        send().or_else(|_| send())?.await.map(drop)
    }

    /// Sends to the children of this rank in the tree, which it has below `bit`.
    async fn spread(&self, bit: usize, bytes: &[u8]) -> Result<()> {
        let mut below = bit >> 1;
        while below > 0 {
            let child = self.rank() | below;
            if child < self.ranks() {
                self.send_frame(child, bytes).await?;
            }
            below >>= 1;
        }
        Ok(())
    }
}

/// Rank 0's request for the frames of all ranks, which have turned out to differ.
const ASK: u8 = 2;

/// The longest message on the tree.
const VERDICT_BYTES: usize = 2048;

/// The frames of a subtree.
struct Merged {
    frame: Frame,
    differ: bool,
    /// The lowest rank that is not ready, and why.
    failed: Option<(usize, ErrorKind, String)>,
}

impl Merged {
    fn absorb(&mut self, other: Merged) {
        self.differ |= other.differ || self.frame.terms() != other.frame.terms();
        self.frame.on_device |= other.frame.on_device;
        // Subtrees are absorbed in the order of their ranks.
        if self.failed.is_none() {
            self.failed = other.failed;
        }
    }

    fn written(&self) -> Vec<u8> {
        let mut bytes = bytemuck::bytes_of(&self.frame).to_vec();
        bytes.push(u8::from(self.differ));
        if let Some((rank, kind, text)) = &self.failed {
            bytes.push(kind.code());
            bytes.extend((*rank as u32).to_le_bytes());
            bytes.extend(text.as_bytes());
        }
        bytes
    }

    fn read(bytes: &[u8]) -> Result<Merged> {
        let frame = Frame::read(bytes)?;
        let rest = &bytes[FRAME_BYTES..];
        let differ = rest.first() == Some(&1);
        let failed = match rest.get(1..) {
            Some([kind, a, b, c, d, text @ ..]) => Some((
                u32::from_le_bytes([*a, *b, *c, *d]) as usize,
                ErrorKind::from_code(*kind).unwrap_or(ErrorKind::PeerFailed),
                String::from_utf8_lossy(text).into_owned(),
            )),
            _ => None,
        };
        Ok(Merged {
            frame,
            differ,
            failed,
        })
    }
}

/// What rank 0 has found.
enum Verdict {
    Agreed {
        on_device: bool,
    },
    /// Which kind of error, of which rank if of one, and its text.
    Failed((ErrorKind, Option<usize>, String)),
}

fn written_verdict(verdict: &Verdict) -> Vec<u8> {
    match verdict {
        Verdict::Agreed { on_device } => vec![0, u8::from(*on_device)],
        Verdict::Failed((kind, rank, text)) => {
            let mut bytes = vec![1, kind.code()];
            bytes.extend(rank.map_or(u32::MAX, |rank| rank as u32).to_le_bytes());
            bytes.extend(shortened(text, VERDICT_BYTES - bytes.len()).as_bytes());
            bytes
        }
    }
}

fn read_verdict(bytes: &[u8]) -> Result<Verdict> {
    match bytes {
        [0, on_device] => Ok(Verdict::Agreed {
            on_device: *on_device != 0,
        }),
        [1, kind, a, b, c, d, text @ ..] => {
            let rank = u32::from_le_bytes([*a, *b, *c, *d]);
            let kind = ErrorKind::from_code(*kind).unwrap_or(ErrorKind::PeerFailed);
            let rank = (rank != u32::MAX).then_some(rank as usize);
            Ok(Verdict::Failed((
                kind,
                rank,
                String::from_utf8_lossy(text).into_owned(),
            )))
        }
        _ => Err(Error::new(ErrorKind::Mismatch, "a message that is no verdict")),
    }
}

/// The bytes of elements that ride in a frame; those on a GPU are fetched.
async fn bytes_of<'b>(span: &'b Span<'_>, fetched: &'b mut Option<Slab>) -> Result<&'b [u8]> {
    match span.place() {
        // SAFETY: the elements are in host memory, and borrowed; nobody writes them before the agreement is over.
        Place::Host => Ok(unsafe { std::slice::from_raw_parts(span.pointer(), span.bytes()) }),
        Place::Device => {
            let bytes = &mut fetched.insert(Slab::take()).bytes_mut()[..span.bytes()];
            span.read(bytes).await?;
            Ok(bytes)
        }
    }
}

/// A frame with what rides in it: the elements, or the text of this rank's error.
fn written(frame: Frame, local: &Result<()>, riding: Option<&[u8]>) -> (Slab, usize) {
    let mut slab = Slab::take();
    let bytes = slab.bytes_mut();
    bytes[..FRAME_BYTES].copy_from_slice(bytemuck::bytes_of(&frame));
    let length = usize::from(frame.payload_bytes);
    let room = &mut bytes[FRAME_BYTES..FRAME_BYTES + length];
    match (local, riding) {
        (Err(error), _) => room.copy_from_slice(&error.message().as_bytes()[..length]),
        (Ok(()), Some(riding)) => room.copy_from_slice(riding),
        (Ok(()), None) => {}
    }
    (slab, FRAME_BYTES + length)
}

/// The error of a rank that is ready when another is not. A mismatch that one rank has found is everybody's.
pub(super) fn peer_failure(rank: usize, kind: ErrorKind, text: &str) -> Error {
    let kind = if kind == ErrorKind::Mismatch {
        kind
    } else {
        ErrorKind::PeerFailed
    };
    Error::new(kind, format!("rank {rank} failed: {text}"))
}

/// Says which ranks differ from most, and how.
fn odd_ranks(frames: &[Frame]) -> String {
    let votes = |frame: &Frame| {
        frames
            .iter()
            .filter(|other| other.terms() == frame.terms())
            .count()
    };
    let mut usual = &frames[0];
    for frame in frames {
        if votes(frame) > votes(usual) {
            usual = frame;
        }
    }
    let mut groups: Vec<(&Frame, Vec<usize>)> = Vec::new();
    for (rank, frame) in frames
        .iter()
        .enumerate()
        .filter(|(_, frame)| frame.terms() != usual.terms())
    {
        match groups
            .iter_mut()
            .find(|(other, _)| other.terms() == frame.terms())
        {
            Some((_, ranks)) => ranks.push(rank),
            None => groups.push((frame, vec![rank])),
        }
    }
    let odd: Vec<String> = groups
        .iter()
        .map(|(frame, ranks)| {
            let ranks: Vec<String> = ranks.iter().map(ToString::to_string).collect();
            let word = if ranks.len() == 1 { "rank" } else { "ranks" };
            format!("{word} {} called {}", ranks.join(", "), frame.describe())
        })
        .collect();
    format!(
        "the ranks disagree: {}; the others {}",
        odd.join("; "),
        usual.describe()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(count: u64) -> Frame {
        Frame {
            sequence: 3,
            count,
            root: u32::MAX,
            operation: Operation::Allreduce as u8,
            dtype: Dtype::F32.code(),
            op: Op::Sum.code(),
            any_count: 0,
            on_device: 0,
            failed: 0,
            payload_bytes: 0,
            reach: 0,
        }
    }

    #[test]
    fn the_odd_ranks_are_those_that_differ_from_most() {
        let text = odd_ranks(&[frame(8), frame(4), frame(8), frame(5), frame(4), frame(8)]);
        assert!(
            text.contains("ranks 1, 4 called allreduce #3 of 4 f32, "),
            "{text}"
        );
        assert!(text.contains("rank 3 called allreduce #3 of 5 f32, "), "{text}");
        assert!(text.contains("the others allreduce #3 of 8 f32, "), "{text}");
    }

    #[test]
    fn kernels_reach_all_where_all_say_the_same() {
        let whereabouts = |(gpu, neighbours): &(u16, u16)| Whereabouts {
            gpu: *gpu,
            neighbours: *neighbours,
        };
        let of = |ranks: &[(u16, u16)]| {
            let words = ranks[1..].iter().map(|rank| whereabouts(rank).word());
            Reach::of(whereabouts(&ranks[0]), words.map(Whereabouts::of_word))
        };
        assert_eq!(of(&[(0, 0), (0, 0), (0, 0)]), Reach::Nobody);
        assert_eq!(of(&[(0, 0), (0, 0), (7, 3)]), Reach::Some);
        assert_eq!(of(&[(7, 3), (7, 3), (0, 0)]), Reach::Some);
        assert_eq!(of(&[(7, 0), (8, 0)]), Reach::Apart);
        assert_eq!(of(&[(7, 3), (8, 0), (7, 3)]), Reach::Apart);
        assert_eq!(of(&[(7, 3), (8, 4)]), Reach::Apart);
        assert_eq!(of(&[(7, 3), (8, 3), (7, 3)]), Reach::Neighbours);
        assert_eq!(of(&[(7, 3), (7, 3)]), Reach::OneGpu);
        assert_eq!(of(&[(7, 1), (7, 0)]), Reach::OneGpu);
        // Ranks of one GPU may not reach each other.
        let apart = 3 | Whereabouts::APART;
        assert_eq!(of(&[(7, apart), (8, apart), (9, apart)]), Reach::Neighbours);
        assert_eq!(of(&[(7, apart), (8, apart), (8, apart)]), Reach::Apart);
        assert_eq!(of(&[(7, apart), (7, apart)]), Reach::Apart);
        for ranks in [[(7, apart), (7, 3)], [(7, 3), (7, apart)]] {
            assert_eq!(of(&ranks), Reach::Apart);
        }
    }

    #[test]
    fn merged_frames_and_verdicts_survive_the_wire() {
        let failed = Some((7, ErrorKind::Unsupported, "why".to_owned()));
        let merged = Merged {
            frame: frame(1),
            differ: true,
            failed: failed.clone(),
        };
        let read = Merged::read(&merged.written()).unwrap();
        assert!(read.differ && read.frame == frame(1) && read.failed == failed);
        let text = "x".repeat(5000);
        let failed = Verdict::Failed((ErrorKind::Mismatch, Some(2), text.clone()));
        let Verdict::Failed(read) = read_verdict(&written_verdict(&failed)).unwrap() else {
            panic!("another verdict")
        };
        assert_eq!((read.0, read.1), (ErrorKind::Mismatch, Some(2)));
        assert!(read.2.len() > 2000 && text.starts_with(&read.2));
        for on_device in [false, true] {
            let read = read_verdict(&written_verdict(&Verdict::Agreed { on_device })).unwrap();
            assert!(matches!(read, Verdict::Agreed { on_device: read } if read == on_device));
        }
    }
}
