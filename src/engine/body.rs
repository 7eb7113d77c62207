//! The elements of a message, in pieces, between ranks that know where both have them and are ready for them.
//!
//! Each piece is a message of its own, under a tag that nothing else has meanwhile. A piece that cannot be sent is
//! an empty message, the mark by which the receiver knows, and so are those that were not started yet: what is posted
//! for them ends.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::task::Poll;

use super::activity::Activity;
use super::endpoint::Endpoint;
use super::slab::Slab;
use super::transfer::Transfer;
use crate::buffer::Span;
use crate::error::{Error, ErrorKind, Result};
use crate::path::Path;
use crate::plan::chunk_bytes;
use crate::transport::{End, Origin, Pieces, Route, Tags, WINDOW, Way, Waybill};

/// The peer of a message, and the tags that it has for itself.
#[derive(Clone, Copy)]
pub(super) struct Line {
    peer: usize,
    tags: Tags,
}

impl Line {
    /// That of the sender's number `id`.
    pub(super) fn of(endpoint: &Endpoint, peer: usize, id: u32) -> Line {
        let tags = Tags {
            body: endpoint.tags.body(id),
            answer: endpoint.tags.answer(id),
        };
        Line { peer, tags }
    }
}

/// How elements from `origin` get from a rank into a span that may be written.
pub(super) async fn route(
    endpoint: &Endpoint,
    span: &Span<'_>,
    source: usize,
    origin: Origin,
) -> Result<(Waybill, Way)> {
    let (transport, private) = (endpoint.engine.transport(), &endpoint.family.private);
    if span.bytes() == 0 {
        return Ok((Waybill::along(Path::Host), Way::Along(Path::Host)));
    }
    loop {
        let address = span.pointer() as usize;
        match transport.route(private, source, origin, span.lane(), address)? {
            Route::Known(waybill) => return Ok((waybill, waybill.way().unwrap_or(Way::Along(Path::Host)))),
            Route::Pending => look_again().await,
            Route::WhenIdle => {
                if let Some(lane) = span.lane() {
                    lane.settle().await?;
                }
            }
        }
    }
}

/// Gives way to others once.
async fn look_again() {
    let mut has_given_way = false;
    poll_fn(|_| match std::mem::replace(&mut has_given_way, true) {
        false => Poll::Pending,
        true => Poll::Ready(()),
    })
    .await;
}

/// The pieces of a message on a path.
fn pieces(endpoint: &Endpoint, bytes: usize, path: Path) -> Pieces {
    let chunk = endpoint
        .engine
        .config()
        .chunk
        .unwrap_or_else(|| chunk_bytes(bytes));
    Pieces::new(bytes, path, Some(chunk))
}

/// Whether the transport has its own way for elements, from or to a span.
fn has_own_way(span: &Span<'_>, path: Path) -> bool {
    (span.lane().is_some() || path.is_shared()) && span.bytes() > 0
}

