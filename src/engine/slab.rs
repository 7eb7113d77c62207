//! Reusable memory for envelopes and frames, a few slabs kept by each thread.

use std::cell::RefCell;
use std::ptr::NonNull;

/// What a slab holds: the largest envelope, or several frames.
pub(crate) const SLAB_BYTES: usize = 4096;

/// How many slabs a thread keeps for later.
const KEPT: usize = 64;

#[repr(align(64))]
struct Bytes([u8; SLAB_BYTES]);

/// The memory of a slab. Moving a `Box` would claim that nobody else has its address; a transport has it.
struct Memory(NonNull<Bytes>);

// SAFETY: it owns plain bytes.
unsafe impl Send for Memory {}
// SAFETY: as above; a shared reference reads only.
unsafe impl Sync for Memory {}

impl Memory {
    fn new() -> Memory {
        Memory(NonNull::from(Box::leak(Box::new(Bytes([0; SLAB_BYTES])))))
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        // SAFETY: the box of `new`, given back once.
        drop(unsafe { Box::from_raw(self.0.as_ptr()) });
    }
}

/// Memory of [`SLAB_BYTES`] bytes that stays where it is; it goes back to the thread's stock when
/// dropped.
pub(crate) struct Slab(Option<Memory>);

thread_local! {
    static STOCK: RefCell<Vec<Memory>> = const { RefCell::new(Vec::new()) };
}

impl Slab {
    #[inline]
    pub(crate) fn take() -> Slab {
        // A thread that is ending has no stock any more.
        let kept = STOCK.try_with(|stock| stock.borrow_mut().pop()).ok().flatten();
        Slab(Some(kept.unwrap_or_else(Memory::new)))
    }

    #[inline]
    pub(crate) fn pointer(&self) -> *const u8 {
        self.0
            .as_ref()
            .map_or(std::ptr::null(), |memory| memory.0.as_ptr().cast())
    }

    #[inline]
    pub(crate) fn pointer_mut(&mut self) -> *mut u8 {
        self.pointer().cast_mut()
    }

    #[inline]
    pub(crate) fn bytes(&self) -> &[u8] {
        // SAFETY: initialized when it was made, and borrowed from its owner.
        self.0
            .as_ref()
            .map_or(&[], |memory| unsafe { &memory.0.as_ref().0 })
    }

    #[inline]
    pub(crate) fn bytes_mut(&mut self) -> &mut [u8] {
        // SAFETY: as for `bytes`.
        self.0
            .as_mut()
            .map_or(&mut [], |memory| unsafe { &mut memory.0.as_mut().0 })
    }
}

impl Drop for Slab {
    #[inline]
    fn drop(&mut self) {
        let memory = self.0.take();
        let _ = STOCK.try_with(|stock| {
            let mut stock = stock.borrow_mut();
            if stock.len() < KEPT {
                stock.extend(memory);
            }
        });
    }
}
