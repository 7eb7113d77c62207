//! Memory that two processes share: a few slots for pieces, each with a word that says whose turn it is.
//!
//! It has no name anywhere, so that nothing of it is left when both processes are gone, however they went.

use std::os::fd::{AsFd, OwnedFd};
use std::ptr::{NonNull, null_mut};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use rustix::fs::{MemfdFlags, SealFlags};
use rustix::mm::{MapFlags, ProtFlags};

use crate::device::cuda::{Gpu, PageLock};
use crate::error::Result;
use crate::transport::WINDOW;
use crate::transport::pieces::SHARED_PIECE_BYTES;

/// How many pieces there is room for.
pub(super) const SLOTS: usize = WINDOW;

/// What is in front of the slots: a page.
const HEAD_BYTES: usize = 4096;

const BYTES: usize = HEAD_BYTES + SLOTS * SHARED_PIECE_BYTES;

/// The memory as this process sees it.
pub(super) struct Segment {
    /// Once somebody has tried. Dropped before the memory is unmapped.
    lock: Mutex<Option<Result<PageLock>>>,
    pointer: NonNull<u8>,
}

// SAFETY: the memory is mapped until the drop, and the words in it are atomic; the slots are reached by raw pointers, in
// turn.
unsafe impl Send for Segment {}
// SAFETY: as above.
unsafe impl Sync for Segment {}

/// The words in front of the slots. New memory is all zeros.
#[repr(C)]
struct Head {
    sender: AtomicU32,
    slots: [Words; SLOTS],
}

const _: () = assert!(size_of::<Head>() <= HEAD_BYTES);

/// On a cache line of its own.
#[repr(C, align(64))]
struct Words {
    is_full: AtomicU32,
    failed: AtomicU32,
    number: AtomicU64,
    first: AtomicU64,
    bytes: AtomicU64,
}

/// What is in a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Piece {
    /// The receiver's number for the message.
    pub number: u64,
    /// The first byte of the message that it has.
    pub first: usize,
    pub bytes: usize,
    /// Whether no more pieces of the message come, and this is none.
    pub failed: bool,
}

/// What the sender says of the segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Word {
    Nothing,
    /// It has heard that the receiver has the segment too.
    Ready,
    /// It has given up before it could hear that.
    GivenUp,
}