/// Sends the elements of a span to a rank that has posted their receive.
pub(super) async fn send(
    endpoint: &Endpoint,
    activity: &Activity,
    span: &Span<'_>,
    line: Line,
    (waybill, way): (Waybill, Way),
) -> Result<()> {
    let (transport, private) = (endpoint.engine.transport(), &endpoint.family.private);
    let Line { peer, tags } = line;
    let path = match way {
        Way::Along(path) => path,
        Way::Handshake => {
            match Transfer::handshake(transport, private, peer, End::Sender, tags, &waybill, span) {
                Ok(handshake) => drop(handshake.await?),
                Err(error) => {
                    let withheld = withhold(endpoint, span.bytes(), line, (waybill, way)).await;
                    return withheld.and(Err(error));
                }
            }
            transport.found(private, peer, End::Sender, &waybill)?
        }
    };
    activity.goes(path);
    let pieces = pieces(endpoint, span.bytes(), path);
    if has_own_way(span, path) {
        // SAFETY: the span is borrowed until this future ends or is dropped.
        let posted = unsafe { Transfer::send_body(transport, private, peer, tags, span, pieces, &waybill) };
        return match posted {
            Ok(transfer) => transfer.await.map(drop),
            Err(error) => send_marks(endpoint, line, pieces, &waybill, 0)
                .await
                .and(Err(error)),
        };
    }
    let mut under_way = Window::default();
    let mut next = 0;
    let mut outcome = Ok(());
    loop {
        while outcome.is_ok()
            && let Some(part) = pieces.nth(next).filter(|_| under_way.has_room())
        {
            // SAFETY: within the span, which is borrowed until this future ends or is dropped.
            match unsafe { Transfer::send_part(transport, private, peer, tags.body, span, part) } {
                Ok(transfer) => under_way.push(transfer),
                Err(error) => {
                    send_marks(endpoint, line, pieces, &waybill, next).await?;
                    outcome = Err(error);
                }
            }
            next += 1;
        }
        // Of what was started nothing is left behind: the owner of the elements will use them again.
        match under_way.pop() {
            Some(transfer) => outcome = outcome.and(transfer.await.map(drop)),
            None => return outcome,
        }
    }
}

/// What is under way, the oldest first. One needs no allocation.
struct Window<T> {
    oldest: Option<T>,
    later: VecDeque<T>,
}

impl<T> Default for Window<T> {
    fn default() -> Window<T> {
        Window {
            oldest: None,
            later: VecDeque::new(),
        }
    }
}

impl<T> Window<T> {
    fn has_room(&self) -> bool {
        self.later.len() + 1 < WINDOW
    }

    fn push(&mut self, latest: T) {
        match &self.oldest {
            None => self.oldest = Some(latest),
            Some(_) => self.later.push_back(latest),
        }
    }

    fn pop(&mut self) -> Option<T> {
        std::mem::replace(&mut self.oldest, self.later.pop_front())
    }
}

/// Tells the receiver that from piece `first` on none will come.
async fn send_marks(
    endpoint: &Endpoint,
    line: Line,
    pieces: Pieces,
    waybill: &Waybill,
    first: usize,
) -> Result<()> {
    let (transport, private) = (endpoint.engine.transport(), &endpoint.family.private);
    let Line { peer, tags } = line;
    if pieces.path.is_shared() {
        return Transfer::withhold(transport, private, peer, tags, waybill)?
            .await
            .map(drop);
    }
    for _ in first..pieces.count() {
        Transfer::send_slab(transport, private, peer, tags.body, Slab::take(), 0)?.await?;
    }
    Ok(())
}

/// Sends a rank that has posted the receive of `bytes` bytes the marks that end it.
pub(super) async fn withhold(
    endpoint: &Endpoint,
    bytes: usize,
    line: Line,
    (waybill, way): (Waybill, Way),
) -> Result<()> {
    let pieces = match way {
        Way::Along(path) => pieces(endpoint, bytes, path),
        // One mark ends it.
        Way::Handshake => pieces(endpoint, bytes.min(1), Path::Host),
    };
    send_marks(endpoint, line, pieces, &waybill, 0).await
}

/// The receive of a message's elements, or of what comes before them.
pub(super) struct Incoming<'a> {
    endpoint: &'a Endpoint,
    activity: &'a Activity,
    span: &'a Span<'a>,
    line: Line,
    waybill: Waybill,
    course: Course<'a>,
}

