//! The machine that programs find.

use std::ffi::{CStr, CString};
use std::ptr;

use cudarc::driver::sys::{CUdevice_attribute, CUuuid};
use libloading::Library;

use crate::cases;
use crate::support::*;

cases! {
    a_device_says_that_it_is_simulated [SIMGPU_MEMORY = "1000000"];
    nothing_works_before_the_beginning;
    there_are_as_many_devices_as_asked_for [SIMGPU_DEVICES = "3"];
    visible_devices_are_listed_by_number [SIMGPU_DEVICES = "3", CUDA_VISIBLE_DEVICES = "2,0,7,1"];
    visible_devices_are_listed_by_uuid
        [SIMGPU_DEVICES = "3", CUDA_VISIBLE_DEVICES = "GPU-73696d75-6c61-7465-6420-475055000002"];
    no_device_may_be_visible [CUDA_VISIBLE_DEVICES = ""];
    no_device_may_be_there [SIMGPU_DEVICES = "0"];
    the_compute_capability_is_as_asked_for [SIMGPU_COMPUTE_CAPABILITY = "9.0"];
    an_unknown_variable_is_an_error [SIMGPU_DEVICE = "2"];
    a_value_that_is_no_number_is_an_error [SIMGPU_MEMORY = "lots"];
    contexts_are_stacked [SIMGPU_DEVICES = "2"];
    functions_are_found_by_name;
    nvml_knows_the_devices [SIMGPU_DEVICES = "2"];
    errors_have_names;
    a_forked_child_has_no_driver;
}

fn name(device: i32) -> String {
    let mut name = [0; 64];
    ok!(cuDeviceGetName(name.as_mut_ptr(), 64, device));
    // SAFETY: the driver has ended the string.
    unsafe { CStr::from_ptr(name.as_ptr()) }
        .to_str()
        .unwrap()
        .to_owned()
}

fn uuid(device: i32) -> [u8; 16] {
    let mut uuid = CUuuid { bytes: [0; 16] };
    ok!(cuDeviceGetUuid(&mut uuid, device));
    uuid.bytes.map(|byte| byte as u8)
}

fn a_device_says_that_it_is_simulated() {
    ok!(cuInit(0));
    assert_eq!(name(0), "Simulated GPU 0");
    let mut bytes = 0;
    ok!(cuDeviceTotalMem_v2(&mut bytes, 0));
    assert_eq!(bytes, 1_000_000);
    use CUdevice_attribute::*;
    assert_eq!(attribute(CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR, 0), 8);
    assert_eq!(attribute(CU_DEVICE_ATTRIBUTE_WARP_SIZE, 0), 32);
    assert_eq!(attribute(CU_DEVICE_ATTRIBUTE_UNIFIED_ADDRESSING, 0), 1);
    assert_eq!(attribute(CU_DEVICE_ATTRIBUTE_COOPERATIVE_LAUNCH, 0), 0);
    let mut short = [1; 4];
    ok!(cuDeviceGetName(short.as_mut_ptr(), 4, 0));
    assert_eq!(short, [b'S' as _, b'i' as _, b'm' as _, 0]);
}

fn nothing_works_before_the_beginning() {
    fails!(CUDA_ERROR_NOT_INITIALIZED: cuDeviceGetCount(&mut 0));
    fails!(CUDA_ERROR_NOT_INITIALIZED: cuMemAlloc_v2(&mut 0, 4));
    fails!(CUDA_ERROR_INVALID_VALUE: cuInit(1));
    ok!(cuInit(0));
    fails!(CUDA_ERROR_INVALID_CONTEXT: cuMemAlloc_v2(&mut 0, 4));
    fails!(CUDA_ERROR_INVALID_CONTEXT: cuCtxSynchronize());
}

