//! Reusable memory for envelopes and frames, a few slabs kept by each thread.

use std::cell::RefCell;

/// What a slab holds: the largest envelope, or several frames.
pub(crate) const SLAB_BYTES: usize = 4096;

/// How many slabs a thread keeps for later.
const KEPT: usize = 64;

#[repr(align(64))]
struct Bytes([u8; SLAB_BYTES]);

/// Memory of [`SLAB_BYTES`] bytes that stays where it is; it goes back to the thread's stock when
/// dropped.
pub(crate) struct Slab(Option<Box<Bytes>>);

thread_local! {
    // The boxes are what is kept: their addresses were given to a transport.
    #[allow(clippy::vec_box)]
    static STOCK: RefCell<Vec<Box<Bytes>>> = const { RefCell::new(Vec::new()) };
}

impl Slab {
    #[inline]
    pub(crate) fn take() -> Slab {
        // A thread that is ending has no stock any more.
        let kept = STOCK.try_with(|stock| stock.borrow_mut().pop()).ok().flatten();
        Slab(Some(kept.unwrap_or_else(|| Box::new(Bytes([0; SLAB_BYTES])))))
    }

    #[inline]
    pub(crate) fn pointer(&self) -> *const u8 {
        self.0.as_ref().map_or(std::ptr::null(), |bytes| bytes.0.as_ptr())
    }

    #[inline]
    pub(crate) fn pointer_mut(&mut self) -> *mut u8 {
        self.0
            .as_mut()
            .map_or(std::ptr::null_mut(), |bytes| bytes.0.as_mut_ptr())
    }

    #[inline]
    pub(crate) fn bytes(&self) -> &[u8] {
        self.0.as_ref().map_or(&[], |bytes| &bytes.0)
    }

    #[inline]
    pub(crate) fn bytes_mut(&mut self) -> &mut [u8] {
        self.0.as_mut().map_or(&mut [], |bytes| &mut bytes.0)
    }
}

impl Drop for Slab {
    #[inline]
    fn drop(&mut self) {
        if let Some(bytes) = self.0.take() {
            let _ = STOCK.try_with(|stock| {
                let mut stock = stock.borrow_mut();
                if stock.len() < KEPT {
                    stock.push(bytes);
                }
            });
        }
    }
}
