//! Faults on demand.

use std::ffi::c_void;
use std::ptr;

use cudarc::driver::sys::{CUipcEventHandle, CUipcMemHandle, CUresult};

use crate::cases;
use crate::support::*;

cases! {
    every_class_fails_when_asked [SIMGPU_DEVICES = "2"];
    the_environment_asks [SIMGPU_FAULT = "alloc:2=2,event:1=999"];
    a_rank_is_meant [SIMGPU_FAULT = "alloc:1=2", SIMGPU_FAULT_RANK = "3", OMPI_COMM_WORLD_RANK = "3"];
    another_rank_is_meant [SIMGPU_FAULT = "alloc:1=2", SIMGPU_FAULT_RANK = "3", PMI_RANK = "1"];
    a_rank_that_is_not_told_is_an_error [SIMGPU_FAULT = "alloc:1=2", SIMGPU_FAULT_RANK = "3"];
    an_unknown_class_is_an_error [SIMGPU_FAULT = "alloca:1=2"];
    an_unknown_result_is_an_error [SIMGPU_FAULT = "alloc:1=12345"];
    a_thread_fails_alone;
    a_program_fails_without_its_libraries;
    an_operation_fails_for_good [SIMGPU_QUIET = "1"];
    every_call_of_a_program_can_fail;
}

unsafe extern "C" fn nothing(_: *mut c_void) {}

fn every_class_fails_when_asked() {
    let other = enter(1);
    enter(0);
    let (address, stream, module) = (alloc(8), stream(0), load(PTX));
    let (waited, shared) = (event(2), event(6));
    let stop = function(module, "wide");
    let mut memory_handle = CUipcMemHandle { reserved: [0; 64] };
    let mut event_handle = CUipcEventHandle { reserved: [0; 64] };
    let (mut host, mut registered) = (ptr::null_mut(), [0_u8; 8]);
    let mut text = PTX.as_bytes().to_vec();
    text.push(0);
    let mut new = ptr::null_mut::<c_void>();
    // Each call, made twice: it fails the first time, and only then.
    macro_rules! each {
        ($($class:literal: $call:expr;)*) => {$(
            set_fault(concat!($class, ":1=999"));
            assert_eq!($call, CUresult::CUDA_ERROR_UNKNOWN, "{}", stringify!($call));
            assert_ne!($call, CUresult::CUDA_ERROR_UNKNOWN, "{}", stringify!($call));
        )*};
    }
    each! {
        "alloc": code!(cuMemAlloc_v2(&mut 0, 8));
        "alloc": code!(cuMemAllocAsync(&mut 0, 8, stream));
        "alloc": code!(cuMemAllocManaged(&mut 0, 8, 1));
        "pinned": code!(cuMemHostAlloc(&mut host, 8, 0));
        "pinned": code!(cuMemHostRegister_v2(registered.as_mut_ptr().cast(), 8, 0));
        "copy": code!(cuMemcpyDtoD_v2(address, address, 8));
        "copy": code!(cuMemcpyHtoDAsync_v2(address, registered.as_ptr().cast(), 8, stream));
        "copy": code!(cuMemcpyAsync(address, address, 8, stream));
        "memset": code!(cuMemsetD8_v2(address, 0, 8));
        "memset": code!(cuMemsetD32Async(address, 0, 2, stream));
        "launch": launch(stop, stream, &mut []);
        "module": code!(cuModuleLoadData(new.cast(), text.as_ptr().cast()));
        "function": code!(cuModuleGetFunction(ptr::from_mut(&mut new).cast(), module, c"put".as_ptr()));
        "context": code!(cuDevicePrimaryCtxRetain(ptr::from_mut(&mut new).cast(), 0));
        "stream": code!(cuStreamCreate(ptr::from_mut(&mut new).cast(), 0));
        "event": code!(cuEventCreate(ptr::from_mut(&mut new).cast(), 0));
        "record": code!(cuEventRecord(waited, stream));
        "wait": code!(cuStreamWaitEvent(stream, waited, 0));
        "host": code!(cuLaunchHostFunc(stream, Some(nothing), ptr::null_mut()));
        "synchronize": code!(cuStreamSynchronize(stream));
        "synchronize": code!(cuStreamQuery(stream));
        "synchronize": code!(cuEventSynchronize(waited));
        "synchronize": code!(cuEventQuery(waited));
        "synchronize": code!(cuCtxSynchronize());
        "ipc_get": code!(cuIpcGetMemHandle(&mut memory_handle, address));
        "ipc_get": code!(cuIpcGetEventHandle(&mut event_handle, shared));
        "ipc_open": code!(cuIpcOpenMemHandle_v2(&mut 0, memory_handle, 1));
        "ipc_open": code!(cuIpcOpenEventHandle(ptr::from_mut(&mut new).cast(), event_handle));
        "peer": code!(cuCtxEnablePeerAccess(other, 0));
    }
    assert_eq!(counter("faults"), 29);
}

