//! Communicators between two groups of ranks.

mod point_to_point;

use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use crate::comm::Communicator;
use crate::engine::Endpoint;
use crate::error::Result;
use crate::group::Group;

/// Two groups of ranks that send messages to each other.
///
/// The ranks that its operations name are those of the *remote* group, where a [`Communicator`]'s are its own: rank 2
/// sends to rank 2 of the others. Cheap to clone; clones are the same intercommunicator. It has all operations of a
/// communicator that send and receive buffers; [`merge`](Self::merge) makes a communicator of both groups, for
/// collectives and objects.
///
/// [`Communicator::create_intercommunicator`] makes one. Errors and dropping are as for a communicator.
///
/// MPI standard, section 7.6.
///
/// ```
/// use warpcomm::{Communicator, Op, Tag};
///
/// let sums = Communicator::threads(4, |comm| {
///     // Ranks 0 and 2 are one group, 1 and 3 the other.
///     let parity = comm.rank() % 2;
///     let side = comm.split(Some(parity as u32), 0)?.expect("a color");
///     let others = side.create_intercommunicator(0, &comm, 1 - parity, Tag(0))?;
///     // Each rank exchanges numbers with that of its own rank there.
///     let mut theirs = 0u64;
///     others.sendrecv(&(comm.rank() as u64), others.rank(), Tag(0), &mut theirs, others.rank(), Tag(0))?;
///     let both = others.merge(false)?;
///     both.allreduce_in_place(&mut theirs, Op::Sum)?;
///     Ok::<u64, warpcomm::Error>(theirs)
/// })?;
/// assert_eq!(sums.into_iter().collect::<Result<Vec<_>, _>>()?, [6; 4]);
/// # Ok::<(), warpcomm::Error>(())
/// ```
#[derive(Clone)]
pub struct Intercommunicator {
    /// Its messages go to and come from the remote group.
    messages: Communicator,
}

impl Intercommunicator {
    /// Of a communicator whose messages go to a remote group.
    pub(crate) fn new(messages: Communicator) -> Intercommunicator {
        Intercommunicator { messages }
    }

    /// The communicator of both groups below, for collectives.
    pub(crate) fn union(&self) -> Communicator {
        let endpoint = &self.messages.endpoint;
        let union = endpoint.union().unwrap_or(endpoint);
        Communicator::new(Arc::clone(union), self.messages.timeout())
    }

    /// The ranks of the remote group, as ranks of both groups.
    fn remote_ranks(&self) -> &Range<usize> {
        self.messages.endpoint.addressed()
    }

    /// The ranks of the local group, as ranks of both groups.
    pub(crate) fn local_ranks(&self) -> Range<usize> {
        let both = self.messages.endpoint.context.group.len();
        match self.remote_ranks() {
            Range { start: 0, end } => *end..both,
            Range { start, .. } => 0..*start,
        }
    }

    fn group(&self, ranks: &Range<usize>) -> Group {
        let context = &self.messages.endpoint.context;
        Group::new(context.group[ranks.clone()].into(), context.group[context.rank])
    }

    /// This rank's number in its own, the local group.
    pub fn rank(&self) -> usize {
        self.messages.rank()
    }

    /// The number of ranks in the local group.
    pub fn size(&self) -> usize {
        self.local_ranks().len()
    }

    /// The number of ranks in the remote group, which operations name from 0 on.
    ///
    /// MPI standard, section 7.6.1 (`MPI_Comm_remote_size`).
    pub fn remote_size(&self) -> usize {
        self.messages.size()
    }

    /// The ranks of the local group.
    pub fn local_group(&self) -> Group {
        self.group(&self.local_ranks())
    }

    /// The ranks of the remote group.
    ///
    /// MPI standard, section 7.6.1 (`MPI_Comm_remote_group`).
    pub fn remote_group(&self) -> Group {
        self.group(self.remote_ranks())
    }

    /// The same intercommunicator with another deadline for its calls, or none; see [`Communicator::with_timeout`].
    pub fn with_timeout(&self, timeout: Option<Duration>) -> Intercommunicator {
        Intercommunicator::new(self.messages.with_timeout(timeout))
    }

    /// Gives it a name, on this rank; see [`Communicator::set_name`].
    pub fn set_name(&self, name: &str) {
        self.messages.set_name(name);
        self.union().set_name(name);
    }

    /// Its name, empty if it has none.
    pub fn name(&self) -> String {
        self.messages.name()
    }

    /// Makes an intercommunicator of the same groups, whose messages never meet those of this one; all ranks of both
    /// groups call it.
    ///
    /// MPI standard, section 7.4.2 (`MPI_Comm_dup`).
    ///
    /// # Errors
    /// As for [`Communicator::duplicate`].
    pub fn duplicate(&self) -> Result<Intercommunicator> {
        let union = self.union().duplicate()?;
        let endpoint = Endpoint::facing(&union.endpoint, &self.local_ranks(), self.remote_ranks().clone());
        Ok(Intercommunicator::new(Communicator::new(
            endpoint,
            self.messages.timeout(),
        )))
    }
}

impl fmt::Debug for Intercommunicator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Intercommunicator(")?;
        if let Some(name) = self.messages.endpoint.name.get() {
            write!(f, "{name:?}, ")?;
        }
        let (rank, size, remote) = (self.rank(), self.size(), self.remote_size());
        write!(f, "rank {rank} of {size}, with {remote} remote ranks)")
    }
}
