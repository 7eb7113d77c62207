//! Pieces of messages in the slots of shared memory.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;

use super::segment::{Piece, SLOTS, Segment, Word};
use crate::device::cuda::{Gpu, Mark};
use crate::device::{Lane, device};
use crate::error::{Error, ErrorKind, Result};
use crate::path::Path;
use crate::transport::devices::{Line, Memory, Steps};
use crate::transport::pieces::SHARED_PIECE_BYTES;
use crate::transport::{Body, Delivery, End, Pieces, Ticket, Transport};

/// Shared memory as one of its two ends uses it.
pub(in super::super) struct Ring {
    segment: Segment,
    end: End,
    slots: Mutex<[Slot; SLOTS]>,
}

/// What this end does with a slot.
#[derive(Default)]
enum Slot {
    #[default]
    Nothing,
    /// A message uses it.
    InUse,
    /// A GPU still uses it up to here, and nothing else.
    Until(Mark),
}

impl Ring {
    pub(super) fn new(segment: Segment, end: End) -> Ring {
        Ring {
            segment,
            end,
            slots: Mutex::default(),
        }
    }

    fn slots(&self) -> MutexGuard<'_, [Slot; SLOTS]> {
        // Each change is one assignment.
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn say(&self, word: Word) {
        self.segment.say(word);
    }

    pub(super) fn heard(&self) -> Word {
        self.segment.heard()
    }

    pub(super) fn lock_pages(&self, gpu: &'static Gpu) -> Result<()> {
        self.segment.lock_pages(gpu)
    }

    /// Frees the slots that GPUs are done with.
    fn tidy(&self) {
        for (number, slot) in self.slots().iter_mut().enumerate() {
            // A GPU that has failed does nothing.
            if matches!(slot, Slot::Until(mark) if mark.is_over().unwrap_or(true)) {
                self.free(number, slot);
            }
        }
    }

    fn free(&self, number: usize, slot: &mut Slot) {
        *slot = Slot::Nothing;
        if self.end == End::Receiver {
            self.segment.give_back(number);
        }
    }

    /// A slot to put a piece in, if there is one.
    fn claim(&self) -> Option<usize> {
        let mut slots = self.slots();
        let is_free =
            |(number, slot): (usize, &Slot)| matches!(slot, Slot::Nothing) && self.segment.is_empty(number);
        let number = slots.iter().enumerate().position(is_free)?;
        slots[number] = Slot::InUse;
        Some(number)
    }

    /// Hands a claimed slot to the receiver.
    fn publish(&self, number: usize, piece: Piece) {
        self.segment.publish(number, piece);
        self.slots()[number] = Slot::Nothing;
    }

    /// A piece of a message that has come, and its slot.
    fn take(&self, message: u64) -> Option<(usize, Piece)> {
        let mut slots = self.slots();
        let find = |failed| {
            (0..SLOTS)
                .filter(|&number| matches!(slots[number], Slot::Nothing))
                .filter_map(|number| Some((number, self.segment.published(number)?)))
                .find(|(_, piece)| piece.number == message && piece.failed == failed)
        };
        // The end is handed over behind all pieces, and may lie in front of them.
        let end = find(true);
        let (number, piece) = find(false).or(end)?;
        slots[number] = Slot::InUse;
        Some((number, piece))
    }

    /// Frees a slot when a GPU is done with it, or at once.
    fn release(&self, number: usize, until: Option<Mark>) {
        let slot = &mut self.slots()[number];
        match until {
            Some(mark) => *slot = Slot::Until(mark),
            None => self.free(number, slot),
        }
    }
}

impl Drop for Ring {
    fn drop(&mut self) {
        // The memory is about to go.
        for slot in self.slots().iter() {
            if let Slot::Until(mark) = slot {
                mark.wait();
            }
        }
    }
}

/// A GPU's or the host's memory.
struct Elements {
    lane: Option<Arc<Lane>>,
    first: usize,
    bytes: usize,
}

impl Elements {
    fn new(body: &Body<'_>) -> Elements {
        Elements {
            lane: body.lane.cloned(),
            first: body.address,
            bytes: body.bytes,
        }
    }

    /// Makes the segment such that a GPU copies to and from it by itself. Where that is impossible the driver copies
    /// with the CPU's help, which takes longer.
    fn prepare(&self, ring: &Ring) {
        if let Some(lane) = &self.lane {
            let _ = ring.lock_pages(lane.gpu());
        }
    }

