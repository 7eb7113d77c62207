//! What the cases have in common.

use std::ffi::{CString, c_void};
use std::path::{Path, PathBuf};
use std::ptr;
use std::sync::{Arc, Condvar, Mutex};

use cudarc::driver::sys::{self, CUcontext, CUdeviceptr, CUevent, CUfunction, CUmodule, CUresult, CUstream};
use libloading::Library;

/// The variable that tells a process which case it is.
pub const SCENE: &str = "DRIVER_TEST_SCENE";

/// A directory with the simulated driver under the names of the real one.
pub fn directory() -> tempfile::TempDir {
    let directory = tempfile::tempdir().expect("a temporary directory");
    for name in ["libcuda.so.1", "libcuda.so", "libnvidia-ml.so.1"] {
        std::os::unix::fs::symlink(library(), directory.path().join(name)).expect("a link");
    }
    directory
}

/// The simulated driver, which cargo has built for these tests.
fn library() -> PathBuf {
    let own = std::env::current_exe().expect("the name of this program");
    let beside = own.parent().unwrap_or(Path::new("/"));
    let file = beside.join("libsimgpu.so");
    assert!(file.is_file(), "{} is missing", file.display());
    file
}

/// The result of a call of the driver.
macro_rules! code {
    ($function:ident($($argument:expr),* $(,)?)) => {{
        // SAFETY: the arguments are what the driver's manual asks for, or what it says is an error.
        unsafe { cudarc::driver::sys::$function($($argument),*) }
    }};
}
pub(crate) use code;

/// A call of the driver that must succeed.
macro_rules! ok {
    ($function:ident($($argument:expr),* $(,)?)) => {
        assert_eq!(
            $crate::support::code!($function($($argument),*)),
            cudarc::driver::sys::CUresult::CUDA_SUCCESS,
            stringify!($function)
        )
    };
}
pub(crate) use ok;

/// A call of the driver that must fail in one way.
macro_rules! fails {
    ($error:ident: $function:ident($($argument:expr),* $(,)?)) => {
        assert_eq!(
            $crate::support::code!($function($($argument),*)),
            cudarc::driver::sys::CUresult::$error,
            stringify!($function)
        )
    };
}
pub(crate) use fails;

/// The primary context of a device, made the thread's.
pub fn enter(device: i32) -> CUcontext {
    ok!(cuInit(0));
    let mut context = ptr::null_mut();
    ok!(cuDevicePrimaryCtxRetain(&mut context, device));
    ok!(cuCtxSetCurrent(context));
    context
}

pub fn alloc(bytes: usize) -> CUdeviceptr {
    let mut address = 0;
    ok!(cuMemAlloc_v2(&mut address, bytes));
    address
}

/// Page-locked memory of `bytes` bytes, all zero.
pub fn pinned(bytes: usize) -> *mut u8 {
    let mut pointer = ptr::null_mut();
    ok!(cuMemHostAlloc(&mut pointer, bytes, 0));
    // SAFETY: the memory is as long.
    unsafe { ptr::write_bytes(pointer.cast::<u8>(), 0, bytes) };
    pointer.cast()
}

pub fn stream(flags: u32) -> CUstream {
    let mut stream = ptr::null_mut();
    ok!(cuStreamCreate(&mut stream, flags));
    stream
}

pub const NON_BLOCKING: u32 = 1;

pub fn event(flags: u32) -> CUevent {
    let mut event = ptr::null_mut();
    ok!(cuEventCreate(&mut event, flags));
    event
}

pub fn write(address: CUdeviceptr, bytes: &[u8]) {
    ok!(cuMemcpyHtoD_v2(address, bytes.as_ptr().cast(), bytes.len()));
}

pub fn read(address: CUdeviceptr, bytes: usize) -> Vec<u8> {
    let mut host = vec![0; bytes];
    ok!(cuMemcpyDtoH_v2(host.as_mut_ptr().cast(), address, bytes));
    host
}

/// What every byte of new memory is.
pub const POISON: u8 = 0xa5;

pub fn load(ptx: &str) -> CUmodule {
    let image = CString::new(ptx).expect("PTX has no zero byte");
    let mut module = ptr::null_mut();
    ok!(cuModuleLoadData(&mut module, image.as_ptr().cast()));
    module
}

pub fn function(module: CUmodule, name: &str) -> CUfunction {
    let name = CString::new(name).expect("a name has no zero byte");
    let mut function = ptr::null_mut();
    ok!(cuModuleGetFunction(&mut function, module, name.as_ptr()));
    function
}

/// `put(address, value)` stores a word, `get(to, from)` copies one, `wide` is for at most 64 threads.
pub const PTX: &str = r#"
.version 8.0
.target sm_70
.address_size 64

.global .align 4 .u32 counter = 7;
.const .align 4 .u32 limit = 9;

.visible .entry put(.param .u64 address, .param .u32 value)
{
    .reg .b64 %rd<3>;
    .reg .b32 %r<2>;
    ld.param.u64 %rd1, [address];
    ld.param.u32 %r1, [value];
    cvta.to.global.u64 %rd2, %rd1;
    st.global.u32 [%rd2], %r1;
    ret;
}