fn there_are_as_many_devices_as_asked_for() {
    ok!(cuInit(0));
    let mut count = 0;
    ok!(cuDeviceGetCount(&mut count));
    assert_eq!(count, 3);
    fails!(CUDA_ERROR_INVALID_DEVICE: cuDeviceGet(&mut 0, 3));
    assert_ne!(uuid(0), uuid(1));
    // The same in every process.
    assert_eq!(uuid(2), *b"simulated GPU\0\0\x02");
}

fn visible_devices_are_listed_by_number() {
    ok!(cuInit(0));
    let mut count = 0;
    ok!(cuDeviceGetCount(&mut count));
    assert_eq!(
        (count, name(0), name(1)),
        (2, "Simulated GPU 2".into(), "Simulated GPU 0".into())
    );
    let (context, mut device) = (enter(1), 9);
    ok!(cuCtxGetDevice(&mut device));
    assert_eq!((context.is_null(), device), (false, 1));
}

fn visible_devices_are_listed_by_uuid() {
    ok!(cuInit(0));
    let mut count = 0;
    ok!(cuDeviceGetCount(&mut count));
    assert_eq!((count, name(0)), (1, "Simulated GPU 2".into()));
}

fn no_device_may_be_visible() {
    fails!(CUDA_ERROR_NO_DEVICE: cuInit(0));
}

fn no_device_may_be_there() {
    fails!(CUDA_ERROR_NO_DEVICE: cuInit(0));
}

fn the_compute_capability_is_as_asked_for() {
    enter(0);
    use CUdevice_attribute::*;
    assert_eq!(attribute(CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR, 0), 9);
    assert_eq!(attribute(CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR, 0), 0);
}

fn an_unknown_variable_is_an_error() {
    fails!(CUDA_ERROR_OPERATING_SYSTEM: cuInit(0));
}

fn a_value_that_is_no_number_is_an_error() {
    fails!(CUDA_ERROR_OPERATING_SYSTEM: cuInit(0));
}

fn contexts_are_stacked() {
    let first = enter(0);
    let mut second = ptr::null_mut();
    ok!(cuCtxCreate_v2(&mut second, 0, 1));
    let current = || {
        let mut context = ptr::null_mut();
        ok!(cuCtxGetCurrent(&mut context));
        context
    };
    assert_eq!(current(), second);
    let mut popped = ptr::null_mut();
    ok!(cuCtxPopCurrent_v2(&mut popped));
    assert_eq!((popped, current()), (second, first));
    ok!(cuCtxPushCurrent_v2(second));
    let address = alloc(4);
    ok!(cuCtxDestroy_v2(second));
    assert_eq!(current(), first);
    fails!(CUDA_ERROR_INVALID_VALUE: cuMemFree_v2(address));
    fails!(CUDA_ERROR_INVALID_CONTEXT: cuCtxSetCurrent(second));
    fails!(CUDA_ERROR_INVALID_CONTEXT: cuCtxDestroy_v2(first));
}

fn functions_are_found_by_name() {
    ok!(cuInit(0));
    let find = |name: &str, version, flags| {
        let (mut function, name) = (ptr::null_mut(), CString::new(name).unwrap());
        let status = ptr::null_mut();
        let found = code!(cuGetProcAddress_v2(
            name.as_ptr(),
            &mut function,
            version,
            flags,
            status
        ));
        (found as u32 == 0).then_some(function)
    };
    // SAFETY: the library is loaded already.
    let library = unsafe { Library::new("libcuda.so.1") }.unwrap();
    // SAFETY: the symbols are only compared.
    let address = |name: &str| unsafe { *library.get::<*mut std::ffi::c_void>(name).unwrap() };
    assert_eq!(find("cuMemAlloc", 12000, 0), Some(address("cuMemAlloc_v2")));
    assert_eq!(find("cuInit", 12000, 0), Some(address("cuInit")));
    assert_eq!(find("cuCtxCreate", 11000, 0), Some(address("cuCtxCreate_v2")));
    assert_eq!(find("cuCtxCreate", 12000, 0), Some(address("cuCtxCreate_v3")));
    assert_eq!(
        find("cuStreamSynchronize", 12000, 2),
        Some(address("cuStreamSynchronize_ptsz"))
    );
    assert_eq!(find("cuNothing", 12000, 0), None);
    assert_eq!(find("printf", 12000, 0), None);
    fails!(CUDA_ERROR_NOT_SUPPORTED: cuGetExportTable(&mut ptr::null(), ptr::null()));
    fails!(CUDA_ERROR_NOT_SUPPORTED: cuProfilerStart());
}

