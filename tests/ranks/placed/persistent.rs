//! Persistent requests, which own a copy of the case's buffer.

use warpcomm::cudarc::driver::{CudaSlice, PinnedHostSlice};
use warpcomm::{OwnedBuffer, Result, Source, Status, Tag};

use super::memory::{CUDA, Device, Memory, PinnedSource};
use super::request::Mode;
use super::{AnyRequest, Communicator, OwnedElements, OwnedElementsMut};
use crate::oracle::assert_same;

/// A send or receive that is started again and again.
pub struct Persistent<B: OwnedElements> {
    running: Running<B>,
    /// What becomes of the case's buffer when the operation is over.
    end: fn(&[B::Element], &mut B),
}

enum Running<B: OwnedElements> {
    Own(warpcomm::Persistent<B>),
    Pinned(warpcomm::Persistent<PinnedHostSlice<B::Element>>, B),
    Device {
        request: warpcomm::Persistent<CudaSlice<B::Element>>,
        buffer: B,
        /// From here the elements are still being copied, perhaps.
        _source: Option<PinnedSource<B::Element>>,
    },
}

macro_rules! prepare {
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

fn send_init<B: OwnedBuffer>(
    comm: &warpcomm::Communicator,
    mode: Mode,
    buffer: B,
    dest: usize,
    tag: Tag,
) -> warpcomm::Persistent<B> {
    match mode {
        Mode::Synchronous => comm.ssend_init(buffer, dest, tag),
        Mode::Ready => comm.rsend_init(buffer, dest, tag),
        Mode::Standard | Mode::Buffered => comm.send_init(buffer, dest, tag),
    }
}

impl<B: OwnedElements> Persistent<B> {
    pub(super) fn send(comm: &Communicator, mode: Mode, buffer: B, dest: usize, tag: Tag) -> Persistent<B> {
        Persistent {
            running: prepare!(comm, buffer => send_init(&comm.inner, mode, buffer, dest, tag)),
            end: |copy, buffer| {
                assert_same(copy, buffer.elements(), || {
                    "a persistent buffer that was read".to_owned()
                })
            },
        }
    }

    pub(super) fn receive(comm: &Communicator, buffer: B, source: Source, tag: Tag) -> Persistent<B>
    where
        B: OwnedElementsMut,
    {
        Persistent {
            running: prepare!(comm, buffer => comm.inner.recv_init(buffer, source, tag)),
            end: |copy, buffer| buffer.elements_mut().copy_from_slice(copy),
        }
    }

    pub fn start(&mut self) -> Result<()> {
        match &mut self.running {
            Running::Own(request) => request.start(),
            Running::Pinned(request, buffer) => {
                if let Ok(copy) = request.buffer_mut() {
                    copy.as_mut_slice()
                        .expect(CUDA)
                        .copy_from_slice(buffer.elements());
                }
                request.start()
            }
            Running::Device { request, buffer, .. } => {
                if let Ok(copy) = request.buffer_mut()
                    && !buffer.elements().is_empty()
                {
                    let stream = copy.stream().clone();
                    stream.memcpy_htod(buffer.elements(), copy).expect(CUDA);
                }
                request.start()
            }
        }
    }

    /// The case's buffer again, after an operation.
    fn ended(&mut self) -> Result<()> {
        match &mut self.running {
            Running::Own(_) => {}
            Running::Pinned(request, buffer) => {
                (self.end)(request.buffer()?.as_slice().expect(CUDA), buffer);
            }
            Running::Device { request, buffer, .. } => {
                let copy = request.buffer()?;
                (self.end)(&copy.stream().clone_dtoh(copy).expect(CUDA), buffer);
            }
        }
        Ok(())
    }

    pub fn wait(&mut self) -> Result<Status> {
        let status = match &mut self.running {
            Running::Own(request) => request.wait(),
            Running::Pinned(request, _) => request.wait(),
            Running::Device { request, .. } => request.wait(),
        }?;
        self.ended()?;
        Ok(status)
    }

    pub fn test(&mut self) -> Result<Option<Status>> {
        let status = match &mut self.running {
            Running::Own(request) => request.test(),
            Running::Pinned(request, _) => request.test(),
            Running::Device { request, .. } => request.test(),
        }?;
        if status.is_some() {
            self.ended()?;
        }
        Ok(status)
    }

    pub fn buffer(&self) -> Result<&B> {
        match &self.running {
            Running::Own(request) => request.buffer(),
            Running::Pinned(request, buffer) => request.buffer().map(|_| buffer),
            Running::Device { request, buffer, .. } => request.buffer().map(|_| buffer),
        }
    }

    pub fn buffer_mut(&mut self) -> Result<&mut B> {
        match &mut self.running {
            Running::Own(request) => request.buffer_mut(),
            Running::Pinned(request, buffer) => request.buffer_mut().map(|_| buffer),
            Running::Device { request, buffer, .. } => request.buffer_mut().map(|_| buffer),
        }
    }

    pub fn into_buffer(self) -> Result<B> {
        match self.running {
            Running::Own(request) => Ok(request.into_buffer()?),
            Running::Pinned(request, buffer) => Ok(request.into_buffer().map(|_| buffer)?),
            Running::Device { request, buffer, .. } => Ok(request.into_buffer().map(|_| buffer)?),
        }
    }
}

impl<B: OwnedElements> AnyRequest for Persistent<B> {
    fn inner(&self) -> &dyn warpcomm::AnyRequest {
        match &self.running {
            Running::Own(request) => request,
            Running::Pinned(request, _) => request,
            Running::Device { request, .. } => request,
        }
    }
}

pub fn start_all<B: OwnedElements>(requests: &mut [Persistent<B>]) -> Result<()> {
    let mut outcome = Ok(());
    for request in requests {
        outcome = outcome.and(request.start());
    }
    outcome
}
