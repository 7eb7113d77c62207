//! The part of a rank that is led.

use std::sync::Arc;
use std::task::{Poll, ready};

use bytemuck::Zeroable;

use super::note::{self, Head, Note, state};
use super::{Own, given_up, line, share_a_process};
use crate::device::cuda::{Borrower, Handle, lend};
use crate::error::{Error, Result};
use crate::transport::devices::letter::Letter;
use crate::transport::devices::links::Links;
use crate::transport::devices::shared::{Loan, Ring};
use crate::transport::devices::{Line, Memory, Steps, Target};
use crate::transport::{Context, Delivery, Share, Ticket, Transport};

/// The part of a rank that is not the leader. It goes on after it was given up, as long as the leader waits for it.
pub(in super::super) struct Joining(Option<Member>);

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
    pub(in super::super) unsafe fn new(
        context: &Context,
        share: &Share<'_>,
        links: Arc<Links>,
        inner: &dyn Transport,
    ) -> Result<Joining> {
        let line = line(context, share.leader, share.tag);
        let expect = || Letter::expect(&line, share.tag, note::NOTE_BYTES, inner);
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
        let Some((elements, result)) = loans() else {
            return Head::new(state::OTHERWISE).written();
        };
        let head = Head {
            has_number: shared.is_some().into(),
            number: shared.as_ref().map_or(0, |(number, _)| *number),
            has_result: result.is_some().into(),
            elements,
            result: result.unwrap_or(Loan::zeroed()),
            ..Head::new(state::DONE)
        };
        head.written_with(&self.own.tasks)
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
            Some(error) => note::failed(error),
            None => self.note(),
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
        let head = &verdict.head;
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
