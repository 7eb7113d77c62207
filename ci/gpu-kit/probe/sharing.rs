//! Whether another process can use memory and events of this one, and what that costs. A handle cannot be opened by the
//! process that made it, so that this program starts itself as the other one.

use std::ffi::c_char;
use std::process::Command;
use std::sync::Arc;

use clap::Args;
use serde::{Deserialize, Serialize};
use warpcomm::cudarc::driver::sys::CUevent_flags::{CU_EVENT_DISABLE_TIMING, CU_EVENT_INTERPROCESS};
use warpcomm::cudarc::driver::{CudaContext, CudaStream, DriverError, result, sys};

use crate::Failure;
use crate::found::Found;
use crate::timing::{median, seconds};

/// What is written into memory by the process that has it, and read by the other.
const PATTERN: [u8; 64] = [0xa5; 64];

/// How often what can be repeated is timed.
const TIMES: usize = 100;

/// What this process gives the other one.
#[derive(Args)]
pub struct Handle {
    ordinal: usize,
    hexadecimal: String,
}

#[derive(Serialize)]
pub struct Sharing {
    /// Of `cuMemAlloc`.
    pub plain_memory: Found<Memory>,
    /// Of `cuMemAllocAsync`.
    pub pool_memory: Found<Memory>,
    pub event: Found<Event>,
}

/// Seconds, each measured once.
#[derive(Serialize, Deserialize)]
pub struct Memory {
    pub open_seconds: f64,
    pub close_seconds: f64,
}

#[derive(Serialize)]
pub struct Event {
    /// Created and made a handle of, once.
    pub export_seconds: f64,
    pub record_seconds: f64,
    /// What the other process has measured.
    pub other: OtherEvent,
}

#[derive(Serialize, Deserialize)]
pub struct OtherEvent {
    /// Once.
    pub open_seconds: f64,
    pub query_seconds: f64,
    /// A stream is made to wait for the event, which has happened, and waited for.
    pub wait_seconds: f64,
}

pub fn of(context: &Arc<CudaContext>, has_memory_pools: bool) -> Result<Sharing, Failure> {
    let stream = context.new_stream()?;
    Ok(Sharing {
        plain_memory: Found::new(share_plain(context)),
        pool_memory: Found::new(match has_memory_pools {
            true => share_pool(context, &stream),
            false => Err("the GPU has no memory pools".into()),
        }),
        event: Found::new(share_event(context, &stream)),
    })
}

fn share_plain(context: &CudaContext) -> Result<Memory, Failure> {
    // SAFETY: of no other condition; freed below.
    let memory = unsafe { result::malloc_sync(PATTERN.len()) }?;
    let outcome = share(context, memory);
    // SAFETY: allocated above, and no longer used: the other process has ended.
    unsafe { result::free_sync(memory) }?;
    outcome
}

fn share_pool(context: &CudaContext, stream: &CudaStream) -> Result<Memory, Failure> {
    // SAFETY: the stream is there; freed below.
    let memory = unsafe { result::malloc_async(stream.cu_stream(), PATTERN.len()) }?;
    stream.synchronize()?;
    let outcome = share(context, memory);
    // SAFETY: allocated above, and no longer used: the other process has ended.
    unsafe { result::free_async(memory, stream.cu_stream()) }?;
    outcome
}

/// Has another process read this one's memory.
fn share(context: &CudaContext, memory: sys::CUdeviceptr) -> Result<Memory, Failure> {
    // SAFETY: as many bytes as were allocated.
    unsafe { result::memcpy_htod_sync(memory, &PATTERN) }?;
    let mut handle = sys::CUipcMemHandle { reserved: [0; 64] };
    // SAFETY: writes the handle of the memory that was allocated.
    let made = unsafe { sys::cuIpcGetMemHandle(&mut handle, memory) }.result();
    made.map_err(|error| format!("no handle is made of it: {error}"))?;
    in_other_process("memory", context, &handle.reserved)
}

