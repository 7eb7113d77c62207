//! The messages of a collective's data, in which a rank that has failed still sends all that it owes.

use super::Call;
use super::agreement::Agreed;
use crate::buffer::Span;
use crate::device::{Device, Fold, Lane};
use crate::dtype::Dtype;
use crate::engine::{Expected, Offer, Phase, Slab, Transfer};
use crate::error::{Error, ErrorKind, Result};
use crate::op::Op;
use crate::path::Path;
use crate::plan::{UNOFFERED_BYTES, fold_chunk_bytes};
use crate::transport::Pieces;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{self, Poll, ready};

/// Sends and receives one round of a collective's data after another.
///
/// After a failure what is sent is an empty message, the mark by which receivers know that they cannot go
/// on either; so nobody waits for ever, and the communicator stays usable.
///
/// Where elements of any rank are on a GPU, long ones are offered first, because how they go depends on where both
/// sides have them.
pub(super) struct Courier<'a> {
    call: &'a Call<'a>,
    failure: Option<Error>,
    /// Whether long messages are offered.
    offers: bool,
    receives: Vec<Message<'a>>,
    sends: Vec<Message<'a>>,
}

/// A message under way, from or to a rank.
struct Message<'a> {
    peer: usize,
    /// The length in bytes of one that is received.
    expected: Option<usize>,
    /// Bools from a rank with which nothing was agreed may be any bytes.
    unchecked_bools: Option<Bools>,
    course: Course<'a>,
}

