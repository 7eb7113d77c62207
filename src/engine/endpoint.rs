//! A communicator as the engine sees it.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::atomic::{AtomicBool, AtomicU16, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Instant;

use super::arrived::List;
use super::group::Group;
use super::plain::Plain;
use super::sequence::{Sequence, Sequences};
use super::tags::{Ids, Tags};
use super::whereabouts::Standing;
use super::{Engine, Inside};
use crate::error::{Error, ErrorKind, Result};
use crate::plan::Operation;
use crate::transport::Context;
use crate::transport::plain::Plain as Library;

/// One communicator of this rank: its spaces of messages and the state of its protocol.
pub(crate) struct Endpoint {
    pub engine: Arc<Engine>,
    /// Where envelopes travel, so that MPI matches them as the user's messages.
    pub context: Context,
    /// What all communicators of the same ranks share.
    pub group: Arc<Group>,
    pub tags: Tags,
    pub(super) ids: Ids,
    pub(super) arrived: Mutex<List>,
    /// Where the ranks may be others than warpcomm's: then there are no envelopes, and nothing private.
    pub plain: Option<Plain>,
    poison: Arc<OnceLock<Error>>,
    pub(super) sequences: Sequences,
    in_collective: AtomicBool,
    /// The codes of the latest two collectives.
    operations: AtomicU16,
    noticed: Mutex<Noticed>,
}

/// Since when a communicator is where it is, as far as somebody has looked.
struct Noticed {
    entered: u64,
    is_inside: bool,
    since: Instant,
}

/// The right to be in a collective, of one thread at a time.
pub(crate) struct InCollective<'a> {
    endpoint: &'a Endpoint,
    /// The number of this collective on its communicator.
    pub sequence: Sequence,
}

impl Endpoint {
    /// The communicator in slot `slot` of its group, over `context`.
    pub(crate) fn new(
        engine: &Arc<Engine>,
        context: Context,
        group: &Arc<Group>,
        slot: u32,
    ) -> Result<Arc<Endpoint>> {
        let limit = engine.transport().tag_limit();
        let tags = Tags::new(limit, slot).ok_or_else(|| {
            Error::unsupported(format!(
                "{slot} communicators of the same ranks, and there are no more tags"
            ))
        })?;
        let endpoint = Endpoint::over(engine, context, group, tags, None);
        group.add(slot, &endpoint);
        Ok(endpoint)
    }

    /// A communicator over `context`, whose ranks know nothing of envelopes.
    pub(crate) fn new_plain(
        engine: &Arc<Engine>,
        context: Context,
        library: Arc<dyn Library>,
    ) -> Result<Arc<Endpoint>> {
        let tags = Tags::new(engine.transport().tag_limit(), 0);
        let tags = tags.ok_or_else(|| Error::unsupported("a transport without tags"))?;
        let group = Group::new(context.clone());
        let plain = Some(Plain::new(library));
        Ok(Endpoint::over(engine, context, &group, tags, plain))
    }

    fn over(
        engine: &Arc<Engine>,
        context: Context,
        group: &Arc<Group>,
        tags: Tags,
        plain: Option<Plain>,
    ) -> Arc<Endpoint> {
        let endpoint = Arc::new(Endpoint {
            engine: Arc::clone(engine),
            context,
            group: Arc::clone(group),
            tags,
            ids: Ids::new(&tags),
            arrived: Mutex::default(),
            plain,
            poison: Arc::default(),
            sequences: Sequences::default(),
            in_collective: AtomicBool::new(false),
            operations: AtomicU16::new(u16::MAX),
            noticed: Mutex::new(Noticed {
                entered: 0,
                is_inside: false,
                since: Instant::now(),
            }),
        });
        engine.register(&endpoint);
        endpoint
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

    /// A number of the communicator that is the same on all ranks: made of its members and its slot, so that two of
    /// the same may have the same.
    pub(super) fn number(&self) -> u64 {
        // The hasher has no keys of its own.
        let mut hasher = DefaultHasher::new();
        (&*self.context.group, self.tags.slot(), self.plain.is_some()).hash(&mut hasher);
        hasher.finish().max(1)
    }

    /// Looks whether a collective was entered or left since somebody has looked.
    pub(super) fn notice(&self) {
        drop(self.noticed());
    }

    fn noticed(&self) -> MutexGuard<'_, Noticed> {
        let entered = self.sequences.count();
        let is_inside = self.in_collective.load(Ordering::Relaxed);
        let mut noticed = self.noticed.lock().unwrap_or_else(PoisonError::into_inner);
        if (noticed.entered, noticed.is_inside) != (entered, is_inside) {
            *noticed = Noticed {
                entered,
                is_inside,
                since: Instant::now(),
            };
        }
        noticed
    }

    /// How far this rank got here.
    pub(super) fn standing(&self) -> Standing {
        let noticed = self.noticed();
        Standing::new(
            (self.number(), self.size()),
            noticed.entered,
            self.operations.load(Ordering::Relaxed).to_le_bytes(),
            noticed.is_inside,
            noticed.since,
        )
    }

    /// Enters a collective: to stay in it, or to start it.
    #[inline]
    pub(crate) fn enter_collective(&self, operation: Operation) -> Result<InCollective<'_>> {
        if self.in_collective.swap(true, Ordering::Acquire) {
            return Err(Error::invalid(
                "another thread is in a collective of this communicator",
            ));
        }
        let before = self.operations.load(Ordering::Relaxed);
        self.operations
            .store(before << 8 | operation as u16, Ordering::Relaxed);
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
