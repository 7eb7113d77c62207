//! A communicator whose operations take the cases' host buffers and hand the library what the job is about:
//! page-locked memory, device memory, or a mixture.
//!
//! Cases are written once, with vectors and slices. For [`Place::Host`] an operation gets just these; for the
//! other places it gets copies, and what the library has left in a copy is copied back, also where nothing may
//! have been written. Nothing here synchronizes, but what cudarc's copies do themselves: the library must have
//! ordered its work with the buffer's stream.

mod elements;
#[macro_use]
mod memory;
mod forms;
mod manner;
mod many;
mod matched;
mod part;
mod persistent;
mod request;
mod scope;
mod stage;

use std::borrow::Borrow;
use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use warpcomm::{Group, Result, Source, Status, Tag};

use crate::harness::{Failure, Place};
pub use elements::{Elements, ElementsMut, OwnedElements, OwnedElementsMut};
use manner::{Manner, Manners};
pub use many::{AnyRequest, test_all, test_any, test_some, wait_all, wait_any, wait_some};
pub use matched::Message;
use memory::Form;
use memory::Memory;
pub use part::{Part, alltoallw, alltoallw_in_place};
pub use persistent::{Persistent, start_all};
use request::Mode;
pub use request::Request;
use scope::Scope;
pub use scope::Scope as ScopeHandle;
pub use stage::Stage;

/// What a rank of a job needs to place buffers.
pub fn stage(place: Place, world: &warpcomm::Communicator) -> std::result::Result<Arc<Stage>, Failure> {
    Stage::new(place, world).map(Arc::new)
}

/// The communicator of a case, which calls collectives in every form or in the blocking one only.
pub fn place(inner: warpcomm::Communicator, stage: &Arc<Stage>, every_form: bool) -> Communicator {
    stage.restart();
    Communicator::new(inner, stage, Manners::new(every_form))
}

/// A communicator that places buffers like another one.
pub fn like(comm: &Communicator, made: warpcomm::Communicator) -> Communicator {
    comm.with(made)
}

/// A communicator that places the buffers of its operations.
#[derive(Clone)]
pub struct Communicator {
    inner: warpcomm::Communicator,
    stage: Arc<Stage>,
    manners: Arc<Manners>,
}

impl Deref for Communicator {
    type Target = warpcomm::Communicator;

    fn deref(&self) -> &warpcomm::Communicator {
        &self.inner
    }
}

impl Borrow<warpcomm::Communicator> for Communicator {
    fn borrow(&self) -> &warpcomm::Communicator {
        &self.inner
    }
}

impl std::fmt::Debug for Communicator {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.inner.fmt(f)
    }
}

/// Runs an operation that reads a buffer, from the memory that the stage chooses.
macro_rules! read {
    ($own:expr, $buffer:ident, $call:expr) => {{
        let memory = $own.stage.place($buffer.elements());
        let outcome = reading!(memory, $buffer, $buffer => $call);
        memory.assert_unchanged($buffer.elements());
        outcome
    }};
}

/// The same for an operation that may write the buffer.
macro_rules! write {
    ($own:expr, $buffer:ident, $call:expr) => {{
        let mut memory = $own.stage.place($buffer.elements());
        let outcome = writing!(memory, &mut *$buffer, $buffer => $call);
        memory.copy_back($buffer.elements_mut());
        outcome
    }};
}

/// The same for an operation that reads one buffer and may write another.
macro_rules! read_and_write {
    ($own:expr, $send:ident, $recv:ident, $call:expr) => {{
        let source = $own.stage.place($send.elements());
        let mut target = $own.stage.place($recv.elements());
        let outcome = reading!(source, $send, $send => writing!(target, &mut *$recv, $recv => $call));
        source.assert_unchanged($send.elements());
        target.copy_back($recv.elements_mut());
        outcome
    }};
}

impl Communicator {
    /// The same ranks, with buffers of a stage.
    fn new(inner: warpcomm::Communicator, stage: &Arc<Stage>, manners: Manners) -> Communicator {
        Communicator {
            inner,
            stage: Arc::clone(stage),
            manners: Arc::new(manners),
        }
    }

    /// Another communicator, whose collectives are counted by themselves.
    fn with(&self, inner: warpcomm::Communicator) -> Communicator {
        Communicator::new(inner, &self.stage, self.manners.anew())
    }

    /// The form of the next collective.
    fn manner(&self) -> Manner {
        self.manners.next(self.inner.rank())
    }

    pub fn duplicate(&self) -> Result<Communicator> {
        self.inner.duplicate().map(|inner| self.with(inner))
    }

    pub fn split(&self, color: Option<u32>, key: i32) -> Result<Option<Communicator>> {
        Ok(self.inner.split(color, key)?.map(|inner| self.with(inner)))
    }

    pub fn split_shared(&self, key: i32) -> Result<Communicator> {
        self.inner.split_shared(key).map(|inner| self.with(inner))
    }

    pub fn create(&self, group: &Group) -> Result<Option<Communicator>> {
        Ok(self.inner.create(group)?.map(|inner| self.with(inner)))
    }

