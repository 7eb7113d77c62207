//! What processes share: memory and events.
//!
//! A handle says where its process has the file of a device's memory, and that of its cells, open; another
//! process opens them through `/proc`. So nothing has a name that could stay behind. A cell, 64 bytes, says
//! whether memory is still allocated, or how far an event is.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::process;
use std::ptr;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::*};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use super::arena;
use super::context::Context;
use super::event::{self, Event};
use super::failure::{Failure, Outcome};
use super::machine::machine;
use super::memory::{self, Allocation, Kind};
use super::status::{Result, Status};

/// A `CUipcMemHandle` or `CUipcEventHandle`.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Handle {
    magic: u32,
    process: u32,
    memory: i32,
    control: i32,
    token: u64,
    cell: u32,
    device: u32,
    id: u64,
    offset: u64,
    bytes: u64,
    reserved: u64,
}

const _: () = assert!(size_of::<Handle>() == 64);

const MEMORY: u32 = 0x5147_5055;
const EVENT: u32 = 0x5147_5045;

#[repr(C, align(64))]
struct Cell {
    /// The number of the object that has the cell, 0 if none has.
    id: AtomicU64,
    /// How often an event was recorded.
    recorded: AtomicU32,
    /// Which of these recordings its streams have passed.
    completed: AtomicU32,
    /// The process that recorded it last.
    recorder: AtomicU32,
}

const CELLS: usize = 1 << 14;

/// The cells of a process; the first one's `id` is the process's token.
struct Control {
    cells: *mut Cell,
}

// SAFETY: cells are made of atomics.
unsafe impl Send for Control {}
// SAFETY: as above.
unsafe impl Sync for Control {}

impl Control {
    fn map(file: &impl AsRawFd) -> std::io::Result<Self> {
        let bytes = (CELLS * size_of::<Cell>()) as u64;
        Ok(Self {
            cells: arena::map(file.as_raw_fd(), 0, bytes)?.cast(),
        })
    }

    fn cell(&self, index: usize) -> &Cell {
        assert!(index < CELLS);
        // SAFETY: the mapping holds as many cells, and any bytes are a cell.
        unsafe { &*self.cells.add(index) }
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        // SAFETY: the mapping is this value's, and nobody has a cell of it any more.
        unsafe { libc::munmap(self.cells.cast(), CELLS * size_of::<Cell>()) };
    }
}

/// The cells that this process gives to others.
struct Own {
    file: OwnedFd,
    control: Arc<Control>,
    token: u64,
    free: Mutex<(usize, Vec<usize>)>,
}

fn own() -> Result<&'static Own> {
    static OWN: OnceLock<Option<Own>> = OnceLock::new();
    OWN.get_or_init(|| Own::new().ok())
        .as_ref()
        .ok_or(Status::ERROR_OPERATING_SYSTEM)
}

impl Own {
    fn new() -> std::io::Result<Self> {
        let mut token = [0; 8];
        // SAFETY: the name is a string, the descriptor nobody else's, and the token as long as is said.
        let file = unsafe {
            if libc::getrandom(token.as_mut_ptr().cast(), token.len(), 0) != token.len() as isize {
                return Err(std::io::Error::last_os_error());
            }
            let descriptor = libc::memfd_create(c"simgpu cells".as_ptr(), libc::MFD_CLOEXEC);
            if descriptor < 0 {
                return Err(std::io::Error::last_os_error());
            }
            OwnedFd::from_raw_fd(descriptor)
        };
        // SAFETY: the descriptor is open.
        if unsafe { libc::ftruncate(file.as_raw_fd(), (CELLS * size_of::<Cell>()) as libc::off_t) } != 0 {
            return Err(std::io::Error::last_os_error());
        }
        let control = Arc::new(Control::map(&file)?);
        let token = u64::from_ne_bytes(token) | 1;
        control.cell(0).id.store(token, Release);
        Ok(Self {
            file,
            control,
            token,
            free: Mutex::new((1, Vec::new())),
        })
    }

    fn take_cell(&self) -> Result<usize> {
        let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(index) = free.1.pop() {
            return Ok(index);
        }
        if free.0 == CELLS {
            return Err(Status::ERROR_OUT_OF_MEMORY);
        }
        free.0 += 1;
        Ok(free.0 - 1)
    }

    fn give_back(&self, index: usize) {
        self.control.cell(index).id.store(0, Release);
        self.free
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .1
            .push(index);
    }

    fn handle(&self, magic: u32, cell: usize, id: u64) -> Handle {
        Handle {
            magic,
            process: process::id(),
            memory: -1,
            control: self.file.as_raw_fd(),
            token: self.token,
            cell: cell as u32,
            device: 0,
            id,
            offset: 0,
            bytes: 0,
            reserved: 0,
        }
    }
}

fn number() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    NEXT.fetch_add(1, Relaxed)
}

