//! Messages made up from a seed, alike on every rank: how each is sent and received, and what each rank does for it.

use std::sync::Arc;

use warpcomm::cudarc::driver::{CudaSlice, CudaStream, PinnedHostSlice, sys};
use warpcomm::{Communicator, DeviceBuffer, Error, ErrorKind, OwnedBufferMut, Result, Source, Status, Tag};

use super::common::EAGER_BYTES;
use crate::harness::{Failure, Outcome, Place, expect_error};
use crate::oracle::mixed;

/// The tags of messages are below it, and none is used twice.
const TAGS: usize = 32_749;

/// The tag of messages that nobody sends.
const NEVER: Tag = Tag(TAGS as i32);

/// The tag of [`to_one`].
const TO_ONE: Tag = Tag(TAGS as i32 + 1);

/// How a message is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sending {
    Blocking,
    Synchronous,
    Buffered,
    Request,
    DroppedRequest,
    Scope,
    /// In a scope that an error ends, so that it is taken back if its receiver has not answered.
    Withdrawn,
    Persistent,
    DroppedPersistent,
}

const SENDINGS: [Sending; 9] = [
    Sending::Blocking,
    Sending::Synchronous,
    Sending::Buffered,
    Sending::Request,
    Sending::DroppedRequest,
    Sending::Scope,
    Sending::Withdrawn,
    Sending::Persistent,
    Sending::DroppedPersistent,
];

/// How a message is received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Receiving {
    Blocking,
    Request,
    DroppedRequest,
    /// Cancelled while its message may be on its way; received once more if the cancellation was first.
    Cancelled,
    /// Behind one without a message, which is cancelled.
    BehindCancelled,
    Scope,
    /// Behind a scope that an error ends, with a receive without a message in it.
    BehindFailedScope,
    Persistent,
    DroppedPersistent,
    Probed,
    Matched,
    /// Matched, put back, and received.
    PutBack,
    /// Into a buffer that is too short.
    Refused,
}

const RECEIVINGS: [Receiving; 13] = [
    Receiving::Blocking,
    Receiving::Request,
    Receiving::DroppedRequest,
    Receiving::Cancelled,
    Receiving::BehindCancelled,
    Receiving::Scope,
    Receiving::BehindFailedScope,
    Receiving::Persistent,
    Receiving::DroppedPersistent,
    Receiving::Probed,
    Receiving::Matched,
    Receiving::PutBack,
    Receiving::Refused,
];

#[derive(Clone, Copy, Debug)]
enum Kind {
    Message(Sending, Receiving),
    /// Both ranks send and receive; they may be one.
    Exchange,
}

/// One message, or two of an exchange.
#[derive(Clone, Copy, Debug)]
pub struct Transfer {
    number: usize,
    ranks: [usize; 2],
    bytes: usize,
    /// Where the elements are at the ranks.
    places: [Place; 2],
    kind: Kind,
    from_any: bool,
    with_any_tag: bool,
}

/// Random numbers from a seed.
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_add(1);
        (mixed(self.0) % limit as u64) as usize
    }

    fn one_of<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.below(all.len())]
    }

    /// Mostly few, so that many messages take little time.
    fn bytes(&mut self) -> usize {
        match self.below(100) {
            0..6 => 0,
            6..45 => 1 + self.below(EAGER_BYTES),
            45..55 => EAGER_BYTES - 8 + self.below(16),
            55..92 => EAGER_BYTES + self.below(64 << 10),
            92..99 => self.below(700 << 10),
            _ => self.below(5 << 20),
        }
    }
}

impl Transfer {
    /// The transfer with this number between some of `size` ranks.
    pub fn new(number: usize, size: usize, is_staging_allowed: bool) -> Transfer {
        let mut dice = Dice(mixed(number as u64) << 20);
        let bytes = dice.bytes();
        let ranks = [dice.below(size), dice.below(size)];
        let kind = match ranks[0] == ranks[1] || dice.below(10) == 0 {
            true => Kind::Exchange,
            false => Kind::Message(dice.one_of(&SENDINGS), dice.one_of(&RECEIVINGS)),
        };
        let mut place = || match dice.below(6) {
            0 => Place::Host,
            // There is no pinned memory of no bytes.
            1 if bytes > 1 => Place::Pinned,
            _ => Place::Device,
        };
        let mut places = [place(), place()];
        if ranks[0] == ranks[1] && !is_staging_allowed {
            // Between host and GPU of one process there is no other path.
            places[1] = places[0];
        }
        Transfer {
            number,
            ranks,
            bytes,
            places,
            kind,
            from_any: dice.below(4) == 0,
            with_any_tag: dice.below(4) == 0,
        }
    }

