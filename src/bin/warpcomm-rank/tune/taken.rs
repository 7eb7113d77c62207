//! What a reduction has really taken, as its span tells: where kernels reach which elements, ranks know when they agree.

use warpcomm::{Algorithm, Communicator, Op};

use super::buffers::Buffers;
use super::measure::Case;
use crate::Failure;
use crate::carried::carried;

/// Nothing if all ranks take the algorithm for so many bytes, or else what this rank takes.
pub fn takes(
    comm: &Communicator,
    case: &Case<'_>,
    bytes: usize,
    algorithm: Algorithm,
) -> Result<Result<(), String>, Failure> {
    let mut buffers = Buffers::new(comm, case.memory, bytes)?;
    let taken = carried(|| buffers.run(comm, case.operation))?.unwrap_or_default();
    let name = taken.split(", ").next().unwrap_or_default();
    let mut all = u8::from(name == algorithm.to_string());
    comm.allreduce_in_place(&mut all, Op::Min)?;
    Ok(match all {
        0 => Err(format!("the ranks take {taken}")),
        _ => Ok(()),
    })
}
