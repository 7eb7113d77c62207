//! The few functions of NVML, NVIDIA's management library, that message-passing libraries call.

use std::ffi::{CStr, c_char, c_int, c_uint};

use super::api::devices::{NAME, bus, bus_id};
use super::machine::{self, Device, machine};
use super::status::Status;

const SUCCESS: c_int = 0;
const UNINITIALIZED: c_int = 1;
const INVALID_ARGUMENT: c_int = 2;
const NOT_SUPPORTED: c_int = 3;
const INSUFFICIENT_SIZE: c_int = 7;
const DRIVER_NOT_LOADED: c_int = 9;

type Result<T = ()> = std::result::Result<T, c_int>;

fn call(body: impl FnOnce() -> Result) -> c_int {
    body().err().unwrap_or(SUCCESS)
}

/// Devices are numbered from 1, so that none of them is null; all of the machine's are visible here.
fn device(handle: usize) -> Result<&'static Device> {
    let devices = &machine().map_err(|_| UNINITIALIZED)?.devices;
    handle
        .checked_sub(1)
        .and_then(|index| devices.get(index))
        .ok_or(INVALID_ARGUMENT)
}

/// # Safety
/// The pointer is null or valid for writes.
unsafe fn give<T>(place: *mut T, value: T) -> Result {
    if place.is_null() {
        return Err(INVALID_ARGUMENT);
    }
    // SAFETY: not null, so valid.
    unsafe { place.write(value) };
    Ok(())
}

/// # Safety
/// The pointer is null or valid for that many bytes.
unsafe fn give_string(place: *mut c_char, room: c_uint, text: &str) -> Result {
    if place.is_null() {
        return Err(INVALID_ARGUMENT);
    }
    if text.len() >= room as usize {
        return Err(INSUFFICIENT_SIZE);
    }
    // SAFETY: the text and its end fit.
    unsafe {
        std::ptr::copy_nonoverlapping(text.as_ptr().cast(), place, text.len());
        place.add(text.len()).write(0);
    }
    Ok(())
}

#[unsafe(no_mangle)]
extern "C" fn nvmlInit_v2() -> c_int {
    call(|| match machine::initialize() {
        Ok(()) | Err(Status::ERROR_NO_DEVICE) => Ok(()),
        Err(_) => Err(DRIVER_NOT_LOADED),
    })
}

#[unsafe(no_mangle)]
extern "C" fn nvmlInit() -> c_int {
    nvmlInit_v2()
}

#[unsafe(no_mangle)]
extern "C" fn nvmlInitWithFlags(_flags: c_uint) -> c_int {
    nvmlInit_v2()
}

#[unsafe(no_mangle)]
extern "C" fn nvmlShutdown() -> c_int {
    SUCCESS
}

#[unsafe(no_mangle)]
extern "C" fn nvmlErrorString(result: c_int) -> *const c_char {
    let text: &CStr = match result {
        SUCCESS => c"Success",
        UNINITIALIZED => c"Uninitialized",
        INVALID_ARGUMENT => c"Invalid Argument",
        NOT_SUPPORTED => c"Not Supported",
        INSUFFICIENT_SIZE => c"Insufficient Size",
        DRIVER_NOT_LOADED => c"Driver Not Loaded",
        _ => c"Unknown Error",
    };
    text.as_ptr()
}