enum Course<'a> {
    /// Both sides find out how the elements go.
    Handshake(Transfer<'a>),
    Arriving(Arriving<'a>),
}

/// Elements of which the receive of the first pieces is posted.
struct Arriving<'a> {
    endpoint: &'a Endpoint,
    span: &'a Span<'a>,
    line: Line,
    waybill: Waybill,
    pieces: Pieces,
    /// The next piece to be posted.
    next: usize,
    under_way: Window<(usize, Transfer<'a>)>,
}

impl<'a> Incoming<'a> {
    /// Posts the receive of elements that come a way into a span that may be written.
    pub(super) fn post(
        endpoint: &'a Endpoint,
        activity: &'a Activity,
        span: &'a Span<'a>,
        line: Line,
        (waybill, way): (Waybill, Way),
    ) -> Result<Incoming<'a>> {
        let (transport, private) = (endpoint.engine.transport(), &endpoint.family.private);
        let Line { peer, tags } = line;
        let course = match way {
            Way::Handshake => Course::Handshake(Transfer::handshake(
                transport,
                private,
                peer,
                End::Receiver,
                tags,
                &waybill,
                span,
            )?),
            Way::Along(path) => {
                activity.goes(path);
                Course::Arriving(Arriving::post(endpoint, span, line, waybill, path)?)
            }
        };
        Ok(Incoming {
            endpoint,
            activity,
            span,
            line,
            waybill,
            course,
        })
    }

    /// Waits for the elements.
    pub(super) async fn arrive(self) -> Result<()> {
        let Incoming {
            endpoint,
            activity,
            span,
            line,
            waybill,
            course,
        } = self;
        let transport = endpoint.engine.transport();
        match course {
            Course::Arriving(arriving) => arriving.arrive().await,
            Course::Handshake(handshake) => {
                if handshake.await?.bytes == 0 {
                    return Err(withheld());
                }
                let path = transport.found(&endpoint.family.private, line.peer, End::Receiver, &waybill)?;
                activity.goes(path);
                Arriving::post(endpoint, span, line, waybill, path)?
                    .arrive()
                    .await
            }
        }
    }
}

impl<'a> Arriving<'a> {
    fn post(
        endpoint: &'a Endpoint,
        span: &'a Span<'a>,
        line: Line,
        waybill: Waybill,
        path: Path,
    ) -> Result<Arriving<'a>> {
        let mut arriving = Arriving {
            endpoint,
            span,
            line,
            waybill,
            pieces: pieces(endpoint, span.bytes(), path),
            next: 0,
            under_way: Window::default(),
        };
        arriving.post_pieces()?;
        Ok(arriving)
    }

    fn post_pieces(&mut self) -> Result<()> {
        let Arriving {
            endpoint,
            span,
            line: Line { peer, tags },
            waybill,
            pieces,
            ..
        } = *self;
        let (transport, private) = (endpoint.engine.transport(), &endpoint.family.private);
        if has_own_way(span, pieces.path) && self.next == 0 {
            // SAFETY: the span is borrowed for writing until this value is dropped.
            let posted =
                unsafe { Transfer::receive_body(transport, private, peer, tags, span, pieces, &waybill) };
            self.under_way.push((span.bytes(), posted?));
            self.next = pieces.count();
        }
        while let Some(part) = pieces.nth(self.next).filter(|_| self.under_way.has_room()) {
            // SAFETY: as above, and within it.
            let posted = unsafe { Transfer::receive_part(transport, private, peer, tags.body, span, part) };
            self.under_way.push((part.1, posted?));
            self.next += 1;
        }
        Ok(())
    }

    async fn arrive(mut self) -> Result<()> {
        let mut is_whole = true;
        let mut outcome = Ok(());
        while let Some((bytes, transfer)) = self.under_way.pop() {
            match transfer.await {
                Ok(delivery) => is_whole &= delivery.bytes == bytes,
                Err(error) => outcome = outcome.and(Err(error)),
            }
            outcome = outcome.and(self.post_pieces());
        }
        match is_whole {
            true => outcome,
            false => outcome.and(Err(withheld())),
        }
    }
}

/// The error of a receiver to which a mark came.
pub(super) fn withheld() -> Error {
    Error::new(
        ErrorKind::PeerFailed,
        "the sender could not send the elements, or has withdrawn them",
    )
}
