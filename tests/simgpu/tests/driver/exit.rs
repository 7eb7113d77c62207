//! Programs that end while there is work.

use crate::cases;
use crate::support::*;

cases! {
    a_program_ends_while_streams_work [SIMGPU_DELAY = "1000"];
    a_program_ends_while_a_stream_waits;
    a_program_ends_by_exit_on_another_thread;
    the_library_is_opened_and_closed;
}

fn a_program_ends_while_streams_work() {
    enter(0);
    let address = alloc(1 << 20);
    for _ in 0..50 {
        let stream = stream(0);
        ok!(cuMemsetD8Async(address, 1, 1 << 20, stream));
    }
}

fn a_program_ends_while_a_stream_waits() {
    enter(0);
    std::mem::forget(Gate::close(stream(NON_BLOCKING)));
}

fn a_program_ends_by_exit_on_another_thread() {
    let context = enter(0) as usize;
    let ends = std::thread::spawn(move || {
        ok!(cuCtxSetCurrent(context as _));
        std::mem::forget(Gate::close(stream(NON_BLOCKING)));
        std::process::exit(0);
    });
    let _ = ends.join();
    unreachable!("the process has ended");
}

fn the_library_is_opened_and_closed() {
    // SAFETY: looks for the library.
    assert!(unsafe { cudarc::driver::sys::is_culib_present() });
    enter(0);
    let stream = stream(NON_BLOCKING);
    let gate = Gate::close(stream);
    // SAFETY: looks for the library.
    assert!(unsafe { cudarc::driver::sys::is_culib_present() });
    gate.open();
    ok!(cuStreamSynchronize(stream));
}
