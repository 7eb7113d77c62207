//! The part of the leader.

use std::sync::Arc;
use std::task::{Poll, ready};

use super::note::{self, Note, state};
use super::own::{Own, Unopened};
use super::peer::Peer;
use super::{given_up, share_a_process};
use crate::device::Fold;
use crate::device::cuda::{Mark, OpenWindow};
use crate::error::{Error, ErrorKind, Result};
use crate::transport::devices::links::Links;
use crate::transport::devices::{Memory, Steps, rank_of};
use crate::transport::{Context, Delivery, Share, Ticket, Transport};

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
    peer: Peer,
    told: Option<Note>,
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
    /// All take another way; the rank in the world whose memory is out of reach, where that is why.
    Otherwise(Option<usize>),
    /// A rank has failed.
    Failed(usize, Error),
}

impl Leading {
    /// # Safety
    /// As for [`Transport::fold_together`].
    pub(in super::super) unsafe fn new(
        context: &Context,
        share: Share<'_>,
        links: Arc<Links>,
        inner: &dyn Transport,
    ) -> Leading {
        let mut failure = share.failure.as_ref().map(Error::duplicate);
        let peers = (0..context.group.len()).filter(|&peer| peer != context.rank);
        let others = peers.map(|peer| {
            let mut peer = Peer::new(context, peer, share.tag, &share.poison);
            if let Err(error) = peer.expect(inner) {
                failure.get_or_insert(error);
            }
            Other { peer, told: None }
        });
        Leading(Some(Leader {
            others: others.collect(),
            links,
            what: share.what,
            own: Own::new(&share, context.rank, share_a_process(context, inner)),
            rank: context.rank,
            tag: share.tag,
            failure,
            stage: Stage::Gathering,
        }))
    }
}

impl Leader {
    /// Waits until all ranks have told where their elements are, and this one's are ready.
    fn gather(&mut self, inner: &dyn Transport) -> Poll<()> {
        let mut are_all_here = true;
        for other in self.others.iter_mut().filter(|other| other.told.is_none()) {
            match other.peer.heard(inner) {
                Poll::Pending => are_all_here = false,
                Poll::Ready(note) => {
                    other.told = Some(note.unwrap_or_else(|error| {
                        self.failure.get_or_insert(error);
                        Note::lost()
                    }));
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
            return Err(Verdict::Failed(other.peer.line.peer, error));
        }
        if told().any(|(_, note)| note.head.state != state::DONE) {
            return Err(Verdict::Otherwise(None));
        }
        let mut windows = Vec::new();
        let mut parts = Vec::with_capacity(self.others.len() + 1);
        for (other, note) in told() {
            let opened = self.own.open(&other.peer.line, note, &self.links, &mut windows);
            parts.push(opened.map_err(|unopened| match unopened {
                Unopened::Mismatch(error) => Verdict::Failed(other.peer.line.peer, error),
                Unopened::Lacking => Verdict::Otherwise(None),
                Unopened::OutOfReach => {
                    let line = &other.peer.line;
                    self.links.part(rank_of(&line.context, self.rank), line.rank());
                    Verdict::Otherwise(Some(line.rank()))
                }
            })?);
        }
        parts.insert(self.rank, self.own.part());
        let lane = self.own.lane();
        let started = self.own.start(self.what, &parts).and_then(|()| lane.mark());
        // What was started uses the windows.
        let mark = started.inspect_err(|_| lane.wait());
        mark.map(|mark| (mark, windows))
            .map_err(|error| Verdict::Failed(self.rank, error))
    }

    /// Tells everybody how it went.
    fn tell(&mut self, verdict: Verdict, inner: &dyn Transport) {
        let mut outcome = match &verdict {
            Verdict::Folded => Ok(self.own.elements.bytes),
            Verdict::Otherwise(_) => Ok(0),
            Verdict::Failed(rank, error) if *rank == self.rank => Err(error.duplicate()),
            Verdict::Failed(rank, error) => Err(note::peer_failed(*rank, error)),
        };
        for other in &mut self.others {
            let told = other.told.as_ref();
            let note = match &verdict {
                Verdict::Failed(rank, error) => note::failed(&note::peer_failed(*rank, error)),
                Verdict::Otherwise(apart) => note::otherwise(&self.links, &other.peer.line, told, *apart),
                Verdict::Folded => note::done(&self.links, told),
            };
            if let Err(error) = other.peer.tell(&note, |_| note.clone(), inner)
                // What has failed is mended: the others wait for this rank to take another way with them.
                && !matches!(verdict, Verdict::Otherwise(_))
            {
                outcome = Err(error);
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
                        is_over &= match other.peer.has_told(inner) {
                            Poll::Pending => false,
                            Poll::Ready(Ok(())) => true,
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
        others.flat_map(|other| other.peer.abandon(inner)).collect()
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
