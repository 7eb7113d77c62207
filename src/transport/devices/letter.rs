//! A short message between the two ranks of a long one: what they have to tell each other about it.

use std::task::Poll;

use super::{Line, Memory, still_used};
use crate::error::Result;
use crate::transport::{Posted, Tested, Ticket, Transport, taken_back};

/// A message to the other side, or from it.
#[derive(Default)]
pub(super) enum Letter {
    Sent(Ticket, Memory),
    Awaited(Posted, Memory),
    #[default]
    None,
}

impl Letter {
    pub(super) fn take(&mut self) -> Letter {
        std::mem::take(self)
    }

    /// Sends bytes.
    pub(super) fn send(line: &Line, tag: i32, bytes: &[u8], inner: &dyn Transport) -> Result<Letter> {
        let memory = Memory::Pageable(bytes.into());
        // SAFETY: the memory has that many bytes, and is kept until the inner send is over.
        let posted = unsafe { inner.isend(&line.context, line.peer, tag, memory.pointer(), bytes.len()) };
        posted.map(|posted| match posted {
            Posted::Pending(ticket) => Letter::Sent(ticket, memory),
            Posted::Done(_) => Letter::None,
        })
    }

    /// Waits for at most so many bytes.
    pub(super) fn expect(line: &Line, tag: i32, capacity: usize, inner: &dyn Transport) -> Result<Letter> {
        let memory = Memory::Pageable(vec![0; capacity].into());
        let pointer = memory.pointer().cast_mut();
        let (context, peer) = (&line.context, Some(line.peer));
        // SAFETY: the memory has that many bytes, and is kept until the inner receive is over.
        let posted = unsafe { inner.irecv(context, peer, Some(tag), pointer, capacity) }?;
        Ok(Letter::Awaited(posted, memory))
    }

    /// Whether it has gone or is here, and then what is in it: nothing where it was sent.
    pub(super) fn poll(&mut self, inner: &dyn Transport) -> Poll<Result<Vec<u8>>> {
        let tested = match self {
            Letter::None => return Poll::Ready(Ok(Vec::new())),
            Letter::Sent(ticket, _) | Letter::Awaited(Posted::Pending(ticket), _) => inner.test(ticket),
            Letter::Awaited(Posted::Done(delivery), _) => Ok(Tested::Completed(*delivery)),
        };
        if matches!(tested, Ok(Tested::Pending)) {
            return Poll::Pending;
        }
        let letter = self.take();
        Poll::Ready(match (tested, letter) {
            (Ok(Tested::Completed(delivery)), Letter::Awaited(_, Memory::Pageable(bytes))) => {
                let mut bytes = Vec::from(bytes);
                bytes.truncate(delivery.bytes);
                Ok(bytes)
            }
            (Ok(Tested::Completed(_)), _) => Ok(Vec::new()),
            (Err(error), _) => Err(error),
            _ => Err(taken_back()),
        })
    }

    pub(super) fn abandon(&mut self, inner: &dyn Transport) -> Vec<(Ticket, Memory)> {
        match self.take() {
            Letter::Sent(ticket, memory) | Letter::Awaited(Posted::Pending(ticket), memory) => {
                still_used(inner, [(ticket, memory)])
            }
            _ => Vec::new(),
        }
    }
}
