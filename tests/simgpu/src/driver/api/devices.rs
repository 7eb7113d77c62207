//! `cuDevice…`: what devices there are and what they are like.

use std::ffi::{c_char, c_int, c_uint};
use std::sync::PoisonError;

use super::{call, give, give_string, string};
use crate::driver::context::{self, Context};
use crate::driver::faults::{self, Class};
use crate::driver::launch::{BLOCK, GRID, THREADS};
use crate::driver::machine::{Device, Machine, machine};
use crate::driver::module::SHARED_BYTES;
use crate::driver::status::{Result, Status};

/// What a device is called, with its number after it.
pub const NAME: &str = "Simulated GPU";

#[unsafe(no_mangle)]
unsafe extern "C" fn cuDeviceGetCount(count: *mut c_int) -> c_int {
    // SAFETY: as the caller says.
    call(|| unsafe { give(count, machine()?.visible.len() as c_int) })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn cuDeviceGet(device: *mut c_int, ordinal: c_int) -> c_int {
    call(|| {
        machine()?.device(ordinal)?;
        // SAFETY: as the caller says.
        unsafe { give(device, ordinal) }
    })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn cuDeviceGetName(name: *mut c_char, room: c_int, device: c_int) -> c_int {
    call(|| {
        let device = machine()?.device(device)?;
        // SAFETY: as the caller says.
        unsafe { give_string(name, room, &format!("{NAME} {}", device.index)) }
    })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn cuDeviceGetUuid(uuid: *mut [u8; 16], device: c_int) -> c_int {
    // SAFETY: as the caller says.
    call(|| unsafe { give(uuid, machine()?.device(device)?.uuid) })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn cuDeviceGetUuid_v2(uuid: *mut [u8; 16], device: c_int) -> c_int {
    // SAFETY: as the caller says.
    call(|| unsafe { give(uuid, machine()?.device(device)?.uuid) })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn cuDeviceTotalMem_v2(bytes: *mut usize, device: c_int) -> c_int {
    // SAFETY: as the caller says.
    call(|| unsafe { give(bytes, machine()?.device(device)?.memory as usize) })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn cuDeviceComputeCapability(major: *mut c_int, minor: *mut c_int, device: c_int) -> c_int {
    call(|| {
        machine()?.device(device)?;
        let (of_major, of_minor) = machine()?.settings.compute_capability;
        // SAFETY: as the caller says.
        unsafe {
            give(major, of_major as c_int)?;
            give(minor, of_minor as c_int)
        }
    })
}

/// The bus number of a device.
pub fn bus(device: &Device) -> u32 {
    device.index as u32 + 1
}

pub fn bus_id(device: &Device) -> String {
    format!("0000:{:02X}:00.0", bus(device))
}

#[unsafe(no_mangle)]
unsafe extern "C" fn cuDeviceGetPCIBusId(id: *mut c_char, room: c_int, device: c_int) -> c_int {
    // SAFETY: as the caller says.
    call(|| unsafe { give_string(id, room, &bus_id(machine()?.device(device)?)) })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn cuDeviceGetByPCIBusId(device: *mut c_int, id: *const c_char) -> c_int {
    call(|| {
        let machine = machine()?;
        // SAFETY: as the caller says.
        let id = unsafe { string(id) }?;
        let is_it = |index: &&usize| {
            let known = bus_id(&machine.devices[**index]);
            // The domain may be left out.
            [known.as_str(), &known[5..]]
                .iter()
                .any(|known| known.eq_ignore_ascii_case(id))
        };
        let index = machine
            .visible
            .iter()
            .find(is_it)
            .ok_or(Status::ERROR_INVALID_DEVICE)?;
        let ordinal = machine.ordinal(*index).ok_or(Status::ERROR_INVALID_DEVICE)?;
        // SAFETY: as the caller says.
        unsafe { give(device, ordinal) }
    })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn cuDeviceGetAttribute(value: *mut c_int, attribute: c_int, device: c_int) -> c_int {
    call(|| {
        let machine = machine()?;
        let found = attribute_of(machine, machine.device(device)?, attribute)?;
        // SAFETY: as the caller says.
        unsafe { give(value, found) }
    })
}

/// A processor of the size of a small data-centre GPU, which can do what this simulator can.
fn attribute_of(machine: &Machine, device: &Device, attribute: c_int) -> Result<c_int> {
    let (major, minor) = machine.settings.compute_capability;
    let value = match attribute {
        1 => THREADS,
        2..=4 => BLOCK[attribute as usize - 2],
        5..=7 => GRID[attribute as usize - 5],
        // Shared memory of a block, of a multiprocessor, of a block that asks for it.
        8 => SHARED_BYTES,
        81 => SHARED_OF_MULTIPROCESSOR,
        97 => SHARED_OPT_IN,
        111 => 1024,
        // Constant memory, threads of a warp, the largest pitch.
        9 => 64 << 10,
        10 => 32,
        11 => i32::MAX as u32,
        // Registers of a block and of a multiprocessor.
        12 | 82 => 64 << 10,
        // Clocks of the processor and of the memory, in kHz.
        13 => 1_410_000,
        36 => 1_215_000,
        14 => 512,
        30 => 512,
        51 => 32,
        // Copies beside kernels, kernels beside kernels, and how many engines copy.
        15 | 31 => 1,
        40 => 3,
        16 => MULTIPROCESSORS,
        // Host memory can be mapped, addresses are unified.
        19 | 41 => 1,
        33 => bus(device),
        34 | 50 => 0,
        37 => 5120,
        38 => 40 << 20,
        39 => THREADS_OF_MULTIPROCESSOR,
        75 => major,
        76 => minor,
        // Stream priorities, caching of global and of local memory, managed memory.
        78 | 79 | 80 | 83 => 1,
        87 => 2,
        // Managed memory from both sides at once, preemption, registered memory at its own address.
        89 | 90 | 91 | 99 => 1,
        106 => BLOCKS_OF_MULTIPROCESSOR,
        // Memory pools.
        115 => 1,
        // What else there is, this simulator does not have.
        17..=148 => 0,
        _ => return Err(Status::ERROR_INVALID_VALUE),
    };
    Ok(value as c_int)
}

/// The shared memory that a block may ask for.
pub const SHARED_OPT_IN: u32 = 163 << 10;
pub const SHARED_OF_MULTIPROCESSOR: u32 = 164 << 10;
pub const THREADS_OF_MULTIPROCESSOR: u32 = 2048;
pub const BLOCKS_OF_MULTIPROCESSOR: u32 = 32;
pub const MULTIPROCESSORS: u32 = 4;

/// `CUdevprop`.
#[repr(C)]
struct Properties {
    threads: c_int,
    block: [c_int; 3],
    grid: [c_int; 3],
    shared: c_int,
    constant: c_int,
    warp: c_int,
    pitch: c_int,
    registers: c_int,
    clock: c_int,
    texture_alignment: c_int,
}

#[unsafe(no_mangle)]
unsafe extern "C" fn cuDeviceGetProperties(properties: *mut Properties, device: c_int) -> c_int {
    call(|| {
        let machine = machine()?;
        let device = machine.device(device)?;
        let of = |attribute| attribute_of(machine, device, attribute);
        let found = Properties {
            threads: of(1)?,
            block: [of(2)?, of(3)?, of(4)?],
            grid: [of(5)?, of(6)?, of(7)?],
            shared: of(8)?,
            constant: of(9)?,
            warp: of(10)?,
            pitch: of(11)?,
            registers: of(12)?,
            clock: of(13)?,
            texture_alignment: of(14)?,
        };
        // SAFETY: as the caller says.
        unsafe { give(properties, found) }
    })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn cuDevicePrimaryCtxRetain(context: *mut usize, device: c_int) -> c_int {
    call(|| {
        let device = machine()?.device(device)?;
        faults::check(Class::Context)?;
        let made = device
            .primary
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .retain(device)?;
        // SAFETY: as the caller says.
        unsafe { give(context, made.handle) }
    })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn cuDevicePrimaryCtxRelease_v2(device: c_int) -> c_int {
    call(|| {
        let device = machine()?.device(device)?;
        let last = device
            .primary
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .release()?;
        if let Some(context) = last {
            context.destroy();
        }
        Ok(())
    })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn cuDevicePrimaryCtxRelease(device: c_int) -> c_int {
    // SAFETY: as the caller says.
    unsafe { cuDevicePrimaryCtxRelease_v2(device) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn cuDevicePrimaryCtxReset_v2(device: c_int) -> c_int {
    call(|| {
        let device = machine()?.device(device)?;
        let mut primary = device.primary.lock().unwrap_or_else(PoisonError::into_inner);
        let old = primary.context.take();
        if let Some(old) = old {
            // Its users keep the handle, and find a context without anything in it.
            old.destroy();
            if primary.retained != 0 {
                primary.retained -= 1;
                primary.retain(device)?;
            }
        }
        Ok(())
    })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn cuDevicePrimaryCtxReset(device: c_int) -> c_int {
    // SAFETY: as the caller says.
    unsafe { cuDevicePrimaryCtxReset_v2(device) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn cuDevicePrimaryCtxGetState(
    device: c_int,
    flags: *mut c_uint,
    active: *mut c_int,
) -> c_int {
    call(|| {
        let device = machine()?.device(device)?;
        let primary = device.primary.lock().unwrap_or_else(PoisonError::into_inner);
        // SAFETY: as the caller says.
        unsafe {
            give(flags, primary.flags)?;
            give(active, primary.context.is_some().into())
        }
    })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn cuDevicePrimaryCtxSetFlags_v2(device: c_int, flags: c_uint) -> c_int {
    call(|| {
        let device = machine()?.device(device)?;
        device
            .primary
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .flags = flags;
        Ok(())
    })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn cuDevicePrimaryCtxSetFlags(device: c_int, flags: c_uint) -> c_int {
    // SAFETY: as the caller says.
    unsafe { cuDevicePrimaryCtxSetFlags_v2(device, flags) }
}

/// The device of the calling thread's context.
#[unsafe(no_mangle)]
unsafe extern "C" fn cuCtxGetDevice(device: *mut c_int) -> c_int {
    call(|| {
        let context = context::current_or_failed()?;
        let ordinal = machine()?
            .ordinal(context.device.index)
            .ok_or(Status::ERROR_INVALID_DEVICE)?;
        // SAFETY: as the caller says.
        unsafe { give(device, ordinal) }
    })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn cuCtxGetDevice_v2(device: *mut c_int, context: usize) -> c_int {
    call(|| {
        let context = match context {
            0 => context::current_or_failed()?,
            handle => Context::of(handle)?,
        };
        let ordinal = machine()?
            .ordinal(context.device.index)
            .ok_or(Status::ERROR_INVALID_DEVICE)?;
        // SAFETY: as the caller says.
        unsafe { give(device, ordinal) }
    })
}
