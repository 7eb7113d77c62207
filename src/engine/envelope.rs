//! What travels ahead of a message, and what the receiver answers.
//!
//! The fewest elements ride behind two bytes: with them 8 bytes are in one cache line with Open MPI's own header, and 24
//! with MPICH's, as they would be alone, and each line more is some 100 ns between cores that share no near cache.

use bytemuck::{Pod, Zeroable};

use super::slab::SLAB_BYTES;
use crate::buffer::Span;
use crate::config::LARGEST_EAGER_LIMIT;
use crate::device::Place;
use crate::error::{Error, ErrorKind, Result};
use crate::message::Content;
use crate::transport::{Origin, Way, Waybill};

/// The head of every point-to-point message but the shortest ([`write_inline`]); the payload follows it if it is at most
/// the eager limit.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
pub(crate) struct Envelope {
    protocol: u8,
    content: u8,
    place: u8,
    /// Whether MPI may have the elements' addresses.
    lent: u8,
    /// The sender's number for the rendezvous, which the tags of the answer and the body carry.
    pub id: u32,
    /// Elements of the message.
    pub count: u64,
}

pub(crate) const ENVELOPE_BYTES: usize = size_of::<Envelope>();

const _: () = assert!(ENVELOPE_BYTES + LARGEST_EAGER_LIMIT <= SLAB_BYTES);

/// The protocol of a [brief head](write_inline).
const BRIEF: u8 = 3;

const BRIEF_HEAD_BYTES: usize = 2;

/// The most bytes of elements behind a brief head.
const LARGEST_BRIEF: usize = 24;

/// How a message's elements travel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Protocol {
    /// In the envelope.
    Inline,
    /// After the receiver's answer.
    Rendezvous,
    /// Not at all: the sender could not read them.
    Failed,
}

impl Envelope {
    #[inline]
    pub(crate) fn new(protocol: Protocol, content: Content, count: usize) -> Envelope {
        let code = match protocol {
            Protocol::Inline => 0,
            Protocol::Rendezvous => 1,
            Protocol::Failed => 2,
        };
        Envelope {
            protocol: code,
            content: content.code(),
            place: Place::Host.code(),
            lent: 0,
            id: 0,
            count: count as u64,
        }
    }

    /// That of a rendezvous: the sender has the elements of a span, of which it gives MPI the addresses or not, and gives
    /// it the number `id`.
    pub(crate) fn of_rendezvous(span: &Span<'_>, is_lent: bool, id: u32) -> Envelope {
        Envelope {
            place: span.place().code(),
            lent: is_lent.into(),
            id,
            ..Envelope::new(Protocol::Rendezvous, span.content(), span.elements())
        }
    }

    /// Where the sender has the elements.
    pub(crate) fn origin(&self) -> Origin {
        Origin {
            place: Place::from_code(self.place),
            is_lent: self.lent != 0,
        }
    }

    /// The envelope at the front of a message of `bytes` bytes, and what the message is.
    #[inline]
    pub(crate) fn read(message: &[u8]) -> Result<(Envelope, Protocol, Content)> {
        let malformed = || {
            Error::new(
                ErrorKind::Mismatch,
                format!("a message of {} bytes is no envelope", message.len()),
            )
        };
        if let &[BRIEF, content, ref elements @ ..] = message {
            let content = Content::from_code(content).ok_or_else(malformed)?;
            let size = content.dtype().size();
            return match elements.len().is_multiple_of(size) {
                true => {
                    let envelope = Envelope::new(Protocol::Inline, content, elements.len() / size);
                    Ok((envelope, Protocol::Inline, content))
                }
                false => Err(malformed()),
            };
        }
        let head = message.get(..ENVELOPE_BYTES).ok_or_else(malformed)?;
        let envelope: Envelope = bytemuck::pod_read_unaligned(head);
        let content = Content::from_code(envelope.content).ok_or_else(malformed)?;
        match envelope.protocol {
            0 if envelope.count.checked_mul(content.dtype().size() as u64)
                == Some((message.len() - ENVELOPE_BYTES) as u64) =>
            {
                Ok((envelope, Protocol::Inline, content))
            }
            1 if message.len() == ENVELOPE_BYTES => Ok((envelope, Protocol::Rendezvous, content)),
            // An envelope that was to carry elements and came alone.
            0 | 2 if message.len() == ENVELOPE_BYTES => Ok((envelope, Protocol::Failed, content)),
            _ => Err(malformed()),
        }
    }

