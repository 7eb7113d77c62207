//! Functions of the simulator's own, for tests that run inside the program.

use std::ffi::{c_char, c_int};
use std::sync::atomic::Ordering::Relaxed;

use super::{CALLS, string};
use crate::driver::faults::{self, Class, Faults};
use crate::driver::status::Status;
use crate::driver::{context, copy, event, ipc, memory, module, stream};

/// # Safety
/// The pointer is null or one to a string.
unsafe fn set(list: *const c_char, set: fn(Faults)) -> c_int {
    let faults = match list.is_null() {
        true => Ok(Faults::default()),
        // SAFETY: as the caller says.
        false => unsafe { string(list) }
            .map_err(|_| "not UTF-8".to_owned())
            .and_then(str::parse),
    };
    match faults {
        Ok(faults) => {
            set(faults);
            Status::SUCCESS.0
        }
        Err(error) => {
            eprintln!("simgpu: {error}");
            Status::ERROR_INVALID_VALUE.0
        }
    }
}

/// Replaces the faults of the process by those of a list as in `SIMGPU_FAULT`, null for none. Calls are
/// counted from now on.
#[unsafe(no_mangle)]
unsafe extern "C" fn simgpu_set_fault(list: *const c_char) -> c_int {
    // SAFETY: as the caller says.
    unsafe { set(list, faults::set_for_process) }
}

/// As `simgpu_set_fault`, for the calls of the calling thread alone.
#[unsafe(no_mangle)]
unsafe extern "C" fn simgpu_set_thread_fault(list: *const c_char) -> c_int {
    // SAFETY: as the caller says.
    unsafe { set(list, faults::set_for_thread) }
}

/// As `simgpu_set_fault`, for the calls that the program itself makes: not for those of a library that is loaded at
/// run time, as MPI is.
#[unsafe(no_mangle)]
unsafe extern "C" fn simgpu_set_program_fault(list: *const c_char) -> c_int {
    // SAFETY: as the caller says.
    unsafe { set(list, faults::set_for_program) }
}

/// What there is, by name: `device_allocations`, `device_bytes`, `pinned_allocations`, `pinned_bytes`,
/// `streams`, `events`, `modules`, `contexts`, `ipc_handles`; how many bytes were copied, `bytes_to_device`,
/// `bytes_to_host` and `bytes_on_device`, and how often a call has waited for a device, `host_waits`; how many calls there
/// were, `calls`, and how many of them were made to fail, `faults`; and how many calls of a class of faults there were, by the name of the class. The greatest
/// number for any other name.
#[unsafe(no_mangle)]
unsafe extern "C" fn simgpu_counter(name: *const c_char) -> u64 {
    // SAFETY: as the caller says.
    let name = unsafe { string(name) }.unwrap_or_default();
    match name {
        "device_allocations" => memory::DEVICE.allocations.load(Relaxed),
        "device_bytes" => memory::DEVICE.bytes.load(Relaxed),
        "pinned_allocations" => memory::HOST.allocations.load(Relaxed),
        "pinned_bytes" => memory::HOST.bytes.load(Relaxed),
        "streams" => stream::count() as u64,
        "events" => event::count() as u64,
        "modules" => module::count() as u64,
        "contexts" => context::count() as u64,
        "ipc_handles" => ipc::count() as u64,
        "bytes_to_device" => copy::TO_DEVICE.load(Relaxed),
        "bytes_to_host" => copy::TO_HOST.load(Relaxed),
        "bytes_on_device" => copy::ON_DEVICE.load(Relaxed),
        "host_waits" => stream::HOST_WAITS.load(Relaxed),
        "calls" => CALLS.load(Relaxed),
        "faults" => faults::fired(),
        _ => match Class::ALL.iter().find(|class| class.name() == name) {
            Some(&class) => faults::calls(class),
            None => u64::MAX,
        },
    }
}
