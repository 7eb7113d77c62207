//! Memory that two processes share: a few slots for pieces, each with a word that says whose turn it is.
//!
//! It has no name anywhere, so that nothing of it is left when both processes are gone, however they went.

use std::os::fd::{AsFd, OwnedFd};
use std::ptr::{NonNull, null_mut};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use bytemuck::{Pod, Zeroable};
use rustix::fs::{MemfdFlags, SealFlags};
use rustix::io::Errno;
use rustix::mm::{MapFlags, ProtFlags};

use crate::device::cuda::{Gpu, Handle, PageLock};
use crate::error::Result;
use crate::fingerprint::fingerprint;
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

/// How many windows the sender can ask the receiver to close at the same time.
const CLOSINGS: usize = 16;

/// One more whenever what is in the memory, or what the words in it mean, is another.
const LAYOUT: u8 = 1;

/// The words in front of the slots. New memory is all zeros.
#[repr(C)]
struct Head {
    /// See [`layout`]. It stays in front.
    layout: AtomicU64,
    /// Of which handshake the sender says what.
    sender: AtomicU64,
    /// How often the sender has asked the receiver to close a window.
    closings: AtomicU32,
    /// The numbers of these windows, until they are closed.
    closing: [AtomicU64; CLOSINGS],
    window: WindowWords,
    slots: [Words; SLOTS],
}

const _: () = assert!(size_of::<Head>() <= HEAD_BYTES);

/// Why memory is refused.
const OTHER_LAYOUT: &str = "another build of the library has made it";

/// What builds of the library have in common that take the memory for the same.
fn layout() -> u64 {
    let version = env!("CARGO_PKG_VERSION").bytes();
    let sizes = [BYTES, size_of::<Head>(), size_of::<Words>()];
    let sizes = sizes.into_iter().flat_map(usize::to_ne_bytes);
    fingerprint(version.chain([LAYOUT]).chain(sizes)) as u64
}

/// The sender's window with as many slots as the segment.
#[repr(C)]
struct WindowWords {
    handle: HandleWords,
    gpu: [AtomicU64; 2],
    /// Whether there are events, and what they are opened with.
    has_events: AtomicU32,
    events: [HandleWords; SLOTS],
    secret: AtomicU64,
}

/// What a window or an event is opened with.
#[repr(C)]
struct HandleWords([AtomicU64; size_of::<Handle>() / size_of::<u64>()]);

impl HandleWords {
    fn store(&self, handle: &Handle) {
        for (word, &value) in self.0.iter().zip(handle) {
            word.store(value, Ordering::Relaxed);
        }
    }

    fn load(&self) -> Handle {
        std::array::from_fn(|at| self.0[at].load(Ordering::Relaxed))
    }
}

/// On cache lines of its own.
#[repr(C, align(64))]
struct Words {
    turn: AtomicU32,
    /// What is in the slot, and whether the receiver could not have it.
    content: AtomicU32,
    is_refused: AtomicU32,
    number: AtomicU64,
    first: AtomicU64,
    bytes: AtomicU64,
    /// Of a loan.
    window: AtomicU64,
    offset: AtomicU64,
    handle: HandleWords,
}

/// Whose turn a slot is.
mod turn {
    /// The sender may fill it.
    pub const EMPTY: u32 = 0;
    /// The receiver may take it, or the sender take it back.
    pub const FULL: u32 = 1;
    /// The receiver copies.
    pub const TAKEN: u32 = 2;
    /// The receiver's GPU copies what was lent, up to the slot's event.
    pub const COPYING: u32 = 3;
}

/// What is in a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Piece {
    /// The receiver's number for the message.
    pub number: u64,
    /// The first byte of the message that it has.
    pub first: usize,
    pub bytes: usize,
    pub content: Content,
}

/// How a slot has its piece.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Content {
    /// The bytes are in the slot.
    Bytes,
    /// They are in a window of the sender's GPU.
    Loan(Loan),
    /// No more pieces of the message come, and this is none.
    End,
}

/// Where bytes are in a window.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
pub(in super::super) struct Loan {
    /// The sender's number for the window.
    pub window: u64,
    pub handle: Handle,
    pub offset: usize,
}

/// The sender's window with as many slots as the segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Offer {
    pub handle: Handle,
    /// The sender's GPU.
    pub gpu: [u64; 2],
    /// One for each slot, if there are any.
    pub events: Option<[Handle; SLOTS]>,
    /// The number that the window begins with.
    pub secret: u64,
}

