//! What `duplicate` and `split` share: a slot for the new communicator, and freeing what was dropped.

use super::Call;
use super::agreement::Terms;
use super::allreduce::allreduce;
use super::bcast::bcast;
use crate::buffer::lower::LowerMut;
use crate::engine::{NO_SLOTS, Slots};
use crate::error::{Error, Result};
use crate::op::Op;

/// What rank 0 has chosen for a new communicator.
pub(super) struct Place {
    /// Its slot in the family.
    pub slot: u32,
    /// A number for the transport's contexts.
    pub fresh: u64,
    /// Slots that were freed, and how that went on this rank.
    freed: (Slots, Result<()>),
}

/// No slot was free.
const NO_SLOT: u64 = u64::MAX;

impl Call<'_> {
    /// Sees to it that all ranks are in this operation, so that they go through the same steps.
    pub(super) async fn begin(&self) -> Result<()> {
        self.agree(Terms::NONE, Ok(()), None).await?.over()
    }

    /// Frees what all ranks have dropped of the family's communicators, and lets rank 0 choose a place for
    /// a new one.
    ///
    /// `local` says whether this rank is ready. Nobody leaves before all know that somebody is not.
    pub(super) async fn find_place(&self, local: Result<()>) -> Result<Place> {
        let family = &self.endpoint().family;
        let transport = self.endpoint().engine.transport();
        let mut choice = [NO_SLOT, 0, 0];
        let mut telling = None;
        if self.rank() == 0 {
            telling = family.tell();
            let slot = family.take_slot().map_or(NO_SLOT, u64::from);
            choice = [slot, transport.fresh(), u64::from(telling.is_some())];
        }
        let own_slot = choice[0];
        let ready = bcast(self, &choice.lower_mut(), 0, local).await;
        // Behind rank 0's word, and never before.
        let mut dropped = match &telling {
            Some(telling) => telling.slots,
            None if choice[2] == 1 => family.dropped(),
            None => NO_SLOTS,
        };
        let ready = {
            let dropped = dropped.lower_mut();
            allreduce(self, &dropped, &dropped, Op::BitAnd, ready).await
        };
        let settled = match self.agree(Terms::NONE, ready, None).await {
            Ok(agreed) => agreed.over(),
            Err(error) => Err(error),
        };
        if let Err(error) = settled {
            // Nothing is freed.
            if let Ok(slot) = u32::try_from(own_slot) {
                family.return_slot(slot);
            }
            return Err(error);
        }
        let freed = family.free(transport, &dropped);
        drop(telling);
        match u32::try_from(choice[0]) {
            Ok(slot) => Ok(Place {
                slot,
                fresh: choice[1],
                freed: (dropped, freed),
            }),
            Err(_) => Err(Error::unsupported("the ranks have too many communicators")),
        }
    }

    /// Tells all ranks whether this one could make its communicator; an error on one is an error on all.
    pub(super) async fn conclude<T>(&self, place: Place, made: Result<T>) -> Result<T> {
        let Place {
            slot,
            freed: (slots, freed),
            ..
        } = place;
        let (made, local) = match made {
            Ok(made) => (Some(made), freed),
            Err(error) => (None, Err(error)),
        };
        let agreed = match self.agree(Terms::NONE, local, None).await {
            Ok(agreed) => agreed.over(),
            Err(error) => Err(error),
        };
        let family = &self.endpoint().family;
        family.release(&slots);
        match (agreed, made) {
            (Ok(()), Some(made)) => Ok(made),
            (outcome, _) => {
                family.return_slot(slot);
                Err(outcome
                    .err()
                    .unwrap_or_else(|| Error::invalid("no communicator was made")))
            }
        }
    }
}
