//! Long messages through page-locked memory, a few pieces at a time: while one is copied, another is on its way.
//!
//! ```text
//! send:     GPU -copy-> slab -inner send->
//! receive:              -inner receive-> slab -copy-> GPU
//! ```
//!
//! The copies are in the lane in the order of the pieces, and nobody waits for them but by looking.

use std::collections::VecDeque;
use std::sync::Arc;
use std::task::Poll;

use super::{Line, Memory, Steps, Target, not_started, still_used};
use crate::device::cuda::PinnedSlab;
use crate::device::{Device, Lane};
use crate::error::{Error, Result};
use crate::transport::{
    Delivery, DeviceMemory, Pieces, Posted, Tested, Ticket, Transport, WINDOW, taken_back,
};

/// Which memory of a GPU goes in which pieces.
struct Cut {
    lane: Arc<Lane>,
    address: usize,
    bytes: usize,
    pieces: Pieces,
    /// The next piece.
    next: usize,
}

impl Cut {
    fn new(body: &DeviceMemory<'_>, pieces: Pieces) -> Cut {
        Cut {
            lane: Arc::clone(body.lane),
            address: body.address,
            bytes: body.bytes,
            pieces,
            next: 0,
        }
    }

    /// The next piece, its address and its length in bytes.
    fn take(&mut self) -> Option<(usize, usize)> {
        let (first, bytes) = self.pieces.nth(self.next)?;
        self.next += 1;
        Some((self.address + first, bytes))
    }
}

/// What is left of a piece to do for whoever sends it.
enum Outgoing {
    /// Its copy to the host.
    Copy(PinnedSlab, usize),
    /// Nothing could be copied: an empty message.
    Mark,
    Send(Ticket, Memory),
    Nothing,
}

/// A message that is sent from the memory of a GPU.
pub(super) struct Sending {
    line: Line,
    cut: Cut,
    under_way: VecDeque<Outgoing>,
    failure: Option<Error>,
}

impl Sending {
    /// # Safety
    /// As for [`Transport::isend_body`].
    pub(super) unsafe fn new(line: Line, body: &DeviceMemory<'_>, pieces: Pieces) -> Sending {
        Sending {
            line,
            cut: Cut::new(body, pieces),
            under_way: VecDeque::with_capacity(WINDOW.min(pieces.count())),
            failure: None,
        }
    }

    fn fail(&mut self, error: Error) {
        self.failure.get_or_insert(error);
    }

    /// Starts the copies of the next pieces.
    fn copy_next(&mut self) {
        while self.under_way.len() < WINDOW
            && let Some((address, bytes)) = self.cut.take()
        {
            let piece = match self.failure {
                Some(_) => Outgoing::Mark,
                None => match self.copy(address, bytes) {
                    Ok(slab) => Outgoing::Copy(slab, bytes),
                    Err(error) => {
                        self.fail(error);
                        Outgoing::Mark
                    }
                },
            };
            self.under_way.push_back(piece);
        }
    }

    fn copy(&self, address: usize, bytes: usize) -> Result<PinnedSlab> {
        let lane = &self.cut.lane;
        let mut slab = PinnedSlab::take(lane.gpu(), bytes)?;
        // SAFETY: whoever has started the send promises the address; the slab has room, and is used by nobody else
        // before the mark.
        unsafe { lane.copy(address as *const u8, slab.pointer(), bytes) }?;
        slab.used_until_here(lane)?;
        Ok(slab)
    }

    /// Hands on the pieces whose copies are over, in their order.
    fn send_copied(&mut self, inner: &dyn Transport) -> Result<()> {
        for piece in &mut self.under_way {
            let (memory, mut bytes) = match std::mem::replace(piece, Outgoing::Nothing) {
                Outgoing::Copy(mut slab, bytes) => match slab.poll_free() {
                    Poll::Pending => {
                        *piece = Outgoing::Copy(slab, bytes);
                        return Ok(());
                    }
                    Poll::Ready(Ok(())) => (Memory::Pinned(slab), bytes),
                    Poll::Ready(Err(error)) => {
                        self.failure.get_or_insert(error);
                        (Memory::Pageable(Box::default()), 0)
                    }
                },
                Outgoing::Mark => (Memory::Pageable(Box::default()), 0),
                other => {
                    *piece = other;
                    continue;
                }
            };
            let Line { context, peer, tags } = &self.line;
            // SAFETY: the memory is kept until the inner send is over.
            let send = |bytes| unsafe { inner.isend(context, *peer, tags.body, memory.pointer(), bytes) };
            let posted = match send(bytes) {
                Err(error) => {
                    self.failure.get_or_insert(error);
                    bytes = 0;
                    send(bytes)?
                }
                Ok(posted) => posted,
            };
            if let Posted::Pending(ticket) = posted {
                *piece = Outgoing::Send(ticket, memory);
            }
        }
        Ok(())
    }
}

