//! Elements in another memory than the cases' own.

use std::ops::{Deref, Range};
use std::sync::Arc;

use warpcomm::cudarc::driver::{CudaSlice, CudaStream, CudaViewMut, DevicePtr, PinnedHostSlice};
use warpcomm::{DeviceBuffer, RawSlice};

use crate::oracle::{Value, assert_same};

/// A copy of a case's buffer, in the memory that the operation is to find it in.
pub enum Memory<T: Value> {
    /// There is no copy: the operation takes the case's own buffer.
    Own,
    Pinned(PinnedHostSlice<T>),
    Device(Device<T>),
}

/// As what a device buffer is handed to operations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// A whole `CudaSlice`.
    Whole,
    /// A view of a part of a `CudaSlice`.
    View,
    /// A `RawSlice` over such a part.
    Raw,
}

/// A buffer on a GPU, which may be a part of an allocation.
pub struct Device<T: Value> {
    pub form: Form,
    pub whole: Whole<T>,
    pub range: Range<usize>,
    /// What is before the elements, and behind them.
    pub around: [Vec<T>; 2],
    /// From here the elements are still being copied, perhaps.
    pub source: Option<PinnedSource<T>>,
}

/// An allocation on a GPU.
pub enum Whole<T: Value> {
    Slice(CudaSlice<T>),
    /// Of which there are only parts: other processes may copy from it.
    Buffer(DeviceBuffer<T>),
}

impl<T: Value> Whole<T> {
    pub fn as_view_mut(&mut self) -> CudaViewMut<'_, T> {
        match self {
            Whole::Slice(slice) => slice.as_view_mut(),
            Whole::Buffer(buffer) => buffer.as_view_mut(),
        }
    }

    pub fn slice_mut(&mut self, range: Range<usize>) -> CudaViewMut<'_, T> {
        match self {
            Whole::Slice(slice) => slice.slice_mut(range),
            Whole::Buffer(buffer) => buffer.try_slice_mut(range).expect("in the buffer"),
        }
    }

    /// What is handed over as a whole.
    pub fn as_mut(&mut self) -> &mut CudaSlice<T> {
        match self {
            Whole::Slice(slice) => slice,
            Whole::Buffer(_) => unreachable!("there are only parts of it"),
        }
    }

    pub fn into_slice(self) -> CudaSlice<T> {
        match self {
            Whole::Slice(slice) => slice,
            Whole::Buffer(_) => unreachable!("there are only parts of it"),
        }
    }
}

impl<T: Value> Deref for Whole<T> {
    type Target = CudaSlice<T>;

    fn deref(&self) -> &CudaSlice<T> {
        match self {
            Whole::Slice(slice) => slice,
            Whole::Buffer(buffer) => buffer,
        }
    }
}

/// Page-locked memory that a stream reads from, until it is done with that: where cudarc's event tracking is off,
/// it does not wait itself.
pub struct PinnedSource<T: Value> {
    pub slice: PinnedHostSlice<T>,
    pub stream: Arc<CudaStream>,
}

impl<T: Value> Drop for PinnedSource<T> {
    fn drop(&mut self) {
        // It fails where the GPU has failed, and then nobody reads any more.
        let _ = self.stream.synchronize();
    }
}

/// Why a test's own use of CUDA cannot fail: nothing injects faults into jobs with such buffers.
pub const CUDA: &str = "CUDA works";

impl<T: Value> Device<T> {
    /// The elements as a `RawSlice`.
    pub fn raw(&self) -> RawSlice<'_, T> {
        let view = self.whole.slice(self.range.clone());
        let stream = self.whole.stream();
        let (address, _ordered) = view.device_ptr(stream);
        // SAFETY: the elements are borrowed, used in the order of their stream, and all bits of test values
        // are valid ones.
        unsafe { RawSlice::new(address as *mut T, self.range.len(), stream) }.expect("memory of this GPU")
    }

    /// The elements, and a check of those around them. Nothing but cudarc waits for anything.
    fn read(&self) -> Vec<T> {
        let mut all = self.whole.stream().clone_dtoh(&*self.whole).expect(CUDA);
        let (before, behind) = (self.range.start, self.range.end);
        assert_same(&all[..before], &self.around[0], || {
            "the elements before a device buffer".to_owned()
        });
        assert_same(&all[behind..], &self.around[1], || {
            "the elements behind a device buffer".to_owned()
        });
        all.truncate(behind);
        all.split_off(before)
    }
}

impl<T: Value> Memory<T> {
    /// Copies the elements back to where they came from, those that nothing was received into as well.
    pub fn copy_back(&self, _into: &mut [T]) {
        match self {
            Memory::Own => {}
            Memory::Pinned(slice) => _into.copy_from_slice(slice.as_slice().expect(CUDA)),
            Memory::Device(device) => _into.copy_from_slice(&device.read()),
        }
    }

    /// Asserts that the elements are what they were.
    pub fn assert_unchanged(&self, _from: &[T]) {
        match self {
            Memory::Own => {}
            Memory::Pinned(slice) => assert_same(slice.as_slice().expect(CUDA), _from, || {
                "a pinned buffer that was read".to_owned()
            }),
            Memory::Device(device) => assert_same(&device.read(), _from, || {
                "a device buffer that was read".to_owned()
            }),
        }
    }
}

/// Evaluates an operation that reads a buffer, with what stands for it bound to a name: `$own` or a copy.
macro_rules! reading {
    ($memory:expr, $own:expr, $name:ident => $call:expr) => {
        match &$memory {
            Memory::Own => {
                let $name = $own;
                $call
            }
            Memory::Pinned($name) => $call,
            Memory::Device(device) => match device.form {
                Form::Whole => {
                    let $name = &*device.whole;
                    $call
                }
                Form::View => {
                    let $name = &device.whole.slice(device.range.clone());
                    $call
                }
                Form::Raw => {
                    let $name = &device.raw();
                    $call
                }
            },
        }
    };
}

/// The same for a buffer that is written.
macro_rules! writing {
    ($memory:expr, $own:expr, $name:ident => $call:expr) => {
        match &mut $memory {
            Memory::Own => {
                let $name = $own;
                $call
            }
            Memory::Pinned($name) => $call,
            Memory::Device(device) => match device.form {
                Form::Whole => {
                    let $name = device.whole.as_mut();
                    $call
                }
                Form::View => {
                    let $name = &mut device.whole.slice_mut(device.range.clone());
                    $call
                }
                Form::Raw => {
                    let $name = &mut device.raw();
                    $call
                }
            },
        }
    };
}
