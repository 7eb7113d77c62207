//! What travels ahead of a message, and what the receiver answers.

use bytemuck::{Pod, Zeroable};

use super::slab::SLAB_BYTES;
use crate::buffer::Span;
use crate::config::LARGEST_EAGER_LIMIT;
use crate::device::Place;
use crate::error::{Error, ErrorKind, Result};
use crate::message::Content;

/// The head of every point-to-point message; the payload follows it if it is at most the eager limit.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
pub(crate) struct Envelope {
    path: u8,
    content: u8,
    place: u8,
    reserved: u8,
    /// The sender's number for the rendezvous, which the tags of the answer and the body carry.
    pub id: u32,
    /// Elements of the message.
    pub count: u64,
}

pub(crate) const ENVELOPE_BYTES: usize = size_of::<Envelope>();

const _: () = assert!(ENVELOPE_BYTES + LARGEST_EAGER_LIMIT <= SLAB_BYTES);

/// How a message's elements travel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Path {
    /// In the envelope.
    Inline,
    /// After the receiver's answer.
    Rendezvous,
    /// Not at all: the sender could not read them.
    Failed,
}

impl Envelope {
    #[inline]
    pub(crate) fn new(path: Path, content: Content, count: usize) -> Envelope {
        let path = match path {
            Path::Inline => 0,
            Path::Rendezvous => 1,
            Path::Failed => 2,
        };
        Envelope {
            path,
            content: content.code(),
            place: Place::Host.code(),
            reserved: 0,
            id: 0,
            count: count as u64,
        }
    }

    /// That of a rendezvous: the sender has the elements at `place`, and gives it the number `id`.
    pub(crate) fn of_rendezvous(span: &Span<'_>, id: u32) -> Envelope {
        Envelope {
            place: span.place().code(),
            id,
            ..Envelope::new(Path::Rendezvous, span.content(), span.elements())
        }
    }

    /// Where the sender has the elements.
    pub(crate) fn place(&self) -> Place {
        Place::from_code(self.place)
    }

    /// The envelope at the front of a message of `bytes` bytes, and what the message is.
    #[inline]
    pub(crate) fn read(message: &[u8]) -> Result<(Envelope, Path, Content)> {
        let malformed = || {
            Error::new(
                ErrorKind::Mismatch,
                format!("a message of {} bytes is no envelope", message.len()),
            )
        };
        let head = message.get(..ENVELOPE_BYTES).ok_or_else(malformed)?;
        let envelope: Envelope = bytemuck::pod_read_unaligned(head);
        let content = Content::from_code(envelope.content).ok_or_else(malformed)?;
        match envelope.path {
            0 if envelope.count.checked_mul(content.dtype().size() as u64)
                == Some((message.len() - ENVELOPE_BYTES) as u64) =>
            {
                Ok((envelope, Path::Inline, content))
            }
            1 if message.len() == ENVELOPE_BYTES => Ok((envelope, Path::Rendezvous, content)),
            // An envelope that was to carry elements and came alone.
            0 | 2 if message.len() == ENVELOPE_BYTES => Ok((envelope, Path::Failed, content)),
            _ => Err(malformed()),
        }
    }

    /// Writes the envelope to the front of a slab.
    #[inline]
    pub(crate) fn write(&self, slab: &mut [u8]) {
        slab[..ENVELOPE_BYTES].copy_from_slice(bytemuck::bytes_of(self));
    }
}

/// The receiver's answer to the envelope of a rendezvous: GO, or why not.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
struct Answer {
    refused: u8,
    kind: u8,
    content: u8,
    place: u8,
    reserved: [u8; 4],
    capacity: u64,
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

/// Writes GO, into memory at `place`.
pub(crate) fn write_go(slab: &mut [u8], place: Place) {
    let answer = Answer {
        place: place.code(),
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
        place: 0,
        reserved: [0; 4],
        capacity: room.capacity as u64,
    };
    slab[..ANSWER_BYTES].copy_from_slice(bytemuck::bytes_of(&answer));
}

/// Where the receiver wants the elements, if its answer of `bytes` bytes is GO.
pub(crate) fn go(slab: &[u8], bytes: usize) -> Option<Place> {
    let answer: Answer =
        (bytes == ANSWER_BYTES).then(|| bytemuck::pod_read_unaligned(&slab[..ANSWER_BYTES]))?;
    (answer.refused == 0).then(|| Place::from_code(answer.place))
}

/// Reads the answer to a message of `count` elements of `sent`: where the receiver wants them, or `Err` for a refusal.
pub(crate) fn read_answer(slab: &[u8], bytes: usize, count: usize, sent: Content) -> Result<Place> {
    let malformed = || {
        Error::new(
            ErrorKind::Mismatch,
            format!("a message of {bytes} bytes is no answer"),
        )
    };
    if let Some(place) = go(slab, bytes) {
        return Ok(place);
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
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn any_bytes_are_an_envelope_or_an_error(message in prop::collection::vec(any::<u8>(), 0..64)) {
            if let Ok((envelope, Path::Inline, content)) = Envelope::read(&message) {
                prop_assert_eq!(envelope.count as usize * content.dtype().size() + ENVELOPE_BYTES, message.len());
            }
        }

        #[test]
        fn any_answer_is_go_or_an_error(message in prop::collection::vec(any::<u8>(), ANSWER_BYTES)) {
            let answer = read_answer(&message, ANSWER_BYTES, 8, Content::Elements(Dtype::F32));
            prop_assert_eq!(answer.is_ok(), message[0] == 0);
        }
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
        write_go(&mut slab, Place::Device);
        let answer = read_answer(&slab, ANSWER_BYTES, 8, Content::Elements(Dtype::F32));
        assert_eq!(answer.unwrap(), Place::Device);
    }
}
