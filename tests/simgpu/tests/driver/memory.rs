//! Memory: who may touch it, and what it holds.

use std::ptr;

use cudarc::driver::sys::{CUDA_MEMCPY2D, CUdeviceptr, CUmemorytype, CUpointer_attribute};

use crate::support::*;
use crate::{End, cases};

cases! {
    a_cpu_that_reads_device_memory_dies => End::Signal(libc::SIGSEGV);
    a_cpu_that_writes_freed_device_memory_dies => End::Signal(libc::SIGSEGV);
    new_memory_is_poisoned;
    copies_past_the_end_are_refused;
    freed_memory_is_refused_and_stays_reserved;
    freeing_waits_for_what_uses_the_memory;
    memory_ends [SIMGPU_MEMORY = "1048576"];
    many_allocations_need_few_mappings;
    managed_memory_is_the_cpus_too;
    page_locked_memory_has_one_address;
    host_memory_is_registered_once;
    freed_page_locked_memory_is_gone [SIMGPU_QUIET = "1"];
    pointers_tell_what_they_are;
    rectangles_are_copied_and_filled;
    fills_have_three_sizes;
    everything_is_counted;
    memory_goes_with_its_context;
}

fn a_cpu_that_reads_device_memory_dies() {
    enter(0);
    let address = alloc(4096);
    // SAFETY: none; that is the case.
    unsafe { ptr::read_volatile(address as *const u8) };
}

fn a_cpu_that_writes_freed_device_memory_dies() {
    enter(0);
    let address = alloc(4096);
    ok!(cuMemFree_v2(address));
    // SAFETY: none; that is the case.
    unsafe { ptr::write_volatile(address as *mut u8, 1) };
}

fn new_memory_is_poisoned() {
    enter(0);
    assert!(read(alloc(10_000), 10_000).iter().all(|&byte| byte == POISON));
    let again = alloc(100);
    write(again, &[1; 100]);
    ok!(cuMemFree_v2(again));
    assert!(read(alloc(100), 100).iter().all(|&byte| byte == POISON));
}

fn copies_past_the_end_are_refused() {
    enter(0);
    let (address, mut host) = (alloc(10), [0_u8; 11]);
    let host = host.as_mut_ptr().cast();
    fails!(CUDA_ERROR_INVALID_VALUE: cuMemcpyDtoH_v2(host, address, 11));
    fails!(CUDA_ERROR_INVALID_VALUE: cuMemcpyHtoD_v2(address + 1, host, 10));
    fails!(CUDA_ERROR_INVALID_VALUE: cuMemcpyDtoD_v2(alloc(20), address, 11));
    fails!(CUDA_ERROR_INVALID_VALUE: cuMemsetD8_v2(address, 0, 11));
    fails!(CUDA_ERROR_INVALID_VALUE: cuMemcpyAsync(host as CUdeviceptr, address, 11, ptr::null_mut()));
    fails!(CUDA_ERROR_INVALID_VALUE: cuMemcpyHtoD_v2(host as CUdeviceptr, host, 10));
    ok!(cuMemcpyDtoH_v2(host, address + 4, 6));
    ok!(cuCtxSynchronize());
}

fn freed_memory_is_refused_and_stays_reserved() {
    enter(0);
    let address = alloc(64);
    ok!(cuMemFree_v2(address));
    let mut host = [0_u8; 64];
    fails!(CUDA_ERROR_INVALID_VALUE: cuMemcpyDtoH_v2(host.as_mut_ptr().cast(), address, 64));
    fails!(CUDA_ERROR_INVALID_VALUE: cuMemFree_v2(address));
    assert!((0..1000).all(|_| {
        let other = alloc(64);
        ok!(cuMemFree_v2(other));
        other != address
    }));
    fails!(CUDA_ERROR_INVALID_VALUE: cuMemAlloc_v2(&mut 0, 0));
    fails!(CUDA_ERROR_INVALID_VALUE: cuMemFree_v2(alloc(64) + 8));
}

