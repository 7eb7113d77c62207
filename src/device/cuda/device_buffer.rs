//! A buffer that processes of one node copy from without a copy in between.

use std::fmt;
use std::mem::ManuallyDrop;
use std::ops::{Deref, RangeBounds};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use cudarc::driver::{
    CudaSlice, CudaStream, CudaViewMut, DevicePtr, DevicePtrMut, DeviceSlice, DriverError, SyncOnDrop,
    result, sys,
};

use super::exportable::Part;
use super::failed;
use super::gpu::Gpu;
use crate::buffer::lower::{Lower, LowerMut};
use crate::buffer::{Buffer, BufferMut, OwnedBuffer, OwnedBufferMut, Span};
use crate::dtype::Element;
use crate::error::{Error, ErrorKind, Result};

/// Elements in the memory of a GPU that other processes of the node can copy from: long messages from it go with one
/// copy, by whoever receives them, where the ranks have CUDA IPC (see [`Path`](crate::Path)). From any other buffer they
/// take one more.
///
/// It dereferences to a `CudaSlice`: kernels read it as `&*buffer` and write it as `&mut buffer.as_view_mut()`, and cudarc's
/// copies take it as it is. It operates in the order of the stream it was made with. Memory of dropped ones is used again
/// by later ones; beyond 64 MiB it goes back to the driver, which may wait for the GPU then, where buffers are made and
/// dropped: what was sent from once the processes that have received from it have closed it, which they do when they next
/// call this library. [`release_device`](crate::release_device) gives back the rest.
///
/// ```no_run
/// use warpcomm::{Communicator, DeviceBuffer, Op};
///
/// Communicator::threads(2, |comm| {
///     let stream = comm.device()?.new_stream().map_err(|_| "no stream").unwrap();
///     let mut sum = DeviceBuffer::from_slice(&stream, &[1.0f32; 1024])?;
///     comm.allreduce_in_place(&mut sum, Op::Sum)?;
///     assert_eq!(sum.to_vec()?, [2.0; 1024]);
///     Ok::<(), warpcomm::Error>(())
/// })?;
/// # Ok::<(), warpcomm::Error>(())
/// ```
pub struct DeviceBuffer<T: Element> {
    /// Its memory is the part's, which `drop` gives back.
    slice: ManuallyDrop<CudaSlice<T>>,
    /// None of no elements.
    part: Option<Part>,
    gpu: &'static Gpu,
}

impl<T: Element> DeviceBuffer<T> {
    /// `elements` elements, all of them zero, in the order of `stream`.
    ///
    /// # Errors
    /// [`InvalidArgument`](crate::ErrorKind::InvalidArgument) for more bytes than there can be,
    /// [`Device`](crate::ErrorKind::Device) if the driver fails, such as for want of memory.
    pub fn zeros(stream: &Arc<CudaStream>, elements: usize) -> Result<DeviceBuffer<T>> {
        let mut buffer = DeviceBuffer::allocate(stream, elements)?;
        if buffer.part.is_some() {
            let bytes = buffer.num_bytes();
            // Other streams wait for what is recorded at the end.
            let (address, _recorded) = buffer.slice.device_ptr_mut(stream);
            // SAFETY: the part has that many bytes, and the stream is alive.
            unsafe { result::memset_d8_async(address, 0, bytes, stream.cu_stream()) }
                .map_err(|error| failed("cannot set memory of the GPU to zero", error))?;
        }
        Ok(buffer)
    }

    /// A copy of elements of the host, which is complete when this returns.
    ///
    /// # Errors
    /// As for [`zeros`](DeviceBuffer::zeros).
    pub fn from_slice(stream: &Arc<CudaStream>, elements: &[T]) -> Result<DeviceBuffer<T>> {
        let buffer = DeviceBuffer::allocate(stream, elements.len())?;
        if let Some(part) = &buffer.part {
            let address = part.address as sys::CUdeviceptr;
            let copied = || {
                // SAFETY: the part has room for them; the stream is alive, and is waited for.
                unsafe {
                    result::memcpy_htod_async(address, elements, stream.cu_stream())?;
                    result::stream::synchronize(stream.cu_stream())
                }
            };
            copied().map_err(|error| failed("cannot copy to the GPU", error))?;
        }
        Ok(buffer)
    }

    fn allocate(stream: &Arc<CudaStream>, elements: usize) -> Result<DeviceBuffer<T>> {
        let bytes = elements
            .checked_mul(size_of::<T>())
            .filter(|&bytes| bytes <= isize::MAX as usize)
            .ok_or_else(|| {
                Error::invalid(format!(
                    "{elements} elements {}: more than there can be",
                    T::DTYPE
                ))
            })?;
        let gpu = Gpu::of(stream.context())?;
        gpu.bind().map_err(|error| failed("cannot use the GPU", error))?;
        let part = match bytes {
            0 => None,
            _ => Some(Part::take(gpu, bytes)?),
        };
        let ordered = part.as_ref().map_or(Ok(()), |part| part.after_earlier(stream));
        let address = part.as_ref().map_or(0, |part| part.address) as sys::CUdeviceptr;
        // cudarc keeps the latest error of calls that return none, and reports it in the next one: what is there already
        // is the caller's to see.
        let context = stream.context();
        let earlier = context.check_err();
        // It panics where no events can be made.
        // SAFETY: the memory is the buffer's as long as it lives; it is never freed through the slice.
        let slice = catch_unwind(AssertUnwindSafe(|| unsafe {
            stream.upgrade_device_ptr::<T>(address, elements)
        }));
        context.record_err(earlier);
        match (ordered, slice) {
            (Ok(()), Ok(slice)) => Ok(DeviceBuffer {
                slice: ManuallyDrop::new(slice),
                part,
                gpu,
            }),
            (ordered, slice) => {
                slice.ok().map(CudaSlice::leak);
                part.into_iter().for_each(|part| part.give_back(None));
                ordered?;
                Err(Error::new(
                    ErrorKind::Device,
                    "cannot make the events of a buffer",
                ))
            }
        }
    }

