//! A stream that one operation has for itself.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::Poll;

use cudarc::driver::{CudaStream, DriverError, result, sys};

use super::gpu::{Event, Gpu, Stream};
use super::pinned::PinnedSlab;
use super::raw_slice::attribute;
use super::{failed, kernels};
use crate::awareness::Allocation;
use crate::device::{Device, Fold, Subtree};
use crate::error::Result;

/// A queue of copies and kernels on a GPU, in which an operation puts its work in order.
///
/// A span takes a lane that waits for what the buffer's own stream had to do before, and at the end that stream
/// waits for the lane. So nobody but the GPU waits, and lanes of different operations do not wait for each
/// other.
pub(crate) struct Lane {
    gpu: &'static Gpu,
    /// Taken by `drop`. The lock keeps a record of the event and the wait for it together.
    stream: Mutex<Option<Stream>>,
    handle: sys::CUstream,
}

// SAFETY: the driver's handles may be used from any thread in whose context they are.
unsafe impl Send for Lane {}
// SAFETY: as above; the driver's calls are thread-safe.
unsafe impl Sync for Lane {}

/// `CU_STREAM_PER_THREAD`: another stream on each thread.
pub(super) const PER_THREAD_STREAM: sys::CUstream = std::ptr::without_provenance_mut(2);

/// The bytes that one slab takes of what the CPU copies too, and how many of them are under way at the same time.
const PIECE_BYTES: usize = 1 << 20;
const WINDOW: usize = 4;

/// How many futures wait for a GPU at the moment.
static WAITING: AtomicUsize = AtomicUsize::new(0);

/// Whether somebody in this process waits for a GPU, which rings no bell when it is done.
pub(crate) fn is_anybody_waiting() -> bool {
    WAITING.load(Ordering::Relaxed) > 0
}

/// Counts who waits for a GPU.
pub(crate) struct Waiting(());

