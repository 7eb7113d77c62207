//! Messages that a matched probe has taken.

use warpcomm::{Result, Status};

use super::memory::{Form, Memory};
use super::{Communicator, ElementsMut, OwnedElementsMut, Request};

/// A message that is received into copies.
#[derive(Debug)]
pub struct Message {
    comm: Communicator,
    inner: warpcomm::Message,
}

impl Message {
    pub(super) fn new(comm: &Communicator, inner: warpcomm::Message) -> Message {
        Message {
            comm: comm.clone(),
            inner,
        }
    }

    pub fn status(&self) -> Status {
        self.inner.status()
    }

    pub fn recv<B: ElementsMut + ?Sized>(self, buffer: &mut B) -> Result<Status> {
        let (comm, message) = (self.comm, self.inner);
        let mut memory = comm.stage.place(buffer.elements());
        let outcome = writing!(memory, &mut *buffer, buffer => message.recv(buffer));
        memory.copy_back(buffer.elements_mut());
        outcome
    }

    pub fn irecv<B: OwnedElementsMut>(self, buffer: B) -> Request<B> {
        Request::matched(&self.comm, self.inner, buffer)
    }
}
