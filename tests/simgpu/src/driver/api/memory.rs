//! Allocation of device memory, managed memory and page-locked memory.

use std::ffi::{c_int, c_uint, c_void};

use super::{call, give};
use crate::driver::context::{self, Context};
use crate::driver::faults::{self, Class};
use crate::driver::memory::{self, Kind};
use crate::driver::status::{Result, Status};

#[unsafe(no_mangle)]
unsafe extern "C" fn cuMemAlloc_v2(address: *mut u64, bytes: usize) -> c_int {
    call(|| {
        let context = context::current()?;
        faults::check(Class::Alloc)?;
        let allocation = memory::allocate(&context, bytes as u64, Kind::Device)?;
        // SAFETY: as the caller says.
        unsafe { give(address, allocation.address) }
    })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn cuMemAllocPitch_v2(
    address: *mut u64,
    pitch: *mut usize,
    width: usize,
    height: usize,
    _element: c_uint,
) -> c_int {
    const ALIGNMENT: usize = 512;
    call(|| {
        let context = context::current()?;
        faults::check(Class::Alloc)?;
        let row = width
            .checked_next_multiple_of(ALIGNMENT)
            .ok_or(Status::ERROR_INVALID_VALUE)?;
        let bytes = row.checked_mul(height).ok_or(Status::ERROR_INVALID_VALUE)?;
        let allocation = memory::allocate(&context, bytes as u64, Kind::Device)?;
        // SAFETY: as the caller says.
        unsafe {
            give(pitch, row)?;
            give(address, allocation.address)
        }
    })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn cuMemAllocManaged(address: *mut u64, bytes: usize, flags: c_uint) -> c_int {
    const GLOBAL: c_uint = 1;
    const HOST: c_uint = 2;
    call(|| {
        let context = context::current()?;
        faults::check(Class::Alloc)?;
        if !matches!(flags, GLOBAL | HOST) {
            return Err(Status::ERROR_INVALID_VALUE);
        }
        let allocation = memory::allocate_managed(&context, bytes as u64)?;
        // SAFETY: as the caller says.
        unsafe { give(address, allocation.address) }
    })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn cuMemFree_v2(address: u64) -> c_int {
    call(|| {
        let current = context::current_or_failed()?;
        if address == 0 {
            return current.check();
        }
        let allocation = memory::starting_at(address).ok_or(Status::ERROR_INVALID_VALUE)?;
        match allocation.kind {
            Kind::Device | Kind::Managed => Context::of(allocation.context)?.wait(),
            // What uses it must have ended: this does not wait.
            Kind::Pool => {}
            _ => return Err(Status::ERROR_INVALID_VALUE),
        }
        memory::free(&allocation);
        current.check()
    })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn cuMemGetInfo_v2(free: *mut usize, total: *mut usize) -> c_int {
    call(|| {
        let device = context::current()?.device;
        // SAFETY: as the caller says.
        unsafe {
            give(free, device.free_memory() as usize)?;
            give(total, device.memory as usize)
        }
    })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn cuMemGetAddressRange_v2(base: *mut u64, bytes: *mut usize, address: u64) -> c_int {
    call(|| {
        context::current()?;
        let allocation = memory::find(address).ok_or(Status::ERROR_NOT_FOUND)?;
        // SAFETY: as the caller says.
        unsafe {
            super::offer(base, allocation.address);
            super::offer(bytes, allocation.bytes as usize);
        }
        Ok(())
    })
}

const KNOWN_HOST_FLAGS: c_uint = 7;

fn allocate_host(bytes: usize, flags: c_uint) -> Result<*mut c_void> {
    let context = context::current()?;
    faults::check(Class::Pinned)?;
    if flags & !KNOWN_HOST_FLAGS != 0 {
        return Err(Status::ERROR_INVALID_VALUE);
    }
    Ok(memory::allocate_host(&context, bytes as u64, flags)?
        .pointer
        .cast())
}

#[unsafe(no_mangle)]
unsafe extern "C" fn cuMemHostAlloc(pointer: *mut *mut c_void, bytes: usize, flags: c_uint) -> c_int {
    // SAFETY: as the caller says.
    call(|| unsafe { give(pointer, allocate_host(bytes, flags)?) })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn cuMemAllocHost_v2(pointer: *mut *mut c_void, bytes: usize) -> c_int {
    // SAFETY: as the caller says.
    call(|| unsafe { give(pointer, allocate_host(bytes, 0)?) })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn cuMemFreeHost(pointer: *mut c_void) -> c_int {
    call(|| {
        let current = context::current_or_failed()?;
        let allocation = memory::starting_at(pointer as u64).ok_or(Status::ERROR_INVALID_VALUE)?;
        if allocation.kind != Kind::Pinned {
            return Err(Status::ERROR_INVALID_VALUE);
        }
        memory::free(&allocation);
        current.check()
    })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn cuMemHostRegister_v2(pointer: *mut c_void, bytes: usize, flags: c_uint) -> c_int {
    const KNOWN: c_uint = 15;
    const IO_MEMORY: c_uint = 4;
    call(|| {
        let context = context::current()?;
        faults::check(Class::Pinned)?;
        if flags & !KNOWN != 0 {
            return Err(Status::ERROR_INVALID_VALUE);
        }
        if flags & IO_MEMORY != 0 {
            return Err(Status::ERROR_NOT_SUPPORTED);
        }
        memory::register(&context, pointer.cast(), bytes as u64, flags)
    })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn cuMemHostUnregister(pointer: *mut c_void) -> c_int {
    call(|| {
        let current = context::current_or_failed()?;
        let allocation =
            memory::starting_at(pointer as u64).filter(|allocation| allocation.kind == Kind::Registered);
        memory::free(&*allocation.ok_or(Status::ERROR_HOST_MEMORY_NOT_REGISTERED)?);
        current.check()
    })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn cuMemHostGetDevicePointer_v2(
    address: *mut u64,
    pointer: *mut c_void,
    flags: c_uint,
) -> c_int {
    call(|| {
        context::current()?;
        let known = memory::find(pointer as u64).is_some_and(|allocation| allocation.is_host());
        if flags != 0 || !known {
            return Err(Status::ERROR_INVALID_VALUE);
        }
        // SAFETY: as the caller says.
        unsafe { give(address, pointer as u64) }
    })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn cuMemHostGetFlags(flags: *mut c_uint, pointer: *mut c_void) -> c_int {
    call(|| {
        context::current()?;
        let allocation = memory::find(pointer as u64).filter(|allocation| allocation.is_host());
        // SAFETY: as the caller says.
        unsafe { give(flags, allocation.ok_or(Status::ERROR_INVALID_VALUE)?.flags) }
    })
}
