//! What the GPU and its link are able to do, measured before anything is held against it.

use std::sync::Arc;
use std::time::Instant;

use warpcomm::cudarc::driver::sys::CU_MEMHOSTALLOC_PORTABLE;
use warpcomm::cudarc::driver::sys::CUevent_flags::CU_EVENT_DEFAULT;
use warpcomm::cudarc::driver::{CudaSlice, CudaStream, PinnedHostSlice};

use crate::Failure;
use crate::gpu::{Gpu, Product};
use crate::model::GpuLimits;

const MIB: usize = 1 << 20;

/// Measurements of which the median counts.
const RUNS: usize = 15;

/// Launches or short copies that are timed together.
const CALLS: usize = 200;

/// The bytes of a short copy.
const SHORT: usize = 4096;

pub fn measure(gpu: &Gpu) -> Result<GpuLimits, Failure> {
    let (copied, pinned) = match gpu.is_checked_only {
        true => (4096, 4096),
        false => (256 * MIB, 64 * MIB),
    };
    let copy = gpu.copy(copied)?;
    let mut link = Link::new(gpu, pinned)?;
    let [down, up] = [true, false].map(|is_down| link.one_way(gpu, is_down));
    let both = link.both_ways(gpu)?;
    let launch = launch(gpu)?;
    Ok(GpuLimits {
        copy_bytes_per_second: 2.0 * copied as f64 / copy,
        down_bytes_per_second: pinned as f64 / down?,
        up_bytes_per_second: pinned as f64 / up?,
        both_bytes_per_second: pinned as f64 / both,
        copy_and_event_seconds: link.short_copies(gpu)?,
        launch_seconds: launch,
        synchronize_seconds: (waited_launch(gpu)? - launch).max(0.0),
    })
}

/// Pinned memory and memory of the GPU, in several pairs that are used in turn.
struct Link {
    bytes: usize,
    pairs: Vec<(PinnedHostSlice<u8>, CudaSlice<u8>)>,
}

impl Link {
    fn new(gpu: &Gpu, bytes: usize) -> Result<Link, Failure> {
        let pairs = (0..2 * gpu.sets(bytes).div_ceil(2))
            .map(|_| {
                // SAFETY: written before it is read, by the line below.
                let mut host = unsafe {
                    gpu.context
                        .alloc_pinned_with_flags(bytes, CU_MEMHOSTALLOC_PORTABLE)
                }?;
                host.as_mut_slice()?.fill(7);
                Ok((host, gpu.stream.clone_htod(&vec![7u8; bytes])?))
            })
            .collect::<Result<_, Failure>>()?;
        Ok(Link { bytes, pairs })
    }

    fn copy(&mut self, number: usize, is_down: bool, stream: &Arc<CudaStream>) -> Result<(), Failure> {
        let count = self.pairs.len();
        let (host, device) = &mut self.pairs[number % count];
        match is_down {
            true => stream.memcpy_dtoh(device, host)?,
            false => stream.memcpy_htod(host, device)?,
        }
        Ok(())
    }

    fn one_way(&mut self, gpu: &Gpu, is_down: bool) -> Result<f64, Failure> {
        gpu.time(|number| self.copy(number, is_down, &gpu.stream))
    }

    /// A copy each way at the same time: until both are over.
    fn both_ways(&mut self, gpu: &Gpu) -> Result<f64, Failure> {
        let other = gpu.context.new_stream()?;
        let mut times = Vec::with_capacity(RUNS);
        for run in 0..if gpu.is_checked_only { 1 } else { RUNS } {
            let start = gpu.stream.record_event(Some(CU_EVENT_DEFAULT))?;
            other.wait(&start)?;
            for number in 0..4 {
                self.copy(2 * (run + number), true, &gpu.stream)?;
                self.copy(2 * (run + number) + 1, false, &other)?;
            }
            gpu.stream.join(&other)?;
            let end = gpu.stream.record_event(Some(CU_EVENT_DEFAULT))?;
            times.push(f64::from(start.elapsed_ms(&end)?) / 4e3);
        }
        median(times)
    }

    /// A short copy with an event behind it, of many.
    fn short_copies(&mut self, gpu: &Gpu) -> Result<f64, Failure> {
        let bytes = SHORT.min(self.bytes);
        let from = gpu.stream.clone_htod(&vec![1u8; bytes])?;
        let mut to = gpu.stream.alloc_zeros::<u8>(bytes)?;
        let (context, stream) = (&gpu.context, &gpu.stream);
        let event = context.new_event(None)?;
        timed(gpu, || {
            stream.memcpy_dtod(&from, &mut to)?;
            Ok(event.record(stream)?)
        })
    }
}

/// A kernel of next to nothing, of many that nobody waits for in between.
fn launch(gpu: &Gpu) -> Result<f64, Failure> {
    let mut product = Product::new(gpu, 1, 1, 1)?;
    timed(gpu, || product.launch(&gpu.stream))
}

/// The same, waited for each time.
fn waited_launch(gpu: &Gpu) -> Result<f64, Failure> {
    let mut product = Product::new(gpu, 1, 1, 1)?;
    timed(gpu, || {
        product.launch(&gpu.stream)?;
        Ok(gpu.stream.synchronize()?)
    })
}

/// What a call takes on the average of many, until the last is over.
fn timed(gpu: &Gpu, mut call: impl FnMut() -> Result<(), Failure>) -> Result<f64, Failure> {
    let (runs, calls) = if gpu.is_checked_only {
        (1, 1)
    } else {
        (RUNS, CALLS)
    };
    let times = (0..runs)
        .map(|_| {
            gpu.stream.synchronize()?;
            let start = Instant::now();
            for _ in 0..calls {
                call()?;
            }
            gpu.stream.synchronize()?;
            Ok(start.elapsed().as_secs_f64() / calls as f64)
        })
        .collect::<Result<_, Failure>>()?;
    median(times)
}

fn median(mut times: Vec<f64>) -> Result<f64, Failure> {
    times.sort_by(f64::total_cmp);
    let middle = times.get(times.len() / 2).copied();
    // A clock that has not moved would make bandwidths infinite.
    middle
        .map(|time| time.max(1e-9))
        .ok_or_else(|| "nothing was measured".into())
}