    /// The elements, copied to the host once everything in the buffer's stream is done.
    ///
    /// # Errors
    /// [`Device`](crate::ErrorKind::Device) if the driver fails.
    pub fn to_vec(&self) -> Result<Vec<T>> {
        let mut elements = Vec::new();
        if elements.try_reserve_exact(self.slice.len()).is_err() {
            return Err(Error::new(
                ErrorKind::Device,
                format!("no memory for {} elements on the host", self.slice.len()),
            ));
        }
        let stream = self.slice.stream();
        let length = self.slice.len();
        let mut copied = || -> Result<(), DriverError> {
            if self.part.is_some() {
                self.gpu.bind()?;
                let (address, _events) = self.slice.device_ptr(stream);
                let room = elements.spare_capacity_mut();
                // SAFETY: the room is for as many elements; the stream is alive, and is waited for.
                unsafe { result::memcpy_dtoh_async(&mut room[..length], address, stream.cu_stream()) }?;
            }
            // SAFETY: the stream is alive.
            unsafe { result::stream::synchronize(stream.cu_stream()) }
        };
        copied().map_err(|error| failed("cannot copy from the GPU", error))?;
        // SAFETY: written by the copy; all bytes of elements are elements.
        unsafe { elements.set_len(length) };
        Ok(elements)
    }

    /// A copy in memory of its own, in the order of the same stream. (`clone` is that of the `CudaSlice`, and gives one.)
    ///
    /// # Errors
    /// As for [`zeros`](DeviceBuffer::zeros).
    pub fn try_clone(&self) -> Result<DeviceBuffer<T>> {
        let stream = self.slice.stream();
        let mut copy = DeviceBuffer::allocate(stream, self.slice.len())?;
        if self.part.is_some() {
            let bytes = self.num_bytes();
            let (source, _read) = self.slice.device_ptr(stream);
            let (target, _written) = copy.slice.device_ptr_mut(stream);
            // SAFETY: both have that many bytes, and the stream is alive.
            unsafe { result::memcpy_dtod_async(target, source, bytes, stream.cu_stream()) }
                .map_err(|error| failed("cannot copy on the GPU", error))?;
        }
        Ok(copy)
    }

    /// A view of all elements that may be written, for kernels and copies.
    pub fn as_view_mut(&mut self) -> CudaViewMut<'_, T> {
        self.slice.as_view_mut()
    }

    /// A view of some elements that may be written; none where there are not as many.
    pub fn try_slice_mut(&mut self, bounds: impl RangeBounds<usize>) -> Option<CudaViewMut<'_, T>> {
        self.slice.try_slice_mut(bounds)
    }
}

impl<T: Element> Drop for DeviceBuffer<T> {
    fn drop(&mut self) {
        let stream = Arc::clone(self.slice.stream());
        // SAFETY: taken once, and not used again.
        let slice = unsafe { ManuallyDrop::take(&mut self.slice) };
        if let Some(part) = self.part.take() {
            let _ = self.gpu.bind();
            // The stream waits for those of other streams that use it.
            slice.leak();
            part.give_back_behind(self.gpu, &stream);
        } else {
            slice.leak();
        }
    }
}

impl<T: Element> Deref for DeviceBuffer<T> {
    type Target = CudaSlice<T>;

    fn deref(&self) -> &CudaSlice<T> {
        &self.slice
    }
}

impl<T: Element> DeviceSlice<T> for DeviceBuffer<T> {
    fn len(&self) -> usize {
        self.slice.len()
    }

    fn stream(&self) -> &Arc<CudaStream> {
        self.slice.stream()
    }
}

impl<T: Element> DevicePtr<T> for DeviceBuffer<T> {
    fn device_ptr<'a>(&'a self, stream: &'a CudaStream) -> (sys::CUdeviceptr, SyncOnDrop<'a>) {
        self.slice.device_ptr(stream)
    }
}

impl<T: Element> DevicePtrMut<T> for DeviceBuffer<T> {
    fn device_ptr_mut<'a>(&'a mut self, stream: &'a CudaStream) -> (sys::CUdeviceptr, SyncOnDrop<'a>) {
        self.slice.device_ptr_mut(stream)
    }
}

impl<T: Element> Lower for DeviceBuffer<T> {
    fn lower(&self) -> Span<'_> {
        Lower::lower(&*self.slice)
    }
}

impl<T: Element> LowerMut for DeviceBuffer<T> {
    fn lower_mut(&mut self) -> Span<'_> {
        LowerMut::lower_mut(&mut *self.slice)
    }
}

/// Elements in the memory of a GPU.
impl<T: Element> Buffer for DeviceBuffer<T> {
    type Element = T;
}

impl<T: Element> BufferMut for DeviceBuffer<T> {}

// SAFETY: the elements are on the GPU and belong to the value.
unsafe impl<T: Element> OwnedBuffer for DeviceBuffer<T> {}
// SAFETY: as above.
unsafe impl<T: Element> OwnedBufferMut for DeviceBuffer<T> {}

impl<T: Element> fmt::Debug for DeviceBuffer<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DeviceBuffer({} {})", self.slice.len(), T::DTYPE)
    }
}
