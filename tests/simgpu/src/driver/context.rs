//! Contexts: what a process has on a device, and which of them a thread uses.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU32, Ordering::*};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use super::failure::Failure;
use super::handles::{self, Handles};
use super::machine::{Device, machine};
use super::memory;
use super::status::{Result, Status};
use super::stream::Stream;
use super::{event, ipc, module};

/// A context.
pub struct Context {
    pub handle: usize,
    pub device: &'static Device,
    pub flags: AtomicU32,
    /// The legacy default stream.
    pub legacy: Arc<Stream>,
    failed: AtomicI32,
    destroyed: AtomicBool,
    streams: Mutex<Vec<Arc<Stream>>>,
    per_thread: Mutex<BTreeMap<u64, Arc<Stream>>>,
    /// Held while an operation is put into a stream that the legacy default stream is ordered with.
    pub order: Mutex<()>,
    /// The devices whose memory kernels may touch.
    peers: RwLock<BTreeSet<usize>>,
    pub limits: Mutex<BTreeMap<u32, usize>>,
}

/// The primary context of a device.
#[derive(Default)]
pub struct Primary {
    pub retained: usize,
    pub flags: u32,
    pub context: Option<Arc<Context>>,
    /// The same handle each time that the context is made anew.
    handle: Option<usize>,
}

static CONTEXTS: Handles<Context> = Handles::new();

/// As many contexts can be pushed.
const DEPTH: usize = 32;

#[derive(Clone, Copy)]
struct Stack {
    handles: [usize; DEPTH],
    depth: usize,
}

thread_local! {
    // Without a destructor, so that it can be used to the very end of a thread.
    static CURRENT: Cell<Stack> = const { Cell::new(Stack { handles: [0; DEPTH], depth: 0 }) };
    static THREAD: Cell<u64> = const { Cell::new(0) };
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Context {
    pub fn new(device: &'static Device, handle: Option<usize>, flags: u32) -> Result<Arc<Self>> {
        device.arena()?;
        let handle = handle.unwrap_or_else(handles::fresh);
        let context = Arc::new_cyclic(|context| {
            let legacy = Stream::legacy(context.clone());
            Self {
                handle,
                device,
                flags: AtomicU32::new(flags),
                streams: Mutex::new(vec![Arc::clone(&legacy)]),
                legacy,
                failed: AtomicI32::new(0),
                destroyed: AtomicBool::new(false),
                per_thread: Mutex::default(),
                order: Mutex::default(),
                peers: RwLock::default(),
                limits: Mutex::default(),
            }
        });
        CONTEXTS.insert(handle, Arc::clone(&context));
        Ok(context)
    }

    /// The context of a handle.
    pub fn of(handle: usize) -> Result<Arc<Self>> {
        machine()?;
        CONTEXTS.get(handle).ok_or(Status::ERROR_INVALID_CONTEXT)
    }

    /// Waits for all work, then destroys everything in the context, and it.
    pub fn destroy(self: &Arc<Self>) {
        self.wait();
        self.destroyed.store(true, Release);
        CONTEXTS.remove(self.handle);
        let streams = std::mem::take(&mut *locked(&self.streams));
        locked(&self.per_thread).clear();
        for stream in streams {
            stream.close();
        }
        event::forget(self.handle);
        module::forget(self.handle);
        ipc::forget(self.handle);
        memory::forget(self.handle);
    }

    /// An error if work of the context has failed: then it fails for good.
    pub fn check(&self) -> Result {
        if self.destroyed.load(Acquire) {
            return Err(Status::ERROR_CONTEXT_IS_DESTROYED);
        }
        match self.failed.load(Acquire) {
            0 => Ok(()),
            status => Err(Status(status)),
        }
    }

    /// Makes the context fail for good.
    pub fn fail(&self, failure: &Failure) {
        let first = self
            .failed
            .compare_exchange(0, failure.status.0, AcqRel, Acquire)
            .is_ok();
        let quiet = machine().is_ok_and(|machine| machine.settings.quiet);
        if first && !quiet {
            let name = failure.status.describe().map(|(name, _)| name.to_string_lossy());
            eprintln!("simgpu: {}: {}", name.unwrap_or_default(), failure.text);
        }
    }

    /// Waits for all work of all streams.
    pub fn wait(&self) {
        for stream in self.all_streams() {
            stream.wait_for_all();
        }
    }

    pub fn all_streams(&self) -> Vec<Arc<Stream>> {
        locked(&self.streams).clone()
    }

    pub fn add_stream(&self, stream: Arc<Stream>) {
        locked(&self.streams).push(stream);
    }

    pub fn remove_stream(&self, stream: &Arc<Stream>) {
        locked(&self.streams).retain(|known| !Arc::ptr_eq(known, stream));
    }

    /// The default stream of the calling thread.
    pub fn per_thread_stream(self: &Arc<Self>) -> Arc<Stream> {
        let mut streams = locked(&self.per_thread);
        let stream = streams.entry(thread()).or_insert_with(|| {
            let stream = Stream::per_thread(Arc::downgrade(self));
            self.add_stream(Arc::clone(&stream));
            stream
        });
        Arc::clone(stream)
    }

    /// Whether kernels may touch the memory of a device.
    pub fn reaches(&self, device: usize) -> bool {
        device == self.device.index
            || self
                .peers
                .read()
                .unwrap_or_else(PoisonError::into_inner)
                .contains(&device)
    }

    /// Gives kernels access to a device's memory; whether they had none.
    pub fn enable_peer(&self, device: usize) -> bool {
        self.peers
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(device)
    }

    /// Takes access to a device's memory from kernels; whether they had it.
    pub fn disable_peer(&self, device: usize) -> bool {
        self.peers
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&device)
    }
}