fn the_environment_asks() {
    enter(0);
    alloc(4);
    fails!(CUDA_ERROR_OUT_OF_MEMORY: cuMemAlloc_v2(&mut 0, 4));
    alloc(4);
    fails!(CUDA_ERROR_UNKNOWN: cuEventCreate(&mut ptr::null_mut(), 0));
    assert_eq!(counter("faults"), 2);
}

fn a_rank_is_meant() {
    enter(0);
    fails!(CUDA_ERROR_OUT_OF_MEMORY: cuMemAlloc_v2(&mut 0, 4));
}

fn another_rank_is_meant() {
    enter(0);
    alloc(4);
}

fn a_rank_that_is_not_told_is_an_error() {
    fails!(CUDA_ERROR_OPERATING_SYSTEM: cuInit(0));
}

fn an_unknown_class_is_an_error() {
    fails!(CUDA_ERROR_OPERATING_SYSTEM: cuInit(0));
}

fn an_unknown_result_is_an_error() {
    fails!(CUDA_ERROR_OPERATING_SYSTEM: cuInit(0));
}

fn a_thread_fails_alone() {
    let context = enter(0) as usize;
    set_thread_fault("alloc:1=2");
    std::thread::scope(|scope| {
        scope.spawn(|| {
            ok!(cuCtxSetCurrent(context as _));
            alloc(4);
        });
    });
    fails!(CUDA_ERROR_OUT_OF_MEMORY: cuMemAlloc_v2(&mut 0, 4));
    set_thread_fault("alloc:1=2");
    set_thread_fault("");
    alloc(4);
}

fn a_program_fails_without_its_libraries() {
    enter(0);
    set_program_fault("alloc:1=2");
    assert!(
        is_allocated_by_a_library(),
        "a call of the C library is not the program's"
    );
    fails!(CUDA_ERROR_OUT_OF_MEMORY: cuMemAlloc_v2(&mut 0, 4));
    alloc(4);
    set_fault("alloc:1=2");
    assert!(!is_allocated_by_a_library());
}

/// Has the C library call `cuMemAlloc`, by a search that compares with it: what it compares is an address and a length.
fn is_allocated_by_a_library() -> bool {
    let (mut address, length) = (0u64, ptr::without_provenance::<c_void>(4));
    let allocate = address_of("cuMemAlloc_v2");
    // SAFETY: the function has this signature, as far as the machine is concerned, and one element is compared.
    unsafe {
        let allocate = std::mem::transmute::<*mut c_void, unsafe extern "C" fn(_, _) -> _>(allocate);
        !libc::bsearch(ptr::from_mut(&mut address).cast(), length, 1, 1, Some(allocate)).is_null()
    }
}

fn an_operation_fails_for_good() {
    enter(0);
    let (stream, address) = (stream(NON_BLOCKING), alloc(1));
    set_fault("async:2=719");
    ok!(cuMemsetD8Async(address, 1, 1, stream));
    ok!(cuMemsetD8Async(address, 2, 1, stream));
    fails!(CUDA_ERROR_LAUNCH_FAILED: cuStreamSynchronize(stream));
    fails!(CUDA_ERROR_LAUNCH_FAILED: cuMemAlloc_v2(&mut 0, 1));
}

/// The way in which a test goes through all faults of a program: until it has met none.
fn every_call_of_a_program_can_fail() {
    enter(0);
    let program = || {
        let mut address = 0;
        if code!(cuMemAlloc_v2(&mut address, 4)) as u32 != 0 {
            return false;
        }
        let written = code!(cuMemAllocAsync(&mut 0, 0, ptr::null_mut()));
        ok!(cuMemFree_v2(address));
        written as u32 == 0
    };
    let mut number = 1;
    loop {
        set_fault(&format!("alloc:{number}=2"));
        let met = counter("faults");
        let succeeded = program();
        assert_eq!(counter("device_allocations"), 0);
        assert_eq!(succeeded, counter("faults") == met);
        if succeeded {
            break;
        }
        number += 1;
    }
    assert_eq!(number, 3);
}
