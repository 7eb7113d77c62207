//! `cuStream…`: streams.

use std::ffi::{c_int, c_uint, c_void};

use super::{IN_HOST_FUNCTION, call, give};
use crate::driver::context;
use crate::driver::copy;
use crate::driver::event;
use crate::driver::faults::{self, Class};
use crate::driver::machine::machine;
use crate::driver::status::{Result, Status};
use crate::driver::stream::{self, NON_BLOCKING, Work};

/// Priorities go from 0 to this, and change nothing.
pub const GREATEST_PRIORITY: c_int = -5;

fn create(flags: c_uint, priority: c_int) -> Result<usize> {
    let context = context::current()?;
    faults::check(Class::Stream)?;
    if flags & !NON_BLOCKING != 0 {
        return Err(Status::ERROR_INVALID_VALUE);
    }
    Ok(stream::create(&context, flags, priority.clamp(GREATEST_PRIORITY, 0)).handle)
}

#[unsafe(no_mangle)]
unsafe extern "C" fn cuStreamCreate(stream: *mut usize, flags: c_uint) -> c_int {
    // SAFETY: as the caller says.
    call(|| unsafe { give(stream, create(flags, 0)?) })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn cuStreamCreateWithPriority(stream: *mut usize, flags: c_uint, priority: c_int) -> c_int {
    // SAFETY: as the caller says.
    call(|| unsafe { give(stream, create(flags, priority)?) })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn cuStreamDestroy_v2(stream: usize) -> c_int {
    call(|| {
        machine()?;
        stream::destroy(stream)
    })
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuStreamWriteValue32_v2(
    stream: usize,
    address: u64,
    value: u32,
    flags: c_uint,
) -> c_int {
    const NO_MEMORY_BARRIER: c_uint = 1;
    call(|| {
        let stream = stream::of(stream)?;
        faults::check(Class::Write)?;
        match flags & !NO_MEMORY_BARRIER {
            0 => copy::write_word(&stream, address, value),
            _ => Err(Status::ERROR_INVALID_VALUE),
        }
    })
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuStreamSynchronize(stream: usize) -> c_int {
    call(|| {
        let stream = stream::of(stream)?;
        faults::check(Class::Synchronize)?;
        stream::note_wait();
        stream.wait_for_all();
        stream.context()?.check()
    })
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuStreamQuery(stream: usize) -> c_int {
    call(|| {
        let stream = stream::of(stream)?;
        faults::check(Class::Synchronize)?;
        match stream.has_ended() {
            true => stream.context()?.check(),
            false => Err(Status::ERROR_NOT_READY),
        }
    })
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuStreamWaitEvent(stream: usize, event: usize, flags: c_uint) -> c_int {
    call(|| {
        let stream = stream::of(stream)?;
        let (event, _) = event::usable(event)?;
        faults::check(Class::Wait)?;
        // An event of another kind is recorded and awaited differently only in captured graphs.
        if flags > 1 {
            return Err(Status::ERROR_INVALID_VALUE);
        }
        event.awaited_by(&stream)
    })
}

/// A pointer of the program's, which its own function gets on another thread.
struct Passed(*mut c_void);

// SAFETY: the program asked for it to be passed.
unsafe impl Send for Passed {}

impl Passed {
    fn get(&self) -> *mut c_void {
        self.0
    }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuLaunchHostFunc(
    stream: usize,
    function: Option<unsafe extern "C" fn(*mut c_void)>,
    data: *mut c_void,
) -> c_int {
    call(|| {
        let stream = stream::of(stream)?;
        faults::check(Class::Host)?;
        let function = function.ok_or(Status::ERROR_INVALID_VALUE)?;
        let data = Passed(data);
        stream.enqueue(move |_| {
            IN_HOST_FUNCTION.set(true);
            // SAFETY: as the caller of the driver said.
            unsafe { function(data.get()) };
            IN_HOST_FUNCTION.set(false);
            Ok(())
        })
    })
}

pub type Callback = unsafe extern "C" fn(usize, c_int, *mut c_void);

#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuStreamAddCallback(
    stream: usize,
    callback: Option<Callback>,
    data: *mut c_void,
    flags: c_uint,
) -> c_int {
    call(|| {
        let named = stream;
        let stream = stream::of(stream)?;
        faults::check(Class::Host)?;
        let callback = callback
            .filter(|_| flags == 0)
            .ok_or(Status::ERROR_INVALID_VALUE)?;
        let data = Passed(data);
        let calls = Work::Always(Box::new(move |status| {
            IN_HOST_FUNCTION.set(true);
            // SAFETY: as the caller of the driver said.
            unsafe { callback(named, status.0, data.get()) };
            IN_HOST_FUNCTION.set(false);
        }));
        stream.submit(Vec::new(), calls)
    })
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuStreamGetCtx(stream: usize, context: *mut usize) -> c_int {
    // SAFETY: as the caller says.
    call(|| unsafe { give(context, stream::of(stream)?.context()?.handle) })
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuStreamGetFlags(stream: usize, flags: *mut c_uint) -> c_int {
    // SAFETY: as the caller says.
    call(|| unsafe { give(flags, stream::of(stream)?.flags) })
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuStreamGetPriority(stream: usize, priority: *mut c_int) -> c_int {
    // SAFETY: as the caller says.
    call(|| unsafe { give(priority, stream::of(stream)?.priority) })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn cuStreamGetId(stream: usize, id: *mut u64) -> c_int {
    // SAFETY: as the caller says.
    call(|| unsafe { give(id, stream::of(stream)?.id) })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn cuStreamGetDevice(stream: usize, device: *mut c_int) -> c_int {
    call(|| {
        let index = stream::of(stream)?.context()?.device.index;
        let ordinal = machine()?.ordinal(index).ok_or(Status::ERROR_INVALID_DEVICE)?;
        // SAFETY: as the caller says.
        unsafe { give(device, ordinal) }
    })
}

/// Streams are never captured.
#[unsafe(no_mangle)]
unsafe extern "C" fn cuStreamIsCapturing(stream: usize, status: *mut c_uint) -> c_int {
    call(|| {
        stream::of(stream)?;
        // SAFETY: as the caller says.
        unsafe { give(status, 0) }
    })
}

/// Managed memory is reachable from everywhere whatever it is attached to.
#[unsafe(no_mangle)]
unsafe extern "C" fn cuStreamAttachMemAsync(
    stream: usize,
    _address: u64,
    _bytes: usize,
    _flags: c_uint,
) -> c_int {
    call(|| stream::of(stream).map(drop))
}
