//! How one message travels: in its envelope, or after the receiver has answered.
//!
//! ```text
//! sender                                     receiver
//! envelope {dtype, count, payload}  ------>  matched by MPI; copied out
//!
//! envelope {dtype, count, id}       ------>  matched by MPI; checked against the buffer
//!                                   <------  answer(id): GO, the body's receive is posted; or REFUSE
//! body(id), in pieces               ------>  received in place
//! ```
//!
//! The envelope also says where the sender has the elements; with that and what it knows of the pair the receiver
//! chooses how they go, and GO tells. Of a pair of which it knows nothing yet, both find out behind GO.
//!
//! A synchronous send takes the second way whatever its size: GO says that its receive has matched. No body
//! follows where there are no elements.

use std::sync::Arc;

use super::activity::{Activity, Course, Phase};
use super::arrived::{Arrived, Next, Numbered};
use super::body::{self, Incoming, Line};
use super::endpoint::Endpoint;
use super::envelope::{self, ANSWER_BYTES, ENVELOPE_BYTES, Envelope, Protocol, Room};
use super::slab::Slab;
use super::tags::Id;
use super::task::{Memory, task};
use super::transfer::Transfer;
#[cfg(feature = "serde")]
use crate::buffer;
use crate::buffer::Span;
use crate::error::{Error, ErrorKind, Peer, Result};
#[cfg(feature = "serde")]
use crate::message::Content;
use crate::message::{Source, Status, Tag};
use crate::transport::{Context, Delivery};

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
        let context = &endpoint.context;
        let transfer = if failed.is_err() {
            // The receiver learns from an envelope without its elements that it gets none.
            Envelope::new(Protocol::Failed, content, count).write(slab.bytes_mut());
            Transfer::send_slab(transport, context, dest, tag.0, slab, ENVELOPE_BYTES)?
        } else if span.lane().is_some() {
            Envelope::new(Protocol::Inline, content, count).write(slab.bytes_mut());
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
            let head_bytes = envelope::write_inline(slab.bytes_mut(), content, count);
            let payload = slab.bytes_mut()[head_bytes..].as_mut_ptr();
            // SAFETY: the span has `bytes` bytes, no more than the eager limit, for which a slab has room.
            unsafe { span.device().copy(span.pointer(), payload, bytes) }?;
            Transfer::send_slab(transport, context, dest, tag.0, slab, head_bytes + bytes)?
        };
        transfer.await?;
        return failed.map(|()| sent);
    }
    activity.takes(Course::Rendezvous);
    // Boxed, as what `accept` does: futures are moved as a whole, and short messages need no room for it.
    let offer = Offer::post(endpoint, &endpoint.context, span.alias(), (dest, tag.0), slab)?;
    Box::pin(offer.keep_unless_cancelled(activity)).await?;
    Ok(sent)
}

/// Elements of which the receiver was told, and that wait for its answer.
pub(crate) struct Offer<'a> {
    endpoint: &'a Arc<Endpoint>,
    span: Span<'a>,
    dest: usize,
    id: Id<'a>,
    envelope: Transfer<'a>,
    answer: Transfer<'a>,
}

impl<'a> Offer<'a> {
    /// Offers a span to a rank that expects one under this tag on the private context.
    pub(crate) fn new(endpoint: &'a Arc<Endpoint>, span: Span<'a>, way: (usize, i32)) -> Result<Offer<'a>> {
        Offer::post(endpoint, &endpoint.family.private, span, way, Slab::take())
    }

    /// Sends the envelope of a rendezvous, in a slab.
    fn post(
        endpoint: &'a Arc<Endpoint>,
        context: &Context,
        span: Span<'a>,
        (dest, tag): (usize, i32),
        mut slab: Slab,
    ) -> Result<Offer<'a>> {
        let (transport, private) = (endpoint.engine.transport(), &endpoint.family.private);
        let id = endpoint.ids.take()?;
        let is_lent = span
            .lane()
            .is_some_and(|lane| span.bytes() > 0 && transport.lends(lane, span.pointer() as usize));
        Envelope::of_rendezvous(&span, is_lent, id.number).write(slab.bytes_mut());
        let answer_tag = endpoint.tags.answer(id.number);
        let answer = Transfer::receive_slab(transport, private, Some(dest), Some(answer_tag), ANSWER_BYTES)?;
        let envelope = Transfer::send_slab(transport, context, dest, tag, slab, ENVELOPE_BYTES)?;
        Ok(Offer {
            endpoint,
            span,
            dest,
            id,
            envelope,
            answer,
        })
    }

    /// Sends the elements as soon as the receiver is ready for them, or withdraws them if `activity` is cancelled
    /// before.
    async fn keep_unless_cancelled(mut self, activity: &Activity) -> Result<()> {
        (&mut self.envelope).await?;
        activity.waits_for(Phase::Go);
        let Some(delivery) = self.answer.or_cancelled(activity).await? else {
            withdraw(self.endpoint, self.dest, &self.span, self.id.number)?;
            // The number is free again when the receiver knows; `withdraw` sees to that.
            std::mem::forget(self.id);
            return Err(withdrawn());
        };
        activity.waits_for(Phase::Body);
        self.send_body(activity, delivery).await
    }

    /// Sends the elements as soon as the receiver is ready for them.
    pub(crate) async fn keep(mut self, activity: &Activity) -> Result<()> {
        (&mut self.envelope).await?;
        let delivery = (&mut self.answer).await?;
        self.send_body(activity, delivery).await
    }

    async fn send_body(self, activity: &Activity, answer: Delivery) -> Result<()> {
        let Offer { endpoint, span, .. } = &self;
        let (count, content) = (span.elements(), span.content());
        let way = envelope::read_answer(self.answer.slab(), answer.bytes, count, content)?;
        let line = Line::of(endpoint, self.dest, self.id.number);
        body::send(endpoint, activity, span, line, way).await
    }
}

