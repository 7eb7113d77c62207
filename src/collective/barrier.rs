//! `barrier`.

use super::agreement::Terms;
use super::forms::none;
use super::{Call, Collective};
use crate::comm::Communicator;
use crate::error::Result;
use crate::plan::Operation;
use crate::request::{Persistent, Request};

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
        self.collective(Barrier, ())
    }

    /// Starts a [`barrier`](Self::barrier); the request is over when every rank has started it, or, on a
    /// [native](crate::Wire::Native) communicator, is in one.
    ///
    /// MPI standard, section 6.12 (`MPI_Ibarrier`).
    ///
    /// # Errors
    /// Those of [`barrier`](Self::barrier) arrive at [`Request::wait`].
    ///
    /// ```
    /// use warpcomm::Communicator;
    ///
    /// let outcomes = Communicator::threads(3, |comm| {
    ///     let request = comm.ibarrier();
    ///     // What is done here needs nobody else.
    ///     request.wait().map(drop)
    /// })?;
    /// assert!(outcomes.iter().all(Result::is_ok));
    /// # Ok::<(), warpcomm::Error>(())
    /// ```
    pub fn ibarrier(&self) -> Request<()> {
        self.start_collective("ibarrier", Barrier, (), none)
    }

    /// Prepares a [`barrier`](Self::barrier) to be started many times.
    ///
    /// Ranks prepare their collectives in the same order, and start them in any.
    ///
    /// MPI standard, section 6.13 (`MPI_Barrier_init`).
    ///
    /// # Errors
    /// Those of [`barrier`](Self::barrier) arrive when it is started or waited for, and
    /// [`Unsupported`](crate::ErrorKind::Unsupported) on a [plain](crate::Wire::Plain) communicator.
    pub fn barrier_init(&self) -> Persistent<()> {
        self.prepare_collective("persistent barrier", Barrier, (), none)
    }
}

pub(super) struct Barrier;

impl Collective<()> for Barrier {
    const OPERATION: Operation = Operation::Barrier;

    async fn run(&self, call: &Call<'_>, (): &()) -> Result<()> {
        if let Some(plain) = call.plain() {
            return plain.barrier().await;
        }
        call.agree(Terms::NONE, Ok(()), None).await?.over()
    }
}
