//! How two processes come to share memory, or find out why they cannot.
//!
//! ```text
//! receiver                                        sender
//! listens; handshake {node, address}       ---->  is it on this node?  makes memory, gives it to the address
//! takes the memory, opens the window       <----  it is there, with a window of the GPU if that is asked for; or why not
//! has the window, or else locks the pages; ---->  locks the pages too, if there is no window; says so in the memory
//! or why not                                      itself
//! ```
//!
//! A window is proved by a number that the receiver reads in it. Of a pair that has the memory already a handshake finds
//! out the rest: about the window once there are GPUs at both ends, about the pages once there is a host at one.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::Arc;
use std::task::Poll;

use super::receiving::Discarding;
use super::ring::Ring;
use super::segment::Word;
use super::sending::Sending;
use crate::device::Lane;
use crate::error::{Error, Result};
use crate::path::Path;
use crate::transport::devices::letter::Letter;
use crate::transport::devices::links::{Found, Links};
use crate::transport::devices::{Line, Memory, Steps, not_started};
use crate::transport::{Body, Delivery, End, Ticket, Transport, Waybill};

/// The most bytes of what one side writes to the other.
const NOTE_BYTES: usize = 256;

/// The reason of both sides where the second note is lost.
const NO_ANSWER: &str = "the receiver could not answer";

/// What one side writes to the other.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Note {
    /// They share no memory, and why.
    Refused(String),
    /// They do, and why without a window, if one is asked for.
    Memory(String),
    /// They do, with a window; the receiver tells along which path, and why without events, if the sender has some.
    Window(Path, String),
}

impl Note {
    fn write(&self) -> Vec<u8> {
        let (code, reason) = match self {
            Note::Refused(reason) => (0, reason.as_str()),
            Note::Memory(reason) => (1, reason.as_str()),
            Note::Window(path, reason) => (*path as u8, reason.as_str()),
        };
        let mut end = reason.len().min(NOTE_BYTES - 1);
        while !reason.is_char_boundary(end) {
            end -= 1;
        }
        [&[code], &reason.as_bytes()[..end]].concat()
    }

    /// What was written; nothing in an empty message.
    fn read(message: &[u8]) -> Option<Note> {
        let (&code, reason) = message.split_first()?;
        let reason = || String::from_utf8_lossy(reason).into_owned();
        Some(match (code, Path::from_code(code)) {
            (1, _) => Note::Memory(reason()),
            (_, Some(path)) if path.is_ipc() => Note::Window(path, reason()),
            _ => Note::Refused(reason()),
        })
    }

    /// Sends it. Where it cannot be sent, an empty message takes its place, so that the other side goes on, and the
    /// error is given back.
    fn send(&self, line: &Line, tag: i32, inner: &dyn Transport) -> Result<(Letter, Option<Error>)> {
        match Letter::send(line, tag, &self.write(), inner) {
            Ok(letter) => Ok((letter, None)),
            Err(error) => Letter::send(line, tag, &[], inner).map(|letter| (letter, Some(error))),
        }
    }
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

/// The sender's side.
pub(in super::super) struct Proposing {
    line: Line,
    links: Arc<Links>,
    waybill: Waybill,
    lane: Option<Arc<Lane>>,
    /// What was proposed, or why nothing.
    ring: Result<Arc<Ring>, String>,
    /// Whether a window of the GPU is proposed too.
    offers_window: bool,
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
        let ring = propose(&line, &links, waybill);
        let mut proposing = Proposing {
            line,
            links,
            waybill: *waybill,
            lane: body.lane.cloned(),
            ring,
            offers_window: false,
            sent: Letter::None,
            failure: None,
            answer: Letter::None,
            is_over: false,
            agreed: None,
        };
        let note = proposing.note();
        match proposing.write(&note, inner) {
            Ok(()) => Ok(proposing),
            Err(error) => Err(not_started(proposing, error, inner)),
        }
    }

