//! Ranges for NVIDIA's profilers, where one has told this process which library takes them.
//!
//! NVTX is no library to be linked with. A profiler sets a variable or preloads a library, and whoever has ranges
//! to show gives that library a table of slots, into which it writes its functions:
//!
//! ```text
//! NVTX_INJECTION64_PATH=library
//!     we call     InitializeInjectionNvtx2(export)        of the library
//!     it calls    export(CALLBACKS) -> get_slots          of ours
//!     it calls    get_slots(DOMAINS) -> slots              of ours
//!     it writes   *slots[START_RANGE] = its function
//! ```
//!
//! Where there is no such library, `libnvToolsExt.so.1`, which tools may replace by their own, is asked for the same
//! functions. With no tool behind it, it makes no domain, and nothing is called again.
//!
//! All ranges start and end by number instead of being pushed and popped: an operation may end on another thread.

use std::ffi::{CStr, c_char, c_int, c_uint, c_void};
use std::ptr;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicPtr, Ordering};

use libloading::os::unix::Library;

/// Names the library of a profiler.
const INJECTION: &str = "NVTX_INJECTION64_PATH";

/// The version of the interface.
const VERSION: u16 = 3;

const DOMAIN: &CStr = c"warpcomm";

/// The longest name of an operation, with the zero behind it.
const NAME_BYTES: usize = 64;

/// A range as NVTX takes it.
#[repr(C)]
struct Attributes {
    version: u16,
    size: u16,
    category: u32,
    color_type: i32,
    color: u32,
    payload_type: i32,
    reserved: i32,
    payload: u64,
    message_type: i32,
    message: *const c_char,
}

const PAYLOAD_U64: i32 = 1;
const MESSAGE_ASCII: i32 = 1;

type Domain = *mut c_void;
type CreateDomain = unsafe extern "C" fn(*const c_char) -> Domain;
type StartRange = unsafe extern "C" fn(Domain, *const Attributes) -> u64;
type EndRange = unsafe extern "C" fn(Domain, u64);

/// What shows ranges.
struct Tool {
    domain: Domain,
    start: StartRange,
    end: EndRange,
}

// SAFETY: NVTX may be called from any thread; the domain is its own name for ours.
unsafe impl Send for Tool {}
// SAFETY: as above.
unsafe impl Sync for Tool {}

static TOOL: OnceLock<Option<Tool>> = OnceLock::new();

/// A range that is shown until it is dropped.
pub(super) struct Range {
    tool: &'static Tool,
    number: u64,
}

/// Looks for a tool, once in a process; whether this call has found one.
pub(super) fn load() -> bool {
    let mut is_first = false;
    let tool = TOOL.get_or_init(|| {
        is_first = true;
        injected().or_else(by_name)
    });
    is_first && tool.is_some()
}

/// Whether there is a tool.
pub(super) fn is_on() -> bool {
    matches!(TOOL.get(), Some(Some(_)))
}

impl Range {
    /// Starts a range of this name with a number of bytes, if there is a tool.
    pub(super) fn start(name: &str, bytes: usize) -> Option<Range> {
        let tool = TOOL.get()?.as_ref()?;
        let mut message = [0u8; NAME_BYTES];
        let length = name.len().min(NAME_BYTES - 1);
        message[..length].copy_from_slice(&name.as_bytes()[..length]);
        let attributes = Attributes {
            version: VERSION,
            size: size_of::<Attributes>() as u16,
            category: 0,
            color_type: 0,
            color: 0,
            payload_type: PAYLOAD_U64,
            reserved: 0,
            payload: bytes as u64,
            message_type: MESSAGE_ASCII,
            message: message.as_ptr().cast(),
        };
        // SAFETY: the attributes are as the interface wants them, and the name ends with a zero; the tool copies
        // what it keeps.
        let number = unsafe { (tool.start)(tool.domain, &attributes) };
        Some(Range { tool, number })
    }
}

impl Drop for Range {
    fn drop(&mut self) {
        // SAFETY: a range of this domain that was started and not ended.
        unsafe { (self.tool.end)(self.tool.domain, self.number) }
    }
}

impl Tool {
    fn new(create: CreateDomain, start: StartRange, end: EndRange) -> Option<Tool> {
        // SAFETY: the name ends with a zero.
        let domain = unsafe { create(DOMAIN.as_ptr()) };
        (!domain.is_null()).then_some(Tool { domain, start, end })
    }
}

/// How many functions each group of them has, by the group's number; a tool may want to see them all.
const COUNTS: [usize; 7] = [0, 16, 9, 15, 7, 16, 7];

/// The group that is for domains, and its functions that are called here.
const DOMAINS: usize = 5;
const START_RANGE: usize = 2;
const END_RANGE: usize = 3;
const CREATE_DOMAIN: usize = 12;

/// The most functions of a group; their numbers start with 1.
const MOST: usize = 16;

type Function = AtomicPtr<c_void>;

