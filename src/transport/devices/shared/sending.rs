//! A message that is sent through memory that both processes have, or lent to the receiver.

use std::collections::VecDeque;
use std::sync::Arc;
use std::task::Poll;

use super::elements::Elements;
use super::ring::Ring;
use super::segment::{Content, Loan, Piece, SLOTS};
use crate::device::cuda::{Borrower, Mark, lend};
use crate::error::{Error, Result};
use crate::path::Path;
use crate::transport::devices::{Line, Memory, Steps};
use crate::transport::pieces::SHARED_PIECE_BYTES;
use crate::transport::{Body, Delivery, Pieces, Ticket, Transport};

/// A message that is sent.
pub(in super::super) struct Sending {
    line: Line,
    ring: Arc<Ring>,
    /// The receiver's number for it.
    number: u64,
    elements: Elements,
    pieces: Pieces,
    /// The next piece.
    next: usize,
    /// From here on a copy does not wait for what was in the buffer's stream before.
    ready: Option<Mark>,
    copied: VecDeque<(usize, Mark, Piece)>,
    /// The address of the first slot.
    base: usize,
    /// Where the elements are, if the receiver can have them from there.
    loan: Option<Loan>,
    /// The slot in which it is told so.
    lent: Option<usize>,
    failure: Option<Error>,
    /// Whether the receiver is only told that there is nothing.
    is_withheld: bool,
    is_over: bool,
}

impl Sending {
    /// # Safety
    /// As for [`Transport::isend_body`].
    pub(in super::super) unsafe fn new(
        line: Line,
        ring: Arc<Ring>,
        number: u64,
        body: &Body<'_>,
        pieces: Pieces,
    ) -> Sending {
        let elements = Elements::new(body);
        elements.prepare(&ring, pieces.path);
        let ready = elements.lane.as_ref().map(|lane| lane.mark()).transpose();
        let base = ring.base(pieces.path, body.lane);
        let lent = || {
            let borrower: Arc<dyn Borrower> = Arc::<Ring>::clone(&ring);
            lend(body.address, body.bytes, Some(&borrower))
        };
        let loan = pieces.path.is_ipc().then(lent).flatten();
        let mut sending = Sending {
            line,
            number,
            elements,
            pieces,
            next: 0,
            ready: None,
            copied: VecDeque::with_capacity(SLOTS),
            base: 0,
            loan: loan.map(|(window, handle, offset)| Loan {
                window,
                handle,
                offset,
            }),
            lent: None,
            failure: None,
            is_withheld: false,
            is_over: false,
            ring,
        };
        match ready.and_then(|ready| Ok((ready, base?))) {
            Ok((ready, base)) => (sending.ready, sending.base) = (ready, base),
            Err(error) => sending.failure = Some(error),
        }
        sending
    }

    /// A message of which nothing is sent but that.
    pub(in super::super) fn failed(line: Line, ring: Arc<Ring>, number: u64) -> Sending {
        Sending {
            line,
            ring,
            number,
            elements: Elements {
                lane: None,
                first: 0,
                bytes: 0,
            },
            pieces: Pieces::new(0, Path::SharedPinned, None),
            next: 0,
            ready: None,
            copied: VecDeque::new(),
            base: 0,
            loan: None,
            lent: None,
            failure: None,
            is_withheld: true,
            is_over: false,
        }
    }

    /// Starts the copies of the next pieces, as far as there are slots.
    fn copy_next(&mut self) {
        while self.failure.is_none()
            && let Some((first, bytes)) = self.pieces.nth(self.next)
            && let Some(slot) = self.ring.claim()
        {
            self.next += 1;
            let piece = Piece {
                number: self.number,
                first,
                bytes,
                content: Content::Bytes,
            };
            let source = (self.elements.first + first) as *const u8;
            let target = (self.base + slot * SHARED_PIECE_BYTES) as *mut u8;
            // SAFETY: whoever has started the send promises the elements; a piece is no longer than a slot, which is
            // this message's until it is published.
            match unsafe { self.elements.copy(source, target, bytes) } {
                Ok(Some(mark)) => self.copied.push_back((slot, mark, piece)),
                Ok(None) => self.ring.publish(slot, piece),
                Err(error) => {
                    self.ring.release(slot, None);
                    self.failure = Some(error);
                }
            }
        }
    }

