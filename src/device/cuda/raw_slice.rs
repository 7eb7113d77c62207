//! Elements that other libraries have allocated.

use std::fmt;
use std::marker::PhantomData;
use std::ptr::NonNull;
use std::sync::Arc;

use cudarc::driver::{CudaStream, DriverError, SyncOnDrop, sys};

use super::gpu::Gpu;
use super::{buffers, failed};
use crate::buffer::lower::{Lower, LowerMut};
use crate::buffer::{Buffer, BufferMut, Span};
use crate::dtype::Element;
use crate::error::{Error, ErrorKind, Result};

/// The kind of memory behind a pointer, as the CUDA driver sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum MemoryKind {
    /// Memory of the process that the driver does not know.
    Host,
    /// Page-locked memory of the process: `cuMemHostAlloc`, `cuMemHostRegister`.
    Pinned,
    /// The memory of a GPU, from a pool or not.
    Device,
    /// Memory that moves between the process and GPUs: `cuMemAllocManaged`.
    Managed,
}

/// A borrow of elements at a raw pointer: managed memory, or memory that another library has allocated.
///
/// Operations order themselves behind the stream that it was made with, and let the stream wait for them, as
/// they do with cudarc's buffers. On [`MemoryKind::Host`] and [`MemoryKind::Pinned`] memory, which the CPU
/// reads and writes itself, they wait for the stream when they start.
///
/// ```no_run
/// use warpcomm::{Communicator, MemoryKind, Op, RawSlice, cudarc::driver};
///
/// Communicator::threads(2, |comm| {
///     let stream = comm.device()?.new_stream().map_err(|_| "no stream").unwrap();
///     // SAFETY: freed below, after the last use.
///     let managed = unsafe { driver::result::malloc_managed(4096, driver::sys::CUmemAttach_flags::CU_MEM_ATTACH_GLOBAL) };
///     let pointer = managed.unwrap() as *mut f32;
///     // SAFETY: 1,024 elements, which nobody uses meanwhile; the kernels that write them are in `stream`.
///     let mut elements = unsafe { RawSlice::new(pointer, 1024, &stream) }?;
///     assert_eq!(elements.kind(), MemoryKind::Managed);
///     comm.allreduce_in_place(&mut elements, Op::Sum)?;
///     stream.synchronize().expect("the kernels have run");
///     // SAFETY: allocated above; the stream is done with it.
///     unsafe { driver::result::free_sync(pointer as u64) }.unwrap();
///     Ok::<(), warpcomm::Error>(())
/// })?;
/// # Ok::<(), warpcomm::Error>(())
/// ```
pub struct RawSlice<'a, T> {
    pointer: NonNull<T>,
    elements: usize,
    kind: MemoryKind,
    stream: Arc<CudaStream>,
    memory: PhantomData<&'a mut [T]>,
}

// SAFETY: it stands for a borrow of elements, which are `Send` and `Sync` by `Element`'s contract.
unsafe impl<T: Element> Send for RawSlice<'_, T> {}
// SAFETY: as above.
unsafe impl<T: Element> Sync for RawSlice<'_, T> {}

impl<T: Element> RawSlice<'_, T> {
    /// The `elements` elements at `pointer`, used in the order of `stream`; asks the driver what memory it is.
    ///
    /// # Errors
    /// [`InvalidArgument`](ErrorKind::InvalidArgument) for a null pointer, one that is not aligned to the
    /// element, memory of another GPU than the stream's, and an allocation that ends before the elements do;
    /// [`Device`](ErrorKind::Device) if the driver fails.
    ///
    /// # Safety
    /// For as long as the result lives, the memory holds so many valid elements and is used through it
    /// alone, by the process and by all streams but `stream`; what `stream` does with it was put there before
    /// an operation starts, or after it has returned.
    pub unsafe fn new(pointer: *mut T, elements: usize, stream: &Arc<CudaStream>) -> Result<Self> {
        let bad = |what: &str| Error::invalid(format!("{elements} {} at {pointer:p}: {what}", T::DTYPE));
        let pointer = match (NonNull::new(pointer), elements) {
            (Some(pointer), _) => pointer,
            (None, 0) => NonNull::dangling(),
            (None, _) => return Err(bad("a null pointer")),
        };
        if !pointer.is_aligned() {
            return Err(bad("not aligned to the element"));
        }
        let bytes = elements
            .checked_mul(size_of::<T>())
            .ok_or_else(|| bad("more than there can be"))?;
        let kind = match elements {
            0 => MemoryKind::Host,
            _ => classify(pointer.as_ptr() as u64, bytes, stream)?,
        };
        Ok(RawSlice {
            pointer,
            elements,
            kind,
            stream: Arc::clone(stream),
            memory: PhantomData,
        })
    }

    /// What memory it is.
    pub fn kind(&self) -> MemoryKind {
        self.kind
    }

    /// The number of elements.
    pub fn len(&self) -> usize {
        self.elements
    }

    /// Whether there are no elements.
    pub fn is_empty(&self) -> bool {
        self.elements == 0
    }

    fn span(&self) -> Span<'_> {
        if matches!(self.kind, MemoryKind::Device | MemoryKind::Managed) {
            let address = self.pointer.as_ptr() as u64;
            return buffers::lower::<T>(&self.stream, self.elements, |_| {
                (address, SyncOnDrop::Record(None))
            });
        }
        match self.stream.synchronize() {
            Ok(()) => Span::host(self.pointer.as_ptr(), self.elements),
            Err(error) => Span::broken::<T>(
                self.elements,
                failed("cannot wait for the buffer's stream", error),
            ),
        }
    }
}

