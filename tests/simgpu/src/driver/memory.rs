//! Allocations: what addresses of devices, and of host memory that devices know, stand for.

use std::collections::{BTreeMap, VecDeque};
use std::ptr;
use std::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering::*};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use super::arena::{POISON, map_anonymous};
use super::context::Context;
use super::ipc::Import;
use super::machine::Device;
use super::status::{Result, Status};
use crate::ptx::{Access, Fault};

/// What an allocation is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Memory of a device.
    Device,
    /// Memory of a device, allocated in the order of a stream.
    Pool,
    /// A variable of a module.
    Variable { constant: bool },
    /// Memory of another process's device.
    Imported,
    /// Memory that the CPU and all devices may touch.
    Managed,
    /// Page-locked host memory of the driver's.
    Pinned,
    /// Page-locked host memory of the program's.
    Registered,
}

/// A range of memory that devices know.
pub struct Allocation {
    pub address: u64,
    pub bytes: u64,
    /// Where copies and kernels find it.
    pub pointer: *mut u8,
    pub kind: Kind,
    /// The device whose memory it is, or whose context it was made in.
    pub device: usize,
    /// The handle of the context that it was made in.
    pub context: usize,
    /// The flags that host memory was asked for with.
    pub flags: u32,
    /// `CU_POINTER_ATTRIBUTE_SYNC_MEMOPS`.
    pub sync_memops: AtomicU32,
    /// A number of its own among all allocations of the process.
    pub id: u64,
    stage: AtomicU8,
    backing: Backing,
}

// SAFETY: the pointer stays valid as long as the allocation; whoever touches the memory answers for races.
unsafe impl Send for Allocation {}
// SAFETY: as above.
unsafe impl Sync for Allocation {}

/// Allocated, but in stream order not yet.
const COMING: u8 = 0;
const LIVE: u8 = 1;
const FREED: u8 = 2;

/// What is given back in the end.
enum Backing {
    Arena {
        device: &'static Device,
        offset: u64,
    },
    /// A mapping of this process's own.
    Mapping,
    /// Managed memory, which counts as its device's.
    Managed(&'static Device),
    /// The program's own memory.
    Program,
    /// Addresses of a device for memory of another process.
    Import {
        device: &'static Device,
        offset: u64,
        import: Import,
    },
}

impl Drop for Allocation {
    fn drop(&mut self) {
        match &self.backing {
            Backing::Arena { device, offset } | Backing::Import { device, offset, .. } => {
                if let Ok(arena) = device.arena() {
                    arena.give_back(*offset, self.bytes);
                }
            }
            Backing::Mapping | Backing::Managed(_) => {
                // SAFETY: the mapping is the allocation's, and nobody has it any more.
                unsafe { libc::munmap(self.pointer.cast(), self.bytes as usize) };
            }
            Backing::Program => {}
        }
    }
}

impl Allocation {
    pub fn is_host(&self) -> bool {
        matches!(self.kind, Kind::Pinned | Kind::Registered)
    }

    pub fn end(&self) -> u64 {
        self.address + self.bytes
    }

    /// The imported memory, if it is that.
    pub fn import(&self) -> Option<&Import> {
        match &self.backing {
            Backing::Import { import, .. } => Some(import),
            _ => None,
        }
    }

    /// The place of the memory in the file of its device, if it has one.
    pub fn offset(&self) -> Option<u64> {
        match self.backing {
            Backing::Arena { offset, .. } => Some(offset),
            _ => None,
        }
    }

    /// Makes memory usable that was allocated in stream order.
    pub fn arrive(&self) {
        self.stage.store(LIVE, Release);
    }

    /// Whether it can be used now; else what is wrong with it.
    fn usable(&self) -> std::result::Result<(), &'static str> {
        match self.stage.load(Acquire) {
            COMING => Err("used before its allocation in stream order"),
            LIVE if self.import().is_some_and(Import::is_freed) => {
                Err("freed by the process that exported it")
            }
            LIVE => Ok(()),
            _ => Err("freed"),
        }
    }
}