impl Waiting {
    pub(crate) fn new() -> Waiting {
        WAITING.fetch_add(1, Ordering::Relaxed);
        Waiting(())
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        WAITING.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Lane {
    /// A lane whose work waits for what is in `stream` now.
    pub(super) fn behind(gpu: &'static Gpu, stream: &CudaStream) -> Result<Lane> {
        let taken = || {
            gpu.bind()?;
            let taken = gpu.take_stream()?;
            let lane = Lane {
                gpu,
                handle: taken.stream,
                stream: Mutex::new(Some(taken)),
            };
            let order = lane.order();
            // SAFETY: both streams and the event are alive and of one context.
            unsafe { order_streams(order.as_ref(), stream.cu_stream(), lane.handle) }?;
            drop(order);
            Ok(lane)
        };
        taken().map_err(|error| failed("cannot wait for the buffer's stream", error))
    }

    fn order(&self) -> MutexGuard<'_, Option<Stream>> {
        self.stream.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn handle(&self) -> sys::CUstream {
        self.handle
    }

    pub(crate) fn gpu(&self) -> &'static Gpu {
        self.gpu
    }

    /// Makes the lane's context that of the thread, for others that call the driver.
    pub(crate) fn enter(&self) -> Result<()> {
        self.gpu
            .bind()
            .map_err(|error| failed("cannot enter the GPU's context", error))
    }

    /// How the memory at an address of this GPU was allocated; none for memory that hosts have too.
    pub(crate) fn allocation(&self, address: usize) -> Result<Option<Allocation>> {
        use sys::CUpointer_attribute::{
            CU_POINTER_ATTRIBUTE_IS_LEGACY_CUDA_IPC_CAPABLE as CAN_BE_EXPORTED,
            CU_POINTER_ATTRIBUTE_IS_MANAGED as IS_MANAGED,
        };
        self.enter()?;
        let ask = |wanted| {
            attribute(address as u64, wanted).map_err(|error| failed("cannot classify a pointer", error))
        };
        if ask(IS_MANAGED)? != 0 {
            return Ok(None);
        }
        Ok(Some(match ask(CAN_BE_EXPORTED)? {
            0 => Allocation::Pool,
            _ => Allocation::Plain,
        }))
    }

    /// Whether kernels of this lane reach the memory of the other's GPU.
    pub(crate) fn shares_memory(&self, other: &Lane) -> bool {
        std::ptr::eq(self.gpu, other.gpu)
    }

    /// Lets what is started from here on wait for everything that was started on another lane.
    pub(crate) fn after(&self, earlier: &Lane) -> Result<()> {
        if self.handle == earlier.handle {
            return Ok(());
        }
        let ordered = || {
            earlier.gpu.bind()?;
            let order = earlier.order();
            // SAFETY: both streams are alive; the event is of the earlier one's context.
            unsafe { order_streams(order.as_ref(), earlier.handle, self.handle) }
        };
        ordered().map_err(|error| failed("cannot order two streams", error))
    }

    /// Lets what is put in `stream` from here on wait for everything that was started on this lane; in the
    /// worst case by waiting here.
    pub(super) fn before(&self, stream: &CudaStream) {
        // An operation may end on another thread, where this handle means another stream.
        if stream.cu_stream() == PER_THREAD_STREAM {
            return self.wait();
        }
        let ordered = || {
            self.gpu.bind()?;
            let order = self.order();
            // SAFETY: as in `behind`.
            unsafe { order_streams(order.as_ref(), self.handle, stream.cu_stream()) }
        };
        if ordered().is_err() {
            self.wait();
        }
    }

    /// A point behind everything that was started.
    pub(crate) fn mark(&self) -> Result<Mark> {
        // SAFETY: the stream is alive, and of this context.
        unsafe { Mark::record(self.gpu, self.handle) }
    }

    /// Waits here until everything that was started is over, or the GPU has failed.
    pub(crate) fn wait(&self) {
        if self.gpu.bind().is_ok() {
            // SAFETY: the stream is alive. An error says that the GPU does nothing any more.
            let _ = unsafe { result::stream::synchronize(self.handle) };
        }
    }

    /// Waits until everything that was started is over.
    pub(crate) async fn settle(&self) -> Result<()> {
        let _waiting = Waiting::new();
        poll_fn(|_| match self.is_idle() {
            Ok(false) => Poll::Pending,
            asked => Poll::Ready(asked.map(drop)),
        })
        .await
    }

    /// Whether everything that was started is over.
    pub(crate) fn is_idle(&self) -> Result<bool> {
        is_idle(self.gpu, self.handle)
    }

    /// Folds `elements` elements of each input into every output, in the canonical order: of up to 16 inputs each element
    /// is read once, by one kernel, and written once to each of up to 16 outputs.
    ///
    /// # Safety
    /// As for [`Device::fold`], for each of the outputs, none of which overlaps another.
    pub(crate) unsafe fn fold_for_all(
        &self,
        what: Fold,
        inputs: &[*const u8],
        outputs: &[*mut u8],
        elements: usize,
    ) -> Result<()> {
        // SAFETY: the caller's promise is the same.
        unsafe { kernels::fold(self, what, &Subtree::of_ranks(inputs), outputs, false, elements) }
    }

    /// Copies the GPU's memory from the address `source` on to the host's, through a few slabs however much it is.
    ///
    /// # Safety
    /// `source` is valid for reading as many bytes as `target` has.
    pub(crate) async unsafe fn read(&self, source: usize, target: &mut [u8]) -> Result<()> {
        let mut first = source;
        let mut pieces = target.chunks_mut(PIECE_BYTES);
        let mut under_way = VecDeque::new();
        loop {
            while under_way.len() < WINDOW
                && let Some(piece) = pieces.next()
            {
                let mut slab = PinnedSlab::take(self.gpu, piece.len())?;
                // SAFETY: the caller's promise; the slab is that large, and used by nobody else until the mark.
                unsafe { self.copy(first as *const u8, slab.pointer(), piece.len()) }?;
                slab.used_until_here(self)?;
                first += piece.len();
                under_way.push_back((slab, piece));
            }
            let Some((mut slab, piece)) = under_way.pop_front() else {
                return Ok(());
            };
            slab.settle().await?;
            // SAFETY: the copy into the slab is over.
            piece.copy_from_slice(unsafe { std::slice::from_raw_parts(slab.pointer(), piece.len()) });
        }
    }

    /// Copies host memory, which may be used again afterwards, to the GPU's from the address `target` on, through a few
    /// slabs however much it is.
    ///
    /// # Safety
    /// `target` is valid for writing as many bytes as `source` has.
    pub(crate) async unsafe fn write(&self, source: &[u8], target: usize) -> Result<()> {
        let mut first = target;
        let mut under_way: VecDeque<PinnedSlab> = VecDeque::new();
        for piece in source.chunks(PIECE_BYTES) {
            if under_way.len() == WINDOW
                && let Some(mut oldest) = under_way.pop_front()
            {
                oldest.settle().await?;
            }
            let mut slab = PinnedSlab::take(self.gpu, piece.len())?;
            // SAFETY: the slab is that large, and nobody else uses it before the mark; the caller's promise.
            unsafe {
                std::ptr::copy_nonoverlapping(piece.as_ptr(), slab.pointer(), piece.len());
                self.copy(slab.pointer(), first as *mut u8, piece.len())?;
            }
            slab.used_until_here(self)?;
            first += piece.len();
            under_way.push_back(slab);
        }
        Ok(())
    }
}

/// Lets `later` wait for what is in `earlier` now.
///
/// # Safety
/// Both streams are alive, and the event of `order` is of the context of `earlier`.
unsafe fn order_streams(
    order: Option<&Stream>,
    earlier: sys::CUstream,
    later: sys::CUstream,
) -> Result<(), DriverError> {
    let Some(Stream {
        order: Event(event), ..
    }) = order
    else {
        return Ok(());
    };
    // SAFETY: the caller's promise.
    unsafe {
        result::event::record(*event, earlier)?;
        result::stream::wait_event(later, *event, sys::CUevent_wait_flags::CU_EVENT_WAIT_DEFAULT)
    }
}

impl Drop for Lane {
    fn drop(&mut self) {
        if let Some(stream) = self.order().take() {
            self.gpu.keep_stream(stream);
        }
    }
}

impl Device for Lane {
    fn allocate(&self, bytes: usize) -> Result<*mut u8> {
        let allocated = || {
            self.gpu.bind()?;
            // SAFETY: the stream is alive; the memory is not read before it is written.
            unsafe {
                match self.gpu.has_stream_ordered_allocation() {
                    true => result::malloc_async(self.handle, bytes.max(1)),
                    false => result::malloc_sync(bytes.max(1)),
                }
            }
        };
        let address = allocated()
            .map_err(|error| failed(&format!("cannot allocate {bytes} bytes on the GPU"), error))?;
        Ok(address as *mut u8)
    }

