//! Initialization, versions and errors.

use std::ffi::{c_char, c_int, c_uint};

use super::{call, give};
use crate::driver::machine;
use crate::driver::status::Status;

/// The newest CUDA whose PTX and functions programs may bring.
pub const VERSION: c_int = 13050;

#[unsafe(no_mangle)]
unsafe extern "C" fn cuInit(flags: c_uint) -> c_int {
    call(|| match flags {
        0 => machine::initialize(),
        _ => Err(Status::ERROR_INVALID_VALUE),
    })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn cuDriverGetVersion(version: *mut c_int) -> c_int {
    // SAFETY: as the caller says.
    call(|| unsafe { give(version, VERSION) })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn cuGetErrorName(error: c_int, name: *mut *const c_char) -> c_int {
    // Allowed everywhere.
    // SAFETY: as the caller says.
    unsafe { describe(name, Status(error).describe().map(|(name, _)| name.as_ptr())) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn cuGetErrorString(error: c_int, text: *mut *const c_char) -> c_int {
    // SAFETY: as the caller says.
    unsafe { describe(text, Status(error).describe().map(|(_, text)| text.as_ptr())) }
}

/// # Safety
/// The pointer is null or valid for writes.
unsafe fn describe(place: *mut *const c_char, found: Option<*const c_char>) -> c_int {
    // SAFETY: as the caller says.
    let given = unsafe { give(place, found.unwrap_or(std::ptr::null())) };
    match (given, found) {
        (Ok(()), Some(_)) => Status::SUCCESS.0,
        _ => Status::ERROR_INVALID_VALUE.0,
    }
}
