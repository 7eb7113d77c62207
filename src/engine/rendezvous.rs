//! How one message travels: in its envelope, or after the receiver has answered.
//!
//! ```text
//! sender                                     receiver
//! envelope {dtype, count, payload}  ------>  matched by MPI; copied out
//!
//! envelope {dtype, count, id}       ------>  matched by MPI; checked against the buffer
//!                                   <------  answer(id): GO, the body's receive is posted; or REFUSE
//! body(id), in messages of at most the       received in place
//! transport's largest               ------>
//! ```
//!
//! A synchronous send takes the second way whatever its size: GO says that its receive has matched. No body
//! follows where there are no elements.
//!
//! A body message that is shorter than it should be says that the sender could not send it: the mark of a
//! send that failed or was withdrawn.

use std::sync::Arc;

use super::activity::{Activity, Course, Phase};
use super::arrived::{Arrived, Next, Numbered};
use super::endpoint::Endpoint;
use super::envelope::{self, ANSWER_BYTES, ENVELOPE_BYTES, Envelope, Path, Room};
use super::slab::Slab;
use super::task::{Memory, task};
use super::transfer::Transfer;
#[cfg(feature = "serde")]
use crate::buffer;
use crate::buffer::Span;
use crate::error::{Error, ErrorKind, Peer, Result};
#[cfg(feature = "serde")]
use crate::message::Content;
use crate::message::{Source, Status, Tag};
use crate::transport::LARGEST_MESSAGE_BYTES;

/// When a send is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// When its elements may be written again.
    Standard,
    /// When a receive has matched, too.
    Synchronous,
}

/// Sends a span to `dest`.
pub(crate) async fn send(
    endpoint: &Arc<Endpoint>,
    activity: &Activity,
    span: &Span<'_>,
    (dest, tag): (usize, Tag),
    mode: Mode,
) -> Result<Status> {
    let (count, content, bytes) = (span.elements(), span.content(), span.bytes());
    let transport = endpoint.engine.transport();
    let sent = Status {
        source: dest,
        tag,
        count: count as u64,
        dtype: span.dtype(),
        cancelled: false,
    };
    // From here on a number in the contexts.
    let dest = endpoint.number_of(dest);
    activity.waits_for(Phase::Envelope);
    let mut slab = Slab::take();
    let failed = span.check();
    let rides = mode == Mode::Standard && bytes <= endpoint.engine.config().eager_limit;
    if rides || failed.is_err() {
        activity.takes(Course::Inline);
        Envelope::new(Path::Inline, content, 0, count).write(slab.bytes_mut());
        let context = &endpoint.context;
        let transfer = if failed.is_err() {
            // The receiver learns from an envelope without its elements that it gets none.
            Envelope::new(Path::Failed, content, 0, count).write(slab.bytes_mut());
            Transfer::send_slab(transport, context, dest, tag.0, slab, ENVELOPE_BYTES)?
        } else if span.lane().is_some() {
            // SAFETY: the span is borrowed until this future ends or is dropped.
            unsafe {
                Transfer::send_behind(
                    transport,
                    context,
                    dest,
                    tag.0,
                    &slab.bytes()[..ENVELOPE_BYTES],
                    span,
                )
            }?
        } else {
            let payload = slab.bytes_mut()[ENVELOPE_BYTES..].as_mut_ptr();
            // SAFETY: the span has `bytes` bytes, no more than the eager limit, for which a slab has room.
            unsafe { span.device().copy(span.pointer(), payload, bytes) }?;
            Transfer::send_slab(transport, context, dest, tag.0, slab, ENVELOPE_BYTES + bytes)?
        };
        transfer.await?;
        return failed.map(|()| sent);
    }
    activity.takes(Course::Rendezvous);
    let id = endpoint.ids.take()?;
    Envelope::new(Path::Rendezvous, content, id.number, count).write(slab.bytes_mut());
    let private = &endpoint.family.private;
    let answer_tag = endpoint.tags.answer(id.number);
    let await_answer =
        || Transfer::receive_slab(transport, private, Some(dest), Some(answer_tag), ANSWER_BYTES);
    let mut answer = await_answer()?;
    Transfer::send_slab(transport, &endpoint.context, dest, tag.0, slab, ENVELOPE_BYTES)?.await?;
    activity.waits_for(Phase::Go);
    let Some(delivery) = answer.or_cancelled(activity).await? else {
        withdraw(endpoint, dest, bytes, id.number)?;
        // The number is free again when the receiver knows; `withdraw` sees to that.
        std::mem::forget(id);
        return Err(withdrawn());
    };
    envelope::read_answer(answer.slab(), delivery.bytes, count, content)?;
    activity.waits_for(Phase::Body);
    send_body(endpoint, span, dest, endpoint.tags.body(id.number)).await?;
    Ok(sent)
}

fn withdrawn() -> Error {
    Error::new(
        ErrorKind::PeerFailed,
        "withdrawn, because its scope ended with an error or a panic",
    )
}