    /// What there is to tell the receiver; offers a window.
    fn note(&mut self) -> Note {
        match (&self.ring, &self.lane) {
            (Err(reason), _) => Note::Refused(reason.clone()),
            (Ok(_), _) if self.waybill.is_for_ipc == 0 => Note::Memory(String::new()),
            (Ok(_), None) => Note::Memory("the elements are on a host".to_owned()),
            (Ok(ring), Some(lane)) => match offer(ring, lane, self.waybill.number) {
                Ok(()) => {
                    self.offers_window = true;
                    Note::Window(Path::PeerGpuIpc, String::new())
                }
                Err(error) => Note::Memory(error.message().to_string()),
            },
        }
    }

    fn write(&mut self, note: &Note, inner: &dyn Transport) -> Result<()> {
        let tags = self.line.tags;
        (self.sent, self.failure) = note.send(&self.line, tags.body, inner)?;
        if !matches!(note, Note::Refused(_)) {
            self.answer = Letter::expect(&self.line, tags.answer, NOTE_BYTES, inner)?;
        }
        Ok(())
    }

    /// Does its part of what the receiver answers.
    fn agree(&mut self, ring: &Arc<Ring>, answer: Option<Note>) -> Result<Found, String> {
        let is_window = matches!(answer, None | Some(Note::Window(..)));
        if self.offers_window && !is_window {
            ring.take_window_back(self.waybill.number);
        }
        match answer {
            // It may have the window open.
            None => Err(NO_ANSWER.to_owned()),
            Some(Note::Refused(reason)) => Err(reason),
            Some(Note::Memory(reason)) => {
                lock_pages(ring, self.lane.as_ref()).map(|()| Found::Pinned(reason))
            }
            Some(Note::Window(path, why_no_events)) => {
                let events = match why_no_events.is_empty() {
                    true => Ok(()),
                    false => Err(why_no_events),
                };
                Ok(Found::Ipc(path, ring.why_no_own_events().and(events)))
            }
        }
    }
}

/// Makes memory for two processes and gives it to the other, if they have none, or says why it cannot.
fn propose(line: &Line, links: &Links, waybill: &Waybill) -> Result<Arc<Ring>, String> {
    if *links.node()? != waybill.node {
        return Err("the ranks are on different nodes".to_owned());
    }
    if waybill.link != waybill.number {
        let ring = links.ring(line.rank(), End::Sender, waybill.link);
        return ring.map_err(|error| error.message().to_string());
    }
    Ring::give(waybill.address, waybill.number)
}

/// Offers the receiver a window, which it proves by a number.
fn offer(ring: &Ring, lane: &Lane, handshake: u64) -> Result<()> {
    let secret = RandomState::new().build_hasher().finish();
    ring.offer_window(lane.gpu(), handshake, secret)
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
        let agreed = match self.ring.clone() {
            Err(reason) => Err(reason),
            Ok(ring) => {
                let Poll::Ready(answer) = self.answer.poll(inner)? else {
                    return Poll::Pending;
                };
                let answer = Note::read(&answer);
                let is_refused = matches!(answer, None | Some(Note::Refused(_)));
                let found = self.agree(&ring, answer);
                if found.is_err() && !is_refused {
                    ring.say(self.waybill.number, Word::Unlocked);
                }
                Ok((found, ring))
            }
        };
        self.is_over = true;
        self.agreed = shared(&agreed);
        // The receiver may send other messages this way as soon as it hears of it.
        self.links.settle(&self.line, End::Sender, &self.waybill, agreed);
        if let Some(ring) = &self.agreed {
            ring.say(self.waybill.number, Word::Ready);
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
            return Some(Box::new(Sending::failed(line, ring, self.waybill.number)));
        }
        let going_on = Proposing {
            line: self.line.clone(),
            links: Arc::clone(&self.links),
            waybill: self.waybill,
            lane: self.lane.clone(),
            ring: self.ring.clone(),
            offers_window: self.offers_window,
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
            ring.say(self.waybill.number, Word::GivenUp);
        }
    }
}