/// The functions that the tool has written.
static FUNCTIONS: [[Function; MOST]; COUNTS.len()] =
    [const { [const { Function::new(ptr::null_mut()) }; MOST] }; COUNTS.len()];

/// Where it writes them, with a null at both ends.
static SLOTS: [[AtomicPtr<Function>; MOST + 1]; COUNTS.len()] =
    [const { [const { AtomicPtr::new(ptr::null_mut()) }; MOST + 1] }; COUNTS.len()];

const CALLBACKS: u32 = 1;
const VERSION_INFO: u32 = 3;

#[repr(C)]
struct Callbacks {
    size: usize,
    get_slots: unsafe extern "C" fn(c_uint, *mut *const c_void, *mut c_uint) -> c_int,
}

#[repr(C)]
struct VersionInfo {
    size: usize,
    version: u32,
    reserved: u32,
    set_tool_version: extern "C" fn(u32),
}

static CALLBACKS_TABLE: Callbacks = Callbacks {
    size: size_of::<Callbacks>(),
    get_slots,
};

static VERSION_TABLE: VersionInfo = VersionInfo {
    size: size_of::<VersionInfo>(),
    version: VERSION as u32,
    reserved: 0,
    set_tool_version,
};

extern "C" fn set_tool_version(_: u32) {}

extern "C" fn export(table: u32) -> *const c_void {
    match table {
        CALLBACKS => (&raw const CALLBACKS_TABLE).cast(),
        VERSION_INFO => (&raw const VERSION_TABLE).cast(),
        _ => ptr::null(),
    }
}

/// Gives the tool the slots of a group of functions.
///
/// # Safety
/// Each pointer is null or may be written.
unsafe extern "C" fn get_slots(group: c_uint, slots: *mut *const c_void, count: *mut c_uint) -> c_int {
    let group = group as usize;
    let Some(&functions) = COUNTS.get(group).filter(|&&functions| functions > 0) else {
        return 0;
    };
    for number in 1..functions {
        let function = ptr::from_ref(&FUNCTIONS[group][number]).cast_mut();
        SLOTS[group][number].store(function, Ordering::Relaxed);
    }
    if !slots.is_null() {
        // SAFETY: the caller's promise.
        unsafe { *slots = SLOTS[group].as_ptr().cast() };
    }
    if !count.is_null() {
        // SAFETY: the caller's promise.
        unsafe { *count = functions as c_uint };
    }
    1
}

type Export = extern "C" fn(u32) -> *const c_void;
type Initialize = unsafe extern "C" fn(Export) -> c_int;

/// The tool whose library a variable names, or which is in the process already.
fn injected() -> Option<Tool> {
    let (library, entry) = match std::env::var_os(INJECTION) {
        // SAFETY: loading runs the library's initializers: whoever sets the variable wants just that.
        Some(path) => (unsafe { Library::new(path) }.ok()?, c"InitializeInjectionNvtx2"),
        None => (Library::this(), c"InitializeInjectionNvtx2Preinject"),
    };
    // SAFETY: that is the type of this function, in every version of the interface.
    let initialize = unsafe { library.get::<Initialize>(entry) }.ok()?;
    // SAFETY: the tool calls `export` as it is defined.
    let is_ready = unsafe { initialize(export) } != 0;
    // Its functions are called until the process ends.
    std::mem::forget(library);
    let function = |number: usize| {
        let function = FUNCTIONS[DOMAINS][number].load(Ordering::Acquire);
        (is_ready && !function.is_null()).then_some(function)
    };
    let (create, start, end) = (
        function(CREATE_DOMAIN)?,
        function(START_RANGE)?,
        function(END_RANGE)?,
    );
    // SAFETY: the tool has written functions of these types into these slots.
    let (create, start, end) = unsafe {
        (
            std::mem::transmute::<*mut c_void, CreateDomain>(create),
            std::mem::transmute::<*mut c_void, StartRange>(start),
            std::mem::transmute::<*mut c_void, EndRange>(end),
        )
    };
    Tool::new(create, start, end)
}

/// The tool behind the library of older versions.
fn by_name() -> Option<Tool> {
    // SAFETY: loading runs the initializers of NVIDIA's library, or of the tool that stands in for it.
    let library = unsafe { Library::new("libnvToolsExt.so.1") }.ok()?;
    // SAFETY: these are the types of the functions of these names.
    let tool = unsafe {
        let create = *library.get::<CreateDomain>(c"nvtxDomainCreateA").ok()?;
        let start = *library.get::<StartRange>(c"nvtxDomainRangeStartEx").ok()?;
        let end = *library.get::<EndRange>(c"nvtxDomainRangeEnd").ok()?;
        Tool::new(create, start, end)
    }?;
    // As above.
    std::mem::forget(library);
    Some(tool)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_have_the_layout_of_the_interface() {
        assert_eq!(size_of::<Attributes>(), 48);
        assert_eq!(std::mem::offset_of!(Attributes, payload), 24);
        assert_eq!(std::mem::offset_of!(Attributes, message_type), 32);
        assert_eq!(std::mem::offset_of!(Attributes, message), 40);
    }
}
