//! Collectives in the forms that go on by themselves, on copies of the case's buffers.

use std::borrow::Cow;

use warpcomm::cudarc::driver::{CudaSlice, PinnedHostSlice};
use warpcomm::{Buffer, BufferMut, OwnedBuffer, OwnedBufferMut, Request, Result};

use super::Communicator;
use super::manner::Manner;
use super::memory::{CUDA, Memory};
use crate::harness::covered;
use crate::oracle::{Value, assert_same};

/// The names of a collective's forms, for the page of what is supported.
pub(super) struct Names {
    pub start: &'static str,
    pub scoped: &'static str,
    pub prepare: &'static str,
}

/// A collective with its arguments, beside a buffer to send and one to receive into.
pub(super) trait Apart {
    const NAMES: Names;

    fn start<S, R>(&self, comm: &warpcomm::Communicator, send: S, recv: R) -> Request<(S, R)>
    where
        S: OwnedBuffer,
        R: OwnedBufferMut<Element = S::Element>;

    fn prepare<S, R>(&self, comm: &warpcomm::Communicator, send: S, recv: R) -> warpcomm::Persistent<(S, R)>
    where
        S: OwnedBuffer,
        R: OwnedBufferMut<Element = S::Element>;

    fn lend<'scope, S, R>(
        &self,
        scope: &'scope warpcomm::Scope<'scope, '_>,
        send: &'scope S,
        recv: &'scope mut R,
    ) -> Result<()>
    where
        S: Buffer,
        R: BufferMut<Element = S::Element>;
}

/// A collective with its arguments, beside its only buffer.
pub(super) trait InPlace {
    const NAMES: Names;

    fn start<B: OwnedBufferMut>(&self, comm: &warpcomm::Communicator, buffer: B) -> Request<B>;

    fn prepare<B: OwnedBufferMut>(&self, comm: &warpcomm::Communicator, buffer: B)
    -> warpcomm::Persistent<B>;

    fn lend<'scope, B: BufferMut>(
        &self,
        scope: &'scope warpcomm::Scope<'scope, '_>,
        buffer: &'scope mut B,
    ) -> Result<()>;
}

/// An [`Apart`] on buffers of certain types, so that what is done with copies is not built for each collective.
trait OnTwo<S, R> {
    fn start(&self, comm: &warpcomm::Communicator, send: S, recv: R) -> Request<(S, R)>
    where
        S: OwnedBuffer,
        R: OwnedBufferMut;

    fn prepare(&self, comm: &warpcomm::Communicator, send: S, recv: R) -> warpcomm::Persistent<(S, R)>
    where
        S: OwnedBuffer,
        R: OwnedBufferMut;

    fn lend<'scope>(
        &self,
        scope: &'scope warpcomm::Scope<'scope, '_>,
        send: &'scope S,
        recv: &'scope mut R,
    ) -> Result<()>;
}

impl<C: Apart, S: OwnedBuffer, R: OwnedBufferMut<Element = S::Element>> OnTwo<S, R> for C {
    fn start(&self, comm: &warpcomm::Communicator, send: S, recv: R) -> Request<(S, R)> {
        Apart::start(self, comm, send, recv)
    }

    fn prepare(&self, comm: &warpcomm::Communicator, send: S, recv: R) -> warpcomm::Persistent<(S, R)> {
        Apart::prepare(self, comm, send, recv)
    }

    fn lend<'scope>(
        &self,
        scope: &'scope warpcomm::Scope<'scope, '_>,
        send: &'scope S,
        recv: &'scope mut R,
    ) -> Result<()> {
        Apart::lend(self, scope, send, recv)
    }
}

/// An [`InPlace`] on a buffer of a certain type.
trait OnOne<B> {
    fn start(&self, comm: &warpcomm::Communicator, buffer: B) -> Request<B>
    where
        B: OwnedBufferMut;

    fn prepare(&self, comm: &warpcomm::Communicator, buffer: B) -> warpcomm::Persistent<B>
    where
        B: OwnedBufferMut;

    fn lend<'scope>(&self, scope: &'scope warpcomm::Scope<'scope, '_>, buffer: &'scope mut B) -> Result<()>;
}

impl<C: InPlace, B: OwnedBufferMut> OnOne<B> for C {
    fn start(&self, comm: &warpcomm::Communicator, buffer: B) -> Request<B> {
        InPlace::start(self, comm, buffer)
    }

    fn prepare(&self, comm: &warpcomm::Communicator, buffer: B) -> warpcomm::Persistent<B> {
        InPlace::prepare(self, comm, buffer)
    }

    fn lend<'scope>(&self, scope: &'scope warpcomm::Scope<'scope, '_>, buffer: &'scope mut B) -> Result<()> {
        InPlace::lend(self, scope, buffer)
    }
}

/// A copy of a case's buffer that a request can own.
trait Copied: OwnedBufferMut<Element: Value> {
    fn read(&self) -> Cow<'_, [Self::Element]>;
    fn write(&mut self, elements: &[Self::Element]);
}

impl<T: Value> Copied for Vec<T> {
    fn read(&self) -> Cow<'_, [T]> {
        self.into()
    }

    fn write(&mut self, elements: &[T]) {
        self.copy_from_slice(elements);
    }
}

impl<T: Value> Copied for PinnedHostSlice<T> {
    fn read(&self) -> Cow<'_, [T]> {
        self.as_slice().expect(CUDA).into()
    }

    fn write(&mut self, elements: &[T]) {
        self.as_mut_slice().expect(CUDA).copy_from_slice(elements);
    }
}

