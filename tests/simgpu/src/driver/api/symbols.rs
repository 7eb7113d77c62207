//! Functions by name.

use std::ffi::{c_char, c_int, c_uint, c_void};

use super::{call, give, offer, string};
use crate::driver::library::function;
use crate::driver::status::{Result, Status};

/// Functions that changed what they take: the version of CUDA from which on the name means which of them.
const CHANGED: [(&str, &[(c_int, &str)]); 4] = [
    (
        "cuCtxCreate",
        &[
            (12050, "cuCtxCreate_v4"),
            (11040, "cuCtxCreate_v3"),
            (3020, "cuCtxCreate_v2"),
        ],
    ),
    (
        "cuCtxGetDevice",
        &[(13000, "cuCtxGetDevice_v2"), (2000, "cuCtxGetDevice")],
    ),
    (
        "cuGetProcAddress",
        &[(12000, "cuGetProcAddress_v2"), (11030, "cuGetProcAddress")],
    ),
    (
        "cuMemPrefetchAsync",
        &[(12020, "cuMemPrefetchAsync_v2"), (8000, "cuMemPrefetchAsync")],
    ),
];

/// The function that a program for a version of CUDA means by a name.
fn find(name: &str, version: c_int) -> Option<*mut c_void> {
    if !name.starts_with("cu") {
        return None;
    }
    if let Some((_, meanings)) = CHANGED.iter().find(|(changed, _)| *changed == name) {
        let meaning = meanings.iter().find(|(since, _)| version >= *since);
        return meaning.and_then(|(_, name)| function(name));
    }
    function(&format!("{name}_v2")).or_else(|| function(name))
}

const PER_THREAD_DEFAULT_STREAM: u64 = 2;
const FOUND: c_uint = 0;
const NOT_FOUND: c_uint = 1;

/// # Safety
/// The pointers are null or valid.
unsafe fn get(
    name: *const c_char,
    place: *mut *mut c_void,
    version: c_int,
    flags: u64,
    status: *mut c_uint,
) -> Result {
    // SAFETY: as the caller says.
    unsafe {
        let name = string(name)?;
        let per_thread = (flags & PER_THREAD_DEFAULT_STREAM != 0)
            .then(|| per_thread(name))
            .flatten();
        let found = per_thread.or_else(|| find(name, version));
        offer(status, if found.is_some() { FOUND } else { NOT_FOUND });
        give(place, found.unwrap_or(std::ptr::null_mut()))?;
        found.map(drop).ok_or(Status::ERROR_NOT_FOUND)
    }
}

/// The variant of a function whose default stream is the thread's.
fn per_thread(name: &str) -> Option<*mut c_void> {
    ["_v2_ptds", "_v2_ptsz", "_ptds", "_ptsz"]
        .iter()
        .find_map(|suffix| function(&format!("{name}{suffix}")))
}

#[unsafe(no_mangle)]
unsafe extern "C" fn cuGetProcAddress(
    name: *const c_char,
    place: *mut *mut c_void,
    version: c_int,
    flags: u64,
) -> c_int {
    // SAFETY: as the caller says.
    call(|| unsafe { get(name, place, version, flags, std::ptr::null_mut()) })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn cuGetProcAddress_v2(
    name: *const c_char,
    place: *mut *mut c_void,
    version: c_int,
    flags: u64,
    status: *mut c_uint,
) -> c_int {
    call(|| {
        // SAFETY: as the caller says.
        let found = unsafe { get(name, place, version, flags, status) };
        // The second version tells by the status alone.
        match found {
            Err(Status::ERROR_NOT_FOUND) if !status.is_null() => Ok(()),
            other => other,
        }
    })
}

/// The tables of functions that libraries of the driver's vendor ask for.
#[unsafe(no_mangle)]
unsafe extern "C" fn cuGetExportTable(table: *mut *const c_void, _id: *const c_void) -> c_int {
    // SAFETY: as the caller says.
    unsafe { offer(table, std::ptr::null()) };
    Status::ERROR_NOT_SUPPORTED.0
}
