//! A communicator as the engine sees it.

use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock};

use super::arrived::List;
use super::family::Family;
use super::name::Name;
use super::sequence::{Sequence, Sequences};
use super::tags::{Ids, Tags};
use super::{Engine, Inside};
use crate::error::{Error, ErrorKind, Result};
use crate::transport::Context;

/// One communicator of this rank: its spaces of messages and the state of its protocol.
pub(crate) struct Endpoint {
    pub engine: Arc<Engine>,
    /// Where envelopes travel, so that MPI matches them as the user's messages.
    pub context: Context,
    /// What all communicators of the same ranks share.
    pub family: Arc<Family>,
    pub tags: Tags,
    pub name: Name,
    /// Of an intercommunicator: the communicator of both groups, which it keeps alive.
    union: Option<Arc<Endpoint>>,
    rank: usize,
    /// The ranks that messages go to and come from, by their numbers in the contexts: all, or a remote group.
    addressed: Range<usize>,
    pub(super) ids: Ids,
    pub(super) arrived: Mutex<List>,
    poison: Arc<OnceLock<Error>>,
    pub(super) sequences: Sequences,
    in_collective: AtomicBool,
}

/// The right to be in a collective, of one thread at a time.
pub(crate) struct InCollective<'a> {
    endpoint: &'a Endpoint,
    /// The number of this collective on its communicator.
    pub sequence: Sequence,
}

impl Endpoint {
    /// The communicator in slot `slot` of its family, over `context`.
    pub(crate) fn new(
        engine: &Arc<Engine>,
        context: Context,
        family: &Arc<Family>,
        slot: u32,
    ) -> Result<Arc<Endpoint>> {
        let limit = engine.transport().tag_limit();
        let tags = Tags::new(limit, slot).ok_or_else(|| {
            Error::unsupported(format!(
                "{slot} communicators of the same ranks, and there are no more tags"
            ))
        })?;
        let endpoint = Arc::new(Endpoint::with_tags(engine, context, family, tags));
        family.add(slot, &endpoint);
        engine.register(&endpoint);
        Ok(endpoint)
    }

    /// What the ranks of a family found a communicator with: no messages but those of one collective, number
    /// `number`, which no other founding of theirs has at the same time.
    pub(crate) fn of_founding(engine: &Arc<Engine>, family: &Arc<Family>, number: u64) -> Arc<Endpoint> {
        let tags = Tags::of_founding(engine.transport().tag_limit());
        let mut endpoint = Endpoint::with_tags(engine, family.private.clone(), family, tags);
        endpoint.sequences = Sequences::from(number);
        Arc::new(endpoint)
    }

    /// An intercommunicator, over a communicator of both groups: of the ranks `own` with the ranks `remote`.
    ///
    /// The communicator below is used for collectives only.
    pub(crate) fn facing(union: &Arc<Endpoint>, own: &Range<usize>, remote: Range<usize>) -> Arc<Endpoint> {
        let context = union.context.clone();
        let mut endpoint = Endpoint::with_tags(&union.engine, context, &union.family, union.tags);
        endpoint.rank = union.rank - own.start;
        endpoint.addressed = remote;
        endpoint.poison = union.share_poison();
        endpoint.union = Some(Arc::clone(union));
        Arc::new(endpoint)
    }

    fn with_tags(engine: &Arc<Engine>, context: Context, family: &Arc<Family>, tags: Tags) -> Endpoint {
        Endpoint {
            engine: Arc::clone(engine),
            union: None,
            rank: context.rank,
            addressed: 0..context.group.len(),
            context,
            family: Arc::clone(family),
            tags,
            name: Name::default(),
            ids: Ids::new(&tags),
            arrived: Mutex::default(),
            poison: Arc::default(),
            sequences: Sequences::default(),
            in_collective: AtomicBool::new(false),
        }
    }

    /// This rank's number, in the local group of an intercommunicator.
    #[inline]
    pub(crate) fn rank(&self) -> usize {
        self.rank
    }

    /// The number of ranks, of the remote group of an intercommunicator.
    #[inline]
    pub(crate) fn size(&self) -> usize {
        self.addressed.len()
    }