.visible .entry get(.param .u64 to, .param .u64 from)
{
    .reg .b64 %rd<5>;
    .reg .b32 %r<2>;
    ld.param.u64 %rd1, [to];
    ld.param.u64 %rd2, [from];
    cvta.to.global.u64 %rd3, %rd1;
    cvta.to.global.u64 %rd4, %rd2;
    ld.global.u32 %r1, [%rd4];
    st.global.u32 [%rd3], %r1;
    ret;
}

.visible .entry stop()
{
    trap;
}

.visible .entry wide()
.maxntid 64, 1, 1
{
    ret;
}
"#;

/// Launches a kernel of one thread.
pub fn launch(function: CUfunction, stream: CUstream, arguments: &mut [*mut c_void]) -> CUresult {
    code!(cuLaunchKernel(
        function,
        1,
        1,
        1,
        1,
        1,
        1,
        0,
        stream,
        arguments.as_mut_ptr(),
        ptr::null_mut(),
    ))
}

pub fn put(function: CUfunction, stream: CUstream, mut address: CUdeviceptr, mut value: u32) {
    let arguments = &mut [
        ptr::from_mut(&mut address).cast(),
        ptr::from_mut(&mut value).cast(),
    ];
    assert_eq!(launch(function, stream, arguments), CUresult::CUDA_SUCCESS);
}

/// A place in a stream that its operations pass only when it is opened.
pub struct Gate(Arc<(Mutex<bool>, Condvar)>);

impl Gate {
    pub fn close(stream: CUstream) -> Self {
        let gate = Arc::new((Mutex::new(false), Condvar::new()));
        let data = Arc::into_raw(Arc::clone(&gate));
        ok!(cuLaunchHostFunc(stream, Some(wait), data.cast_mut().cast()));
        Self(gate)
    }

    pub fn open(&self) {
        *self.0.0.lock().unwrap() = true;
        self.0.1.notify_all();
    }
}

unsafe extern "C" fn wait(data: *mut c_void) {
    // SAFETY: the stream was given one count of the gate.
    let gate = unsafe { Arc::from_raw(data.cast::<(Mutex<bool>, Condvar)>().cast_const()) };
    let mut is_open = gate.0.lock().unwrap();
    while !*is_open {
        is_open = gate.1.wait(is_open).unwrap();
    }
}

/// The simulator's own functions.
fn simulator() -> Library {
    // SAFETY: the library is loaded already.
    unsafe { Library::new("libcuda.so.1") }.expect("the simulated driver")
}

fn set(function: &str, list: &str) {
    let (library, list) = (simulator(), CString::new(list).expect("no zero byte"));
    // SAFETY: the function has this signature.
    let set = unsafe { library.get::<unsafe extern "C" fn(*const i8) -> i32>(function) };
    // SAFETY: the list is a string.
    assert_eq!(unsafe { set.expect(function)(list.as_ptr()) }, 0, "{list:?}");
}

pub fn set_fault(list: &str) {
    set("simgpu_set_fault", list);
}

pub fn set_thread_fault(list: &str) {
    set("simgpu_set_thread_fault", list);
}

pub fn set_program_fault(list: &str) {
    set("simgpu_set_program_fault", list);
}

/// Where a function of the simulated driver is.
pub fn address_of(function: &str) -> *mut c_void {
    let library = simulator();
    // SAFETY: nothing is called, and the library stays loaded.
    let found = unsafe { library.get::<*mut c_void>(function) };
    *found.expect(function)
}

pub fn counter(name: &str) -> u64 {
    let (library, name) = (simulator(), CString::new(name).expect("no zero byte"));
    // SAFETY: the function has this signature.
    let counter = unsafe { library.get::<unsafe extern "C" fn(*const i8) -> u64>("simgpu_counter") };
    // SAFETY: the name is a string.
    let value = unsafe { counter.expect("simgpu_counter")(name.as_ptr()) };
    assert_ne!(value, u64::MAX, "{name:?}");
    value
}

/// Bytes of a handle for other processes, as text.
pub fn to_text<T>(value: &T) -> String {
    // SAFETY: handles are made of bytes without gaps.
    let bytes = unsafe { std::slice::from_raw_parts(ptr::from_ref(value).cast::<u8>(), size_of::<T>()) };
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

pub fn from_text<T: Copy>(text: &str) -> T {
    let bytes: Vec<u8> = (0..text.len() / 2)
        .map(|index| u8::from_str_radix(&text[2 * index..][..2], 16).unwrap())
        .collect();
    assert_eq!(bytes.len(), size_of::<T>());
    // SAFETY: handles may hold any bytes.
    unsafe { bytes.as_ptr().cast::<T>().read_unaligned() }
}

/// The attribute of a device.
pub fn attribute(attribute: sys::CUdevice_attribute, device: i32) -> i32 {
    let mut value = 0;
    ok!(cuDeviceGetAttribute(&mut value, attribute, device));
    value
}
