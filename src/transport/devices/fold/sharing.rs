//! The part of a rank of which every one has kernels.

use std::sync::Arc;
use std::task::{Poll, ready};

use super::note::{self, Head, Note, state};
use super::own::{Own, Part, Unopened};
use super::peer::Peer;
use super::{given_up, share_a_process};
use crate::device::Fold;
use crate::device::cuda::{Mark, OpenWindow};
use crate::error::{Error, Result};
use crate::transport::devices::links::Links;
use crate::transport::devices::{Memory, Steps};
use crate::transport::{Context, Delivery, Share, Ticket, Transport};

/// The part of a rank. It goes on after it was given up, as long as others wait for it.
pub(in super::super) struct Sharing(Option<Sharer>);

struct Sharer {
    links: Arc<Links>,
    what: Fold,
    own: Own,
    rank: usize,
    tag: i32,
    /// The others, in the order of their ranks.
    others: Vec<Other>,
    failure: Option<Error>,
    /// Whether all ranks still say that they can.
    standing: Standing,
    /// Whether others may use this rank's elements: since it has said that all it needs is open, or since it has lent them
    /// for one fold.
    is_in_use: bool,
    /// Whether all were told at the end that they take another way.
    ends_otherwise: bool,
    stage: Stage,
}

/// Another rank, as this one sees it.
struct Other {
    peer: Peer,
    /// Where its elements are.
    lent: Option<Note>,
    /// What it has told last.
    told: Option<Note>,
}

enum Stage {
    /// Something before may use the elements.
    Waiting,
    /// Everybody tells where its elements are.
    Lending,
    /// Everybody tells whether it reaches what its kernels need, which is open here.
    Opening(Vec<Part>, Vec<Arc<OpenWindow>>),
    /// The kernels run, on memory that is open.
    Folding(Mark, Vec<Arc<OpenWindow>>),
    /// Everybody tells that its kernels are over.
    Ending,
    Over(Result<usize>),
}

/// How far all ranks can go together.
enum Standing {
    Together,
    /// Some rank cannot, and all take another way.
    Otherwise,
    /// A rank has failed.
    Failed(Error),
}

impl Sharing {
    /// # Safety
    /// As for [`Transport::fold_together`].
    pub(in super::super) unsafe fn new(
        context: &Context,
        share: Share<'_>,
        links: Arc<Links>,
        inner: &dyn Transport,
    ) -> Sharing {
        let peers = (0..context.group.len()).filter(|&peer| peer != context.rank);
        let others = peers.map(|peer| Other {
            peer: Peer::new(context, peer, share.tag, &share.poison),
            lent: None,
            told: None,
        });
        Sharing(Some(Sharer {
            others: others.collect(),
            links,
            what: share.what,
            own: Own::new(&share, context.rank, share_a_process(context, inner)),
            rank: context.rank,
            tag: share.tag,
            failure: share.failure,
            standing: Standing::Together,
            is_in_use: false,
            ends_otherwise: false,
            stage: Stage::Waiting,
        }))
    }
}

impl Sharer {
    /// Notes that this rank cannot go on.
    fn fail(&mut self, error: Error) {
        self.failure.get_or_insert(error);
    }

    /// What this rank tells each other one, if all can still go on.
    fn notes(&self, can: impl Fn(&Other) -> Vec<u8>) -> Vec<Vec<u8>> {
        let note = |other: &Other| match (&self.failure, &self.standing) {
            (Some(error), _) | (None, Standing::Failed(error)) => note::failed(error),
            (None, Standing::Otherwise) => {
                note::otherwise(&self.links, &other.peer.line, other.lent.as_ref(), None)
            }
            (None, Standing::Together) => can(other),
        };
        self.others.iter().map(note).collect()
    }

    /// Starts to tell everybody something, and to hear from all. What fails is told with the next notes.
    fn tell(&mut self, notes: Vec<Vec<u8>>, inner: &dyn Transport) {
        let mut failure = None;
        for (other, note) in self.others.iter_mut().zip(notes) {
            other.told = None;
            let expected = other.peer.expect(inner);
            let told = other.peer.tell(&note, |_| note.clone(), inner);
            failure = failure.or(expected.and(told).err());
        }
        if let Some(error) = failure {
            self.fail(error);
        }
    }

