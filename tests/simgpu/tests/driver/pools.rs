//! Memory in stream order.

use std::ptr;

use cudarc::driver::sys::{CUdevice_attribute, CUipcMemHandle, CUmemPool_attribute, CUstream};

use crate::cases;
use crate::support::*;

cases! {
    memory_comes_and_goes_in_stream_order;
    use_after_the_free_fails [SIMGPU_QUIET = "1"];
    use_before_the_allocation_fails [SIMGPU_QUIET = "1"];
    a_free_that_does_not_wait_is_seen [SIMGPU_QUIET = "1"];
    pool_memory_has_no_handle_for_other_processes;
    a_device_has_one_pool [SIMGPU_DEVICES = "2"];
}

fn alloc_async(bytes: usize, stream: CUstream) -> u64 {
    let mut address = 0;
    ok!(cuMemAllocAsync(&mut address, bytes, stream));
    address
}

fn memory_comes_and_goes_in_stream_order() {
    enter(0);
    let stream = stream(NON_BLOCKING);
    let address = alloc_async(16, stream);
    let mut host = [0_u8; 16];
    ok!(cuMemcpyDtoHAsync_v2(
        host.as_mut_ptr().cast(),
        address,
        16,
        stream
    ));
    assert_eq!(host, [POISON; 16]);
    let gate = Gate::close(stream);
    ok!(cuMemFreeAsync(address, stream));
    assert_eq!(counter("device_allocations"), 1);
    gate.open();
    ok!(cuStreamSynchronize(stream));
    assert_eq!(counter("device_allocations"), 0);
    // Of no bytes at all it is nothing, and may be freed.
    ok!(cuMemFreeAsync(alloc_async(0, stream), stream));
}

fn use_after_the_free_fails() {
    enter(0);
    let stream = stream(NON_BLOCKING);
    let address = alloc_async(16, stream);
    ok!(cuMemFreeAsync(address, stream));
    ok!(cuMemsetD8Async(address, 0, 16, stream));
    fails!(CUDA_ERROR_ILLEGAL_ADDRESS: cuStreamSynchronize(stream));
    fails!(CUDA_ERROR_ILLEGAL_ADDRESS: cuMemAlloc_v2(&mut 0, 16));
}

fn use_before_the_allocation_fails() {
    enter(0);
    let (first, second) = (stream(NON_BLOCKING), stream(NON_BLOCKING));
    let gate = Gate::close(first);
    let address = alloc_async(16, first);
    ok!(cuMemsetD8Async(address, 0, 16, second));
    fails!(CUDA_ERROR_ILLEGAL_ADDRESS: cuStreamSynchronize(second));
    gate.open();
}

fn a_free_that_does_not_wait_is_seen() {
    enter(0);
    let (first, second) = (stream(NON_BLOCKING), stream(NON_BLOCKING));
    let address = alloc_async(16, first);
    ok!(cuStreamSynchronize(first));
    let gate = Gate::close(second);
    ok!(cuMemsetD8Async(address, 0, 16, second));
    ok!(cuMemFreeAsync(address, first));
    ok!(cuStreamSynchronize(first));
    gate.open();
    fails!(CUDA_ERROR_ILLEGAL_ADDRESS: cuStreamSynchronize(second));
}

fn pool_memory_has_no_handle_for_other_processes() {
    enter(0);
    let stream = stream(NON_BLOCKING);
    let address = alloc_async(16, stream);
    ok!(cuStreamSynchronize(stream));
    let mut handle = CUipcMemHandle { reserved: [0; 64] };
    fails!(CUDA_ERROR_INVALID_VALUE: cuIpcGetMemHandle(&mut handle, address));
    ok!(cuIpcGetMemHandle(&mut handle, alloc(16)));
}

fn a_device_has_one_pool() {
    enter(0);
    assert_eq!(
        attribute(CUdevice_attribute::CU_DEVICE_ATTRIBUTE_MEMORY_POOLS_SUPPORTED, 0),
        1
    );
    let (mut default, mut current, mut of_other) = (ptr::null_mut(), ptr::null_mut(), ptr::null_mut());
    ok!(cuDeviceGetDefaultMemPool(&mut default, 0));
    ok!(cuDeviceGetMemPool(&mut current, 0));
    ok!(cuDeviceGetDefaultMemPool(&mut of_other, 1));
    assert_eq!(default, current);
    assert_ne!(default, of_other);
    fails!(CUDA_ERROR_INVALID_VALUE: cuDeviceSetMemPool(0, of_other));
    let mut threshold = u64::MAX;
    ok!(cuMemPoolSetAttribute(
        default,
        CUmemPool_attribute::CU_MEMPOOL_ATTR_RELEASE_THRESHOLD,
        ptr::from_mut(&mut threshold).cast(),
    ));
    let stream = stream(NON_BLOCKING);
    let mut address = 0;
    ok!(cuMemAllocFromPoolAsync(&mut address, 24, default, stream));
    fails!(CUDA_ERROR_NOT_SUPPORTED: cuMemAllocFromPoolAsync(&mut address, 24, of_other, stream));
    let mut used = 0_u64;
    ok!(cuMemPoolGetAttribute(
        default,
        CUmemPool_attribute::CU_MEMPOOL_ATTR_USED_MEM_CURRENT,
        ptr::from_mut(&mut used).cast(),
    ));
    assert_eq!(used, 24);
    ok!(cuMemPoolTrimTo(default, 0));
}