    /// The elements in the message of which this is the envelope.
    #[inline]
    pub(crate) fn elements<'a>(&self, content: Content, message: &'a [u8]) -> &'a [u8] {
        let bytes = self.count as usize * content.dtype().size();
        &message[message.len() - bytes..]
    }

    /// Writes the envelope to the front of a slab.
    #[inline]
    pub(crate) fn write(&self, slab: &mut [u8]) {
        slab[..ENVELOPE_BYTES].copy_from_slice(bytemuck::bytes_of(self));
    }
}

/// Writes the head of elements that are at hand, and says how long it is. Where it is brief, the length of the message
/// tells how many elements there are.
#[inline]
pub(crate) fn write_inline(slab: &mut [u8], content: Content, count: usize) -> usize {
    if count * content.dtype().size() <= LARGEST_BRIEF {
        slab[..BRIEF_HEAD_BYTES].copy_from_slice(&[BRIEF, content.code()]);
        return BRIEF_HEAD_BYTES;
    }
    Envelope::new(Protocol::Inline, content, count).write(slab);
    ENVELOPE_BYTES
}

/// The receiver's answer to the envelope of a rendezvous: GO, or why not.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
struct Answer {
    refused: u8,
    kind: u8,
    content: u8,
    reserved: [u8; 5],
    capacity: u64,
    waybill: Waybill,
}

pub(crate) const ANSWER_BYTES: usize = size_of::<Answer>();

/// What the receiver holds ready: the reason for a refusal lies in it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Room {
    pub content: Content,
    /// Elements.
    pub capacity: usize,
}

impl Room {
    pub(crate) fn of(span: &Span<'_>) -> Room {
        Room {
            content: span.content(),
            capacity: span.elements(),
        }
    }
}

/// Writes GO: the way that the elements are to take.
pub(crate) fn write_go(slab: &mut [u8], waybill: &Waybill) {
    let answer = Answer {
        waybill: *waybill,
        ..Answer::zeroed()
    };
    slab[..ANSWER_BYTES].copy_from_slice(bytemuck::bytes_of(&answer));
}

/// Writes REFUSE with the kind of the receiver's error.
pub(crate) fn write_refusal(slab: &mut [u8], kind: ErrorKind, room: Room) {
    let answer = Answer {
        refused: 1,
        kind: kind.code(),
        content: room.content.code(),
        capacity: room.capacity as u64,
        ..Answer::zeroed()
    };
    slab[..ANSWER_BYTES].copy_from_slice(bytemuck::bytes_of(&answer));
}

/// The way that the elements are to take, if the receiver's answer of `bytes` bytes is GO.
pub(crate) fn go(slab: &[u8], bytes: usize) -> Option<(Waybill, Way)> {
    let answer: Answer =
        (bytes == ANSWER_BYTES).then(|| bytemuck::pod_read_unaligned(&slab[..ANSWER_BYTES]))?;
    let way = (answer.refused == 0).then(|| answer.waybill.way())??;
    Some((answer.waybill, way))
}

