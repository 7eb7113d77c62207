//! Host memory that somebody else has allocated, page-locked for GPUs.

use std::sync::atomic::{AtomicUsize, Ordering};

use cudarc::driver::sys;

use super::failed;
use super::gpu::Gpu;
use crate::error::{Error, Result};

/// How many bytes a process locks at most: what it shares with 64 others.
const MOST_BYTES: usize = 64 * (17 << 20);

static LOCKED_BYTES: AtomicUsize = AtomicUsize::new(0);

/// How many bytes of this process are locked.
pub(super) fn locked_bytes() -> usize {
    LOCKED_BYTES.load(Ordering::Relaxed)
}

/// Locks the pages of memory until it is dropped.
pub(crate) struct PageLock {
    gpu: &'static Gpu,
    pointer: *mut u8,
    bytes: usize,
}

// SAFETY: the lock is undone from any thread in the GPU's context; the pointer is not followed.
unsafe impl Send for PageLock {}

impl PageLock {
    /// Locks the pages for all GPUs of the process.
    ///
    /// # Safety
    /// The memory stays mapped until the lock is dropped.
    pub(crate) unsafe fn new(gpu: &'static Gpu, pointer: *mut u8, bytes: usize) -> Result<PageLock> {
        if LOCKED_BYTES.fetch_add(bytes, Ordering::Relaxed) + bytes > MOST_BYTES {
            LOCKED_BYTES.fetch_sub(bytes, Ordering::Relaxed);
            return Err(Error::unsupported(format!(
                "the process would lock more than {MOST_BYTES} bytes of shared memory"
            )));
        }
        let locked = || {
            gpu.bind()?;
            // SAFETY: the caller's promise.
            unsafe { sys::cuMemHostRegister_v2(pointer.cast(), bytes, sys::CU_MEMHOSTREGISTER_PORTABLE) }
                .result()
        };
        match locked() {
            Ok(()) => Ok(PageLock { gpu, pointer, bytes }),
            Err(error) => {
                LOCKED_BYTES.fetch_sub(bytes, Ordering::Relaxed);
                Err(failed(
                    &format!("cannot lock {bytes} bytes of shared memory"),
                    error,
                ))
            }
        }
    }
}

impl Drop for PageLock {
    fn drop(&mut self) {
        LOCKED_BYTES.fetch_sub(self.bytes, Ordering::Relaxed);
        if self.gpu.bind().is_ok() {
            // SAFETY: locked by `new`, and unlocked once. It fails where the GPU has failed.
            let _ = unsafe { sys::cuMemHostUnregister(self.pointer.cast()) };
        }
    }
}
