//! A message that is received from memory that both processes have, or from a buffer that is lent.

use std::sync::Arc;
use std::task::Poll;

use super::elements::Elements;
use super::ring::Ring;
use super::segment::{Content, Loan, Piece};
use crate::device::cuda::{Mark, OpenWindow, SharedEvent};
use crate::error::{Error, ErrorKind, Result};
use crate::path::Path;
use crate::transport::devices::{Line, Memory, Steps};
use crate::transport::pieces::SHARED_PIECE_BYTES;
use crate::transport::{Body, Delivery, Ticket, Transport};

/// A copy from a lent buffer that was started.
enum Copy {
    /// The sender's lane can wait for it.
    Behind(Arc<SharedEvent>, Arc<OpenWindow>),
    /// This end looks until it is over, and tells the sender.
    Until(Mark, Arc<OpenWindow>),
}

/// A message that is received.
pub(in super::super) struct Receiving {
    line: Line,
    ring: Arc<Ring>,
    number: u64,
    elements: Elements,
    /// The address of the first slot.
    base: usize,
    /// Bytes that have come, and whether no more do.
    received: usize,
    is_over: bool,
    /// The slot that is handed back when a copy from a lent buffer is over, and what the copy reads: where there are no
    /// events.
    borrowed: Option<(usize, Mark, Arc<OpenWindow>)>,
    failure: Option<Error>,
}

impl Receiving {
    /// # Safety
    /// As for [`Transport::irecv_body`].
    pub(in super::super) unsafe fn new(
        line: Line,
        ring: Arc<Ring>,
        number: u64,
        body: &Body<'_>,
        path: Path,
    ) -> Receiving {
        let elements = Elements::new(body);
        elements.prepare(&ring, path);
        let (base, failure) = match ring.base(path, body.lane) {
            Ok(base) => (base, None),
            Err(error) => (0, Some(error)),
        };
        Receiving {
            line,
            ring,
            number,
            elements,
            base,
            received: 0,
            is_over: false,
            borrowed: None,
            failure,
        }
    }

    /// Starts the copy of a piece, and hands its slot back afterwards; how many bytes have come.
    fn receive(&mut self, slot: usize, piece: Piece) -> usize {
        match piece.content {
            Content::End => self.ring.release(slot, None),
            Content::Bytes => self.copy(slot, piece),
            Content::Loan(loan) => match self.borrow(slot, piece, &loan) {
                Ok(Some(Copy::Behind(event, window))) => self.ring.copy_behind(slot, event, window),
                Ok(Some(Copy::Until(mark, window))) => self.borrowed = Some((slot, mark, window)),
                Ok(None) => self.ring.release(slot, None),
                // The elements come in pieces instead.
                Err(_) => {
                    self.ring.refuse(slot);
                    return 0;
                }
            },
        }
        piece.bytes
    }

    /// Starts to copy from a lent buffer, if it can be opened.
    fn borrow(&mut self, slot: usize, piece: Piece, loan: &Loan) -> Result<Option<Copy>> {
        let (None, Some(lane)) = (&self.failure, &self.elements.lane) else {
            return Ok(None);
        };
        let window = self.ring.open_window(lane.gpu(), loan)?;
        if piece.first != 0 || piece.bytes != self.elements.bytes {
            self.failure = Some(not_of_this_message());
            return Ok(None);
        }
        let source = (window.address() + loan.offset) as *const u8;
        // SAFETY: the sender promises the elements in its window until the slot is handed back; whoever has started
        // the receive promises the target.
        let started = unsafe {
            self.elements
                .start(source, self.elements.first as *mut u8, piece.bytes)
        };
        let until = started.and_then(|()| match self.ring.record(slot, lane) {
            Some(event) => Ok(Copy::Behind(event, window)),
            None => {
                let mark = lane.mark().inspect_err(|_| lane.wait())?;
                Ok(Copy::Until(mark, window))
            }
        });
        Ok(until.map_err(|error| self.failure = Some(error)).ok())
    }

