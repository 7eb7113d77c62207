//! `merge`.

use super::parts::{Wish, divide};
use crate::comm::Communicator;
use crate::error::{Error, ErrorKind, Result};
use crate::intercommunicator::Intercommunicator;
use crate::plan::Operation;

impl Intercommunicator {
    /// Makes a communicator of both groups: first the ranks of the group that says `false`, then those of the one
    /// that says `true`, each in their order. If both say the same, both see the same order, one group after the other.
    ///
    /// All ranks of both groups call it, those of a group with the same argument.
    ///
    /// MPI standard, section 7.6.2 (`MPI_Intercomm_merge`).
    ///
    /// # Errors
    /// As for [`Communicator::split`]; [`Mismatch`](crate::ErrorKind::Mismatch) on every rank if ranks of a group say
    /// different things.
    ///
    /// ```
    /// use warpcomm::{Communicator, Tag};
    ///
    /// let ranks = Communicator::threads(3, |comm| {
    ///     let is_first = comm.rank() == 0;
    ///     let side = comm.split(Some(is_first as u32), 0)?.expect("it has a color");
    ///     let both = side.create_intercommunicator(0, &comm, is_first as usize, Tag(0))?;
    ///     Ok::<_, warpcomm::Error>(both.merge(is_first)?.rank())
    /// })?;
    /// assert_eq!(ranks.into_iter().collect::<Result<Vec<_>, _>>()?, [2, 0, 1]);
    /// # Ok::<(), warpcomm::Error>(())
    /// ```
    pub fn merge(&self, high: bool) -> Result<Communicator> {
        let first = self.local_ranks().start as i64;
        let wish = Wish {
            color: Some(0),
            key: i32::from(high),
            terms: [first, 0],
        };
        let merged = divide(&self.union(), Operation::Merge, Ok(wish), check_order)?;
        merged.ok_or_else(|| Error::invalid("this rank is in no group").at("merge", self.rank()))
    }
}

/// Checks that the ranks of each group say the same.
fn check_order(wishes: &[Wish]) -> Result<()> {
    for (rank, wish) in wishes.iter().enumerate() {
        let [first, _] = wish.terms;
        let leader = &wishes[first as usize];
        if leader.key != wish.key {
            let message = format!(
                "rank {} of a group says high = {}, and its rank 0 says {}",
                rank - first as usize,
                wish.key == 1,
                leader.key == 1
            );
            return Err(Error::new(ErrorKind::Mismatch, message));
        }
    }
    Ok(())
}
