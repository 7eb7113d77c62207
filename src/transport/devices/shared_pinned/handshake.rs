//! How two processes come to share memory, or find out why they cannot.
//!
//! ```text
//! receiver                                   sender
//! listens; handshake {node, address}  ---->  is it on this node?  makes memory, gives it to the address
//! takes the memory                    <----  it is there; or why not
//! has it; or why not                  ---->  says so in the memory itself
//! ```
//!
//! Both lock the pages for their GPU before they say that they have the memory.

use std::sync::Arc;
use std::task::Poll;

use super::ring::{Discarding, Ring, Sending};
use super::segment::{Segment, Word};
use super::socket;
use crate::device::Lane;
use crate::error::{Error, Result};
use crate::transport::devices::links::Links;
use crate::transport::devices::{Line, Memory, Steps, not_started, still_used};
use crate::transport::{Body, Delivery, End, Posted, Tested, Ticket, Transport, Waybill, taken_back};

/// The most bytes of what one side writes to the other.
const NOTE_BYTES: usize = 256;

/// The reason of both sides where the second note is lost.
const NO_ANSWER: &str = "the receiver could not answer";

/// What one side writes to the other: that it has the memory, or why not.
type Note = Result<(), String>;

fn write(note: &Note) -> Box<[u8]> {
    let reason = note.as_ref().err().map_or("", String::as_str);
    let mut end = reason.len().min(NOTE_BYTES - 1);
    while !reason.is_char_boundary(end) {
        end -= 1;
    }
    let code = [u8::from(note.is_ok())];
    [&code, &reason.as_bytes()[..end]].concat().into()
}

/// What was written; nothing in an empty message.
fn read(message: &[u8]) -> Option<Note> {
    let (&code, reason) = message.split_first()?;
    Some(match code {
        1 => Ok(()),
        _ => Err(String::from_utf8_lossy(reason).into_owned()),
    })
}

/// A handshake whose message was given up: it goes on, so that the other side is not left alone, and so does what it
/// leaves to be done.
struct Unowned(Box<dyn Steps>);

impl Steps for Unowned {
    fn advance(&mut self, inner: &dyn Transport) -> Poll<Result<Delivery>> {
        let Poll::Ready(outcome) = self.0.advance(inner) else {
            return Poll::Pending;
        };
        match self.0.rest().filter(|_| outcome.is_ok()) {
            Some(rest) => {
                self.0 = rest;
                self.0.advance(inner)
            }
            None => Poll::Ready(outcome),
        }
    }

    fn abandon(&mut self, inner: &dyn Transport) -> Vec<(Ticket, Memory)> {
        self.0.abandon(inner)
    }
}

/// A message to the other side, or from it.
enum Letter {
    Sent(Ticket, Memory),
    Awaited(Posted, Memory),
    None,
}

impl Letter {
    fn take(&mut self) -> Letter {
        std::mem::replace(self, Letter::None)
    }

    /// Sends a note. Where it cannot be sent, an empty message takes its place, so that the other side goes on, and the
    /// error is given back.
    fn send(line: &Line, tag: i32, note: &Note, inner: &dyn Transport) -> Result<(Letter, Option<Error>)> {
        let send = |bytes: Box<[u8]>| {
            let length = bytes.len();
            let memory = Memory::Pageable(bytes);
            // SAFETY: the memory has that many bytes, and is kept until the inner send is over.
            let posted = unsafe { inner.isend(&line.context, line.peer, tag, memory.pointer(), length) };
            posted.map(|posted| match posted {
                Posted::Pending(ticket) => Letter::Sent(ticket, memory),
                Posted::Done(_) => Letter::None,
            })
        };
        match send(write(note)) {
            Ok(letter) => Ok((letter, None)),
            Err(error) => send(Box::default()).map(|letter| (letter, Some(error))),
        }
    }

    /// Waits for a note.
    fn expect(line: &Line, tag: i32, inner: &dyn Transport) -> Result<Letter> {
        let memory = Memory::Pageable([0; NOTE_BYTES].into());
        let pointer = memory.pointer().cast_mut();
        let (context, peer) = (&line.context, Some(line.peer));
        // SAFETY: the memory has that many bytes, and is kept until the inner receive is over.
        let posted = unsafe { inner.irecv(context, peer, Some(tag), pointer, NOTE_BYTES) }?;
        Ok(Letter::Awaited(posted, memory))
    }

    /// The note, when it is here or has gone; none in an empty message.
    fn poll(&mut self, inner: &dyn Transport) -> Poll<Result<Option<Note>>> {
        let tested = match self {
            Letter::None => return Poll::Ready(Ok(None)),
            Letter::Sent(ticket, _) | Letter::Awaited(Posted::Pending(ticket), _) => inner.test(ticket),
            Letter::Awaited(Posted::Done(delivery), _) => Ok(Tested::Completed(*delivery)),
        };
        if matches!(tested, Ok(Tested::Pending)) {
            return Poll::Pending;
        }
        let letter = self.take();
        Poll::Ready(match (tested, letter) {
            (Ok(Tested::Completed(delivery)), Letter::Awaited(_, Memory::Pageable(bytes))) => {
                Ok(bytes.get(..delivery.bytes).and_then(read))
            }
            (Ok(Tested::Completed(_)), _) => Ok(None),
            (Err(error), _) => Err(error),
            _ => Err(taken_back()),
        })
    }