/// Reads another process's memory.
pub fn open_memory(handle: &Handle) -> Result<(), Failure> {
    let _context = CudaContext::new(handle.ordinal)?;
    let bytes = sys::CUipcMemHandle {
        reserved: bytes(&handle.hexadecimal)?,
    };
    let (mut memory, lazily) = (0, sys::CUipcMem_flags::CU_IPC_MEM_LAZY_ENABLE_PEER_ACCESS);
    let open_seconds = seconds(|| {
        // SAFETY: writes one address.
        Ok(unsafe { sys::cuIpcOpenMemHandle_v2(&mut memory, bytes, lazily as u32) }.result()?)
    })?;
    let mut read = [0; PATTERN.len()];
    // SAFETY: as many bytes as the other process has allocated.
    let copied: Result<(), DriverError> = unsafe { result::memcpy_dtoh_sync(&mut read, memory) };
    let close_seconds = seconds(|| {
        // SAFETY: opened above, and no longer used.
        Ok(unsafe { sys::cuIpcCloseMemHandle(memory) }.result()?)
    })?;
    copied?;
    if read != PATTERN {
        return Err("the other process reads something else".into());
    }
    let memory = Memory {
        open_seconds,
        close_seconds,
    };
    println!("{}", serde_json::to_string(&memory)?);
    Ok(())
}

fn share_event(context: &Arc<CudaContext>, stream: &CudaStream) -> Result<Event, Failure> {
    let mut exported = None;
    let flags = CU_EVENT_INTERPROCESS as u32 | CU_EVENT_DISABLE_TIMING as u32;
    let mut event = std::ptr::null_mut();
    let mut handle = sys::CUipcEventHandle { reserved: [0; 64] };
    let export_seconds = seconds(|| {
        // SAFETY: writes the event and its handle; the first is there before the second is asked for.
        unsafe {
            sys::cuEventCreate(&mut event, flags).result()?;
            exported = Some(sys::cuIpcGetEventHandle(&mut handle, event).result());
        }
        Ok(())
    })?;
    let share = || -> Result<Event, Failure> {
        exported
            .unwrap_or(Ok(()))
            .map_err(|error| format!("no handle is made of it: {error}"))?;
        // SAFETY: both are there.
        let record_seconds = median(TIMES, || unsafe {
            Ok(result::event::record(event, stream.cu_stream())?)
        })?;
        stream.synchronize()?;
        Ok(Event {
            export_seconds,
            record_seconds,
            other: in_other_process("event", context, &handle.reserved)?,
        })
    };
    let outcome = share();
    // SAFETY: created above, and no longer used: the other process has ended.
    unsafe { result::event::destroy(event) }?;
    outcome
}

/// Uses another process's event.
pub fn open_event(handle: &Handle) -> Result<(), Failure> {
    let context = CudaContext::new(handle.ordinal)?;
    let stream = context.new_stream()?;
    let bytes = sys::CUipcEventHandle {
        reserved: bytes(&handle.hexadecimal)?,
    };
    let mut event = std::ptr::null_mut();
    let open_seconds = seconds(|| {
        // SAFETY: writes one event.
        Ok(unsafe { sys::cuIpcOpenEventHandle(&mut event, bytes) }.result()?)
    })?;
    let measure = || -> Result<OtherEvent, Failure> {
        // SAFETY: the event was opened above.
        let query_seconds = median(TIMES, || Ok(unsafe { result::event::query(event) }?))?;
        let wait_seconds = median(TIMES, || {
            let default = sys::CUevent_wait_flags::CU_EVENT_WAIT_DEFAULT;
            // SAFETY: both are there.
            unsafe { result::stream::wait_event(stream.cu_stream(), event, default) }?;
            Ok(stream.synchronize()?)
        })?;
        Ok(OtherEvent {
            open_seconds,
            query_seconds,
            wait_seconds,
        })
    };
    let measured = measure();
    // SAFETY: opened above, and no longer used: the stream was waited for.
    unsafe { result::event::destroy(event) }?;
    println!("{}", serde_json::to_string(&measured?)?);
    Ok(())
}

/// Starts this program as the other process; what that prints, or says on its way out.
fn in_other_process<T: for<'a> Deserialize<'a>>(
    part: &str,
    context: &CudaContext,
    handle: &[c_char],
) -> Result<T, Failure> {
    let other = Command::new(std::env::current_exe()?)
        .args([part, &context.ordinal().to_string(), &hexadecimal(handle)])
        .output()?;
    match other.status.success() {
        true => Ok(serde_json::from_slice(&other.stdout)?),
        false => Err(String::from_utf8_lossy(&other.stderr).trim().to_owned().into()),
    }
}

pub fn hexadecimal(bytes: &[c_char]) -> String {
    bytes.iter().map(|&byte| format!("{:02x}", byte as u8)).collect()
}

fn bytes(hexadecimal: &str) -> Result<[c_char; 64], Failure> {
    let mut bytes = [0; 64];
    for (at, byte) in bytes.iter_mut().enumerate() {
        let digits = hexadecimal.get(2 * at..2 * at + 2).ok_or("half a handle")?;
        *byte = u8::from_str_radix(digits, 16)? as c_char;
    }
    Ok(bytes)
}
