//! A communicator as the engine sees it.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicU16, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Instant;

use super::activity::Activity;
use super::arrived::List;
use super::family::Family;
use super::name::Name;
use super::plain::Plain;
use super::sequence::{Sequence, Sequences};
use super::tags::{Ids, Tags};
use super::whereabouts::Standing;
use super::{Engine, Inside};
use crate::error::{Error, ErrorKind, Result};
use crate::path::{ChosenPath, Path};
use crate::plan::{Ladders, Operation, Table};
use crate::transport::Context;
use crate::transport::plain::Plain as Library;

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
    /// Where the ranks may be others than warpcomm's: then there are no envelopes, and nothing private.
    pub plain: Option<Plain>,
    poison: Arc<OnceLock<Error>>,
    pub(super) sequences: Sequences,
    in_collective: AtomicBool,
    /// The codes of the latest two collectives.
    operations: AtomicU16,
    noticed: Mutex<Noticed>,
    /// What the thread in a collective does inside of MPI, where it does not wait in the engine.
    in_library: Mutex<Option<Activity>>,
    /// Once the ranks have the same.
    ladders: OnceLock<Ladders>,
    /// Whether the ranks were found to use GPUs that do not reach each other's memory.
    is_out_of_reach: AtomicBool,
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

    /// A communicator over `context`, whose ranks know nothing of envelopes.
    pub(crate) fn new_plain(
        engine: &Arc<Engine>,
        context: Context,
        library: Arc<dyn Library>,
    ) -> Result<Arc<Endpoint>> {
        let tags = Tags::new(engine.transport().tag_limit(), 0);
        let tags = tags.ok_or_else(|| Error::unsupported("a transport without tags"))?;
        let family = Family::new(context.clone());
        let mut endpoint = Endpoint::with_tags(engine, context, &family, tags);
        endpoint.plain = Some(Plain::new(library));
        let endpoint = Arc::new(endpoint);
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
            plain: None,
            poison: Arc::default(),
            sequences: Sequences::default(),
            in_collective: AtomicBool::new(false),
            operations: AtomicU16::new(u16::MAX),
            in_library: Mutex::default(),
            noticed: Mutex::new(Noticed {
                entered: 0,
                is_inside: false,
                since: Instant::now(),
            }),
            ladders: OnceLock::new(),
            is_out_of_reach: AtomicBool::new(false),
        }
    }

    /// Whether the ranks were found to use GPUs that do not reach each other's memory, which is not likely to change.
    pub(crate) fn is_out_of_reach(&self) -> bool {
        self.is_out_of_reach.load(Ordering::Relaxed)
    }

    pub(crate) fn note_out_of_reach(&self) {
        self.is_out_of_reach.store(true, Ordering::Relaxed);
    }

    /// Has the table decide here which algorithms collectives take. The first to say so counts, before the first
    /// collective that moves data.
    pub(crate) fn plan_by(&self, table: &Arc<Table>) {
        let _ = self
            .ladders
            .set(match self.engine.nodes().of(&self.context.group) {
                Some(nodes) => Ladders::on_nodes(table, &nodes),
                None => Ladders::new(table, self.size()),
            });
    }

    /// Which algorithms collectives take.
    #[inline]
    pub(crate) fn ladders(&self) -> &Ladders {
        self.ladders.get().unwrap_or_else(|| Ladders::by_default())
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

    /// The path of long messages from this rank's GPU to that of an addressed rank, if it is known.
    pub(crate) fn path(&self, rank: usize) -> Result<Option<ChosenPath>> {
        match self.plain {
            Some(_) => Ok(Some(ChosenPath::new(Path::Staged, "the communicator is plain"))),
            None => {
                let transport = self.engine.transport();
                transport.chosen(&self.family.private, self.number_of(rank))
            }
        }
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

    /// The poison, for who outlives the communicator, or is below it.
    pub(crate) fn share_poison(&self) -> Arc<OnceLock<Error>> {
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
            for endpoint in self.engine.endpoints().iter() {
                if self.shares_ranks_with(endpoint) {
                    let _ = endpoint.poison.set(error.duplicate());
                }
            }
        }
    }

    /// Finds out whether a peer is gone, for who looks without waiting.
    pub(crate) fn check_peers(&self) -> Result<()> {
        match self.engine.transport.lost() {
            None => Ok(()),
            Some(lost) => {
                self.poison_with(&lost);
                Err(lost)
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

    /// Whether there are envelopes and frames, which only ranks of warpcomm understand.
    pub(crate) fn check_native(&self) -> Result<()> {
        match self.plain {
            None => Ok(()),
            Some(_) => Err(Error::unsupported(
                "a plain communicator, which other programs of MPI share",
            )),
        }
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
        let before = self.operations.load(Ordering::Relaxed);
        self.operations
            .store(before << 8 | operation as u16, Ordering::Relaxed);
        Ok(InCollective {
            endpoint: self,
            sequence: self.sequences.next(),
        })
    }

    /// Makes a call of a collective that waits for other ranks inside of MPI, and shows it in reports meanwhile.
    pub(crate) fn call_library<T>(&self, activity: &Activity, call: impl FnOnce() -> T) -> T {
        let show = |shown| *self.in_library.lock().unwrap_or_else(PoisonError::into_inner) = shown;
        show(Some(activity.shown()));
        let outcome = call();
        show(None);
        outcome
    }

    /// The line of such a call.
    pub(super) fn in_library(&self) -> Option<String> {
        let in_library = self.in_library.lock().unwrap_or_else(PoisonError::into_inner);
        in_library.as_ref().map(Activity::line)
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