    /// Does this rank's part.
    pub fn take_part(&self, on: &Rank<'_>) -> Outcome {
        let own = on.comm.rank();
        for end in [0, 1] {
            if self.ranks[end] != own {
                continue;
            }
            let outcome = match self.places[end] {
                Place::Pinned => self.at::<PinnedHostSlice<u8>>(end, on),
                // Some of which other processes can copy from.
                Place::Device if self.number.is_multiple_of(3) => self.at::<DeviceBuffer<u8>>(end, on),
                Place::Device => self.at::<CudaSlice<u8>>(end, on),
                _ => self.at::<Vec<u8>>(end, on),
            };
            outcome.map_err(|Failure(why)| Failure(format!("{self:?}: {why}")))?;
            if self.ranks[1] == self.ranks[0] {
                break;
            }
        }
        Ok(())
    }

    fn at<B: Elements>(&self, end: usize, on: &Rank<'_>) -> Outcome {
        match (self.kind, end) {
            (Kind::Exchange, _) => match self.places[1 - end] {
                Place::Pinned if self.is_with_itself() => self.exchange::<B, PinnedHostSlice<u8>>(end, on),
                Place::Device if self.is_with_itself() => self.exchange::<B, CudaSlice<u8>>(end, on),
                Place::Host if self.is_with_itself() => self.exchange::<B, Vec<u8>>(end, on),
                _ => self.exchange::<B, B>(end, on),
            },
            (Kind::Message(sending, receiving), 0) => self.send::<B>(sending, receiving, on),
            (Kind::Message(sending, receiving), _) => self.receive::<B>(sending, receiving, on),
        }
    }

    fn is_with_itself(&self) -> bool {
        self.ranks[0] == self.ranks[1]
    }

    fn tag(&self) -> Tag {
        Tag((self.number * 7_919 % TAGS) as i32)
    }

    /// The elements that the rank at an end sends.
    fn contents(&self, end: usize) -> Vec<u8> {
        let mut contents = vec![0; self.bytes];
        for (index, part) in contents.chunks_mut(997).enumerate() {
            part.fill((self.number + 101 * end + index) as u8);
        }
        contents
    }

    fn exchange<S: Elements, R: Elements>(&self, end: usize, on: &Rank<'_>) -> Outcome {
        let (peer, tag) = (self.ranks[1 - end], self.tag());
        let own = S::holding(on, &self.contents(end))?;
        let mut theirs = R::holding(on, &vec![0; self.bytes])?;
        on.comm.sendrecv(&own, peer, tag, &mut theirs, peer, tag)?;
        // A rank that exchanges with itself is at the first end only.
        let sender = if self.is_with_itself() { end } else { 1 - end };
        self.check(sender, &theirs)
    }

    fn check(&self, sender: usize, received: &impl Elements) -> Outcome {
        match received.contents()? == self.contents(sender) {
            true => Ok(()),
            false => Err(Failure("other elements than were sent".to_owned())),
        }
    }

