//! Copies and fills, as CUDA orders them with the host.

use std::ptr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed, Ordering::Release};

use super::context::Context;
use super::failure::Outcome;
use super::machine::machine;
use super::memory::{self, Toucher};
use super::status::{Result, Status};
use super::stream::Stream;
use crate::ptx::Access;

/// Bytes that copies have moved, or were asked to move: from hosts to devices, back, and among devices.
pub static TO_DEVICE: AtomicU64 = AtomicU64::new(0);
pub static TO_HOST: AtomicU64 = AtomicU64::new(0);
pub static ON_DEVICE: AtomicU64 = AtomicU64::new(0);

/// A rectangle of memory: rows of bytes, `pitch` bytes apart.
#[derive(Clone, Copy)]
pub struct Area {
    pub address: u64,
    pub pitch: u64,
}

/// How many bytes a row has, and how many rows there are.
#[derive(Clone, Copy)]
pub struct Shape {
    pub width: u64,
    pub height: u64,
}

impl Shape {
    pub fn row(width: usize) -> Self {
        Self {
            width: width as u64,
            height: 1,
        }
    }

    fn is_empty(self) -> bool {
        self.width == 0 || self.height == 0
    }

    /// The bytes from the start of an area to its end.
    fn extent(self, pitch: u64) -> Option<u64> {
        pitch.checked_mul(self.height - 1)?.checked_add(self.width)
    }
}

/// What a call says that an area is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Claim {
    /// Known to devices: their own memory, or host memory that they reach.
    Device,
    /// Whatever its address says.
    Any,
}

/// What an area is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    /// Host memory that devices do not know.
    Pageable,
    /// Page-locked host memory.
    Pinned,
    Device,
}

/// Finds out what an area is, and whether all of it is that.
fn place(address: u64, bytes: u64, claim: Claim) -> Result<Place> {
    match memory::find(address) {
        Some(allocation) => {
            if bytes > allocation.end() - address {
                return Err(Status::ERROR_INVALID_VALUE);
            }
            Ok(if allocation.is_host() {
                Place::Pinned
            } else {
                Place::Device
            })
        }
        None if memory::was_of_pool(address) => Ok(Place::Device),
        None if claim == Claim::Device || address == 0 || machine()?.is_device_address(address) => {
            Err(Status::ERROR_INVALID_VALUE)
        }
        None => Ok(Place::Pageable),
    }
}

/// Where an operation finds the bytes of an area.
enum Source {
    Pageable(u64),
    Known(u64),
    Staged(Vec<u8>),
}

/// When a call returns.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Until {
    /// When the operation is in the stream, as far as CUDA documents that.
    Submitted,
    /// When the operation has ended, as far as CUDA documents that.
    Done,
}

/// Copies an area in the order of a stream.
pub fn copy(
    stream: &Arc<Stream>,
    (target, target_claim): (Area, Claim),
    (source, source_claim): (Area, Claim),
    shape: Shape,
    until: Until,
) -> Result {
    if shape.is_empty() {
        return Ok(());
    }
    if shape.height > 1 && (shape.width > target.pitch || shape.width > source.pitch) {
        return Err(Status::ERROR_INVALID_VALUE);
    }
    let extents = (shape.extent(target.pitch), shape.extent(source.pitch));
    let (Some(target_bytes), Some(source_bytes)) = extents else {
        return Err(Status::ERROR_INVALID_VALUE);
    };
    let to = place(target.address, target_bytes, target_claim)?;
    let from = place(source.address, source_bytes, source_claim)?;
    let moved = match (from == Place::Device, to == Place::Device) {
        (true, true) => Some(&ON_DEVICE),
        (true, false) => Some(&TO_HOST),
        (false, true) => Some(&TO_DEVICE),
        (false, false) => None,
    };
    if let Some(moved) = moved {
        moved.fetch_add(shape.width * shape.height, Relaxed);
    }
    // cuda-driver-api, "API synchronization behavior".
    let (stages, waits) = match (from, to, until) {
        // The source may be used again when the call returns, though the target does not have the bytes yet.
        (Place::Pageable, Place::Device, _) => (true, false),
        (Place::Device, Place::Pageable, _) => (false, true),
        (Place::Device, Place::Device, _) => (false, false),
        (Place::Pageable | Place::Pinned, Place::Pageable | Place::Pinned, _) => (false, true),
        (_, _, until) => (false, until == Until::Done),
    };
    if stages && until == Until::Done {
        stream.wait_for_all();
    }
    let found = match from {
        // SAFETY: the caller of the driver says that these bytes can be read.
        Place::Pageable if stages => Source::Staged(unsafe { read(source.address, source_bytes) }),
        Place::Pageable => Source::Pageable(source.address),
        Place::Pinned | Place::Device => Source::Known(source.address),
    };
    let moves = move |context: &Arc<Context>| {
        let (_target, to) = match to {
            Place::Pageable => (None, target.address as *mut u8),
            _ => locate(context, target.address, target_bytes, Access::Write)?,
        };
        let (_source, from) = match &found {
            Source::Pageable(address) => (None, *address as *mut u8),
            Source::Known(address) => locate(context, *address, source_bytes, Access::Read)?,
            Source::Staged(bytes) => (None, bytes.as_ptr().cast_mut()),
        };
        for row in 0..shape.height {
            // SAFETY: both areas are inside what the driver knows or the program vouches for.
            unsafe {
                ptr::copy(
                    from.add((row * source.pitch) as usize),
                    to.add((row * target.pitch) as usize),
                    shape.width as usize,
                );
            }
        }
        Ok(())
    };
    match waits || (until == Until::Done && stages) {
        // Without delays a staged copy has ended when the next operation begins.
        true if waits || machine()?.settings.delay == 0 => stream.perform(moves),
        _ => stream.enqueue(moves),
    }
}

