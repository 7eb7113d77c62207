//! What the simulated driver offers beside CUDA's own functions.

use std::ffi::{CStr, CString, c_char, c_int, c_void};

use crate::harness::Failure;

/// What must not get more and more.
pub const LIVE: [&str; 5] = [
    "device_allocations",
    "pinned_allocations",
    "streams",
    "events",
    "modules",
];

/// What calls of the driver are counted by.
const CLASSES: [&str; 19] = [
    "alloc",
    "pinned",
    "copy",
    "memset",
    "launch",
    "module",
    "function",
    "context",
    "stream",
    "event",
    "record",
    "wait",
    "write",
    "host",
    "synchronize",
    "ipc_get",
    "ipc_open",
    "peer",
    "async",
];

/// The simulated driver of this process.
pub struct Simulated {
    set_fault: unsafe extern "C" fn(*const c_char) -> c_int,
    counter: unsafe extern "C" fn(*const c_char) -> u64,
}

unsafe extern "C" {
    fn dlopen(file: *const c_char, flags: c_int) -> *mut c_void;
    fn dlsym(library: *mut c_void, name: *const c_char) -> *mut c_void;
}

const RTLD_LAZY: c_int = 1;
const RTLD_NOLOAD: c_int = 4;

impl Simulated {
    pub fn load() -> Result<Simulated, Failure> {
        // SAFETY: looks for a library that is loaded already.
        let library = unsafe { dlopen(c"libcuda.so.1".as_ptr(), RTLD_LAZY | RTLD_NOLOAD) };
        let find = |name: &CStr| match library.is_null() {
            true => Err(Failure("the CUDA driver is not loaded".to_owned())),
            // SAFETY: the handle is good.
            false => match unsafe { dlsym(library, name.as_ptr()) } {
                symbol if symbol.is_null() => Err(Failure("the CUDA driver is no simulated one".to_owned())),
                symbol => Ok(symbol),
            },
        };
        let (set_fault, counter) = (find(c"simgpu_set_program_fault")?, find(c"simgpu_counter")?);
        // SAFETY: the functions have these types.
        unsafe {
            Ok(Simulated {
                set_fault: std::mem::transmute::<*mut c_void, unsafe extern "C" fn(*const c_char) -> c_int>(
                    set_fault,
                ),
                counter: std::mem::transmute::<*mut c_void, unsafe extern "C" fn(*const c_char) -> u64>(
                    counter,
                ),
            })
        }
    }

    /// Replaces the faults of the calls that this program makes. MPI's own do not fail: what it does then is its own
    /// affair, mostly the end of the job.
    pub fn set(&self, list: &str) {
        let list = CString::new(list).unwrap_or_default();
        // SAFETY: a C string.
        assert_eq!(unsafe { (self.set_fault)(list.as_ptr()) }, 0, "faults {list:?}");
    }

    /// How many calls were made to fail.
    pub fn fired(&self) -> u64 {
        self.count("faults")
    }

    /// How many of each of [`LIVE`] there are.
    pub fn live(&self) -> [u64; LIVE.len()] {
        LIVE.map(|what| self.count(what))
    }

    /// How many calls there were.
    pub fn calls(&self) -> u64 {
        CLASSES.map(|class| self.count(class)).iter().sum()
    }

    /// One of the driver's counters.
    pub fn count(&self, what: &str) -> u64 {
        let name = CString::new(what).unwrap_or_default();
        // SAFETY: a C string.
        let count = unsafe { (self.counter)(name.as_ptr()) };
        assert_ne!(count, u64::MAX, "the simulated driver does not count {what}");
        count
    }
}