impl<T: Value> Copied for CudaSlice<T> {
    fn read(&self) -> Cow<'_, [T]> {
        self.stream().clone_dtoh(self).expect(CUDA).into()
    }

    fn write(&mut self, elements: &[T]) {
        if !elements.is_empty() {
            self.stream().clone().memcpy_htod(elements, self).expect(CUDA);
        }
    }
}

/// Waits for a request, which gives its buffers back in any case.
pub(super) fn awaited<B: Send + 'static>(request: Request<B>) -> (Result<()>, B) {
    match request.wait() {
        Ok((buffers, _)) => (Ok(()), buffers),
        Err(error) => {
            let (error, buffers) = error.into_parts();
            let buffers = buffers.unwrap_or_else(|| panic!("the buffers are gone: {error}"));
            (Err(error), buffers)
        }
    }
}

/// Starts a persistent request and waits for it, twice if it succeeds: for the second time with buffers as at first.
pub(super) fn repeated<B: Send + 'static>(
    mut request: warpcomm::Persistent<B>,
    again: impl FnOnce(&mut B),
) -> (Result<()>, B) {
    let once = |request: &mut warpcomm::Persistent<B>| {
        request.start()?;
        request.wait().map(drop)
    };
    let mut outcome = once(&mut request);
    if outcome.is_ok() {
        again(request.buffer_mut().expect("it is over"));
        outcome = once(&mut request);
    }
    let buffers = request.into_buffer();
    (
        outcome,
        buffers.unwrap_or_else(|error| panic!("the buffers are gone: {error}")),
    )
}

/// Notes the form that has worked.
pub(super) fn note(manner: Manner, names: &Names) {
    let name = match manner {
        Manner::Blocking => return,
        Manner::NonBlocking => names.start,
        Manner::Scoped => names.scoped,
        Manner::Persistent => names.prepare,
    };
    covered(name, None, None);
}

fn on_copies<S, R>(
    what: &dyn OnTwo<S, R>,
    comm: &warpcomm::Communicator,
    manner: Manner,
    (source, mut target): (S, R),
    (send, recv): (&[S::Element], &mut [S::Element]),
) -> Result<()>
where
    S: Copied,
    R: Copied<Element = S::Element>,
{
    let mut first = None;
    let (outcome, (source, target)) = match manner {
        Manner::Persistent => repeated(what.prepare(comm, source, target), |(_, target)| {
            first = Some(target.read().into_owned());
            target.write(recv);
        }),
        Manner::Scoped => {
            let lent = &mut target;
            let outcome = comm.scope(|scope| what.lend(scope, &source, lent));
            (outcome, (source, target))
        }
        Manner::NonBlocking | Manner::Blocking => awaited(what.start(comm, source, target)),
    };
    ended(&source, &target, send, recv, first);
    outcome
}

fn ended<S: Copied, R: Copied<Element = S::Element>>(
    source: &S,
    target: &R,
    send: &[S::Element],
    recv: &mut [S::Element],
    first: Option<Vec<S::Element>>,
) {
    assert_same(&source.read(), send, || "a buffer that was read".to_owned());
    recv.copy_from_slice(&target.read());
    if let Some(first) = first {
        assert_same(recv, &first, || "the result of the second start".to_owned());
    }
}

/// Calls a collective in another form than the blocking one.
pub(super) fn apart<C: Apart, T: Value>(
    own: &Communicator,
    manner: Manner,
    what: &C,
    send: &[T],
    recv: &mut [T],
) -> Result<()> {
    let comm = &own.inner;
    // Each pair of memories is code of its own for each type and collective, so there are only these.
    let outcome = match own.stage.place_pair(send, recv) {
        (Memory::Pinned(source), Memory::Pinned(target)) => {
            on_copies(what, comm, manner, (source, target), (send, recv))
        }
        (Memory::Device(source), Memory::Device(target)) => {
            let copies = (source.whole.into_slice(), target.whole.into_slice());
            on_copies(what, comm, manner, copies, (send, recv))
        }
        _ => {
            let copies = (send.to_vec(), recv.to_vec());
            on_copies(what, comm, manner, copies, (send, recv))
        }
    };
    if outcome.is_ok() {
        note(manner, &C::NAMES);
    }
    outcome
}

fn on_copy<B: Copied>(
    what: &dyn OnOne<B>,
    comm: &warpcomm::Communicator,
    manner: Manner,
    mut copy: B,
    buffer: &mut [B::Element],
) -> Result<()> {
    let mut first = None;
    let (outcome, copy) = match manner {
        Manner::Persistent => repeated(what.prepare(comm, copy), |copy| {
            first = Some(copy.read().into_owned());
            copy.write(buffer);
        }),
        Manner::Scoped => {
            let lent = &mut copy;
            let outcome = comm.scope(|scope| what.lend(scope, lent));
            (outcome, copy)
        }
        Manner::NonBlocking | Manner::Blocking => awaited(what.start(comm, copy)),
    };
    buffer.copy_from_slice(&copy.read());
    if let Some(first) = first {
        assert_same(buffer, &first, || "the result of the second start".to_owned());
    }
    outcome
}

/// Calls a collective in place in another form than the blocking one.
pub(super) fn in_place<C: InPlace, T: Value>(
    own: &Communicator,
    manner: Manner,
    what: &C,
    buffer: &mut [T],
) -> Result<()> {
    let comm = &own.inner;
    let outcome = match own.stage.place_owned(buffer) {
        Memory::Own => on_copy(what, comm, manner, buffer.to_vec(), buffer),
        Memory::Pinned(copy) => on_copy(what, comm, manner, copy, buffer),
        Memory::Device(copy) => on_copy(what, comm, manner, copy.whole.into_slice(), buffer),
    };
    if outcome.is_ok() {
        note(manner, &C::NAMES);
    }
    outcome
}