fn freeing_waits_for_what_uses_the_memory() {
    enter(0);
    let (stream, address, host) = (stream(NON_BLOCKING), alloc(4), pinned(4));
    write(address, &[3; 4]);
    ok!(cuCtxSynchronize());
    let gate = Gate::close(stream);
    ok!(cuMemcpyDtoHAsync_v2(host.cast(), address, 4, stream));
    std::thread::scope(|scope| {
        scope.spawn(|| gate.open());
        ok!(cuMemFree_v2(address));
    });
    // SAFETY: the copy has ended, as the memory was freed.
    assert_eq!(unsafe { ptr::read_volatile(host) }, 3);
}

fn memory_ends() {
    enter(0);
    let (mut free, mut total) = (0, 0);
    ok!(cuMemGetInfo_v2(&mut free, &mut total));
    assert_eq!((free, total), (1 << 20, 1 << 20));
    fails!(CUDA_ERROR_OUT_OF_MEMORY: cuMemAlloc_v2(&mut 0, (1 << 20) + 1));
    let half = alloc(1 << 19);
    alloc(1 << 18);
    fails!(CUDA_ERROR_OUT_OF_MEMORY: cuMemAlloc_v2(&mut 0, 1 << 19));
    fails!(CUDA_ERROR_OUT_OF_MEMORY: cuMemAllocAsync(&mut 0, 1 << 19, ptr::null_mut()));
    ok!(cuMemFree_v2(half));
    ok!(cuMemGetInfo_v2(&mut free, &mut total));
    assert_eq!(free, 3 << 18);
    // What is freed in stream order is there again once the stream has come to it.
    let stream = stream(NON_BLOCKING);
    let mut address = 0;
    ok!(cuMemAllocAsync(&mut address, 3 << 18, stream));
    ok!(cuMemFreeAsync(address, stream));
    alloc(3 << 18);
}

fn many_allocations_need_few_mappings() {
    enter(0);
    let mappings = || {
        std::fs::read_to_string("/proc/self/maps")
            .unwrap()
            .lines()
            .count()
    };
    alloc(1);
    let before = mappings();
    let all: Vec<_> = (0..100_000).map(|_| alloc(256)).collect();
    assert!(mappings() < before + 20);
    all.into_iter().for_each(|address| ok!(cuMemFree_v2(address)));
    assert_eq!(counter("device_allocations"), 1);
}

fn managed_memory_is_the_cpus_too() {
    enter(0);
    let mut address = 0;
    ok!(cuMemAllocManaged(&mut address, 8, 1));
    put(function(load(PTX), "put"), ptr::null_mut(), address, 42);
    ok!(cuCtxSynchronize());
    // SAFETY: the memory is the CPU's too, and nobody else uses it now.
    assert_eq!(unsafe { *(address as *const u32) }, 42);
    ok!(cuMemFree_v2(address));
}

fn page_locked_memory_has_one_address() {
    enter(0);
    let host = pinned(8);
    let mut address = 0;
    ok!(cuMemHostGetDevicePointer_v2(&mut address, host.cast(), 0));
    assert_eq!(address, host as u64);
    put(function(load(PTX), "put"), ptr::null_mut(), address, 42);
    ok!(cuCtxSynchronize());
    // SAFETY: the kernel has ended.
    assert_eq!(unsafe { host.cast::<u32>().read_volatile() }, 42);
    ok!(cuMemFreeHost(host.cast()));
    fails!(CUDA_ERROR_INVALID_VALUE: cuMemFreeHost(host.cast()));
}

