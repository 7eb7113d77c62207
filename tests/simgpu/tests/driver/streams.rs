//! Streams: what waits for what, and what the host sees meanwhile.

use std::ffi::c_void;
use std::ptr;
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};

use cudarc::driver::sys::{CUresult, CUstream};

use crate::cases;
use crate::support::*;

cases! {
    without_a_synchronize_the_host_sees_stale_data;
    delays_show_a_missing_synchronize [SIMGPU_DELAY = "2000", SIMGPU_SEED = "5"];
    delays_change_no_result [SIMGPU_DELAY = "300"];
    page_locked_sources_are_read_when_the_copy_runs;
    pageable_sources_are_read_at_once;
    pageable_targets_are_there_when_the_call_returns [SIMGPU_DELAY = "2000"];
    a_pageable_upload_is_not_there_for_other_streams [SIMGPU_DELAY = "3000"];
    the_legacy_stream_waits_for_blocking_streams;
    blocking_streams_wait_for_the_legacy_stream;
    fills_do_not_wait_for_the_device;
    each_thread_has_a_default_stream;
    host_functions_run_in_order_and_may_not_call_the_driver;
    a_destroyed_stream_finishes_its_work;
    hundreds_of_streams_work_at_once;
    streams_know_themselves;
    a_stream_writes_a_word_behind_its_copies [SIMGPU_DELAY = "300", SIMGPU_QUIET = "1"];
}

fn byte(pointer: *const u8) -> u8 {
    // SAFETY: the memory is page-locked memory of the case.
    unsafe { ptr::read_volatile(pointer) }
}

fn without_a_synchronize_the_host_sees_stale_data() {
    enter(0);
    let (stream, address, host) = (stream(NON_BLOCKING), alloc(1), pinned(1));
    ok!(cuMemsetD8Async(address, 9, 1, stream));
    let gate = Gate::close(stream);
    ok!(cuMemcpyDtoHAsync_v2(host.cast(), address, 1, stream));
    fails!(CUDA_ERROR_NOT_READY: cuStreamQuery(stream));
    assert_eq!(byte(host), 0);
    gate.open();
    ok!(cuStreamSynchronize(stream));
    ok!(cuStreamQuery(stream));
    assert_eq!(byte(host), 9);
}

fn delays_show_a_missing_synchronize() {
    enter(0);
    let (stream, address, host) = (stream(NON_BLOCKING), alloc(1), pinned(1));
    let stale = (1..=50).filter(|&round| {
        ok!(cuMemsetD8Async(address, round, 1, stream));
        ok!(cuMemcpyDtoHAsync_v2(host.cast(), address, 1, stream));
        let seen = byte(host);
        ok!(cuStreamSynchronize(stream));
        assert_eq!(byte(host), round);
        seen != round
    });
    assert!(stale.count() > 0);
}

fn delays_change_no_result() {
    enter(0);
    let streams: Vec<_> = (0..4).map(|_| stream(NON_BLOCKING)).collect();
    let (address, host) = (alloc(1), pinned(1));
    let event = event(2);
    for round in 0..100_u8 {
        let [first, second] = [0, 1].map(|next| streams[(usize::from(round) + next) % 4]);
        ok!(cuMemsetD8Async(address, round, 1, first));
        ok!(cuEventRecord(event, first));
        ok!(cuStreamWaitEvent(second, event, 0));
        ok!(cuMemcpyDtoHAsync_v2(host.cast(), address, 1, second));
        ok!(cuStreamSynchronize(second));
        assert_eq!(byte(host), round);
    }
}

fn page_locked_sources_are_read_when_the_copy_runs() {
    enter(0);
    let (stream, address, host) = (stream(NON_BLOCKING), alloc(1), pinned(1));
    let gate = Gate::close(stream);
    ok!(cuMemcpyHtoDAsync_v2(address, host.cast(), 1, stream));
    // SAFETY: the memory is page-locked memory of the case.
    unsafe { ptr::write_volatile(host, 8) };
    gate.open();
    ok!(cuStreamSynchronize(stream));
    assert_eq!(read(address, 1), [8]);
}

fn pageable_sources_are_read_at_once() {
    enter(0);
    let (stream, address, mut host) = (stream(NON_BLOCKING), alloc(1), vec![7_u8]);
    let gate = Gate::close(stream);
    ok!(cuMemcpyHtoDAsync_v2(address, host.as_ptr().cast(), 1, stream));
    host[0] = 8;
    gate.open();
    ok!(cuStreamSynchronize(stream));
    assert_eq!(read(address, 1), [7]);
}

fn pageable_targets_are_there_when_the_call_returns() {
    enter(0);
    let (stream, address) = (stream(NON_BLOCKING), alloc(1));
    for round in 0..20 {
        let mut host = vec![255_u8];
        ok!(cuMemsetD8Async(address, round, 1, stream));
        ok!(cuMemcpyDtoHAsync_v2(host.as_mut_ptr().cast(), address, 1, stream));
        assert_eq!(host, [round]);
    }
}