#[unsafe(no_mangle)]
unsafe extern "C" fn nvmlDeviceGetCount_v2(count: *mut c_uint) -> c_int {
    call(|| {
        let devices = machine().map_err(|_| UNINITIALIZED)?.devices.len();
        // SAFETY: as the caller says.
        unsafe { give(count, devices as c_uint) }
    })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn nvmlDeviceGetHandleByIndex_v2(index: c_uint, handle: *mut usize) -> c_int {
    call(|| {
        device(index as usize + 1)?;
        // SAFETY: as the caller says.
        unsafe { give(handle, index as usize + 1) }
    })
}

/// # Safety
/// The pointers are null or valid, the text one to a string.
unsafe fn find(text: *const c_char, handle: *mut usize, is_it: impl Fn(&Device, &str) -> bool) -> Result {
    if text.is_null() {
        return Err(INVALID_ARGUMENT);
    }
    // SAFETY: not null, so a string.
    let text = unsafe { CStr::from_ptr(text) }
        .to_str()
        .map_err(|_| INVALID_ARGUMENT)?;
    let devices = &machine().map_err(|_| UNINITIALIZED)?.devices;
    let index = devices
        .iter()
        .position(|device| is_it(device, text))
        .ok_or(INVALID_ARGUMENT)?;
    // SAFETY: as the caller says.
    unsafe { give(handle, index + 1) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn nvmlDeviceGetHandleByUUID(uuid: *const c_char, handle: *mut usize) -> c_int {
    // SAFETY: as the caller says.
    call(|| unsafe { find(uuid, handle, |device, text| device.uuid_text() == text) })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn nvmlDeviceGetHandleByPciBusId_v2(id: *const c_char, handle: *mut usize) -> c_int {
    // The domain has eight digits in NVML and four in CUDA; either is understood.
    // SAFETY: as the caller says.
    call(|| unsafe {
        find(id, handle, |device, text| {
            text.to_uppercase().ends_with(&bus_id(device)[4..])
        })
    })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn nvmlDeviceGetIndex(handle: usize, index: *mut c_uint) -> c_int {
    // SAFETY: as the caller says.
    call(|| unsafe { give(index, device(handle)?.index as c_uint) })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn nvmlDeviceGetUUID(handle: usize, uuid: *mut c_char, room: c_uint) -> c_int {
    // SAFETY: as the caller says.
    call(|| unsafe { give_string(uuid, room, &device(handle)?.uuid_text()) })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn nvmlDeviceGetName(handle: usize, name: *mut c_char, room: c_uint) -> c_int {
    // SAFETY: as the caller says.
    call(|| unsafe { give_string(name, room, &format!("{NAME} {}", device(handle)?.index)) })
}

/// `nvmlPciInfo_t`.
#[repr(C)]
struct PciInfo {
    legacy_bus_id: [u8; 16],
    domain: c_uint,
    bus: c_uint,
    device: c_uint,
    device_and_vendor: c_uint,
    subsystem: c_uint,
    bus_id: [u8; 32],
}

#[unsafe(no_mangle)]
unsafe extern "C" fn nvmlDeviceGetPciInfo_v3(handle: usize, info: *mut PciInfo) -> c_int {
    const VENDOR: c_uint = 0x10de;
    call(|| {
        let device = device(handle)?;
        let mut found = PciInfo {
            legacy_bus_id: [0; 16],
            domain: 0,
            bus: bus(device),
            device: 0,
            device_and_vendor: VENDOR,
            subsystem: 0,
            bus_id: [0; 32],
        };
        let id = bus_id(device);
        found.legacy_bus_id[..id.len()].copy_from_slice(id.as_bytes());
        let long = format!("0000{id}");
        found.bus_id[..long.len()].copy_from_slice(long.as_bytes());
        // SAFETY: as the caller says.
        unsafe { give(info, found) }
    })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn nvmlDeviceGetP2PStatus(
    first: usize,
    second: usize,
    _capability: c_uint,
    status: *mut c_uint,
) -> c_int {
    const OK: c_uint = 0;
    const DISABLED: c_uint = 4;
    call(|| {
        device(first)?;
        device(second)?;
        let peer = machine().map_err(|_| UNINITIALIZED)?.settings.peer;
        // SAFETY: as the caller says.
        unsafe { give(status, if peer { OK } else { DISABLED }) }
    })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn nvmlDeviceGetCudaComputeCapability(
    handle: usize,
    major: *mut c_int,
    minor: *mut c_int,
) -> c_int {
    call(|| {
        device(handle)?;
        let (of_major, of_minor) = machine().map_err(|_| UNINITIALIZED)?.settings.compute_capability;
        // SAFETY: as the caller says.
        unsafe {
            give(major, of_major as c_int)?;
            give(minor, of_minor as c_int)
        }
    })
}

macro_rules! unsupported {
    ($($name:ident)*) => {$(
        #[unsafe(no_mangle)]
        extern "C" fn $name() -> c_int {
            NOT_SUPPORTED
        }
    )*};
}

unsupported! {
    nvmlDeviceGetCpuAffinity nvmlDeviceGetFieldValues nvmlDeviceGetGpuFabricInfo nvmlDeviceGetGpuFabricInfoV
    nvmlDeviceGetMaxPcieLinkGeneration nvmlDeviceGetMaxPcieLinkWidth nvmlDeviceGetMigMode
    nvmlDeviceGetNvLinkCapability nvmlDeviceGetNvLinkRemotePciInfo nvmlDeviceGetNvLinkRemotePciInfo_v2
    nvmlDeviceGetNvLinkState nvmlDeviceGetNvLinkVersion nvmlDeviceGetTopologyCommonAncestor
}