    fn send<B: Elements>(&self, sending: Sending, receiving: Receiving, on: &Rank<'_>) -> Outcome {
        let (comm, dest, tag) = (on.comm, self.ranks[1], self.tag());
        let buffer = B::holding(on, &self.contents(0))?;
        let outcome = match sending {
            Sending::Blocking => comm.send(&buffer, dest, tag),
            Sending::Synchronous => comm.ssend(&buffer, dest, tag),
            Sending::Buffered => comm.bsend(&buffer, dest, tag),
            Sending::Request => comm
                .isend(buffer, dest, tag)
                .wait()
                .map(drop)
                .map_err(Error::from),
            Sending::DroppedRequest => {
                drop(comm.isend(buffer, dest, tag));
                Ok(())
            }
            Sending::Scope => comm.scope(|scope| {
                scope.isend(&buffer, dest, tag)?;
                Ok(())
            }),
            Sending::Withdrawn => {
                let outcome = comm.scope(|scope| {
                    scope.isend(&buffer, dest, tag)?;
                    comm.send(&[0u8], comm.size(), tag)
                });
                expect_error(outcome, ErrorKind::InvalidArgument);
                Ok(())
            }
            Sending::Persistent | Sending::DroppedPersistent => {
                let mut send = comm.send_init(buffer, dest, tag);
                send.start()?;
                match sending {
                    Sending::Persistent => send.wait().map(drop),
                    _ => Ok(()),
                }
            }
        };
        match outcome {
            // The receiver refuses what has not gone with its envelope.
            Err(error) if receiving == Receiving::Refused => {
                assert_eq!(error.kind(), ErrorKind::Truncated, "{error}");
                Ok(())
            }
            outcome => Ok(outcome?),
        }
    }

    fn receive<B: Elements>(&self, sending: Sending, receiving: Receiving, on: &Rank<'_>) -> Outcome {
        // There is always room for nothing.
        let is_refused = receiving == Receiving::Refused && self.bytes > 1;
        let room = self.bytes - usize::from(is_refused);
        let buffer = B::holding(on, &vec![0; room])?;
        let received = match self.received(receiving, buffer, on) {
            Ok(received) => received,
            Err(error) => {
                let is_expected = match error.kind() {
                    ErrorKind::Truncated => is_refused,
                    ErrorKind::PeerFailed => sending == Sending::Withdrawn,
                    _ => false,
                };
                return if is_expected { Ok(()) } else { Err(error.into()) };
            }
        };
        let Some((buffer, status)) = received else {
            return Ok(());
        };
        assert!(!is_refused, "{self:?} was received");
        assert_eq!(
            (status.source(), status.tag(), status.count()),
            (self.ranks[0], self.tag(), self.bytes as u64),
            "{self:?}"
        );
        self.check(0, &buffer)
    }

    /// What was received, unless nobody looks at it.
    fn received<B: Elements>(
        &self,
        receiving: Receiving,
        mut buffer: B,
        on: &Rank<'_>,
    ) -> Result<Option<(B, Status)>> {
        let comm = on.comm;
        // Of one rank a message is the next one with any tag, and of any rank the only one with its tag.
        let (source, tag) = match self.from_any {
            true => (Source::Any, self.tag()),
            false if self.with_any_tag => (self.ranks[0].into(), Tag::ANY),
            false => (self.ranks[0].into(), self.tag()),
        };
        let status = match receiving {
            Receiving::Blocking | Receiving::Refused => comm.recv(&mut buffer, source, tag)?,
            Receiving::Request => return Ok(Some(comm.irecv(buffer, source, tag).wait()?)),
            Receiving::DroppedRequest => {
                drop(comm.irecv(buffer, source, tag));
                return Ok(None);
            }
            Receiving::Cancelled => {
                let request = comm.irecv(buffer, source, tag);
                request.cancel()?;
                let (received, status) = request.wait()?;
                buffer = received;
                match status.is_cancelled() {
                    true => comm.recv(&mut buffer, source, tag)?,
                    false => status,
                }
            }
            Receiving::BehindCancelled => {
                let request = comm.irecv(buffer, source, NEVER);
                request.cancel()?;
                let (unchanged, status) = request.wait()?;
                assert!(status.is_cancelled(), "{status:?}");
                buffer = unchanged;
                comm.recv(&mut buffer, source, tag)?
            }
            Receiving::Scope => comm.scope(|scope| Ok(scope.irecv(&mut buffer, source, tag)?.wait()?.1))?,
            Receiving::BehindFailedScope => {
                let outcome = comm.scope(|scope| {
                    scope.irecv(&mut buffer, source, NEVER)?;
                    comm.send(&[0u8], comm.size(), tag)
                });
                expect_error(outcome, ErrorKind::InvalidArgument);
                comm.recv(&mut buffer, source, tag)?
            }
            Receiving::Persistent | Receiving::DroppedPersistent => {
                let mut receive = comm.recv_init(buffer, source, tag);
                receive.start()?;
                if receiving == Receiving::DroppedPersistent {
                    return Ok(None);
                }
                let status = receive.wait()?;
                buffer = receive.into_buffer()?;
                status
            }
            Receiving::Probed => {
                let found = comm.probe(source, tag)?;
                comm.recv(&mut buffer, found.source(), found.tag())?
            }
            Receiving::Matched => comm.mprobe(source, tag)?.recv(&mut buffer)?,
            Receiving::PutBack => {
                drop(comm.mprobe(source, tag)?);
                comm.recv(&mut buffer, source, tag)?
            }
        };
        Ok(Some((buffer, status)))
    }
}

