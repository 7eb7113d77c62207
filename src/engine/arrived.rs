//! Messages that a probe has received ahead of their receives.
//!
//! What is in the list came before anything that the transport still holds, and receives look here first: so the
//! order of MPI is kept.

use std::collections::VecDeque;
use std::sync::{MutexGuard, PoisonError};
use std::task::Poll;

use super::endpoint::Endpoint;
use super::envelope::Envelope;
use super::slab::{SLAB_BYTES, Slab};
use super::transfer::Transfer;
use crate::error::Result;
use crate::message::{Source, Status, Tag};

/// An envelope, perhaps with its elements, and where it came from.
pub(super) struct Arrived {
    pub envelope: Slab,
    pub bytes: usize,
    pub source: usize,
    pub tag: i32,
}

/// An envelope with its place among all that have arrived.
pub(crate) struct Numbered {
    pub(super) arrived: Arrived,
    number: u64,
}

/// A message that a matched probe has taken: nobody else finds it.
pub(crate) enum Matched {
    Native(Numbered),
    Plain(super::plain::Arrived),
}

/// The messages of one communicator that have arrived, by the numbers of their arrival.
#[derive(Default)]
pub(super) struct List {
    messages: VecDeque<Numbered>,
    next: u64,
}

/// Where the next envelope comes from.
pub(super) enum Next<'a> {
    Arrived(Arrived),
    Posted(Transfer<'a>),
}

impl Arrived {
    fn fits(&self, source: Source, tag: Tag) -> bool {
        let source_fits = match source {
            Source::Any => true,
            Source::Rank(rank) => rank == self.source,
        };
        source_fits && (tag == Tag::ANY || tag.0 == self.tag)
    }

    fn status(&self) -> Result<Status> {
        let (envelope, _, content) = Envelope::read(&self.envelope.bytes()[..self.bytes])?;
        Ok(Status {
            source: self.source,
            tag: Tag(self.tag),
            count: envelope.count,
            dtype: content.dtype(),
            cancelled: false,
        })
    }
}

impl List {
    fn position(&self, source: Source, tag: Tag) -> Option<usize> {
        self.messages
            .iter()
            .position(|message| message.arrived.fits(source, tag))
    }

    fn push(&mut self, arrived: Arrived) {
        let number = self.next;
        self.next += 1;
        self.messages.push_back(Numbered { arrived, number });
    }

    fn put_back(&mut self, message: Numbered) {
        let place = self
            .messages
            .partition_point(|other| other.number < message.number);
        self.messages.insert(place, message);
    }
}

impl Endpoint {
    fn arrived(&self) -> MutexGuard<'_, List> {
        self.arrived.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the earliest envelope that a probe has received, or posts a receive for the next.
    pub(super) fn next_envelope(&self, source: Source, tag: Tag) -> Result<Next<'_>> {
        let mut list = self.arrived();
        let found = list.position(source, tag);
        if let Some(message) = found.and_then(|at| list.messages.remove(at)) {
            return Ok(Next::Arrived(message.arrived));
        }
        let source = match source {
            Source::Any => None,
            Source::Rank(rank) => Some(self.number_of(rank)),
        };
        let tag = (tag != Tag::ANY).then_some(tag.0);
        let transport = self.engine.transport();
        // Posted under the lock: a probe on another thread must not take the message in between.
        Transfer::receive_slab(transport, &self.context, source, tag, SLAB_BYTES).map(Next::Posted)
    }

    /// Looks for a message without receiving it.
    pub(crate) fn probe(&self, source: Source, tag: Tag) -> Result<Option<Status>> {
        if let Some(plain) = &self.plain {
            return plain.probe(&self.context, source, tag);
        }
        let mut list = self.arrived();
        let found = self.look(&mut list, source, tag)?;
        found.map(|at| list.messages[at].arrived.status()).transpose()
    }

    /// Takes a message out of reach of others, to be received later.
    pub(crate) fn take(&self, source: Source, tag: Tag) -> Result<Option<(Matched, Status)>> {
        if let Some(plain) = &self.plain {
            let taken = plain.take(&self.context, source, tag)?;
            return Ok(taken.map(|(arrived, status)| (Matched::Plain(arrived), status)));
        }
        let mut list = self.arrived();
        let Some(at) = self.look(&mut list, source, tag)? else {
            return Ok(None);
        };
        let status = list.messages[at].arrived.status()?;
        let message = list.messages.remove(at);
        Ok(message.map(|message| (Matched::Native(message), status)))
    }

    /// Gives a message that was taken back to all, at the place that it had.
    pub(crate) fn put_back(&self, message: Matched) {
        match (message, &self.plain) {
            (Matched::Native(message), _) => self.arrived().put_back(message),
            (Matched::Plain(arrived), Some(plain)) => plain.put_back(arrived),
            (Matched::Plain(_), None) => debug_assert!(false, "a plain message of a native communicator"),
        }
    }

    /// The place of the earliest message that fits, after taking every message that the transport holds, in its
    /// order, until one fits.
    fn look(&self, list: &mut List, source: Source, tag: Tag) -> Result<Option<usize>> {
        if let Some(at) = list.position(source, tag) {
            return Ok(Some(at));
        }
        let transport = self.engine.transport();
        while let Some(mut transfer) = Transfer::receive_unexpected(transport, &self.context)? {
            // The envelope is on its way already: this ends without anybody's help.
            let delivery = loop {
                if let Poll::Ready(outcome) = transfer.poll_once() {
                    break outcome?;
                }
                std::thread::yield_now();
            };
            let next = Arrived {
                envelope: transfer.into_slab(),
                bytes: delivery.bytes,
                source: self.rank_of(delivery.source),
                tag: delivery.tag,
            };
            let fits = next.fits(source, tag);
            list.push(next);
            if fits {
                return Ok(Some(list.messages.len() - 1));
            }
        }
        Ok(None)
    }
}