fn host_memory_is_registered_once() {
    enter(0);
    let mut memory = vec![0_u32; 1000];
    let host = memory.as_mut_ptr();
    ok!(cuMemHostRegister_v2(host.cast(), 4000, 0));
    fails!(CUDA_ERROR_HOST_MEMORY_ALREADY_REGISTERED: cuMemHostRegister_v2(host.cast(), 4, 0));
    put(function(load(PTX), "put"), ptr::null_mut(), host as u64 + 8, 5);
    ok!(cuCtxSynchronize());
    // SAFETY: the kernel has ended.
    assert_eq!(unsafe { host.add(2).read_volatile() }, 5);
    assert_eq!(counter("pinned_bytes"), 4000);
    ok!(cuMemHostUnregister(host.cast()));
    fails!(CUDA_ERROR_HOST_MEMORY_NOT_REGISTERED: cuMemHostUnregister(host.cast()));
    assert_eq!(counter("pinned_bytes"), 0);
}

fn freed_page_locked_memory_is_gone() {
    enter(0);
    let (stream, address, host) = (stream(NON_BLOCKING), alloc(4), pinned(4));
    let gate = Gate::close(stream);
    ok!(cuMemcpyHtoDAsync_v2(address, host.cast(), 4, stream));
    ok!(cuMemFreeHost(host.cast()));
    gate.open();
    fails!(CUDA_ERROR_ILLEGAL_ADDRESS: cuStreamSynchronize(stream));
}

fn kind(address: CUdeviceptr) -> Option<(u32, bool)> {
    // Booleans are integers: whoever asks may not have cleared them.
    let (mut memory_type, mut is_managed) = (0_u32, u32::MAX);
    let asked = code!(cuPointerGetAttribute(
        ptr::from_mut(&mut memory_type).cast(),
        CUpointer_attribute::CU_POINTER_ATTRIBUTE_MEMORY_TYPE,
        address,
    ));
    let managed = code!(cuPointerGetAttribute(
        ptr::from_mut(&mut is_managed).cast(),
        CUpointer_attribute::CU_POINTER_ATTRIBUTE_IS_MANAGED,
        address,
    ));
    assert_eq!(asked, managed);
    (asked as u32 == 0).then_some((memory_type, is_managed != 0))
}

fn pointers_tell_what_they_are() {
    enter(0);
    let address = alloc(100);
    let mut managed = 0;
    ok!(cuMemAllocManaged(&mut managed, 8, 1));
    let on_stack = 0_u32;
    assert_eq!(kind(address + 99), Some((2, false)));
    assert_eq!(kind(address + 100), None);
    assert_eq!(kind(managed), Some((2, true)));
    assert_eq!(kind(pinned(8) as u64), Some((1, false)));
    assert_eq!(kind(ptr::from_ref(&on_stack) as u64), None);
    // A thread without a context may ask too.
    let asked = std::thread::spawn(move || kind(address)).join();
    assert_eq!(asked.unwrap(), Some((2, false)));
    let (mut base, mut bytes) = (0, 0);
    ok!(cuMemGetAddressRange_v2(&mut base, &mut bytes, address + 50));
    assert_eq!((base, bytes), (address, 100));
    fails!(CUDA_ERROR_NOT_FOUND: cuMemGetAddressRange_v2(&mut base, &mut bytes, address + 100));
    let (mut memory_type, mut ordinal) = (9_u32, 9_i32);
    ok!(cuPointerGetAttributes(
        2,
        [
            CUpointer_attribute::CU_POINTER_ATTRIBUTE_MEMORY_TYPE,
            CUpointer_attribute::CU_POINTER_ATTRIBUTE_DEVICE_ORDINAL,
        ]
        .as_mut_ptr(),
        [
            ptr::from_mut(&mut memory_type).cast(),
            ptr::from_mut(&mut ordinal).cast()
        ]
        .as_mut_ptr(),
        ptr::from_ref(&on_stack) as u64,
    ));
    assert_eq!((memory_type, ordinal), (0, -2));
}

