//! How many blocks of memory the test program has, and how many bytes it has had at most.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicU64, Ordering};

static BLOCKS: AtomicU64 = AtomicU64::new(0);
static BYTES: AtomicU64 = AtomicU64::new(0);
static MOST_BYTES: AtomicU64 = AtomicU64::new(0);

/// The system's allocator, which also counts.
struct Counting;

fn taken(bytes: usize) {
    let now = BYTES.fetch_add(bytes as u64, Ordering::Relaxed) + bytes as u64;
    MOST_BYTES.fetch_max(now, Ordering::Relaxed);
}

fn given_back(bytes: usize) {
    BYTES.fetch_sub(bytes as u64, Ordering::Relaxed);
}

// SAFETY: the system's allocator does it all; counting allocates nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        BLOCKS.fetch_add(1, Ordering::Relaxed);
        taken(layout.size());
        // SAFETY: the caller's promise.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        BLOCKS.fetch_add(1, Ordering::Relaxed);
        taken(layout.size());
        // SAFETY: the caller's promise.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        BLOCKS.fetch_sub(1, Ordering::Relaxed);
        given_back(layout.size());
        // SAFETY: the caller's promise.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, bytes: usize) -> *mut u8 {
        given_back(layout.size());
        taken(bytes);
        // SAFETY: the caller's promise.
        unsafe { System.realloc(pointer, layout, bytes) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// The blocks that were allocated and not freed, by Rust code of this process.
#[cfg(all(feature = "mpi", feature = "cuda"))]
pub fn blocks() -> u64 {
    BLOCKS.load(Ordering::Relaxed)
}

/// The most bytes that Rust code of this process has had at a time while `body` ran, beyond those that it had before.
#[cfg(feature = "pool")]
pub fn most_bytes<V>(body: impl FnOnce() -> V) -> (V, u64) {
    let before = BYTES.load(Ordering::Relaxed);
    MOST_BYTES.store(before, Ordering::Relaxed);
    let value = body();
    (value, MOST_BYTES.load(Ordering::Relaxed).saturating_sub(before))
}
