//! What the communicators of the same ranks share, and how their contexts are freed.
//!
//! Freeing a context is collective, and dropping a communicator is not: a context is freed in a later
//! collective, once all ranks have said that they dropped it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};

use super::{Endpoint, Transfer};
use crate::error::{Error, Result};
use crate::transport::{Context, Transport};

/// Slots about which ranks tell each other whether they dropped what is in them.
const SLOTS_TOLD: usize = 2048;

/// A bit for each of the first slots of a family.
pub(crate) type Slots = [u8; SLOTS_TOLD / 8];

pub(crate) const NO_SLOTS: Slots = [0; SLOTS_TOLD / 8];

/// The number of the world's family; others are larger.
pub(crate) const OF_THE_WORLD: u64 = 1;

/// The communicators of the same ranks.
pub(crate) struct Family {
    /// The number under which it was founded, the same on all ranks; 0 for a part of another family.
    number: u64,
    /// Where answers, bodies and collectives of all of them travel.
    pub private: Context,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    children: BTreeMap<u32, Child>,
    /// Slots of communicators that are being made, or being freed; rank 0 gives them out.
    taken: BTreeSet<u32>,
    /// Whether an agreement about dropped slots is under way; rank 0 knows.
    telling: bool,
}

/// The right of an agreement to free slots, of one at a time.
///
/// Rank 0 gives it out, and the others look what they have dropped after rank 0 has. Were slots told in two
/// agreements, one could free what the other still means, and the slot hold something new on some ranks by then.
pub(crate) struct Telling<'a> {
    family: &'a Family,
    /// The slots whose contents rank 0 has dropped.
    pub slots: Slots,
}

impl Drop for Telling<'_> {
    fn drop(&mut self) {
        self.family.state().telling = false;
    }
}

/// What a slot of a family holds on this rank.
enum Child {
    /// A communicator of the family itself.
    Communicator {
        alive: Weak<Endpoint>,
        /// Frames and answers that nobody took may still arrive for a poisoned one: its slot is not used again.
        poison: Arc<OnceLock<Error>>,
        context: Context,
    },
    /// This rank's part of a split; `None` where it is in no part.
    Part(Option<Arc<Family>>),
}

impl Family {
    pub(crate) fn new(private: Context) -> Arc<Family> {
        Family::founded(private, 0)
    }

    /// A family that is no part of another one.
    pub(crate) fn founded(private: Context, number: u64) -> Arc<Family> {
        Arc::new(Family {
            number,
            private: Context {
                is_private: true,
                ..private
            },
            state: Mutex::default(),
        })
    }

    pub(crate) fn number(&self) -> u64 {
        self.number
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn add(&self, slot: u32, endpoint: &Arc<Endpoint>) {
        let context = endpoint.context.clone();
        let child = Child::Communicator {
            alive: Arc::downgrade(endpoint),
            poison: endpoint.share_poison(),
            context,
        };
        self.insert(slot, child);
    }

    /// Remembers this rank's part of a split.
    pub(crate) fn add_part(&self, slot: u32, part: Option<Arc<Family>>) {
        self.insert(slot, Child::Part(part));
    }

    fn insert(&self, slot: u32, child: Child) {
        let mut state = self.state();
        state.taken.remove(&slot);
        state.children.insert(slot, child);
    }

    /// A slot for something new; rank 0 of the family chooses for all.
    pub(crate) fn take_slot(&self) -> Result<u32> {
        let mut state = self.state();
        let free = |slot: &u32| !state.taken.contains(slot) && !state.children.contains_key(slot);
        let slot = (0..u32::MAX)
            .find(free)
            .ok_or_else(|| Error::unsupported("no slot is free"))?;
        state.taken.insert(slot);
        Ok(slot)
    }

    /// Gives back a slot that nothing was made for.
    pub(crate) fn return_slot(&self, slot: u32) {
        self.state().taken.remove(&slot);
    }

    /// Whether everything of this family was dropped on this rank.
    fn is_dropped(&self) -> bool {
        self.state().children.values().all(Child::is_dropped)
    }

    /// Lets an agreement of rank 0 free slots, unless another one is at it.
    pub(crate) fn tell(&self) -> Option<Telling<'_>> {
        let mut state = self.state();
        let is_first = !std::mem::replace(&mut state.telling, true);
        is_first.then(|| Telling {
            family: self,
            slots: state.dropped(),
        })
    }

    /// The slots whose contents this rank has dropped.
    pub(crate) fn dropped(&self) -> Slots {
        self.state().dropped()
    }

