//! Buffers of different types for one operation, each in a memory of its own.

use warpcomm::cudarc::driver::{CudaSlice, CudaViewMut, PinnedHostSlice};
use warpcomm::{AnyBuffer, AnyBufferMut, RawSlice, Result};

use super::memory::{Form, Memory};
use super::{Communicator, Stage};
use crate::oracle::{Value, bytes};

/// A vector of any type.
pub trait Part {
    fn bytes(&self) -> Vec<u8>;
    fn held(&self, stage: &Stage) -> Box<dyn Held>;
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
}

impl<T: Value> Held for Copy<T> {
    fn lent(&mut self) -> Box<dyn Lent + '_> {
        Box::new(match &mut self.memory {
            Memory::Own => Shape::Own(&mut self.own),
            Memory::Pinned(pinned) => Shape::Pinned(pinned),
            Memory::Device(device) => match device.form {
                Form::Whole => Shape::Whole(&mut device.whole),
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

pub fn alltoallw(comm: &Communicator, send: &[Box<dyn Part>], recv: &mut [Box<dyn Part>]) -> Result<()> {
    let (mut sources, mut targets) = (held(send, &comm.stage), held(recv, &comm.stage));
    let outcome = {
        let sources: Vec<_> = sources.iter_mut().map(|held| held.lent()).collect();
        let mut targets: Vec<_> = targets.iter_mut().map(|held| held.lent()).collect();
        let send: Vec<_> = sources.iter().map(|lent| lent.any()).collect();
        let mut recv: Vec<_> = targets.iter_mut().map(|lent| lent.any_mut()).collect();
        comm.inner.alltoallw(&send, &mut recv)
    };
    for (source, part) in sources.iter().zip(send) {
        assert_eq!(source.part().bytes(), part.bytes(), "a buffer that was read");
    }
    give_back(recv, targets);
    outcome
}

pub fn alltoallw_in_place(comm: &Communicator, buffers: &mut [Box<dyn Part>]) -> Result<()> {
    let mut copies = held(buffers, &comm.stage);
    let outcome = {
        let mut lent: Vec<_> = copies.iter_mut().map(|held| held.lent()).collect();
        let mut lent: Vec<_> = lent.iter_mut().map(|lent| lent.any_mut()).collect();
        comm.inner.alltoallw_in_place(&mut lent)
    };
    give_back(buffers, copies);
    outcome
}