/// A rank that takes part in transfers.
pub struct Rank<'a> {
    pub comm: &'a Communicator,
    pub stream: Arc<CudaStream>,
}

impl<'a> Rank<'a> {
    pub fn new(comm: &'a Communicator) -> std::result::Result<Rank<'a>, Failure> {
        let stream = comm.device()?.new_stream()?;
        Ok(Rank { comm, stream })
    }
}

/// A buffer in one of the places.
trait Elements: OwnedBufferMut {
    fn holding(on: &Rank<'_>, contents: &[u8]) -> std::result::Result<Self, Failure>;

    fn contents(&self) -> std::result::Result<Vec<u8>, Failure>;
}

impl Elements for Vec<u8> {
    fn holding(_: &Rank<'_>, contents: &[u8]) -> std::result::Result<Self, Failure> {
        Ok(contents.to_vec())
    }

    fn contents(&self) -> std::result::Result<Vec<u8>, Failure> {
        Ok(self.clone())
    }
}

impl Elements for PinnedHostSlice<u8> {
    fn holding(on: &Rank<'_>, contents: &[u8]) -> std::result::Result<Self, Failure> {
        let (context, flags) = (on.stream.context(), sys::CU_MEMHOSTALLOC_PORTABLE);
        // SAFETY: written before it is read.
        let mut buffer = unsafe { context.alloc_pinned_with_flags::<u8>(contents.len(), flags) }?;
        buffer.as_mut_slice()?.copy_from_slice(contents);
        Ok(buffer)
    }

    fn contents(&self) -> std::result::Result<Vec<u8>, Failure> {
        Ok(self.as_slice()?.to_vec())
    }
}

impl Elements for CudaSlice<u8> {
    fn holding(on: &Rank<'_>, contents: &[u8]) -> std::result::Result<Self, Failure> {
        Ok(on.stream.clone_htod(contents)?)
    }

    fn contents(&self) -> std::result::Result<Vec<u8>, Failure> {
        Ok(self.stream().clone_dtoh(self)?)
    }
}

impl Elements for DeviceBuffer<u8> {
    fn holding(on: &Rank<'_>, contents: &[u8]) -> std::result::Result<Self, Failure> {
        Ok(DeviceBuffer::from_slice(&on.stream, contents)?)
    }

    fn contents(&self) -> std::result::Result<Vec<u8>, Failure> {
        Ok(self.to_vec()?)
    }
}

/// Every other rank sends a message to rank `root`, which receives them in whatever order they come.
pub fn to_one(on: &Rank<'_>, root: usize, bytes: usize) -> Outcome {
    let comm = on.comm;
    // Nothing else may be on its way to a receive of anything from anybody.
    comm.barrier()?;
    if comm.rank() == root {
        let mut buffer = CudaSlice::holding(on, &vec![0; bytes])?;
        for _ in 1..comm.size() {
            let status = comm.recv(&mut buffer, Source::Any, Tag::ANY)?;
            assert_eq!(status.tag(), TO_ONE);
            assert!(
                buffer.contents()? == vec![status.source() as u8; bytes],
                "{status:?}"
            );
        }
    } else {
        comm.send(
            &CudaSlice::holding(on, &vec![comm.rank() as u8; bytes])?,
            root,
            TO_ONE,
        )?;
    }
    comm.barrier()?;
    Ok(())
}
