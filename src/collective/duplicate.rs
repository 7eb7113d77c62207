//! `duplicate`.

use std::sync::Arc;
use std::task::Poll;

use super::{Blocking, Call};
use crate::comm::Communicator;
use crate::engine::{Endpoint, Phase};
use crate::error::{Error, Result};
use crate::plan::{Operation, Table};
use crate::transport::plain::Division;
use crate::transport::{Context, Creation, Transport};

impl Communicator {
    /// Makes a communicator of the same ranks, whose messages never meet those of this one.
    ///
    /// Frees what MPI holds for earlier duplicates and splits that all ranks have dropped.
    ///
    /// MPI standard, section 7.4.2 (`MPI_Comm_dup`).
    ///
    /// # Errors
    /// [`Mismatch`](crate::ErrorKind::Mismatch) on every rank if one is in another collective;
    /// [`Mpi`](crate::ErrorKind::Mpi) where MPI has no more communicators, [`Unsupported`](crate::ErrorKind::Unsupported)
    /// where its tags do not suffice for one more, and [`PeerFailed`](crate::ErrorKind::PeerFailed) on the other
    /// ranks, which then get none either.
    ///
    /// ```
    /// use warpcomm::{Communicator, Tag};
    ///
    /// let received = Communicator::threads(2, |comm| {
    ///     let other = comm.duplicate()?;
    ///     if comm.rank() == 0 {
    ///         other.send(&1u8, 1, Tag(0))?;
    ///         comm.send(&2u8, 1, Tag(0))?;
    ///     }
    ///     let mut value = 0u8;
    ///     if comm.rank() == 1 {
    ///         comm.recv(&mut value, 0, Tag(0))?;
    ///         other.recv(&mut [0u8], 0, Tag(0))?;
    ///     }
    ///     Ok::<u8, warpcomm::Error>(value)
    /// })?;
    /// assert_eq!(received.into_iter().collect::<Result<Vec<_>, _>>()?, [0, 2]);
    /// # Ok::<(), warpcomm::Error>(())
    /// ```
    pub fn duplicate(&self) -> Result<Communicator> {
        if let Some(plain) = &self.endpoint.plain {
            let made = self.divide(plain, Operation::Duplicate, Division::Same)?;
            return made.ok_or_else(|| Error::invalid("MPI made no communicator"));
        }
        self.duplicate_that_plans_by(self.endpoint.ladders().table())
    }

    /// Makes a native one, on which a table decides which algorithms collectives take; the same on all ranks.
    pub(super) fn duplicate_that_plans_by(&self, table: &Arc<Table>) -> Result<Communicator> {
        let blocking = Blocking::enter(self, Operation::Duplicate, &())?;
        blocking.run(duplicate(&blocking.call(), table))
    }
}

async fn duplicate(call: &Call<'_>, table: &Arc<Table>) -> Result<Communicator> {
    call.begin().await?;
    let place = call.find_place(Ok(())).await?;
    let endpoint = call.endpoint();
    call.activity.waits_for(Phase::Creation);
    let made = async {
        let handle = created(endpoint.engine.transport(), &endpoint.context, place.fresh).await?;
        let context = Context {
            handle,
            ..endpoint.context.clone()
        };
        let made = Endpoint::new(&endpoint.engine, context, &endpoint.family, place.slot)?;
        made.plan_by(table);
        Ok(made)
    };
    let made = made.await;
    let endpoint = call.conclude(place, made).await?;
    Ok(Communicator::new(endpoint, call.comm.timeout()))
}

/// Makes a context with the group of `parent`.
pub(super) async fn created(transport: &dyn Transport, parent: &Context, fresh: u64) -> Result<u64> {
    match transport.duplicate(parent, fresh)? {
        Creation::Done(handle) => Ok(handle),
        Creation::Pending(ticket) => {
            std::future::poll_fn(|_| match transport.created(&ticket) {
                Ok(None) => Poll::Pending,
                Ok(Some(handle)) => Poll::Ready(Ok(handle)),
                Err(error) => Poll::Ready(Err(error)),
            })
            .await
        }
    }
}
