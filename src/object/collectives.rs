//! Collectives that move values of any type.

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::decode::decode;
use super::encode::{encode, encode_all};
use super::work::Work;
use crate::buffer::Blocks;
use crate::collective::object::Packed;
use crate::comm::Communicator;
use crate::error::{Error, Peer, Result};
use crate::plan::Operation;

impl Communicator {
    /// Sends `root`'s value, of any type that serde serializes, to every rank.
    ///
    /// The root gives `Some` value and gets it back; what other ranks give is not used. See
    /// [`send_object`](Self::send_object) for the types.
    ///
    /// MPI standard, section 6.4 (`MPI_Bcast`).
    ///
    /// # Errors
    /// On every rank if one has an error: [`InvalidArgument`](crate::ErrorKind::InvalidArgument) for a root out of
    /// range, for a root without a value, and for a value that cannot be serialized, and
    /// [`PeerFailed`](crate::ErrorKind::PeerFailed) on the other ranks; [`Mismatch`](crate::ErrorKind::Mismatch) if
    /// roots or types differ. If the caller's code panics, the panic goes on when the other ranks know.
    /// [`Unsupported`](crate::ErrorKind::Unsupported) on a [plain](crate::Wire::Plain) communicator.
    ///
    /// ```
    /// use warpcomm::Communicator;
    ///
    /// let names = Communicator::threads(3, |comm| {
    ///     let value = (comm.rank() == 1).then(|| vec!["a".to_owned(), "b".to_owned()]);
    ///     comm.bcast_object(value, 1)
    /// })?;
    /// assert!(names.into_iter().all(|names| names.unwrap() == ["a", "b"]));
    /// # Ok::<(), warpcomm::Error>(())
    /// ```
    pub fn bcast_object<T: Serialize + DeserializeOwned>(&self, value: Option<T>, root: usize) -> Result<T> {
        let mut work = Work::enter(self, Operation::BcastObject)?;
        if self.rank() != root {
            work.begin(Some(root), Ok(()))?;
            let bytes = work.steps.bcast(Ok(Vec::new()), root);
            let value = work.of_caller(|| of_rank(root, &bytes?));
            return work.end(value);
        }
        let missing = || Error::invalid("the root has no value");
        let bytes = work.of_caller(|| encode(value.as_ref().ok_or_else(missing)?));
        let bytes = work.begin(Some(root), bytes)?;
        let sent = work.steps.bcast(Ok(bytes), root);
        work.end(sent.and_then(|_| value.ok_or_else(missing)))
    }

    /// Collects every rank's value, of any type that serde serializes, at `root`: `Some` values there, in the order
    /// of the ranks, and `None` elsewhere.
    ///
    /// See [`send_object`](Self::send_object) for the types.
    ///
    /// MPI standard, section 6.5 (`MPI_Gather`).
    ///
    /// # Errors
    /// As for [`bcast_object`](Self::bcast_object).
    ///
    /// ```
    /// use warpcomm::Communicator;
    ///
    /// let squares = Communicator::threads(3, |comm| {
    ///     comm.gather_object(&format!("{}", comm.rank() * comm.rank()), 2)
    /// })?;
    /// let squares: Vec<_> = squares.into_iter().collect::<warpcomm::Result<_>>()?;
    /// assert_eq!(squares[..2], [None, None]);
    /// assert_eq!(squares[2].as_ref().unwrap(), &["0", "1", "4"]);
    /// # Ok::<(), warpcomm::Error>(())
    /// ```
    pub fn gather_object<T: Serialize + DeserializeOwned>(
        &self,
        value: &T,
        root: usize,
    ) -> Result<Option<Vec<T>>> {
        let mut work = Work::enter(self, Operation::GatherObject)?;
        let own = work.of_caller(|| encode(value));
        let own = work.begin(Some(root), own)?;
        let all = work.steps.gather(&own, Some(root));
        let values = match self.rank() == root {
            true => work.of_caller(|| of_ranks(&all?, self.size())).map(Some),
            false => all.map(|_| None),
        };
        work.end(values)
    }

    /// Collects every rank's value, of any type that serde serializes, at every rank, in the order of the ranks.
    ///
    /// See [`send_object`](Self::send_object) for the types.
    ///
    /// MPI standard, section 6.7 (`MPI_Allgather`).
    ///
    /// # Errors
    /// As for [`bcast_object`](Self::bcast_object).
    ///
    /// ```
    /// use warpcomm::Communicator;
    ///
    /// let all = Communicator::threads(3, |comm| comm.allgather_object(&vec![comm.rank(); comm.rank()]))?;
    /// assert!(all.into_iter().all(|all| all.unwrap() == [vec![], vec![1], vec![2, 2]]));
    /// # Ok::<(), warpcomm::Error>(())
    /// ```
    pub fn allgather_object<T: Serialize + DeserializeOwned>(&self, value: &T) -> Result<Vec<T>> {
        let mut work = Work::enter(self, Operation::AllgatherObject)?;
        let own = work.of_caller(|| encode(value));
        let own = work.begin(None, own)?;
        let all = work.steps.gather(&own, None);
        let values = work.of_caller(|| of_ranks(&all?, self.size()));
        work.end(values)
    }