    /// The ranks that messages go to and come from, by their numbers in the contexts.
    pub(crate) fn addressed(&self) -> &Range<usize> {
        &self.addressed
    }

    /// Of an intercommunicator: the communicator of both groups.
    pub(crate) fn union(&self) -> Option<&Arc<Endpoint>> {
        self.union.as_ref()
    }

    /// The number of an addressed rank in the contexts.
    #[inline]
    pub(super) fn number_of(&self, rank: usize) -> usize {
        self.addressed.start + rank
    }

    /// The addressed rank with this number in the contexts.
    #[inline]
    pub(super) fn rank_of(&self, number: usize) -> usize {
        number - self.addressed.start
    }

    /// Lets this thread use the communicator, until the result is dropped.
    #[inline]
    pub(crate) fn enter(&self) -> Result<Inside<'_>> {
        let inside = self.engine.enter()?;
        self.check()?;
        Ok(inside)
    }

    /// Whether this thread may use the communicator now.
    #[inline]
    pub(crate) fn check(&self) -> Result<()> {
        self.engine.check()?;
        match self.poison.get() {
            None => Ok(()),
            Some(first) => Err(Error::new(
                first.kind(),
                format!("the communicator is poisoned: {first}"),
            )),
        }
    }

    /// The poison, for who outlives the communicator.
    pub(super) fn share_poison(&self) -> Arc<OnceLock<Error>> {
        Arc::clone(&self.poison)
    }

    pub(crate) fn poison(&self) -> Option<&Error> {
        self.poison.get()
    }

    /// Makes every later call fail, because ranks no longer agree about what happened.
    ///
    /// A lost peer poisons every communicator, as far as it is not known which one.
    pub(crate) fn poison_with(&self, error: &Error) {
        let _ = self.poison.set(error.duplicate());
        if error.kind() == ErrorKind::PeerLost {
            for endpoint in self.engine.endpoints() {
                if self.shares_ranks_with(&endpoint) {
                    let _ = endpoint.poison.set(error.duplicate());
                }
            }
        }
    }

    /// Whether a peer of this communicator is in the other one as well.
    fn shares_ranks_with(&self, other: &Endpoint) -> bool {
        let me = self.context.group[self.context.rank];
        self.context
            .group
            .iter()
            .any(|rank| *rank != me && other.context.group.contains(rank))
    }

    /// Checks a rank that an operation sends to or receives from.
    #[inline]
    pub(crate) fn check_rank(&self, rank: usize) -> Result<()> {
        match rank < self.size() {
            true => Ok(()),
            false => Err(Error::invalid(format!(
                "the {} has {} ranks, 0 to {}",
                if self.union.is_some() {
                    "remote group"
                } else {
                    "communicator"
                },
                self.size(),
                self.size() - 1
            ))),
        }
    }

    /// Checks the tag of a message.
    #[inline]
    pub(crate) fn check_tag(&self, tag: i32) -> Result<()> {
        let limit = self.engine.transport().tag_limit();
        match (0..=limit).contains(&tag) {
            true => Ok(()),
            false => Err(Error::invalid(format!("{tag} is no tag; tags are 0 to {limit}"))),
        }
    }

    /// Enters a collective: to stay in it, or to start it.
    #[inline]
    pub(crate) fn enter_collective(&self) -> Result<InCollective<'_>> {
        if self.union.is_some() {
            return Err(Error::unsupported(
                "collectives between two groups: merge makes a communicator of both",
            ));
        }
        if self.in_collective.swap(true, Ordering::Acquire) {
            return Err(Error::invalid(
                "another thread is in a collective of this communicator",
            ));
        }
        Ok(InCollective {
            endpoint: self,
            sequence: self.sequences.next(),
        })
    }

    /// Counts a collective that is made to be started many times.
    pub(crate) fn count_persistent(&self) -> Sequence {
        self.sequences.next_persistent()
    }
}

impl Drop for InCollective<'_> {
    #[inline]
    fn drop(&mut self) {
        self.endpoint.in_collective.store(false, Ordering::Release);
    }
}