impl Steps for Sending {
    fn advance(&mut self, inner: &dyn Transport) -> Poll<Result<Delivery>> {
        loop {
            self.copy_next();
            if let Err(error) = self.send_copied(inner) {
                // Not even a mark can be sent.
                return Poll::Ready(Err(self.failure.take().unwrap_or(error)));
            }
            let before = self.under_way.len();
            while let Some(oldest) = self.under_way.front() {
                if let Outgoing::Send(ticket, _) = oldest {
                    match inner.test(ticket) {
                        Ok(Tested::Pending) => break,
                        Ok(Tested::Completed(_)) => {}
                        Ok(Tested::Released) => self.fail(taken_back()),
                        Err(error) => self.fail(error),
                    }
                } else if !matches!(oldest, Outgoing::Nothing) {
                    break;
                }
                self.under_way.pop_front();
            }
            if self.under_way.is_empty() && self.cut.next == self.cut.pieces.count() {
                let delivery = self.line.delivery(self.cut.bytes);
                return Poll::Ready(self.failure.take().map_or(Ok(delivery), Err));
            }
            if self.under_way.len() == before {
                return Poll::Pending;
            }
        }
    }

    fn abandon(&mut self, inner: &dyn Transport) -> Vec<(Ticket, Memory)> {
        let sends = self.under_way.drain(..).filter_map(|piece| match piece {
            Outgoing::Send(ticket, memory) => Some((ticket, memory)),
            _ => None,
        });
        still_used(inner, sends)
    }
}

/// A piece that the inner transport receives.
struct Arriving {
    posted: Posted,
    memory: Memory,
    target: Target,
    /// Why it cannot be copied.
    failure: Option<Error>,
}

/// A message that is received into the memory of a GPU.
pub(super) struct Receiving {
    line: Line,
    cut: Cut,
    under_way: VecDeque<Arriving>,
    /// Bytes that have come.
    received: usize,
    failure: Option<Error>,
}

impl Receiving {
    /// Posts the receives of the first pieces.
    ///
    /// # Safety
    /// As for [`Transport::irecv_body`].
    pub(super) unsafe fn new(
        line: Line,
        body: &DeviceMemory<'_>,
        pieces: Pieces,
        inner: &dyn Transport,
    ) -> Result<Receiving> {
        let mut receiving = Receiving {
            line,
            cut: Cut::new(body, pieces),
            under_way: VecDeque::with_capacity(WINDOW.min(pieces.count())),
            received: 0,
            failure: None,
        };
        match receiving.post_next(inner) {
            Ok(()) => Ok(receiving),
            Err(error) => Err(not_started(receiving, error, inner)),
        }
    }

    fn post_next(&mut self, inner: &dyn Transport) -> Result<()> {
        while self.under_way.len() < WINDOW
            && let Some((address, bytes)) = self.cut.take()
        {
            let lane = &self.cut.lane;
            let (memory, failure) = super::room(lane, bytes);
            let Line { context, peer, tags } = &self.line;
            let pointer = memory.pointer().cast_mut();
            // SAFETY: the memory has that many bytes and is kept until the inner receive is over.
            let posted = unsafe { inner.irecv(context, Some(*peer), Some(tags.body), pointer, bytes) }?;
            self.under_way.push_back(Arriving {
                posted,
                memory,
                target: Target {
                    lane: Arc::clone(lane),
                    address,
                    bytes,
                },
                failure,
            });
        }
        Ok(())
    }
}

impl Steps for Receiving {
    fn advance(&mut self, inner: &dyn Transport) -> Poll<Result<Delivery>> {
        while let Some(oldest) = self.under_way.front() {
            let tested = match &oldest.posted {
                Posted::Done(delivery) => Ok(Tested::Completed(*delivery)),
                Posted::Pending(ticket) => inner.test(ticket),
            };
            if matches!(tested, Ok(Tested::Pending)) {
                return Poll::Pending;
            }
            if let Some(piece) = self.under_way.pop_front() {
                match super::finish(tested, piece.memory, Some(piece.target), piece.failure) {
                    Ok(Tested::Completed(delivery)) => self.received += delivery.bytes,
                    Ok(_) => return Poll::Ready(Err(taken_back())),
                    Err(error) => {
                        self.failure.get_or_insert(error);
                    }
                }
            }
            if let Err(error) = self.post_next(inner) {
                return Poll::Ready(Err(error));
            }
        }
        let delivery = self.line.delivery(self.received);
        Poll::Ready(self.failure.take().map_or(Ok(delivery), Err))
    }

    fn abandon(&mut self, inner: &dyn Transport) -> Vec<(Ticket, Memory)> {
        let receives = self.under_way.drain(..).filter_map(|piece| match piece.posted {
            Posted::Pending(ticket) => Some((ticket, piece.memory)),
            Posted::Done(_) => None,
        });
        still_used(inner, receives)
    }
}