/// Sends the elements, in several messages if the transport needs it.
async fn send_body(endpoint: &Endpoint, span: &Span<'_>, dest: usize, tag: i32) -> Result<()> {
    let transport = endpoint.engine.transport();
    let bytes = span.bytes();
    let mut first = 0;
    while first < bytes {
        let length = LARGEST_MESSAGE_BYTES.min(bytes - first);
        let part = (first, length);
        // SAFETY: within the span, which is borrowed until this future ends or is dropped.
        let posted =
            unsafe { Transfer::send_part(transport, &endpoint.family.private, dest, tag, span, part) };
        let sent = match posted {
            Ok(transfer) => match transfer.await {
                // The transport has sent an empty message itself.
                Err(error) if span.lane().is_some() => return Err(error),
                sent => sent.map(drop),
            },
            Err(error) => Err(error),
        };
        if let Err(error) = sent {
            // The receiver waits for the rest: an empty message tells it that none will come.
            send_mark(endpoint, dest, tag).await?;
            return Err(error);
        }
        first += length;
    }
    Ok(())
}

/// Tells the receiver that no body will come.
async fn send_mark(endpoint: &Endpoint, dest: usize, tag: i32) -> Result<()> {
    let transport = endpoint.engine.transport();
    Transfer::send_slab(transport, &endpoint.family.private, dest, tag, Slab::take(), 0)?
        .await
        .map(drop)
}

/// Leaves a task behind that answers the receiver of a withdrawn send, if there ever is one.
fn withdraw(endpoint: &Arc<Endpoint>, dest: usize, bytes: usize, id: u32) -> Result<()> {
    let mut activity = Activity::new("withdrawn send", endpoint.rank());
    activity.peer = Some(Peer::To(endpoint.rank_of(dest)));
    activity.measures(bytes);
    activity.waits_for(Phase::Go);
    let activity = Arc::new(activity);
    let own = Arc::clone(endpoint);
    let decline = async move {
        let transport = own.engine.transport();
        let tag = own.tags.answer(id);
        let mut answer = Transfer::receive_slab(
            transport,
            &own.family.private,
            Some(dest),
            Some(tag),
            ANSWER_BYTES,
        )?;
        let delivery = (&mut answer).await?;
        // A receiver that refused does not wait for a body, nor one of a message without elements.
        if bytes > 0 && answer.slab().first() == Some(&0) && delivery.bytes == ANSWER_BYTES {
            send_mark(&own, dest, own.tags.body(id)).await?;
        }
        own.ids.release(id);
        Err(withdrawn())
    };
    endpoint.engine.adopt(&task(activity, Memory::Nothing, decline));
    Ok(())
}

/// Receives a message into a span that may be written.
pub(crate) async fn receive(
    endpoint: &Arc<Endpoint>,
    activity: &Activity,
    span: &Span<'_>,
    source: Source,
    tag: Tag,
) -> Result<Status> {
    match matched(endpoint, activity, source, tag).await? {
        Some(arrived) => take_in(endpoint, activity, span, arrived).await,
        None => Ok(Status::cancelled(span.dtype())),
    }
}

/// Receives an object of whatever length; none if the receive was cancelled.
#[cfg(feature = "serde")]
pub(crate) async fn receive_object(
    endpoint: &Arc<Endpoint>,
    activity: &Activity,
    source: Source,
    tag: Tag,
) -> Result<(Option<Vec<u8>>, Status)> {
    endpoint.check_native()?;
    let Some(arrived) = matched(endpoint, activity, source, tag).await? else {
        return Ok((None, Status::cancelled(Content::Object.dtype())));
    };
    let length = match Envelope::read(&arrived.envelope.bytes()[..arrived.bytes]) {
        Ok((envelope, _, Content::Object)) => usize::try_from(envelope.count).unwrap_or(usize::MAX),
        // It is refused below.
        _ => 0,
    };
    activity.measures(length);
    let (mut object, reserved) = match buffer::reserved(length, "an object") {
        Ok(memory) => (memory, Ok(())),
        Err(error) => (Vec::new(), Err(error)),
    };
    // Memory that nobody has touched: it is written as the bytes arrive, and never before.
    let span = Span::object(object.as_mut_ptr(), length);
    let status = match reserved {
        Ok(()) => take_in(endpoint, activity, &span, arrived).await?,
        // The sender is told.
        Err(error) => take_in(endpoint, activity, &span.failed(&error), arrived).await?,
    };
    // SAFETY: so many bytes are reserved, and the message, which has exactly as many, was received into them.
    unsafe { object.set_len(length) };
    Ok((Some(object), status))
}

/// Waits for the envelope that a receive is matched with; none if it was cancelled.
async fn matched(
    endpoint: &Arc<Endpoint>,
    activity: &Activity,
    source: Source,
    tag: Tag,
) -> Result<Option<Arrived>> {
    activity.waits_for(Phase::Match);
    let mut transfer = match endpoint.next_envelope(source, tag)? {
        Next::Arrived(arrived) => return Ok(Some(arrived)),
        Next::Posted(transfer) => transfer,
    };
    let delivery = transfer.or_cancelled(activity).await?;
    Ok(delivery.map(|delivery| Arrived {
        envelope: transfer.into_slab(),
        bytes: delivery.bytes,
        source: endpoint.rank_of(delivery.source),
        tag: delivery.tag,
    }))
}

