//! Which algorithm a collective takes, and why; and what the program can say about it.

use std::sync::Arc;

use crate::comm::Communicator;
use crate::device::Place;
use crate::error::{Error, ErrorKind, Result};
use crate::plan::{Algorithm, Choice, ChosenAlgorithm, Operation, Question, Together, plan};

impl Communicator {
    /// The algorithm that a collective takes, and why; local.
    ///
    /// `operation` is the name of its method, `bytes` the length of what each rank sends or, in `bcast` and `scatter`, of
    /// what the root sends, and `place` is the GPU if elements of any rank are on one. All ranks get the same answer.
    ///
    /// Up to 256 bytes ride in the frames in which up to 64 ranks agree. Above, most operations have one algorithm.
    /// Others go in blocks from a crossover on, which `warpcomm tune` measures ([`Tuning`](crate::Tuning)), and which is
    /// by default:
    ///
    /// | operation | below | from | algorithm | ranks |
    /// |---|---|---|---|---|
    /// | `bcast`, objects too | tree | 256 KiB | blocks | 3 or more |
    /// | `reduce`, `allreduce` | direct | 16 KiB | blocks | 2 or more |
    /// | `reduce`, `allreduce` | blocks | 64 KiB | levels | 3 or more, on several nodes |
    ///
    /// [`Algorithm::Levels`] is for ranks on several nodes of which one has all ranks of a subtree of several, in the
    /// canonical order: where each node has the next ranks, a power of two of them, all nodes do. Elsewhere the
    /// steps of `levels` are left out.
    ///
    /// Of reductions of elements on GPUs it also says whether the host folds them, as it does up to 64 KiB of each rank's
    /// elements by default; that crossover is measured, too.
    ///
    /// Reductions of up to 16 ranks take [`Algorithm::Leader`] instead where, as the ranks find out when they agree, kernels
    /// of one rank reach the elements of all: in a `DeviceBuffer` of each rank on one GPU, or anywhere on it if the ranks are
    /// threads. Where they are in `DeviceBuffer`s on GPUs of one node that reach each other's memory, reductions take what
    /// [`explain_neighbours`](Self::explain_neighbours) says. This answer is about all other cases.
    ///
    /// # Errors
    /// [`InvalidArgument`](crate::ErrorKind::InvalidArgument) for what is no collective that moves data;
    /// [`Unsupported`](crate::ErrorKind::Unsupported) on a plain communicator, where MPI chooses.
    ///
    /// ```
    /// use warpcomm::{Algorithm, Communicator, Place};
    ///
    /// let chosen = Communicator::threads(3, |comm| comm.explain("bcast", 1 << 20, Place::Host))?;
    /// for chosen in chosen.into_iter().collect::<warpcomm::Result<Vec<_>>>()? {
    ///     assert_eq!(chosen.algorithm(), Algorithm::Blocks);
    ///     assert!(chosen.to_string().starts_with("blocks: 1048576 bytes are at least 262144"));
    /// }
    /// # Ok::<(), warpcomm::Error>(())
    /// ```
    pub fn explain(&self, operation: &str, bytes: usize, place: Place) -> Result<ChosenAlgorithm> {
        // Whether kernels reach the elements of other ranks is known when the ranks have agreed.
        let explained = self.explained(operation, bytes, place == Place::Device, None);
        explained.map_err(|error| self.activity("explain").name(error))
    }

    /// The algorithm that a reduction takes, and why, where the elements of all ranks are in `DeviceBuffer`s on GPUs of one
    /// node that reach each other's memory; local.
    ///
    /// `operation` and `bytes` are those of [`explain`](Self::explain). `reduce` and `allreduce` of up to 16 ranks go in two
    /// shots from a crossover on, which `warpcomm tune` measures where GPUs reach each other's memory, and which is by default:
    ///
    /// | below | from | algorithm | ranks |
    /// |---|---|---|---|
    /// | one-shot | 512 KiB + 1 | two-shot | 3 or 4 |
    /// | one-shot | 256 KiB + 1 | two-shot | 5 or more |
    ///
    /// # Errors
    /// As for [`explain`](Self::explain); [`InvalidArgument`](crate::ErrorKind::InvalidArgument) also for what is no reduction.
    ///
    /// ```
    /// use warpcomm::{Algorithm, Communicator};
    ///
    /// let chosen = Communicator::threads(4, |comm| comm.explain_neighbours("allreduce", 1 << 20))?;
    /// for chosen in chosen.into_iter().collect::<warpcomm::Result<Vec<_>>>()? {
    ///     assert_eq!(chosen.algorithm(), Algorithm::TwoShot);
    ///     assert!(chosen.reason().contains("1048576 bytes are at least 524289"));
    /// }
    /// # Ok::<(), warpcomm::Error>(())
    /// ```
    pub fn explain_neighbours(&self, operation: &str, bytes: usize) -> Result<ChosenAlgorithm> {
        let explained = self.explained(operation, bytes, true, Some(Together::Neighbours));
        explained.map_err(|error| self.activity("explain_neighbours").name(error))
    }

    fn explained(
        &self,
        operation: &str,
        bytes: usize,
        on_device: bool,
        together: Option<Together>,
    ) -> Result<ChosenAlgorithm> {
        self.endpoint.check_native()?;
        let named = Operation::of_name(operation);
        let (is_it, what) = match together {
            None => (
                named.is_some_and(Operation::moves_data),
                "collective that moves data",
            ),
            Some(_) => (named.is_some_and(Operation::folds), "reduction"),
        };
        let operation = named
            .filter(|_| is_it)
            .ok_or_else(|| Error::invalid(format!("{operation:?} is no {what}")))?;
        let question = Question {
            operation,
            ranks: self.size(),
            bytes,
            on_device,
            together,
            checked: self.endpoint.engine.config().check,
        };
        let ladders = self.endpoint.ladders();
        Ok(ChosenAlgorithm::new(question, plan(question, ladders), ladders))
    }

