//! `create_group`.

use std::pin::pin;
use std::sync::Arc;

use super::found::Founding;
use super::meeting::Post;
use crate::comm::Communicator;
use crate::error::{Error, Result};
use crate::group::Group;
use crate::message::Tag;
use crate::plan::Operation;

impl Communicator {
    /// Makes a communicator of the members of a group, in the group's order; the members alone call it.
    ///
    /// Threads of a rank that are in several such calls at the same time give them different tags; so do calls of
    /// [`create_intercommunicator`](Self::create_intercommunicator) over this communicator.
    ///
    /// MPI standard, section 7.4.2 (`MPI_Comm_create_group`).
    ///
    /// # Errors
    /// [`InvalidArgument`](crate::ErrorKind::InvalidArgument) for a group with ranks that are not in this
    /// communicator or without this rank, and for a tag out of range (at least 0 to 127);
    /// [`PeerFailed`](crate::ErrorKind::PeerFailed) on the other members if one has such an error;
    /// [`Mpi`](crate::ErrorKind::Mpi) where MPI has no more communicators;
    /// [`Unsupported`](crate::ErrorKind::Unsupported) on a [plain](crate::Wire::Plain) communicator.
    ///
    /// Where ranks give different groups with the same first member, the ranks of that member's group get a
    /// [`Mismatch`](crate::ErrorKind::Mismatch) once all of them have come. Others wait as for a rank that does not come:
    /// those that the first member does not count in, and those whose groups have another first member; a
    /// [deadline](Self::with_timeout) ends that.
    ///
    /// ```
    /// use warpcomm::{Communicator, Tag};
    ///
    /// let ranks = Communicator::threads(4, |comm| {
    ///     if comm.rank() == 2 {
    ///         return Ok(None); // it need not take part
    ///     }
    ///     let part = comm.create_group(&comm.group().include(&[3, 0, 1])?, Tag(0))?;
    ///     Ok::<_, warpcomm::Error>(Some(part.rank()))
    /// })?;
    /// let ranks: Vec<_> = ranks.into_iter().collect::<Result<_, _>>()?;
    /// assert_eq!(ranks, [Some(1), Some(2), None, Some(0)]);
    /// # Ok::<(), warpcomm::Error>(())
    /// ```
    pub fn create_group(&self, group: &Group, tag: Tag) -> Result<Communicator> {
        let operation = Operation::CreateGroup;
        let mut activity = self.activity(operation.name());
        activity.tag = Some(tag);
        let inside = self.enter(&activity)?;
        self.endpoint
            .check_native()
            .map_err(|error| activity.name(error))?;
        let post = Post::new(self, &activity, tag).map_err(|error| activity.name(error))?;
        let outside = || activity.name(Error::invalid(format!("this rank is not in {group:?}")));
        let rank = group.rank().ok_or_else(outside)?;
        let (members, mut local) = self.members_of(group);
        let founding = Founding {
            engine: &self.endpoint.engine,
            operation,
            timeout: self.timeout(),
            members: Arc::clone(group.members()),
            rank,
        };
        let endpoint = founding.found(|own| {
            let own = std::mem::replace(&mut local, Ok(())).and(own);
            self.run(&inside, &[&activity], pin!(post.meet(&members, own)))
        });
        let endpoint = endpoint.map_err(|error| activity.name(error))?;
        endpoint.plan_by(self.endpoint.ladders().table());
        Ok(Communicator::new(endpoint, self.timeout()))
    }
}
