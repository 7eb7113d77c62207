//! The elements of all ranks folded where they are, by one kernel of the leader: for ranks that share a GPU.
//!
//! ```text
//! others                                           leader
//! wait until nothing before uses their elements    so does it
//! tell where they are                       ---->  opens them; one kernel reads all elements and writes all results
//! their results are there                   <----  says so when the kernel is over
//! ```
//!
//! So nobody waits for another inside a kernel, which could wait for ever: kernels of several processes take turns.
//!
//! The leader opens what it is lent for one fold at first, and invites the others to share memory with it. From then on
//! it keeps windows open, and closes them when their owners ask in that memory ([`Ring`]), as the receiver of a message
//! does. Ranks that are threads of one process tell addresses, and nothing is opened.
//!
//! What the leader cannot open is folded another way by all, and this rank leads no more. Every other failure of a rank
//! is told by the leader to all. Who gives up before it has lent anything says so instead; who has lent something waits
//! for the leader, which waits for its kernel.

use std::sync::Arc;
use std::task::{Poll, ready};

use bytemuck::{Pod, Zeroable};

use super::letter::Letter;
use super::links::Links;
use super::shared::{Loan, Ring};
use super::{Line, Memory, Steps, Target};
use crate::device::cuda::{Borrower, Handle, Mark, OpenWindow, lend};
use crate::device::{Fold, Lane};
use crate::error::{Error, ErrorKind, Result, shortened};
use crate::transport::{Context, Delivery, Share, Tags, Ticket, Transport};

/// The most bytes of what one side writes to the other.
const NOTE_BYTES: usize = 512;

/// Whether all ranks of a context are threads of this process.
pub(super) fn share_a_process(context: &Context, inner: &dyn Transport) -> bool {
    (0..context.group.len()).all(|peer| inner.shares_process(context, peer))
}

/// How a note begins; the text of an error may follow.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
struct Head {
    /// One of the constants of [`state`].
    state: u8,
    /// Of an error.
    kind: u8,
    /// Whether there is a number: of what the two share, are to share, or turn out not to share.
    has_number: u8,
    has_result: u8,
    reserved: [u8; 4],
    number: u64,
    /// Where the leader listens.
    address: u64,
    elements: Loan,
    result: Loan,
}

const _: () = assert!(size_of::<Head>() < NOTE_BYTES);

/// What a note says.
mod state {
    /// A rank is ready; or the result is there.
    pub const DONE: u8 = 0;
    /// It cannot be done this way.
    pub const OTHERWISE: u8 = 1;
    /// A rank has failed.
    pub const FAILED: u8 = 2;
}

impl Head {
    fn new(state: u8) -> Head {
        Head {
            state,
            ..Head::zeroed()
        }
    }

    fn failed(error: &Error) -> Vec<u8> {
        let head = Head {
            kind: error.kind().code(),
            ..Head::new(state::FAILED)
        };
        let text = shortened(error.message(), NOTE_BYTES - size_of::<Head>());
        [bytemuck::bytes_of(&head), text.as_bytes()].concat()
    }

    /// What was written, with the text behind it. What is none says that its writer has failed.
    fn read(note: &[u8]) -> (Head, String) {
        match note.split_at_checked(size_of::<Head>()) {
            Some((head, text)) => (
                bytemuck::pod_read_unaligned(head),
                String::from_utf8_lossy(text).into_owned(),
            ),
            None => (Head::new(state::FAILED), "it could not say why".to_owned()),
        }
    }

    fn number(&self) -> Option<u64> {
        (self.has_number != 0).then_some(self.number)
    }
}

/// Sends a note. Where it cannot be sent it is sent once more, since the other side waits for it, and the error is given
/// back too.
fn send(line: &Line, note: &[u8], inner: &dyn Transport) -> Result<(Letter, Option<Error>)> {
    match Letter::send(line, line.tags.body, note, inner) {
        Ok(letter) => Ok((letter, None)),
        Err(error) => Letter::send(line, line.tags.body, note, inner).map(|letter| (letter, Some(error))),
    }
}

fn line(context: &Context, peer: usize, tag: i32) -> Line {
    let tags = Tags {
        body: tag,
        answer: tag,
    };
    Line::new(context, peer, tags)
}

/// What a rank has of its own.
struct Own {
    elements: Target,
    result: Option<Target>,
}

impl Own {
    fn new(share: &Share<'_>) -> Own {
        Own {
            elements: Target::new(&share.elements),
            result: share.result.as_ref().map(Target::new),
        }
    }