    /// Makes a communicator of the same ranks, as [`duplicate`](Self::duplicate), on which an operation takes one
    /// algorithm for all lengths that do not ride in frames, whatever was measured.
    ///
    /// Results have the same bits. Where an algorithm is for more ranks than there are, or for several nodes, the first of
    /// [`Algorithm::of`] is taken. What is made of the new communicator has the same algorithm.
    ///
    /// One of [`Algorithm::of_neighbours`] is for ranks whose GPUs reach each other's memory, and changes nothing elsewhere.
    /// One of [`Algorithm::of`] is taken there, too.
    ///
    /// # Errors
    /// As for [`duplicate`](Self::duplicate); [`InvalidArgument`](crate::ErrorKind::InvalidArgument) for what the
    /// operation cannot take, and [`PeerFailed`](crate::ErrorKind::PeerFailed) on the other ranks;
    /// [`Mismatch`](crate::ErrorKind::Mismatch) on every rank if they do not say the same;
    /// [`Unsupported`](crate::ErrorKind::Unsupported) on a plain communicator.
    ///
    /// ```
    /// use warpcomm::{Algorithm, Communicator, Op, Place};
    ///
    /// let sums = Communicator::threads(3, |comm| {
    ///     let direct = comm.with_algorithm("allreduce", Algorithm::Direct)?;
    ///     let chosen = direct.explain("allreduce", 80_000, Place::Host)?;
    ///     assert_eq!(chosen.to_string(), "direct: at all lengths, as the program says");
    ///     let mut sums = vec![0.1f64; 10_000];
    ///     direct.allreduce_in_place(&mut sums, Op::Sum)?;
    ///     Ok::<_, warpcomm::Error>(sums[0])
    /// })?;
    /// assert_eq!(sums.into_iter().collect::<Result<Vec<_>, _>>()?, [0.1 + 0.1 + 0.1; 3]);
    /// # Ok::<(), warpcomm::Error>(())
    /// ```
    pub fn with_algorithm(&self, operation: &str, algorithm: Algorithm) -> Result<Communicator> {
        const NAME: &str = "with_algorithm";
        let refused = |error: Error| self.activity(NAME).name(error);
        self.endpoint.check_native().map_err(refused)?;
        let choice = Choice::with(operation, algorithm)
            .ok_or_else(|| Error::invalid(format!("{operation:?} cannot take {algorithm}")));
        let code = |choice: &Choice| u64::from(*choice as u8) << 8 | u64::from(algorithm as u8);
        let choice = self.all_say(choice, code)?.map_err(refused)?;
        let table = self.endpoint.ladders().table().with(choice, algorithm);
        self.duplicate_that_plans_by(&Arc::new(table))
    }

    /// Makes a communicator of the same ranks, as [`duplicate`](Self::duplicate), on which reductions fold up to `most` bytes
    /// of a rank's elements on a GPU on the host, and more by kernels, whatever was measured.
    ///
    /// Results have the same bits. It is about reductions where no kernel reaches the elements of all ranks.
    ///
    /// # Errors
    /// As for [`with_algorithm`](Self::with_algorithm).
    ///
    /// ```
    /// use warpcomm::{Communicator, Place};
    ///
    /// let chosen = Communicator::threads(2, |comm| {
    ///     comm.with_host_fold(0)?.explain("allreduce", 10_000, Place::Device)
    /// })?;
    /// for chosen in chosen.into_iter().collect::<warpcomm::Result<Vec<_>>>()? {
    ///     assert!(chosen.reason().ends_with("kernels fold 10000 bytes, more than 0, as the program says"));
    /// }
    /// # Ok::<(), warpcomm::Error>(())
    /// ```
    pub fn with_host_fold(&self, most: usize) -> Result<Communicator> {
        const NAME: &str = "with_host_fold";
        let refused = |error: Error| self.activity(NAME).name(error);
        self.endpoint.check_native().map_err(refused)?;
        self.all_say(Ok(most), |&most| most as u64)?.map_err(refused)?;
        let table = self.endpoint.ladders().table().with_host_fold(most);
        self.duplicate_that_plans_by(&Arc::new(table))
    }

    /// What all ranks say, if that can be, and is the same; the outer error is of the comparison itself.
    fn all_say<T>(&self, said: Result<T>, code: impl Fn(&T) -> u64) -> Result<Result<T>> {
        // All ranks come here, whatever they say.
        let own = [u64::from(said.is_ok()), said.as_ref().map_or(0, code)];
        let mut all = vec![0; own.len() * self.size()];
        self.allgather(&own, &mut all)?;
        let said = match said {
            Ok(said) => said,
            Err(error) => return Ok(Err(error)),
        };
        let odd = all.as_chunks().0.iter().position(|other| *other != own);
        let error = match odd.map(|rank| (rank, all[own.len() * rank])) {
            None => return Ok(Ok(said)),
            Some((rank, 0)) => {
                let text = format!("rank {rank} has said what cannot be");
                Error::new(ErrorKind::PeerFailed, text)
            }
            Some((rank, _)) => {
                let text = format!("rank {rank} does not say the same as rank {}", self.rank());
                Error::new(ErrorKind::Mismatch, text)
            }
        };
        Ok(Err(error))
    }
}
