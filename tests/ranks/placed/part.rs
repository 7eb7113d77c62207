//! Buffers of different types for one operation, each in a memory of its own.

use warpcomm::cudarc::driver::{CudaSlice, CudaViewMut, PinnedHostSlice};
use warpcomm::{AnyBuffer, AnyBufferMut, AnyOwnedBuffer, AnyOwnedBufferMut, RawSlice, Result};

use super::forms::{Names, awaited, note, repeated};
use super::manner::Manner;
use super::memory::{CUDA, Device, Form, Memory};
use super::{Communicator, Stage};
use crate::oracle::{Value, bytes};

/// A vector of any type.
pub trait Part {
    fn bytes(&self) -> Vec<u8>;
    fn held(&self, stage: &Stage) -> Box<dyn Held>;
    /// A copy for a request to send.
    fn owned(&self, stage: &Stage) -> AnyOwnedBuffer;
    /// A copy for a request to receive into.
    fn owned_mut(&self, stage: &Stage) -> AnyOwnedBufferMut;
    /// What is in a copy now.
    fn received(&self, copy: AnyOwnedBufferMut) -> Box<dyn Part>;
}

/// A copy of a vector, where the stage wants it.
pub trait Held {
    fn lent(&mut self) -> Box<dyn Lent + '_>;
    fn part(&self) -> Box<dyn Part>;
}

/// A copy as operations take it.
pub trait Lent {
    fn any(&self) -> AnyBuffer<'_>;
    fn any_mut(&mut self) -> AnyBufferMut<'_>;
}

struct Copy<T: Value> {
    own: Vec<T>,
    memory: Memory<T>,
}

enum Shape<'a, T: Value> {
    Own(&'a mut Vec<T>),
    Pinned(&'a mut PinnedHostSlice<T>),
    Whole(&'a mut CudaSlice<T>),
    View(CudaViewMut<'a, T>),
    Raw(RawSlice<'a, T>),
}

impl<T: Value> Part for Vec<T> {
    fn bytes(&self) -> Vec<u8> {
        bytes(self).to_vec()
    }

    fn held(&self, stage: &Stage) -> Box<dyn Held> {
        Box::new(Copy {
            own: self.clone(),
            memory: stage.place(self),
        })
    }

    fn owned(&self, stage: &Stage) -> AnyOwnedBuffer {
        match stage.place_owned(self) {
            Memory::Own => AnyOwnedBuffer::new(self.clone()),
            Memory::Pinned(copy) => AnyOwnedBuffer::new(copy),
            Memory::Device(Device { whole, .. }) => AnyOwnedBuffer::new(whole.into_slice()),
        }
    }

    fn owned_mut(&self, stage: &Stage) -> AnyOwnedBufferMut {
        match stage.place_owned(self) {
            Memory::Own => AnyOwnedBufferMut::new(self.clone()),
            Memory::Pinned(copy) => AnyOwnedBufferMut::new(copy),
            Memory::Device(Device { whole, .. }) => AnyOwnedBufferMut::new(whole.into_slice()),
        }
    }

    fn received(&self, copy: AnyOwnedBufferMut) -> Box<dyn Part> {
        let copy = match copy.into_inner::<Vec<T>>() {
            Ok(own) => return Box::new(own),
            Err(copy) => copy,
        };
        Box::new(match copy.into_inner::<PinnedHostSlice<T>>() {
            Ok(pinned) => pinned.as_slice().expect(CUDA).to_vec(),
            Err(copy) => {
                let device = copy.into_inner::<CudaSlice<T>>().expect("one of the three");
                device.stream().clone_dtoh(&device).expect(CUDA)
            }
        })
    }
}

impl<T: Value> Held for Copy<T> {
    fn lent(&mut self) -> Box<dyn Lent + '_> {
        Box::new(match &mut self.memory {
            Memory::Own => Shape::Own(&mut self.own),
            Memory::Pinned(pinned) => Shape::Pinned(pinned),
            Memory::Device(device) => match device.form {
                Form::Whole => Shape::Whole(device.whole.as_mut()),
                Form::View => Shape::View(device.whole.slice_mut(device.range.clone())),
                Form::Raw => Shape::Raw(device.raw()),
            },
        })
    }

    fn part(&self) -> Box<dyn Part> {
        let mut own = self.own.clone();
        self.memory.copy_back(&mut own);
        Box::new(own)
    }
}

impl<T: Value> Lent for Shape<'_, T> {
    fn any(&self) -> AnyBuffer<'_> {
        match self {
            Shape::Own(own) => AnyBuffer::new(&**own),
            Shape::Pinned(pinned) => AnyBuffer::new(&**pinned),
            Shape::Whole(whole) => AnyBuffer::new(&**whole),
            Shape::View(view) => AnyBuffer::new(view),
            Shape::Raw(raw) => AnyBuffer::new(raw),
        }
    }

    fn any_mut(&mut self) -> AnyBufferMut<'_> {
        match self {
            Shape::Own(own) => AnyBufferMut::new(&mut **own),
            Shape::Pinned(pinned) => AnyBufferMut::new(&mut **pinned),
            Shape::Whole(whole) => AnyBufferMut::new(&mut **whole),
            Shape::View(view) => AnyBufferMut::new(view),
            Shape::Raw(raw) => AnyBufferMut::new(raw),
        }
    }
}