fn open(process: u32, descriptor: i32) -> Result<File> {
    let path = format!("/proc/{process}/fd/{descriptor}");
    OpenOptions::new()
        .read(true)
        .write(true)
        .open(path)
        .map_err(|_| Status::ERROR_INVALID_HANDLE)
}

/// The cells of the process that made a handle, if what it is for is still there.
fn foreign(handle: &Handle, magic: u32) -> Result<Control> {
    if handle.magic != magic || handle.cell as usize >= CELLS {
        return Err(Status::ERROR_INVALID_VALUE);
    }
    let file = open(handle.process, handle.control)?;
    if !file
        .metadata()
        .is_ok_and(|file| file.len() == (CELLS * size_of::<Cell>()) as u64)
    {
        return Err(Status::ERROR_INVALID_HANDLE);
    }
    let control = Control::map(&file).map_err(|_| Status::ERROR_MAP_FAILED)?;
    // The process may have ended, and another have its number.
    let is_there = control.cell(0).id.load(Acquire) == handle.token
        && control.cell(handle.cell as usize).id.load(Acquire) == handle.id;
    is_there.then_some(control).ok_or(Status::ERROR_INVALID_HANDLE)
}

/// The memory that others may have opened: allocation to cell.
static EXPORTS: Mutex<BTreeMap<u64, usize>> = Mutex::new(BTreeMap::new());

/// A handle for other processes. Only memory that was not allocated in stream order has one.
pub fn export(address: u64) -> Result<Handle> {
    let allocation = memory::find(address).ok_or(Status::ERROR_INVALID_VALUE)?;
    let (Kind::Device, Some(offset)) = (allocation.kind, allocation.offset()) else {
        return Err(Status::ERROR_INVALID_VALUE);
    };
    let own = own()?;
    let mut exports = EXPORTS.lock().unwrap_or_else(PoisonError::into_inner);
    let cell = match exports.get(&allocation.id) {
        Some(&cell) => cell,
        None => {
            let cell = own.take_cell()?;
            own.control.cell(cell).id.store(allocation.id, Release);
            exports.insert(allocation.id, cell);
            cell
        }
    };
    Ok(Handle {
        memory: machine()?.devices[allocation.device].arena()?.file(),
        device: allocation.device as u32,
        offset,
        bytes: allocation.bytes,
        ..own.handle(MEMORY, cell, allocation.id)
    })
}

/// Tells other processes that an allocation was freed.
pub fn withdraw(allocation: u64) {
    let cell = EXPORTS
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .remove(&allocation);
    if let (Some(cell), Ok(own)) = (cell, own()) {
        own.give_back(cell);
    }
}

/// Memory of another process.
pub struct Import {
    control: Control,
    cell: usize,
    id: u64,
    pointer: *mut u8,
    bytes: u64,
}

impl Import {
    pub fn pointer(&self) -> *mut u8 {
        self.pointer
    }

    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    pub fn is_freed(&self) -> bool {
        self.control.cell(self.cell).id.load(Acquire) != self.id
    }
}

impl Drop for Import {
    fn drop(&mut self) {
        // SAFETY: the mapping is this value's, and its allocation is gone.
        unsafe { libc::munmap(self.pointer.cast(), self.bytes as usize) };
    }
}

/// What names imported memory: the context, the exporting process's token and the allocation's number.
type Key = (usize, u64, u64);

struct Opened {
    allocation: Arc<Allocation>,
    times: usize,
}

static OPENED: Mutex<BTreeMap<Key, Opened>> = Mutex::new(BTreeMap::new());

/// Opens memory of another process; its address here.
pub fn open_memory(context: &Context, handle: &Handle) -> Result<u64> {
    if handle.magic == MEMORY && handle.process == process::id() && handle.token == own()?.token {
        return Err(Status::ERROR_INVALID_CONTEXT);
    }
    let control = foreign(handle, MEMORY)?;
    if handle.device as usize != context.device.index && !machine()?.settings.peer {
        return Err(Status::ERROR_PEER_ACCESS_UNSUPPORTED);
    }
    let key = (context.handle, handle.token, handle.id);
    let mut opened = OPENED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(opened) = opened.get_mut(&key) {
        opened.times += 1;
        return Ok(opened.allocation.address);
    }
    let file = open(handle.process, handle.memory)?;
    let pointer =
        arena::map(file.as_raw_fd(), handle.offset, handle.bytes).map_err(|_| Status::ERROR_MAP_FAILED)?;
    let import = Import {
        control,
        cell: handle.cell as usize,
        id: handle.id,
        pointer,
        bytes: handle.bytes,
    };
    let allocation = memory::adopt(context, import)?;
    let address = allocation.address;
    opened.insert(key, Opened { allocation, times: 1 });
    Ok(address)
}

