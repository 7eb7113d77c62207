//! Calls of MPI that wait for all ranks of a communicator.

use super::barrier::Barrier;
use super::{Blocking, Collective};
use crate::comm::Communicator;
use crate::engine::Phase;
use crate::error::Result;
use crate::plan::Operation;

impl Communicator {
    /// Makes such a call, as a collective of this communicator: no other of its collectives goes on meanwhile, and on a
    /// native one nobody waits inside MPI for a rank that does not come.
    pub(crate) fn call_library<T>(
        &self,
        operation: Operation,
        call: impl FnOnce() -> Result<T>,
    ) -> Result<T> {
        let blocking = Blocking::enter(self, operation, &())?;
        match &self.endpoint.plain {
            None => blocking.run(Barrier.run(&blocking.call(), &()))?,
            Some(plain) => blocking.run(plain.all_have_started())?,
        }
        let activity = &blocking.activity;
        activity.waits_for(Phase::Creation);
        let outcome = self.endpoint.call_library(activity, call);
        outcome.map_err(|error| activity.name(error))
    }
}