/// Receives a message that a matched probe has taken into a span that may be written.
pub(crate) async fn receive_matched(
    endpoint: &Arc<Endpoint>,
    activity: &Activity,
    span: &Span<'_>,
    matched: Numbered,
) -> Result<Status> {
    take_in(endpoint, activity, span, matched.arrived).await
}

/// Receives the elements behind an envelope.
async fn take_in(
    endpoint: &Arc<Endpoint>,
    activity: &Activity,
    span: &Span<'_>,
    arrived: Arrived,
) -> Result<Status> {
    let Arrived {
        envelope: slab,
        bytes,
        source,
        tag,
    } = arrived;
    let from = |error: Error| error.peer(Peer::From(source));
    let sender = endpoint.number_of(source);
    let (envelope, path, content) = Envelope::read(&slab.bytes()[..bytes]).map_err(from)?;
    let room = Room {
        content: span.content(),
        capacity: span.elements(),
    };
    let count = usize::try_from(envelope.count).unwrap_or(usize::MAX);
    let fits = span
        .check()
        .and_then(|()| envelope::check_room(count, content, room));
    let status = Status {
        source,
        tag: Tag(tag),
        count: envelope.count,
        dtype: content.dtype(),
        cancelled: false,
    };
    match path {
        Path::Inline => {
            activity.takes(Course::Inline);
            fits.map_err(from)?;
            span.write(&slab.bytes()[ENVELOPE_BYTES..bytes])?;
        }
        Path::Failed => {
            return Err(from(Error::new(
                ErrorKind::PeerFailed,
                "the sender could not send its elements",
            )));
        }
        Path::Rendezvous => {
            activity.takes(Course::Rendezvous);
            let answer_tag = endpoint.tags.answer(envelope.id);
            if let Err(error) = fits {
                answer(endpoint, sender, answer_tag, |slab| {
                    envelope::write_refusal(slab, error.kind(), room);
                })
                .await?;
                return Err(from(error));
            }
            activity.waits_for(Phase::Body);
            let elements = span.part(0, count)?;
            receive_body(endpoint, &elements, sender, envelope.id, room)
                .await
                .map_err(from)?;
        }
    }
    Ok(status)
}

/// Sends the answer to a rendezvous.
async fn answer(endpoint: &Endpoint, dest: usize, tag: i32, write: impl FnOnce(&mut [u8])) -> Result<()> {
    let mut slab = Slab::take();
    write(slab.bytes_mut());
    let transport = endpoint.engine.transport();
    Transfer::send_slab(transport, &endpoint.family.private, dest, tag, slab, ANSWER_BYTES)?
        .await
        .map(drop)
}

/// Says GO and receives the body, whose first receive is posted before.
async fn receive_body(
    endpoint: &Endpoint,
    span: &Span<'_>,
    source: usize,
    id: u32,
    room: Room,
) -> Result<()> {
    let transport = endpoint.engine.transport();
    let bytes = span.bytes();
    let mut outcome = Ok(());
    let (answer_tag, body_tag) = (endpoint.tags.answer(id), endpoint.tags.body(id));
    if bytes == 0 {
        return answer(endpoint, source, answer_tag, envelope::write_go).await;
    }
    let mut first = 0;
    while first < bytes {
        let length = LARGEST_MESSAGE_BYTES.min(bytes - first);
        let (part, private) = ((first, length), &endpoint.family.private);
        // SAFETY: within the span, which is borrowed for writing until this future ends or is dropped.
        let posted = unsafe { Transfer::receive_part(transport, private, source, body_tag, span, part) };
        let ready = match posted {
            Ok(transfer) if first == 0 => answer(endpoint, source, answer_tag, envelope::write_go)
                .await
                .map(|()| transfer),
            posted => posted,
        };
        let transfer = match ready {
            Ok(transfer) => transfer,
            Err(error) if first == 0 => {
                // The sender still waits for an answer.
                let refuse = |slab: &mut [u8]| envelope::write_refusal(slab, error.kind(), room);
                answer(endpoint, source, answer_tag, refuse).await?;
                return Err(error);
            }
            Err(error) => return Err(error),
        };
        match transfer.await {
            Ok(delivery) if delivery.bytes < length => {
                return Err(Error::new(
                    ErrorKind::PeerFailed,
                    "the sender could not send the elements, or has withdrawn them",
                ));
            }
            Ok(_) => {}
            // The message was received and could not be copied: the sender sends the rest all the same.
            Err(error) if error.kind() == ErrorKind::Device => outcome = outcome.and(Err(error)),
            Err(error) => return Err(error),
        }
        first += length;
    }
    outcome
}
