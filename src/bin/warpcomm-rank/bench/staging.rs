//! What programs without this library do: copy from the GPU, call MPI's blocking function, copy back, and wait.

use std::sync::Arc;

use warpcomm::DeviceBuffer;
use warpcomm::cudarc::driver::CudaStream;

use super::element::Sample;
use super::library::{Call, Peer};
use super::memory::{Device, Host, Memory, OnHost};
use super::pairs::{Pairs, Role};
use super::shape::Shape;
use super::subject::{Made, Run, not_here};
use super::{collective, messages};
use crate::Failure;
use crate::operation::Operation;

/// The copies on the host.
struct Copies<T> {
    stream: Arc<CudaStream>,
    send: OnHost<T>,
    recv: OnHost<T>,
}

impl<T: Sample> Copies<T> {
    fn new(stream: Arc<CudaStream>, sent: usize, received: usize) -> Result<Self, Failure> {
        let host = Host::pageable();
        Ok(Copies {
            stream,
            send: host.reserve(sent)?,
            recv: host.reserve(received)?,
        })
    }

    fn fetch(stream: &Arc<CudaStream>, from: &DeviceBuffer<T>, into: &mut OnHost<T>) -> Result<(), Failure> {
        let into = into.as_mut_slice()?;
        if into.is_empty() {
            return Ok(());
        }
        stream.memcpy_dtoh(from, into)?;
        Ok(stream.synchronize()?)
    }

    fn put(stream: &Arc<CudaStream>, from: &OnHost<T>, into: &mut DeviceBuffer<T>) -> Result<(), Failure> {
        let from = from.as_slice()?;
        if from.is_empty() {
            return Ok(());
        }
        stream.memcpy_htod(from, into)?;
        Ok(stream.synchronize()?)
    }
}

/// A collective between GPUs.
pub struct Collective<T> {
    copies: Copies<T>,
    call: Call,
}

impl<T: Sample> Collective<T> {
    pub fn new(shape: Shape, memory: Device) -> Result<Made<collective::Buffers<T, Device>, Self>, Failure> {
        let run = Collective {
            call: Call::new(shape.clone(), T::DTYPE)?,
            copies: Copies::new(Arc::clone(&memory.stream), shape.sent(), shape.received())?,
        };
        let buffers = collective::Buffers::new(shape, memory, false, false)?;
        Ok(Made { buffers, run })
    }
}

impl<T: Sample> Run<collective::Buffers<T, Device>> for Collective<T> {
    const IS_OF_ANOTHER_LIBRARY: bool = true;

    fn run(&mut self, buffers: &mut collective::Buffers<T, Device>, repeats: u64) -> Result<(), Failure> {
        let collective::Buffers {
            shape, send, recv, ..
        } = buffers;
        let ([own], [result]) = (&send[..], &mut recv[..]) else {
            return Err("a collective has several buffers".into());
        };
        let Copies { stream, send, recv } = &mut self.copies;
        for _ in 0..repeats {
            Copies::fetch(stream, own, send)?;
            if shape.sends_from_results() {
                Copies::fetch(stream, result, recv)?;
            }
            self.call.repeat(send.as_slice()?, recv.as_mut_slice()?, 1)?;
            if !shape.sends_from_results() {
                Copies::put(stream, recv, result)?;
            }
        }
        Ok(())
    }
}

/// Messages between GPUs, one after the other.
pub struct Messages<T> {
    copies: Copies<T>,
    peer: Option<Peer>,
}

impl<T: Sample> Messages<T> {
    pub fn new(pairs: Pairs, memory: Device) -> Result<Made<messages::Buffers<T, Device>, Self>, Failure> {
        if matches!(pairs.operation, Operation::Bibandwidth | Operation::Overlap) {
            return Err(not_here(
                "MPI's blocking functions leave nothing to go on meanwhile",
            ));
        }
        let peer = pairs.role().map(|role| Peer::new(role, T::DTYPE, pairs.elements));
        let run = Messages {
            peer: peer.transpose()?,
            copies: Copies::new(Arc::clone(&memory.stream), pairs.elements, pairs.elements)?,
        };
        let buffers = messages::Buffers::new(pairs, memory)?;
        Ok(Made { buffers, run })
    }
}

impl<T: Sample> Run<messages::Buffers<T, Device>> for Messages<T> {
    const IS_OF_ANOTHER_LIBRARY: bool = true;

    fn run(&mut self, buffers: &mut messages::Buffers<T, Device>, repeats: u64) -> Result<(), Failure> {
        let messages::Buffers {
            pairs,
            role,
            send: own,
            recv: results,
            ..
        } = buffers;
        let (Some(Role { is_first, .. }), Some(peer)) = (*role, self.peer) else {
            return Ok(());
        };
        let Copies { stream, send, recv } = &mut self.copies;
        let mut put = || -> Result<(), Failure> {
            Copies::fetch(stream, own, send)?;
            peer.send(send.as_slice()?)
        };
        let mut take = |result: &mut DeviceBuffer<T>| -> Result<(), Failure> {
            peer.recv(recv.as_mut_slice()?)?;
            Copies::put(stream, recv, result)
        };
        for _ in 0..repeats {
            match pairs.operation {
                Operation::Latency if is_first => {
                    put()?;
                    take(&mut results[0])?;
                }
                Operation::Latency => {
                    take(&mut results[0])?;
                    put()?;
                }
                _ if is_first => {
                    for _ in 0..pairs.window {
                        put()?;
                    }
                    peer.wait_for_reply()?;
                }
                _ => {
                    for result in &mut *results {
                        take(result)?;
                    }
                    peer.reply()?;
                }
            }
        }
        Ok(())
    }
}
