//! Memory of GPUs for buffers that other processes copy from: windows, divided among buffers.
//!
//! The driver wants that what another process has open is not freed. So a window is used again by later buffers, and
//! when nobody has a buffer in it, and more is kept than is worth it, the processes that were told of it are asked to
//! close it first.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use cudarc::driver::CudaStream;

use super::gpu::Gpu;
use super::lane::{Mark, PER_THREAD_STREAM};
use super::window::{Handle, UNIT_BYTES, Window};
use crate::error::Result;

/// The smallest part, as aligned as the driver's allocations.
const SMALLEST_BYTES: usize = 512;

/// From here on a buffer has a window for itself.
const WHOLE_BYTES: usize = UNIT_BYTES / 2;

/// What is kept for later of windows in which there is no buffer.
const KEPT_BYTES: usize = 64 << 20;

/// Who tells another process of windows, and asks it to close them.
pub(crate) trait Borrower: Send + Sync {
    /// Asks the other process to close a window; not now if this fails.
    fn ask_to_close(&self, window: u64) -> bool;

    /// Whether the other process is still to close a window.
    fn is_closing(&self, window: u64) -> bool;
}

/// A part of a window that one buffer has.
pub(super) struct Part {
    pub address: usize,
    /// What a buffer before this one still does with it, perhaps.
    earlier: Option<Mark>,
}

/// A window, and who has parts of it.
struct Divided {
    window: Window,
    /// Once somebody has asked.
    handle: Option<Handle>,
    part_bytes: usize,
    /// The addresses of the parts that nobody has, and until when a GPU uses them.
    free: Vec<(usize, Option<Mark>)>,
    /// Who has told others of it.
    borrowers: Vec<Told>,
}

struct Told {
    by: Weak<dyn Borrower>,
    is_asked: bool,
}

impl Divided {
    fn new(window: Window, part_bytes: usize) -> Divided {
        let parts = window.bytes() / part_bytes;
        let addresses = (0..parts).map(|part| (window.address() + part * part_bytes, None));
        Divided {
            handle: None,
            part_bytes,
            free: addresses.rev().collect(),
            borrowers: Vec::new(),
            window,
        }
    }

    fn is_unused(&self) -> bool {
        self.free.len() == self.window.bytes() / self.part_bytes
    }

    /// Whether those who have the window open are asked to close it.
    fn is_asked(&self) -> bool {
        self.borrowers.iter().any(|told| told.is_asked)
    }

    /// Whether nobody in another process has the window open any more; asks those who have to close it.
    fn is_closed(&mut self) -> bool {
        let number = self.window.id();
        self.borrowers.retain_mut(|told| {
            // Whose borrower has ended before the other has closed it has it open for ever.
            let Some(borrower) = told.by.upgrade() else {
                return true;
            };
            if !told.is_asked {
                told.is_asked = borrower.ask_to_close(number);
                return true;
            }
            borrower.is_closing(number)
        });
        self.borrowers.is_empty()
    }

    /// Whether GPUs are done with all of it.
    fn is_idle(&self) -> bool {
        let mut marks = self.free.iter().map(|(_, mark)| mark.as_ref());
        marks.all(|mark| mark.is_none_or(is_over))
    }

    /// Gives back the events of the latest free parts, as far as GPUs are done with them.
    fn forget_marks(&mut self) {
        const LATEST: usize = 32;
        for (_, mark) in self.free.iter_mut().rev().take(LATEST) {
            if mark.as_ref().is_some_and(is_over) {
                *mark = None;
            }
        }
    }
}

/// Whether a GPU has done what is before a mark. One that has failed does nothing.
fn is_over(mark: &Mark) -> bool {
    mark.is_over().unwrap_or(true)
}

/// The windows of this process, by their addresses.
static WINDOWS: Mutex<BTreeMap<usize, Divided>> = Mutex::new(BTreeMap::new());

fn windows() -> MutexGuard<'static, BTreeMap<usize, Divided>> {
    // Each change is one insertion or removal.
    WINDOWS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// How many bytes the part of a buffer of so many bytes has.
fn part_bytes(bytes: usize) -> usize {
    match bytes {
        _ if bytes > WHOLE_BYTES => bytes.next_multiple_of(UNIT_BYTES),
        _ => bytes.max(SMALLEST_BYTES).next_power_of_two(),
    }
}

impl Part {
    /// A part of at least so many bytes.
    pub(super) fn take(gpu: &'static Gpu, bytes: usize) -> Result<Part> {
        let part_bytes = part_bytes(bytes);
        if let Some(part) = take_free(&mut windows(), gpu, part_bytes) {
            return Ok(part);
        }
        // The driver may wait for GPUs here, as it does where it gets memory back: never while messages are driven.
        free_unused(KEPT_BYTES);
        let allocate = || Window::new(gpu, part_bytes);
        let window = allocate().or_else(|error| match free_unused(0) {
            0 => Err(error),
            _ => allocate(),
        })?;
        let mut windows = windows();
        windows.insert(window.address(), Divided::new(window, part_bytes));
        // Another thread may have taken all parts meanwhile, but not without having brought a window of its own.
        match take_free(&mut windows, gpu, part_bytes) {
            Some(part) => Ok(part),
            None => {
                drop(windows);
                Part::take(gpu, bytes)
            }
        }
    }

