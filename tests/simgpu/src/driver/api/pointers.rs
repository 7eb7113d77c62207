//! What a pointer points to.

use std::ffi::{c_int, c_uint, c_void};
use std::sync::atomic::Ordering::Relaxed;

use super::{call, give, take};
use crate::driver::context;
use crate::driver::machine::machine;
use crate::driver::memory::{self, Allocation, Kind};
use crate::driver::status::{Result, Status};

const CONTEXT: c_uint = 1;
const MEMORY_TYPE: c_uint = 2;
const DEVICE_POINTER: c_uint = 3;
const HOST_POINTER: c_uint = 4;
const SYNC_MEMOPS: c_uint = 6;
const BUFFER_ID: c_uint = 7;
const IS_MANAGED: c_uint = 8;
const DEVICE_ORDINAL: c_uint = 9;
const IS_IPC_CAPABLE: c_uint = 10;
const RANGE_START: c_uint = 11;
const RANGE_SIZE: c_uint = 12;
const MAPPED: c_uint = 13;
const ALLOWED_HANDLE_TYPES: c_uint = 14;
const IS_RDMA_CAPABLE: c_uint = 15;
const ACCESS_FLAGS: c_uint = 16;
const POOL: c_uint = 17;

const HOST: c_uint = 1;
const DEVICE: c_uint = 2;
const READ_AND_WRITE: c_uint = 3;

/// A boolean attribute fills an `int`, which Intel MPI does not clear before it asks.
fn boolean(value: bool) -> c_int {
    value.into()
}

/// # Safety
/// The pointer is valid for what the attribute is.
unsafe fn attribute(
    value: *mut c_void,
    attribute: c_uint,
    address: u64,
    allocation: Option<&Allocation>,
) -> Result {
    let Some(allocation) = allocation else {
        return Err(Status::ERROR_INVALID_VALUE);
    };
    let is_reachable_from_host = allocation.is_host() || allocation.kind == Kind::Managed;
    // SAFETY: as the caller says.
    unsafe {
        match attribute {
            CONTEXT => give(value.cast(), allocation.context),
            MEMORY_TYPE => give(value.cast(), if allocation.is_host() { HOST } else { DEVICE }),
            DEVICE_POINTER => give(value.cast(), address),
            HOST_POINTER if is_reachable_from_host => give(value.cast(), address),
            HOST_POINTER => Err(Status::ERROR_INVALID_VALUE),
            SYNC_MEMOPS => give(value.cast(), boolean(allocation.sync_memops.load(Relaxed) != 0)),
            BUFFER_ID => give(value.cast(), allocation.id),
            IS_MANAGED => give(value.cast(), boolean(allocation.kind == Kind::Managed)),
            DEVICE_ORDINAL => {
                let ordinal = machine()?.ordinal(allocation.device);
                give(
                    value.cast::<c_int>(),
                    ordinal.ok_or(Status::ERROR_INVALID_DEVICE)?,
                )
            }
            IS_IPC_CAPABLE => give(value.cast(), boolean(allocation.kind == Kind::Device)),
            RANGE_START => give(value.cast(), allocation.address),
            RANGE_SIZE => give(value.cast(), allocation.bytes as usize),
            MAPPED => give(value.cast(), boolean(true)),
            ALLOWED_HANDLE_TYPES => give(value.cast(), 0_u64),
            IS_RDMA_CAPABLE => give(value.cast(), boolean(false)),
            ACCESS_FLAGS => give(value.cast(), READ_AND_WRITE),
            POOL => give(value.cast(), 0_usize),
            _ => Err(Status::ERROR_INVALID_VALUE),
        }
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn cuPointerGetAttribute(value: *mut c_void, wanted: c_uint, address: u64) -> c_int {
    call(|| {
        context::current_if_any()?;
        let allocation = memory::find(address);
        // SAFETY: as the caller says.
        unsafe { attribute(value, wanted, address, allocation.as_deref()) }
    })
}

/// Unlike one attribute at a time, an unknown pointer is no error here: its attributes are zero.
#[unsafe(no_mangle)]
unsafe extern "C" fn cuPointerGetAttributes(
    count: c_uint,
    wanted: *const c_uint,
    values: *const *mut c_void,
    address: u64,
) -> c_int {
    call(|| {
        context::current_if_any()?;
        let allocation = memory::find(address);
        for index in 0..count as usize {
            // SAFETY: as the caller says, both lists have as many entries.
            unsafe {
                let (wanted, value) = (take(wanted.add(index))?, take(values.add(index))?);
                match attribute(value, wanted, address, allocation.as_deref()) {
                    Ok(()) => {}
                    Err(_) if value.is_null() => return Err(Status::ERROR_INVALID_VALUE),
                    Err(_) => zero(value, wanted)?,
                }
            }
        }
        Ok(())
    })
}

/// # Safety
/// The pointer is valid for what the attribute is.
unsafe fn zero(value: *mut c_void, attribute: c_uint) -> Result {
    // SAFETY: as the caller says.
    unsafe {
        match attribute {
            SYNC_MEMOPS | IS_MANAGED | IS_IPC_CAPABLE | MAPPED | IS_RDMA_CAPABLE => {
                give(value.cast(), boolean(false))
            }
            MEMORY_TYPE | ACCESS_FLAGS => give(value.cast(), 0_u32),
            // No device has this number.
            DEVICE_ORDINAL => give(value.cast(), -2_i32),
            CONTEXT..=POOL => give(value.cast(), 0_u64),
            _ => Err(Status::ERROR_INVALID_VALUE),
        }
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn cuPointerSetAttribute(value: *const c_void, wanted: c_uint, address: u64) -> c_int {
    call(|| {
        context::current()?;
        let allocation = memory::find(address).ok_or(Status::ERROR_INVALID_VALUE)?;
        if wanted != SYNC_MEMOPS {
            return Err(Status::ERROR_INVALID_VALUE);
        }
        // SAFETY: as the caller says.
        let on = unsafe { take(value.cast::<u8>()) }?;
        allocation.sync_memops.store((on != 0).into(), Relaxed);
        Ok(())
    })
}
