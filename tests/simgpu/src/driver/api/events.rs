//! `cuEvent…`: events.

use std::ffi::{c_int, c_uint};

use super::{call, give};
use crate::driver::context;
use crate::driver::event;
use crate::driver::faults::{self, Class};
use crate::driver::status::{Result, Status};
use crate::driver::stream;

#[unsafe(no_mangle)]
unsafe extern "C" fn cuEventCreate(event: *mut usize, flags: c_uint) -> c_int {
    call(|| {
        let context = context::current()?;
        faults::check(Class::Event)?;
        // SAFETY: as the caller says.
        unsafe { give(event, event::create(&context, flags)?.handle) }
    })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn cuEventDestroy_v2(event: usize) -> c_int {
    call(|| {
        context::current_or_failed()?;
        event::destroy(event)
    })
}

fn record(event: usize, stream: usize) -> Result {
    let (event, _) = event::usable(event)?;
    let stream = stream::of(stream)?;
    faults::check(Class::Record)?;
    event.record(&stream)
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuEventRecord(event: usize, stream: usize) -> c_int {
    call(|| record(event, stream))
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuEventRecordWithFlags(event: usize, stream: usize, flags: c_uint) -> c_int {
    call(|| match flags {
        0 | 1 => record(event, stream),
        _ => Err(Status::ERROR_INVALID_VALUE),
    })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn cuEventQuery(event: usize) -> c_int {
    call(|| {
        let (event, context) = event::usable(event)?;
        faults::check(Class::Synchronize)?;
        match event.last().is_none_or(|moment| moment.has_passed()) {
            true => context.check(),
            false => Err(Status::ERROR_NOT_READY),
        }
    })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn cuEventSynchronize(event: usize) -> c_int {
    call(|| {
        let (event, context) = event::usable(event)?;
        faults::check(Class::Synchronize)?;
        stream::note_wait();
        if let Some(moment) = event.last()
            && let Err(failure) = moment.wait()
        {
            context.fail(&failure);
        }
        context.check()
    })
}

fn elapsed(start: usize, end: usize) -> Result<f32> {
    let (start, _) = event::usable(start)?;
    let (end, _) = event::usable(end)?;
    end.elapsed_since(&start)
}

#[unsafe(no_mangle)]
unsafe extern "C" fn cuEventElapsedTime(milliseconds: *mut f32, start: usize, end: usize) -> c_int {
    // SAFETY: as the caller says.
    call(|| unsafe { give(milliseconds, elapsed(start, end)?) })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn cuEventElapsedTime_v2(milliseconds: *mut f32, start: usize, end: usize) -> c_int {
    // SAFETY: as the caller says.
    call(|| unsafe { give(milliseconds, elapsed(start, end)?) })
}
