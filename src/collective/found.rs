//! How ranks that have come together without the others of a communicator make one of their own.
//!
//! They are a family, which is made when they first come together, and stays: one private context for each list of
//! ranks. What they make then and later are members of the family, as duplicates are, so that what all have dropped is
//! freed the next time.

use std::sync::Arc;
use std::time::Duration;

use super::Blocking;
use super::meeting::Knowledge;
use crate::comm::Communicator;
use crate::engine::{Endpoint, Engine, Family, Phase};
use crate::error::{Error, Result};
use crate::plan::Operation;
use crate::transport::Context;

/// Who founds a communicator.
pub(super) struct Founding<'a> {
    pub engine: &'a Arc<Engine>,
    pub operation: Operation,
    pub timeout: Option<Duration>,
    /// The ranks in the world, in the order that they are to have.
    pub members: Arc<[usize]>,
    /// This rank's place among them.
    pub rank: usize,
}

impl Founding<'_> {
    /// Founds a communicator; `settle` tells all members what each knows, and makes an error of one an error of all.
    pub(super) fn found(
        &self,
        mut settle: impl FnMut(Result<Knowledge>) -> Result<Knowledge>,
    ) -> Result<Arc<Endpoint>> {
        let known = self.engine.families().of(&self.members);
        let own = self.engine.families().world().map(|_| {
            let number = known.as_ref().map_or(0, |family| family.number());
            Knowledge {
                number: match self.rank {
                    0 => self.engine.transport().fresh(),
                    _ => 0,
                },
                family: [number; 2],
            }
        });
        let together = settle(own)?;
        let [low, high] = together.family;
        let family = match known {
            Some(known) if low == high => known,
            // The ranks have never been together, or do not know the same family, because making it went wrong.
            _ => {
                let made = self.make_family(together.number);
                let (made, outcome) = match made {
                    Ok(made) => (Some(made), Ok(together)),
                    Err(error) => (None, Err(error)),
                };
                settle(outcome)?;
                let made = made.ok_or_else(|| Error::invalid("no family was made"))?;
                self.engine.families().add(&made);
                made
            }
        };
        // Fresh numbers are even, and only their low bits are in the tags.
        let founding = Endpoint::of_founding(self.engine, &family, together.number / 2);
        let made = self.make_member(&family, &founding);
        if founding.poison().is_some() {
            self.engine.families().forget(&family);
        }
        made
    }

    /// Makes the private context of a family. All members call it: MPI waits for all inside.
    fn make_family(&self, number: u64) -> Result<Arc<Family>> {
        let world = self.engine.families().world()?;
        let transport = self.engine.transport();
        let context = Context {
            handle: transport.create(&world.private, &self.members, number)?,
            rank: self.rank,
            group: Arc::clone(&self.members),
            is_private: false,
        };
        Ok(Family::founded(context, number))
    }

    /// Makes one more communicator of a family.
    fn make_member(&self, family: &Arc<Family>, founding: &Arc<Endpoint>) -> Result<Arc<Endpoint>> {
        let comm = Communicator::new(Arc::clone(founding), self.timeout);
        let blocking = Blocking::enter(&comm, self.operation, &())?;
        let call = blocking.call();
        let place = blocking.run(async {
            call.begin().await?;
            let place = call.find_place(Ok(())).await?;
            call.activity.waits_for(Phase::Creation);
            Ok(place)
        })?;
        let all: Vec<usize> = (0..self.members.len()).collect();
        let handle = self.engine.transport().create(&family.private, &all, place.fresh);
        let made = handle.and_then(|handle| {
            let context = Context {
                handle,
                is_private: false,
                ..family.private.clone()
            };
            Endpoint::new(self.engine, context, family, place.slot)
        });
        blocking.run(call.conclude(place, made))
    }
}
