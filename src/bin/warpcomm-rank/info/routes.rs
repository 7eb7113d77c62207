//! Which ways long messages take from this rank to all others: a message to each of them finds it out.

use warpcomm::{Communicator, ErrorKind, Path, Tag};

use crate::Failure;
use crate::overview::Route;

/// More than travels with an envelope, which takes no path.
const BYTES: usize = 64 << 10;

/// The ways from this rank to every rank, in the order of their numbers.
pub fn routes(comm: &Communicator, has_gpu: bool) -> Result<Vec<Route>, Failure> {
    let (rank, ranks) = (comm.rank(), comm.size());
    let mut have_gpus = vec![0u8; ranks];
    comm.allgather(&[u8::from(has_gpu)], &mut have_gpus)?;
    let mut buffers = Buffers::new(comm, has_gpu)?;
    for step in 1..ranks {
        let (to, from) = ((rank + step) % ranks, (rank + ranks - step) % ranks);
        match buffers.exchange(comm, to, from) {
            // There may be no path, which is what is asked.
            Err(error) if !matches!(error.kind(), ErrorKind::Unsupported | ErrorKind::PeerFailed) => {
                return Err(error.into());
            }
            _ => {}
        }
    }
    let route = |to: usize| {
        let (path, reason) = match (has_gpu || have_gpus[to] == 1, comm.path(to)) {
            (false, _) => (Some(Path::Host), "neither rank has a GPU".to_owned()),
            (true, Ok(Some(chosen))) => (Some(chosen.path()), chosen.reason().to_owned()),
            (true, Ok(None)) => (None, "no message has found one".to_owned()),
            // In front of the colon stand the ranks, which are told anyway.
            (true, Err(error)) => {
                let text = error.to_string();
                (
                    None,
                    text.split_once(": ")
                        .map_or(text.as_str(), |(_, why)| why)
                        .to_owned(),
                )
            }
        };
        Route {
            from: rank,
            to,
            path: path.map(|path| path.name().to_owned()),
            reason,
        }
    };
    Ok((0..ranks).map(route).collect())
}

/// What is sent and received: on this rank's GPU, if it has one.
enum Buffers {
    Host(Vec<u8>, Vec<u8>),
    #[cfg(feature = "cuda")]
    Device(
        warpcomm::cudarc::driver::CudaSlice<u8>,
        warpcomm::cudarc::driver::CudaSlice<u8>,
    ),
}

impl Buffers {
    #[cfg(feature = "cuda")]
    fn new(comm: &Communicator, has_gpu: bool) -> Result<Buffers, Failure> {
        if !has_gpu {
            return Ok(Buffers::on_host());
        }
        let stream = comm.device()?.new_stream()?;
        Ok(Buffers::Device(
            stream.alloc_zeros(BYTES)?,
            stream.alloc_zeros(BYTES)?,
        ))
    }

    #[cfg(not(feature = "cuda"))]
    fn new(_comm: &Communicator, _has_gpu: bool) -> Result<Buffers, Failure> {
        Ok(Buffers::on_host())
    }

    fn on_host() -> Buffers {
        Buffers::Host(vec![0; BYTES], vec![0; BYTES])
    }

    fn exchange(&mut self, comm: &Communicator, to: usize, from: usize) -> warpcomm::Result<()> {
        match self {
            Buffers::Host(send, recv) => comm.sendrecv(send, to, Tag(0), recv, from, Tag(0)).map(drop),
            #[cfg(feature = "cuda")]
            Buffers::Device(send, recv) => comm.sendrecv(send, to, Tag(0), recv, from, Tag(0)).map(drop),
        }
    }
}