static ALLOCATIONS: RwLock<BTreeMap<u64, Arc<Allocation>>> = RwLock::new(BTreeMap::new());

/// The last allocations that were freed.
static FREED_LATELY: Mutex<VecDeque<Freed>> = Mutex::new(VecDeque::new());

const REMEMBERED: usize = 4096;

#[derive(Clone, Copy)]
struct Freed {
    address: u64,
    bytes: u64,
    kind: Kind,
}

/// Live counts of device memory and of host memory.
pub static DEVICE: Usage = Usage::new();
pub static HOST: Usage = Usage::new();

/// How much there is.
pub struct Usage {
    pub allocations: AtomicU64,
    pub bytes: AtomicU64,
}

impl Usage {
    const fn new() -> Self {
        Self {
            allocations: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
        }
    }

    /// Where an allocation is counted; variables of modules and imported memory are not.
    fn of(kind: Kind) -> Option<&'static Self> {
        match kind {
            Kind::Device | Kind::Pool | Kind::Managed => Some(&DEVICE),
            Kind::Pinned | Kind::Registered => Some(&HOST),
            Kind::Variable { .. } | Kind::Imported => None,
        }
    }
}

fn number() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    NEXT.fetch_add(1, Relaxed)
}

/// What all allocations are made from.
struct New<'a> {
    context: &'a Context,
    address: u64,
    pointer: *mut u8,
    bytes: u64,
    kind: Kind,
    flags: u32,
    backing: Backing,
}

fn insert(new: New) -> Arc<Allocation> {
    let stage = if new.kind == Kind::Pool { COMING } else { LIVE };
    let allocation = Arc::new(Allocation {
        address: new.address,
        bytes: new.bytes,
        pointer: new.pointer,
        kind: new.kind,
        device: new.context.device.index,
        context: new.context.handle,
        flags: new.flags,
        sync_memops: AtomicU32::new(0),
        id: number(),
        stage: AtomicU8::new(stage),
        backing: new.backing,
    });
    if let Some(usage) = Usage::of(new.kind) {
        usage.allocations.fetch_add(1, Relaxed);
        usage.bytes.fetch_add(new.bytes, Relaxed);
    }
    let mut all = ALLOCATIONS.write().unwrap_or_else(PoisonError::into_inner);
    all.insert(new.address, Arc::clone(&allocation));
    allocation
}

/// Charges the context's device; waits for frees in stream order where they are what is missing.
fn charge(context: &Context, bytes: u64) -> Result {
    if context.device.charge(bytes).is_ok() {
        return Ok(());
    }
    context.wait();
    context.device.charge(bytes)
}

/// Allocates memory of the context's device, full of poison.
pub fn allocate(context: &Context, bytes: u64, kind: Kind) -> Result<Arc<Allocation>> {
    if bytes == 0 {
        return Err(Status::ERROR_INVALID_VALUE);
    }
    let device = context.device;
    let arena = device.arena()?;
    charge(context, bytes)?;
    let Some(offset) = arena.take(bytes) else {
        device.discharge(bytes);
        return Err(Status::ERROR_OUT_OF_MEMORY);
    };
    arena.poison(offset, bytes);
    Ok(insert(New {
        context,
        address: arena.address(offset),
        pointer: arena.pointer(offset),
        bytes,
        kind,
        flags: 0,
        backing: Backing::Arena { device, offset },
    }))
}

/// Gives memory of another process an address of the context's device.
pub fn adopt(context: &Context, import: Import) -> Result<Arc<Allocation>> {
    let device = context.device;
    let arena = device.arena()?;
    let (pointer, bytes) = (import.pointer(), import.bytes());
    let offset = arena.take(bytes).ok_or(Status::ERROR_MAP_FAILED)?;
    Ok(insert(New {
        context,
        address: arena.address(offset),
        pointer,
        bytes,
        kind: Kind::Imported,
        flags: 0,
        backing: Backing::Import {
            device,
            offset,
            import,
        },
    }))
}