fn rectangles_are_copied_and_filled() {
    enter(0);
    let address = alloc(100);
    ok!(cuMemsetD8_v2(address, 0, 100));
    ok!(cuMemsetD2D8_v2(address + 1, 10, 7, 2, 3));
    let mut expected = [0; 100];
    for row in 0..3 {
        expected[10 * row + 1..][..2].fill(7);
    }
    assert_eq!(read(address, 100), expected);
    let mut host = [0_u8; 6];
    let rectangle = CUDA_MEMCPY2D {
        srcXInBytes: 1,
        srcY: 0,
        srcMemoryType: CUmemorytype::CU_MEMORYTYPE_DEVICE,
        srcHost: ptr::null(),
        srcDevice: address,
        srcArray: ptr::null_mut(),
        srcPitch: 10,
        dstXInBytes: 0,
        dstY: 0,
        dstMemoryType: CUmemorytype::CU_MEMORYTYPE_HOST,
        dstHost: host.as_mut_ptr().cast(),
        dstDevice: 0,
        dstArray: ptr::null_mut(),
        dstPitch: 2,
        WidthInBytes: 2,
        Height: 3,
    };
    ok!(cuMemcpy2D_v2(&rectangle));
    assert_eq!(host, [7; 6]);
    fails!(CUDA_ERROR_INVALID_VALUE: cuMemsetD2D8_v2(address, 10, 7, 11, 3));
    fails!(CUDA_ERROR_INVALID_VALUE: cuMemsetD2D8_v2(address, 10, 7, 10, 11));
}

fn fills_have_three_sizes() {
    enter(0);
    let address = alloc(8);
    ok!(cuMemsetD32_v2(address, 0x04030201, 2));
    assert_eq!(read(address, 8), [1, 2, 3, 4, 1, 2, 3, 4]);
    ok!(cuMemsetD16_v2(address + 2, 0x0605, 1));
    assert_eq!(read(address, 8), [1, 2, 5, 6, 1, 2, 3, 4]);
    fails!(CUDA_ERROR_INVALID_VALUE: cuMemsetD32_v2(address + 2, 0, 1));
    fails!(CUDA_ERROR_INVALID_VALUE: cuMemsetD16_v2(address + 1, 0, 1));
}

fn everything_is_counted() {
    enter(0);
    let (address, host, stream, event, module) = (alloc(100), pinned(10), stream(0), event(0), load(PTX));
    let counts = || {
        let names = [
            "device_allocations",
            "device_bytes",
            "pinned_allocations",
            "pinned_bytes",
            "streams",
            "events",
            "modules",
        ];
        names.map(counter)
    };
    assert_eq!(counts(), [1, 100, 1, 10, 1, 1, 1]);
    assert_eq!(
        ["alloc", "pinned", "stream", "event", "module", "launch"].map(counter),
        [1, 1, 1, 1, 1, 0]
    );
    ok!(cuMemFree_v2(address));
    ok!(cuMemFreeHost(host.cast()));
    ok!(cuStreamDestroy_v2(stream));
    ok!(cuEventDestroy_v2(event));
    ok!(cuModuleUnload(module));
    assert_eq!(counts(), [0; 7]);
}

fn memory_goes_with_its_context() {
    enter(0);
    let address = alloc(100);
    let (stream, event) = (stream(0), event(0));
    load(PTX);
    ok!(cuDevicePrimaryCtxRelease_v2(0));
    fails!(CUDA_ERROR_CONTEXT_IS_DESTROYED: cuCtxSynchronize());
    let names = ["device_allocations", "streams", "events", "modules", "contexts"];
    assert_eq!(names.map(counter), [0; 5]);
    enter(0);
    fails!(CUDA_ERROR_INVALID_VALUE: cuMemFree_v2(address));
    fails!(CUDA_ERROR_INVALID_HANDLE: cuStreamSynchronize(stream));
    fails!(CUDA_ERROR_INVALID_HANDLE: cuEventSynchronize(event));
}
