//! Calls of MPI that wait for all ranks of a communicator.

use super::barrier::Barrier;
use super::{Blocking, Collective};
use crate::comm::Communicator;
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
        let blocking = Blocking::enter(self, operation, 0)?;
        match &self.endpoint.plain {
            None => blocking.run(Barrier.run(&blocking.call(), &()))?,
            Some(plain) => blocking.run(plain.all_have_started())?,
        }
        call().map_err(|error| error.at(operation.name(), self.rank()))
    }
}
