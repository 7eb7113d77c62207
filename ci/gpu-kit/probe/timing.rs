//! What calls of the driver cost on one GPU, and how fast it copies: medians.

use std::ffi::c_void;
use std::sync::Arc;
use std::time::Instant;

use serde::Serialize;
use warpcomm::cudarc::driver::sys::CUevent_flags::CU_EVENT_DEFAULT;
use warpcomm::cudarc::driver::{CudaContext, CudaSlice, CudaStream, DevicePtr, LaunchConfig, result, sys};
use warpcomm::cudarc::nvrtc::Ptx;

use crate::Failure;
use crate::found::Found;

const KIB: usize = 1 << 10;
const MIB: usize = 1 << 20;

/// A kernel that does nothing.
const NOTHING: &str =
    ".version 8.0\n.target sm_70\n.address_size 64\n.visible .entry nothing()\n{\n\tret;\n}\n";

/// How often a call is timed.
const CALLS: usize = 200;

/// How often a bandwidth is measured, and with how many copies each time.
const RUNS: usize = 15;
const COPIES: usize = 4;

#[derive(Serialize)]
pub struct Timing {
    pub calls: Calls,
    pub pinned: Pinned,
    pub copies: Vec<Copy>,
}

/// Seconds of one call.
#[derive(Serialize)]
pub struct Calls {
    /// A kernel is put into a stream.
    pub launch: f64,
    /// A kernel is put into a stream, which is waited for.
    pub launch_and_synchronize: f64,
    /// A stream with nothing in it is waited for.
    pub synchronize: f64,
    pub event_record: f64,
    pub event_query: f64,
    /// 8 bytes are copied to page-locked memory, and waited for.
    pub small_copy_down: f64,
}

/// Bytes per second between the GPU and page-locked memory.
#[derive(Serialize)]
pub struct Pinned {
    pub bytes: usize,
    pub down: f64,
    pub up: f64,
    /// Down and up at the same time, of both together.
    pub both: f64,
}

/// A copy within the memory of the GPU.
#[derive(Serialize)]
pub struct Copy {
    pub bytes: usize,
    pub found: Found<Speed>,
}

#[derive(Serialize)]
pub struct Speed {
    pub seconds: f64,
    /// Read and written.
    pub bytes_per_second: f64,
}

/// How long something takes.
pub fn seconds(what: impl FnOnce() -> Result<(), Failure>) -> Result<f64, Failure> {
    let start = Instant::now();
    what()?;
    Ok(start.elapsed().as_secs_f64())
}

/// The median of how long something takes, after a first time that does not count.
pub fn median(times: usize, mut what: impl FnMut() -> Result<(), Failure>) -> Result<f64, Failure> {
    what()?;
    let mut all: Vec<f64> = (0..times).map(|_| seconds(&mut what)).collect::<Result<_, _>>()?;
    Ok(middle(&mut all))
}

fn middle(times: &mut [f64]) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

pub fn of(context: &Arc<CudaContext>, is_simulated: bool) -> Result<Timing, Failure> {
    let stream = context.new_stream()?;
    // Copies of a simulated GPU are those of the host, and show only that they work.
    let (piece, sizes): (usize, &[usize]) = match is_simulated {
        true => (MIB, &[64 * KIB, MIB]),
        false => (
            64 * MIB,
            &[64 * KIB, MIB, 4 * MIB, 16 * MIB, 64 * MIB, 256 * MIB, 1024 * MIB],
        ),
    };
    Ok(Timing {
        calls: calls(context, &stream)?,
        pinned: pinned(context, &stream, piece)?,
        copies: sizes
            .iter()
            .map(|&bytes| Copy {
                bytes,
                found: Found::new(copy(&stream, bytes)),
            })
            .collect(),
    })
}

fn calls(context: &Arc<CudaContext>, stream: &Arc<CudaStream>) -> Result<Calls, Failure> {
    let nothing = context
        .load_module(Ptx::from_src(NOTHING))?
        .load_function("nothing")?;
    let one = LaunchConfig {
        grid_dim: (1, 1, 1),
        block_dim: (1, 1, 1),
        shared_mem_bytes: 0,
    };
    let launch = || -> Result<(), Failure> {
        // SAFETY: the kernel has no parameters and does nothing.
        unsafe { stream.launch_builder(&nothing).launch(one) }?;
        Ok(())
    };
    let event = context.new_event(None)?;
    let mut calls = Calls {
        launch_and_synchronize: median(CALLS, || {
            launch()?;
            Ok(stream.synchronize()?)
        })?,
        launch: median(CALLS, launch)?,
        synchronize: 0.0,
        event_record: 0.0,
        event_query: 0.0,
        small_copy_down: small_copy_down(stream)?,
    };
    stream.synchronize()?;
    calls.synchronize = median(CALLS, || Ok(stream.synchronize()?))?;
    calls.event_record = median(CALLS, || Ok(event.record(stream)?))?;
    stream.synchronize()?;
    calls.event_query = median(CALLS, || Ok(event.try_is_complete().map(drop)?))?;
    Ok(calls)
}