/// What the sender says of the segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Word {
    Nothing,
    /// It has heard that the receiver has the segment too.
    Ready,
    /// It has heard it, and cannot lock the pages itself.
    Unlocked,
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
        let segment = Segment::map(&file)?;
        segment.head().layout.store(layout(), Ordering::Release);
        Ok((segment, file))
    }

    /// The memory that another process has created, or why it cannot be used.
    pub(super) fn open(file: &impl AsFd) -> Result<Segment, String> {
        let segment = Segment::open_sealed(file).map_err(|error| match error {
            Errno::INVAL => OTHER_LAYOUT.to_owned(),
            error => error.to_string(),
        })?;
        match segment.head().layout.load(Ordering::Acquire) == layout() {
            true => Ok(segment),
            false => Err(OTHER_LAYOUT.to_owned()),
        }
    }

    fn open_sealed(file: &impl AsFd) -> rustix::io::Result<Segment> {
        let is_sealed = rustix::fs::fcntl_get_seals(file)?.contains(SealFlags::SHRINK);
        if !is_sealed || rustix::fs::fstat(file)?.st_size != BYTES as i64 {
            return Err(Errno::INVAL);
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
            pointer: NonNull::new(mapped.cast()).ok_or(Errno::NOMEM)?,
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

    /// Says to the receiver how a handshake stands.
    pub(super) fn say(&self, handshake: u64, word: Word) {
        let code = match word {
            Word::Nothing => 0,
            Word::Ready => 1,
            Word::Unlocked => 2,
            Word::GivenUp => 3,
        };
        self.head().sender.store(handshake << 2 | code, Ordering::Release);
    }

    /// What the sender says of a handshake.
    pub(super) fn heard(&self, handshake: u64) -> Word {
        let said = self.head().sender.load(Ordering::Acquire);
        match said & 3 {
            _ if said >> 2 != handshake << 2 >> 2 => Word::Nothing,
            0 => Word::Nothing,
            1 => Word::Ready,
            2 => Word::Unlocked,
            _ => Word::GivenUp,
        }
    }

    /// Offers a window, before the receiver is told of the segment.
    pub(super) fn offer(&self, offer: &Offer) {
        let words = &self.head().window;
        words.handle.store(&offer.handle);
        for (word, &value) in words.gpu.iter().zip(&offer.gpu) {
            word.store(value, Ordering::Relaxed);
        }
        for (words, handle) in words.events.iter().zip(offer.events.iter().flatten()) {
            words.store(handle);
        }
        let has_events = u32::from(offer.events.is_some());
        words.has_events.store(has_events, Ordering::Relaxed);
        words.secret.store(offer.secret, Ordering::Release);
    }

    /// The window that was offered.
    pub(super) fn offered(&self) -> Offer {
        let words = &self.head().window;
        let secret = words.secret.load(Ordering::Acquire);
        Offer {
            handle: words.handle.load(),
            gpu: std::array::from_fn(|at| words.gpu[at].load(Ordering::Relaxed)),
            events: (words.has_events.load(Ordering::Relaxed) != 0)
                .then(|| std::array::from_fn(|slot| words.events[slot].load())),
            secret,
        }
    }

    /// Asks the receiver to close a window; not now if too many are asked for already.
    pub(super) fn ask_to_close(&self, window: u64) -> bool {
        let head = self.head();
        let is_asked = head.closing.iter().any(|closing| {
            let asked = closing.compare_exchange(0, window, Ordering::Release, Ordering::Relaxed);
            asked.is_ok()
        });
        if is_asked {
            head.closings.fetch_add(1, Ordering::Release);
        }
        is_asked
    }

    /// Whether the receiver is still to close a window.
    pub(super) fn is_closing(&self, window: u64) -> bool {
        let mut closing = self.head().closing.iter();
        closing.any(|closing| closing.load(Ordering::Acquire) == window)
    }

    /// How often the receiver was asked to close a window.
    pub(super) fn closings(&self) -> u32 {
        self.head().closings.load(Ordering::Acquire)
    }

    /// Closes the windows that the sender has asked for, as far as that can be done now; whether these are all.
    pub(super) fn close(&self, mut close: impl FnMut(u64) -> bool) -> bool {
        let mut are_all_closed = true;
        for closing in &self.head().closing {
            match closing.load(Ordering::Acquire) {
                0 => {}
                window if close(window) => {
                    // Another thread may have done it, and the sender have asked for another one here.
                    let _ = closing.compare_exchange(window, 0, Ordering::Release, Ordering::Relaxed);
                }
                _ => are_all_closed = false,
            }
        }
        are_all_closed
    }

    /// Says to the sender that a GPU copies what is lent in a slot, up to the slot's event.
    pub(super) fn copying(&self, slot: usize) {
        let words = &self.head().slots[slot];
        words.turn.store(turn::COPYING, Ordering::Release);
    }

    /// Whether the receiver's GPU copies what was lent in a slot, up to the slot's event.
    pub(super) fn is_copying(&self, slot: usize) -> bool {
        self.head().slots[slot].turn.load(Ordering::Acquire) == turn::COPYING
    }

    /// Whether the receiver has taken what is in a slot, and has not handed it back.
    pub(super) fn is_taken(&self, slot: usize) -> bool {
        self.head().slots[slot].turn.load(Ordering::Acquire) == turn::TAKEN
    }

    /// Whether the receiver is done with a slot.
    pub(super) fn is_empty(&self, slot: usize) -> bool {
        self.head().slots[slot].turn.load(Ordering::Acquire) == turn::EMPTY
    }

    /// Hands a slot to the receiver.
    pub(super) fn publish(&self, slot: usize, piece: Piece) {
        let words = &self.head().slots[slot];
        let content = match piece.content {
            Content::Bytes => 0,
            Content::End => 1,
            Content::Loan(loan) => {
                words.window.store(loan.window, Ordering::Relaxed);
                words.offset.store(loan.offset as u64, Ordering::Relaxed);
                words.handle.store(&loan.handle);
                2
            }
        };
        words.content.store(content, Ordering::Relaxed);
        words.is_refused.store(0, Ordering::Relaxed);
        words.number.store(piece.number, Ordering::Relaxed);
        words.first.store(piece.first as u64, Ordering::Relaxed);
        words.bytes.store(piece.bytes as u64, Ordering::Relaxed);
        words.turn.store(turn::FULL, Ordering::Release);
    }

    /// What the sender has handed over in a slot, which it may still take back.
    pub(super) fn published(&self, slot: usize) -> Option<Piece> {
        let words = &self.head().slots[slot];
        (words.turn.load(Ordering::Acquire) == turn::FULL).then(|| words.piece())
    }

    /// Takes what the sender has handed over, if it is still that.
    pub(super) fn take(&self, slot: usize, piece: &Piece) -> bool {
        let words = &self.head().slots[slot];
        if !words.pass(turn::FULL, turn::TAKEN) {
            return false;
        }
        let is_same = words.piece() == *piece;
        if !is_same {
            words.turn.store(turn::FULL, Ordering::Release);
        }
        is_same
    }

    /// Takes back what was handed over, unless the receiver has taken it.
    pub(super) fn take_back(&self, slot: usize) -> bool {
        self.head().slots[slot].pass(turn::FULL, turn::EMPTY)
    }

    /// Hands a slot back to the sender.
    pub(super) fn give_back(&self, slot: usize) {
        let words = &self.head().slots[slot];
        words.turn.store(turn::EMPTY, Ordering::Release);
    }

    /// Hands back what the receiver could not have.
    pub(super) fn refuse(&self, slot: usize) {
        let words = &self.head().slots[slot];
        words.is_refused.store(1, Ordering::Relaxed);
        words.turn.store(turn::EMPTY, Ordering::Release);
    }

    /// Whether what was in an empty slot was refused.
    pub(super) fn is_refused(&self, slot: usize) -> bool {
        self.head().slots[slot].is_refused.load(Ordering::Relaxed) != 0
    }
}

impl Words {
    fn pass(&self, from: u32, to: u32) -> bool {
        let passed = self
            .turn
            .compare_exchange(from, to, Ordering::AcqRel, Ordering::Relaxed);
        passed.is_ok()
    }

    fn piece(&self) -> Piece {
        Piece {
            number: self.number.load(Ordering::Relaxed),
            first: self.first.load(Ordering::Relaxed) as usize,
            bytes: self.bytes.load(Ordering::Relaxed) as usize,
            content: match self.content.load(Ordering::Relaxed) {
                0 => Content::Bytes,
                1 => Content::End,
                _ => Content::Loan(Loan {
                    window: self.window.load(Ordering::Relaxed),
                    handle: self.handle.load(),
                    offset: self.offset.load(Ordering::Relaxed) as usize,
                }),
            },
        }
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
        assert_eq!((theirs.heard(7), theirs.published(2)), (Word::Nothing, None));
        let piece = Piece {
            number: 7,
            first: 1 << 33,
            bytes: 5,
            content: Content::Bytes,
        };
        // SAFETY: the slot is empty, and within the mapping.
        unsafe { ours.slot(2).copy_from_nonoverlapping(b"hello".as_ptr(), 5) };
        ours.publish(2, piece);
        ours.say(7, Word::Ready);
        assert_eq!((theirs.heard(7), theirs.published(2)), (Word::Ready, Some(piece)));
        assert_eq!(theirs.heard(8), Word::Nothing);
        // SAFETY: handed over.
        assert_eq!(unsafe { std::slice::from_raw_parts(theirs.slot(2), 5) }, b"hello");
        assert!(!ours.is_empty(2) && ours.is_empty(1));
        assert!(theirs.take(2, &piece) && !ours.take_back(2));
        theirs.give_back(2);
        assert!(ours.is_empty(2) && !ours.is_refused(2));
    }

    #[test]
    fn a_loan_is_taken_refused_or_taken_back() {
        let (ours, file) = Segment::create().unwrap();
        let theirs = Segment::open(&file).unwrap();
        let loan = Loan {
            window: 3,
            handle: std::array::from_fn(|at| at as u64),
            offset: 1 << 40,
        };
        let piece = Piece {
            number: 8,
            first: 0,
            bytes: 1 << 35,
            content: Content::Loan(loan),
        };
        ours.publish(0, piece);
        assert_eq!(theirs.published(0), Some(piece));
        assert!(ours.take_back(0) && ours.is_empty(0));
        assert!(!theirs.take(0, &piece));
        // It is another one by now.
        ours.publish(0, Piece { number: 9, ..piece });
        assert!(!theirs.take(0, &piece));
        assert_eq!(theirs.published(0), Some(Piece { number: 9, ..piece }));
        assert!(theirs.take(0, &Piece { number: 9, ..piece }));
        theirs.refuse(0);
        assert!(ours.is_empty(0) && ours.is_refused(0));
        ours.publish(0, piece);
        assert!(!ours.is_refused(0) && !ours.is_copying(0));
        assert!(theirs.take(0, &piece) && !ours.is_copying(0));
        theirs.copying(0);
        assert!(ours.is_copying(0) && !ours.is_empty(0) && !ours.take_back(0));
        theirs.give_back(0);
        assert!(ours.is_empty(0) && !ours.is_copying(0));
    }

    #[test]
    fn windows_are_closed_when_the_sender_asks() {
        let (ours, file) = Segment::create().unwrap();
        let theirs = Segment::open(&file).unwrap();
        let offer = Offer {
            handle: [5; 8],
            gpu: [1, 2],
            events: Some([[6; 8], [7; 8], [8; 8], [9; 8]]),
            secret: 9,
        };
        ours.offer(&offer);
        assert_eq!(theirs.offered(), offer);
        ours.offer(&Offer {
            events: None,
            ..offer
        });
        assert_eq!(theirs.offered().events, None);
        assert!((1..=CLOSINGS as u64).all(|window| ours.ask_to_close(window)));
        assert!(!ours.ask_to_close(99) && ours.is_closing(3));
        assert_eq!(theirs.closings(), CLOSINGS as u32);
        let mut closed = Vec::new();
        // One is in use, and closed later.
        let mut close = |window| {
            closed.push(window);
            window != 2 || closed.len() > CLOSINGS
        };
        assert!(!theirs.close(&mut close) && theirs.close(&mut close));
        assert_eq!(closed, (1..=CLOSINGS as u64).chain([2]).collect::<Vec<_>>());
        assert!(!ours.is_closing(3) && ours.ask_to_close(99));
    }

    #[test]
    fn memory_that_could_be_taken_away_is_refused() {
        let file = rustix::fs::memfd_create("other", MemfdFlags::CLOEXEC).unwrap();
        rustix::fs::ftruncate(&file, BYTES as u64).unwrap();
        assert!(Segment::open(&file).is_err());
        let (_segment, file) = Segment::create().unwrap();
        assert!(rustix::fs::ftruncate(&file, 4096).is_err());
    }

    #[test]
    fn memory_of_another_build_is_refused() {
        let (ours, file) = Segment::create().unwrap();
        assert!(Segment::open(&file).is_ok());
        // Every build looks there.
        assert_eq!(std::mem::offset_of!(Head, layout), 0);
        for layout in [0, layout() ^ 1] {
            ours.head().layout.store(layout, Ordering::Release);
            let reason = Segment::open(&file).map(drop).unwrap_err();
            assert_eq!(reason, "another build of the library has made it");
        }
    }
}
