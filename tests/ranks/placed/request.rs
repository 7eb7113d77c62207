//! Requests, which own a copy of the case's buffer.

use std::fmt;
use std::future::{Future, IntoFuture};
use std::pin::Pin;

use warpcomm::cudarc::driver::{CudaSlice, PinnedHostSlice};
use warpcomm::{Error, ErrorKind, OwnedBuffer, Source, Status, Tag, Tested};

use super::memory::Memory;
use super::memory::{Device, Form, PinnedSource, Whole};
use super::{AnyRequest, Communicator, OwnedElements, OwnedElementsMut};

/// The kinds of sends.
#[derive(Clone, Copy, Debug)]
pub enum Mode {
    Standard,
    Synchronous,
    Ready,
    Buffered,
}

fn send<B: OwnedBuffer>(
    comm: &warpcomm::Communicator,
    mode: Mode,
    buffer: B,
    dest: usize,
    tag: Tag,
) -> warpcomm::Request<B> {
    match mode {
        Mode::Standard => comm.isend(buffer, dest, tag),
        Mode::Synchronous => comm.issend(buffer, dest, tag),
        Mode::Ready => comm.irsend(buffer, dest, tag),
        Mode::Buffered => comm.ibsend(buffer, dest, tag),
    }
}

/// A send or receive under way.
pub struct Request<B: OwnedElements> {
    running: Running<B>,
    /// Ends the operation on a copy: compares it with the buffer, or copies it back.
    end: fn(&Memory<B::Element>, &mut B),
}

enum Running<B: OwnedElements> {
    Own(warpcomm::Request<B>),
    Pinned(warpcomm::Request<PinnedHostSlice<B::Element>>, B),
    Device {
        request: warpcomm::Request<CudaSlice<B::Element>>,
        buffer: B,
        /// From here the elements are still being copied, perhaps.
        _source: Option<PinnedSource<B::Element>>,
    },
}

macro_rules! start {
    ($own:expr, $buffer:ident => $call:expr) => {{
        match $own.stage.place_owned($buffer.elements()) {
            Memory::Own => Running::Own($call),
            Memory::Pinned(copy) => {
                let own = $buffer;
                let $buffer = copy;
                Running::Pinned($call, own)
            }
            Memory::Device(Device { whole, source, .. }) => {
                let own = $buffer;
                let $buffer = whole.into_slice();
                Running::Device {
                    request: $call,
                    buffer: own,
                    _source: source,
                }
            }
        }
    }};
}

impl<B: OwnedElements> Request<B> {
    pub(super) fn send(comm: &Communicator, mode: Mode, buffer: B, dest: usize, tag: Tag) -> Request<B> {
        Request {
            running: start!(comm, buffer => send(&comm.inner, mode, buffer, dest, tag)),
            end: |copy, buffer| copy.assert_unchanged(buffer.elements()),
        }
    }

    pub(super) fn receive(comm: &Communicator, buffer: B, source: Source, tag: Tag) -> Request<B>
    where
        B: OwnedElementsMut,
    {
        Request {
            running: start!(comm, buffer => comm.inner.irecv(buffer, source, tag)),
            end: |copy, buffer| copy.copy_back(buffer.elements_mut()),
        }
    }

    pub(super) fn matched(comm: &Communicator, message: warpcomm::Message, buffer: B) -> Request<B>
    where
        B: OwnedElementsMut,
    {
        Request {
            running: start!(comm, buffer => message.irecv(buffer)),
            end: |copy, buffer| copy.copy_back(buffer.elements_mut()),
        }
    }

    pub fn wait(self) -> Result<(B, Status), RequestError<B>> {
        match self.running {
            Running::Own(request) => request.wait().map_err(RequestError::own),
            Running::Pinned(request, buffer) => ended(request.wait(), buffer, self.end, Memory::Pinned),
            Running::Device { request, buffer, .. } => ended(request.wait(), buffer, self.end, whole),
        }
    }

