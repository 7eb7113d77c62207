//! `cuCtx…`: contexts.

use std::ffi::{c_int, c_uint};
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, PoisonError};

use super::general::VERSION;
use super::{call, give, offer};
use crate::driver::context::{self, Context};
use crate::driver::faults::{self, Class};
use crate::driver::machine::machine;
use crate::driver::status::{Result, Status};
use crate::driver::stream;

fn create(flags: c_uint, device: c_int) -> Result<usize> {
    let device = machine()?.device(device)?;
    faults::check(Class::Context)?;
    let context = Context::new(device, None, flags)?;
    context::push(context.handle)?;
    Ok(context.handle)
}

#[unsafe(no_mangle)]
unsafe extern "C" fn cuCtxCreate_v2(context: *mut usize, flags: c_uint, device: c_int) -> c_int {
    // SAFETY: as the caller says.
    call(|| unsafe { give(context, create(flags, device)?) })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn cuCtxCreate_v3(
    context: *mut usize,
    affinities: usize,
    count: c_int,
    flags: c_uint,
    device: c_int,
) -> c_int {
    call(|| {
        if affinities != 0 || count != 0 {
            return Err(Status::ERROR_NOT_SUPPORTED);
        }
        // SAFETY: as the caller says.
        unsafe { give(context, create(flags, device)?) }
    })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn cuCtxCreate_v4(
    context: *mut usize,
    parameters: usize,
    flags: c_uint,
    device: c_int,
) -> c_int {
    call(|| {
        if parameters != 0 {
            return Err(Status::ERROR_NOT_SUPPORTED);
        }
        // SAFETY: as the caller says.
        unsafe { give(context, create(flags, device)?) }
    })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn cuCtxDestroy_v2(handle: usize) -> c_int {
    call(|| {
        let context = Context::of(handle)?;
        let primary = context
            .device
            .primary
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if primary
            .context
            .as_ref()
            .is_some_and(|primary| Arc::ptr_eq(primary, &context))
        {
            return Err(Status::ERROR_INVALID_CONTEXT);
        }
        drop(primary);
        context.destroy();
        if context::current_handle() == handle {
            context::pop()?;
        }
        Ok(())
    })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn cuCtxGetCurrent(context: *mut usize) -> c_int {
    call(|| {
        machine()?;
        // SAFETY: as the caller says.
        unsafe { give(context, context::current_handle()) }
    })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn cuCtxSetCurrent(context: usize) -> c_int {
    call(|| {
        machine()?;
        if context != 0 {
            Context::of(context)?;
        }
        context::set_current(context);
        Ok(())
    })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn cuCtxPushCurrent_v2(context: usize) -> c_int {
    call(|| {
        Context::of(context)?;
        context::push(context)
    })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn cuCtxPopCurrent_v2(context: *mut usize) -> c_int {
    call(|| {
        machine()?;
        let popped = context::pop()?;
        // SAFETY: as the caller says.
        unsafe { offer(context, popped) };
        Ok(())
    })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn cuCtxSynchronize() -> c_int {
    call(|| {
        let context = context::current()?;
        faults::check(Class::Synchronize)?;
        stream::note_wait();
        context.wait();
        context.check()
    })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn cuCtxGetApiVersion(context: usize, version: *mut c_uint) -> c_int {
    call(|| {
        match context {
            0 => drop(context::current_or_failed()?),
            handle => drop(Context::of(handle)?),
        }
        // SAFETY: as the caller says.
        unsafe { give(version, VERSION as c_uint) }
    })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn cuCtxGetId(context: usize, id: *mut u64) -> c_int {
    call(|| {
        let context = match context {
            0 => context::current_or_failed()?,
            handle => Context::of(handle)?,
        };
        // SAFETY: as the caller says.
        unsafe { give(id, context.handle as u64) }
    })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn cuCtxGetFlags(flags: *mut c_uint) -> c_int {
    // SAFETY: as the caller says.
    call(|| unsafe { give(flags, context::current()?.flags.load(Relaxed)) })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn cuCtxSetFlags(flags: c_uint) -> c_int {
    call(|| {
        context::current()?.flags.store(flags, Relaxed);
        Ok(())
    })
}

/// The limits that this simulator takes, with what they are at first.
const LIMITS: [(u32, usize); 3] = [(0, 1024), (1, 1 << 20), (2, 8 << 20)];

#[unsafe(no_mangle)]
unsafe extern "C" fn cuCtxGetLimit(value: *mut usize, limit: c_uint) -> c_int {
    call(|| {
        let context = context::current()?;
        let first = LIMITS.iter().find(|(known, _)| *known == limit);
        let (_, first) = first.ok_or(Status::ERROR_UNSUPPORTED_LIMIT)?;
        let limits = context.limits.lock().unwrap_or_else(PoisonError::into_inner);
        // SAFETY: as the caller says.
        unsafe { give(value, limits.get(&limit).copied().unwrap_or(*first)) }
    })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn cuCtxSetLimit(limit: c_uint, value: usize) -> c_int {
    call(|| {
        let context = context::current()?;
        if LIMITS.iter().all(|(known, _)| *known != limit) {
            return Err(Status::ERROR_UNSUPPORTED_LIMIT);
        }
        context
            .limits
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(limit, value);
        Ok(())
    })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn cuCtxGetCacheConfig(configuration: *mut c_uint) -> c_int {
    call(|| {
        context::current()?;
        // SAFETY: as the caller says.
        unsafe { give(configuration, 0) }
    })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn cuCtxSetCacheConfig(_configuration: c_uint) -> c_int {
    call(|| context::current().map(drop))
}

#[unsafe(no_mangle)]
unsafe extern "C" fn cuCtxGetStreamPriorityRange(least: *mut c_int, greatest: *mut c_int) -> c_int {
    call(|| {
        context::current()?;
        // SAFETY: as the caller says.
        unsafe {
            offer(least, 0);
            offer(greatest, super::streams::GREATEST_PRIORITY);
        }
        Ok(())
    })
}
