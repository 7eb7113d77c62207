//! Requests, which own a copy of the case's buffer.

use std::fmt;

use warpcomm::cudarc::driver::{CudaSlice, PinnedHostSlice};
use warpcomm::{Error, ErrorKind, Source, Status, Tag};

use super::memory::Memory;
use super::memory::{Device, Form, PinnedSource};
use super::{Communicator, OwnedElements, OwnedElementsMut};

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
                let $buffer = whole;
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
    pub(super) fn send(comm: &Communicator, buffer: B, dest: usize, tag: Tag) -> Request<B> {
        Request {
            running: start!(comm, buffer => comm.inner.isend(buffer, dest, tag)),
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

    pub fn wait(self) -> Result<(B, Status), RequestError<B>> {
        match self.running {
            Running::Own(request) => request.wait().map_err(|error| {
                let (error, buffer) = error.into_parts();
                RequestError { error, buffer }
            }),
            Running::Pinned(request, buffer) => ended(request.wait(), buffer, self.end, Memory::Pinned),
            Running::Device { request, buffer, .. } => ended(request.wait(), buffer, self.end, |whole| {
                Memory::Device(Device {
                    form: Form::Whole,
                    range: 0..whole.len(),
                    whole,
                    around: [Vec::new(), Vec::new()],
                    source: None,
                })
            }),
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