/// The allocation that is kept, and the pointer.
type Located = (Option<Arc<memory::Allocation>>, *mut u8);

fn locate(context: &Context, address: u64, bytes: u64, access: Access) -> Outcome<Located> {
    let (kept, pointer) = memory::resolve(context, address, bytes, access, Toucher::Copy)?;
    Ok((Some(kept), pointer))
}

/// Reads memory of the program's.
///
/// # Safety
/// The bytes can be read.
unsafe fn read(address: u64, bytes: u64) -> Vec<u8> {
    // SAFETY: as the caller says.
    unsafe { std::slice::from_raw_parts(address as *const u8, bytes as usize) }.to_vec()
}

/// Writes a word in the order of a stream, behind a fence for the whole system.
pub fn write_word(stream: &Arc<Stream>, address: u64, value: u32) -> Result {
    const BYTES: u64 = size_of::<u32>() as u64;
    let is_managed = |address| memory::find(address).is_some_and(|found| found.kind == memory::Kind::Managed);
    if !address.is_multiple_of(BYTES) || is_managed(address) {
        return Err(Status::ERROR_INVALID_VALUE);
    }
    place(address, BYTES, Claim::Device)?;
    stream.enqueue(move |context: &Arc<Context>| {
        let (_kept, pointer) = locate(context, address, BYTES, Access::Write)?;
        // SAFETY: aligned as its address, inside one allocation, and whoever else looks at it does so atomically.
        unsafe { AtomicU32::from_ptr(pointer.cast()) }.store(value, Release);
        Ok(())
    })
}

/// Fills an area with a value of 1, 2 or 4 bytes, in the order of a stream. The width is in bytes.
pub fn fill(stream: &Arc<Stream>, target: Area, shape: Shape, value: &[u8], until: Until) -> Result {
    let unit = value.len() as u64;
    if shape.is_empty() {
        return Ok(());
    }
    let pitch = if shape.height > 1 {
        target.pitch
    } else {
        shape.width
    };
    if !target.address.is_multiple_of(unit) || !pitch.is_multiple_of(unit) || shape.width > pitch {
        return Err(Status::ERROR_INVALID_VALUE);
    }
    let bytes = shape.extent(target.pitch).ok_or(Status::ERROR_INVALID_VALUE)?;
    let place = place(target.address, bytes, Claim::Device)?;
    let value = value.to_vec();
    let fills = move |context: &Arc<Context>| {
        let (_kept, pointer) = locate(context, target.address, bytes, Access::Write)?;
        for row in 0..shape.height {
            // SAFETY: the row is inside the area, which was found in one allocation.
            let row = unsafe {
                std::slice::from_raw_parts_mut(
                    pointer.add((row * target.pitch) as usize),
                    shape.width as usize,
                )
            };
            match value[..] {
                [byte] => row.fill(byte),
                _ => row
                    .chunks_exact_mut(value.len())
                    .for_each(|unit| unit.copy_from_slice(&value)),
            }
        }
        Ok(())
    };
    match (until, place) {
        // A fill of device memory is asynchronous even in the calls that do not say so.
        (Until::Done, Place::Pinned) => stream.perform(fills),
        _ => stream.enqueue(fills),
    }
}