    unsafe fn free(&self, pointer: *mut u8, _bytes: usize) {
        let freed = || {
            self.gpu.bind()?;
            // SAFETY: allocated by `allocate` and given back once, as the caller promises.
            unsafe {
                if self.gpu.has_stream_ordered_allocation() {
                    return result::free_async(pointer as u64, self.handle);
                }
                result::stream::synchronize(self.handle)?;
                result::free_sync(pointer as u64)
            }
        };
        // It fails where the GPU has failed, and then there is nothing left to free.
        let _ = freed();
    }

    unsafe fn copy(&self, source: *const u8, target: *mut u8, bytes: usize) -> Result<()> {
        if bytes == 0 {
            return Ok(());
        }
        let copied = || {
            self.gpu.bind()?;
            // SAFETY: the caller promises the ranges; addresses are unified, so the driver knows whose they are.
            unsafe { sys::cuMemcpyAsync(target as u64, source as u64, bytes, self.handle) }.result()
        };
        copied().map_err(|error| failed(&format!("cannot copy {bytes} bytes to or from the GPU"), error))
    }

    unsafe fn fold(&self, what: Fold, inputs: &[*const u8], output: *mut u8, elements: usize) -> Result<()> {
        // SAFETY: the caller's promise is the same.
        unsafe { kernels::fold(self, what, &Subtree::of_ranks(inputs), &[output], false, elements) }
    }