enum Course<'a> {
    /// At once, to a receive that knows its length.
    Whole(Transfer<'a>),
    /// After an offer.
    Offered(Pin<Box<dyn Future<Output = Result<()>> + Send + 'a>>),
    Over,
}

impl<'a> Message<'a> {
    fn sent(peer: usize, course: Course<'a>) -> Message<'a> {
        Message {
            peer,
            expected: None,
            unchecked_bools: None,
            course,
        }
    }

    fn is_offered(&self) -> bool {
        matches!(self.course, Course::Offered(_))
    }

    /// Drives it on; one that is over has no error any more.
    fn poll(&mut self, context: &mut task::Context<'_>) -> Poll<Result<()>> {
        let moved = match &mut self.course {
            Course::Whole(transfer) => ready!(transfer.poll_once()).map(|delivery| Some(delivery.bytes)),
            Course::Offered(steps) => ready!(steps.as_mut().poll(context)).map(|()| None),
            Course::Over => return Poll::Ready(Ok(())),
        };
        self.course = Course::Over;
        let outcome = match (moved, self.expected) {
            (Ok(Some(bytes)), Some(expected)) if bytes != expected => Err(self.peer_failed()),
            (Err(error), Some(_)) if error.kind() == ErrorKind::PeerFailed => Err(self.peer_failed()),
            (moved, _) => moved.map(drop),
        };
        let normalized = match self.unchecked_bools.take() {
            // SAFETY: the transfer is over; these bytes are the span's.
            Some(bools) => unsafe { bools.normalize(self.expected.unwrap_or(0)) },
            None => Ok(()),
        };
        Poll::Ready(normalized.and(outcome))
    }

    fn peer_failed(&self) -> Error {
        Error::new(
            ErrorKind::PeerFailed,
            format!(
                "rank {} failed while the data were on their way; the output is unspecified",
                self.peer
            ),
        )
    }
}

/// Received bools.
struct Bools {
    pointer: *mut u8,
    lane: Option<Arc<Lane>>,
}

// SAFETY: the memory is the courier's to write until its owner gets it back.
unsafe impl Send for Bools {}
// SAFETY: as above; a shared reference gives out nothing.
unsafe impl Sync for Bools {}

impl Bools {
    /// Makes bools of any bytes: every one but 0 is true.
    ///
    /// # Safety
    /// So many bytes may be written at the pointer.
    unsafe fn normalize(&self, bytes: usize) -> Result<()> {
        let Bools { pointer, lane } = self;
        if let Some(lane) = lane {
            let what = Fold {
                op: Op::LogicalOr,
                dtype: Dtype::Bool,
            };
            // SAFETY: the caller's promise. The kernel takes every byte but 0 for true.
            return unsafe { lane.fold(what, &[pointer.cast_const()], *pointer, bytes) };
        }
        // SAFETY: the caller's promise.
        let bools = unsafe { std::slice::from_raw_parts_mut(*pointer, bytes) };
        bools.iter_mut().for_each(|byte| *byte = u8::from(*byte != 0));
        Ok(())
    }
}

impl<'a> Courier<'a> {
    /// A courier for what was agreed on; a failure to send a frame is its first.
    pub(super) fn new(call: &'a Call<'a>, agreed: &mut Agreed<'_>) -> Courier<'a> {
        Courier {
            failure: agreed.failure.take(),
            offers: agreed.on_device,
            ..Courier::of(call)
        }
    }

    /// A courier for messages in host memory that no agreement has preceded.
    pub(super) fn of(call: &'a Call<'a>) -> Courier<'a> {
        Courier {
            call,
            failure: None,
            offers: false,
            receives: Vec::new(),
            sends: Vec::new(),
        }
    }

    /// Remembers the first failure.
    pub(super) fn note(&mut self, outcome: Result<()>) {
        if let Err(error) = outcome {
            self.failure.get_or_insert(error);
        }
    }

    pub(super) fn has_failed(&self) -> bool {
        self.failure.is_some()
    }

    /// Starts to send a span.
    ///
    /// # Safety
    /// The span's memory is not written before [`finish`](Self::finish) or the drop of the courier.
    pub(super) unsafe fn send(&mut self, to: usize, span: &Span<'_>) {
        let call = self.call;
        let (transport, private, tag) = (
            call.endpoint().engine.transport(),
            &call.endpoint().family.private,
            call.tag(),
        );
        let offers = self.offers(span);
        for part in parts(span.bytes(), offers) {
            if self.failure.is_none() {
                let sent = match offers {
                    true => {
                        // SAFETY: the caller's promise.
                        let span = unsafe { span.alias().detach() };
                        let offer = Offer::new(call.endpoint(), span, (to, tag));
                        offer.map(|offer| Course::Offered(Box::pin(offer.keep(call.activity))))
                    }
                    // SAFETY: within the span; the caller's promise.
                    false => unsafe { Transfer::send_part(transport, private, to, tag, span, part) }
                        .map(Course::Whole),
                };
                match sent {
                    Ok(course) => {
                        self.sends.push(Message::sent(to, course));
                        continue;
                    }
                    Err(error) => self.note(Err(error)),
                }
            }
            match Transfer::send_slab(transport, private, to, tag, Slab::take(), 0) {
                Ok(transfer) => self.sends.push(Message::sent(to, Course::Whole(transfer))),
                Err(error) => {
                    // Not even the mark can be sent: the peer waits, and the ranks are in different places.
                    call.endpoint().poison_with(&error);
                    self.note(Err(error));
                }
            }
        }
    }

    /// Starts to receive into a span.
    ///
    /// # Safety
    /// The span's memory may be written, and is not used before [`finish`](Self::finish) or the drop of
    /// the courier.
    pub(super) unsafe fn receive(&mut self, from: usize, span: &Span<'_>) {
        let call = self.call;
        let (transport, private, tag) = (
            call.endpoint().engine.transport(),
            &call.endpoint().family.private,
            call.tag(),
        );
        let offers = self.offers(span);
        for part in parts(span.bytes(), offers) {
            let posted = match offers {
                true => {
                    // SAFETY: the caller's promise.
                    let span = unsafe { span.alias().detach() };
                    let expected = Expected::new(call.endpoint(), span, (from, tag));
                    expected.map(|expected| Course::Offered(Box::pin(expected.arrive(call.activity))))
                }
                // SAFETY: within the span; the caller's promise.
                false => unsafe { Transfer::receive_part(transport, private, from, tag, span, part) }
                    .map(Course::Whole),
            };
            let (first, bytes) = part;
            match posted {
                Ok(course) => {
                    let is_unchecked = span.dtype() == Dtype::Bool && !call.is_checked();
                    let unchecked_bools = is_unchecked.then(|| Bools {
                        // SAFETY: within the span.
                        pointer: unsafe { span.pointer().add(first) },
                        lane: span.lane().cloned(),
                    });
                    self.receives.push(Message {
                        peer: from,
                        expected: Some(bytes),
                        unchecked_bools,
                        course,
                    });
                }
                Err(error) => self.note(Err(error)),
            }
        }
    }

    /// Whether the elements of a span are offered before they are sent.
    fn offers(&self, span: &Span<'_>) -> bool {
        let chunk = self.call.endpoint().engine.config().chunk;
        self.offers && span.bytes() > chunk.map_or(UNOFFERED_BYTES, |chunk| chunk.min(UNOFFERED_BYTES))
    }

    /// Waits until everything that was started is over.
    pub(super) async fn finish(&mut self) {
        let mut messages = std::mem::take(&mut self.receives);
        // Also where there is nothing to receive: a caller must not take back what is being sent.
        messages.append(&mut self.sends);
        let all = messages.len();
        self.drive(&mut messages, all).await;
    }

    /// How many messages are awaited, and how many are being sent.
    pub(super) fn posted(&self) -> [usize; 2] {
        [self.receives.len(), self.sends.len()]
    }

    /// The most elements of this type in one message of a long block, which are handled while the next ones are on their
    /// way. On hosts that is the whole block.
    pub(super) fn chunk(&self, elements: usize, dtype: Dtype) -> usize {
        let bytes = elements.saturating_mul(dtype.size());
        match self.offers {
            true => {
                let chunk = self.call.endpoint().engine.config().chunk;
                fold_chunk_bytes(bytes, chunk) / dtype.size()
            }
            false => elements,
        }
    }

    /// Waits until the first of the messages that are awaited have come, and the first of those that are being sent are
    /// gone: so many of each. The rest goes on.
    pub(super) async fn pass(&mut self, [receives, sends]: [usize; 2]) {
        let mut later_receives = self.receives.split_off(receives.min(self.receives.len()));
        let mut later_sends = self.sends.split_off(sends.min(self.sends.len()));
        let mut messages = std::mem::take(&mut self.receives);
        messages.append(&mut self.sends);
        let first = messages.len();
        let receives = first + later_receives.len();
        messages.append(&mut later_receives);
        messages.append(&mut later_sends);
        self.drive(&mut messages, first).await;
        self.sends = messages.split_off(receives);
        self.receives = messages.split_off(first);
    }

    /// Drives messages on until the first `count` are over.
    async fn drive(&mut self, messages: &mut [Message<'a>], count: usize) {
        let mut over = 0;
        poll_fn(|context| {
            while let Some(first) = messages[..count].get_mut(over) {
                self.call.activity.waits_for_rank(Phase::Data, first.peer);
                let Poll::Ready(outcome) = first.poll(context) else {
                    break;
                };
                self.note(outcome);
                over += 1;
            }
            // What goes in several steps takes them while others are awaited.
            for message in messages
                .iter_mut()
                .skip(over + 1)
                .filter(|message| message.is_offered())
            {
                if let Poll::Ready(outcome) = message.poll(context) {
                    self.note(outcome);
                }
            }
            match over == count {
                true => Poll::Ready(()),
                false => Poll::Pending,
            }
        })
        .await;
    }

    /// The first failure, if there was one.
    pub(super) fn outcome(self) -> Result<()> {
        self.failure.map_or(Ok(()), Err)
    }
}

/// The first byte and the length in bytes of what is a message of its own: of an offer, the whole.
fn parts(bytes: usize, offers: bool) -> impl Iterator<Item = (usize, usize)> {
    let whole = offers.then_some((0, bytes));
    let pieces = (!offers).then(|| Pieces::new(bytes, Path::Host, None).iter());
    whole.into_iter().chain(pieces.into_iter().flatten())
}
