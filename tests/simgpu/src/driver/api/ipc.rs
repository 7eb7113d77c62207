//! `cuIpc…`: memory and events that processes share.

use std::ffi::{c_int, c_uint};

use super::{call, give};
use crate::driver::faults::{self, Class};
use crate::driver::ipc::{self, Handle};
use crate::driver::status::Status;
use crate::driver::{context, event};

#[unsafe(no_mangle)]
unsafe extern "C" fn cuIpcGetMemHandle(handle: *mut Handle, address: u64) -> c_int {
    call(|| {
        context::current()?;
        faults::check(Class::IpcGet)?;
        // SAFETY: as the caller says.
        unsafe { give(handle, ipc::export(address)?) }
    })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn cuIpcOpenMemHandle_v2(address: *mut u64, handle: Handle, flags: c_uint) -> c_int {
    const LAZY_ENABLE_PEER_ACCESS: c_uint = 1;
    call(|| {
        let context = context::current()?;
        faults::check(Class::IpcOpen)?;
        if flags != LAZY_ENABLE_PEER_ACCESS {
            return Err(Status::ERROR_INVALID_VALUE);
        }
        // SAFETY: as the caller says.
        unsafe { give(address, ipc::open_memory(&context, &handle)?) }
    })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn cuIpcCloseMemHandle(address: u64) -> c_int {
    call(|| {
        let current = context::current_or_failed()?;
        ipc::close_memory(address)?;
        current.check()
    })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn cuIpcGetEventHandle(handle: *mut Handle, event: usize) -> c_int {
    call(|| {
        let (event, _) = event::usable(event)?;
        faults::check(Class::IpcGet)?;
        // SAFETY: as the caller says.
        unsafe { give(handle, ipc::export_event(&event)?) }
    })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn cuIpcOpenEventHandle(event: *mut usize, handle: Handle) -> c_int {
    call(|| {
        let context = context::current()?;
        faults::check(Class::IpcOpen)?;
        // SAFETY: as the caller says.
        unsafe { give(event, ipc::open_event(&context, &handle)?.handle) }
    })
}
