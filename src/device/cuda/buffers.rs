//! The lowering of cudarc's buffers.

use std::sync::Arc;

use cudarc::driver::{
    CudaSlice, CudaStream, CudaView, CudaViewMut, DevicePtr, DevicePtrMut, DeviceRepr, DeviceSlice,
    DriverError, PinnedHostSlice, SyncOnDrop, ValidAsZeroBits, sys,
};

use super::failed;
use super::gpu::Gpu;
use super::lane::Lane;
use crate::buffer::lower::{Lower, LowerMut};
use crate::buffer::{Buffer, BufferMut, OwnedBuffer, OwnedBufferMut, Span};
use crate::dtype::{Complex, Element, Located};
use crate::error::Result;

/// What a span of a device buffer holds until its operation is over.
///
/// cudarc orders a buffer's users by events, which its owner may have turned off, and of which all views of a
/// buffer share one pair; so the buffer's own stream waits too.
struct Guard<'a> {
    /// Records cudarc's events, behind the operation's work; taken by `drop`.
    events: Option<SyncOnDrop<'a>>,
    buffer: Arc<CudaStream>,
    lane: Arc<Lane>,
    /// What `events` borrows.
    _stream: Arc<CudaStream>,
}

impl Drop for Guard<'_> {
    fn drop(&mut self) {
        drop(self.events.take());
        self.lane.before(&self.buffer);
    }
}

/// Takes a buffer of `elements` elements in the order of its stream; `address` waits for cudarc's events.
pub(super) fn lower<'a, T: Element>(
    stream: &Arc<CudaStream>,
    elements: usize,
    address: impl FnOnce(&'a CudaStream) -> (sys::CUdeviceptr, SyncOnDrop<'a>),
) -> Span<'a> {
    if elements == 0 {
        return Span::none::<T>();
    }
    let taken = || {
        let context = stream.context();
        let lane = Arc::new(Lane::behind(Gpu::of(context)?, stream)?);
        // SAFETY: the stream is the lane's, which outlives the wrapper: both are in the guard.
        let wrapped = unsafe { context.wrap_borrowed_stream(lane.handle()) };
        // SAFETY: the guard holds the value behind the reference, and drops what borrows it first.
        let borrowed: &'a CudaStream = unsafe { &*Arc::as_ptr(&wrapped) };
        // cudarc keeps the latest error of calls that return none: what is there already is the caller's to see.
        let earlier = context.check_err();
        let (address, events) = address(borrowed);
        let guard = Guard {
            events: Some(events),
            buffer: Arc::clone(stream),
            lane: Arc::clone(&lane),
            _stream: wrapped,
        };
        let waited = context.check_err();
        context.record_err(earlier);
        waited.map_err(|error| failed("cannot wait for the buffer's events", error))?;
        Ok((address, lane, guard))
    };
    match taken() {
        Ok((address, lane, guard)) => {
            Span::on_device::<T>(address as *mut u8, elements, lane, Box::new(guard))
        }
        Err(error) => Span::broken::<T>(elements, error),
    }
}

macro_rules! device_buffer {
    ($($type:ty;)*) => {$(
        impl<T: Element> Lower for $type {
            fn lower(&self) -> Span<'_> {
                lower::<T>(self.stream(), self.len(), |stream| self.device_ptr(stream))
            }
        }

        /// Elements in the memory of a GPU.
        impl<T: Element> Buffer for $type {
            type Element = T;
        }
    )*};
}

macro_rules! device_buffer_mut {
    ($($type:ty;)*) => {$(
        impl<T: Element> LowerMut for $type {
            fn lower_mut(&mut self) -> Span<'_> {
                let (stream, elements) = (Arc::clone(self.stream()), self.len());
                lower::<T>(&stream, elements, |stream| self.device_ptr_mut(stream))
            }
        }

        impl<T: Element> BufferMut for $type {}
    )*};
}

device_buffer! {
    CudaSlice<T>;
    CudaView<'_, T>;
    CudaViewMut<'_, T>;
}

device_buffer_mut! {
    CudaSlice<T>;
    CudaViewMut<'_, T>;
}

// SAFETY: the elements are on the GPU and belong to the value.
unsafe impl<T: Element> OwnedBuffer for CudaSlice<T> {}
// SAFETY: as above.
unsafe impl<T: Element> OwnedBufferMut for CudaSlice<T> {}

/// The elements of page-locked memory, once the GPU is done with them.
fn pinned<'a, T: Element>(pointer: Result<*mut T, DriverError>, elements: usize) -> Span<'a> {
    match pointer {
        Ok(pointer) => Span::host(pointer, elements),
        Err(error) => Span::broken::<T>(
            elements,
            failed("cannot wait for the GPU's use of the buffer", error),
        ),
    }
}

impl<T: Element + ValidAsZeroBits> Lower for PinnedHostSlice<T> {
    fn lower(&self) -> Span<'_> {
        pinned(self.as_ptr().map(<*const T>::cast_mut), self.len())
    }
}

impl<T: Element + ValidAsZeroBits> LowerMut for PinnedHostSlice<T> {
    fn lower_mut(&mut self) -> Span<'_> {
        let elements = self.len();
        pinned(self.as_mut_ptr(), elements)
    }
}

/// Page-locked host memory; an operation waits for the copies that were started with it, as far as cudarc has
/// recorded them: it does so in contexts with event tracking and more than one stream. Elsewhere wait for the
/// copies before the operation.
impl<T: Element + ValidAsZeroBits> Buffer for PinnedHostSlice<T> {
    type Element = T;
}

impl<T: Element + ValidAsZeroBits> BufferMut for PinnedHostSlice<T> {}

// SAFETY: the elements are in memory of the driver and belong to the value.
unsafe impl<T: Element + ValidAsZeroBits> OwnedBuffer for PinnedHostSlice<T> {}
// SAFETY: as above.
unsafe impl<T: Element + ValidAsZeroBits> OwnedBufferMut for PinnedHostSlice<T> {}

// SAFETY: two numbers in C's layout, as kernels declare them.
unsafe impl<T: DeviceRepr> DeviceRepr for Complex<T> {}
// SAFETY: two numbers, which may be zero.
unsafe impl<T: ValidAsZeroBits> ValidAsZeroBits for Complex<T> {}
// SAFETY: two numbers in C's layout without padding, as kernels declare them.
unsafe impl<T: DeviceRepr, I: DeviceRepr> DeviceRepr for Located<T, I> {}
// SAFETY: two numbers, which may be zero.
unsafe impl<T: ValidAsZeroBits, I: ValidAsZeroBits> ValidAsZeroBits for Located<T, I> {}
