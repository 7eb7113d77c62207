//! Reductions of values of any type by the caller's fold.
//!
//! Rank r takes over from r + 1, r + 2, r + 4, ... what these have folded, until it hands its own over to the rank
//! that lacks the lowest bit of its number. That is the canonical tree: [0, n) splits at the largest power of two
//! below n, left before right.

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::collectives::of_rank;
use super::encode::encode;
use super::work::Work;
use crate::comm::Communicator;
use crate::error::Result;
use crate::plan::Operation;

impl Communicator {
    /// Folds every rank's value, of any type that serde serializes, into one at `root`: `Some` there and `None`
    /// elsewhere.
    ///
    /// The order is that of all reductions ([`Op`](crate::Op)), a binary tree over the ranks, left before right; so
    /// a fold that is not commutative keeps the order of the ranks, and one that is not associative gives the same
    /// result in every run. Each rank gives a fold of the same meaning. See [`send_object`](Self::send_object) for
    /// the types.
    ///
    /// MPI standard, section 6.9.1 (`MPI_Reduce`).
    ///
    /// # Errors
    /// As for [`bcast_object`](Self::bcast_object).
    ///
    /// ```
    /// use warpcomm::Communicator;
    ///
    /// let words = Communicator::threads(4, |comm| {
    ///     comm.reduce_object(comm.rank().to_string(), |left, right| format!("({left}{right})"), 3)
    /// })?;
    /// let words: Vec<_> = words.into_iter().collect::<warpcomm::Result<_>>()?;
    /// assert_eq!(words[3].as_deref(), Some("((01)(23))"));
    /// # Ok::<(), warpcomm::Error>(())
    /// ```
    pub fn reduce_object<T: Serialize + DeserializeOwned>(
        &self,
        value: T,
        fold: impl FnMut(T, T) -> T,
        root: usize,
    ) -> Result<Option<T>> {
        let mut work = Work::enter(self, Operation::ReduceObject)?;
        work.begin(Some(root), Ok(()))?;
        let mut folded = self.fold_up(&mut work, value, fold);
        if root != 0 && self.rank() == 0 {
            folded = self.hand_over(&mut work, folded, root);
        }
        if root != 0 && self.rank() == root {
            // In any case: rank 0 hands over, whatever has become of this rank.
            let bytes = work.steps.take_over(0);
            folded = match (folded, bytes) {
                (Ok(_), Ok(Some(bytes))) => work.of_caller(|| of_rank(0, &bytes).map(Some)),
                (Ok(_), Ok(None)) => Ok(None),
                (Err(error), _) | (_, Err(error)) => Err(error),
            };
        }
        work.end(folded)
    }

    /// Folds every rank's value, of any type that serde serializes, into one, which every rank gets.
    ///
    /// The order is that of [`reduce_object`](Self::reduce_object). The result is computed once, and every rank has
    /// it from the same bytes.
    ///
    /// MPI standard, section 6.9.6 (`MPI_Allreduce`).
    ///
    /// # Errors
    /// As for [`bcast_object`](Self::bcast_object).
    ///
    /// ```
    /// use std::collections::BTreeSet;
    /// use warpcomm::Communicator;
    ///
    /// let all = Communicator::threads(3, |comm| {
    ///     let own = BTreeSet::from([comm.rank(), comm.rank() + 1]);
    ///     comm.allreduce_object(own, |left, right| &left | &right)
    /// })?;
    /// assert!(all.into_iter().all(|all| all.unwrap() == BTreeSet::from([0, 1, 2, 3])));
    /// # Ok::<(), warpcomm::Error>(())
    /// ```
    pub fn allreduce_object<T: Serialize + DeserializeOwned>(
        &self,
        value: T,
        fold: impl FnMut(T, T) -> T,
    ) -> Result<T> {
        let mut work = Work::enter(self, Operation::AllreduceObject)?;
        work.begin(None, Ok(()))?;
        let folded = self.fold_up(&mut work, value, fold);
        let bytes = folded.and_then(|folded| match folded {
            Some(value) => work.of_caller(|| encode(&value)),
            // Of another rank, or none: who could not fold has told so.
            None => Ok(Vec::new()),
        });
        let bytes = work.steps.bcast(bytes, 0);
        let value = work.of_caller(|| of_rank(0, &bytes?));
        work.end(value)
    }

    /// Folds the values of all ranks at rank 0; elsewhere, and where another rank has failed, there is none.
    fn fold_up<T: Serialize + DeserializeOwned>(
        &self,
        work: &mut Work<'_>,
        value: T,
        mut fold: impl FnMut(T, T) -> T,
    ) -> Result<Option<T>> {
        let (rank, ranks) = (self.rank(), self.size());
        let mut folded = Ok(Some(value));
        let mut bit = 1;
        while bit < ranks && rank & bit == 0 {
            let right = rank | bit;
            if right < ranks {
                // In any case: that rank hands over.
                let bytes = work.steps.take_over(right);
                folded = match (folded, bytes) {
                    (Ok(Some(left)), Ok(Some(bytes))) => {
                        work.of_caller(|| Ok(Some(fold(left, of_rank(right, &bytes)?))))
                    }
                    (Ok(_), Ok(_)) => Ok(None),
                    (Err(error), _) | (_, Err(error)) => Err(error),
                };
            }
            bit <<= 1;
        }
        match rank {
            0 => folded,
            _ => self.hand_over(work, folded, rank & !bit),
        }
    }

    /// Hands what was folded over to another rank, or tells it that there is nothing.
    fn hand_over<T: Serialize>(
        &self,
        work: &mut Work<'_>,
        folded: Result<Option<T>>,
        to: usize,
    ) -> Result<Option<T>> {
        let bytes = folded.and_then(|folded| {
            let encoded = |value: T| work.of_caller(|| encode(&value));
            folded.map(encoded).transpose()
        });
        let given = match &bytes {
            Ok(bytes) => work.steps.hand_over(to, bytes.as_deref()),
            Err(_) => work.steps.hand_over(to, None),
        };
        bytes.and_then(|_| given.map(|()| None))
    }
}
