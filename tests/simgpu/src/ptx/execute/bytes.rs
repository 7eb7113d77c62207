//! Bytes aligned for every access, and accesses to memory that others may touch at the same time.

use std::sync::atomic::{AtomicU8, AtomicU16, AtomicU32, AtomicU64, Ordering};

/// Bytes at an alignment of 16.
#[derive(Default)]
pub struct Bytes {
    words: Vec<u128>,
    len: usize,
}

impl Bytes {
    pub fn len(&self) -> usize {
        self.len
    }

    /// Changes how many there are; new ones hold something or other.
    pub fn resize(&mut self, len: usize) {
        let words = len.div_ceil(16);
        if words > self.words.len() {
            self.words.resize(words, 0);
        }
        self.len = len;
    }

    pub fn slice(&self) -> &[u8] {
        // SAFETY: the words hold at least `len` bytes, and any byte is valid.
        unsafe { std::slice::from_raw_parts(self.words.as_ptr().cast(), self.len) }
    }

    pub fn slice_mut(&mut self) -> &mut [u8] {
        // SAFETY: as for `slice`, and the borrow is exclusive.
        unsafe { std::slice::from_raw_parts_mut(self.words.as_mut_ptr().cast(), self.len) }
    }

    /// Where `bytes` bytes at `offset` are, if there are so many.
    #[inline(always)]
    pub fn pointer(&mut self, offset: u64, bytes: u64) -> Option<*mut u8> {
        let len = self.len as u64;
        (offset <= len && len - offset >= bytes)
            // SAFETY: the offset lies within the words.
            .then(|| unsafe { self.words.as_mut_ptr().cast::<u8>().add(offset as usize) })
    }
}

/// Reads `size` bytes as kernels do: other kernels and copies may write them at the same time.
///
/// # Safety
/// The pointer must be valid for `size` bytes, a power of two up to 8, and aligned to it.
#[inline(always)]
pub unsafe fn read(pointer: *mut u8, size: u8) -> u64 {
    // SAFETY: the caller's contract.
    unsafe {
        match size {
            1 => AtomicU8::from_ptr(pointer).load(Ordering::Relaxed).into(),
            2 => AtomicU16::from_ptr(pointer.cast()).load(Ordering::Relaxed).into(),
            4 => AtomicU32::from_ptr(pointer.cast()).load(Ordering::Relaxed).into(),
            _ => AtomicU64::from_ptr(pointer.cast()).load(Ordering::Relaxed),
        }
    }
}

/// Writes the `size` low bytes of a value.
///
/// # Safety
/// As for [`read`].
#[inline(always)]
pub unsafe fn write(pointer: *mut u8, size: u8, value: u64) {
    // SAFETY: the caller's contract.
    unsafe {
        match size {
            1 => AtomicU8::from_ptr(pointer).store(value as u8, Ordering::Relaxed),
            2 => AtomicU16::from_ptr(pointer.cast()).store(value as u16, Ordering::Relaxed),
            4 => AtomicU32::from_ptr(pointer.cast()).store(value as u32, Ordering::Relaxed),
            _ => AtomicU64::from_ptr(pointer.cast()).store(value, Ordering::Relaxed),
        }
    }
}

/// Replaces what is in memory by what `f` makes of it, atomically; gives what was there.
///
/// # Safety
/// As for [`read`]; the size is 2, 4 or 8.
pub unsafe fn update(pointer: *mut u8, size: u8, f: impl Fn(u64) -> u64) -> u64 {
    const ORDER: Ordering = Ordering::AcqRel;
    // SAFETY: the caller's contract.
    let old: Result<u64, u64> = unsafe {
        match size {
            2 => AtomicU16::from_ptr(pointer.cast())
                .fetch_update(ORDER, Ordering::Acquire, |old| Some(f(old.into()) as u16))
                .map(u64::from)
                .map_err(u64::from),
            4 => AtomicU32::from_ptr(pointer.cast())
                .fetch_update(ORDER, Ordering::Acquire, |old| Some(f(old.into()) as u32))
                .map(u64::from)
                .map_err(u64::from),
            _ => {
                AtomicU64::from_ptr(pointer.cast()).fetch_update(ORDER, Ordering::Acquire, |old| Some(f(old)))
            }
        }
    };
    old.unwrap_or_else(|old| old)
}