    fn each(&self) -> impl Iterator<Item = &Target> {
        [Some(&self.elements), self.result.as_ref()].into_iter().flatten()
    }

    /// Whether nothing before uses them.
    fn are_idle(&self) -> Result<bool> {
        for target in self.each() {
            if !target.lane.is_idle()? {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

/// The error of the other ranks.
fn peer_failed(rank: usize, error: &Error) -> Error {
    let text = format!("rank {rank} failed: {}", error.message());
    Error::new(ErrorKind::PeerFailed, text)
}

fn given_up() -> Error {
    Error::new(ErrorKind::PeerFailed, "it has given up before the fold")
}

/// The part of a rank that is not the leader. It goes on after it was given up, as long as the leader waits for it.
pub(super) struct Joining(Option<Member>);

struct Member {
    line: Line,
    links: Arc<Links>,
    own: Own,
    share_a_process: bool,
    failure: Option<Error>,
    is_told: bool,
    sent: Letter,
    verdict: Letter,
    /// What the leader has said.
    heard: Option<Result<usize>>,
}

impl Joining {
    /// # Safety
    /// As for [`Transport::fold_together`].
    pub(super) unsafe fn new(
        context: &Context,
        share: &Share<'_>,
        links: Arc<Links>,
        inner: &dyn Transport,
    ) -> Result<Joining> {
        let line = line(context, share.leader, share.tag);
        let expect = || Letter::expect(&line, share.tag, NOTE_BYTES, inner);
        let (verdict, failure) = match expect() {
            Ok(verdict) => (verdict, None),
            Err(error) => (expect()?, Some(error)),
        };
        Ok(Joining(Some(Member {
            own: Own::new(share),
            share_a_process: share_a_process(context, inner),
            line,
            links,
            failure,
            is_told: false,
            sent: Letter::None,
            verdict,
            heard: None,
        })))
    }
}

impl Member {
    /// Says where the elements and the result are.
    fn note(&self) -> Vec<u8> {
        let shared = match self.share_a_process {
            true => None,
            false => self.links.shared_with(self.line.rank()),
        };
        let loan = |target: &Target| -> Option<Loan> {
            if self.share_a_process {
                return Some(Loan {
                    window: 0,
                    handle: Handle::default(),
                    offset: target.address,
                });
            }
            let borrower = shared
                .as_ref()
                .map(|(_, ring)| -> Arc<dyn Borrower> { Arc::<Ring>::clone(ring) });
            let (window, handle, offset) = lend(target.address, target.bytes, borrower.as_ref())?;
            Some(Loan {
                window,
                handle,
                offset,
            })
        };
        let loans = || {
            let result = match &self.own.result {
                None => None,
                Some(result) => Some(loan(result)?),
            };
            Some((loan(&self.own.elements)?, result))
        };
        let head = match loans() {
            None => Head::new(state::OTHERWISE),
            Some((elements, result)) => Head {
                has_number: shared.is_some().into(),
                number: shared.as_ref().map_or(0, |(number, _)| *number),
                has_result: result.is_some().into(),
                elements,
                result: result.unwrap_or(Loan::zeroed()),
                ..Head::new(state::DONE)
            },
        };
        bytemuck::bytes_of(&head).to_vec()
    }

    /// Tells the leader, as soon as there is something to tell.
    fn tell(&mut self, inner: &dyn Transport) -> Poll<Result<()>> {
        if self.failure.is_none() {
            match self.own.are_idle() {
                Ok(true) => {}
                Ok(false) => return Poll::Pending,
                Err(error) => self.failure = Some(error),
            }
        }
        let note = match &self.failure {
            Some(error) => Head::failed(error),
            None => self.note(),
        };
        let line = &self.line;
        let sent = Letter::send(line, line.tags.body, &note, inner).or_else(|error| {
            // Then nobody folds.
            let error = self.failure.get_or_insert(error);
            Letter::send(line, line.tags.body, &Head::failed(error), inner)
        });
        self.is_told = true;
        self.sent = sent?;
        Poll::Ready(Ok(()))
    }

    /// Waits for what the leader says.
    fn hear(&mut self, inner: &dyn Transport) -> Poll<Result<()>> {
        if self.heard.is_some() {
            return Poll::Ready(Ok(()));
        }
        let verdict = ready!(self.verdict.poll(inner))?;
        let (head, text) = Head::read(&verdict);
        let leader = self.line.rank();
        self.heard = Some(match head.state {
            state::DONE => {
                if let Some(number) = head.number() {
                    self.links.invited_by(leader, head.address, number);
                }
                Ok(self.own.elements.bytes)
            }
            state::OTHERWISE => {
                if head.number().is_some() {
                    self.links.part_from(leader);
                }
                Ok(0)
            }
            _ => {
                let kind = ErrorKind::from_code(head.kind).unwrap_or(ErrorKind::PeerFailed);
                Err(Error::new(kind, text))
            }
        });
        Poll::Ready(Ok(()))
    }

    fn advance(&mut self, inner: &dyn Transport) -> Poll<Result<usize>> {
        if !self.is_told {
            ready!(self.tell(inner))?;
        }
        ready!(self.sent.poll(inner))?;
        ready!(self.hear(inner))?;
        let heard = self.heard.take().unwrap_or(Ok(0));
        Poll::Ready(self.failure.take().map_or(heard, Err))
    }

    fn abandon(&mut self, inner: &dyn Transport) -> Vec<(Ticket, Memory)> {
        let mut used = self.sent.abandon(inner);
        used.extend(self.verdict.abandon(inner));
        used
    }
}

impl Steps for Joining {
    fn advance(&mut self, inner: &dyn Transport) -> Poll<Result<Delivery>> {
        let Some(member) = &mut self.0 else {
            return Poll::Pending;
        };
        let outcome = ready!(member.advance(inner));
        let delivery = outcome.map(|bytes| member.line.delivery(bytes));
        if delivery.is_ok() {
            self.0 = None;
        }
        Poll::Ready(delivery)
    }

    fn abandon(&mut self, inner: &dyn Transport) -> Vec<(Ticket, Memory)> {
        self.0.as_mut().map_or(Vec::new(), |member| member.abandon(inner))
    }

    fn is_in_use(&mut self, inner: &dyn Transport) -> bool {
        let lent = self
            .0
            .as_mut()
            .filter(|member| member.is_told && member.failure.is_none());
        // Who cannot hear of it any more is not waited for.
        lent.is_some_and(|member| member.hear(inner).is_pending())
    }

    fn rest(&mut self) -> Option<Box<dyn Steps>> {
        let mut member = self.0.take()?;
        member.failure.get_or_insert_with(given_up);
        Some(Box::new(Joining(Some(member))))
    }
}

/// The part of the leader. It goes on after it was given up, as long as others wait for it.
pub(super) struct Leading(Option<Leader>);

struct Leader {
    links: Arc<Links>,
    what: Fold,
    own: Own,
    rank: usize,
    tag: i32,
    /// The others, in the order of their ranks.
    others: Vec<Other>,
    failure: Option<Error>,
    stage: Stage,
}

/// Another rank, as the leader sees it.
struct Other {
    line: Line,
    /// What it tells, and then what it is told.
    letter: Letter,
    told: Option<(Head, String)>,
}

enum Stage {
    /// Not everybody has told where its elements are.
    Gathering,
    /// The kernel runs, on memory that is open.
    Folding(Mark, Vec<Arc<OpenWindow>>),
    /// Everybody is being told.
    Telling(Result<usize>),
}

/// How the fold went.
enum Verdict {
    Folded,
    Otherwise,
    /// A rank has failed.
    Failed(usize, Error),
}

impl Leading {
    /// # Safety
    /// As for [`Transport::fold_together`].
    pub(super) unsafe fn new(
        context: &Context,
        share: &Share<'_>,
        links: Arc<Links>,
        inner: &dyn Transport,
    ) -> Leading {
        let mut failure = None;
        let peers = (0..context.group.len()).filter(|&peer| peer != context.rank);
        let others = peers.map(|peer| {
            let line = line(context, peer, share.tag);
            let letter = Letter::expect(&line, share.tag, NOTE_BYTES, inner).unwrap_or_else(|error| {
                failure.get_or_insert(error);
                Letter::None
            });
            Other {
                line,
                letter,
                told: None,
            }
        });
        Leading(Some(Leader {
            others: others.collect(),
            links,
            what: share.what,
            own: Own::new(share),
            rank: context.rank,
            tag: share.tag,
            failure,
            stage: Stage::Gathering,
        }))
    }
}

impl Leader {
    fn lane(&self) -> &Arc<Lane> {
        &self.own.elements.lane
    }

    /// Waits until all ranks have told where their elements are, and this one's are ready.
    fn gather(&mut self, inner: &dyn Transport) -> Poll<()> {
        let mut are_all_here = true;
        for other in self.others.iter_mut().filter(|other| other.told.is_none()) {
            match other.letter.poll(inner) {
                Poll::Pending => are_all_here = false,
                Poll::Ready(note) => {
                    let note = note.unwrap_or_else(|error| {
                        self.failure.get_or_insert(error);
                        Vec::new()
                    });
                    other.told = Some(Head::read(&note));
                }
            }
        }
        if self.failure.is_none() {
            match self.own.are_idle() {
                Ok(is_idle) => are_all_here &= is_idle,
                Err(error) => self.failure = Some(error),
            }
        }
        match are_all_here {
            true => Poll::Ready(()),
            false => Poll::Pending,
        }
    }

    /// Starts the kernel.
    fn fold(&mut self) -> Result<(Mark, Vec<Arc<OpenWindow>>), Verdict> {
        if let Some(error) = &self.failure {
            return Err(Verdict::Failed(self.rank, error.duplicate()));
        }
        let told = || {
            self.others
                .iter()
                .filter_map(|other| Some((other, other.told.as_ref()?)))
        };
        if let Some((other, (_, text))) = told().find(|(_, (head, _))| head.state == state::FAILED) {
            let error = Error::new(ErrorKind::PeerFailed, text.as_str());
            return Err(Verdict::Failed(other.line.peer, error));
        }
        if told().any(|(_, (head, _))| head.state != state::DONE) {
            return Err(Verdict::Otherwise);
        }
        let mut windows = Vec::new();
        let mut inputs = Vec::with_capacity(self.others.len() + 1);
        let mut outputs = Vec::with_capacity(self.others.len() + 1);
        let mut add = |elements: usize, result: Option<usize>| {
            inputs.push(elements as *const u8);
            outputs.extend(result.map(|result| result as *mut u8));
        };
        let own = || {
            (
                self.own.elements.address,
                self.own.result.as_ref().map(|result| result.address),
            )
        };
        for (at, (other, (head, _))) in told().enumerate() {
            if at == self.rank {
                let (elements, result) = own();
                add(elements, result);
            }
            let mut open = |loan: &Loan| self.open(other, head, loan, &mut windows);
            let opened = open(&head.elements).and_then(|elements| match head.has_result {
                0 => Ok((elements, None)),
                _ => Ok((elements, Some(open(&head.result)?))),
            });
            match opened {
                Ok((elements, result)) => add(elements, result),
                Err(_) => {
                    self.links.stop_leading();
                    return Err(Verdict::Otherwise);
                }
            }
        }
        if self.rank == self.others.len() {
            let (elements, result) = own();
            add(elements, result);
        }
        let lane = self.lane();
        let elements = self.own.elements.bytes / self.what.dtype.size();
        // SAFETY: every rank promises its elements and its result until it has heard of the end of the fold; that they
        // are of one type and length they have agreed on.
        let folded = unsafe { lane.fold_for_all(self.what, &inputs, &outputs, elements) };
        let mark = folded.and_then(|()| lane.mark().inspect_err(|_| lane.wait()));
        mark.map(|mark| (mark, windows))
            .map_err(|error| Verdict::Failed(self.rank, error))
    }

    /// The address of what a rank has lent, which is opened if it is not open.
    fn open(
        &self,
        other: &Other,
        head: &Head,
        loan: &Loan,
        windows: &mut Vec<Arc<OpenWindow>>,
    ) -> Result<usize> {
        // Of this process.
        if loan.window == 0 {
            return Ok(loan.offset);
        }
        let gpu = self.lane().gpu();
        let window = match head.number() {
            None => Arc::new(OpenWindow::open(gpu, &loan.handle)?),
            Some(number) => {
                let ring = self.links.given_by(other.line.rank(), number);
                ring.map_err(Error::unsupported)?.open_window(gpu, loan)?
            }
        };
        let address = window.address() + loan.offset;
        windows.push(window);
        Ok(address)
    }

    /// Tells everybody how it went.
    fn tell(&mut self, verdict: Verdict, inner: &dyn Transport) {
        let mut outcome = match &verdict {
            Verdict::Folded => Ok(self.own.elements.bytes),
            Verdict::Otherwise => Ok(0),
            Verdict::Failed(rank, error) if *rank == self.rank => Err(error.duplicate()),
            Verdict::Failed(rank, error) => Err(peer_failed(*rank, error)),
        };
        for other in &mut self.others {
            let head = other.told.as_ref().map(|(head, _)| *head);
            let note = match &verdict {
                Verdict::Failed(rank, error) => Head::failed(&peer_failed(*rank, error)),
                Verdict::Otherwise => bytemuck::bytes_of(&otherwise(&self.links, &other.line, head)).to_vec(),
                Verdict::Folded => bytemuck::bytes_of(&invitation(&self.links, head)).to_vec(),
            };
            match send(&other.line, &note, inner) {
                Ok((letter, error)) => {
                    other.letter = letter;
                    outcome = error.map_or(outcome, Err);
                }
                Err(error) => outcome = Err(error),
            }
        }
        self.stage = Stage::Telling(outcome);
    }

    fn advance(&mut self, inner: &dyn Transport) -> Poll<Result<usize>> {
        loop {
            let verdict = match &mut self.stage {
                Stage::Gathering => {
                    ready!(self.gather(inner));
                    match self.fold() {
                        Ok((mark, windows)) => {
                            self.stage = Stage::Folding(mark, windows);
                            continue;
                        }
                        Err(verdict) => verdict,
                    }
                }
                Stage::Folding(mark, windows) => match mark.is_over() {
                    Ok(false) => return Poll::Pending,
                    over => {
                        // Closed before their owners hear that they are free.
                        windows.clear();
                        over.map_or_else(|error| Verdict::Failed(self.rank, error), |_| Verdict::Folded)
                    }
                },
                Stage::Telling(outcome) => {
                    let mut is_over = true;
                    for other in &mut self.others {
                        is_over &= match other.letter.poll(inner) {
                            Poll::Pending => false,
                            Poll::Ready(Ok(_)) => true,
                            Poll::Ready(Err(error)) => {
                                *outcome = Err(error);
                                true
                            }
                        };
                    }
                    return match is_over {
                        true => Poll::Ready(std::mem::replace(outcome, Ok(0))),
                        false => Poll::Pending,
                    };
                }
            };
            self.tell(verdict, inner);
        }
    }
}

/// What a rank hears that is to take another way: whether the leader lacks the memory that it believes to share.
fn otherwise(links: &Links, line: &Line, head: Option<Head>) -> Head {
    let number = head.and_then(|head| head.number());
    let lacks = number.filter(|&number| !links.has_from(line.rank(), number));
    Head {
        has_number: lacks.is_some().into(),
        number: lacks.unwrap_or(0),
        ..Head::new(state::OTHERWISE)
    }
}

/// What a rank hears that has its result: how to share memory with the leader, if it does not and could.
fn invitation(links: &Links, head: Option<Head>) -> Head {
    let done = Head::new(state::DONE);
    let is_far = head.is_some_and(|head| head.elements.window != 0 && head.number().is_none());
    match is_far.then(|| links.invitation()) {
        Some(Ok((address, number))) => Head {
            has_number: 1,
            number,
            address,
            ..done
        },
        _ => done,
    }
}

impl Steps for Leading {
    fn advance(&mut self, inner: &dyn Transport) -> Poll<Result<Delivery>> {
        let Some(leader) = &mut self.0 else {
            return Poll::Pending;
        };
        let outcome = ready!(leader.advance(inner));
        let (source, tag) = (leader.rank, leader.tag);
        self.0 = None;
        Poll::Ready(outcome.map(|bytes| Delivery { source, tag, bytes }))
    }

    fn abandon(&mut self, inner: &dyn Transport) -> Vec<(Ticket, Memory)> {
        let others = self.0.iter_mut().flat_map(|leader| &mut leader.others);
        others.flat_map(|other| other.letter.abandon(inner)).collect()
    }

    fn is_in_use(&mut self, inner: &dyn Transport) -> bool {
        let Some(leader) = &mut self.0 else {
            return false;
        };
        if let Stage::Folding(..) = leader.stage
            && let Poll::Ready(outcome) = leader.advance(inner)
        {
            leader.stage = Stage::Telling(outcome);
        }
        matches!(leader.stage, Stage::Folding(..))
    }

    fn rest(&mut self) -> Option<Box<dyn Steps>> {
        let mut leader = self.0.take()?;
        leader.failure.get_or_insert_with(given_up);
        Some(Box::new(Leading(Some(leader))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_rank_tells_is_read_as_it_is_written() {
        let head = Head {
            has_number: 1,
            number: 0,
            has_result: 1,
            elements: Loan {
                window: 3,
                handle: [7; 8],
                offset: 5,
            },
            ..Head::new(state::DONE)
        };
        assert_eq!(Head::read(bytemuck::bytes_of(&head)), (head, String::new()));
        assert_eq!((head.number(), Head::new(state::DONE).number()), (Some(0), None));
        let error = Error::new(ErrorKind::Device, "x".repeat(1000));
        let (head, text) = Head::read(&Head::failed(&error));
        assert_eq!((head.state, head.kind), (state::FAILED, ErrorKind::Device.code()));
        assert_eq!(text.len(), NOTE_BYTES - size_of::<Head>());
        assert_eq!(Head::read(&[]).0.state, state::FAILED);
    }
}
