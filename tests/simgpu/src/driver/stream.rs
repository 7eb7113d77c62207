//! Streams: operations that run one after the other, on a thread of the stream's own.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering::*};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::thread;
use std::time::Duration;

use super::context::{self, Context};
use super::event::Moment;
use super::failure::{Failure, Outcome};
use super::faults::{self, Class};
use super::handles::{self, Handles};
use super::machine::machine;
use super::status::{Result, Status};

/// `CU_STREAM_NON_BLOCKING`: not ordered with the legacy default stream.
pub const NON_BLOCKING: u32 = 1;

/// What programs name the default streams by.
const DEFAULT: usize = 0;
const LEGACY: usize = 1;
const PER_THREAD: usize = 2;

/// A stream.
pub struct Stream {
    pub handle: usize,
    pub flags: u32,
    pub priority: i32,
    /// A number of its own among all streams of the process.
    pub id: u64,
    context: Weak<Context>,
    queue: Mutex<Queue>,
    arrived: Condvar,
    finished: Condvar,
}

#[derive(Default)]
struct Queue {
    waiting: VecDeque<Operation>,
    submitted: u64,
    completed: u64,
    has_worker: bool,
    is_closed: bool,
}

/// An operation of a stream.
struct Operation {
    after: Vec<Wait>,
    work: Work,
    injected: Option<Status>,
}

/// What an operation waits for beside those before it in its stream.
pub enum Wait {
    /// Operations of another stream, up to a number.
    Stream(Arc<Stream>, u64),
    /// That an event was recorded.
    Moment(Arc<Moment>),
}

type Task = dyn FnOnce(&Arc<Context>) -> Outcome + Send;

/// What an operation does.
pub enum Work {
    /// Is left out once the context has failed.
    Unless(Box<Task>),
    /// Is done in any case, and told whether the context has failed.
    Always(Box<dyn FnOnce(Status) + Send>),
    /// The same, and touches no memory: where there is nothing to wait for it is done at once, by the calling
    /// thread.
    Brief(Box<dyn FnOnce(Status) + Send>),
}

static STREAMS: Handles<Stream> = Handles::new();

/// How often a call has waited for a device.
pub static HOST_WAITS: AtomicU64 = AtomicU64::new(0);

/// Counts a call that waits for a device.
pub fn note_wait() {
    HOST_WAITS.fetch_add(1, Relaxed);
}

/// How many streams the program has.
pub fn count() -> usize {
    STREAMS.len()
}

/// The stream of a handle.
pub fn of(handle: usize) -> Result<Arc<Stream>> {
    match handle {
        DEFAULT | LEGACY => Ok(Arc::clone(&context::current()?.legacy)),
        PER_THREAD => Ok(context::current()?.per_thread_stream()),
        _ => {
            context::current()?;
            let stream = STREAMS.get(handle).ok_or(Status::ERROR_INVALID_HANDLE)?;
            stream.context()?.check()?;
            Ok(stream)
        }
    }
}

/// The stream of a handle, for what must be done even when work has failed.
pub fn of_even_failed(handle: usize) -> Result<Arc<Stream>> {
    let current = context::current_or_failed()?;
    match handle {
        DEFAULT | LEGACY => Ok(Arc::clone(&current.legacy)),
        PER_THREAD => Ok(current.per_thread_stream()),
        _ => STREAMS.get(handle).ok_or(Status::ERROR_INVALID_HANDLE),
    }
}

/// Makes a stream.
pub fn create(context: &Arc<Context>, flags: u32, priority: i32) -> Arc<Stream> {
    let stream = Stream::new(handles::fresh(), flags, priority, Arc::downgrade(context));
    STREAMS.insert(stream.handle, Arc::clone(&stream));
    context.add_stream(Arc::clone(&stream));
    stream
}

/// Destroys a stream, which ends when its operations have.
pub fn destroy(handle: usize) -> Result {
    let stream = STREAMS.remove(handle).ok_or(Status::ERROR_INVALID_HANDLE)?;
    let context = stream.context()?;
    if stream.is_idle() {
        context.remove_stream(&stream);
    } else {
        // The last operation of the stream: others that look for its work find it until then.
        let (ended, of) = (Arc::clone(&stream), Arc::clone(&context));
        stream.submit(
            Vec::new(),
            Work::Always(Box::new(move |_| of.remove_stream(&ended))),
        )?;
    }
    stream.close();
    context.check()
}

impl Stream {
    fn new(handle: usize, flags: u32, priority: i32, context: Weak<Context>) -> Arc<Self> {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        Arc::new(Self {
            handle,
            flags,
            priority,
            id: NEXT.fetch_add(1, Relaxed),
            context,
            queue: Mutex::default(),
            arrived: Condvar::new(),
            finished: Condvar::new(),
        })
    }