    /// Lends the elements to the receiver, if it can have them so; whether that is under way.
    fn lend(&mut self) -> bool {
        if let Some(slot) = self.lent
            && !self.is_returned(slot)
        {
            return true;
        }
        if self.failure.is_some() {
            self.loan = None;
        }
        let Some(loan) = self.loan else {
            return false;
        };
        if let Some(slot) = self.ring.claim() {
            self.loan = None;
            let piece = Piece {
                number: self.number,
                first: 0,
                bytes: self.elements.bytes,
                content: Content::Loan(loan),
            };
            self.ring.lend(slot, piece);
            self.lent = Some(slot);
        }
        true
    }

    /// Whether the receiver is done with what was lent, or its GPU will be, before this lane goes on. What it has not
    /// copied goes in pieces.
    fn is_returned(&mut self, slot: usize) -> bool {
        let segment = self.ring.segment();
        match (segment.is_copying(slot), &self.elements.lane) {
            (true, Some(lane)) => {
                self.ring.follow(slot, lane);
                self.next = self.pieces.count();
            }
            _ if !segment.is_empty(slot) => return false,
            _ if segment.is_refused(slot) => {}
            _ => self.next = self.pieces.count(),
        }
        self.lent = None;
        self.ring.release(slot, None);
        true
    }

    /// Hands over what is copied.
    fn publish_copied(&mut self) {
        while let Some((slot, mark, piece)) = self.copied.front() {
            match mark.is_over() {
                Ok(false) => return,
                Ok(true) => self.ring.publish(*slot, *piece),
                Err(error) => {
                    self.ring.release(*slot, None);
                    self.failure.get_or_insert(error);
                }
            }
            self.copied.pop_front();
        }
    }
}

impl Steps for Sending {
    fn advance(&mut self, _inner: &dyn Transport) -> Poll<Result<Delivery>> {
        self.ring.tidy();
        // A slot that waits for a kernel of the user's would be in the way of other messages.
        match self.ready.as_ref().map_or(Ok(true), Mark::is_over) {
            Ok(true) => self.ready = None,
            Ok(false) => return Poll::Pending,
            Err(error) => {
                self.ready = None;
                self.failure.get_or_insert(error);
            }
        }
        if self.lend() {
            return Poll::Pending;
        }
        self.publish_copied();
        self.copy_next();
        if !self.copied.is_empty() {
            return Poll::Pending;
        }
        if self.failure.is_none() && !self.is_withheld {
            self.is_over = self.next == self.pieces.count();
            return match self.is_over {
                true => Poll::Ready(Ok(self.line.delivery(self.elements.bytes))),
                false => Poll::Pending,
            };
        }
        let Some(slot) = self.ring.claim() else {
            return Poll::Pending;
        };
        let end = Piece {
            number: self.number,
            first: 0,
            bytes: 0,
            content: Content::End,
        };
        self.ring.publish(slot, end);
        self.is_over = true;
        Poll::Ready(self.failure.take().map_or(Ok(self.line.delivery(0)), Err))
    }

    fn abandon(&mut self, _inner: &dyn Transport) -> Vec<(Ticket, Memory)> {
        for (slot, mark, _) in self.copied.drain(..) {
            self.ring.release(slot, Some(mark));
        }
        Vec::new()
    }

    fn is_in_use(&mut self, _inner: &dyn Transport) -> bool {
        let Some(slot) = self.lent else {
            return false;
        };
        if self.ring.segment().take_back(slot) {
            self.lent = None;
            self.ring.release(slot, None);
        } else if self.is_returned(slot) {
            self.is_over = self.next == self.pieces.count();
        }
        self.lent.is_some()
    }

    fn rest(&mut self) -> Option<Box<dyn Steps>> {
        (!self.is_over).then(|| -> Box<dyn Steps> {
            let (line, ring) = (self.line.clone(), Arc::clone(&self.ring));
            Box::new(Sending::failed(line, ring, self.number))
        })
    }
}