fn nvml_knows_the_devices() {
    // SAFETY: the library has no initializers.
    let library = unsafe { Library::new("libnvidia-ml.so.1") }.unwrap();
    // SAFETY: the functions have these signatures, and write as much as there is room for.
    unsafe {
        type NoArguments = unsafe extern "C" fn() -> i32;
        assert_eq!(library.get::<NoArguments>("nvmlInit_v2").unwrap()(), 0);
        let mut count = 0;
        library
            .get::<unsafe extern "C" fn(*mut u32) -> i32>("nvmlDeviceGetCount_v2")
            .unwrap()(&mut count);
        assert_eq!(count, 2);
        let mut device = ptr::null_mut::<u8>();
        let by_index =
            library.get::<unsafe extern "C" fn(u32, *mut *mut u8) -> i32>("nvmlDeviceGetHandleByIndex_v2");
        assert_eq!(by_index.unwrap()(1, &mut device), 0);
        let mut text = [0; 96];
        let uuid = library.get::<unsafe extern "C" fn(*mut u8, *mut i8, u32) -> i32>("nvmlDeviceGetUUID");
        assert_eq!(uuid.unwrap()(device, text.as_mut_ptr(), 96), 0);
        assert_eq!(
            CStr::from_ptr(text.as_ptr()),
            c"GPU-73696d75-6c61-7465-6420-475055000001"
        );
        let link =
            library.get::<unsafe extern "C" fn(*mut u8, u32, *mut u32) -> i32>("nvmlDeviceGetNvLinkState");
        assert_eq!(link.unwrap()(device, 0, &mut 0), 3);
        assert_eq!(library.get::<NoArguments>("nvmlShutdown").unwrap()(), 0);
    }
}

fn errors_have_names() {
    use cudarc::driver::sys::CUresult::*;
    let mut name = ptr::null();
    ok!(cuGetErrorName(CUDA_ERROR_ILLEGAL_ADDRESS, &mut name));
    // SAFETY: the driver's strings live as long as it.
    assert_eq!(unsafe { CStr::from_ptr(name) }, c"CUDA_ERROR_ILLEGAL_ADDRESS");
    ok!(cuGetErrorString(CUDA_ERROR_OUT_OF_MEMORY, &mut name));
    // SAFETY: as above.
    assert_eq!(unsafe { CStr::from_ptr(name) }, c"out of memory");
    fails!(CUDA_ERROR_INVALID_VALUE: cuGetErrorName(CUDA_ERROR_GRAPH_EXEC_UPDATE_FAILURE, &mut name));
}

fn a_forked_child_has_no_driver() {
    enter(0);
    // SAFETY: the child only calls the driver's functions and ends.
    let child = unsafe { libc::fork() };
    if child == 0 {
        let results = [
            code!(cuInit(0)),
            code!(cuMemAlloc_v2(&mut 0, 4)),
            code!(cuCtxSynchronize()),
        ];
        let refused = results.iter().all(|&result| result as u32 == 3);
        // SAFETY: ends the process.
        unsafe { libc::_exit(if refused { 0 } else { 1 }) };
    }
    let mut status = -1;
    // SAFETY: the status is written to.
    assert_eq!(unsafe { libc::waitpid(child, &mut status, 0) }, child);
    assert_eq!(status, 0);
    alloc(4);
}