    /// Distributes `root`'s values, of any type that serde serializes: rank `r` gets the `r`-th.
    ///
    /// The root gives `Some` values, one for each rank; what other ranks give is not used. See
    /// [`send_object`](Self::send_object) for the types.
    ///
    /// MPI standard, section 6.6 (`MPI_Scatter`).
    ///
    /// # Errors
    /// As for [`bcast_object`](Self::bcast_object), and [`InvalidArgument`](crate::ErrorKind::InvalidArgument) for
    /// another number of values than ranks.
    ///
    /// ```
    /// use warpcomm::Communicator;
    ///
    /// let words = Communicator::threads(3, |comm| {
    ///     let words = ["one", "two", "three"].map(str::to_owned);
    ///     comm.scatter_object((comm.rank() == 0).then(|| words.to_vec()), 0)
    /// })?;
    /// assert_eq!(words.into_iter().collect::<warpcomm::Result<Vec<_>>>()?, ["one", "two", "three"]);
    /// # Ok::<(), warpcomm::Error>(())
    /// ```
    pub fn scatter_object<T: Serialize + DeserializeOwned>(
        &self,
        values: Option<Vec<T>>,
        root: usize,
    ) -> Result<T> {
        let mut work = Work::enter(self, Operation::ScatterObject)?;
        if self.rank() != root {
            work.begin(Some(root), Ok(()))?;
            let bytes = work.steps.scatter(&Packed::default(), root);
            let value = work.of_caller(|| of_rank(root, &bytes?));
            return work.end(value);
        }
        let missing = || Error::invalid("the root has no values");
        let packed = work.of_caller(|| packed(values.as_ref().ok_or_else(missing)?, root, self.size()));
        let packed = work.begin(Some(root), packed)?;
        let sent = work.steps.scatter(&packed, root);
        work.end(sent.and_then(|_| values.into_iter().flatten().nth(root).ok_or_else(missing)))
    }

    /// Sends a value of every rank, of any type that serde serializes, to every rank: rank `r` gets the `r`-th of
    /// each, in the order of the ranks that they come from.
    ///
    /// See [`send_object`](Self::send_object) for the types.
    ///
    /// MPI standard, section 6.8 (`MPI_Alltoall`).
    ///
    /// # Errors
    /// As for [`bcast_object`](Self::bcast_object), and [`InvalidArgument`](crate::ErrorKind::InvalidArgument) for
    /// another number of values than ranks.
    ///
    /// ```
    /// use warpcomm::Communicator;
    ///
    /// let letters = Communicator::threads(2, |comm| {
    ///     let from = comm.rank();
    ///     comm.alltoall_object((0..2).map(|to| format!("{from} to {to}")).collect())
    /// })?;
    /// let letters: Vec<_> = letters.into_iter().collect::<warpcomm::Result<_>>()?;
    /// assert_eq!(letters, [["0 to 0", "1 to 0"], ["0 to 1", "1 to 1"]]);
    /// # Ok::<(), warpcomm::Error>(())
    /// ```
    pub fn alltoall_object<T: Serialize + DeserializeOwned>(&self, values: Vec<T>) -> Result<Vec<T>> {
        let (rank, ranks) = (self.rank(), self.size());
        let mut work = Work::enter(self, Operation::AlltoallObject)?;
        let outgoing = work.of_caller(|| packed(&values, rank, ranks));
        let outgoing = work.begin(None, outgoing)?;
        let incoming = work.steps.alltoall(&outgoing);
        let values = work.of_caller(|| {
            let incoming = incoming?;
            let mut own = values.into_iter().nth(rank);
            let value = |from: usize| match from == rank {
                true => own
                    .take()
                    .ok_or_else(|| Error::invalid("no value for the rank itself")),
                false => of_rank(from, incoming.of(from)),
            };
            (0..ranks).map(value).collect()
        });
        work.end(values)
    }
}

/// The value that has come from a rank.
pub(super) fn of_rank<T: DeserializeOwned>(rank: usize, bytes: &[u8]) -> Result<T> {
    decode(bytes).map_err(|error| error.peer(Peer::From(rank)))
}

fn of_ranks<T: DeserializeOwned>(all: &Packed, ranks: usize) -> Result<Vec<T>> {
    (0..ranks).map(|rank| of_rank(rank, all.of(rank))).collect()
}

/// Values for all ranks, without the one that stays here.
fn packed<T: Serialize>(values: &[T], own: usize, ranks: usize) -> Result<Packed> {
    if values.len() != ranks {
        return Err(Error::invalid(format!(
            "{} values for {ranks} ranks",
            values.len()
        )));
    }
    let leaving = values
        .iter()
        .enumerate()
        .map(|(rank, value)| (rank != own).then_some(value));
    let (bytes, lengths) = encode_all(leaving)?;
    Ok(Packed {
        bytes,
        blocks: Blocks::packed(lengths),
    })
}
