//! Memory of a GPU that other processes open: CUDA IPC.
//!
//! Only memory that was not allocated in the order of a stream can be opened, so windows have their own
//! (`cuMemAlloc`), in whole units of what the driver maps, so that nothing else is opened with them.

use std::sync::atomic::{AtomicU64, Ordering};

use cudarc::driver::{DriverError, result, sys};

use super::failed;
use super::gpu::Gpu;
use crate::error::Result;

/// What the driver maps memory by.
pub(super) const UNIT_BYTES: usize = 2 << 20;

/// What another process opens a window with: as the driver gives it.
pub(crate) type Handle = [u64; 8];

/// Memory of a GPU that another process can open.
pub(crate) struct Window {
    gpu: &'static Gpu,
    address: usize,
    bytes: usize,
    id: u64,
}

impl Window {
    /// Allocates at least `bytes` bytes.
    pub(crate) fn new(gpu: &'static Gpu, bytes: usize) -> Result<Window> {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let bytes = bytes.max(1).next_multiple_of(UNIT_BYTES);
        let allocated = || {
            gpu.bind()?;
            // SAFETY: the memory belongs to the window, which frees it.
            unsafe { result::malloc_sync(bytes) }
        };
        let what = || format!("cannot allocate {bytes} bytes on the GPU for other processes to open");
        let address = allocated().map_err(|error| failed(&what(), error))? as usize;
        Ok(Window {
            gpu,
            address,
            bytes,
            id: NEXT.fetch_add(1, Ordering::Relaxed),
        })
    }

    pub(crate) fn gpu(&self) -> &'static Gpu {
        self.gpu
    }

    pub(crate) fn address(&self) -> usize {
        self.address
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// The number of the allocation: no other of this process ever has it. It is not zero.
    pub(crate) fn id(&self) -> u64 {
        self.id
    }

    /// What another process opens it with.
    pub(crate) fn handle(&self) -> Result<Handle> {
        let mut handle = sys::CUipcMemHandle { reserved: [0; 64] };
        let mut exported = || {
            self.gpu.bind()?;
            // SAFETY: the address is that of an allocation, and the result is written to a variable of its type.
            unsafe { sys::cuIpcGetMemHandle(&mut handle, self.address as u64) }.result()
        };
        exported().map_err(|error| failed("cannot export memory of the GPU", error))?;
        // SAFETY: both are 64 plain bytes.
        Ok(unsafe { std::mem::transmute::<[std::ffi::c_char; 64], Handle>(handle.reserved) })
    }
}

impl Drop for Window {
    fn drop(&mut self) {
        if self.gpu.bind().is_ok() {
            // SAFETY: allocated by `new`, freed once. It fails where the GPU has failed.
            let _ = unsafe { result::free_sync(self.address as u64) };
        }
    }
}

/// The memory of another process's window.
pub(crate) struct OpenWindow {
    gpu: &'static Gpu,
    address: usize,
}

impl OpenWindow {
    /// Opens a window, for copies in the order of this GPU's streams.
    pub(crate) fn open(gpu: &'static Gpu, handle: &Handle) -> Result<OpenWindow> {
        let mut address = 0;
        // SAFETY: both are 64 plain bytes.
        let reserved = unsafe { std::mem::transmute::<Handle, [std::ffi::c_char; 64]>(*handle) };
        let flags = sys::CUipcMem_flags::CU_IPC_MEM_LAZY_ENABLE_PEER_ACCESS as u32;
        let mut opened = || {
            gpu.bind()?;
            // SAFETY: the result is written to a variable of its type; the driver refuses what is no handle.
            unsafe { sys::cuIpcOpenMemHandle_v2(&mut address, sys::CUipcMemHandle { reserved }, flags) }
                .result()
        };
        opened().map_err(|error| failed("cannot open memory of another process's GPU", error))?;
        Ok(OpenWindow {
            gpu,
            address: address as usize,
        })
    }

    pub(crate) fn gpu(&self) -> &'static Gpu {
        self.gpu
    }

    pub(crate) fn address(&self) -> usize {
        self.address
    }
}

impl Drop for OpenWindow {
    fn drop(&mut self) {
        if self.gpu.bind().is_ok() {
            // SAFETY: opened by `open`, closed once. It fails where the GPU has failed.
            let _ = unsafe { sys::cuIpcCloseMemHandle(self.address as u64) };
        }
    }
}

impl Gpu {
    /// Which GPU it is, the same in every process.
    pub(crate) fn uuid(&self) -> Result<[u64; 2]> {
        let uuid = result::device::get_uuid(self.context().cu_device())
            .map_err(|error| failed("cannot ask which GPU it is", error))?;
        // SAFETY: both are 16 plain bytes.
        Ok(unsafe { std::mem::transmute::<[std::ffi::c_char; 16], [u64; 2]>(uuid.bytes) })
    }

    /// Writes a number to memory of the GPU, and waits until it is there.
    ///
    /// # Safety
    /// The address is of that many bytes that nobody uses.
    pub(crate) unsafe fn write_now(&self, address: usize, number: u64) -> Result<()> {
        let number = [number];
        // A copy without a stream may return before the GPU has the bytes.
        // SAFETY: the caller's promise; the number is there until the stream was waited for.
        let write = |stream| unsafe { result::memcpy_htod_async(address as u64, &number, stream) };
        self.now(write)
            .map_err(|error| failed("cannot write memory of the GPU", error))
    }

    /// Reads a number from memory of a GPU.
    ///
    /// # Safety
    /// The address is of that many bytes that nobody writes.
    pub(crate) unsafe fn read_now(&self, address: usize) -> Result<u64> {
        let mut number = [0];
        // SAFETY: the caller's promise; the number is there until the stream was waited for.
        let read = |stream| unsafe { result::memcpy_dtoh_async(&mut number, address as u64, stream) };
        self.now(read)
            .map_err(|error| failed("cannot read memory of the GPU", error))?;
        Ok(number[0])
    }

    /// Does something in a stream, and waits for it.
    fn now(&self, act: impl FnOnce(sys::CUstream) -> Result<(), DriverError>) -> Result<(), DriverError> {
        let taken = self.take_stream()?;
        // SAFETY: the stream is alive.
        let done = act(taken.stream).and_then(|()| unsafe { result::stream::synchronize(taken.stream) });
        self.keep_stream(taken);
        done
    }
}
