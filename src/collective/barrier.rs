//! `barrier`.

use super::Call;
use super::agreement::Terms;
use crate::comm::Communicator;
use crate::error::Result;
use crate::plan::Operation;

impl Communicator {
    /// Returns when every rank has entered; nothing more is said about messages.
    ///
    /// It is the agreement of a collective and nothing else, also where `WARPCOMM_CHECK=0` leaves the
    /// agreement of others out.
    ///
    /// MPI standard, section 6.3 (`MPI_Barrier`).
    ///
    /// # Errors
    /// [`Mismatch`](crate::ErrorKind::Mismatch) on every rank if one is in another collective;
    /// [`InvalidArgument`](crate::ErrorKind::InvalidArgument) if another thread is in a collective of this
    /// communicator.
    ///
    /// ```
    /// use warpcomm::Communicator;
    ///
    /// let entered = std::sync::atomic::AtomicUsize::new(0);
    /// let seen = Communicator::threads(4, |comm| {
    ///     entered.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
    ///     comm.barrier()?;
    ///     Ok::<_, warpcomm::Error>(entered.load(std::sync::atomic::Ordering::SeqCst))
    /// })?;
    /// assert_eq!(seen.into_iter().collect::<Result<Vec<_>, _>>()?, [4, 4, 4, 4]);
    /// # Ok::<(), warpcomm::Error>(())
    /// ```
    pub fn barrier(&self) -> Result<()> {
        let call = Call::enter(self, Operation::Barrier, 0)?;
        call.run(async { call.agree(Terms::NONE, Ok(()), None).await?.over() })
    }
}
