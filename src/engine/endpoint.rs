//! A communicator as the engine sees it.

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

    fn with_tags(engine: &Arc<Engine>, context: Context, family: &Arc<Family>, tags: Tags) -> Endpoint {
        Endpoint {
            engine: Arc::clone(engine),
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

    #[inline]
    pub(crate) fn rank(&self) -> usize {
        self.context.rank
    }

    #[inline]
    pub(crate) fn size(&self) -> usize {
        self.context.group.len()
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
                "the communicator has {} ranks, 0 to {}",
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
