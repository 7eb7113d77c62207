//! The buffers of a measurement, on the host or on this rank's GPU.

use warpcomm::{Buffer, BufferMut, Communicator, Op, Place};

use crate::Failure;

/// What a rank sends and what it receives.
pub enum Buffers {
    Host(Vec<f32>, Vec<f32>),
    #[cfg(feature = "cuda")]
    Device(Device),
}

#[cfg(feature = "cuda")]
pub struct Device {
    stream: std::sync::Arc<warpcomm::cudarc::driver::CudaStream>,
    send: warpcomm::cudarc::driver::CudaSlice<f32>,
    recv: warpcomm::cudarc::driver::CudaSlice<f32>,
}

impl Buffers {
    /// Buffers of so many bytes.
    pub fn new(comm: &Communicator, place: Place, bytes: usize) -> Result<Buffers, Failure> {
        let elements = bytes.div_ceil(size_of::<f32>());
        match place {
            #[cfg(feature = "cuda")]
            Place::Device => {
                let stream = comm.device()?.new_stream()?;
                let send = stream.alloc_zeros(elements)?;
                let recv = stream.alloc_zeros(elements)?;
                stream.synchronize()?;
                Ok(Buffers::Device(Device { stream, send, recv }))
            }
            _ => {
                // Without GPUs nobody asks for one.
                let _ = comm;
                Ok(Buffers::Host(vec![0.0; elements], vec![0.0; elements]))
            }
        }
    }

    /// Runs an operation once, until a program could use its result.
    pub fn run(&mut self, comm: &Communicator, operation: &str) -> Result<(), Failure> {
        match self {
            Buffers::Host(send, recv) => run(comm, operation, send, recv),
            #[cfg(feature = "cuda")]
            Buffers::Device(Device { stream, send, recv }) => {
                run(comm, operation, send, recv)?;
                Ok(stream.synchronize()?)
            }
        }
    }
}

fn run<S, R>(comm: &Communicator, operation: &str, send: &S, recv: &mut R) -> Result<(), Failure>
where
    S: Buffer<Element = f32>,
    R: BufferMut<Element = f32>,
{
    match operation {
        "bcast" => comm.bcast(recv, 0)?,
        "reduce" => comm.reduce(send, recv, Op::Sum, 0)?,
        "allreduce" => comm.allreduce(send, recv, Op::Sum)?,
        _ => return Err(format!("{operation} is not measured").into()),
    }
    Ok(())
}
