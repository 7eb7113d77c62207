//! Kernels that fail, and what their context is like afterwards.

use std::ptr;

use crate::cases;
use crate::support::*;

cases! {
    a_store_past_the_end_fails_for_good [SIMGPU_QUIET = "1"];
    a_load_of_freed_memory_fails [SIMGPU_QUIET = "1"];
    a_misaligned_store_fails [SIMGPU_QUIET = "1"];
    a_trap_fails [SIMGPU_QUIET = "1"];
    host_memory_that_is_not_registered_is_out_of_reach [SIMGPU_QUIET = "1"];
    a_fault_is_asynchronous [SIMGPU_QUIET = "1"];
    constants_are_not_written [SIMGPU_QUIET = "1"];
    variables_have_their_initial_values;
    a_reset_heals [SIMGPU_QUIET = "1"];
}

fn a_store_past_the_end_fails_for_good() {
    enter(0);
    let address = alloc(6);
    put(function(load(PTX), "put"), ptr::null_mut(), address + 4, 1);
    fails!(CUDA_ERROR_ILLEGAL_ADDRESS: cuCtxSynchronize());
    fails!(CUDA_ERROR_ILLEGAL_ADDRESS: cuMemAlloc_v2(&mut 0, 1));
    fails!(CUDA_ERROR_ILLEGAL_ADDRESS: cuStreamCreate(&mut ptr::null_mut(), 0));
    fails!(CUDA_ERROR_ILLEGAL_ADDRESS: cuMemFree_v2(address));
    let mut context = ptr::null_mut();
    ok!(cuCtxGetCurrent(&mut context));
    ok!(cuCtxSetCurrent(context));
    assert_eq!(counter("device_allocations"), 0);
}

fn a_load_of_freed_memory_fails() {
    enter(0);
    let (mut address, mut to) = (alloc(4), alloc(4));
    let get = function(load(PTX), "get");
    ok!(cuMemFree_v2(address));
    let arguments = &mut [ptr::from_mut(&mut to).cast(), ptr::from_mut(&mut address).cast()];
    launch(get, ptr::null_mut(), arguments);
    fails!(CUDA_ERROR_ILLEGAL_ADDRESS: cuCtxSynchronize());
}

fn a_misaligned_store_fails() {
    enter(0);
    put(function(load(PTX), "put"), ptr::null_mut(), alloc(8) + 2, 1);
    fails!(CUDA_ERROR_MISALIGNED_ADDRESS: cuCtxSynchronize());
}

fn a_trap_fails() {
    enter(0);
    launch(function(load(PTX), "stop"), ptr::null_mut(), &mut []);
    fails!(CUDA_ERROR_ILLEGAL_INSTRUCTION: cuCtxSynchronize());
}

fn host_memory_that_is_not_registered_is_out_of_reach() {
    enter(0);
    let host = Box::new(0_u32);
    put(
        function(load(PTX), "put"),
        ptr::null_mut(),
        ptr::from_ref(&*host) as u64,
        1,
    );
    fails!(CUDA_ERROR_ILLEGAL_ADDRESS: cuCtxSynchronize());
    assert_eq!(*host, 0);
}

fn a_fault_is_asynchronous() {
    enter(0);
    let stream = stream(NON_BLOCKING);
    let (event, address) = (event(2), alloc(4));
    let stop = function(load(PTX), "stop");
    let gate = Gate::close(stream);
    launch(stop, stream, &mut []);
    ok!(cuMemsetD8Async(address, 1, 4, stream));
    ok!(cuEventRecord(event, stream));
    gate.open();
    fails!(CUDA_ERROR_ILLEGAL_INSTRUCTION: cuEventSynchronize(event));
    fails!(CUDA_ERROR_ILLEGAL_INSTRUCTION: cuStreamQuery(stream));
    fails!(CUDA_ERROR_ILLEGAL_INSTRUCTION: cuEventQuery(event));
}

fn global(module: cudarc::driver::sys::CUmodule, name: &std::ffi::CStr) -> (u64, usize) {
    let (mut address, mut bytes) = (0, 0);
    ok!(cuModuleGetGlobal_v2(
        &mut address,
        &mut bytes,
        module,
        name.as_ptr()
    ));
    (address, bytes)
}

fn constants_are_not_written() {
    enter(0);
    let module = load(PTX);
    let (limit, _) = global(module, c"limit");
    put(function(module, "put"), ptr::null_mut(), limit, 1);
    fails!(CUDA_ERROR_ILLEGAL_ADDRESS: cuCtxSynchronize());
}

fn variables_have_their_initial_values() {
    enter(0);
    let module = load(PTX);
    let (counter, bytes) = global(module, c"counter");
    assert_eq!((read(counter, 4), bytes), (7_u32.to_ne_bytes().to_vec(), 4));
    put(function(module, "put"), ptr::null_mut(), counter, 8);
    assert_eq!(read(counter, 4), 8_u32.to_ne_bytes());
    let (limit, _) = global(module, c"limit");
    assert_eq!(read(limit, 4), 9_u32.to_ne_bytes());
    fails!(CUDA_ERROR_NOT_FOUND: cuModuleGetGlobal_v2(&mut 0, &mut 0, module, c"none".as_ptr()));
    // Another load has variables of its own.
    assert_eq!(read(global(load(PTX), c"counter").0, 4), 7_u32.to_ne_bytes());
    ok!(cuModuleUnload(module));
    fails!(CUDA_ERROR_INVALID_VALUE: cuMemsetD8_v2(counter, 0, 1));
}

fn a_reset_heals() {
    let context = enter(0);
    launch(function(load(PTX), "stop"), ptr::null_mut(), &mut []);
    fails!(CUDA_ERROR_ILLEGAL_INSTRUCTION: cuCtxSynchronize());
    ok!(cuDevicePrimaryCtxReset_v2(0));
    ok!(cuCtxSetCurrent(context));
    ok!(cuCtxSynchronize());
    alloc(4);
    let (mut flags, mut is_active) = (9, 9);
    ok!(cuDevicePrimaryCtxGetState(0, &mut flags, &mut is_active));
    assert_eq!((flags, is_active), (0, 1));
}
