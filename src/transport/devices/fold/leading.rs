//! The part of the leader.

use std::ops::Range;
use std::sync::Arc;
use std::task::{Poll, ready};

use super::note::{self, Head, Note, state};
use super::{Own, given_up, line};
use crate::device::cuda::{Mark, OpenWindow};
use crate::device::{Fold, Lane};
use crate::error::{Error, ErrorKind, Result};
use crate::transport::devices::letter::Letter;
use crate::transport::devices::links::Links;
use crate::transport::devices::shared::Loan;
use crate::transport::devices::{Line, Memory, Steps};
use crate::transport::{Context, Delivery, Share, Ticket, Transport};

/// The error of the other ranks.
fn peer_failed(rank: usize, error: &Error) -> Error {
    let text = format!("rank {rank} failed: {}", error.message());
    Error::new(ErrorKind::PeerFailed, text)
}

/// The part of the leader. It goes on after it was given up, as long as others wait for it.
pub(in super::super) struct Leading(Option<Leader>);

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
    told: Option<Note>,
}

/// What a rank brings, at addresses of this process.
struct Part {
    elements: usize,
    /// Where in its elements the tasks start to read, in bytes.
    firsts: Vec<usize>,
    result: Option<usize>,
}

impl Part {
    fn input(&self, task: usize) -> *const u8 {
        (self.elements + self.firsts.get(task).copied().unwrap_or(0)) as *const u8
    }
}

enum Stage {
    /// Not everybody has told where its elements are.
    Gathering,
    /// The kernels run, on memory that is open.
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
    pub(in super::super) unsafe fn new(
        context: &Context,
        share: &Share<'_>,
        links: Arc<Links>,
        inner: &dyn Transport,
    ) -> Leading {
        let mut failure = None;
        let peers = (0..context.group.len()).filter(|&peer| peer != context.rank);
        let others = peers.map(|peer| {
            let line = line(context, peer, share.tag);
            let letter = Letter::expect(&line, share.tag, note::NOTE_BYTES, inner).unwrap_or_else(|error| {
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
                    other.told = Some(Note::read(&note));
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

    /// Starts the kernels.
    fn fold(&mut self) -> Result<(Mark, Vec<Arc<OpenWindow>>), Verdict> {
        if let Some(error) = &self.failure {
            return Err(Verdict::Failed(self.rank, error.duplicate()));
        }
        let told = || {
            self.others
                .iter()
                .filter_map(|other| Some((other, other.told.as_ref()?)))
        };
        if let Some((other, note)) = told().find(|(_, note)| note.head.state == state::FAILED) {
            let error = Error::new(ErrorKind::PeerFailed, note.text());
            return Err(Verdict::Failed(other.line.peer, error));
        }
        if told().any(|(_, note)| note.head.state != state::DONE) {
            return Err(Verdict::Otherwise);
        }
        let mut windows = Vec::new();
        let mut parts = Vec::with_capacity(self.others.len() + 1);
        for (other, note) in told() {
            let opened = self.part_of(other, note, &mut windows)?;
            parts.push(opened);
        }
        parts.insert(self.rank, self.own_part());
        let started = self.start(&parts);
        // What was started uses the windows.
        let mark = started
            .and_then(|()| self.lane().mark())
            .inspect_err(|_| self.lane().wait());
        mark.map(|mark| (mark, windows))
            .map_err(|error| Verdict::Failed(self.rank, error))
    }

    /// What this rank brings.
    fn own_part(&self) -> Part {
        Part {
            elements: self.own.elements.address,
            firsts: self.own.tasks.iter().map(|task| task.first).collect(),
            result: self.own.result.as_ref().map(|result| result.address),
        }
    }

    /// What another rank brings, opened.
    fn part_of(
        &self,
        other: &Other,
        note: &Note,
        windows: &mut Vec<Arc<OpenWindow>>,
    ) -> Result<Part, Verdict> {
        let firsts = (0..self.own.tasks.len()).map(|task| note.first(task));
        let firsts = firsts.collect::<Result<Vec<usize>>>();
        let firsts = firsts.map_err(|error| Verdict::Failed(other.line.peer, error))?;
        let head = &note.head;
        let mut open = |loan: &Loan| self.open(other, head, loan, windows);
        let opened = open(&head.elements).and_then(|elements| {
            let result = (head.has_result != 0).then(|| open(&head.result)).transpose()?;
            Ok((elements, result))
        });
        match opened {
            Ok((elements, result)) => Ok(Part {
                elements,
                firsts,
                result,
            }),
            Err(_) => {
                self.links.stop_leading();
                Err(Verdict::Otherwise)
            }
        }
    }

    /// Starts a kernel for each task, on what the ranks bring, in the order of their numbers.
    fn start(&self, parts: &[Part]) -> Result<()> {
        for (number, task) in self
            .own
            .tasks
            .iter()
            .enumerate()
            .filter(|(_, task)| task.bytes > 0)
        {
            let of = |ranks: &Range<usize>| parts.get(ranks.clone()).unwrap_or_default();
            let inputs = of(&task.inputs).iter().map(|part| part.input(number));
            let outputs = of(&task.outputs)
                .iter()
                .filter_map(|part| Some(part.result? as *mut u8));
            let (inputs, outputs): (Vec<_>, Vec<_>) = (inputs.collect(), outputs.collect());
            let elements = task.bytes / self.what.dtype.size();
            // SAFETY: every rank promises its elements and its result until it has heard of the end of the fold, and that
            // what a task reads and writes is in them; the ranks have agreed on type and lengths.
            unsafe { self.lane().fold_for_all(self.what, &inputs, &outputs, elements) }?;
        }
        Ok(())
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
            let head = other.told.as_ref().map(|note| note.head);
            let note = match &verdict {
                Verdict::Failed(rank, error) => note::failed(&peer_failed(*rank, error)),
                Verdict::Otherwise => otherwise(&self.links, &other.line, head).written(),
                Verdict::Folded => invitation(&self.links, head).written(),
            };
            match note::send(&other.line, &note, inner) {
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