/// The receiver's side.
pub(in super::super) struct Answering {
    line: Line,
    links: Arc<Links>,
    waybill: Waybill,
    lane: Option<Arc<Lane>>,
    /// Of the message.
    bytes: usize,
    proposal: Letter,
    /// What was answered.
    answer: Option<Answer>,
    sent: Letter,
    is_over: bool,
}

/// What the two have as far as the receiver knows.
enum Answer {
    /// With the memory, if that is not what is refused.
    Refused(String, Option<Arc<Ring>>),
    Agreed(Found, Arc<Ring>),
    /// The last is over.
    Over(Option<Arc<Ring>>),
}

/// What a handshake has come to: what goes through the memory, or why nothing does; or why there is none.
pub(in super::super) type Agreed = Result<(Result<Found, String>, Arc<Ring>), String>;

/// The memory, if messages go through it.
fn shared(agreed: &Agreed) -> Option<Arc<Ring>> {
    let (found, ring) = agreed.as_ref().ok()?;
    found.is_ok().then(|| Arc::clone(ring))
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
        let proposal = Letter::expect(&line, line.tags.body, NOTE_BYTES, inner)
            .inspect_err(|_| links.give_up(line.rank(), waybill.number))?;
        Ok(Answering {
            line,
            links,
            waybill: *waybill,
            lane: body.lane.cloned(),
            bytes: body.bytes,
            proposal,
            answer: None,
            sent: Letter::None,
            is_over: false,
        })
    }

    /// The memory that the sender has given.
    fn take(&self) -> Result<Arc<Ring>, String> {
        let Waybill { number, link, .. } = self.waybill;
        if link != number {
            let ring = self.links.ring(self.line.rank(), End::Receiver, link);
            return ring.map_err(|error| error.message().to_string());
        }
        Ring::take_given(self.links.listener()?, number)
    }

    /// Opens the window that the sender offers, and sees that it is that; along which path, and why without events.
    fn open(&self, ring: &Ring) -> Result<(Path, String), String> {
        let lane = self.lane.as_ref().ok_or("the elements go to a host")?;
        // Of a handshake that was given up.
        ring.forget_window();
        let path = ring.path_to(lane.gpu())?;
        let proved = match self.links.allows(path) {
            true => ring.prove_window(lane.gpu()),
            false => Err(format!("WARPCOMM_PATHS leaves {path} out")),
        };
        if proved.is_err() {
            ring.forget_window();
        }
        proved.map(|()| (path, ring.why_no_events(lane.gpu())))
    }

    /// What there is to tell the sender.
    fn answer(&self, ring: &Ring, proposal: &Note) -> Note {
        let why_no_window = match proposal {
            Note::Window(..) => match self.open(ring) {
                Ok((path, why_no_events)) => return Note::Window(path, why_no_events),
                Err(reason) => reason,
            },
            Note::Memory(reason) | Note::Refused(reason) => reason.clone(),
        };
        if !self.links.allows(Path::SharedPinned) {
            return Note::Refused(format!("there is no CUDA IPC: {why_no_window}"));
        }
        match lock_pages(ring, self.lane.as_ref()) {
            Ok(()) => Note::Memory(why_no_window),
            Err(reason) => Note::Refused(reason),
        }
    }

    /// No elements come, and nothing is known: the next message begins again.
    fn end_without(&mut self) -> Poll<Result<Delivery>> {
        self.is_over = true;
        self.answer = Some(Answer::Over(None));
        self.links.give_up(self.line.rank(), self.waybill.number);
        Poll::Ready(Ok(self.line.delivery(0)))
    }

    fn end(&mut self, agreed: Agreed) -> Poll<Result<Delivery>> {
        self.is_over = true;
        self.answer = Some(Answer::Over(shared(&agreed)));
        self.links
            .settle(&self.line, End::Receiver, &self.waybill, agreed);
        Poll::Ready(Ok(self.line.delivery(1)))
    }
}

