//! The buffers of a measurement, on the host or on this rank's GPU.

use std::fmt;

use warpcomm::{Buffer, BufferMut, Communicator, Op, Place};

use crate::Failure;
use crate::bench::memory::{Host, Memory as _, OnHost};

/// What buffers are made of.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Memory {
    Host,
    /// Of cudarc, which other ranks do not reach.
    #[cfg_attr(not(feature = "cuda"), allow(dead_code, reason = "there are no GPUs"))]
    Device,
    /// Of `DeviceBuffer`s.
    #[cfg_attr(not(feature = "cuda"), allow(dead_code, reason = "there are no GPUs"))]
    Exportable,
}

impl Memory {
    pub fn at(place: Place) -> Memory {
        match place {
            Place::Device => Memory::Device,
            _ => Memory::Host,
        }
    }

    pub fn place(self) -> Place {
        match self {
            Memory::Host => Place::Host,
            Memory::Device | Memory::Exportable => Place::Device,
        }
    }
}

impl fmt::Display for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Memory::Host | Memory::Device => write!(f, "{}", self.place()),
            Memory::Exportable => f.write_str("DeviceBuffer"),
        }
    }
}

/// What a rank sends and what it receives.
pub enum Buffers {
    Host(OnHost<f32>, OnHost<f32>),
    #[cfg(feature = "cuda")]
    Device(OnGpu<warpcomm::cudarc::driver::CudaSlice<f32>>),
    #[cfg(feature = "cuda")]
    Exportable(OnGpu<warpcomm::DeviceBuffer<f32>>),
}

#[cfg(feature = "cuda")]
pub struct OnGpu<B> {
    stream: std::sync::Arc<warpcomm::cudarc::driver::CudaStream>,
    send: B,
    recv: B,
}

#[cfg(feature = "cuda")]
impl<B: Buffer<Element = f32> + BufferMut<Element = f32>> OnGpu<B> {
    fn new(
        comm: &Communicator,
        zeros: impl Fn(&std::sync::Arc<warpcomm::cudarc::driver::CudaStream>) -> Result<B, Failure>,
    ) -> Result<OnGpu<B>, Failure> {
        let stream = comm.device()?.new_stream()?;
        let (send, recv) = (zeros(&stream)?, zeros(&stream)?);
        stream.synchronize()?;
        Ok(OnGpu { stream, send, recv })
    }

    fn run(&mut self, comm: &Communicator, operation: &str) -> Result<(), Failure> {
        run(comm, operation, &self.send, &mut self.recv)?;
        Ok(self.stream.synchronize()?)
    }
}

impl Buffers {
    /// Buffers of so many bytes.
    pub fn new(comm: &Communicator, memory: Memory, bytes: usize) -> Result<Buffers, Failure> {
        let elements = bytes.div_ceil(size_of::<f32>());
        match memory {
            #[cfg(feature = "cuda")]
            Memory::Device => {
                let zeros = OnGpu::new(comm, |stream| Ok(stream.alloc_zeros(elements)?));
                zeros.map(Buffers::Device)
            }
            #[cfg(feature = "cuda")]
            Memory::Exportable => {
                let zeros = OnGpu::new(comm, |stream| {
                    Ok(warpcomm::DeviceBuffer::zeros(stream, elements)?)
                });
                zeros.map(Buffers::Exportable)
            }
            _ => {
                // Without GPUs nobody asks for one.
                let _ = comm;
                let host = Host::pageable();
                Ok(Buffers::Host(host.reserve(elements)?, host.reserve(elements)?))
            }
        }
    }

    /// Runs an operation once, until a program could use its result.
    pub fn run(&mut self, comm: &Communicator, operation: &str) -> Result<(), Failure> {
        match self {
            Buffers::Host(send, recv) => run(comm, operation, send.as_slice()?, recv.as_mut_slice()?),
            #[cfg(feature = "cuda")]
            Buffers::Device(buffers) => buffers.run(comm, operation),
            #[cfg(feature = "cuda")]
            Buffers::Exportable(buffers) => buffers.run(comm, operation),
        }
    }
}

fn run<S, R>(comm: &Communicator, operation: &str, send: &S, recv: &mut R) -> Result<(), Failure>
where
    S: Buffer<Element = f32> + ?Sized,
    R: BufferMut<Element = f32> + ?Sized,
{
    match operation {
        "bcast" => comm.bcast(recv, 0)?,
        "reduce" => comm.reduce(send, recv, Op::Sum, 0)?,
        "allreduce" => comm.allreduce(send, recv, Op::Sum)?,
        _ => return Err(format!("{operation} is not measured").into()),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_of_hosts_begin_at_a_page() {
        let outcomes = Communicator::threads(1, |comm| {
            let Ok(Buffers::Host(send, recv)) = Buffers::new(&comm, Memory::Host, 1 << 20) else {
                return Vec::new();
            };
            let starts =
                [send, recv].map(|buffer| buffer.as_slice().map_or(1, |slice| slice.as_ptr().addr()));
            starts.map(|start| start % 4096).to_vec()
        });
        assert_eq!(outcomes.unwrap(), [[0, 0]]);
    }
}