/// Reads the answer to a message of `count` elements of `sent`: the way that they are to take, or `Err` for a refusal.
pub(crate) fn read_answer(slab: &[u8], bytes: usize, count: usize, sent: Content) -> Result<(Waybill, Way)> {
    let malformed = || {
        Error::new(
            ErrorKind::Mismatch,
            format!("a message of {bytes} bytes is no answer"),
        )
    };
    if let Some(way) = go(slab, bytes) {
        return Ok(way);
    }
    if bytes != ANSWER_BYTES {
        return Err(malformed());
    }
    let answer: Answer = bytemuck::pod_read_unaligned(&slab[..ANSWER_BYTES]);
    let (kind, room) = match (
        ErrorKind::from_code(answer.kind),
        Content::from_code(answer.content),
    ) {
        (Some(kind), Some(content)) => (
            kind,
            Room {
                content,
                capacity: answer.capacity as usize,
            },
        ),
        _ => return Err(malformed()),
    };
    Err(match check_room(count, sent, room) {
        Err(error) => error,
        Ok(()) => Error::new(
            ErrorKind::PeerFailed,
            format!("the receiver could not receive: {kind:?}"),
        ),
    })
}

/// Whether a message fits a receive.
#[inline]
pub(crate) fn check_room(count: usize, content: Content, room: Room) -> Result<()> {
    if content != room.content {
        let message = format!("{} met a receive of {}", content.describe(count), room.content);
        return Err(Error::new(ErrorKind::Mismatch, message));
    }
    if count > room.capacity {
        let message = format!(
            "{} met a receive buffer of {}",
            content.describe(count),
            room.capacity
        );
        return Err(Error::new(ErrorKind::Truncated, message));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dtype::Dtype;
    use crate::path::Path;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn any_bytes_are_an_envelope_or_an_error(message in prop::collection::vec(any::<u8>(), 0..64)) {
            if let Ok((envelope, Protocol::Inline, content)) = Envelope::read(&message) {
                let bytes = envelope.elements(content, &message).len();
                prop_assert_eq!(envelope.count as usize * content.dtype().size(), bytes);
                prop_assert!([ENVELOPE_BYTES, BRIEF_HEAD_BYTES].contains(&(message.len() - bytes)));
            }
        }

        #[test]
        fn any_answer_is_go_or_an_error(message in prop::collection::vec(any::<u8>(), ANSWER_BYTES)) {
            let answer = read_answer(&message, ANSWER_BYTES, 8, Content::Elements(Dtype::F32));
            prop_assert!(answer.is_err() || message[0] == 0);
        }
    }

    #[test]
    fn the_fewest_elements_have_a_brief_head() {
        let content = Content::Elements(Dtype::F64);
        for (count, head_bytes) in [(0, 2), (1, 2), (3, 2), (4, ENVELOPE_BYTES)] {
            let mut slab = [7u8; SLAB_BYTES];
            assert_eq!(write_inline(&mut slab, content, count), head_bytes);
            let message = &slab[..head_bytes + 8 * count];
            let (envelope, protocol, read) = Envelope::read(message).unwrap();
            assert_eq!(
                (envelope.count, protocol, read),
                (count as u64, Protocol::Inline, content)
            );
            assert_eq!(envelope.elements(content, message), &vec![7; 8 * count]);
        }
        assert!(
            Envelope::read(&[BRIEF, content.code(), 0]).is_err(),
            "a part of an element"
        );
    }

    #[test]
    fn a_refusal_brings_the_receivers_error() {
        let mut slab = [0u8; SLAB_BYTES];
        let room = Room {
            content: Content::Elements(Dtype::F32),
            capacity: 4,
        };
        write_refusal(&mut slab, ErrorKind::Truncated, room);
        let error = read_answer(&slab, ANSWER_BYTES, 8, Content::Elements(Dtype::F32)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Truncated);
        assert_eq!(error.to_string(), "a message of 8 f32 met a receive buffer of 4");
        let error = read_answer(&slab, ANSWER_BYTES, 2, Content::Elements(Dtype::F64)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Mismatch);
        let waybill = Waybill::along(Path::Staged);
        write_go(&mut slab, &waybill);
        let answer = read_answer(&slab, ANSWER_BYTES, 8, Content::Elements(Dtype::F32));
        assert_eq!(answer.unwrap(), (waybill, Way::Along(Path::Staged)));
    }
}
