//! The part of a rank that is led.

use std::sync::Arc;
use std::task::{Poll, ready};

use super::note::{self, Note, state};
use super::own::Own;
use super::{given_up, line, share_a_process};
use crate::error::{Error, Result};
use crate::transport::devices::letter::Letter;
use crate::transport::devices::links::Links;
use crate::transport::devices::{Line, Memory, Steps};
use crate::transport::{Context, Delivery, Share, Ticket, Transport};

/// The part of a rank that is not the leader. It goes on after it was given up, as long as the leader waits for it.
pub(in super::super) struct Joining(Option<Member>);

struct Member {
    line: Line,
    links: Arc<Links>,
    own: Own,
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
    pub(in super::super) unsafe fn new(
        context: &Context,
        leader: usize,
        share: Share<'_>,
        links: Arc<Links>,
        inner: &dyn Transport,
    ) -> Result<Joining> {
        let line = line(context, leader, share.tag);
        let expect = || Letter::expect(&line, share.tag, note::NOTE_BYTES, inner);
        let (verdict, failure) = match expect() {
            Ok(verdict) => (verdict, share.failure.as_ref().map(Error::duplicate)),
            Err(error) => (expect()?, Some(error)),
        };
        Ok(Joining(Some(Member {
            own: Own::new(&share, context.rank, share_a_process(context, inner)),
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
            Some(error) => note::failed(error),
            None => self
                .own
                .note_for(&self.line, &self.links)
                .unwrap_or_else(note::cannot),
        };
        let line = &self.line;
        let sent = Letter::send(line, line.tags.body, &note, inner).or_else(|error| {
            // Then nobody folds.
            let error = self.failure.get_or_insert(error);
            Letter::send(line, line.tags.body, &note::failed(error), inner)
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
        let verdict = Note::read(&verdict);
        note::hear_of_memory(&self.links, self.line.rank(), &verdict.head);
        self.heard = Some(match verdict.head.state {
            state::DONE => Ok(self.own.elements.bytes),
            state::OTHERWISE => Ok(0),
            _ => Err(verdict.error()),
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
