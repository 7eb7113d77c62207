//! The functions that programs call, as the CUDA driver's header declares them.
//!
//! All of them are `unsafe` in the sense of C: a pointer that is not null must be valid for what the driver's
//! manual says.
#![allow(non_snake_case, clippy::missing_safety_doc, clippy::too_many_arguments)]

mod contexts;
mod controls;
mod copies;
pub mod devices;
mod events;
mod fills;
mod general;
mod ipc;
mod launches;
mod memory;
mod modules;
mod peers;
mod per_thread;
mod pointers;
mod pools;
mod streams;
mod symbols;
mod unsupported;

use std::cell::Cell;
use std::ffi::{CStr, c_char, c_int};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use super::status::{Result, Status};

thread_local! {
    /// Whether the thread is inside a host function of a stream, which may not call the driver.
    static IN_HOST_FUNCTION: Cell<bool> = const { Cell::new(false) };
}

/// How often a program has called the driver.
static CALLS: AtomicU64 = AtomicU64::new(0);

/// Runs the body of a function of the driver.
fn call(body: impl FnOnce() -> Result) -> c_int {
    CALLS.fetch_add(1, Relaxed);
    if IN_HOST_FUNCTION.get() {
        return Status::ERROR_NOT_PERMITTED.0;
    }
    match body() {
        Ok(()) => Status::SUCCESS.0,
        Err(status) => status.0,
    }
}

/// Writes a result to where a program wants it.
///
/// # Safety
/// The pointer is null or valid for writes.
unsafe fn give<T>(place: *mut T, value: T) -> Result {
    if place.is_null() {
        return Err(Status::ERROR_INVALID_VALUE);
    }
    // SAFETY: not null, so valid, though perhaps not aligned.
    unsafe { place.write_unaligned(value) };
    Ok(())
}

/// Writes a result to where a program wants it, if it does.
///
/// # Safety
/// The pointer is null or valid for writes.
unsafe fn offer<T>(place: *mut T, value: T) {
    if !place.is_null() {
        // SAFETY: not null, so valid, though perhaps not aligned.
        unsafe { place.write_unaligned(value) };
    }
}

/// Reads what a program points to.
///
/// # Safety
/// The pointer is null or valid for reads.
unsafe fn take<T: Copy>(place: *const T) -> Result<T> {
    if place.is_null() {
        return Err(Status::ERROR_INVALID_VALUE);
    }
    // SAFETY: not null, so valid, though perhaps not aligned.
    Ok(unsafe { place.read_unaligned() })
}

/// Reads a string of a program's.
///
/// # Safety
/// The pointer is null or one to a string.
unsafe fn string<'a>(text: *const c_char) -> Result<&'a str> {
    if text.is_null() {
        return Err(Status::ERROR_INVALID_VALUE);
    }
    // SAFETY: not null, so a string.
    unsafe { CStr::from_ptr(text) }
        .to_str()
        .map_err(|_| Status::ERROR_INVALID_VALUE)
}

/// Writes a string and its end into `room` bytes, cut off where it is too long.
///
/// # Safety
/// The pointer is null or valid for that many bytes.
unsafe fn give_string(place: *mut c_char, room: c_int, text: &str) -> Result {
    if place.is_null() || room <= 0 {
        return Err(Status::ERROR_INVALID_VALUE);
    }
    let length = text.len().min(room as usize - 1);
    // SAFETY: the length leaves room for the end.
    unsafe {
        std::ptr::copy_nonoverlapping(text.as_ptr().cast(), place, length);
        place.add(length).write(0);
    }
    Ok(())
}
