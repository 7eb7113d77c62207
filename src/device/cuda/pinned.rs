//! Page-locked host memory, which GPUs copy to and from by themselves: pooled, because locking pages takes
//! longer than most messages.

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::Poll;

use cudarc::driver::{DriverError, result, sys};

use super::failed;
use super::gpu::Gpu;
use super::lane::{Lane, Mark, Waiting};
use super::page_lock::locked_bytes;
use super::signal::Signal;
use crate::error::Result;

/// The smallest slab, a page.
const SMALLEST_BYTES: usize = 4096;

/// What the pool keeps for later, as soon as GPUs are done with it; in use there may be more.
const KEPT_BYTES: usize = 256 << 20;

/// Up to this size slabs have a word behind them, in which a GPU says that it is done with them.
const SIGNALLED_BYTES: usize = 32 << 10;

/// What such a word takes: a cache line.
const WORD_BYTES: usize = 64;

/// Page-locked memory of at least the size that was asked for; it goes back to the pool when dropped, and from
/// there to the next user once the GPU is done with it.
pub(crate) struct PinnedSlab {
    memory: Memory,
    used: Option<Until>,
}

/// Until where a GPU uses a slab.
enum Until {
    Mark(Mark),
    /// Of a short message, which waits for little else.
    Signal(Signal),
}

impl Until {
    fn is_over(&self) -> Result<bool> {
        match self {
            Until::Mark(mark) => mark.is_over(),
            Until::Signal(signal) => signal.is_over(),
        }
    }
}

struct Memory {
    /// In whose context it was allocated.
    gpu: &'static Gpu,
    pointer: *mut u8,
    bytes: usize,
    /// What a GPU has written last to the word behind it, or is to write.
    signalled: u32,
}

// SAFETY: the memory belongs to one value at a time, and is reached by raw pointers.
unsafe impl Send for Memory {}
// SAFETY: as above; a shared reference gives out nothing but the address.
unsafe impl Sync for Memory {}

#[derive(Default)]
struct Pool {
    /// By size in bytes.
    kept: BTreeMap<usize, Vec<(Memory, Option<Until>)>>,
    usage: PinnedUsage,
}

/// How much page-locked host memory the library has for staging device buffers; see [`pinned_usage`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PinnedUsage {
    /// Slabs that messages use now.
    pub slabs_in_use: usize,
    /// Their size in bytes.
    pub bytes_in_use: usize,
    /// The size in bytes of the slabs that are kept for later.
    pub bytes_kept: usize,
    /// The size in bytes of the memory that this process shares with others on its node: 16 MiB for each peer that sends
    /// to it or is sent to, from their first long message on. Beyond 1 GiB messages are staged instead.
    pub bytes_shared: usize,
}

static POOL: Mutex<Pool> = Mutex::new(Pool {
    kept: BTreeMap::new(),
    usage: PinnedUsage {
        slabs_in_use: 0,
        bytes_in_use: 0,
        bytes_kept: 0,
        bytes_shared: 0,
    },
});

fn pool() -> MutexGuard<'static, Pool> {
    // The counts are changed together with the lists, without a panic in between.
    POOL.lock().unwrap_or_else(PoisonError::into_inner)
}

/// How much page-locked host memory this process uses for messages of device buffers, and how much it keeps.
///
/// Nothing is in use when no operation is pending.
///
/// ```
/// assert_eq!(warpcomm::pinned_usage().slabs_in_use, 0);
/// ```
pub fn pinned_usage() -> PinnedUsage {
    PinnedUsage {
        bytes_shared: locked_bytes(),
        ..pool().usage
    }
}

/// Gives the page-locked host memory that is kept for later back to the system, as far as no GPU is still at it, and
/// says how many bytes that were.
///
/// For programs that are done with device buffers for a while: the next message has to lock pages again.
///
/// ```
/// warpcomm::release_pinned();
/// assert_eq!(warpcomm::pinned_usage().bytes_kept, 0); // nothing was sent
/// ```
pub fn release_pinned() -> usize {
    let surplus = pool().take_beyond(0);
    let bytes = surplus.iter().map(|memory| memory.bytes).sum();
    give_back(surplus);
    bytes
}

/// Frees memory that nobody uses any more.
fn give_back(surplus: Vec<Memory>) {
    for memory in surplus {
        if memory.gpu.bind().is_ok() {
            // SAFETY: allocated by `take`, and used by nobody. It fails where the GPU has failed.
            let _ = unsafe { result::free_host(memory.pointer.cast()) };
        }
    }
}

