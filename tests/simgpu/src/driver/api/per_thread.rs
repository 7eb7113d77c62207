//! The names that programs use whose default stream is each thread's own: the same functions, with stream 0
//! meaning that one.

use std::ffi::{c_int, c_uchar, c_uint, c_ushort, c_void};

use super::streams::Callback;
use super::{copies, events, fills, launches, pools, streams};

const LEGACY_OR_PER_THREAD: usize = 0;
const PER_THREAD: usize = 2;

fn own(stream: usize) -> usize {
    match stream {
        LEGACY_OR_PER_THREAD => PER_THREAD,
        named => named,
    }
}

/// Functions that take a stream: what is before it, and what is after it.
macro_rules! with_stream {
    ($($name:ident = $module:ident::$function:ident(
        $($before:ident: $before_type:ty),*; $($after:ident: $after_type:ty),*
    );)*) => {$(
        #[unsafe(no_mangle)]
        unsafe extern "C" fn $name(
            $($before: $before_type,)*
            stream: usize,
            $($after: $after_type),*
        ) -> c_int {
            // SAFETY: as the caller says.
            unsafe { $module::$function($($before,)* own(stream), $($after),*) }
        }
    )*};
}

type HostFunction = unsafe extern "C" fn(*mut c_void);

with_stream! {
    cuStreamSynchronize_ptsz = streams::cuStreamSynchronize(;);
    cuStreamQuery_ptsz = streams::cuStreamQuery(;);
    cuStreamWaitEvent_ptsz = streams::cuStreamWaitEvent(; event: usize, flags: c_uint);
    cuStreamWriteValue32_v2_ptsz = streams::cuStreamWriteValue32_v2(; address: u64, value: u32, flags: c_uint);
    cuStreamAddCallback_ptsz = streams::cuStreamAddCallback(
        ; callback: Option<Callback>, data: *mut c_void, flags: c_uint
    );
    cuLaunchHostFunc_ptsz = streams::cuLaunchHostFunc(; function: Option<HostFunction>, data: *mut c_void);
    cuStreamGetCtx_ptsz = streams::cuStreamGetCtx(; context: *mut usize);
    cuStreamGetFlags_ptsz = streams::cuStreamGetFlags(; flags: *mut c_uint);
    cuStreamGetPriority_ptsz = streams::cuStreamGetPriority(; priority: *mut c_int);
    cuEventRecord_ptsz = events::cuEventRecord(event: usize;);
    cuEventRecordWithFlags_ptsz = events::cuEventRecordWithFlags(event: usize; flags: c_uint);
    cuLaunchKernel_ptsz = launches::cuLaunchKernel(
        function: usize, grid_x: c_uint, grid_y: c_uint, grid_z: c_uint,
        block_x: c_uint, block_y: c_uint, block_z: c_uint, dynamic_shared_bytes: c_uint;
        arguments: *const *const c_void, extra: *const usize
    );
    cuMemAllocAsync_ptsz = pools::cuMemAllocAsync(address: *mut u64, bytes: usize;);
    cuMemAllocFromPoolAsync_ptsz = pools::cuMemAllocFromPoolAsync(
        address: *mut u64, bytes: usize, pool: usize;
    );
    cuMemFreeAsync_ptsz = pools::cuMemFreeAsync(address: u64;);
    cuMemcpyHtoDAsync_v2_ptsz = copies::cuMemcpyHtoDAsync_v2(
        target: u64, source: *const c_void, bytes: usize;
    );
    cuMemcpyDtoHAsync_v2_ptsz = copies::cuMemcpyDtoHAsync_v2(target: *mut c_void, source: u64, bytes: usize;);
    cuMemcpyDtoDAsync_v2_ptsz = copies::cuMemcpyDtoDAsync_v2(target: u64, source: u64, bytes: usize;);
    cuMemcpyAsync_ptsz = copies::cuMemcpyAsync(target: u64, source: u64, bytes: usize;);
    cuMemcpyPeerAsync_ptsz = copies::cuMemcpyPeerAsync(
        target: u64, target_context: usize, source: u64, source_context: usize, bytes: usize;
    );
    cuMemsetD8Async_ptsz = fills::cuMemsetD8Async(address: u64, value: c_uchar, count: usize;);
    cuMemsetD16Async_ptsz = fills::cuMemsetD16Async(address: u64, value: c_ushort, count: usize;);
    cuMemsetD32Async_ptsz = fills::cuMemsetD32Async(address: u64, value: c_uint, count: usize;);
}

/// Functions that do without naming a stream.
macro_rules! without_stream {
    ($($name:ident = $module:ident::$function:ident($($argument:ident: $type:ty),*);)*) => {$(
        #[unsafe(no_mangle)]
        unsafe extern "C" fn $name($($argument: $type),*) -> c_int {
            // SAFETY: as the caller says.
            unsafe { $module::$function($($argument,)* PER_THREAD) }
        }
    )*};
}

without_stream! {
    cuMemcpyHtoD_v2_ptds = copies::upload(target: u64, source: *const c_void, bytes: usize);
    cuMemcpyDtoH_v2_ptds = copies::download(target: *mut c_void, source: u64, bytes: usize);
    cuMemcpyDtoD_v2_ptds = copies::cuMemcpyDtoDAsync_v2(target: u64, source: u64, bytes: usize);
    cuMemsetD8_v2_ptds = fills::cuMemsetD8Async(address: u64, value: c_uchar, count: usize);
    cuMemsetD32_v2_ptds = fills::cuMemsetD32Async(address: u64, value: c_uint, count: usize);
}
