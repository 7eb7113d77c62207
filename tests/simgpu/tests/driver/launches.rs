//! Modules and launches that are refused at once.

use std::ptr;

use cudarc::driver::sys::{CUfunction, CUfunction_attribute, CUresult};

use crate::cases;
use crate::support::*;

cases! {
    shapes_are_checked;
    shared_memory_is_checked;
    handles_are_checked [SIMGPU_DEVICES = "2"];
    arguments_may_be_in_one_buffer;
    a_module_with_an_unknown_instruction_is_refused;
    functions_are_looked_up;
    occupancy_is_told;
}

fn shaped(function: CUfunction, grid: [u32; 3], block: [u32; 3], shared: u32) -> CUresult {
    let ([gx, gy, gz], [bx, by, bz]) = (grid, block);
    let nothing = ptr::null_mut();
    code!(cuLaunchKernel(
        function,
        gx,
        gy,
        gz,
        bx,
        by,
        bz,
        shared,
        ptr::null_mut(),
        nothing,
        nothing.cast()
    ))
}

fn shapes_are_checked() {
    enter(0);
    let module = load(PTX);
    let (stop, wide) = (function(module, "stop"), function(module, "wide"));
    for (grid, block) in [
        ([0, 1, 1], [1; 3]),
        ([1; 3], [1, 0, 1]),
        ([1 << 31, 1, 1], [1; 3]),
        ([1, 65536, 1], [1; 3]),
        ([1; 3], [1025, 1, 1]),
        ([1; 3], [1, 1, 65]),
        ([1; 3], [32, 32, 2]),
        ([1; 3], [1 << 31, 2, 1]),
    ] {
        assert_eq!(
            shaped(stop, grid, block, 0),
            CUresult::CUDA_ERROR_INVALID_VALUE,
            "{grid:?} {block:?}"
        );
    }
    assert_eq!(
        shaped(wide, [1; 3], [65, 1, 1], 0),
        CUresult::CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES
    );
    assert_eq!(shaped(wide, [3, 2, 1], [8, 8, 1], 0), CUresult::CUDA_SUCCESS);
    ok!(cuCtxSynchronize());
}

fn shared_memory_is_checked() {
    const WANTED: CUfunction_attribute =
        CUfunction_attribute::CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES;
    enter(0);
    let wide = function(load(PTX), "wide");
    assert_eq!(shaped(wide, [1; 3], [1; 3], 48 << 10), CUresult::CUDA_SUCCESS);
    assert_eq!(
        shaped(wide, [1; 3], [1; 3], (48 << 10) + 1),
        CUresult::CUDA_ERROR_INVALID_VALUE
    );
    ok!(cuFuncSetAttribute(wide, WANTED, 100 << 10));
    assert_eq!(shaped(wide, [1; 3], [1; 3], 100 << 10), CUresult::CUDA_SUCCESS);
    let mut value = 0;
    ok!(cuFuncGetAttribute(&mut value, WANTED, wide));
    assert_eq!(value, 100 << 10);
    fails!(CUDA_ERROR_INVALID_VALUE: cuFuncSetAttribute(wide, WANTED, 200 << 10));
    ok!(cuCtxSynchronize());
}

fn handles_are_checked() {
    enter(0);
    let module = load(PTX);
    let stop = function(module, "stop");
    enter(1);
    let of_other = stream(NON_BLOCKING);
    assert_eq!(
        launch(stop, of_other, &mut []),
        CUresult::CUDA_ERROR_INVALID_HANDLE
    );
    enter(0);
    assert_eq!(
        launch(ptr::null_mut(), ptr::null_mut(), &mut []),
        CUresult::CUDA_ERROR_INVALID_HANDLE
    );
    assert_eq!(
        code!(cuLaunchKernel(
            function(module, "put"),
            1,
            1,
            1,
            1,
            1,
            1,
            0,
            ptr::null_mut(),
            ptr::null_mut(),
            ptr::null_mut()
        )),
        CUresult::CUDA_ERROR_INVALID_VALUE
    );
    ok!(cuModuleUnload(module));
    assert_eq!(
        launch(stop, ptr::null_mut(), &mut []),
        CUresult::CUDA_ERROR_INVALID_HANDLE
    );
    fails!(CUDA_ERROR_INVALID_HANDLE: cuModuleUnload(module));
}