impl Memory {
    fn allocate(gpu: &'static Gpu, bytes: usize) -> Result<Memory, DriverError> {
        let flags = sys::CU_MEMHOSTALLOC_PORTABLE | sys::CU_MEMHOSTALLOC_DEVICEMAP;
        let behind = if bytes <= SIGNALLED_BYTES { WORD_BYTES } else { 0 };
        gpu.bind()?;
        // SAFETY: the memory belongs to the slab, and is freed as it was allocated.
        let pointer = unsafe { result::malloc_host(bytes + behind, flags) }?.cast();
        let memory = Memory {
            gpu,
            pointer,
            bytes,
            signalled: 0,
        };
        if let Some(word) = memory.word() {
            // SAFETY: new memory, which nobody else has.
            unsafe { word.write(memory.signalled) };
        }
        Ok(memory)
    }

    /// The word behind a small slab.
    fn word(&self) -> Option<*mut u32> {
        // SAFETY: allocated with it.
        (self.bytes <= SIGNALLED_BYTES).then(|| unsafe { self.pointer.add(self.bytes) }.cast())
    }

    /// Has a lane's GPU tell by the word when it has come so far; none where it cannot.
    fn signal(&mut self, lane: &Lane) -> Option<Signal> {
        let word = self.word()?;
        self.signalled = self.signalled.wrapping_add(1);
        // SAFETY: the word is aligned as pages are, and is freed when the signal is over; there is one at a time.
        unsafe { Signal::put(lane, word, self.signalled) }
    }
}

impl PinnedSlab {
    /// A slab of at least `bytes` bytes.
    pub(crate) fn take(gpu: &'static Gpu, bytes: usize) -> Result<PinnedSlab> {
        let bytes = bytes.max(SMALLEST_BYTES).next_power_of_two();
        let kept = pool().take_free(bytes);
        let memory = match kept {
            Some(memory) => memory,
            None => {
                let what = || format!("cannot allocate {bytes} bytes of page-locked memory");
                Memory::allocate(gpu, bytes).map_err(|error| failed(&what(), error))?
            }
        };
        let mut pool = pool();
        pool.usage.slabs_in_use += 1;
        pool.usage.bytes_in_use += bytes;
        Ok(PinnedSlab { memory, used: None })
    }

    pub(crate) fn pointer(&self) -> *mut u8 {
        self.memory.pointer
    }

    /// Says that the lane uses the slab in what was started until now.
    pub(crate) fn used_until_here(&mut self, lane: &Lane) -> Result<()> {
        // Two lanes would write to the word in any order.
        let signal = match self.used.take() {
            None => self.memory.signal(lane),
            Some(_) => None,
        };
        self.used = Some(match signal {
            Some(signal) => Until::Signal(signal),
            None => Until::Mark(lane.mark().inspect_err(|_| lane.wait())?),
        });
        Ok(())
    }

    /// Waits until the GPU is done with the slab.
    pub(crate) async fn settle(&mut self) -> Result<()> {
        let _waiting = Waiting::new();
        poll_fn(|_| self.poll_free()).await
    }

    /// Whether the GPU is done with the slab, and how that ended.
    pub(crate) fn poll_free(&mut self) -> Poll<Result<()>> {
        match self.used.as_ref().map_or(Ok(true), Until::is_over) {
            Ok(false) => Poll::Pending,
            Ok(true) => {
                self.used = None;
                Poll::Ready(Ok(()))
            }
            Err(error) => Poll::Ready(Err(error)),
        }
    }
}

impl Drop for PinnedSlab {
    fn drop(&mut self) {
        let bytes = self.memory.bytes;
        let memory = Memory { ..self.memory };
        let surplus = {
            let mut pool = pool();
            pool.usage.slabs_in_use -= 1;
            pool.usage.bytes_in_use -= bytes;
            pool.usage.bytes_kept += bytes;
            pool.kept
                .entry(bytes)
                .or_default()
                .push((memory, self.used.take()));
            pool.take_beyond(KEPT_BYTES)
        };
        give_back(surplus);
    }
}

/// Whether no GPU uses a slab any more. One that has failed does nothing.
fn is_free((_, used): &(Memory, Option<Until>)) -> bool {
    used.as_ref().is_none_or(|used| used.is_over().unwrap_or(true))
}

impl Pool {
    /// A slab of this size that nobody uses.
    fn take_free(&mut self, bytes: usize) -> Option<Memory> {
        let kept = self.kept.get_mut(&bytes)?;
        let at = kept.iter().position(is_free)?;
        self.usage.bytes_kept -= bytes;
        Some(kept.swap_remove(at).0)
    }

    /// What is kept beyond so many bytes, the largest first, as far as nobody uses it.
    fn take_beyond(&mut self, most: usize) -> Vec<Memory> {
        let mut surplus = Vec::new();
        if self.usage.bytes_kept <= most {
            return surplus;
        }
        let sizes: Vec<usize> = self.kept.keys().rev().copied().collect();
        for bytes in sizes {
            while self.usage.bytes_kept > most
                && let Some(memory) = self.take_free(bytes)
            {
                surplus.push(memory);
            }
        }
        surplus
    }
}
