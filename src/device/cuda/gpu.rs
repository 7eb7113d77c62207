//! A CUDA context as this library uses it: with streams, events and modules of its own.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use cudarc::driver::{CudaContext, DriverError, result, sys};

use super::failed;
use crate::dtype::Dtype;
use crate::error::Result;
use crate::op::Op;

/// A CUDA context. There is one value for each, which lives as long as the process: what it keeps is used
/// again, and a context that buffers were in is not given back to the driver under their operations.
pub(crate) struct Gpu {
    context: Arc<CudaContext>,
    number: u64,
    multiprocessors: u32,
    has_stream_ordered_allocation: bool,
    kept: Mutex<Kept>,
    kernels: Mutex<Kernels>,
    /// Those whose memory kernels of this one reach, by their numbers.
    reached: Mutex<Vec<u64>>,
}

/// The contexts that were used, each at its number.
static GPUS: Mutex<Vec<&'static Gpu>> = Mutex::new(Vec::new());

/// Streams and events for the operations to come.
#[derive(Default)]
struct Kept {
    streams: Vec<Stream>,
    events: Vec<Event>,
}

/// A stream of this library's, on which nothing waits for the null stream.
pub(super) struct Stream {
    pub stream: sys::CUstream,
    /// Orders other streams after this one, or this one after others.
    pub order: Event,
}

pub(super) struct Event(pub sys::CUevent);

/// The kernels that were loaded.
#[derive(Default)]
pub(super) struct Kernels {
    pub modules: HashMap<Dtype, Module>,
    pub folds: HashMap<(Op, Dtype), Function>,
}

pub(super) struct Module(pub sys::CUmodule);

#[derive(Clone, Copy)]
pub(super) struct Function(pub sys::CUfunction);

// SAFETY: the driver's handles may be used from any thread in whose context they are.
unsafe impl Send for Stream {}
// SAFETY: as above.
unsafe impl Send for Event {}
// SAFETY: as above.
unsafe impl Send for Module {}
// SAFETY: as above.
unsafe impl Send for Function {}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Each change is one push, pop or insertion.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Gpu {
    /// The value for a context.
    pub(crate) fn of(context: &Arc<CudaContext>) -> Result<&'static Gpu> {
        let mut gpus = locked(&GPUS);
        if let Some(known) = gpus.iter().find(|gpu| gpu.context.cu_ctx() == context.cu_ctx()) {
            return Ok(known);
        }
        let multiprocessors = context
            .attribute(sys::CUdevice_attribute::CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT)
            .map_err(|error| failed("cannot ask the GPU", error))?;
        let gpu: &'static Gpu = Box::leak(Box::new(Gpu {
            context: Arc::clone(context),
            number: gpus.len() as u64,
            multiprocessors: u32::try_from(multiprocessors).unwrap_or(1).max(1),
            has_stream_ordered_allocation: context.has_async_alloc(),
            kept: Mutex::default(),
            kernels: Mutex::default(),
            reached: Mutex::default(),
        }));
        gpus.push(gpu);
        Ok(gpu)
    }

    /// Which of this process's contexts it is.
    pub(crate) fn number(&self) -> u64 {
        self.number
    }

    pub(crate) fn of_number(number: u64) -> Option<&'static Gpu> {
        let at = usize::try_from(number).ok()?;
        locked(&GPUS).get(at).copied()
    }

    /// Has kernels of this context reach memory of another one's, unless it was allocated in the order of a stream.
    pub(crate) fn reach(&self, other: &Gpu) -> Result<()> {
        if self.number == other.number {
            return Ok(());
        }
        let mut reached = locked(&self.reached);
        if reached.contains(&other.number) {
            return Ok(());
        }
        let enabled = || {
            self.bind()?;
            // SAFETY: the context is alive.
            match unsafe { sys::cuCtxEnablePeerAccess(other.context.cu_ctx(), 0) } {
                // By the program.
                sys::CUresult::CUDA_ERROR_PEER_ACCESS_ALREADY_ENABLED => Ok(()),
                enabled => enabled.result(),
            }
        };
        enabled().map_err(|error| failed("cannot reach the memory of another GPU", error))?;
        reached.push(other.number);
        Ok(())
    }

    pub(super) fn multiprocessors(&self) -> u32 {
        self.multiprocessors
    }

    pub(super) fn has_stream_ordered_allocation(&self) -> bool {
        self.has_stream_ordered_allocation
    }

    pub(super) fn context(&self) -> &CudaContext {
        &self.context
    }

    pub(super) fn ordinal(&self) -> usize {
        self.context.ordinal()
    }

    /// The model.
    pub(crate) fn name(&self) -> Result<String> {
        self.context
            .name()
            .map_err(|error| failed("cannot ask the GPU for its name", error))
    }

    /// Makes this the context of the thread's driver calls.
    ///
    /// Not cudarc's own way, which would also report, and so swallow, what the user's drops have left behind.
    pub(super) fn bind(&self) -> Result<(), DriverError> {
        let own = self.context.cu_ctx();
        if result::ctx::get_current()? != Some(own) {
            // SAFETY: the context is alive, `self` holds it.
            unsafe { result::ctx::set_current(own) }?;
        }
        Ok(())
    }

    /// Waits until the GPU has done everything, or has failed.
    pub(super) fn wait(&self) {
        // An error says that it does nothing any more.
        let _ = self.bind().and_then(|()| result::ctx::synchronize());
    }

    /// A stream without work, so that no operation waits for what another one has left to the GPU.
    pub(super) fn take_stream(&self) -> Result<Stream, DriverError> {
        self.bind()?;
        // SAFETY: kept streams are alive.
        let is_idle = |kept: &Stream| unsafe { sys::cuStreamQuery(kept.stream) }.result().is_ok();
        {
            let mut kept = locked(&self.kept);
            if let Some(at) = kept.streams.iter().rposition(is_idle) {
                return Ok(kept.streams.swap_remove(at));
            }
        }
        let order = self.take_event()?;
        match result::stream::create(result::stream::StreamKind::NonBlocking) {
            Ok(stream) => Ok(Stream { stream, order }),
            Err(error) => {
                self.keep_event(order);
                Err(error)
            }
        }
    }

    pub(super) fn keep_stream(&self, stream: Stream) {
        locked(&self.kept).streams.push(stream);
    }

    pub(super) fn take_event(&self) -> Result<Event, DriverError> {
        if let Some(event) = locked(&self.kept).events.pop() {
            return Ok(event);
        }
        self.bind()?;
        result::event::create(sys::CUevent_flags::CU_EVENT_DISABLE_TIMING).map(Event)
    }

    pub(super) fn keep_event(&self, event: Event) {
        locked(&self.kept).events.push(event);
    }

    pub(super) fn kernels(&self) -> MutexGuard<'_, Kernels> {
        locked(&self.kernels)
    }
}