    unsafe fn fold_subtrees(
        &self,
        what: Fold,
        subtrees: &[Subtree],
        output: *mut u8,
        is_partial: bool,
        elements: usize,
    ) -> Result<()> {
        // SAFETY: the caller's promise is the same.
        unsafe { kernels::fold(self, what, subtrees, &[output], is_partial, elements) }
    }
}

/// A point in a lane.
pub(crate) struct Mark {
    gpu: &'static Gpu,
    /// Taken by `drop`.
    event: Option<Event>,
}

impl Mark {
    /// A point behind everything that was put in a stream of a GPU.
    pub(super) fn of(gpu: &'static Gpu, stream: &CudaStream) -> Result<Mark> {
        // SAFETY: the stream is alive; whose it is the caller says.
        unsafe { Mark::record(gpu, stream.cu_stream()) }
    }

    /// # Safety
    /// The stream is alive, and of the GPU's context.
    unsafe fn record(gpu: &'static Gpu, stream: sys::CUstream) -> Result<Mark> {
        let recorded = || {
            gpu.bind()?;
            let mark = Mark {
                gpu,
                event: Some(gpu.take_event()?),
            };
            if let Some(Event(event)) = mark.event {
                // SAFETY: the event is alive and of this context; the caller's promise.
                unsafe { result::event::record(event, stream) }?;
            }
            Ok(mark)
        };
        recorded().map_err(|error| failed("cannot record an event", error))
    }

    /// Lets what is put in a stream from here on wait for it.
    pub(super) fn hold(&self, stream: &CudaStream) -> Result<()> {
        let Some(Event(event)) = self.event else {
            return Ok(());
        };
        let wait = sys::CUevent_wait_flags::CU_EVENT_WAIT_DEFAULT;
        // SAFETY: stream and event are alive.
        let held = self
            .gpu
            .bind()
            .and_then(|()| unsafe { result::stream::wait_event(stream.cu_stream(), event, wait) });
        held.map_err(|error| failed("cannot wait for an earlier buffer", error))
    }

    /// Whether everything before the mark is over.
    pub(crate) fn is_over(&self) -> Result<bool> {
        let Some(Event(event)) = self.event else {
            return Ok(true);
        };
        // Whatever thread asks.
        // SAFETY: the event is alive.
        let asked = self
            .gpu
            .bind()
            .and_then(|()| unsafe { result::event::query(event) });
        is_over(asked)
    }

    /// Waits here until everything before the mark is over, or the GPU has failed.
    pub(crate) fn wait(&self) {
        if let Some(Event(event)) = self.event
            && self.gpu.bind().is_ok()
        {
            // SAFETY: the event is alive. An error says that the GPU does nothing any more.
            let _ = unsafe { result::event::synchronize(event) };
        }
    }
}

/// Whether everything that was put in a stream of a GPU is over.
pub(super) fn is_idle(gpu: &Gpu, stream: sys::CUstream) -> Result<bool> {
    // Whatever thread asks.
    // SAFETY: streams of this library are never destroyed.
    let asked = gpu
        .bind()
        .and_then(|()| unsafe { sys::cuStreamQuery(stream) }.result());
    is_over(asked)
}

/// What the driver says of work that may be over.
pub(super) fn is_over(asked: Result<(), DriverError>) -> Result<bool> {
    match asked {
        Ok(()) => Ok(true),
        Err(DriverError(sys::CUresult::CUDA_ERROR_NOT_READY)) => Ok(false),
        // While another thread captures a graph, the driver does not say.
        Err(DriverError(
            sys::CUresult::CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED
            | sys::CUresult::CUDA_ERROR_STREAM_CAPTURE_IMPLICIT,
        )) => Ok(false),
        Err(error) => Err(failed("the GPU has failed", error)),
    }
}

// SAFETY: see `Event`; a shared mark is only asked.
unsafe impl Sync for Mark {}

impl Drop for Mark {
    fn drop(&mut self) {
        if let Some(event) = self.event.take() {
            self.gpu.keep_event(event);
        }
    }
}
