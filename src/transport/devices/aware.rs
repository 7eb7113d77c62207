//! Elements of GPUs that the inner transport takes as they are: messages of a CUDA-aware MPI.
//!
//! ```text
//! send:     what was before in the lane is over  -inner send from the address itself->
//! receive:  the lane is idle                     -inner receive at the address itself->
//! ```
//!
//! MPI copies in streams of its own, which wait for nobody: so it is given an address when the lane has nothing left to
//! do with the elements, and what comes later in the lane finds them where MPI says that it is done. The elements are
//! the caller's, lent until MPI gives them back.

use std::collections::VecDeque;
use std::sync::Arc;
use std::task::Poll;

use super::{Line, Memory, Steps};
use crate::device::Lane;
use crate::device::cuda::Mark;
use crate::error::{Error, Result};
use crate::transport::{
    Delivery, DeviceMemory, End, Pieces, Posted, Tested, Ticket, Transport, WINDOW, taken_back,
};

/// One side of such a message.
pub(super) struct Direct {
    end: End,
    line: Line,
    lane: Arc<Lane>,
    address: usize,
    pieces: Pieces,
    /// The next piece.
    next: usize,
    /// What the lane has to do before MPI may have the elements.
    before: Option<Mark>,
    /// With the memory of what nobody can have any more.
    under_way: VecDeque<(Posted, Option<Memory>)>,
    bytes: usize,
    /// Bytes that have come.
    received: usize,
    failure: Option<Error>,
}

impl Direct {
    fn new(end: End, line: Line, body: &DeviceMemory<'_>, pieces: Pieces) -> Direct {
        Direct {
            end,
            line,
            lane: Arc::clone(body.lane),
            address: body.address,
            pieces,
            next: 0,
            before: None,
            under_way: VecDeque::with_capacity(WINDOW.min(pieces.count())),
            bytes: body.bytes,
            received: 0,
            failure: None,
        }
    }

    /// A message that is sent.
    ///
    /// # Safety
    /// As for [`Transport::isend_body`].
    pub(super) unsafe fn send(line: Line, body: &DeviceMemory<'_>, pieces: Pieces) -> Result<Direct> {
        let mut direct = Direct::new(End::Sender, line, body, pieces);
        direct.before = Some(direct.lane.mark()?);
        Ok(direct)
    }

    /// A message that is received, behind what was done in the lane; posts its first piece.
    ///
    /// # Safety
    /// As for [`Transport::irecv_body`].
    pub(super) unsafe fn receive(
        line: Line,
        body: &DeviceMemory<'_>,
        pieces: Pieces,
        inner: &dyn Transport,
    ) -> Result<Direct> {
        let mut direct = Direct::new(End::Receiver, line, body, pieces);
        if let Err(error) = direct.lane.enter() {
            direct.fail(error);
        }
        direct.give_next(inner);
        Ok(direct)
    }

    /// Gives a piece to the inner transport: its first byte and its length in bytes.
    fn give(&self, (first, bytes): (usize, usize), inner: &dyn Transport) -> Result<Posted> {
        let Line { context, peer, tags } = &self.line;
        let address = self.address + first;
        // SAFETY: whoever has started the message lends its memory until it is over, and keeps it until nothing of it
        // is under way; nothing before in the lane uses it any more.
        unsafe {
            match self.end {
                End::Sender => inner.isend(context, *peer, tags.body, address as *const u8, bytes),
                End::Receiver => {
                    let pointer = address as *mut u8;
                    inner.irecv(context, Some(*peer), Some(tags.body), pointer, bytes)
                }
            }
        }
    }

    /// An empty message in the place of a piece that cannot be sent.
    fn mark(&self, inner: &dyn Transport) -> Result<Posted> {
        let Line { context, peer, tags } = &self.line;
        // SAFETY: no byte is read.
        unsafe { inner.isend(context, *peer, tags.body, std::ptr::dangling(), 0) }
    }

