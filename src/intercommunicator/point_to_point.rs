//! Messages between the two groups: a communicator's own operations, with ranks of the remote group.

use super::Intercommunicator;
use crate::buffer::{Buffer, BufferMut, OwnedBuffer, OwnedBufferMut};
use crate::error::Result;
use crate::message::{Source, Status, Tag};
use crate::point_to_point::Message;
use crate::request::{Persistent, Request};
use crate::scope::Scope;

impl Intercommunicator {
    /// Sends a buffer to rank `dest` of the remote group; as
    /// [`Communicator::send`](crate::Communicator::send).
    ///
    /// MPI standard, section 3.2.1 (`MPI_Send`).
    ///
    /// # Errors
    /// As for [`Communicator::send`](crate::Communicator::send).
    pub fn send<B: Buffer + ?Sized>(&self, buffer: &B, dest: usize, tag: Tag) -> Result<()> {
        self.messages.send(buffer, dest, tag)
    }

    /// Sends a buffer synchronously to rank `dest` of the remote group; as
    /// [`Communicator::ssend`](crate::Communicator::ssend).
    ///
    /// MPI standard, section 3.4 (`MPI_Ssend`).
    ///
    /// # Errors
    /// As for [`Communicator::ssend`](crate::Communicator::ssend).
    pub fn ssend<B: Buffer + ?Sized>(&self, buffer: &B, dest: usize, tag: Tag) -> Result<()> {
        self.messages.ssend(buffer, dest, tag)
    }

    /// Sends a buffer to rank `dest` of the remote group, which has posted the receive already; as
    /// [`Communicator::rsend`](crate::Communicator::rsend).
    ///
    /// MPI standard, section 3.4 (`MPI_Rsend`).
    ///
    /// # Errors
    /// As for [`Communicator::rsend`](crate::Communicator::rsend).
    pub fn rsend<B: Buffer + ?Sized>(&self, buffer: &B, dest: usize, tag: Tag) -> Result<()> {
        self.messages.rsend(buffer, dest, tag)
    }

    /// Sends a copy of a buffer to rank `dest` of the remote group; as
    /// [`Communicator::bsend`](crate::Communicator::bsend).
    ///
    /// MPI standard, section 3.4 (`MPI_Bsend`).
    ///
    /// # Errors
    /// As for [`Communicator::bsend`](crate::Communicator::bsend).
    pub fn bsend<B: Buffer + ?Sized>(&self, buffer: &B, dest: usize, tag: Tag) -> Result<()> {
        self.messages.bsend(buffer, dest, tag)
    }

    /// Receives a message from `source` in the remote group; as
    /// [`Communicator::recv`](crate::Communicator::recv).
    ///
    /// MPI standard, section 3.2.4 (`MPI_Recv`).
    ///
    /// # Errors
    /// As for [`Communicator::recv`](crate::Communicator::recv).
    pub fn recv<B: BufferMut + ?Sized>(
        &self,
        buffer: &mut B,
        source: impl Into<Source>,
        tag: Tag,
    ) -> Result<Status> {
        self.messages.recv(buffer, source, tag)
    }

    /// Starts to send a buffer to rank `dest` of the remote group; as
    /// [`Communicator::isend`](crate::Communicator::isend).
    ///
    /// MPI standard, section 3.7.2 (`MPI_Isend`).
    ///
    /// # Errors
    /// As for [`Communicator::isend`](crate::Communicator::isend).
    pub fn isend<B: OwnedBuffer>(&self, buffer: B, dest: usize, tag: Tag) -> Request<B> {
        self.messages.isend(buffer, dest, tag)
    }

    /// Starts a synchronous send to rank `dest` of the remote group; as
    /// [`Communicator::issend`](crate::Communicator::issend).
    ///
    /// MPI standard, section 3.7.2 (`MPI_Issend`).
    ///
    /// # Errors
    /// As for [`Communicator::issend`](crate::Communicator::issend).
    pub fn issend<B: OwnedBuffer>(&self, buffer: B, dest: usize, tag: Tag) -> Request<B> {
        self.messages.issend(buffer, dest, tag)
    }

    /// Starts a send to rank `dest` of the remote group, which has posted the receive already; as
    /// [`Communicator::irsend`](crate::Communicator::irsend).
    ///
    /// MPI standard, section 3.7.2 (`MPI_Irsend`).
    ///
    /// # Errors
    /// As for [`Communicator::irsend`](crate::Communicator::irsend).
    pub fn irsend<B: OwnedBuffer>(&self, buffer: B, dest: usize, tag: Tag) -> Request<B> {
        self.messages.irsend(buffer, dest, tag)
    }

    /// Sends a copy of a buffer to rank `dest` of the remote group; as
    /// [`Communicator::ibsend`](crate::Communicator::ibsend).
    ///
    /// MPI standard, section 3.7.2 (`MPI_Ibsend`).
    ///
    /// # Errors
    /// As for [`Communicator::ibsend`](crate::Communicator::ibsend).
    pub fn ibsend<B: OwnedBuffer>(&self, buffer: B, dest: usize, tag: Tag) -> Request<B> {
        self.messages.ibsend(buffer, dest, tag)
    }

    /// Starts to receive a message from `source` in the remote group; as
    /// [`Communicator::irecv`](crate::Communicator::irecv).
    ///
    /// MPI standard, section 3.7.2 (`MPI_Irecv`).
    ///
    /// # Errors
    /// As for [`Communicator::irecv`](crate::Communicator::irecv).
    pub fn irecv<B: OwnedBufferMut>(&self, buffer: B, source: impl Into<Source>, tag: Tag) -> Request<B> {
        self.messages.irecv(buffer, source, tag)
    }

