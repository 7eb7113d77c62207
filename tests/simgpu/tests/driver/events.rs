//! Events.

use std::ptr;

use crate::cases;
use crate::support::*;

cases! {
    an_event_is_ready_when_its_stream_has_come_to_it;
    a_wait_is_for_the_last_record_at_the_call;
    waiting_orders_streams [SIMGPU_DELAY = "500"];
    time_passes_between_events;
    an_event_belongs_to_its_context [SIMGPU_DEVICES = "2"];
    flags_are_checked;
}

const DISABLE_TIMING: u32 = 2;

fn an_event_is_ready_when_its_stream_has_come_to_it() {
    enter(0);
    let (stream, event) = (stream(NON_BLOCKING), event(DISABLE_TIMING));
    ok!(cuEventQuery(event));
    ok!(cuEventSynchronize(event));
    let gate = Gate::close(stream);
    ok!(cuEventRecord(event, stream));
    fails!(CUDA_ERROR_NOT_READY: cuEventQuery(event));
    gate.open();
    ok!(cuEventSynchronize(event));
    ok!(cuEventQuery(event));
    ok!(cuEventDestroy_v2(event));
    fails!(CUDA_ERROR_INVALID_HANDLE: cuEventQuery(event));
}

fn a_wait_is_for_the_last_record_at_the_call() {
    enter(0);
    let [first, second, third] = [0; 3].map(|_| stream(NON_BLOCKING));
    let event = event(DISABLE_TIMING);
    // Never recorded: nothing to wait for.
    ok!(cuStreamWaitEvent(third, event, 0));
    ok!(cuStreamSynchronize(third));
    ok!(cuEventRecord(event, second));
    ok!(cuStreamWaitEvent(third, event, 0));
    let gate = Gate::close(first);
    ok!(cuEventRecord(event, first));
    ok!(cuStreamSynchronize(third));
    ok!(cuStreamWaitEvent(third, event, 0));
    ok!(cuEventRecord(event, second));
    ok!(cuEventSynchronize(event));
    fails!(CUDA_ERROR_NOT_READY: cuStreamQuery(third));
    // A destroyed event is still waited for.
    ok!(cuEventDestroy_v2(event));
    fails!(CUDA_ERROR_NOT_READY: cuStreamQuery(third));
    gate.open();
    ok!(cuStreamSynchronize(third));
}

fn waiting_orders_streams() {
    enter(0);
    let (first, second, event, address) = (stream(NON_BLOCKING), stream(NON_BLOCKING), event(2), alloc(4));
    for round in 0..50 {
        ok!(cuMemsetD32Async(address, round, 1, first));
        ok!(cuEventRecord(event, first));
        ok!(cuStreamWaitEvent(second, event, 0));
        ok!(cuMemcpyDtoDAsync_v2(address, address, 4, second));
        let mut seen = [0_u8; 4];
        ok!(cuMemcpyDtoHAsync_v2(seen.as_mut_ptr().cast(), address, 4, second));
        assert_eq!(u32::from_ne_bytes(seen), round);
    }
}

fn time_passes_between_events() {
    enter(0);
    let (stream, start, end, untimed) = (stream(NON_BLOCKING), event(0), event(0), event(DISABLE_TIMING));
    let mut elapsed = -1.0;
    fails!(CUDA_ERROR_INVALID_HANDLE: cuEventElapsedTime(&mut elapsed, start, end));
    ok!(cuEventRecord(start, stream));
    let gate = Gate::close(stream);
    ok!(cuEventRecord(end, stream));
    ok!(cuEventRecord(untimed, stream));
    fails!(CUDA_ERROR_NOT_READY: cuEventElapsedTime(&mut elapsed, start, end));
    gate.open();
    ok!(cuStreamSynchronize(stream));
    ok!(cuEventElapsedTime(&mut elapsed, start, end));
    assert!(elapsed > 0.0);
    fails!(CUDA_ERROR_INVALID_HANDLE: cuEventElapsedTime(&mut elapsed, start, untimed));
}

fn an_event_belongs_to_its_context() {
    enter(0);
    let (of_first, stream_of_first) = (event(DISABLE_TIMING), stream(NON_BLOCKING));
    enter(1);
    let stream_of_second = stream(NON_BLOCKING);
    fails!(CUDA_ERROR_INVALID_HANDLE: cuEventRecord(of_first, stream_of_second));
    ok!(cuEventRecord(of_first, stream_of_first));
    // Waiting goes across.
    ok!(cuStreamWaitEvent(stream_of_second, of_first, 0));
    ok!(cuStreamSynchronize(stream_of_second));
}

fn flags_are_checked() {
    const INTERPROCESS: u32 = 4;
    enter(0);
    let mut event = ptr::null_mut();
    fails!(CUDA_ERROR_INVALID_VALUE: cuEventCreate(&mut event, INTERPROCESS));
    fails!(CUDA_ERROR_INVALID_VALUE: cuEventCreate(&mut event, 64));
    ok!(cuEventCreate(&mut event, INTERPROCESS | DISABLE_TIMING));
    ok!(cuEventRecord(event, ptr::null_mut()));
    ok!(cuEventSynchronize(event));
}