impl Primary {
    /// One more user of the context, which is made if there is none.
    pub fn retain(&mut self, device: &'static Device) -> Result<Arc<Context>> {
        let context = match &self.context {
            Some(context) => Arc::clone(context),
            None => {
                let context = Context::new(device, self.handle, self.flags)?;
                self.handle = Some(context.handle);
                Arc::clone(self.context.insert(context))
            }
        };
        self.retained += 1;
        Ok(context)
    }

    /// One user less; the context if it was the last one.
    pub fn release(&mut self) -> Result<Option<Arc<Context>>> {
        self.retained = self
            .retained
            .checked_sub(1)
            .ok_or(Status::ERROR_INVALID_CONTEXT)?;
        Ok(if self.retained == 0 {
            self.context.take()
        } else {
            None
        })
    }
}

/// How many contexts there are.
pub fn count() -> usize {
    CONTEXTS.len()
}

/// A number of the calling thread's own.
fn thread() -> u64 {
    static THREADS: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(1);
    if THREAD.get() == 0 {
        THREAD.set(THREADS.fetch_add(1, Relaxed));
    }
    THREAD.get()
}

/// The handle of the calling thread's context, 0 if it has none.
pub fn current_handle() -> usize {
    let stack = CURRENT.get();
    match stack.depth {
        0 => 0,
        depth => stack.handles[depth - 1],
    }
}

/// The context of the calling thread, even if its work has failed.
pub fn current_or_failed() -> Result<Arc<Context>> {
    machine()?;
    match current_handle() {
        0 => Err(Status::ERROR_INVALID_CONTEXT),
        handle => CONTEXTS.get(handle).ok_or(Status::ERROR_CONTEXT_IS_DESTROYED),
    }
}

/// Fails if the work of the calling thread's context has; a thread without one may ask what pointers are.
pub fn current_if_any() -> Result {
    match current_handle() {
        0 => machine().map(drop),
        _ => current().map(drop),
    }
}

/// The context of the calling thread.
pub fn current() -> Result<Arc<Context>> {
    let context = current_or_failed()?;
    context.check()?;
    Ok(context)
}

/// Replaces the calling thread's context; 0 for none.
pub fn set_current(handle: usize) {
    let mut stack = CURRENT.get();
    match (handle, stack.depth) {
        (0, 0) => {}
        (0, depth) => stack.depth = depth - 1,
        (_, 0) => {
            stack.handles[0] = handle;
            stack.depth = 1;
        }
        (_, depth) => stack.handles[depth - 1] = handle,
    }
    CURRENT.set(stack);
}

/// Puts a context above the calling thread's.
pub fn push(handle: usize) -> Result {
    let mut stack = CURRENT.get();
    *stack
        .handles
        .get_mut(stack.depth)
        .ok_or(Status::ERROR_OUT_OF_MEMORY)? = handle;
    stack.depth += 1;
    CURRENT.set(stack);
    Ok(())
}

/// Takes away the context that was pushed last; its handle.
pub fn pop() -> Result<usize> {
    let mut stack = CURRENT.get();
    stack.depth = stack.depth.checked_sub(1).ok_or(Status::ERROR_INVALID_CONTEXT)?;
    CURRENT.set(stack);
    Ok(stack.handles[stack.depth])
}
