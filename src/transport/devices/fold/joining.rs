//! The part of a rank that is led.

use std::sync::Arc;
use std::task::{Poll, ready};

use super::note::{self, state};
use super::own::Own;
use super::peer::Peer;
use super::{given_up, share_a_process};
use crate::error::{Error, Result};
use crate::transport::devices::links::Links;
use crate::transport::devices::{Memory, Steps};
use crate::transport::{Context, Delivery, Share, Ticket, Transport};

/// The part of a rank that is not the leader. It goes on after it was given up, as long as the leader waits for it.
pub(in super::super) struct Joining(Option<Member>);

struct Member {
    leader: Peer,
    links: Arc<Links>,
    own: Own,
    failure: Option<Error>,
    is_told: bool,
    /// Whether the leader may use this rank's elements until it has said something.
    has_lent: bool,
    /// What the leader has said.
    heard: Option<Result<usize>>,
}

impl Joining {
    /// # Safety
    /// As for [`Transport::fold_together`].
    pub(in super::super) unsafe fn new(
        context: &Context,
        leader: usize,
        share: Share<'_>,
        links: Arc<Links>,
        inner: &dyn Transport,
    ) -> Joining {
        let mut leader = Peer::new(context, leader, share.tag, &share.poison);
        let expected = leader.expect(inner);
        Joining(Some(Member {
            own: Own::new(&share, context.rank, share_a_process(context, inner)),
            leader,
            links,
            failure: share.failure.or(expected.err()),
            is_told: false,
            has_lent: false,
            heard: None,
        }))
    }
}

impl Member {
    /// Tells the leader, as soon as there is something to tell.
    fn tell(&mut self, inner: &dyn Transport) -> Poll<()> {
        if self.failure.is_none() {
            match self.own.are_idle() {
                Ok(true) => {}
                Ok(false) => return Poll::Pending,
                Err(error) => self.failure = Some(error),
            }
        }
        let lent = match self.failure {
            None => self.own.note_for(&self.leader.line, &self.links),
            Some(_) => None,
        };
        self.has_lent = lent.is_some();
        let note = match &self.failure {
            Some(error) => note::failed(error),
            None => lent.unwrap_or_else(note::cannot),
        };
        if let Err(error) = self.leader.tell(&note, note::failed, inner) {
            // Then nobody folds.
            self.has_lent = false;
            self.failure.get_or_insert(error);
        }
        self.is_told = true;
        Poll::Ready(())
    }

    /// Waits for what the leader says.
    fn hear(&mut self, inner: &dyn Transport) -> Poll<()> {
        if self.heard.is_some() {
            return Poll::Ready(());
        }
        self.heard = Some(ready!(self.leader.heard(inner)).and_then(|verdict| {
            note::hear_of_memory(&self.links, self.leader.line.rank(), &verdict.head);
            match verdict.head.state {
                state::DONE => Ok(self.own.elements.bytes),
                state::OTHERWISE => Ok(0),
                _ => Err(verdict.error()),
            }
        }));
        Poll::Ready(())
    }

    fn advance(&mut self, inner: &dyn Transport) -> Poll<Result<usize>> {
        if !self.is_told {
            ready!(self.tell(inner));
        }
        if let Err(error) = ready!(self.leader.has_told(inner)) {
            self.failure.get_or_insert(error);
        }
        ready!(self.hear(inner));
        let heard = self.heard.take().unwrap_or(Ok(0));
        Poll::Ready(self.failure.take().map_or(heard, Err))
    }
}

impl Steps for Joining {
    fn advance(&mut self, inner: &dyn Transport) -> Poll<Result<Delivery>> {
        let Some(member) = &mut self.0 else {
            return Poll::Pending;
        };
        let outcome = ready!(member.advance(inner));
        let delivery = outcome.map(|bytes| member.leader.line.delivery(bytes));
        self.0 = None;
        Poll::Ready(delivery)
    }

    fn abandon(&mut self, inner: &dyn Transport) -> Vec<(Ticket, Memory)> {
        self.0
            .as_mut()
            .map_or(Vec::new(), |member| member.leader.abandon(inner))
    }

    fn is_in_use(&mut self, inner: &dyn Transport) -> bool {
        let lent = self.0.as_mut().filter(|member| member.has_lent);
        // Who cannot hear of it any more is not waited for.
        lent.is_some_and(|member| member.hear(inner).is_pending())
    }

    fn rest(&mut self) -> Option<Box<dyn Steps>> {
        let mut member = self.0.take()?;
        member.failure.get_or_insert_with(given_up);
        Some(Box::new(Joining(Some(member))))
    }
}