fn a_pageable_upload_is_not_there_for_other_streams() {
    enter(0);
    let (stream, address, host) = (stream(NON_BLOCKING), alloc(1), pinned(1));
    ok!(cuMemsetD8_v2(address, 0, 1));
    ok!(cuCtxSynchronize());
    let stale = (1..=50).filter(|&round| {
        // Returns when the byte is staged; only the legacy stream's order has it on the device.
        write(address, &[round]);
        ok!(cuMemcpyDtoHAsync_v2(host.cast(), address, 1, stream));
        ok!(cuStreamSynchronize(stream));
        let seen = byte(host);
        ok!(cuCtxSynchronize());
        assert_eq!(read(address, 1), [round]);
        seen != round
    });
    assert!(stale.count() > 0);
}

fn the_legacy_stream_waits_for_blocking_streams() {
    enter(0);
    let (blocking, other, address) = (stream(0), stream(NON_BLOCKING), alloc(2));
    let gate = Gate::close(blocking);
    ok!(cuMemsetD8Async(address, 1, 1, blocking));
    ok!(cuMemsetD8Async(address, 2, 1, ptr::null_mut()));
    fails!(CUDA_ERROR_NOT_READY: cuStreamQuery(ptr::null_mut()));
    // A non-blocking stream waits for neither.
    ok!(cuMemsetD8Async(address + 1, 3, 1, other));
    ok!(cuStreamSynchronize(other));
    gate.open();
    ok!(cuStreamSynchronize(ptr::null_mut()));
    assert_eq!(read(address, 2), [2, 3]);
}

fn blocking_streams_wait_for_the_legacy_stream() {
    enter(0);
    let (blocking, address) = (stream(0), alloc(1));
    let gate = Gate::close(ptr::null_mut());
    ok!(cuMemsetD8Async(address, 1, 1, ptr::null_mut()));
    ok!(cuMemsetD8Async(address, 2, 1, blocking));
    fails!(CUDA_ERROR_NOT_READY: cuStreamQuery(blocking));
    gate.open();
    ok!(cuCtxSynchronize());
    assert_eq!(read(address, 1), [2]);
}

fn fills_do_not_wait_for_the_device() {
    enter(0);
    let address = alloc(1);
    let gate = Gate::close(ptr::null_mut());
    ok!(cuMemsetD8_v2(address, 4, 1));
    ok!(cuMemcpyDtoD_v2(alloc(1), address, 1));
    gate.open();
    assert_eq!(read(address, 1), [4]);
}

fn each_thread_has_a_default_stream() {
    const PER_THREAD: usize = 2;
    let context = enter(0) as usize;
    let address = alloc(1);
    let gate = Gate::close(PER_THREAD as CUstream);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            ok!(cuCtxSetCurrent(context as _));
            ok!(cuMemsetD8Async(address, 6, 1, PER_THREAD as CUstream));
            ok!(cuStreamSynchronize(PER_THREAD as CUstream));
        });
    });
    fails!(CUDA_ERROR_NOT_READY: cuStreamQuery(PER_THREAD as CUstream));
    gate.open();
    ok!(cuStreamSynchronize(PER_THREAD as CUstream));
    assert_eq!(read(address, 1), [6]);
}

static CALLS: AtomicU32 = AtomicU32::new(0);
static REFUSED: AtomicU32 = AtomicU32::new(0);

unsafe extern "C" fn count(expected: *mut c_void) {
    assert_eq!(CALLS.fetch_add(1, SeqCst) as usize, expected as usize);
    if code!(cuCtxSynchronize()) == CUresult::CUDA_ERROR_NOT_PERMITTED {
        REFUSED.fetch_add(1, SeqCst);
    }
}

unsafe extern "C" fn count_with_status(_: CUstream, status: CUresult, expected: *mut c_void) {
    assert_eq!(status, CUresult::CUDA_SUCCESS);
    // SAFETY: it takes any pointer.
    unsafe { count(expected) };
}

fn host_functions_run_in_order_and_may_not_call_the_driver() {
    enter(0);
    let stream = stream(NON_BLOCKING);
    ok!(cuLaunchHostFunc(stream, Some(count), ptr::null_mut()));
    ok!(cuStreamAddCallback(
        stream,
        Some(count_with_status),
        ptr::without_provenance_mut(1),
        0
    ));
    ok!(cuLaunchHostFunc(
        stream,
        Some(count),
        ptr::without_provenance_mut(2)
    ));
    ok!(cuStreamSynchronize(stream));
    assert_eq!((CALLS.load(SeqCst), REFUSED.load(SeqCst)), (3, 3));
}

