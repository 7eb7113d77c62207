//! `split`.

use super::parts::{Wish, divide};
use crate::comm::Communicator;
use crate::error::{Error, Result};
use crate::plan::Operation;
use crate::transport::plain::Division;

impl Communicator {
    /// Divides the ranks: those with the same color get a communicator of their own, ordered by `key` and,
    /// among equal keys, by rank. A rank without a color gets none.
    ///
    /// MPI standard, section 7.4.2 (`MPI_Comm_split`; no color is `MPI_UNDEFINED`).
    ///
    /// # Errors
    /// [`Mismatch`](crate::ErrorKind::Mismatch) on every rank if one is in another collective;
    /// [`Mpi`](crate::ErrorKind::Mpi) where MPI has no more communicators, [`Unsupported`](crate::ErrorKind::Unsupported)
    /// where its tags do not suffice for one more, and [`PeerFailed`](crate::ErrorKind::PeerFailed) on the other
    /// ranks, which then get none either.
    ///
    /// ```
    /// use warpcomm::Communicator;
    ///
    /// let places = Communicator::threads(5, |comm| {
    ///     let color = (comm.rank() != 4).then_some(comm.rank() as u32 % 2);
    ///     let part = comm.split(color, -(comm.rank() as i32))?;
    ///     Ok::<_, warpcomm::Error>(part.map(|part| (part.rank(), part.size())))
    /// })?;
    /// let places: Vec<_> = places.into_iter().collect::<Result<_, _>>()?;
    /// assert_eq!(places, [Some((1, 2)), Some((1, 2)), Some((0, 2)), Some((0, 2)), None]);
    /// # Ok::<(), warpcomm::Error>(())
    /// ```
    pub fn split(&self, color: Option<u32>, key: i32) -> Result<Option<Communicator>> {
        if let Some(plain) = &self.endpoint.plain {
            let color = color.map(i32::try_from).transpose();
            let color = color.map_err(|_| {
                Error::invalid("MPI's colors have 31 bits").at(Operation::Split.name(), self.rank())
            })?;
            return self.divide(plain, Operation::Split, Division::Colors { color, key });
        }
        let wish = Wish {
            color: color.map(i64::from),
            key,
            ..Wish::NONE
        };
        divide(self, Operation::Split, Ok(wish), |_| Ok(()))
    }
}
