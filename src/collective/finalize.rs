//! The last agreement of all ranks, before their library is taken down.

use super::Call;
use super::agreement::Terms;
use crate::comm::Communicator;
use crate::error::Result;
use crate::plan::Operation;

impl Communicator {
    /// Returns when all ranks are about to end; what is still pending goes on meanwhile.
    pub(crate) fn agree_to_finalize(&self) -> Result<()> {
        let call = Call::enter(self, Operation::Finalize, 0)?;
        call.run(async { call.agree(Terms::NONE, Ok(()), None).await?.over() })
    }
}