fn anonymous(bytes: u64) -> Result<*mut u8> {
    if bytes == 0 {
        return Err(Status::ERROR_INVALID_VALUE);
    }
    let pointer = map_anonymous(bytes).map_err(|_| Status::ERROR_OUT_OF_MEMORY)?;
    // SAFETY: the mapping is new and as long.
    unsafe { ptr::write_bytes(pointer, POISON, bytes as usize) };
    Ok(pointer)
}

/// Allocates memory that the CPU and all devices may touch.
pub fn allocate_managed(context: &Context, bytes: u64) -> Result<Arc<Allocation>> {
    let device = context.device;
    charge(context, bytes)?;
    let pointer = anonymous(bytes).inspect_err(|_| device.discharge(bytes))?;
    Ok(insert(New {
        context,
        address: pointer as u64,
        pointer,
        bytes,
        kind: Kind::Managed,
        flags: 0,
        backing: Backing::Managed(device),
    }))
}

/// Allocates page-locked host memory.
pub fn allocate_host(context: &Context, bytes: u64, flags: u32) -> Result<Arc<Allocation>> {
    let pointer = anonymous(bytes)?;
    Ok(insert(New {
        context,
        address: pointer as u64,
        pointer,
        bytes,
        kind: Kind::Pinned,
        flags,
        backing: Backing::Mapping,
    }))
}

/// Makes memory of the program's known to devices.
pub fn register(context: &Context, pointer: *mut u8, bytes: u64, flags: u32) -> Result {
    let address = pointer as u64;
    let end = address.checked_add(bytes);
    let end = end
        .filter(|&end| address != 0 && end > address)
        .ok_or(Status::ERROR_INVALID_VALUE)?;
    let all = ALLOCATIONS.read().unwrap_or_else(PoisonError::into_inner);
    if all
        .range(..end)
        .next_back()
        .is_some_and(|(_, last)| last.end() > address)
    {
        return Err(Status::ERROR_HOST_MEMORY_ALREADY_REGISTERED);
    }
    drop(all);
    let (kind, backing) = (Kind::Registered, Backing::Program);
    insert(New {
        context,
        address,
        pointer,
        bytes,
        kind,
        flags,
        backing,
    });
    Ok(())
}

/// The allocation that an address is in.
pub fn find(address: u64) -> Option<Arc<Allocation>> {
    let all = ALLOCATIONS.read().unwrap_or_else(PoisonError::into_inner);
    let (_, last) = all.range(..=address).next_back()?;
    (address < last.end()).then(|| Arc::clone(last))
}

/// The allocation that begins at an address.
pub fn starting_at(address: u64) -> Option<Arc<Allocation>> {
    ALLOCATIONS
        .read()
        .unwrap_or_else(PoisonError::into_inner)
        .get(&address)
        .cloned()
}

/// Frees an allocation; its memory stays until the operations that use it have ended.
pub fn free(allocation: &Allocation) {
    let removed = ALLOCATIONS
        .write()
        .unwrap_or_else(PoisonError::into_inner)
        .remove(&allocation.address);
    let Some(removed) = removed else {
        return;
    };
    retire(&removed);
}

fn retire(removed: &Allocation) {
    removed.stage.store(FREED, Release);
    let Allocation {
        address, bytes, kind, ..
    } = *removed;
    if let Some(usage) = Usage::of(kind) {
        usage.allocations.fetch_sub(1, Relaxed);
        usage.bytes.fetch_sub(bytes, Relaxed);
    }
    if let Backing::Arena { device, .. } | Backing::Managed(device) = removed.backing {
        device.discharge(bytes);
    }
    super::ipc::withdraw(removed.id);
    let mut lately = FREED_LATELY.lock().unwrap_or_else(PoisonError::into_inner);
    if lately.len() == REMEMBERED {
        lately.pop_front();
    }
    lately.push_back(Freed { address, bytes, kind });
}

/// Frees everything of a context.
pub fn forget(context: usize) {
    let mut removed = Vec::new();
    let mut all = ALLOCATIONS.write().unwrap_or_else(PoisonError::into_inner);
    all.retain(|_, allocation| {
        let kept = allocation.context != context;
        if !kept {
            removed.push(Arc::clone(allocation));
        }
        kept
    });
    drop(all);
    removed.iter().for_each(|allocation| retire(allocation));
}