fn arguments_may_be_in_one_buffer() {
    enter(0);
    let address = alloc(4);
    let mut arguments = [0_u8; 12];
    arguments[..8].copy_from_slice(&address.to_ne_bytes());
    arguments[8..].copy_from_slice(&77_u32.to_ne_bytes());
    let mut bytes = arguments.len();
    let mut extra = [
        ptr::without_provenance_mut(1),
        arguments.as_mut_ptr().cast(),
        ptr::without_provenance_mut(2),
        ptr::from_mut(&mut bytes).cast(),
        ptr::null_mut(),
    ];
    let put = function(load(PTX), "put");
    let stream = ptr::null_mut();
    ok!(cuLaunchKernel(
        put,
        1,
        1,
        1,
        1,
        1,
        1,
        0,
        stream,
        ptr::null_mut(),
        extra.as_mut_ptr()
    ));
    assert_eq!(read(address, 4), 77_u32.to_ne_bytes());
}

fn a_module_with_an_unknown_instruction_is_refused() {
    enter(0);
    let text = PTX.replace("trap;", "guess.u32;") + "\0";
    let mut module = ptr::null_mut();
    fails!(CUDA_ERROR_INVALID_PTX: cuModuleLoadData(&mut module, text.as_ptr().cast()));
    let mut log = [0_u8; 200];
    ok!(cuCtxSynchronize());
    let mut options = [
        cudarc::driver::sys::CUjit_option::CU_JIT_ERROR_LOG_BUFFER,
        cudarc::driver::sys::CUjit_option::CU_JIT_ERROR_LOG_BUFFER_SIZE_BYTES,
    ];
    let mut values = [log.as_mut_ptr().cast(), log.len() as *mut _];
    fails!(CUDA_ERROR_INVALID_PTX: cuModuleLoadDataEx(
        &mut module, text.as_ptr().cast(), 2, options.as_mut_ptr(), values.as_mut_ptr(),
    ));
    let log = String::from_utf8_lossy(&log).into_owned();
    assert!(log.contains("guess"), "{log}");
    fails!(CUDA_ERROR_NO_BINARY_FOR_GPU: cuModuleLoadData(&mut module, c"\x7fELF".as_ptr().cast()));
    fails!(CUDA_ERROR_FILE_NOT_FOUND: cuModuleLoad(&mut module, c"/nowhere.ptx".as_ptr()));
    assert_eq!(counter("modules"), 0);
}

fn functions_are_looked_up() {
    enter(0);
    let module = load(PTX);
    let mut found = ptr::null_mut();
    fails!(CUDA_ERROR_NOT_FOUND: cuModuleGetFunction(&mut found, module, c"none".as_ptr()));
    assert_eq!(function(module, "put"), function(module, "put"));
    let mut threads = 0;
    let most = CUfunction_attribute::CU_FUNC_ATTRIBUTE_MAX_THREADS_PER_BLOCK;
    ok!(cuFuncGetAttribute(&mut threads, most, function(module, "wide")));
    assert_eq!(threads, 64);
}

fn occupancy_is_told() {
    enter(0);
    let put = function(load(PTX), "put");
    let mut blocks = 0;
    ok!(cuOccupancyMaxActiveBlocksPerMultiprocessor(
        &mut blocks,
        put,
        256,
        0
    ));
    assert_eq!(blocks, 8);
    ok!(cuOccupancyMaxActiveBlocksPerMultiprocessor(
        &mut blocks,
        put,
        256,
        82 << 10
    ));
    assert_eq!(blocks, 2);
    let (mut grid, mut block) = (0, 0);
    ok!(cuOccupancyMaxPotentialBlockSize(
        &mut grid, &mut block, put, None, 0, 0
    ));
    assert_eq!((grid, block), (8, 1024));
}