    /// The legacy default stream of a context.
    pub fn legacy(context: Weak<Context>) -> Arc<Self> {
        Self::new(LEGACY, 0, 0, context)
    }

    /// A thread's default stream.
    pub fn per_thread(context: Weak<Context>) -> Arc<Self> {
        Self::new(PER_THREAD, 0, 0, context)
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn context(&self) -> Result<Arc<Context>> {
        self.context.upgrade().ok_or(Status::ERROR_CONTEXT_IS_DESTROYED)
    }

    fn is_legacy(&self) -> bool {
        self.handle == LEGACY
    }

    fn is_blocking(&self) -> bool {
        self.flags & NON_BLOCKING == 0
    }

    /// Whether all operations have ended, and for the legacy default stream those that it is ordered with.
    pub fn has_ended(self: &Arc<Self>) -> bool {
        let others = match self.is_legacy() {
            true => self
                .context()
                .map_or_else(|_| Vec::new(), |context| self.ordered_before(&context)),
            false => Vec::new(),
        };
        others.is_empty() && self.is_idle()
    }

    fn is_idle(&self) -> bool {
        let queue = self.queue();
        queue.completed == queue.submitted
    }

    /// The number of its last operation, if that has not ended.
    fn pending(&self) -> Option<u64> {
        let queue = self.queue();
        (queue.completed != queue.submitted).then_some(queue.submitted)
    }

    /// Puts work into the stream that is left out once the context has failed.
    pub fn enqueue(self: &Arc<Self>, work: impl FnOnce(&Arc<Context>) -> Outcome + Send + 'static) -> Result {
        self.submit(Vec::new(), Work::Unless(Box::new(work)))
    }

    /// Puts an operation into the stream.
    pub fn submit(self: &Arc<Self>, mut after: Vec<Wait>, work: Work) -> Result {
        let injected = faults::check(Class::Async).err();
        let context = self.context()?;
        let _order;
        if self.is_blocking() {
            _order = context.order.lock().unwrap_or_else(PoisonError::into_inner);
            after.extend(self.ordered_before(&context));
        }
        after.retain(|wait| !wait.is_over());
        let has_delays = machine()?.settings.delay != 0;
        let mut queue = self.queue();
        let is_next = after.is_empty() && queue.completed == queue.submitted;
        let operation = Operation {
            after,
            work,
            injected,
        };
        if is_next && !has_delays && matches!(operation.work, Work::Brief(_)) {
            operation.conclude(Some(context.clone()));
            return Ok(());
        }
        if !queue.has_worker {
            self.start_worker()?;
            queue.has_worker = true;
        }
        queue.waiting.push_back(operation);
        queue.submitted += 1;
        drop(queue);
        self.arrived.notify_one();
        Ok(())
    }

    /// What the order of default streams has this stream's next operation wait for.
    fn ordered_before(self: &Arc<Self>, context: &Context) -> Vec<Wait> {
        let pending = |stream: Arc<Stream>| stream.pending().map(|number| Wait::Stream(stream, number));
        if !self.is_legacy() {
            return pending(Arc::clone(&context.legacy)).into_iter().collect();
        }
        let others = context.all_streams().into_iter();
        others
            .filter(|other| other.is_blocking() && !other.is_legacy())
            .filter_map(pending)
            .collect()
    }

    /// Does work in the stream's order, and returns when it is done.
    pub fn perform(self: &Arc<Self>, work: impl FnOnce(&Arc<Context>) -> Outcome + Send + 'static) -> Result {
        let context = self.context()?;
        note_wait();
        if machine()?.settings.delay != 0 {
            self.enqueue(work)?;
            self.wait_for_all();
            return context.check();
        }
        // Without delays nobody can tell whether this thread does it or the stream's.
        let injected = faults::check(Class::Async).err();
        self.wait_for_all();
        context.check()?;
        run(&context, injected, work);
        context.check()
    }

    /// Waits until all operations that were put into the stream have ended, and for the legacy default stream
    /// those that its next operation would wait for.
    pub fn wait_for_all(self: &Arc<Self>) {
        if self.is_blocking()
            && let Ok(context) = self.context()
        {
            for wait in self.ordered_before(&context) {
                // Waiting for a stream cannot fail.
                let _ = wait.wait();
            }
        }
        let number = self.queue().submitted;
        self.wait_until(number);
    }

    fn wait_until(&self, number: u64) {
        let mut queue = self.queue();
        while queue.completed < number {
            queue = self.finished.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Lets the stream's thread end when all operations have.
    pub fn close(&self) {
        self.queue().is_closed = true;
        self.arrived.notify_one();
        if !matches!(self.handle, LEGACY | PER_THREAD) {
            STREAMS.remove(self.handle);
        }
    }

    fn start_worker(self: &Arc<Self>) -> Result {
        let stream = Arc::clone(self);
        // Signals are for the program's threads.
        // SAFETY: both sets are initialized before they are read.
        let spawned = unsafe {
            let (mut all, mut before) = (std::mem::zeroed(), std::mem::zeroed());
            libc::sigfillset(&mut all);
            libc::pthread_sigmask(libc::SIG_SETMASK, &all, &mut before);
            let spawned = thread::Builder::new()
                .name("simgpu stream".into())
                .spawn(move || stream.work());
            libc::pthread_sigmask(libc::SIG_SETMASK, &before, std::ptr::null_mut());
            spawned
        };
        spawned.map(drop).map_err(|_| Status::ERROR_OPERATING_SYSTEM)
    }

    /// What the stream's thread does.
    fn work(&self) {
        let settings = machine().map(|machine| &machine.settings);
        let (most, seed) = settings.map_or((0, 0), |settings| (settings.delay, settings.seed));
        let mut delays = Delays {
            most,
            state: seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ self.id,
        };
        // Linux lets a thread sleep 50 us longer than it has asked for, which may be more than the delay.
        // SAFETY: sets a number of this thread, in nanoseconds.
        unsafe { libc::prctl(libc::PR_SET_TIMERSLACK, 1000) };
        loop {
            let mut queue = self.queue();
            let operation = loop {
                if let Some(operation) = queue.waiting.pop_front() {
                    break operation;
                }
                if queue.is_closed {
                    return;
                }
                queue = self.arrived.wait(queue).unwrap_or_else(PoisonError::into_inner);
            };
            drop(queue);
            self.execute(operation, &mut delays);
            self.queue().completed += 1;
            self.finished.notify_all();
        }
    }

    fn execute(&self, operation: Operation, delays: &mut Delays) {
        let waited = operation.after.iter().try_for_each(Wait::wait);
        delays.pass();
        let context = self.context.upgrade();
        if let (Err(failure), Some(context)) = (waited, &context) {
            context.fail(&failure);
        }
        operation.conclude(context);
    }
}

impl Operation {
    /// Does the work, when there is nothing left to wait for.
    fn conclude(self, context: Option<Arc<Context>>) {
        let status = match &context {
            Some(context) => context.check().err(),
            None => Some(Status::ERROR_CONTEXT_IS_DESTROYED),
        };
        match self.work {
            Work::Unless(work) => {
                if let (None, Some(context)) = (status, context) {
                    run(&context, self.injected, work);
                }
            }
            Work::Always(work) | Work::Brief(work) => {
                if let (Some(status), Some(context)) = (self.injected, &context) {
                    context.fail(&injected(status));
                }
                let failed = context.and_then(|context| context.check().err()).or(status);
                work(failed.unwrap_or(Status::SUCCESS));
            }
        }
    }
}

fn run(context: &Arc<Context>, fault: Option<Status>, work: impl FnOnce(&Arc<Context>) -> Outcome) {
    let result = match fault {
        Some(status) => Err(injected(status)),
        // A stream whose thread has ended would have its program wait for ever.
        None => catch_unwind(AssertUnwindSafe(|| work(context))).unwrap_or_else(|_| {
            Err(Failure {
                status: Status::ERROR_UNKNOWN,
                text: "the simulator itself has failed, as printed above".into(),
            })
        }),
    };
    if let Err(failure) = result {
        context.fail(&failure);
    }
}

fn injected(status: Status) -> Failure {
    Failure {
        status,
        text: "injected, as asked for".into(),
    }
}

impl Wait {
    fn is_over(&self) -> bool {
        match self {
            Self::Stream(stream, number) => stream.queue().completed >= *number,
            Self::Moment(moment) => moment.has_passed(),
        }
    }

    fn wait(&self) -> Outcome {
        match self {
            Self::Stream(stream, number) => {
                stream.wait_until(*number);
                Ok(())
            }
            Self::Moment(moment) => moment.wait(),
        }
    }
}

/// Random delays.
struct Delays {
    most: u64,
    state: u64,
}

impl Delays {
    fn pass(&mut self) {
        if self.most == 0 {
            return;
        }
        // SplitMix64.
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.state;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        thread::sleep(Duration::from_micros((bits ^ (bits >> 31)) % (self.most + 1)));
    }
}