/// Closes memory of another process once.
pub fn close_memory(address: u64) -> Result {
    let mut all = OPENED.lock().unwrap_or_else(PoisonError::into_inner);
    let found = all
        .iter_mut()
        .find(|(_, opened)| opened.allocation.address == address);
    let (&key, opened) = found.ok_or(Status::ERROR_INVALID_VALUE)?;
    opened.times -= 1;
    if opened.times == 0 {
        memory::free(&opened.allocation);
        all.remove(&key);
    }
    Ok(())
}

/// Forgets what a context has opened; its memory is freed with the context's.
pub fn forget(context: usize) {
    OPENED
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .retain(|key, _| key.0 != context);
}

/// How many handles of other processes are open, each as often as it was opened.
pub fn count() -> usize {
    OPENED
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .values()
        .map(|opened| opened.times)
        .sum()
}

/// The state of an event that processes share.
pub struct SharedEvent {
    control: Arc<Control>,
    cell: usize,
    id: u64,
    is_own: bool,
}

impl SharedEvent {
    pub fn new() -> Result<Self> {
        let own = own()?;
        let (cell, id) = (own.take_cell()?, number());
        let state = own.control.cell(cell);
        state.recorded.store(0, Relaxed);
        state.completed.store(0, Relaxed);
        state.id.store(id, Release);
        Ok(Self {
            control: Arc::clone(&own.control),
            cell,
            id,
            is_own: true,
        })
    }

    fn state(&self) -> &Cell {
        self.control.cell(self.cell)
    }

    /// Whether the process that made the event has destroyed it: then nothing may be done with it any more.
    pub fn is_destroyed(&self) -> bool {
        self.state().id.load(Acquire) != self.id
    }

    /// The number of a new recording.
    pub fn begin(&self) -> u32 {
        self.state().recorder.store(process::id(), Relaxed);
        self.state().recorded.fetch_add(1, AcqRel) + 1
    }

    /// The number of the last recording.
    pub fn recorded(&self) -> u32 {
        self.state().recorded.load(Acquire)
    }

    pub fn complete(&self, number: u32) {
        if self.is_destroyed() {
            return;
        }
        let completed = &self.state().completed;
        completed.fetch_max(number, AcqRel);
        // SAFETY: the word is mapped as long as `self`.
        unsafe { libc::syscall(libc::SYS_futex, completed.as_ptr(), libc::FUTEX_WAKE, i32::MAX) };
    }

    pub fn has_completed(&self, number: u32) -> bool {
        self.state().completed.load(Acquire) >= number
    }

    /// Waits for a recording; fails if the process that made it has ended, or the event was destroyed.
    pub fn wait(&self, number: u32) -> Outcome {
        const LOOK_AFTER: Duration = Duration::from_millis(100);
        let time = libc::timespec {
            tv_sec: 0,
            tv_nsec: LOOK_AFTER.subsec_nanos().into(),
        };
        loop {
            let completed = &self.state().completed;
            let now = completed.load(Acquire);
            if now >= number {
                return Ok(());
            }
            if self.is_destroyed() {
                return Err(Failure {
                    status: Status::ERROR_LAUNCH_FAILED,
                    text: "an event was destroyed by the process that made it, before it was over".into(),
                });
            }
            let recorder = self.state().recorder.load(Relaxed);
            // SAFETY: signal 0 only asks whether there is such a process.
            if unsafe { libc::kill(recorder as libc::pid_t, 0) } != 0 && !self.has_completed(number) {
                return Err(Failure {
                    status: Status::ERROR_LAUNCH_FAILED,
                    text: format!("process {recorder}, which recorded an event, has ended before it"),
                });
            }
            // SAFETY: the word is mapped as long as `self`, and the time is on this stack.
            unsafe {
                libc::syscall(
                    libc::SYS_futex,
                    completed.as_ptr(),
                    libc::FUTEX_WAIT,
                    now,
                    ptr::from_ref(&time),
                );
            }
        }
    }
}

impl Drop for SharedEvent {
    fn drop(&mut self) {
        if let (true, Ok(own)) = (self.is_own, own()) {
            own.give_back(self.cell);
        }
    }
}

/// A handle for other processes, if the event was made for that.
pub fn export_event(event: &Event) -> Result<Handle> {
    let shared = event
        .shared
        .as_ref()
        .filter(|shared| shared.is_own)
        .ok_or(Status::ERROR_INVALID_HANDLE)?;
    Ok(own()?.handle(EVENT, shared.cell, shared.id))
}

/// Opens an event of another process.
pub fn open_event(context: &Context, handle: &Handle) -> Result<Arc<Event>> {
    if handle.magic == EVENT && handle.process == process::id() && handle.token == own()?.token {
        return Err(Status::ERROR_INVALID_CONTEXT);
    }
    let control = Arc::new(foreign(handle, EVENT)?);
    let shared = SharedEvent {
        control,
        cell: handle.cell as usize,
        id: handle.id,
        is_own: false,
    };
    Ok(event::adopt(context, shared))
}
