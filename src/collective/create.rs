//! `create`.

use super::parts::{Wish, divide};
use crate::comm::Communicator;
use crate::error::{Error, ErrorKind, Result};
use crate::fingerprint::fingerprint_of_ranks;
use crate::group::Group;
use crate::plan::Operation;
use crate::transport::plain::Division;

impl Communicator {
    /// Makes a communicator of the members of a group, in the group's order; the other ranks get none.
    ///
    /// All ranks of this communicator call it, each member with its group. The groups of different members are the
    /// same or have no rank in common, so that one call can make several communicators. What ranks give that are not
    /// in their own group does not matter. [`create_group`](Self::create_group) needs the members only.
    ///
    /// MPI standard, section 7.4.2 (`MPI_Comm_create`).
    ///
    /// # Errors
    /// As for [`split`](Self::split); [`InvalidArgument`](crate::ErrorKind::InvalidArgument) for a group with ranks
    /// that are not in this communicator, and [`PeerFailed`](crate::ErrorKind::PeerFailed) on the other ranks;
    /// [`Mismatch`](crate::ErrorKind::Mismatch) on every rank if members of a group give other ones.
    ///
    /// ```
    /// use warpcomm::Communicator;
    ///
    /// let ranks = Communicator::threads(4, |comm| {
    ///     let part = comm.create(&comm.group().include(&[3, 0, 1])?)?;
    ///     Ok::<_, warpcomm::Error>(part.map(|part| part.rank()))
    /// })?;
    /// let ranks: Vec<_> = ranks.into_iter().collect::<Result<_, _>>()?;
    /// assert_eq!(ranks, [Some(1), Some(2), None, Some(0)]);
    /// # Ok::<(), warpcomm::Error>(())
    /// ```
    pub fn create(&self, group: &Group) -> Result<Option<Communicator>> {
        let (members, all) = self.members_of(group);
        if let Some(plain) = &self.endpoint.plain {
            all.map_err(|error| error.at(Operation::Create.name(), self.rank()))?;
            // What others give does not matter, but to MPI.
            let members = group.rank().map_or(&[][..], |_| &members);
            let ranks = members.iter().map(|&rank| rank as i32).collect();
            return self.divide(plain, Operation::Create, Division::Members { ranks });
        }
        let wish = all.map(|()| match group.rank() {
            None => Wish::NONE,
            Some(key) => Wish {
                color: Some(members[0] as i64),
                key: key as i32,
                terms: [fingerprint_of_ranks(&members), members.len() as i64],
            },
        });
        divide(self, Operation::Create, wish, check_groups)
    }

    /// The members of a group as ranks of this communicator, as far as they are in it, and whether all are.
    pub(super) fn members_of(&self, group: &Group) -> (Vec<usize>, Result<()>) {
        let members: Vec<usize> = (0..group.size()).collect();
        let ranks = group.translate_ranks(&members, &self.group()).unwrap_or_default();
        let inside: Vec<usize> = ranks.into_iter().flatten().collect();
        let all = match inside.len() == group.size() {
            true => Ok(()),
            false => Err(Error::invalid(format!(
                "{group:?} has ranks that are not in the communicator"
            ))),
        };
        (inside, all)
    }
}

/// Checks that the members of each group have given the same one.
fn check_groups(wishes: &[Wish]) -> Result<()> {
    let mismatch = |message: String| Err(Error::new(ErrorKind::Mismatch, message));
    for (rank, wish) in wishes.iter().enumerate().filter(|(_, wish)| wish.color.is_some()) {
        let alike = || {
            wishes
                .iter()
                .enumerate()
                .filter(|(_, other)| other.color == wish.color)
        };
        if let Some((first, _)) = alike().find(|(_, other)| other.terms != wish.terms) {
            return mismatch(format!(
                "ranks {rank} and {first} are of groups that overlap and differ"
            ));
        }
        let [_, size] = wish.terms;
        if alike().count() as i64 != size {
            return mismatch(format!(
                "of the {size} ranks in the group of rank {rank} some have given another"
            ));
        }
    }
    Ok(())
}