    /// Lets slots be used again, once all ranks are known to have freed what was in them.
    pub(crate) fn release(&self, freed: &Slots) {
        self.state().taken.retain(|&slot| !is_in(freed, slot));
    }

    /// Frees the slots that all ranks have told; they are not used again until [`release`](Self::release).
    pub(crate) fn free(&self, transport: &dyn Transport, agreed: &Slots) -> Result<()> {
        let mut outcome = Ok(());
        for slot in (0..SLOTS_TOLD as u32).filter(|&slot| is_in(agreed, slot)) {
            let child = {
                let mut state = self.state();
                state.taken.insert(slot);
                state.children.remove(&slot)
            };
            // Every context is tried: the other ranks are there, waiting.
            if let Some(child) = child {
                outcome = outcome.and(child.free(transport));
            }
        }
        outcome
    }

    /// Frees everything of a family that all its ranks have dropped.
    fn free_all(&self, transport: &dyn Transport) -> Result<()> {
        let children = std::mem::take(&mut self.state().children);
        let mut outcome = Ok(());
        for child in children.into_values() {
            outcome = outcome.and(child.free(transport));
        }
        outcome.and(transport.free(&self.private))
    }
}

impl State {
    fn dropped(&self) -> Slots {
        let mut slots = NO_SLOTS;
        let told = self.children.range(..SLOTS_TOLD as u32);
        for (&slot, _) in told.filter(|(_, child)| child.is_dropped()) {
            slots[slot as usize / 8] |= 1 << (slot % 8);
        }
        slots
    }
}

/// The families that are no part of another one: that of the world, and one for each list of ranks that has come
/// together without the others.
///
/// They stay, so that ranks which come together again have slots for what they make then, and free what they made
/// before.
#[derive(Default)]
pub(crate) struct Families {
    world: OnceLock<Arc<Family>>,
    list: Mutex<Vec<Arc<Family>>>,
}

impl Families {
    fn list(&self) -> MutexGuard<'_, Vec<Arc<Family>>> {
        self.list.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Remembers the family of all ranks, over whose context others are founded.
    pub(crate) fn add_world(&self, family: &Arc<Family>) {
        let _ = self.world.set(Arc::clone(family));
        self.add(family);
    }

    /// Remembers a family, in the place of an earlier one of the same ranks.
    pub(crate) fn add(&self, family: &Arc<Family>) {
        let mut list = self.list();
        list.retain(|other| other.private.group != family.private.group);
        list.push(Arc::clone(family));
    }

    /// Forgets a family in which a founding was broken off: its frames may still arrive.
    pub(crate) fn forget(&self, family: &Arc<Family>) {
        self.list().retain(|other| !Arc::ptr_eq(other, family));
    }

    /// The family of all ranks.
    pub(crate) fn world(&self) -> Result<Arc<Family>> {
        let world = self.world.get().cloned();
        world.ok_or_else(|| Error::unsupported("this needs the communicator of all ranks (Runtime::world)"))
    }

    /// The family of these ranks of the world, in this order.
    pub(crate) fn of(&self, ranks: &[usize]) -> Option<Arc<Family>> {
        self.list()
            .iter()
            .find(|family| *family.private.group == *ranks)
            .cloned()
    }
}

fn is_in(slots: &Slots, slot: u32) -> bool {
    slots
        .get(slot as usize / 8)
        .is_some_and(|byte| byte & (1 << (slot % 8)) != 0)
}

impl Child {
    fn is_dropped(&self) -> bool {
        match self {
            Child::Communicator { alive, poison, .. } => alive.strong_count() == 0 && poison.get().is_none(),
            Child::Part(part) => part.as_ref().is_none_or(|family| family.is_dropped()),
        }
    }

    fn free(self, transport: &dyn Transport) -> Result<()> {
        match self {
            Child::Communicator { context, .. } => {
                // The other ranks free it whatever became of this rank's messages.
                let drained = drain(transport, &context);
                drained.and(transport.free(&context))
            }
            Child::Part(Some(family)) => family.free_all(transport),
            Child::Part(None) => Ok(()),
        }
    }
}

/// Receives what was sent and never received: MPI may give the next communicator the same number on the wire.
fn drain(transport: &dyn Transport, context: &Context) -> Result<()> {
    while let Some(mut transfer) = Transfer::receive_unexpected(transport, context)? {
        while transfer.poll_once().is_pending() {
            std::thread::yield_now();
        }
    }
    Ok(())
}