    fn abandon(&mut self, inner: &dyn Transport) -> Vec<(Ticket, Memory)> {
        match self.take() {
            Letter::Sent(ticket, memory) | Letter::Awaited(Posted::Pending(ticket), memory) => {
                still_used(inner, [(ticket, memory)])
            }
            _ => Vec::new(),
        }
    }
}

/// The sender's side.
pub(in super::super) struct Proposing {
    line: Line,
    links: Arc<Links>,
    number: u64,
    /// What was proposed, or why nothing.
    ring: Result<Arc<Ring>, String>,
    sent: Letter,
    /// Why the proposal could not be sent.
    failure: Option<Error>,
    answer: Letter,
    is_over: bool,
    agreed: Option<Arc<Ring>>,
}

impl Proposing {
    /// Proposes memory to the receiver.
    pub(in super::super) fn new(
        line: Line,
        links: Arc<Links>,
        waybill: &Waybill,
        body: &Body<'_>,
        inner: &dyn Transport,
    ) -> Result<Proposing> {
        let ring = propose(&links, waybill, body.lane).map(Arc::new);
        let note = ring.as_ref().map(drop).map_err(String::clone);
        let mut proposing = Proposing {
            line,
            links,
            number: waybill.number,
            ring,
            sent: Letter::None,
            failure: None,
            answer: Letter::None,
            is_over: false,
            agreed: None,
        };
        match proposing.write(&note, inner) {
            Ok(()) => Ok(proposing),
            Err(error) => Err(not_started(proposing, error, inner)),
        }
    }

    fn write(&mut self, note: &Note, inner: &dyn Transport) -> Result<()> {
        let tags = self.line.tags;
        (self.sent, self.failure) = Letter::send(&self.line, tags.body, note, inner)?;
        if note.is_ok() {
            self.answer = Letter::expect(&self.line, tags.answer, inner)?;
        }
        Ok(())
    }
}

/// Makes memory for two processes and gives it to the other, or says why it cannot.
fn propose(links: &Links, waybill: &Waybill, lane: Option<&Arc<Lane>>) -> Result<Ring, String> {
    if *links.node()? != waybill.node {
        return Err("the ranks are on different nodes".to_owned());
    }
    let (segment, file) =
        Segment::create().map_err(|error| format!("the sender cannot make shared memory: {error}"))?;
    let ring = Ring::new(segment, End::Sender);
    lock_pages(&ring, lane)?;
    socket::give(waybill.address, waybill.number, &file)
        .map_err(|error| format!("the sender cannot pass shared memory on: {error}"))?;
    Ok(ring)
}

fn lock_pages(ring: &Ring, lane: Option<&Arc<Lane>>) -> Result<(), String> {
    lane.map_or(Ok(()), |lane| {
        ring.lock_pages(lane.gpu())
            .map_err(|error| error.message().to_string())
    })
}

impl Steps for Proposing {
    fn advance(&mut self, inner: &dyn Transport) -> Poll<Result<Delivery>> {
        if self.sent.poll(inner)?.is_pending() {
            return Poll::Pending;
        }
        if let Some(error) = self.failure.take() {
            return Poll::Ready(Err(error));
        }
        let agreed = match &self.ring {
            Err(reason) => Err(reason.clone()),
            Ok(ring) => {
                let Poll::Ready(answer) = self.answer.poll(inner)? else {
                    return Poll::Pending;
                };
                let answer = answer.unwrap_or_else(|| Err(NO_ANSWER.to_owned()));
                answer.map(|()| Arc::clone(ring))
            }
        };
        self.is_over = true;
        self.agreed = agreed.as_ref().ok().cloned();
        // The receiver may send other messages this way as soon as it hears of it.
        self.links.settle(&self.line, End::Sender, self.number, agreed);
        if let Some(ring) = &self.agreed {
            ring.say(Word::Ready);
        }
        Poll::Ready(Ok(self.line.delivery(1)))
    }

    fn abandon(&mut self, inner: &dyn Transport) -> Vec<(Ticket, Memory)> {
        let mut used = self.sent.abandon(inner);
        used.extend(self.answer.abandon(inner));
        used
    }

    fn rest(&mut self) -> Option<Box<dyn Steps>> {
        if self.is_over {
            let (line, ring) = (self.line.clone(), self.agreed.take()?);
            return Some(Box::new(Sending::failed(line, ring, self.number)));
        }
        let going_on = Proposing {
            line: self.line.clone(),
            links: Arc::clone(&self.links),
            number: self.number,
            ring: self.ring.clone(),
            sent: self.sent.take(),
            failure: self.failure.take(),
            answer: self.answer.take(),
            is_over: false,
            agreed: None,
        };
        self.is_over = true;
        Some(Box::new(Unowned(Box::new(going_on))))
    }
}