fn small_copy_down(stream: &Arc<CudaStream>) -> Result<f64, Failure> {
    let from = stream.alloc_zeros::<u8>(8)?;
    let mut to = Locked::new(8)?;
    median(CALLS, || {
        to.copy_from(&from, stream)?;
        Ok(stream.synchronize()?)
    })
}

fn pinned(context: &Arc<CudaContext>, downwards: &Arc<CudaStream>, bytes: usize) -> Result<Pinned, Failure> {
    let upwards = context.new_stream()?;
    let (mut landing, start) = (Locked::new(bytes)?, Locked::new(bytes)?);
    let from = downwards.alloc_zeros::<u8>(bytes)?;
    let mut to = upwards.alloc_zeros::<u8>(bytes)?;
    downwards.synchronize()?;
    upwards.synchronize()?;
    let mut time = |is_down: bool, is_up: bool| {
        let seconds = median(RUNS, || {
            for _ in 0..COPIES {
                if is_down {
                    landing.copy_from(&from, downwards)?;
                }
                if is_up {
                    start.copy_to(&mut to, &upwards)?;
                }
            }
            downwards.synchronize()?;
            Ok(upwards.synchronize()?)
        })?;
        let moved = COPIES * bytes * (usize::from(is_down) + usize::from(is_up));
        Ok::<f64, Failure>(moved as f64 / seconds)
    };
    Ok(Pinned {
        bytes,
        down: time(true, false)?,
        up: time(false, true)?,
        both: time(true, true)?,
    })
}

fn copy(stream: &Arc<CudaStream>, bytes: usize) -> Result<Speed, Failure> {
    let from = stream.alloc_zeros::<u8>(bytes)?;
    let mut to = stream.alloc_zeros::<u8>(bytes)?;
    let mut times = Vec::with_capacity(RUNS);
    stream.memcpy_dtod(&from, &mut to)?;
    for _ in 0..RUNS {
        let start = stream.record_event(Some(CU_EVENT_DEFAULT))?;
        for _ in 0..COPIES {
            stream.memcpy_dtod(&from, &mut to)?;
        }
        let end = stream.record_event(Some(CU_EVENT_DEFAULT))?;
        times.push(f64::from(start.elapsed_ms(&end)?) / 1e3 / COPIES as f64);
    }
    let seconds = middle(&mut times);
    Ok(Speed {
        seconds,
        bytes_per_second: (2 * bytes) as f64 / seconds,
    })
}

/// Page-locked memory, which the CPU caches: that of `CudaContext::alloc_pinned` is write-combined.
struct Locked {
    address: *mut c_void,
    bytes: usize,
}

impl Locked {
    fn new(bytes: usize) -> Result<Locked, Failure> {
        // SAFETY: of no other condition; freed in the drop.
        let address = unsafe { result::malloc_host(bytes, sys::CU_MEMHOSTALLOC_PORTABLE) }?;
        // SAFETY: as many bytes as were allocated.
        unsafe { address.cast::<u8>().write_bytes(0, bytes) };
        Ok(Locked { address, bytes })
    }

    fn copy_from(&mut self, from: &CudaSlice<u8>, stream: &CudaStream) -> Result<(), Failure> {
        let (address, _guard) = from.device_ptr(stream);
        // SAFETY: as many bytes as were allocated, which nobody reads before the stream was waited for.
        let bytes = unsafe { std::slice::from_raw_parts_mut(self.address.cast::<u8>(), self.bytes) };
        // SAFETY: the device has as many bytes, and the memory stays until the stream was waited for.
        Ok(unsafe { result::memcpy_dtoh_async(bytes, address, stream.cu_stream()) }?)
    }

    fn copy_to(&self, to: &mut CudaSlice<u8>, stream: &CudaStream) -> Result<(), Failure> {
        let (address, _guard) = to.device_ptr(stream);
        // SAFETY: as many bytes as were allocated and written.
        let bytes = unsafe { std::slice::from_raw_parts(self.address.cast::<u8>(), self.bytes) };
        // SAFETY: the device has as many bytes, and the memory stays until the stream was waited for.
        Ok(unsafe { result::memcpy_htod_async(address, bytes, stream.cu_stream()) }?)
    }
}

impl Drop for Locked {
    fn drop(&mut self) {
        // SAFETY: allocated by `new`; freeing waits for copies.
        let _ = unsafe { result::free_host(self.address) };
    }
}
