//! The elements of a message, in pieces, between ranks that know where both have them and are ready for them.
//!
//! Each piece is a message of its own, under a tag that nothing else has meanwhile. A piece that cannot be sent is
//! an empty message, the mark by which the receiver knows, and so are those that were not started yet: what is posted
//! for them ends.

use std::collections::VecDeque;

use super::activity::Activity;
use super::endpoint::Endpoint;
use super::slab::Slab;
use super::transfer::Transfer;
use crate::buffer::Span;
use crate::device::Place;
use crate::error::{Error, ErrorKind, Result};
use crate::transport::{Path, Pieces, WINDOW};

/// The pieces of a message to or from a peer, between two places.
fn pieces(endpoint: &Endpoint, bytes: usize, peer: usize, ends: [Place; 2]) -> Pieces {
    let transport = endpoint.engine.transport();
    let path = Path::between(ends, transport.shares_process(&endpoint.family.private, peer));
    Pieces::new(bytes, path, endpoint.engine.config().chunk)
}

/// Sends the elements of a span to a rank that has posted their receive, into memory at `to`.
pub(super) async fn send(
    endpoint: &Endpoint,
    activity: &Activity,
    span: &Span<'_>,
    (dest, tag): (usize, i32),
    to: Place,
) -> Result<()> {
    let (transport, private) = (endpoint.engine.transport(), &endpoint.family.private);
    let pieces = pieces(endpoint, span.bytes(), dest, [span.place(), to]);
    activity.goes(pieces.path);
    if span.lane().is_some() && span.bytes() > 0 {
        // SAFETY: the span is borrowed until this future ends or is dropped.
        let posted = unsafe { Transfer::send_body(transport, private, dest, tag, span, pieces) };
        return match posted {
            Ok(transfer) => transfer.await.map(drop),
            Err(error) => send_marks(endpoint, dest, tag, pieces, 0).await.and(Err(error)),
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
            match unsafe { Transfer::send_part(transport, private, dest, tag, span, part) } {
                Ok(transfer) => under_way.push(transfer),
                Err(error) => {
                    send_marks(endpoint, dest, tag, pieces, next).await?;
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
async fn send_marks(endpoint: &Endpoint, dest: usize, tag: i32, pieces: Pieces, first: usize) -> Result<()> {
    let (transport, private) = (endpoint.engine.transport(), &endpoint.family.private);
    for _ in first..pieces.count() {
        Transfer::send_slab(transport, private, dest, tag, Slab::take(), 0)?.await?;
    }
    Ok(())
}

/// Sends a rank that has posted the receive of `bytes` bytes, which are at the first of `ends` and were to go to the
/// second, the marks that end it.
pub(super) async fn withhold(
    endpoint: &Endpoint,
    bytes: usize,
    dest: usize,
    tag: i32,
    ends: [Place; 2],
) -> Result<()> {
    send_marks(endpoint, dest, tag, pieces(endpoint, bytes, dest, ends), 0).await
}

/// The receive of a message's elements, of which the first pieces are posted.
pub(super) struct Incoming<'a> {
    endpoint: &'a Endpoint,
    span: &'a Span<'a>,
    source: usize,
    tag: i32,
    pieces: Pieces,
    /// The next piece to be posted.
    next: usize,
    under_way: Window<(usize, Transfer<'a>)>,
}

impl<'a> Incoming<'a> {
    /// Posts the receive of elements that come from memory at `from`, into a span that may be written.
    pub(super) fn post(
        endpoint: &'a Endpoint,
        activity: &Activity,
        span: &'a Span<'a>,
        (source, tag): (usize, i32),
        from: Place,
    ) -> Result<Incoming<'a>> {
        let mut incoming = Incoming {
            endpoint,
            span,
            source,
            tag,
            pieces: pieces(endpoint, span.bytes(), source, [from, span.place()]),
            next: 0,
            under_way: Window::default(),
        };
        activity.goes(incoming.pieces.path);
        incoming.post_pieces()?;
        Ok(incoming)
    }

    fn post_pieces(&mut self) -> Result<()> {
        let Incoming {
            endpoint,
            span,
            source,
            tag,
            pieces,
            ..
        } = *self;
        let (transport, private) = (endpoint.engine.transport(), &endpoint.family.private);
        if span.lane().is_some() && self.next == 0 && span.bytes() > 0 {
            // SAFETY: the span is borrowed for writing until this value is dropped.
            let posted = unsafe { Transfer::receive_body(transport, private, source, tag, span, pieces) };
            self.under_way.push((span.bytes(), posted?));
            self.next = pieces.count();
        }
        while let Some(part) = pieces.nth(self.next).filter(|_| self.under_way.has_room()) {
            // SAFETY: as above, and within it.
            let posted = unsafe { Transfer::receive_part(transport, private, source, tag, span, part) };
            self.under_way.push((part.1, posted?));
            self.next += 1;
        }
        Ok(())
    }

    /// Waits for the elements.
    pub(super) async fn arrive(mut self) -> Result<()> {
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