impl Drop for Proposing {
    fn drop(&mut self) {
        if !self.is_over
            && let Ok(ring) = &self.ring
        {
            ring.say(Word::GivenUp);
        }
    }
}

/// The receiver's side.
pub(in super::super) struct Answering {
    line: Line,
    links: Arc<Links>,
    number: u64,
    lane: Option<Arc<Lane>>,
    /// Of the message.
    bytes: usize,
    proposal: Letter,
    /// What was answered.
    ring: Option<Result<Arc<Ring>, String>>,
    sent: Letter,
    is_over: bool,
}

impl Answering {
    /// Waits for the sender's proposal.
    pub(in super::super) fn new(
        line: Line,
        links: Arc<Links>,
        waybill: &Waybill,
        body: &Body<'_>,
        inner: &dyn Transport,
    ) -> Result<Answering> {
        let proposal = Letter::expect(&line, line.tags.body, inner)?;
        links.begin(&line, waybill.number);
        Ok(Answering {
            line,
            links,
            number: waybill.number,
            lane: body.lane.cloned(),
            bytes: body.bytes,
            proposal,
            ring: None,
            sent: Letter::None,
            is_over: false,
        })
    }

    fn take(&self) -> Result<Ring, String> {
        let file = self.links.listener()?.take(self.number);
        let segment = file.and_then(|file| Segment::open(&file));
        let segment = segment.map_err(|error| format!("the receiver cannot get shared memory: {error}"))?;
        let ring = Ring::new(segment, End::Receiver);
        lock_pages(&ring, self.lane.as_ref())?;
        Ok(ring)
    }

    /// No elements come, and nothing is known: the next message begins again.
    fn end_without(&mut self) -> Poll<Result<Delivery>> {
        self.is_over = true;
        self.ring = None;
        self.links.give_up(&self.line, self.number);
        Poll::Ready(Ok(self.line.delivery(0)))
    }

    fn end(&mut self, agreed: Result<Arc<Ring>, String>) -> Poll<Result<Delivery>> {
        self.is_over = true;
        self.links.settle(&self.line, End::Receiver, self.number, agreed);
        Poll::Ready(Ok(self.line.delivery(1)))
    }
}

impl Steps for Answering {
    fn advance(&mut self, inner: &dyn Transport) -> Poll<Result<Delivery>> {
        if self.ring.is_none() {
            let Poll::Ready(proposal) = self.proposal.poll(inner)? else {
                return Poll::Pending;
            };
            match proposal {
                None => return self.end_without(),
                Some(Err(reason)) => return self.end(Err(reason)),
                Some(Ok(())) => {
                    let ring = self.take().map(Arc::new);
                    let note = ring.as_ref().map(drop).map_err(String::clone);
                    let (sent, failure) = Letter::send(&self.line, self.line.tags.answer, &note, inner)?;
                    self.sent = sent;
                    self.ring = Some(match failure {
                        Some(_) => Err(NO_ANSWER.to_owned()),
                        None => ring,
                    });
                }
            }
        }
        if self.sent.poll(inner)?.is_pending() {
            return Poll::Pending;
        }
        match self.ring.clone() {
            None => Poll::Pending,
            Some(Err(reason)) => self.end(Err(reason)),
            Some(Ok(ring)) => match ring.heard() {
                Word::Nothing => Poll::Pending,
                Word::Ready => self.end(Ok(ring)),
                Word::GivenUp => self.end_without(),
            },
        }
    }

    fn abandon(&mut self, inner: &dyn Transport) -> Vec<(Ticket, Memory)> {
        let mut used = self.proposal.abandon(inner);
        used.extend(self.sent.abandon(inner));
        used
    }

    fn rest(&mut self) -> Option<Box<dyn Steps>> {
        if self.is_over {
            let (line, ring) = (self.line.clone(), self.ring.take()?.ok()?);
            return Some(Box::new(Discarding::new(line, ring, self.number, self.bytes)));
        }
        let going_on = Answering {
            line: self.line.clone(),
            links: Arc::clone(&self.links),
            number: self.number,
            lane: self.lane.clone(),
            bytes: self.bytes,
            proposal: self.proposal.take(),
            ring: self.ring.take(),
            sent: self.sent.take(),
            is_over: false,
        };
        self.is_over = true;
        Some(Box::new(Unowned(Box::new(going_on))))
    }
}

impl Drop for Answering {
    fn drop(&mut self) {
        if !self.is_over {
            self.links.give_up(&self.line, self.number);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notes_are_read_as_they_are_written_and_no_longer_than_there_is_room() {
        for note in [Ok(()), Err("ä".repeat(127)), Err(String::new())] {
            assert_eq!(read(&write(&note)), Some(note));
        }
        let long = write(&Err(format!("a{}", "ä".repeat(200))));
        assert!(long.len() <= NOTE_BYTES && String::from_utf8(long[1..].to_vec()).is_ok());
        assert_eq!(read(&[]), None);
    }
}
