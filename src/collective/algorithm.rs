//! Which algorithm a collective takes, and why; and what the program can say about it.

use std::sync::Arc;

use crate::comm::Communicator;
use crate::device::Place;
use crate::error::{Error, ErrorKind, Result};
use crate::plan::{Algorithm, Choice, ChosenAlgorithm, Operation, Question, plan};

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
    /// Reductions of up to 16 ranks take [`Algorithm::Leader`] instead where, as the ranks find out when they agree, kernels
    /// of one rank reach the elements of all: in a `DeviceBuffer` of each rank on one GPU, or anywhere on it if the ranks are
    /// threads. Where they are in `DeviceBuffer`s on GPUs of one node that reach each other's memory, reductions take
    /// [`Algorithm::OneShot`], or [`Algorithm::TwoShot`] for more than 512 KiB of 3 or 4 ranks and more than 256 KiB of more
    /// in `reduce` and `allreduce`. This answer is about all other cases.
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
        let explained = self.endpoint.check_native().and_then(|()| {
            let operation = Operation::of_name(operation)
                .filter(|operation| operation.moves_data())
                .ok_or_else(|| Error::invalid(format!("{operation:?} is no collective that moves data")))?;
            let question = Question {
                operation,
                ranks: self.size(),
                bytes,
                on_device: place == Place::Device,
                // That is known when the ranks have agreed.
                together: None,
                checked: self.endpoint.engine.config().check,
            };
            let ladders = self.endpoint.ladders();
            Ok(ChosenAlgorithm::new(question, plan(question, ladders), ladders))
        });
        explained.map_err(|error| self.activity("explain").name(error))
    }

    /// Makes a communicator of the same ranks, as [`duplicate`](Self::duplicate), on which an operation takes one
    /// algorithm for all lengths that do not ride in frames, whatever was measured.
    ///
    /// Results have the same bits. Where an algorithm is for more ranks than there are, or for several nodes, the first of
    /// [`Algorithm::of`] is taken. What is made of the new communicator has the same algorithm.
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
        let said = Choice::of_name(operation)
            .filter(|choice| choice.candidate(algorithm).is_some())
            .ok_or_else(|| Error::invalid(format!("{operation:?} cannot take {algorithm}")));
        let code = |said: &Result<Choice>| match said {
            Ok(choice) => u16::from(*choice as u8) << 8 | u16::from(algorithm as u8),
            Err(_) => u16::MAX,
        };
        // All ranks come here, whatever they say.
        let mut all = vec![0; self.size()];
        self.allgather(&code(&said), &mut all)?;
        let choice = said.map_err(refused)?;
        let odd = all.iter().position(|&other| other != code(&Ok(choice)));
        match odd.map(|rank| (rank, all[rank])) {
            None => {}
            Some((rank, u16::MAX)) => {
                let text = format!("rank {rank} has said what cannot be");
                return Err(refused(Error::new(ErrorKind::PeerFailed, text)));
            }
            Some((rank, _)) => {
                let text = format!("rank {rank} does not say the same as rank {}", self.rank());
                return Err(refused(Error::new(ErrorKind::Mismatch, text)));
            }
        }
        let table = self.endpoint.ladders().table().with(choice, algorithm);
        self.duplicate_that_plans_by(&Arc::new(table))
    }
}