    /// Receives a piece that cannot be had, so that its sender goes on.
    fn discard(&self, bytes: usize, inner: &dyn Transport) -> Result<(Posted, Option<Memory>)> {
        let Line { context, peer, tags } = &self.line;
        let memory = Memory::Pageable(vec![0; bytes].into());
        let pointer = memory.pointer().cast_mut();
        // SAFETY: the memory has that many bytes, and is kept until the inner receive is over.
        let posted = unsafe { inner.irecv(context, Some(*peer), Some(tags.body), pointer, bytes) }?;
        Ok((posted, Some(memory)))
    }

    fn fail(&mut self, error: Error) {
        self.failure.get_or_insert(error);
    }

    /// Gives the next pieces to the inner transport.
    fn give_next(&mut self, inner: &dyn Transport) {
        while self.under_way.len() < WINDOW
            && let Some(piece) = self.pieces.nth(self.next)
        {
            self.next += 1;
            let given = match self.failure {
                None => self.give(piece, inner).map(|posted| (posted, None)),
                Some(_) => Err(taken_back()),
            };
            let posted = given.or_else(|error| {
                self.fail(error);
                match self.end {
                    End::Sender => self.mark(inner).map(|posted| (posted, None)),
                    End::Receiver => self.discard(piece.1, inner),
                }
            });
            match posted {
                Ok(posted) => self.under_way.push_back(posted),
                // Nothing more can be told to the other side.
                Err(_) => self.next = self.pieces.count(),
            }
        }
    }

    /// Takes the elements back; whether the inner transport still has some of them.
    fn take_back(&mut self, inner: &dyn Transport) -> bool {
        self.next = self.pieces.count();
        let is_used = |(posted, _): &(Posted, Option<Memory>)| match posted {
            Posted::Pending(ticket) => inner.abandon(ticket) == Tested::Pending,
            Posted::Done(_) => false,
        };
        self.under_way.retain(is_used);
        self.under_way.iter().any(|(_, memory)| memory.is_none())
    }
}

impl Steps for Direct {
    fn advance(&mut self, inner: &dyn Transport) -> Poll<Result<Delivery>> {
        if let Some(before) = &self.before {
            match before.is_over() {
                Ok(false) => return Poll::Pending,
                Ok(true) => {}
                Err(error) => self.fail(error),
            }
            self.before = None;
        }
        // Whatever thread drives the message: MPI copies in the context that it finds.
        if let Err(error) = self.lane.enter() {
            self.fail(error);
        }
        loop {
            self.give_next(inner);
            let tested = match self.under_way.front() {
                // An error too is the end only when the inner transport has nothing of the caller's any more.
                None => break,
                Some((Posted::Done(delivery), _)) => Ok(Tested::Completed(*delivery)),
                Some((Posted::Pending(ticket), _)) => inner.test(ticket),
            };
            match tested {
                Ok(Tested::Pending) => return Poll::Pending,
                Ok(Tested::Completed(delivery)) => self.received += delivery.bytes,
                Ok(Tested::Released) => self.fail(taken_back()),
                Err(error) => self.fail(error),
            }
            self.under_way.pop_front();
        }
        let moved = match self.end {
            End::Sender => self.bytes,
            End::Receiver => self.received,
        };
        let delivery = self.line.delivery(moved);
        Poll::Ready(self.failure.take().map_or(Ok(delivery), Err))
    }

    fn abandon(&mut self, inner: &dyn Transport) -> Vec<(Ticket, Memory)> {
        self.take_back(inner);
        let used = self.under_way.drain(..).filter_map(|piece| match piece {
            (Posted::Pending(ticket), Some(memory)) => Some((ticket, memory)),
            _ => None,
        });
        used.collect()
    }

    fn is_in_use(&mut self, inner: &dyn Transport) -> bool {
        self.take_back(inner)
    }
}
