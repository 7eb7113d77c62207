//! Access of devices to each other's memory.

use std::ffi::{c_int, c_uint};

use super::{call, give};
use crate::driver::context::{self, Context};
use crate::driver::faults::{self, Class};
use crate::driver::machine::machine;
use crate::driver::status::Status;

#[unsafe(no_mangle)]
unsafe extern "C" fn cuDeviceCanAccessPeer(can: *mut c_int, device: c_int, peer: c_int) -> c_int {
    call(|| {
        let machine = machine()?;
        let (device, peer) = (machine.device(device)?, machine.device(peer)?);
        // SAFETY: as the caller says.
        unsafe { give(can, (machine.settings.peer && device.index != peer.index).into()) }
    })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn cuDeviceGetP2PAttribute(
    value: *mut c_int,
    attribute: c_uint,
    device: c_int,
    peer: c_int,
) -> c_int {
    const ACCESS_SUPPORTED: c_uint = 2;
    const LAST: c_uint = 4;
    call(|| {
        let machine = machine()?;
        let (device, peer) = (machine.device(device)?, machine.device(peer)?);
        if device.index == peer.index {
            return Err(Status::ERROR_INVALID_DEVICE);
        }
        if !(1..=LAST).contains(&attribute) {
            return Err(Status::ERROR_INVALID_VALUE);
        }
        // SAFETY: as the caller says.
        unsafe {
            give(
                value,
                (machine.settings.peer && attribute == ACCESS_SUPPORTED).into(),
            )
        }
    })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn cuCtxEnablePeerAccess(peer: usize, flags: c_uint) -> c_int {
    call(|| {
        let context = context::current()?;
        faults::check(Class::Peer)?;
        let peer = Context::of(peer)?.device.index;
        if flags != 0 {
            return Err(Status::ERROR_INVALID_VALUE);
        }
        if peer == context.device.index {
            return Err(Status::ERROR_INVALID_CONTEXT);
        }
        if !machine()?.settings.peer {
            return Err(Status::ERROR_PEER_ACCESS_UNSUPPORTED);
        }
        match context.enable_peer(peer) {
            true => Ok(()),
            false => Err(Status::ERROR_PEER_ACCESS_ALREADY_ENABLED),
        }
    })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn cuCtxDisablePeerAccess(peer: usize) -> c_int {
    call(|| {
        let context = context::current()?;
        match context.disable_peer(Context::of(peer)?.device.index) {
            true => Ok(()),
            false => Err(Status::ERROR_PEER_ACCESS_NOT_ENABLED),
        }
    })
}