    /// Prepares a send to rank `dest` of the remote group; as
    /// [`Communicator::send_init`](crate::Communicator::send_init).
    ///
    /// MPI standard, section 3.9 (`MPI_Send_init`).
    pub fn send_init<B: OwnedBuffer>(&self, buffer: B, dest: usize, tag: Tag) -> Persistent<B> {
        self.messages.send_init(buffer, dest, tag)
    }

    /// Prepares a synchronous send to rank `dest` of the remote group; as
    /// [`Communicator::ssend_init`](crate::Communicator::ssend_init).
    ///
    /// MPI standard, section 3.9 (`MPI_Ssend_init`).
    pub fn ssend_init<B: OwnedBuffer>(&self, buffer: B, dest: usize, tag: Tag) -> Persistent<B> {
        self.messages.ssend_init(buffer, dest, tag)
    }

    /// Prepares a ready send to rank `dest` of the remote group; as
    /// [`Communicator::rsend_init`](crate::Communicator::rsend_init).
    ///
    /// MPI standard, section 3.9 (`MPI_Rsend_init`).
    pub fn rsend_init<B: OwnedBuffer>(&self, buffer: B, dest: usize, tag: Tag) -> Persistent<B> {
        self.messages.rsend_init(buffer, dest, tag)
    }

    /// Prepares a receive from `source` in the remote group; as
    /// [`Communicator::recv_init`](crate::Communicator::recv_init).
    ///
    /// MPI standard, section 3.9 (`MPI_Recv_init`).
    pub fn recv_init<B: OwnedBufferMut>(
        &self,
        buffer: B,
        source: impl Into<Source>,
        tag: Tag,
    ) -> Persistent<B> {
        self.messages.recv_init(buffer, source, tag)
    }

    /// Waits for a message from `source` in the remote group, and describes it; as
    /// [`Communicator::probe`](crate::Communicator::probe).
    ///
    /// MPI standard, section 3.8.1 (`MPI_Probe`).
    ///
    /// # Errors
    /// As for [`Communicator::probe`](crate::Communicator::probe).
    pub fn probe(&self, source: impl Into<Source>, tag: Tag) -> Result<Status> {
        self.messages.probe(source, tag)
    }

    /// Describes a message from `source` in the remote group, if there is one; as
    /// [`Communicator::iprobe`](crate::Communicator::iprobe).
    ///
    /// MPI standard, section 3.8.1 (`MPI_Iprobe`).
    ///
    /// # Errors
    /// As for [`Communicator::iprobe`](crate::Communicator::iprobe).
    pub fn iprobe(&self, source: impl Into<Source>, tag: Tag) -> Result<Option<Status>> {
        self.messages.iprobe(source, tag)
    }

    /// Waits for a message from `source` in the remote group, and takes it; as
    /// [`Communicator::mprobe`](crate::Communicator::mprobe).
    ///
    /// MPI standard, section 3.8.2 (`MPI_Mprobe`).
    ///
    /// # Errors
    /// As for [`Communicator::mprobe`](crate::Communicator::mprobe).
    pub fn mprobe(&self, source: impl Into<Source>, tag: Tag) -> Result<Message> {
        self.messages.mprobe(source, tag)
    }

    /// Takes a message from `source` in the remote group, if there is one; as
    /// [`Communicator::improbe`](crate::Communicator::improbe).
    ///
    /// MPI standard, section 3.8.2 (`MPI_Improbe`).
    ///
    /// # Errors
    /// As for [`Communicator::improbe`](crate::Communicator::improbe).
    pub fn improbe(&self, source: impl Into<Source>, tag: Tag) -> Result<Option<Message>> {
        self.messages.improbe(source, tag)
    }

    /// Sends a buffer to rank `dest` and receives into another from rank `source`, both of the remote group; as
    /// [`Communicator::sendrecv`](crate::Communicator::sendrecv).
    ///
    /// MPI standard, section 3.10 (`MPI_Sendrecv`).
    ///
    /// # Errors
    /// As for [`Communicator::sendrecv`](crate::Communicator::sendrecv).
    pub fn sendrecv<S: Buffer + ?Sized, R: BufferMut + ?Sized>(
        &self,
        send: &S,
        dest: usize,
        send_tag: Tag,
        recv: &mut R,
        source: impl Into<Source>,
        recv_tag: Tag,
    ) -> Result<Status> {
        self.messages
            .sendrecv(send, dest, send_tag, recv, source, recv_tag)
    }

    /// Sends a buffer to rank `dest` of the remote group and receives a message from its rank `source` into the same
    /// buffer; as [`Communicator::sendrecv_replace`](crate::Communicator::sendrecv_replace).
    ///
    /// MPI standard, section 3.10 (`MPI_Sendrecv_replace`).
    ///
    /// # Errors
    /// As for [`Communicator::sendrecv_replace`](crate::Communicator::sendrecv_replace).
    pub fn sendrecv_replace<B: BufferMut + ?Sized>(
        &self,
        buffer: &mut B,
        dest: usize,
        send_tag: Tag,
        source: impl Into<Source>,
        recv_tag: Tag,
    ) -> Result<Status> {
        self.messages
            .sendrecv_replace(buffer, dest, send_tag, source, recv_tag)
    }

    /// Runs a closure that may start sends to and receives from the remote group on buffers borrowed from outside it;
    /// as [`Communicator::scope`](crate::Communicator::scope).
    ///
    /// # Errors
    /// As for [`Communicator::scope`](crate::Communicator::scope). Its collectives are
    /// [`Unsupported`](crate::ErrorKind::Unsupported) between two groups.
    pub fn scope<'env, R>(
        &self,
        body: impl for<'scope> FnOnce(&'scope Scope<'scope, 'env>) -> Result<R>,
    ) -> Result<R> {
        self.messages.scope(body)
    }
}