    /// Starts the copy of a piece out of its slot.
    fn copy(&mut self, slot: usize, piece: Piece) {
        let fits = piece.bytes <= SHARED_PIECE_BYTES
            && piece
                .first
                .checked_add(piece.bytes)
                .is_some_and(|end| end <= self.elements.bytes);
        let copied = match &self.failure {
            Some(_) => Ok(None),
            None if !fits => Err(not_of_this_message()),
            None => {
                let source = (self.base + slot * SHARED_PIECE_BYTES) as *const u8;
                let target = (self.elements.first + piece.first) as *mut u8;
                // SAFETY: within the elements, which whoever has started the receive promises; the slot is this
                // message's until it is released.
                unsafe { self.elements.copy(source, target, piece.bytes) }
            }
        };
        let until = copied.unwrap_or_else(|error| {
            self.failure = Some(error);
            None
        });
        self.ring.release(slot, until);
    }

    /// Leaves the slot of a lent buffer to be handed back when the copy from there is over.
    fn leave_borrowed(&mut self) -> Option<usize> {
        let (slot, mark, window) = self.borrowed.take()?;
        self.ring.release_behind(slot, mark, window);
        Some(slot)
    }
}

impl Steps for Receiving {
    fn advance(&mut self, _inner: &dyn Transport) -> Poll<Result<Delivery>> {
        self.ring.tidy();
        while !self.is_over
            && let Some((slot, piece)) = self.ring.take(self.number)
        {
            self.received += self.receive(slot, piece);
            self.is_over = piece.content == Content::End || self.received >= self.elements.bytes;
        }
        if !self.is_over {
            return Poll::Pending;
        }
        // The sender waits until its buffer is free, and nobody may look at the slot later.
        if let Some((slot, mark, window)) = self.borrowed.take() {
            match mark.is_over() {
                Ok(false) => {
                    self.borrowed = Some((slot, mark, window));
                    return Poll::Pending;
                }
                Ok(true) => {}
                Err(error) => {
                    self.failure.get_or_insert(error);
                }
            }
            // The sender may free it from here on.
            drop(window);
            self.ring.release(slot, None);
        }
        let delivery = self.line.delivery(self.received);
        Poll::Ready(self.failure.take().map_or(Ok(delivery), Err))
    }

    fn abandon(&mut self, _inner: &dyn Transport) -> Vec<(Ticket, Memory)> {
        self.leave_borrowed();
        Vec::new()
    }

    fn rest(&mut self) -> Option<Box<dyn Steps>> {
        if let Some(slot) = self.leave_borrowed() {
            let (line, ring) = (self.line.clone(), Arc::clone(&self.ring));
            return Some(Box::new(Returning { line, ring, slot }));
        }
        (!self.is_over).then(|| -> Box<dyn Steps> {
            let left = self.elements.bytes - self.received;
            let (line, ring) = (self.line.clone(), Arc::clone(&self.ring));
            Box::new(Discarding::new(line, ring, self.number, left))
        })
    }
}

#[cold]
fn not_of_this_message() -> Error {
    Error::new(ErrorKind::Mismatch, "a piece that is not of this message")
}

/// A message that nobody wants any more, whose lent elements a GPU still copies: its sender waits for them.
struct Returning {
    line: Line,
    ring: Arc<Ring>,
    slot: usize,
}

impl Steps for Returning {
    fn advance(&mut self, _inner: &dyn Transport) -> Poll<Result<Delivery>> {
        self.ring.tidy();
        match self.ring.is_waited_for(self.slot) {
            true => Poll::Pending,
            false => Poll::Ready(Ok(self.line.delivery(0))),
        }
    }

    fn abandon(&mut self, _inner: &dyn Transport) -> Vec<(Ticket, Memory)> {
        Vec::new()
    }
}

/// A message that nobody wants any more: its pieces must not be in the way of others.
pub(super) struct Discarding {
    line: Line,
    ring: Arc<Ring>,
    number: u64,
    /// The bytes that are still to come.
    left: usize,
}

impl Discarding {
    pub(super) fn new(line: Line, ring: Arc<Ring>, number: u64, left: usize) -> Discarding {
        Discarding {
            line,
            ring,
            number,
            left,
        }
    }
}

impl Steps for Discarding {
    fn advance(&mut self, _inner: &dyn Transport) -> Poll<Result<Delivery>> {
        self.ring.tidy();
        while let Some((slot, piece)) = self.ring.take(self.number) {
            self.ring.release(slot, None);
            self.left = self.left.saturating_sub(piece.bytes);
            if piece.content == Content::End || self.left == 0 {
                return Poll::Ready(Ok(self.line.delivery(0)));
            }
        }
        Poll::Pending
    }

    fn abandon(&mut self, _inner: &dyn Transport) -> Vec<(Ticket, Memory)> {
        Vec::new()
    }
}
