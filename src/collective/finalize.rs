//! The last agreement of all ranks, before their library is taken down.

use super::Blocking;
use super::agreement::Terms;
use crate::comm::Communicator;
use crate::error::Result;
use crate::plan::Operation;

impl Communicator {
    /// Returns when all ranks are about to end; what is still pending goes on meanwhile.
    pub(crate) fn agree_to_finalize(&self) -> Result<()> {
        let blocking = Blocking::enter(self, Operation::Finalize, &())?;
        let call = blocking.call();
        blocking.run(async { call.agree(Terms::NONE, Ok(()), None).await?.over() })
    }
}
