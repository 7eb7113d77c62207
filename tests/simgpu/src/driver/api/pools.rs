//! Memory in stream order. Each device has one pool, its default.

use std::ffi::{c_int, c_uint, c_void};

use super::{call, give};
use crate::driver::context::Context;
use crate::driver::faults::{self, Class};
use crate::driver::machine::{Device, machine};
use crate::driver::memory::{self, Kind};
use crate::driver::status::{Result, Status};
use crate::driver::stream::{self, Work};

/// What a default pool's handle begins from.
const FIRST_POOL: usize = 0x51f1_0000_0000_0000;

fn handle(device: &Device) -> usize {
    FIRST_POOL + 16 * device.index
}

fn device_of(pool: usize) -> Result<&'static Device> {
    let devices = &machine()?.devices;
    devices
        .iter()
        .find(|device| handle(device) == pool)
        .ok_or(Status::ERROR_INVALID_VALUE)
}

fn allocate(bytes: usize, stream: usize) -> Result<u64> {
    let stream = stream::of(stream)?;
    let context = stream.context()?;
    faults::check(Class::Alloc)?;
    if bytes == 0 {
        return Ok(0);
    }
    let allocation = memory::allocate(&context, bytes as u64, Kind::Pool)?;
    let address = allocation.address;
    let freed_if_refused = allocation.clone();
    let arrives = Work::Brief(Box::new(move |_| allocation.arrive()));
    stream
        .submit(Vec::new(), arrives)
        .inspect_err(|_| memory::free(&freed_if_refused))?;
    Ok(address)
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuMemAllocAsync(address: *mut u64, bytes: usize, stream: usize) -> c_int {
    // SAFETY: as the caller says.
    call(|| unsafe { give(address, allocate(bytes, stream)?) })
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuMemAllocFromPoolAsync(
    address: *mut u64,
    bytes: usize,
    pool: usize,
    stream: usize,
) -> c_int {
    call(|| {
        if device_of(pool)?.index != stream::of(stream)?.context()?.device.index {
            return Err(Status::ERROR_NOT_SUPPORTED);
        }
        // SAFETY: as the caller says.
        unsafe { give(address, allocate(bytes, stream)?) }
    })
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuMemFreeAsync(address: u64, stream: usize) -> c_int {
    call(|| {
        let stream = stream::of_even_failed(stream)?;
        if address == 0 {
            return stream.context()?.check();
        }
        let allocation = memory::starting_at(address).ok_or(Status::ERROR_INVALID_VALUE)?;
        match allocation.kind {
            Kind::Pool => {}
            // Memory of cuMemAlloc may be freed like this too, once it is out of use.
            Kind::Device => {}
            _ => return Err(Status::ERROR_INVALID_VALUE),
        }
        Context::of(allocation.context)?;
        stream.submit(
            Vec::new(),
            Work::Brief(Box::new(move |_| memory::free(&allocation))),
        )?;
        stream.context()?.check()
    })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn cuDeviceGetDefaultMemPool(pool: *mut usize, device: c_int) -> c_int {
    // SAFETY: as the caller says.
    call(|| unsafe { give(pool, handle(machine()?.device(device)?)) })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn cuDeviceGetMemPool(pool: *mut usize, device: c_int) -> c_int {
    // SAFETY: as the caller says.
    call(|| unsafe { give(pool, handle(machine()?.device(device)?)) })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn cuDeviceSetMemPool(device: c_int, pool: usize) -> c_int {
    call(
        || match device_of(pool)?.index == machine()?.device(device)?.index {
            true => Ok(()),
            false => Err(Status::ERROR_INVALID_VALUE),
        },
    )
}

#[unsafe(no_mangle)]
unsafe extern "C" fn cuMemPoolTrimTo(pool: usize, _kept: usize) -> c_int {
    call(|| device_of(pool).map(drop))
}

/// Which attributes a pool has: whether it may use memory again early, the threshold of release, and what is
/// reserved and used, now and at most.
const SWITCHES: std::ops::RangeInclusive<c_uint> = 1..=3;
const RELEASE_THRESHOLD: c_uint = 4;
const AMOUNTS: std::ops::RangeInclusive<c_uint> = 5..=8;

#[unsafe(no_mangle)]
unsafe extern "C" fn cuMemPoolGetAttribute(pool: usize, attribute: c_uint, value: *mut c_void) -> c_int {
    call(|| {
        let device = device_of(pool)?;
        // SAFETY: as the caller says.
        unsafe {
            match attribute {
                _ if SWITCHES.contains(&attribute) => give(value.cast::<c_int>(), 1),
                RELEASE_THRESHOLD => give(value.cast::<u64>(), 0),
                _ if AMOUNTS.contains(&attribute) => {
                    give(value.cast::<u64>(), device.memory - device.free_memory())
                }
                _ => Err(Status::ERROR_INVALID_VALUE),
            }
        }
    })
}

/// Memory is never used again early, nor kept: nothing is there to be set.
#[unsafe(no_mangle)]
unsafe extern "C" fn cuMemPoolSetAttribute(pool: usize, attribute: c_uint, value: *const c_void) -> c_int {
    call(|| {
        device_of(pool)?;
        match attribute {
            1..=8 if !value.is_null() => Ok(()),
            _ => Err(Status::ERROR_INVALID_VALUE),
        }
    })
}