impl Steps for Answering {
    fn advance(&mut self, inner: &dyn Transport) -> Poll<Result<Delivery>> {
        if self.answer.is_none() {
            let Poll::Ready(proposal) = self.proposal.poll(inner)? else {
                return Poll::Pending;
            };
            let proposal = match Note::read(&proposal) {
                None => return self.end_without(),
                Some(Note::Refused(reason)) => return self.end(Err(reason)),
                Some(proposal) => proposal,
            };
            let ring = self.take();
            let note = match &ring {
                Ok(ring) => self.answer(ring, &proposal),
                Err(reason) => Note::Refused(reason.clone()),
            };
            let (sent, failure) = note.send(&self.line, self.line.tags.answer, inner)?;
            self.sent = sent;
            self.answer = Some(match (note, ring) {
                (_, Ok(ring)) if failure.is_some() => {
                    ring.forget_window();
                    Answer::Refused(NO_ANSWER.to_owned(), Some(ring))
                }
                (Note::Window(path, _), Ok(ring)) => Answer::Agreed(Found::Ipc(path, Ok(())), ring),
                (Note::Memory(reason), Ok(ring)) => Answer::Agreed(Found::Pinned(reason), ring),
                (Note::Refused(reason), Ok(ring)) => Answer::Refused(reason, Some(ring)),
                (_, Err(reason)) => Answer::Refused(reason, None),
            });
        }
        if self.sent.poll(inner)?.is_pending() {
            return Poll::Pending;
        }
        match self.answer.take() {
            None | Some(Answer::Over(_)) => Poll::Pending,
            Some(Answer::Refused(reason, Some(ring))) => self.end(Ok((Err(reason), ring))),
            Some(Answer::Refused(reason, None)) => self.end(Err(reason)),
            Some(Answer::Agreed(found, ring)) => match ring.heard(self.waybill.number) {
                Word::Nothing => {
                    self.answer = Some(Answer::Agreed(found, ring));
                    Poll::Pending
                }
                Word::Ready => self.end(Ok((Ok(found), ring))),
                Word::Unlocked => {
                    let reason = "the sender cannot lock the shared memory".to_owned();
                    self.end(Ok((Err(reason), ring)))
                }
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
        if let Some(Answer::Over(ring)) = &mut self.answer {
            let (line, ring) = (self.line.clone(), ring.take()?);
            return Some(Box::new(Discarding::new(
                line,
                ring,
                self.waybill.number,
                self.bytes,
            )));
        }
        if !self.links.is_pending(self.line.rank(), self.waybill.number) {
            // The sender has not heard of it.
            self.is_over = true;
            return None;
        }
        let going_on = Answering {
            line: self.line.clone(),
            links: Arc::clone(&self.links),
            waybill: self.waybill,
            lane: self.lane.clone(),
            bytes: self.bytes,
            proposal: self.proposal.take(),
            answer: self.answer.take(),
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
            self.links.give_up(self.line.rank(), self.waybill.number);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notes_are_read_as_they_are_written_and_no_longer_than_there_is_room() {
        for note in [
            Note::Refused("ä".repeat(127)),
            Note::Memory(String::new()),
            Note::Window(Path::SameGpuIpc, String::new()),
            Note::Window(Path::PeerGpuIpc, "no events".to_owned()),
        ] {
            assert_eq!(Note::read(&note.write()), Some(note));
        }
        let long = Note::Refused(format!("a{}", "ä".repeat(200))).write();
        assert!(long.len() <= NOTE_BYTES && String::from_utf8(long[1..].to_vec()).is_ok());
        assert_eq!(Note::read(&[]), None);
    }
}
