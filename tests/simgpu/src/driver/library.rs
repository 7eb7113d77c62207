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

/// Whether the call that is under way was made by the program, rather than by a library that it has loaded.
pub fn is_called_by_program() -> bool {
    const MOST: usize = 32;
    let own = base(base as *const c_void);
    let mut frames = [std::ptr::null_mut(); MOST];
    // SAFETY: writes at most as many addresses.
    let count = unsafe { libc::backtrace(frames.as_mut_ptr(), MOST as libc::c_int) };
    let callers = frames.iter().take(usize::try_from(count).unwrap_or(0));
    let caller = callers.map(|&frame| base(frame)).find(|&base| base != own);
    // SAFETY: asks for a number. Where the program's headers are is in the program.
    caller == Some(base(unsafe { libc::getauxval(libc::AT_PHDR) } as *const c_void))
}

/// Where the library begins, or the program, that an address is in.
fn base(address: *const c_void) -> usize {
    // SAFETY: the structure is filled where it is read.
    unsafe {
        let mut found: libc::Dl_info = std::mem::zeroed();
        match libc::dladdr(address, &mut found) {
            0 => 0,
            _ => found.dli_fbase as usize,
        }
    }
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
