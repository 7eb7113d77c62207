//! `split_shared`.

use super::parts::{Wish, divide};
use crate::comm::Communicator;
use crate::error::{Error, Result};
use crate::node;
use crate::plan::Operation;
use crate::transport::plain::Division;

impl Communicator {
    /// Divides the ranks by the nodes that they are on: the ranks of a node get a communicator of their own, ordered
    /// by `key` and, among equal keys, by rank. Ranks that are threads are all on one node.
    ///
    /// A node is where ranks can share memory: one kernel, one host name and one shared memory (`/dev/shm`), so that
    /// containers with a name or a shared memory of their own are nodes of their own.
    ///
    /// MPI standard, section 7.4.2 (`MPI_Comm_split_type` with `MPI_COMM_TYPE_SHARED`).
    ///
    /// # Errors
    /// As for [`split`](Self::split); [`Unsupported`](crate::ErrorKind::Unsupported) where a system does not say
    /// which node it is, and [`PeerFailed`](crate::ErrorKind::PeerFailed) on the other ranks.
    ///
    /// ```
    /// use warpcomm::Communicator;
    ///
    /// let sizes = Communicator::threads(3, |comm| {
    ///     let node = comm.split_shared(0)?;
    ///     // The first rank of each node, for what is done once on a node.
    ///     let leaders = comm.split((node.rank() == 0).then_some(0), 0)?;
    ///     Ok::<_, warpcomm::Error>((node.size(), leaders.map(|leaders| leaders.size())))
    /// })?;
    /// let sizes: Vec<_> = sizes.into_iter().collect::<Result<_, _>>()?;
    /// assert_eq!(sizes, [(3, Some(1)), (3, None), (3, None)]);
    /// # Ok::<(), warpcomm::Error>(())
    /// ```
    pub fn split_shared(&self, key: i32) -> Result<Communicator> {
        if let Some(plain) = &self.endpoint.plain {
            let part = self.divide(plain, Operation::SplitShared, Division::Shared { key })?;
            return part
                .ok_or_else(|| Error::invalid("MPI made no communicator").at("split_shared", self.rank()));
        }
        let named = self.endpoint.engine.config().node_id.as_deref();
        let wish = node::identity(named).map(|node| Wish {
            color: Some(node),
            key,
            ..Wish::NONE
        });
        let part = divide(self, Operation::SplitShared, wish, |_| Ok(()))?;
        part.ok_or_else(|| Error::invalid("this rank is on no node").at("split_shared", self.rank()))
    }
}
