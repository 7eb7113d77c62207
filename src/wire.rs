//! What the messages of a communicator look like to MPI.

use crate::comm::Communicator;

/// What the messages of a communicator look like to the MPI library, and so who can be in it.
///
/// Communicators are native: ranks send each other envelopes, and agree on collectives before data move. Where ranks
/// that are not warpcomm take part, in C, Fortran or mpi4py, a communicator must be plain: each operation is the
/// operation of MPI with that name, and messages are MPI's datatypes and nothing else. Operations are the same methods,
/// and take the same buffers, on the host and on GPUs. What a plain communicator gives up:
///
/// | | native | plain |
/// |---|---|---|
/// | other ranks | warpcomm | any program of MPI |
/// | a message of another type | `Mismatch`, before a byte moves | found where the sizes do not fit |
/// | a message too long for its buffer | `Truncated`, and the sender of a long one knows | `Truncated` |
/// | sends of a scope that ends with an error | withdrawn, if nobody has matched them | waited for |
/// | [`Status`](crate::Status) of a probe | elements and their type | bytes |
/// | a matched message that is dropped | at its old place, but not for receives that were posted meanwhile | at its old place, for those too |
/// | collectives that do not match | `Mismatch` on every rank | what MPI makes of them |
/// | blocking and non-blocking forms, in place or not | match each other | all ranks call the same |
/// | `ialltoallv_in_place`, `ialltoallw_in_place` | match the other forms | send a copy, which ranks that pass `MPI_IN_PLACE` to Open MPI 4.1 may not understand |
/// | a bad argument on one rank | an error on every rank | an error on this rank; others may wait for it |
/// | reductions | in the canonical order, with the rules of [`Op`](crate::Op) | MPI's, in its order; it may leave the elements of one rank as they are, and sums of 8 or 16 bits may saturate; MPICH 4.0.2 compares unsigned integers as signed ones for `Min` and `Max` |
/// | reductions that MPI lacks: of `f16` and `bf16`, `Avg`, most located pairs | yes | `Unsupported` |
/// | counts | 64 bits | 64 bits for messages and equal blocks; 31 for reductions and uneven blocks |
/// | buffers on GPUs | pipelined, and reduced on the GPU | copied as a whole, and reduced on the host |
/// | blocking collectives | drive everything else, end at deadlines | wait inside MPI |
/// | persistent collectives, objects, `create_group`, intercommunicators | yes | `Unsupported` |
/// | receiving on the communicator by other means in this process | no | no: what is found is kept for receives here |
///
/// `f16` and `bf16` travel as MPI's unsigned integers of 16 bits, complex numbers as MPI's, located `f32` and `i32`
/// as `MPI_FLOAT_INT` and `MPI_2INT`, other located pairs as two integers. Bools may arrive as any byte, and every one
/// but 0 is `true`; to reduce, ranks must give 0 and 1. Where MPI allows calls from one thread only, nothing else goes
/// on while a blocking collective of a plain communicator waits. What each pair of operations does with mpi4py on the
/// other side is tested, with Open MPI and with MPICH.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Wire {
    /// Messages between ranks of warpcomm.
    Native,
    /// Messages as other programs of MPI send and receive them.
    Plain,
}

impl Communicator {
    /// What this communicator's messages look like to MPI.
    ///
    /// ```
    /// use warpcomm::{Communicator, Wire};
    ///
    /// let wires = Communicator::threads(2, |comm| comm.wire())?;
    /// assert_eq!(wires, [Wire::Native, Wire::Native]);
    /// # Ok::<(), warpcomm::Error>(())
    /// ```
    pub fn wire(&self) -> Wire {
        match self.endpoint.plain {
            None => Wire::Native,
            Some(_) => Wire::Plain,
        }
    }
}
