//! Buffers of different types for one operation, in the memory of the host.

use warpcomm::{AnyBuffer, AnyBufferMut, Communicator, Result};

use crate::oracle::{Value, bytes};

/// A vector of any type.
pub trait Part {
    fn any(&self) -> AnyBuffer<'_>;
    fn any_mut(&mut self) -> AnyBufferMut<'_>;
    fn bytes(&self) -> Vec<u8>;
}

impl<T: Value> Part for Vec<T> {
    fn any(&self) -> AnyBuffer<'_> {
        AnyBuffer::new(self)
    }

    fn any_mut(&mut self) -> AnyBufferMut<'_> {
        AnyBufferMut::new(self)
    }

    fn bytes(&self) -> Vec<u8> {
        bytes(self).to_vec()
    }
}

pub fn alltoallw(comm: &Communicator, send: &[Box<dyn Part>], recv: &mut [Box<dyn Part>]) -> Result<()> {
    let send: Vec<_> = send.iter().map(|part| part.any()).collect();
    let mut recv: Vec<_> = recv.iter_mut().map(|part| part.any_mut()).collect();
    comm.alltoallw(&send, &mut recv)
}

pub fn alltoallw_in_place(comm: &Communicator, buffers: &mut [Box<dyn Part>]) -> Result<()> {
    let mut buffers: Vec<_> = buffers.iter_mut().map(|part| part.any_mut()).collect();
    comm.alltoallw_in_place(&mut buffers)
}