/// Elements that are expected to be offered.
pub(crate) struct Expected<'a> {
    endpoint: &'a Endpoint,
    span: Span<'a>,
    source: usize,
    envelope: Transfer<'a>,
}

impl<'a> Expected<'a> {
    /// Expects that a rank offers all elements of a span, which may be written, under this tag on the private context.
    pub(crate) fn new(
        endpoint: &'a Endpoint,
        span: Span<'a>,
        (source, tag): (usize, i32),
    ) -> Result<Expected<'a>> {
        let (transport, private) = (endpoint.engine.transport(), &endpoint.family.private);
        let envelope = Transfer::receive_slab(transport, private, Some(source), Some(tag), ENVELOPE_BYTES)?;
        Ok(Expected {
            endpoint,
            span,
            source,
            envelope,
        })
    }

    /// Waits for the elements.
    pub(crate) async fn arrive(mut self, activity: &Activity) -> Result<()> {
        let delivery = (&mut self.envelope).await?;
        if delivery.bytes == 0 {
            return Err(body::withheld());
        }
        let (envelope, _, content) = Envelope::read(&self.envelope.slab()[..delivery.bytes])?;
        let count = usize::try_from(envelope.count).unwrap_or(usize::MAX);
        let fits = envelope::check_room(count, content, Room::of(&self.span));
        accept(self.endpoint, activity, &self.span, self.source, &envelope, fits).await
    }
}

fn withdrawn() -> Error {
    Error::new(
        ErrorKind::PeerFailed,
        "withdrawn, because its scope ended with an error or a panic",
    )
}

/// Leaves a task behind that answers the receiver of a withdrawn send, if there ever is one.
fn withdraw(endpoint: &Arc<Endpoint>, dest: usize, span: &Span<'_>, id: u32) -> Result<()> {
    let bytes = span.bytes();
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
        // A receiver that refused does not wait for a body.
        if let Some(way) = envelope::go(answer.slab(), delivery.bytes) {
            body::withhold(&own, bytes, Line::of(&own, dest, id), way).await?;
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
    let (envelope, protocol, content) = Envelope::read(&slab.bytes()[..bytes]).map_err(from)?;
    let count = usize::try_from(envelope.count).unwrap_or(usize::MAX);
    let fits = span
        .check()
        .and_then(|()| envelope::check_room(count, content, Room::of(span)));
    let status = Status {
        source,
        tag: Tag(tag),
        count: envelope.count,
        dtype: content.dtype(),
        cancelled: false,
    };
    match protocol {
        Protocol::Inline => {
            activity.takes(Course::Inline);
            fits.map_err(from)?;
            span.write(envelope.elements(content, &slab.bytes()[..bytes]))
                .await?;
        }
        Protocol::Failed => {
            return Err(from(Error::new(
                ErrorKind::PeerFailed,
                "the sender could not send its elements",
            )));
        }
        Protocol::Rendezvous => {
            activity.takes(Course::Rendezvous);
            activity.waits_for(Phase::Body);
            Box::pin(accept(endpoint, activity, span, sender, &envelope, fits))
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

/// Answers the envelope of a rendezvous, and receives the elements if they fit.
async fn accept(
    endpoint: &Endpoint,
    activity: &Activity,
    span: &Span<'_>,
    sender: usize,
    envelope: &Envelope,
    fits: Result<()>,
) -> Result<()> {
    let answer_tag = endpoint.tags.answer(envelope.id);
    let room = Room::of(span);
    let refuse = |error: Error| async move {
        let write = |slab: &mut [u8]| envelope::write_refusal(slab, error.kind(), room);
        answer(endpoint, sender, answer_tag, write).await?;
        Err(error)
    };
    if let Err(error) = fits {
        return refuse(error).await;
    }
    let elements = span.part(0, envelope.count as usize)?;
    let line = Line::of(endpoint, sender, envelope.id);
    let (waybill, way) = match body::route(endpoint, &elements, sender, envelope.origin()).await {
        Ok(way) => way,
        Err(error) => return refuse(error).await,
    };
    // Posted before the sender hears of it.
    let incoming = match Incoming::post(endpoint, activity, &elements, line, (waybill, way)) {
        Ok(incoming) => incoming,
        Err(error) => return refuse(error).await,
    };
    let go = |slab: &mut [u8]| envelope::write_go(slab, &waybill);
    if let Err(error) = answer(endpoint, sender, answer_tag, go).await {
        // The sender still waits for an answer, and then uses the tags again.
        endpoint
            .engine
            .transport()
            .call_off(&endpoint.family.private, sender, &waybill);
        drop(incoming);
        return refuse(error).await;
    }
    incoming.arrive().await
}
