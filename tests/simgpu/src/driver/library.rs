//! This library, as the system's loader knows it.

use std::ffi::{CString, c_void};
use std::sync::OnceLock;

/// Finds this library and keeps it loaded to the end: threads of streams run its code.
pub fn keep_loaded() {
    handle();
}

fn handle() -> *mut c_void {
    static HANDLE: OnceLock<usize> = OnceLock::new();
    *HANDLE.get_or_init(|| {
        let flags = libc::RTLD_NOLOAD | libc::RTLD_NOW | libc::RTLD_NODELETE;
        // SAFETY: the structure is filled where it is read, and the file is one that is loaded.
        unsafe {
            let mut found: libc::Dl_info = std::mem::zeroed();
            match libc::dladdr(handle as *const c_void, &mut found) {
                0 => 0,
                _ => libc::dlopen(found.dli_fname, flags) as usize,
            }
        }
    }) as *mut c_void
}

/// A function that this library exports.
pub fn function(name: &str) -> Option<*mut c_void> {
    let library = handle();
    let name = CString::new(name).ok()?;
    if library.is_null() {
        return None;
    }
    // SAFETY: the library is loaded, the name a string.
    let found = unsafe { libc::dlsym(library, name.as_ptr()) };
    (!found.is_null()).then_some(found)
}