    /// Waits until all have told what this one waits for.
    fn hear(&mut self, inner: &dyn Transport) -> Poll<()> {
        let mut is_over = true;
        let mut failure = None;
        for other in &mut self.others {
            match other.peer.has_told(inner) {
                Poll::Pending => is_over = false,
                Poll::Ready(gone) => failure = failure.or(gone.err()),
            }
            if other.told.is_some() {
                continue;
            }
            match other.peer.heard(inner) {
                Poll::Pending => is_over = false,
                Poll::Ready(note) => {
                    other.told = Some(note.unwrap_or_else(|error| {
                        failure.get_or_insert(error);
                        Note::lost()
                    }));
                }
            }
        }
        if let Some(error) = failure {
            self.fail(error);
        }
        if !is_over {
            return Poll::Pending;
        }
        for other in &self.others {
            let Some(note) = &other.told else { continue };
            match (note.head.state, &self.standing) {
                (state::FAILED, Standing::Together | Standing::Otherwise) => {
                    self.standing = Standing::Failed(note::peer_failed(other.peer.line.peer, &note.error()));
                }
                (state::OTHERWISE, Standing::Together) => self.standing = Standing::Otherwise,
                _ => {}
            }
        }
        Poll::Ready(())
    }

    /// Tells everybody where the elements are.
    fn lend(&mut self, inner: &dyn Transport) {
        let lent = |other: &Other| self.own.note_for(&other.peer.line, &self.links);
        let lent = match self.failure {
            None => self.others.iter().map(lent).collect::<Option<Vec<Vec<u8>>>>(),
            Some(_) => None,
        };
        let is_for_once = |other: &Other| self.own.is_lent_for_once(&other.peer.line, &self.links);
        self.is_in_use = lent.is_some() && self.others.iter().any(is_for_once);
        let notes = lent.unwrap_or_else(|| {
            self.standing = Standing::Otherwise;
            self.notes(|_| note::cannot())
        });
        self.tell(notes, inner);
    }

    /// Has this rank's kernels reach what all have lent, and says whether they do.
    fn open(&mut self, inner: &dyn Transport) -> Stage {
        let (mut parts, mut windows) = (Vec::with_capacity(self.others.len() + 1), Vec::new());
        // Otherwise nobody opens anything.
        let are_all_lent = matches!(self.standing, Standing::Together);
        for other in &mut self.others {
            other.lent = other.told.take();
            let can_open = are_all_lent && self.failure.is_none();
            let Some(note) = other.lent.as_ref().filter(|_| can_open) else {
                continue;
            };
            match self.own.open(&other.peer.line, note, &self.links, &mut windows) {
                Ok(part) => parts.push(part),
                Err(Unopened::OutOfReach | Unopened::Lacking) => self.standing = Standing::Otherwise,
                Err(Unopened::Mismatch(error)) => {
                    self.failure.get_or_insert(error);
                }
            }
        }
        parts.insert(self.rank.min(parts.len()), self.own.part());
        self.is_in_use = match (&self.failure, &self.standing) {
            (None, Standing::Together) => true,
            _ => self.is_in_use && are_all_lent,
        };
        let notes = self.notes(|_| Head::new(state::DONE).written());
        self.tell(notes, inner);
        Stage::Opening(parts, windows)
    }

    /// Starts this rank's kernels.
    fn start(&self, parts: &[Part]) -> Result<Mark> {
        let lane = self.own.lane();
        let started = self.own.start(self.what, parts).and_then(|()| lane.mark());
        // What was started uses the windows.
        started.inspect_err(|_| lane.wait())
    }

    /// Tells everybody that nothing of this rank uses its elements any more.
    fn end(&mut self, inner: &dyn Transport) {
        self.ends_otherwise = self.failure.is_none() && matches!(self.standing, Standing::Otherwise);
        let notes = self.notes(|other| note::done(&self.links, other.lent.as_ref()));
        self.tell(notes, inner);
    }

