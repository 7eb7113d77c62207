//! A point in a lane that the CPU sees in its own memory: looking costs no call of the driver, and so holds up no other
//! thread that calls it.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use cudarc::driver::{DriverError, sys};

use super::gpu::Gpu;
use super::lane::{Lane, is_idle};
use crate::error::Result;

/// How often a word is looked at before the driver is asked once: a GPU that has failed writes nothing.
const LOOKS: u32 = 1 << 10;

/// Set once the driver has said that streams do not write words.
static IS_UNSUPPORTED: AtomicBool = AtomicBool::new(false);

/// A word of page-locked memory that a GPU writes when everything before it in a lane is over.
pub(super) struct Signal {
    gpu: &'static Gpu,
    stream: sys::CUstream,
    word: *const AtomicU32,
    value: u32,
    looks: AtomicU32,
}

// SAFETY: streams are used from any thread in whose context they are; the word is only read, and outlives the signal.
unsafe impl Send for Signal {}
// SAFETY: as above.
unsafe impl Sync for Signal {}

impl Signal {
    /// Has a GPU write a value to a word that has another one; none where it cannot.
    ///
    /// # Safety
    /// The word is aligned, page-locked, there until the signal is over, and nobody else writes to it.
    pub(super) unsafe fn put(lane: &Lane, word: *mut u32, value: u32) -> Option<Signal> {
        if IS_UNSUPPORTED.load(Ordering::Relaxed) {
            return None;
        }
        let (gpu, stream) = (lane.gpu(), lane.handle());
        let fenced = sys::CUstreamWriteValue_flags::CU_STREAM_WRITE_VALUE_DEFAULT as u32;
        let put = gpu.bind().and_then(|()| {
            // SAFETY: the stream is alive; the caller's promise.
            unsafe { sys::cuStreamWriteValue32_v2(stream, word as u64, value, fenced) }.result()
        });
        if put == Err(DriverError(sys::CUresult::CUDA_ERROR_NOT_SUPPORTED)) {
            IS_UNSUPPORTED.store(true, Ordering::Relaxed);
        }
        put.is_ok().then(|| Signal {
            gpu,
            stream,
            word: word.cast(),
            value,
            looks: AtomicU32::new(0),
        })
    }

    /// Whether everything before it is over.
    pub(super) fn is_over(&self) -> Result<bool> {
        // SAFETY: it is there, by the promise of `put`.
        if unsafe { &*self.word }.load(Ordering::Acquire) == self.value {
            return Ok(true);
        }
        match self.looks.fetch_add(1, Ordering::Relaxed) % LOOKS {
            // Lanes give their streams back, and nobody destroys one.
            last if last == LOOKS - 1 => is_idle(self.gpu, self.stream),
            _ => Ok(false),
        }
    }
}