    pub fn test(self) -> Result<Tested<B, Request<B>>, RequestError<B>> {
        let end = self.end;
        let again = |running| Tested::Pending(Request { running, end });
        Ok(match self.running {
            Running::Own(request) => match request.test().map_err(RequestError::own)? {
                Tested::Done(buffer, status) => Tested::Done(buffer, status),
                Tested::Pending(request) => again(Running::Own(request)),
            },
            Running::Pinned(request, buffer) => match request.test() {
                Ok(Tested::Pending(request)) => again(Running::Pinned(request, buffer)),
                over => done(ended(over.map(finished), buffer, end, Memory::Pinned)?),
            },
            Running::Device {
                request,
                buffer,
                _source,
            } => match request.test() {
                Ok(Tested::Pending(request)) => again(Running::Device {
                    request,
                    buffer,
                    _source,
                }),
                over => done(ended(over.map(finished), buffer, end, whole)?),
            },
        })
    }

    pub fn cancel(&self) -> warpcomm::Result<()> {
        match &self.running {
            Running::Own(request) => request.cancel(),
            Running::Pinned(request, _) => request.cancel(),
            Running::Device { request, .. } => request.cancel(),
        }
    }

    pub fn is_done(&self) -> bool {
        match &self.running {
            Running::Own(request) => request.is_done(),
            Running::Pinned(request, _) => request.is_done(),
            Running::Device { request, .. } => request.is_done(),
        }
    }
}

impl<B: OwnedElements> AnyRequest for Request<B> {
    fn inner(&self) -> &dyn warpcomm::AnyRequest {
        match &self.running {
            Running::Own(request) => request,
            Running::Pinned(request, _) => request,
            Running::Device { request, .. } => request,
        }
    }
}

impl<B: OwnedElements> IntoFuture for Request<B> {
    type Output = Result<(B, Status), RequestError<B>>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output>>>;

    fn into_future(self) -> Self::IntoFuture {
        let end = self.end;
        Box::pin(async move {
            match self.running {
                Running::Own(request) => request.await.map_err(RequestError::own),
                Running::Pinned(request, buffer) => ended(request.await, buffer, end, Memory::Pinned),
                Running::Device { request, buffer, .. } => ended(request.await, buffer, end, whole),
            }
        })
    }
}

fn whole<T: crate::oracle::Value>(whole: CudaSlice<T>) -> Memory<T> {
    Memory::Device(Device {
        form: Form::Whole,
        range: 0..whole.len(),
        whole: Whole::Slice(whole),
        around: [Vec::new(), Vec::new()],
        source: None,
    })
}

fn finished<B, R>(tested: Tested<B, R>) -> (B, Status) {
    match tested {
        Tested::Done(buffer, status) => (buffer, status),
        Tested::Pending(_) => unreachable!("it is over"),
    }
}

fn done<B, R>((buffer, status): (B, Status)) -> Tested<B, R> {
    Tested::Done(buffer, status)
}

fn ended<B: OwnedElements, C: Send + 'static>(
    outcome: Result<(C, Status), warpcomm::RequestError<C>>,
    mut buffer: B,
    end: fn(&Memory<B::Element>, &mut B),
    memory: impl FnOnce(C) -> Memory<B::Element>,
) -> Result<(B, Status), RequestError<B>> {
    match outcome {
        Ok((copy, status)) => {
            end(&memory(copy), &mut buffer);
            Ok((buffer, status))
        }
        Err(error) => {
            let (error, copy) = error.into_parts();
            let buffer = copy.map(|copy| {
                end(&memory(copy), &mut buffer);
                buffer
            });
            Err(RequestError { error, buffer })
        }
    }
}

impl<B: OwnedElements> fmt::Debug for Request<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.running {
            Running::Own(request) => request.fmt(f),
            Running::Pinned(request, _) => request.fmt(f),
            Running::Device { request, .. } => request.fmt(f),
        }
    }
}

/// The error of a request, with its buffer.
pub struct RequestError<B> {
    error: Error,
    buffer: Option<B>,
}

impl<B> RequestError<B> {
    fn own(error: warpcomm::RequestError<B>) -> RequestError<B> {
        let (error, buffer) = error.into_parts();
        RequestError { error, buffer }
    }

    pub fn kind(&self) -> ErrorKind {
        self.error.kind()
    }

    pub fn into_parts(self) -> (Error, Option<B>) {
        (self.error, self.buffer)
    }
}

impl<B> From<RequestError<B>> for Error {
    fn from(error: RequestError<B>) -> Error {
        error.error
    }
}

impl<B> fmt::Display for RequestError<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error.fmt(f)
    }
}

impl<B> fmt::Debug for RequestError<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error.fmt(f)
    }
}

impl<B> std::error::Error for RequestError<B> {}