    fn outcome(&mut self) -> Result<usize> {
        match (self.failure.take(), &self.standing) {
            // What has failed since is mended: the others wait for this rank to take another way with them.
            (_, Standing::Otherwise) if self.ends_otherwise => Ok(0),
            (Some(error), _) => Err(error),
            (None, Standing::Together) => Ok(self.own.elements.bytes),
            (None, Standing::Otherwise) => Ok(0),
            (None, Standing::Failed(error)) => Err(error.duplicate()),
        }
    }

    fn advance(&mut self, inner: &dyn Transport) -> Poll<Result<usize>> {
        loop {
            match &mut self.stage {
                Stage::Waiting => {
                    if self.failure.is_none() {
                        match self.own.are_idle() {
                            Ok(true) => {}
                            Ok(false) => return Poll::Pending,
                            Err(error) => self.failure = Some(error),
                        }
                    }
                    self.lend(inner);
                    self.stage = Stage::Lending;
                }
                Stage::Lending => {
                    ready!(self.hear(inner));
                    self.stage = self.open(inner);
                }
                Stage::Opening(..) => {
                    ready!(self.hear(inner));
                    let Stage::Opening(parts, windows) = std::mem::replace(&mut self.stage, Stage::Ending)
                    else {
                        continue;
                    };
                    if self.failure.is_none() && matches!(self.standing, Standing::Together) {
                        match self.start(&parts) {
                            Ok(mark) => {
                                self.stage = Stage::Folding(mark, windows);
                                continue;
                            }
                            Err(error) => self.fail(error),
                        }
                    }
                    // Closed before their owners hear that they are free.
                    drop(windows);
                    self.end(inner);
                }
                Stage::Folding(mark, windows) => {
                    match mark.is_over() {
                        Ok(false) => return Poll::Pending,
                        Ok(true) => windows.clear(),
                        Err(error) => {
                            windows.clear();
                            self.failure.get_or_insert(error);
                        }
                    }
                    self.stage = Stage::Ending;
                    self.end(inner);
                }
                Stage::Ending => {
                    ready!(self.hear(inner));
                    for other in &self.others {
                        if let Some(note) = &other.told {
                            note::hear_of_memory(&self.links, other.peer.line.rank(), &note.head);
                        }
                    }
                    self.stage = Stage::Over(self.outcome());
                }
                Stage::Over(outcome) => {
                    return Poll::Ready(std::mem::replace(outcome, Ok(0)));
                }
            }
        }
    }
}

impl Steps for Sharing {
    fn advance(&mut self, inner: &dyn Transport) -> Poll<Result<Delivery>> {
        let Some(sharer) = &mut self.0 else {
            return Poll::Pending;
        };
        let outcome = ready!(sharer.advance(inner));
        let (source, tag) = (sharer.rank, sharer.tag);
        self.0 = None;
        Poll::Ready(outcome.map(|bytes| Delivery { source, tag, bytes }))
    }

    fn abandon(&mut self, inner: &dyn Transport) -> Vec<(Ticket, Memory)> {
        let others = self.0.iter_mut().flat_map(|sharer| &mut sharer.others);
        others.flat_map(|other| other.peer.abandon(inner)).collect()
    }

    fn is_in_use(&mut self, inner: &dyn Transport) -> bool {
        let Some(sharer) = self.0.as_mut().filter(|sharer| sharer.is_in_use) else {
            return false;
        };
        if let Poll::Ready(outcome) = sharer.advance(inner) {
            sharer.stage = Stage::Over(outcome);
        }
        sharer.is_in_use && !matches!(sharer.stage, Stage::Over(_))
    }

    fn rest(&mut self) -> Option<Box<dyn Steps>> {
        let mut sharer = self.0.take()?;
        sharer.failure.get_or_insert_with(given_up);
        Some(Box::new(Sharing(Some(sharer))))
    }
}