fn a_destroyed_stream_finishes_its_work() {
    enter(0);
    let (stream, address) = (stream(NON_BLOCKING), alloc(1));
    let gate = Gate::close(stream);
    ok!(cuMemsetD8Async(address, 5, 1, stream));
    ok!(cuStreamDestroy_v2(stream));
    fails!(CUDA_ERROR_INVALID_HANDLE: cuStreamSynchronize(stream));
    gate.open();
    ok!(cuCtxSynchronize());
    assert_eq!(read(address, 1), [5]);
    assert_eq!(counter("streams"), 0);
}

fn hundreds_of_streams_work_at_once() {
    enter(0);
    let streams: Vec<_> = (0..300).map(|_| stream(NON_BLOCKING)).collect();
    let address = alloc(300);
    let gates: Vec<_> = streams.iter().map(|&stream| Gate::close(stream)).collect();
    for (place, &stream) in streams.iter().enumerate() {
        ok!(cuMemsetD8Async(address + place as u64, place as u8, 1, stream));
    }
    gates.iter().for_each(Gate::open);
    ok!(cuCtxSynchronize());
    assert!(
        read(address, 300)
            .iter()
            .enumerate()
            .all(|(place, &byte)| byte == place as u8)
    );
    streams
        .into_iter()
        .for_each(|stream| ok!(cuStreamDestroy_v2(stream)));
    // Threads of destroyed streams end.
    let threads = || std::fs::read_dir("/proc/self/task").unwrap().count();
    while threads() > 10 {
        std::thread::yield_now();
    }
}

fn streams_know_themselves() {
    let context = enter(0);
    let stream = stream(NON_BLOCKING);
    let (mut flags, mut priority, mut found) = (9, 9, ptr::null_mut());
    ok!(cuStreamGetFlags(stream, &mut flags));
    ok!(cuStreamGetPriority(stream, &mut priority));
    ok!(cuStreamGetCtx(stream, &mut found));
    assert_eq!((flags, priority, found), (NON_BLOCKING, 0, context));
    let mut first = ptr::null_mut();
    ok!(cuStreamCreateWithPriority(&mut first, 0, -100));
    let (mut least, mut greatest) = (0, 0);
    ok!(cuCtxGetStreamPriorityRange(&mut least, &mut greatest));
    ok!(cuStreamGetPriority(first, &mut priority));
    assert_eq!((priority, least), (greatest, 0));
    fails!(CUDA_ERROR_INVALID_VALUE: cuStreamCreate(&mut first, 64));
    fails!(CUDA_ERROR_INVALID_HANDLE: cuStreamSynchronize(0x1234_0000 as CUstream));
}

fn a_stream_writes_a_word_behind_its_copies() {
    enter(0);
    let (stream, source, host) = (stream(NON_BLOCKING), alloc(64), pinned(128));
    let word = host.wrapping_add(64).cast::<u32>();
    for round in 1..=20u8 {
        ok!(cuMemsetD8Async(source, round, 64, stream));
        ok!(cuMemcpyDtoHAsync_v2(host.cast(), source, 64, stream));
        ok!(cuStreamWriteValue32_v2(
            stream,
            word as u64,
            round.into(),
            u32::from(round % 2)
        ));
        // SAFETY: the word is aligned, and nobody writes to it but the stream.
        while unsafe { AtomicU32::from_ptr(word) }.load(SeqCst) != round.into() {
            std::thread::yield_now();
        }
        assert_eq!(byte(host.wrapping_add(63)), round);
    }
    // Device memory as well; and nothing else.
    ok!(cuStreamWriteValue32_v2(stream, source + 4, 7, 0));
    ok!(cuStreamSynchronize(stream));
    assert_eq!(read(source, 12), [20, 20, 20, 20, 7, 0, 0, 0, 20, 20, 20, 20]);
    let (mut managed, mut pageable) = (0, [0u32; 4]);
    ok!(cuMemAllocManaged(&mut managed, 8, 1));
    for address in [source + 2, source + 64, managed, pageable.as_mut_ptr() as u64, 0] {
        fails!(CUDA_ERROR_INVALID_VALUE: cuStreamWriteValue32_v2(stream, address, 1, 0));
    }
    fails!(CUDA_ERROR_INVALID_VALUE: cuStreamWriteValue32_v2(stream, source, 1, 2));
    // A device that has failed writes nothing, and says so at once where it has failed already.
    assert_eq!(
        launch(function(load(PTX), "stop"), stream, &mut []),
        CUresult::CUDA_SUCCESS
    );
    let written = code!(cuStreamWriteValue32_v2(stream, word as u64, 21, 0));
    assert!(
        written == CUresult::CUDA_SUCCESS || written == CUresult::CUDA_ERROR_ILLEGAL_INSTRUCTION,
        "{written:?}"
    );
    assert_ne!(code!(cuStreamSynchronize(stream)), CUresult::CUDA_SUCCESS);
    // SAFETY: as above.
    assert_eq!(unsafe { AtomicU32::from_ptr(word) }.load(SeqCst), 20);
}
