//! The memory of a device: one file in memory, and the addresses that stand for it.
//!
//! The file is mapped once, where only copies and kernels know it. Its device addresses are a second range as
//! long, which nobody can touch. The file is much longer than the device's memory and has pages only where
//! something is allocated, so that an address is used again only after all others have been.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::ptr;
use std::sync::{Mutex, PoisonError};

/// What every page of new memory holds.
pub const POISON: u8 = 0xa5;

pub const PAGE: u64 = 4096;

/// The addresses of a device, at least.
const ADDRESSES: u64 = 1 << 38;

/// The address space of a device, and the file behind it.
pub struct Arena {
    file: OwnedFd,
    first: u64,
    alias: *mut u8,
    bytes: u64,
    places: Mutex<Places>,
}

// SAFETY: the alias is only handed out as pointers to parts of it, to those who have taken them.
unsafe impl Send for Arena {}
// SAFETY: as above.
unsafe impl Sync for Arena {}

/// Which parts are taken: length by offset, and where the search for room goes on.
#[derive(Default)]
struct Places {
    taken: BTreeMap<u64, u64>,
    next: u64,
}

impl Arena {
    /// Reserves the addresses of a device with `memory` bytes.
    pub fn new(memory: u64) -> io::Result<Self> {
        let bytes = memory.saturating_mul(4).max(ADDRESSES).next_multiple_of(PAGE);
        // SAFETY: the name is a string; the file descriptor, if there is one, is nobody else's.
        let file = unsafe {
            let descriptor = libc::memfd_create(c"simgpu".as_ptr(), libc::MFD_CLOEXEC);
            if descriptor < 0 {
                return Err(io::Error::last_os_error());
            }
            OwnedFd::from_raw_fd(descriptor)
        };
        // SAFETY: the descriptor is open.
        if unsafe { libc::ftruncate(file.as_raw_fd(), bytes as libc::off_t) } != 0 {
            return Err(io::Error::last_os_error());
        }
        let first = reserve(bytes)? as u64;
        let alias = map(file.as_raw_fd(), 0, bytes)?;
        Ok(Self {
            file,
            first,
            alias,
            bytes,
            places: Mutex::default(),
        })
    }

    /// The descriptor of the file.
    pub fn file(&self) -> RawFd {
        self.file.as_raw_fd()
    }

    /// Whether the address is one of this device, of allocated memory or not.
    pub fn contains(&self, address: u64) -> bool {
        address >= self.first && address - self.first < self.bytes
    }

    pub fn address(&self, offset: u64) -> u64 {
        self.first + offset
    }

    pub fn pointer(&self, offset: u64) -> *mut u8 {
        // SAFETY: offsets are of places, inside the mapping.
        unsafe { self.alias.add(offset as usize) }
    }

    /// Takes room for `bytes` bytes, with a page that stays free after it; its offset.
    pub fn take(&self, bytes: u64) -> Option<u64> {
        let span = span(bytes)?;
        let mut places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
        let from = places.next;
        let offset = room(&places.taken, from, self.bytes, span)
            .or_else(|| room(&places.taken, 0, self.bytes, span))?;
        places.taken.insert(offset, span);
        places.next = offset + span;
        Some(offset)
    }

    /// Fills room that was taken with poison.
    pub fn poison(&self, offset: u64, bytes: u64) {
        // SAFETY: the room is inside the mapping, and nobody knows of it yet.
        unsafe {
            let pointer = self.pointer(offset);
            // Faster than a fault for each page, where the system has it.
            libc::madvise(pointer.cast(), bytes as usize, libc::MADV_POPULATE_WRITE);
            ptr::write_bytes(pointer, POISON, bytes as usize);
        }
    }

    /// Gives room back, and its pages to the system.
    pub fn give_back(&self, offset: u64, bytes: u64) {
        // SAFETY: the descriptor is open. Who still looks at the pages sees zeros.
        unsafe {
            libc::fallocate(
                self.file(),
                libc::FALLOC_FL_PUNCH_HOLE | libc::FALLOC_FL_KEEP_SIZE,
                offset as libc::off_t,
                bytes.next_multiple_of(PAGE) as libc::off_t,
            );
        }
        self.places
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .taken
            .remove(&offset);
    }
}

fn span(bytes: u64) -> Option<u64> {
    bytes.checked_next_multiple_of(PAGE)?.checked_add(PAGE)
}

/// The first offset from `from` on with `span` free bytes after it.
fn room(taken: &BTreeMap<u64, u64>, from: u64, end: u64, span: u64) -> Option<u64> {
    let mut offset = from;
    if let Some((&start, &length)) = taken.range(..from).next_back() {
        offset = offset.max(start + length);
    }
    for (&start, &length) in taken.range(offset..) {
        if start - offset >= span {
            break;
        }
        offset = start + length;
    }
    (offset.checked_add(span)? <= end).then_some(offset)
}

fn reserve(bytes: u64) -> io::Result<*mut u8> {
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
    // SAFETY: a new mapping, at an address that the system chooses.
    let pointer = unsafe { libc::mmap(ptr::null_mut(), bytes as usize, libc::PROT_NONE, flags, -1, 0) };
    mapped(pointer)
}

/// Maps a part of a file, readable and writable.
pub fn map(file: RawFd, offset: u64, bytes: u64) -> io::Result<*mut u8> {
    let flags = libc::MAP_SHARED | libc::MAP_NORESERVE;
    let protection = libc::PROT_READ | libc::PROT_WRITE;
    // SAFETY: a new mapping, at an address that the system chooses.
    let pointer = unsafe {
        libc::mmap(
            ptr::null_mut(),
            bytes as usize,
            protection,
            flags,
            file,
            offset as libc::off_t,
        )
    };
    let pointer = mapped(pointer)?;
    // SAFETY: the range was just mapped. Core files would hold all of it.
    unsafe { libc::madvise(pointer.cast(), bytes as usize, libc::MADV_DONTDUMP) };
    Ok(pointer)
}

/// Maps memory of this process, readable and writable.
pub fn map_anonymous(bytes: u64) -> io::Result<*mut u8> {
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
    let protection = libc::PROT_READ | libc::PROT_WRITE;
    // SAFETY: a new mapping, at an address that the system chooses.
    let pointer = unsafe { libc::mmap(ptr::null_mut(), bytes as usize, protection, flags, -1, 0) };
    mapped(pointer)
}

fn mapped(pointer: *mut libc::c_void) -> io::Result<*mut u8> {
    if pointer == libc::MAP_FAILED {
        return Err(io::Error::last_os_error());
    }
    Ok(pointer.cast())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_used_again_only_after_all_others() {
        let arena = Arena::new(1 << 20).unwrap();
        let first = arena.take(100).unwrap();
        arena.give_back(first, 100);
        let second = arena.take(100).unwrap();
        assert_ne!(first, second);
        // A place of a quarter of all addresses makes the search begin again.
        let large = ADDRESSES / 4 * 3;
        let third = arena.take(large).unwrap();
        assert!(third > second);
        arena.give_back(third, large);
        assert_eq!(arena.take(large).unwrap(), second + 2 * PAGE);
    }

    #[test]
    fn there_is_no_room_for_more_than_all() {
        let arena = Arena::new(1 << 20).unwrap();
        assert_eq!(arena.take(ADDRESSES), None);
        assert_eq!(arena.take(u64::MAX), None);
        assert!(arena.take(1).is_some());
    }
}