/// Asks the driver what memory `bytes` bytes at an address are.
fn classify(address: u64, bytes: usize, stream: &CudaStream) -> Result<MemoryKind> {
    let gpu = Gpu::of(stream.context())?;
    let wrap = |error| failed("cannot classify a pointer", error);
    gpu.bind().map_err(wrap)?;
    let kind = match attribute(
        address,
        sys::CUpointer_attribute::CU_POINTER_ATTRIBUTE_MEMORY_TYPE,
    ) {
        // What the driver has never heard of.
        Err(DriverError(sys::CUresult::CUDA_ERROR_INVALID_VALUE)) => return Ok(MemoryKind::Host),
        Err(error) => return Err(wrap(error)),
        Ok(kind) => kind,
    };
    let is_managed =
        attribute(address, sys::CUpointer_attribute::CU_POINTER_ATTRIBUTE_IS_MANAGED).map_err(wrap)?;
    if is_managed != 0 {
        return Ok(MemoryKind::Managed);
    }
    if kind == sys::CUmemorytype::CU_MEMORYTYPE_HOST as u32 {
        return Ok(MemoryKind::Pinned);
    }
    if kind != sys::CUmemorytype::CU_MEMORYTYPE_DEVICE as u32 {
        return Err(Error::new(
            ErrorKind::Unsupported,
            format!("memory of the driver's type {kind}"),
        ));
    }
    let ordinal = attribute(
        address,
        sys::CUpointer_attribute::CU_POINTER_ATTRIBUTE_DEVICE_ORDINAL,
    )
    .map_err(wrap)?;
    if ordinal as usize != gpu.ordinal() {
        return Err(Error::invalid(format!(
            "memory of GPU {ordinal} with a stream of GPU {}",
            gpu.ordinal()
        )));
    }
    let (mut first, mut length) = (0, 0);
    // SAFETY: both results are written to variables of their types.
    unsafe { sys::cuMemGetAddressRange_v2(&mut first, &mut length, address) }
        .result()
        .map_err(wrap)?;
    let behind = length - (address - first) as usize;
    match bytes <= behind {
        true => Ok(MemoryKind::Device),
        false => Err(Error::invalid(format!(
            "{bytes} bytes at {address:#x}, where the allocation has {behind}"
        ))),
    }
}

/// An attribute that is a number of 32 bits, or a bool.
pub(super) fn attribute(address: u64, attribute: sys::CUpointer_attribute) -> Result<u32, DriverError> {
    let mut value = 0u32;
    // SAFETY: the attributes asked for have at most the size of the variable.
    unsafe { sys::cuPointerGetAttribute((&raw mut value).cast(), attribute, address) }.result()?;
    Ok(value)
}

impl<T: Element> Lower for RawSlice<'_, T> {
    fn lower(&self) -> Span<'_> {
        self.span()
    }
}

impl<T: Element> LowerMut for RawSlice<'_, T> {
    fn lower_mut(&mut self) -> Span<'_> {
        self.span()
    }
}

/// Elements at a raw pointer.
impl<T: Element> Buffer for RawSlice<'_, T> {
    type Element = T;
}

impl<T: Element> BufferMut for RawSlice<'_, T> {}

impl<T: Element> fmt::Debug for RawSlice<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let RawSlice {
            pointer,
            elements,
            kind,
            ..
        } = self;
        write!(
            f,
            "RawSlice({elements} {} of {kind:?} memory at {pointer:p})",
            T::DTYPE
        )
    }
}