    /// Copies between elements and a slot, and says until when a GPU does.
    ///
    /// # Safety
    /// Both are valid for so many bytes until then, and nobody else uses the target meanwhile.
    unsafe fn copy(&self, source: *const u8, target: *mut u8, bytes: usize) -> Result<Option<Mark>> {
        // SAFETY: the caller's promise.
        unsafe { device(self.lane.as_deref()).copy(source, target, bytes) }?;
        let Some(lane) = &self.lane else {
            return Ok(None);
        };
        lane.mark().inspect_err(|_| lane.wait()).map(Some)
    }
}

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
        elements.prepare(&ring);
        let (ready, failure) = match elements.lane.as_ref().map(|lane| lane.mark()).transpose() {
            Ok(ready) => (ready, None),
            Err(error) => (None, Some(error)),
        };
        Sending {
            line,
            ring,
            number,
            elements,
            pieces,
            next: 0,
            ready,
            copied: VecDeque::with_capacity(SLOTS),
            failure,
            is_withheld: false,
            is_over: false,
        }
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
                failed: false,
            };
            let source = (self.elements.first + first) as *const u8;
            // SAFETY: whoever has started the send promises the elements; a piece is no longer than a slot, which is
            // this message's until it is published.
            match unsafe { self.elements.copy(source, self.ring.segment.slot(slot), bytes) } {
                Ok(Some(mark)) => self.copied.push_back((slot, mark, piece)),
                Ok(None) => self.ring.publish(slot, piece),
                Err(error) => {
                    self.ring.release(slot, None);
                    self.failure = Some(error);
                }
            }
        }
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
            failed: true,
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

    fn rest(&mut self) -> Option<Box<dyn Steps>> {
        (!self.is_over).then(|| -> Box<dyn Steps> {
            let (line, ring) = (self.line.clone(), Arc::clone(&self.ring));
            Box::new(Sending::failed(line, ring, self.number))
        })
    }
}

/// A message that is received.
pub(in super::super) struct Receiving {
    line: Line,
    ring: Arc<Ring>,
    number: u64,
    elements: Elements,
    /// Bytes that have come, and whether no more do.
    received: usize,
    is_over: bool,
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
    ) -> Receiving {
        let elements = Elements::new(body);
        elements.prepare(&ring);
        Receiving {
            line,
            ring,
            number,
            elements,
            received: 0,
            is_over: false,
            failure: None,
        }
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
            None if !fits => Err(Error::new(
                ErrorKind::Mismatch,
                "a piece that is not of this message",
            )),
            None => {
                let target = (self.elements.first + piece.first) as *mut u8;
                // SAFETY: within the elements, which whoever has started the receive promises; the slot is this
                // message's until it is released.
                unsafe {
                    self.elements
                        .copy(self.ring.segment.slot(slot), target, piece.bytes)
                }
            }
        };
        let until = copied.unwrap_or_else(|error| {
            self.failure = Some(error);
            None
        });
        self.ring.release(slot, until);
    }
}

impl Steps for Receiving {
    fn advance(&mut self, _inner: &dyn Transport) -> Poll<Result<Delivery>> {
        self.ring.tidy();
        while !self.is_over
            && let Some((slot, piece)) = self.ring.take(self.number)
        {
            match piece.failed {
                true => self.ring.release(slot, None),
                false => self.copy(slot, piece),
            }
            self.received += piece.bytes;
            self.is_over = piece.failed || self.received >= self.elements.bytes;
        }
        if !self.is_over {
            return Poll::Pending;
        }
        let delivery = self.line.delivery(self.received);
        Poll::Ready(self.failure.take().map_or(Ok(delivery), Err))
    }

    fn abandon(&mut self, _inner: &dyn Transport) -> Vec<(Ticket, Memory)> {
        Vec::new()
    }

    fn rest(&mut self) -> Option<Box<dyn Steps>> {
        (!self.is_over).then(|| -> Box<dyn Steps> {
            let left = self.elements.bytes - self.received;
            let (line, ring) = (self.line.clone(), Arc::clone(&self.ring));
            Box::new(Discarding::new(line, ring, self.number, left))
        })
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
            if piece.failed || self.left == 0 {
                return Poll::Ready(Ok(self.line.delivery(0)));
            }
        }
        Poll::Pending
    }

    fn abandon(&mut self, _inner: &dyn Transport) -> Vec<(Ticket, Memory)> {
        Vec::new()
    }
}