    /// Lets a stream wait for what a GPU still does with the part.
    pub(super) fn after_earlier(&self, stream: &CudaStream) -> Result<()> {
        match &self.earlier {
            // Each thread has another one.
            Some(mark) if stream.cu_stream() == PER_THREAD_STREAM => {
                mark.wait();
                Ok(())
            }
            Some(mark) => mark.hold(stream),
            None => Ok(()),
        }
    }

    /// Gives the part back, which a GPU uses for what is in a stream.
    pub(super) fn give_back_behind(mut self, gpu: &'static Gpu, stream: &CudaStream) {
        let is_per_thread = stream.cu_stream() == PER_THREAD_STREAM;
        let mark = (!is_per_thread).then(|| Mark::of(gpu, stream).ok()).flatten();
        if mark.is_none() {
            gpu.wait();
            self.earlier = None;
        }
        self.give_back(mark);
    }

    /// Gives the part back; until the mark a GPU uses it.
    pub(super) fn give_back(self, mark: Option<Mark>) {
        if let Some(divided) = find(&mut windows(), self.address) {
            divided.free.push((self.address, mark.or(self.earlier)));
            divided.forget_marks();
        }
        free_unused(KEPT_BYTES);
    }
}

fn take_free(windows: &mut BTreeMap<usize, Divided>, gpu: &'static Gpu, part_bytes: usize) -> Option<Part> {
    let fits = |divided: &&mut Divided| {
        divided.part_bytes == part_bytes
            && std::ptr::eq(divided.window.gpu(), gpu)
            && !divided.free.is_empty()
    };
    let divided = windows.values_mut().find(fits)?;
    let (address, earlier) = divided.free.pop()?;
    Some(Part { address, earlier })
}

fn find(windows: &mut BTreeMap<usize, Divided>, address: usize) -> Option<&mut Divided> {
    let (first, divided) = windows.range_mut(..=address).next_back()?;
    (address < first + divided.window.bytes()).then_some(divided)
}

/// Gives the memory of GPUs that is kept for later [`DeviceBuffer`](crate::DeviceBuffer)s back to the driver, as far as no GPU
/// and no other process is still at it, and says how many bytes that were. Other processes are asked to close it, so that
/// there may be more the next time.
///
/// ```
/// assert_eq!(warpcomm::release_device(), 0); // there was no buffer
/// ```
pub fn release_device() -> usize {
    free_unused(0)
}

/// Gives the driver back what is kept beyond so many bytes of windows without buffers, as far as nobody has them open and
/// no GPU uses them; how many bytes that are.
fn free_unused(most: usize) -> usize {
    let unneeded: Vec<Divided> = {
        let mut windows = windows();
        let unused = windows.values().filter(|divided| divided.is_unused());
        let mut kept: usize = unused.map(|divided| divided.window.bytes()).sum();
        let mut unneeded = Vec::new();
        // Those that others are asked to close already are gone but for that.
        for is_asked in [true, false] {
            for divided in windows.values_mut() {
                let is_one = divided.is_unused() && divided.is_asked() == is_asked && divided.is_idle();
                if kept <= most || !is_one || unneeded.contains(&divided.window.address()) {
                    continue;
                }
                kept -= divided.window.bytes();
                if divided.is_closed() {
                    unneeded.push(divided.window.address());
                }
            }
        }
        unneeded
            .into_iter()
            .filter_map(|address| windows.remove(&address))
            .collect()
    };
    unneeded.iter().map(|divided| divided.window.bytes()).sum()
}

/// Whether other processes can open the memory at an address.
pub(crate) fn is_lendable(address: usize, bytes: usize) -> bool {
    find_all(&mut windows(), address, bytes).is_some()
}

/// The window in which all of the memory at an address is, and where in it.
fn find_all(
    windows: &mut BTreeMap<usize, Divided>,
    address: usize,
    bytes: usize,
) -> Option<(&mut Divided, usize)> {
    let divided = find(windows, address)?;
    let offset = address - divided.window.address();
    (bytes <= divided.window.bytes() - offset).then_some((divided, offset))
}

/// Notes that a borrower tells another process of the memory at an address, if that is possible: the number of the
/// window, what it is opened with, and where in it the memory is. Nobody is noted where the other process closes the
/// window before the memory can be freed.
pub(crate) fn lend(
    address: usize,
    bytes: usize,
    borrower: Option<&Arc<dyn Borrower>>,
) -> Option<(u64, Handle, usize)> {
    let mut windows = windows();
    let (divided, offset) = find_all(&mut windows, address, bytes)?;
    let handle = match divided.handle {
        Some(handle) => handle,
        None => *divided.handle.insert(divided.window.handle().ok()?),
    };
    if let Some(by) = borrower.map(Arc::downgrade) {
        match divided.borrowers.iter_mut().find(|told| told.by.ptr_eq(&by)) {
            // It is opened again.
            Some(told) => told.is_asked = false,
            None => divided.borrowers.push(Told { by, is_asked: false }),
        }
    }
    Some((divided.window.id(), handle, offset))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_powers_of_two_and_large_ones_whole_windows() {
        assert_eq!(part_bytes(0), 512);
        assert_eq!(part_bytes(513), 1024);
        assert_eq!(part_bytes(1 << 20), 1 << 20);
        assert_eq!(part_bytes((1 << 20) + 1), 2 << 20);
        assert_eq!(part_bytes((2 << 20) + 1), 4 << 20);
    }
}