    pub fn create_group(&self, group: &Group, tag: Tag) -> Result<Communicator> {
        self.inner.create_group(group, tag).map(|inner| self.with(inner))
    }

    pub fn with_timeout(&self, timeout: Option<Duration>) -> Communicator {
        Communicator {
            inner: self.inner.with_timeout(timeout),
            ..self.clone()
        }
    }

    pub fn send<B: Elements + ?Sized>(&self, buffer: &B, dest: usize, tag: Tag) -> Result<()> {
        read!(self, buffer, self.inner.send(buffer, dest, tag))
    }

    pub fn recv<B: ElementsMut + ?Sized>(
        &self,
        buffer: &mut B,
        source: impl Into<Source>,
        tag: Tag,
    ) -> Result<Status> {
        let source = source.into();
        write!(self, buffer, self.inner.recv(buffer, source, tag))
    }

    pub fn sendrecv<S: Elements + ?Sized, R: ElementsMut + ?Sized>(
        &self,
        send: &S,
        dest: usize,
        send_tag: Tag,
        recv: &mut R,
        source: impl Into<Source>,
        recv_tag: Tag,
    ) -> Result<Status> {
        let source = source.into();
        read_and_write!(
            self,
            send,
            recv,
            self.inner.sendrecv(send, dest, send_tag, recv, source, recv_tag)
        )
    }

    pub fn ssend<B: Elements + ?Sized>(&self, buffer: &B, dest: usize, tag: Tag) -> Result<()> {
        read!(self, buffer, self.inner.ssend(buffer, dest, tag))
    }

    pub fn rsend<B: Elements + ?Sized>(&self, buffer: &B, dest: usize, tag: Tag) -> Result<()> {
        read!(self, buffer, self.inner.rsend(buffer, dest, tag))
    }

    pub fn bsend<B: Elements + ?Sized>(&self, buffer: &B, dest: usize, tag: Tag) -> Result<()> {
        read!(self, buffer, self.inner.bsend(buffer, dest, tag))
    }

    pub fn sendrecv_replace<B: ElementsMut + ?Sized>(
        &self,
        buffer: &mut B,
        dest: usize,
        send_tag: Tag,
        source: impl Into<Source>,
        recv_tag: Tag,
    ) -> Result<Status> {
        let source = source.into();
        write!(
            self,
            buffer,
            self.inner
                .sendrecv_replace(buffer, dest, send_tag, source, recv_tag)
        )
    }

    pub fn isend<B: OwnedElements>(&self, buffer: B, dest: usize, tag: Tag) -> Request<B> {
        Request::send(self, Mode::Standard, buffer, dest, tag)
    }

    pub fn issend<B: OwnedElements>(&self, buffer: B, dest: usize, tag: Tag) -> Request<B> {
        Request::send(self, Mode::Synchronous, buffer, dest, tag)
    }

    pub fn irsend<B: OwnedElements>(&self, buffer: B, dest: usize, tag: Tag) -> Request<B> {
        Request::send(self, Mode::Ready, buffer, dest, tag)
    }

    pub fn ibsend<B: OwnedElements>(&self, buffer: B, dest: usize, tag: Tag) -> Request<B> {
        Request::send(self, Mode::Buffered, buffer, dest, tag)
    }

    pub fn mprobe(&self, source: impl Into<Source>, tag: Tag) -> Result<Message> {
        let message = self.inner.mprobe(source, tag)?;
        Ok(Message::new(self, message))
    }

    pub fn improbe(&self, source: impl Into<Source>, tag: Tag) -> Result<Option<Message>> {
        let message = self.inner.improbe(source, tag)?;
        Ok(message.map(|message| Message::new(self, message)))
    }

    pub fn send_init<B: OwnedElements>(&self, buffer: B, dest: usize, tag: Tag) -> Persistent<B> {
        Persistent::send(self, Mode::Standard, buffer, dest, tag)
    }

    pub fn ssend_init<B: OwnedElements>(&self, buffer: B, dest: usize, tag: Tag) -> Persistent<B> {
        Persistent::send(self, Mode::Synchronous, buffer, dest, tag)
    }

    pub fn rsend_init<B: OwnedElements>(&self, buffer: B, dest: usize, tag: Tag) -> Persistent<B> {
        Persistent::send(self, Mode::Ready, buffer, dest, tag)
    }

    pub fn recv_init<B: OwnedElementsMut>(
        &self,
        buffer: B,
        source: impl Into<Source>,
        tag: Tag,
    ) -> Persistent<B> {
        Persistent::receive(self, buffer, source.into(), tag)
    }

    pub fn irecv<B: OwnedElementsMut>(&self, buffer: B, source: impl Into<Source>, tag: Tag) -> Request<B> {
        Request::receive(self, buffer, source.into(), tag)
    }

    pub fn scope<'env, R>(
        &self,
        body: impl for<'scope> FnOnce(Scope<'scope, 'env>) -> Result<R>,
    ) -> Result<R> {
        scope::run(self, body)
    }
}

mod collectives;