impl Segment {
    /// New memory, and what another process needs to share it.
    pub(super) fn create() -> rustix::io::Result<(Segment, OwnedFd)> {
        let file = rustix::fs::memfd_create("warpcomm", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?;
        rustix::fs::ftruncate(&file, BYTES as u64)?;
        // Nobody can take the memory away under the other.
        rustix::fs::fcntl_add_seals(&file, SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL)?;
        Ok((Segment::map(&file)?, file))
    }

    /// The memory that another process has created.
    pub(super) fn open(file: &impl AsFd) -> rustix::io::Result<Segment> {
        let is_sealed = rustix::fs::fcntl_get_seals(file)?.contains(SealFlags::SHRINK);
        if !is_sealed || rustix::fs::fstat(file)?.st_size != BYTES as i64 {
            return Err(rustix::io::Errno::INVAL);
        }
        Segment::map(file)
    }

    fn map(file: &impl AsFd) -> rustix::io::Result<Segment> {
        // SAFETY: a new mapping, of a file that nobody can shorten.
        let mapped = unsafe {
            rustix::mm::mmap(
                null_mut(),
                BYTES,
                ProtFlags::READ | ProtFlags::WRITE,
                MapFlags::SHARED,
                file,
                0,
            )
        }?;
        Ok(Segment {
            lock: Mutex::new(None),
            pointer: NonNull::new(mapped.cast()).ok_or(rustix::io::Errno::NOMEM)?,
        })
    }

    /// Locks the pages for GPUs, if that was not done.
    pub(super) fn lock_pages(&self, gpu: &'static Gpu) -> Result<()> {
        let mut lock = self.lock.lock().unwrap_or_else(PoisonError::into_inner);
        if lock.is_none() {
            // SAFETY: the memory is unmapped by `drop`, which drops the lock first.
            *lock = Some(unsafe { PageLock::new(gpu, self.pointer.as_ptr(), BYTES) });
        }
        match &*lock {
            Some(Err(error)) => Err(error.duplicate()),
            _ => Ok(()),
        }
    }

    fn head(&self) -> &Head {
        // SAFETY: the memory begins with it, is aligned to a page, and mapped as long as `self`; all of it is atomic.
        unsafe { self.pointer.cast().as_ref() }
    }

    /// The memory of a slot.
    pub(super) fn slot(&self, slot: usize) -> *mut u8 {
        debug_assert!(slot < SLOTS);
        // SAFETY: within the mapping.
        unsafe { self.pointer.as_ptr().add(HEAD_BYTES + slot * SHARED_PIECE_BYTES) }
    }

    /// Says to the receiver how it stands.
    pub(super) fn say(&self, word: Word) {
        let code = match word {
            Word::Nothing => 0,
            Word::Ready => 1,
            Word::GivenUp => 2,
        };
        self.head().sender.store(code, Ordering::Release);
    }

    /// What the sender says.
    pub(super) fn heard(&self) -> Word {
        match self.head().sender.load(Ordering::Acquire) {
            0 => Word::Nothing,
            1 => Word::Ready,
            _ => Word::GivenUp,
        }
    }

    /// Whether the receiver is done with a slot.
    pub(super) fn is_empty(&self, slot: usize) -> bool {
        self.head().slots[slot].is_full.load(Ordering::Acquire) == 0
    }

    /// Hands a slot to the receiver.
    pub(super) fn publish(&self, slot: usize, piece: Piece) {
        let words = &self.head().slots[slot];
        words.failed.store(piece.failed.into(), Ordering::Relaxed);
        words.number.store(piece.number, Ordering::Relaxed);
        words.first.store(piece.first as u64, Ordering::Relaxed);
        words.bytes.store(piece.bytes as u64, Ordering::Relaxed);
        words.is_full.store(1, Ordering::Release);
    }

    /// What the sender has handed over in a slot.
    pub(super) fn published(&self, slot: usize) -> Option<Piece> {
        let words = &self.head().slots[slot];
        (words.is_full.load(Ordering::Acquire) != 0).then(|| Piece {
            number: words.number.load(Ordering::Relaxed),
            first: words.first.load(Ordering::Relaxed) as usize,
            bytes: words.bytes.load(Ordering::Relaxed) as usize,
            failed: words.failed.load(Ordering::Relaxed) != 0,
        })
    }

    /// Hands a slot back to the sender.
    pub(super) fn give_back(&self, slot: usize) {
        self.head().slots[slot].is_full.store(0, Ordering::Release);
    }
}

impl Drop for Segment {
    fn drop(&mut self) {
        *self.lock.get_mut().unwrap_or_else(PoisonError::into_inner) = None;
        // SAFETY: mapped by `map`, and nobody is left who would use it.
        let _ = unsafe { rustix::mm::munmap(self.pointer.as_ptr().cast(), BYTES) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_one_process_hands_over_the_other_gets() {
        let (ours, file) = Segment::create().unwrap();
        let theirs = Segment::open(&file).unwrap();
        assert_eq!((theirs.heard(), theirs.published(2)), (Word::Nothing, None));
        let piece = Piece {
            number: 7,
            first: 1 << 33,
            bytes: 5,
            failed: false,
        };
        // SAFETY: the slot is empty, and within the mapping.
        unsafe { ours.slot(2).copy_from_nonoverlapping(b"hello".as_ptr(), 5) };
        ours.publish(2, piece);
        ours.say(Word::Ready);
        assert_eq!((theirs.heard(), theirs.published(2)), (Word::Ready, Some(piece)));
        // SAFETY: handed over.
        assert_eq!(unsafe { std::slice::from_raw_parts(theirs.slot(2), 5) }, b"hello");
        assert!(!ours.is_empty(2) && ours.is_empty(1));
        theirs.give_back(2);
        assert!(ours.is_empty(2));
    }

    #[test]
    fn memory_that_could_be_taken_away_is_refused() {
        let file = rustix::fs::memfd_create("other", MemfdFlags::CLOEXEC).unwrap();
        rustix::fs::ftruncate(&file, BYTES as u64).unwrap();
        assert!(Segment::open(&file).is_err());
        let (_segment, file) = Segment::create().unwrap();
        assert!(rustix::fs::ftruncate(&file, 4096).is_err());
    }
}