fn lately(address: u64) -> Option<Freed> {
    let lately = FREED_LATELY.lock().unwrap_or_else(PoisonError::into_inner);
    lately
        .iter()
        .rev()
        .find(|freed| address >= freed.address && address - freed.address < freed.bytes)
        .copied()
}

/// Whether memory at the address was freed in stream order not long ago: only an operation can tell whether
/// it comes too late.
pub fn was_of_pool(address: u64) -> bool {
    lately(address).is_some_and(|freed| freed.kind == Kind::Pool)
}

/// Who touches memory.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Toucher {
    /// Copies reach all devices.
    Copy,
    /// Kernels reach other devices only where peer access is enabled, and do not write constants.
    Kernel,
}

/// The allocation around an address, if it may be touched now in the order of a stream of `context`.
pub fn touch(
    context: &Context,
    address: u64,
    access: Access,
    toucher: Toucher,
) -> std::result::Result<Arc<Allocation>, Fault> {
    let verb = match access {
        Access::Read => "read",
        Access::Write => "written",
    };
    let illegal = |text: String| Err(Fault::IllegalAddress(format!("{address:#x} was {verb}: {text}")));
    let Some(allocation) = find(address) else {
        return illegal(match lately(address) {
            Some(freed) => format!(
                "it is {} bytes into {}, which was freed",
                address - freed.address,
                describe(freed.bytes, freed.kind)
            ),
            None => match nearest_before(address) {
                Some(before) => format!(
                    "it is in no allocation; {} ends {} bytes before it",
                    describe(before.bytes, before.kind),
                    address - before.end(),
                ),
                None => "it is in no allocation".into(),
            },
        });
    };
    let described = || describe(allocation.bytes, allocation.kind);
    if let Err(why) = allocation.usable() {
        return illegal(format!("it is in {}, which was {why}", described()));
    }
    if toucher == Toucher::Kernel {
        let host = allocation.is_host() || allocation.kind == Kind::Managed;
        if !host && !context.reaches(allocation.device) {
            return illegal(format!(
                "it is in {} of device {}, to which device {} was given no access",
                described(),
                allocation.device,
                context.device.index,
            ));
        }
        if access == Access::Write && allocation.kind == (Kind::Variable { constant: true }) {
            return illegal("it is in constant memory".into());
        }
    }
    Ok(allocation)
}

/// Where `bytes` bytes at an address can be touched, and the allocation that must be kept meanwhile.
pub fn resolve(
    context: &Context,
    address: u64,
    bytes: u64,
    access: Access,
    toucher: Toucher,
) -> std::result::Result<(Arc<Allocation>, *mut u8), Fault> {
    let allocation = touch(context, address, access, toucher)?;
    let offset = address - allocation.address;
    if bytes > allocation.bytes - offset {
        return Err(Fault::IllegalAddress(format!(
            "{bytes} bytes at {address:#x} run past the end of {}, {} bytes from its start",
            describe(allocation.bytes, allocation.kind),
            offset,
        )));
    }
    // SAFETY: the offset is inside the allocation.
    let pointer = unsafe { allocation.pointer.add(offset as usize) };
    Ok((allocation, pointer))
}

fn nearest_before(address: u64) -> Option<Arc<Allocation>> {
    const NEAR: u64 = 1 << 20;
    let all = ALLOCATIONS.read().unwrap_or_else(PoisonError::into_inner);
    let (_, last) = all.range(..=address).next_back()?;
    (address - last.end() < NEAR).then(|| Arc::clone(last))
}

fn describe(bytes: u64, kind: Kind) -> String {
    let kind = match kind {
        Kind::Device => "device memory",
        Kind::Pool => "device memory in stream order",
        Kind::Variable { constant: false } => "a variable of a module",
        Kind::Variable { constant: true } => "a constant of a module",
        Kind::Imported => "memory of another process",
        Kind::Managed => "managed memory",
        Kind::Pinned => "page-locked memory",
        Kind::Registered => "registered memory",
    };
    format!("{kind} of {bytes} bytes")
}