fn held(parts: &[Box<dyn Part>], stage: &Stage) -> Vec<Box<dyn Held>> {
    parts.iter().map(|part| part.held(stage)).collect()
}

fn give_back(parts: &mut [Box<dyn Part>], held: Vec<Box<dyn Held>>) {
    for (part, held) in parts.iter_mut().zip(held) {
        *part = held.part();
    }
}

/// On borrowed buffers.
fn lent(comm: &Communicator, send: &[Box<dyn Part>], recv: &mut [Box<dyn Part>], scoped: bool) -> Result<()> {
    let (mut sources, mut targets) = (held(send, &comm.stage), held(recv, &comm.stage));
    let outcome = {
        let sources: Vec<_> = sources.iter_mut().map(|held| held.lent()).collect();
        let mut targets: Vec<_> = targets.iter_mut().map(|held| held.lent()).collect();
        let send: Vec<_> = sources.iter().map(|lent| lent.any()).collect();
        let mut recv: Vec<_> = targets.iter_mut().map(|lent| lent.any_mut()).collect();
        let recv = &mut recv;
        match scoped {
            true => comm.inner.scope(|scope| scope.ialltoallw(&send, recv).map(drop)),
            false => comm.inner.alltoallw(&send, recv),
        }
    };
    for (source, part) in sources.iter().zip(send) {
        assert_eq!(source.part().bytes(), part.bytes(), "a buffer that was read");
    }
    give_back(recv, targets);
    outcome
}

fn copies(parts: &[Box<dyn Part>], stage: &Stage) -> Vec<AnyOwnedBufferMut> {
    parts.iter().map(|part| part.owned_mut(stage)).collect()
}

fn receive(parts: &mut [Box<dyn Part>], copies: Vec<AnyOwnedBufferMut>) {
    for (part, copy) in parts.iter_mut().zip(copies) {
        *part = part.received(copy);
    }
}

const NAMES: Names = Names {
    start: "ialltoallw",
    scoped: "Scope::ialltoallw",
    prepare: "alltoallw_init",
};

const NAMES_IN_PLACE: Names = Names {
    start: "ialltoallw_in_place",
    scoped: "Scope::ialltoallw_in_place",
    prepare: "alltoallw_in_place_init",
};

pub fn alltoallw(comm: &Communicator, send: &[Box<dyn Part>], recv: &mut [Box<dyn Part>]) -> Result<()> {
    let manner = comm.manner();
    let stage = &comm.stage;
    let buffers = || {
        let sources: Vec<_> = send.iter().map(|part| part.owned(stage)).collect();
        (sources, copies(recv, stage))
    };
    let (outcome, (_, targets)) = match manner {
        Manner::Blocking => return lent(comm, send, recv, false),
        Manner::Scoped => {
            let outcome = lent(comm, send, recv, true);
            if outcome.is_ok() {
                note(manner, &NAMES);
            }
            return outcome;
        }
        Manner::NonBlocking => {
            let (sources, targets) = buffers();
            awaited(comm.inner.ialltoallw(sources, targets))
        }
        Manner::Persistent => {
            let (sources, targets) = buffers();
            // Other buffers for the second time.
            repeated(comm.inner.alltoallw_init(sources, targets), |again| {
                *again = buffers()
            })
        }
    };
    receive(recv, targets);
    if outcome.is_ok() {
        note(manner, &NAMES);
    }
    outcome
}

pub fn alltoallw_in_place(comm: &Communicator, buffers: &mut [Box<dyn Part>]) -> Result<()> {
    let (manner, stage) = (comm.manner(), &comm.stage);
    let outcome = match manner {
        Manner::Blocking | Manner::Scoped => {
            let mut held = held(buffers, stage);
            let outcome = {
                let mut lent: Vec<_> = held.iter_mut().map(|held| held.lent()).collect();
                let mut lent: Vec<_> = lent.iter_mut().map(|lent| lent.any_mut()).collect();
                let lent = &mut lent;
                match manner {
                    Manner::Scoped => comm
                        .inner
                        .scope(|scope| scope.ialltoallw_in_place(lent).map(drop)),
                    _ => comm.inner.alltoallw_in_place(lent),
                }
            };
            give_back(buffers, held);
            outcome
        }
        Manner::NonBlocking | Manner::Persistent => {
            let own = copies(buffers, stage);
            let (outcome, own) = match manner {
                Manner::NonBlocking => awaited(comm.inner.ialltoallw_in_place(own)),
                _ => repeated(comm.inner.alltoallw_in_place_init(own), |again| {
                    *again = copies(buffers, stage);
                }),
            };
            receive(buffers, own);
            outcome
        }
    };
    if outcome.is_ok() {
        note(manner, &NAMES_IN_PLACE);
    }
    outcome
}
