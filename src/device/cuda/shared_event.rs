//! Events that two processes have: CUDA IPC.

use cudarc::driver::{DriverError, result, sys};

use super::failed;
use super::gpu::{Event, Gpu};
use super::lane::{Lane, is_over};
use super::window::Handle;
use crate::error::Result;

/// An event that one process makes and another opens: either puts it in its lanes, and has them wait for it.
pub(crate) struct SharedEvent {
    gpu: &'static Gpu,
    event: Event,
}

// SAFETY: see `Event`; the driver's calls are thread-safe.
unsafe impl Sync for SharedEvent {}

impl SharedEvent {
    /// Makes an event that another process can open.
    pub(crate) fn new(gpu: &'static Gpu) -> Result<SharedEvent> {
        let flags = sys::CUevent_flags::CU_EVENT_DISABLE_TIMING as u32
            | sys::CUevent_flags::CU_EVENT_INTERPROCESS as u32;
        let mut event = std::ptr::null_mut();
        let made = gpu.bind().and_then(|()| {
            // SAFETY: the result is written to a variable of its type.
            unsafe { sys::cuEventCreate(&mut event, flags) }.result()
        });
        made.map_err(|error| failed("cannot make an event for another process", error))?;
        Ok(SharedEvent {
            gpu,
            event: Event(event),
        })
    }

    /// What another process opens it with.
    pub(crate) fn handle(&self) -> Result<Handle> {
        let mut handle = sys::CUipcEventHandle { reserved: [0; 64] };
        let exported = self.gpu.bind().and_then(|()| {
            // SAFETY: the event is alive, and the result is written to a variable of its type.
            unsafe { sys::cuIpcGetEventHandle(&mut handle, self.event.0) }.result()
        });
        exported.map_err(|error| failed("cannot export an event", error))?;
        // SAFETY: both are 64 plain bytes.
        Ok(unsafe { std::mem::transmute::<[std::ffi::c_char; 64], Handle>(handle.reserved) })
    }

    /// Opens an event of another process, for lanes of this GPU.
    pub(crate) fn open(gpu: &'static Gpu, handle: &Handle) -> Result<SharedEvent> {
        let mut event = std::ptr::null_mut();
        // SAFETY: both are 64 plain bytes.
        let reserved = unsafe { std::mem::transmute::<Handle, [std::ffi::c_char; 64]>(*handle) };
        let opened = gpu.bind().and_then(|()| {
            // SAFETY: the result is written to a variable of its type; the driver refuses what is no handle.
            unsafe { sys::cuIpcOpenEventHandle(&mut event, sys::CUipcEventHandle { reserved }) }.result()
        });
        opened.map_err(|error| failed("cannot open an event of another process", error))?;
        Ok(SharedEvent {
            gpu,
            event: Event(event),
        })
    }

    /// Puts it behind everything that was started on a lane of its GPU.
    pub(crate) fn record(&self, lane: &Lane) -> Result<()> {
        let recorded = self.gpu.bind().and_then(|()| {
            // SAFETY: event and stream are alive.
            unsafe { result::event::record(self.event.0, lane.handle()) }
        });
        recorded.map_err(|error| failed("cannot record an event of two processes", error))
    }

    /// Lets what is started on a lane from here on wait for where it was put last, by whichever process; in the worst
    /// case by waiting here.
    pub(crate) fn hold(&self, lane: &Lane) {
        let wait = sys::CUevent_wait_flags::CU_EVENT_WAIT_DEFAULT;
        let held = lane.gpu().bind().and_then(|()| {
            // SAFETY: event and stream are alive.
            unsafe { result::stream::wait_event(lane.handle(), self.event.0, wait) }
        });
        if held.is_err() {
            self.wait();
        }
    }

    /// Whether everything before where it was put last is over.
    pub(crate) fn is_over(&self) -> Result<bool> {
        // SAFETY: the event is alive.
        let ask = || unsafe { result::event::query(self.event.0) };
        is_over(self.gpu.bind().and_then(|()| ask()))
    }

    /// Waits here until that is over, or the GPU has failed.
    pub(crate) fn wait(&self) {
        let wait = || -> Result<(), DriverError> {
            self.gpu.bind()?;
            // SAFETY: the event is alive.
            unsafe { result::event::synchronize(self.event.0) }
        };
        // An error says that the GPU does nothing any more.
        let _ = wait();
    }
}

impl Drop for SharedEvent {
    fn drop(&mut self) {
        if self.gpu.bind().is_ok() {
            // SAFETY: made or opened by this value, destroyed once. It fails where the GPU has failed.
            let _ = unsafe { result::event::destroy(self.event.0) };
        }
    }
}
