//! The one place where operations wait: whoever waits drives every pending operation of the process.
//!
//! An operation is a future over [`Transfer`]s. A blocking call polls its own future on its own stack
//! ([`Engine::block_on`]); a request or scope hands its future to the engine as a [`Task`]
//! ([`Engine::spawn`]). One thread at a time polls; it holds the [`Baton`]. The progress thread polls
//! when nobody waits.

mod activity;
mod arrived;
mod baton;
mod body;
mod buffered;
mod doze;
mod endpoint;
mod envelope;
mod family;
mod message;
mod name;
mod nodes;
mod patience;
mod plain;
mod polling;
mod progress;
mod rendezvous;
mod reporter;
mod sequence;
mod slab;
mod survey;
mod sync;
mod tags;
mod task;
mod trace;
mod transfer;
mod wakers;
mod whereabouts;

use std::future::Future;
use std::ops::Deref;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard, Weak};
use std::task::{Context, Poll, Waker};
use std::thread::{self, ThreadId};
use std::time::Duration;

use crate::config::Config;
#[cfg(feature = "cuda")]
use crate::device::cuda::Binding;
use crate::error::{Error, ErrorKind, Result};
use crate::message::Status;
use crate::transport::Transport;

use baton::{Baton, Held, Waited};
use nodes::Nodes;
use patience::{Patience, Spins};
use polling::Polling;
use progress::Progress;
use wakers::Wakers;

pub(crate) use activity::{Activity, Phase};
pub(crate) use arrived::Matched;
pub(crate) use buffered::Room;
pub(crate) use endpoint::{Endpoint, InCollective};
pub(crate) use family::{Families, Family, NO_SLOTS, OF_THE_WORLD, Slots};
pub(crate) use message::{receive, receive_matched, send};
pub(crate) use plain::{HostCopy, Plain};
#[cfg(feature = "serde")]
pub(crate) use rendezvous::receive_object;
pub(crate) use rendezvous::{Expected, Mode, Offer};
pub(crate) use sequence::{Sequence, Unfinished};
pub(crate) use slab::Slab;
pub(crate) use task::{Memory, Task, task};
pub(crate) use trace::Recorder;
pub(crate) use transfer::{Transfer, on_gpu};

/// How long a thread that waits for another one's polling sleeps before it looks at its deadline.
const NAP: Duration = Duration::from_millis(10);

/// How often a thread tries to take the baton before it lends its operation to the thread that polls:
/// the progress thread holds it for a moment only.
const TRIES: u32 = 100;

/// The engine of a process, or of a rank that is a thread.
pub(crate) struct Engine {
    transport: Arc<dyn Transport>,
    config: Config,
    /// This rank in the world.
    rank: usize,
    /// Where its operations are kept for a file.
    recorder: Option<&'static Recorder>,
    tasks: Baton<Vec<Entry>>,
    inbox: Mutex<Vec<Entry>>,
    inbox_length: AtomicUsize,
    /// Of tasks that are over.
    wakers: Wakers,
    rounds: AtomicU64,
    spins: Spins,
    /// The only thread that may call, where MPI allows no other.
    only_thread: Option<ThreadId>,
    stopped: AtomicBool,
    /// Calls that may use the transport.
    inside: AtomicUsize,
    progress: Progress,
    endpoints: Mutex<Vec<Weak<Endpoint>>>,
    /// Locked for reading by who looks at endpoints that are not its own.
    watched: RwLock<()>,
    families: Families,
    nodes: Nodes,
    buffered: buffered::Usage,
    inquiry: reporter::Inquiry,
    survey: survey::Survey,
    #[cfg(feature = "cuda")]
    binding: Binding,
}

/// An operation that the polling thread drives.
#[derive(Clone)]
enum Entry {
    Task(Arc<dyn Task>),
    /// An operation on the stack of a thread that waits; that thread removes it before it leaves.
    Lent(*const Lent<'static>),
}

// SAFETY: the thread that lent the operation keeps it in place until it is done or removed, and it is
// polled by the holder of the baton alone.
unsafe impl Send for Entry {}

/// A blocking operation that another thread drives.
struct Lent<'a> {
    future: std::cell::UnsafeCell<Pin<&'a mut (dyn Future<Output = ()> + Send)>>,
    endpoint: &'a Endpoint,
    activities: &'a [&'a Activity],
    done: AtomicBool,
}

/// Removes an operation that was lent, however its thread leaves it.
struct TakenBack<'a> {
    engine: &'a Engine,
    entry: *const Lent<'static>,
}

impl Drop for TakenBack<'_> {
    fn drop(&mut self) {
        // SAFETY: the operation is on the stack of this thread, below this value.
        if unsafe { (*self.entry).is_done() } {
            return;
        }
        let mut tasks = self.engine.tasks.take();
        self.engine.collect_inbox(&mut tasks);
        tasks.retain(|entry| !matches!(entry, Entry::Lent(other) if *other == self.entry));
    }
}

/// A call that may use the transport; [`Engine::stop`] waits for it to end.
pub(crate) struct Inside<'a>(&'a Engine);

impl Drop for Inside<'_> {
    fn drop(&mut self) {
        self.0.inside.fetch_sub(1, Ordering::Release);
    }
}

/// For whom and how long a blocking call waits.
pub(crate) struct Wait<'a> {
    pub endpoint: &'a Endpoint,
    /// The parts of the operation, at least one.
    pub activities: &'a [&'a Activity],
    pub timeout: Option<Duration>,
}

impl Engine {
    /// An engine over a transport; `only_thread` where no other may use it.
    pub(crate) fn new(
        transport: Arc<dyn Transport>,
        config: Config,
        rank: usize,
        recorder: Option<&'static Recorder>,
        only_thread: Option<ThreadId>,
    ) -> Arc<Engine> {
        trace::start(recorder);
        let engine = Arc::new(Engine {
            transport,
            config,
            rank,
            recorder,
            tasks: Baton::new(Vec::new()),
            inbox: Mutex::default(),
            inbox_length: AtomicUsize::new(0),
            wakers: Wakers::default(),
            rounds: AtomicU64::new(0),
            spins: Spins::new(),
            only_thread,
            stopped: AtomicBool::new(false),
            inside: AtomicUsize::new(0),
            progress: Progress::default(),
            endpoints: Mutex::default(),
            watched: RwLock::default(),
            families: Families::default(),
            nodes: Nodes::default(),
            buffered: buffered::Usage::default(),
            inquiry: reporter::Inquiry::default(),
            survey: survey::Survey::default(),
            #[cfg(feature = "cuda")]
            binding: Binding::default(),
        });
        if only_thread.is_none() {
            let driver = progress::Behind(Arc::downgrade(&engine));
            engine.transport.driven_by(Box::new(driver));
        }
        reporter::register(&engine);
        engine
    }

    /// Where the operations of this rank are kept for a file.
    #[inline]
    pub(crate) fn recorder(&self) -> Option<&'static Recorder> {
        self.recorder
    }

    /// Uses a context of the world for the questions and answers of reports.
    pub(crate) fn listen_on(&self, context: crate::transport::Context) {
        self.survey.listen_on(context);
    }

    #[inline]
    pub(crate) fn transport(&self) -> &dyn Transport {
        &*self.transport
    }

    #[inline]
    pub(crate) fn config(&self) -> &Config {
        &self.config
    }

    #[inline]
    pub(crate) fn families(&self) -> &Families {
        &self.families
    }

    /// On which nodes ranks are.
    pub(crate) fn nodes(&self) -> &Nodes {
        &self.nodes
    }

    /// This rank in the world.
    #[cfg(feature = "mpi")]
    pub(crate) fn rank(&self) -> usize {
        self.rank
    }

    /// The GPU of this rank.
    #[cfg(feature = "cuda")]
    pub(crate) fn binding(&self) -> &Binding {
        &self.binding
    }

    #[inline]
    pub(crate) fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::SeqCst)
    }

    /// Keeps the engine from being stopped, until the result is dropped: after the operations of the call.
    #[inline]
    pub(crate) fn enter(&self) -> Result<Inside<'_>> {
        self.inside.fetch_add(1, Ordering::SeqCst);
        let inside = Inside(self);
        self.check()?;
        Ok(inside)
    }

    #[inline]
    fn check_running(&self) -> Result<()> {
        match self.is_stopped() {
            true => Err(Error::invalid(
                "MPI was finalized, or the ranks' threads have ended",
            )),
            false => Ok(()),
        }
    }

    /// Whether this thread may use the engine now.
    #[inline]
    pub(crate) fn check(&self) -> Result<()> {
        self.check_running()?;
        self.check_thread()
    }

    /// Whether this is a thread from which the transport may be used.
    #[inline]
    pub(crate) fn check_thread(&self) -> Result<()> {
        match self.only_thread {
            Some(only) if only != thread::current().id() => Err(Error::unsupported(
                "this MPI allows calls from the thread that initialized it only (thread level below multiple)",
            )),
            _ => Ok(()),
        }
    }

    /// Runs an operation to its end and everybody else's meanwhile.
    #[inline]
    pub(crate) fn block_on<T: Send>(
        &self,
        wait: &Wait<'_>,
        operation: Pin<&mut (dyn Future<Output = Result<T>> + Send)>,
    ) -> Result<T> {
        let entered = trace::is_on().then(|| trace::enter(wait.activities));
        let outcome = self.drive(wait, operation);
        if let Some(entered) = entered {
            entered.leave(wait.activities, outcome.as_ref().map(drop).map_err(Error::kind));
        }
        outcome
    }

    #[inline]
    fn drive<T: Send>(
        &self,
        wait: &Wait<'_>,
        mut operation: Pin<&mut (dyn Future<Output = Result<T>> + Send)>,
    ) -> Result<T> {
        let mut context = Context::from_waker(Waker::noop());
        if let Poll::Ready(outcome) = operation.as_mut().poll(&mut context) {
            return outcome;
        }
        let mut patience = Patience::new(self, wait);
        let mut tries = 0;
        while tries < TRIES {
            let Some(mut tasks) = self.try_poll() else {
                tries += 1;
                std::hint::spin_loop();
                continue;
            };
            self.check_running()?;
            while !self.should_give_way() {
                if let Poll::Ready(outcome) = operation.as_mut().poll(&mut context) {
                    return outcome;
                }
                self.round(&mut tasks);
                patience.round(&tasks)?;
            }
            drop(tasks);
            thread::yield_now();
        }
        self.lend(&mut patience, wait, operation)
    }

    fn polling<'a>(&'a self, held: Held<'a, Vec<Entry>>) -> Polling<'a> {
        Polling::new(held, &self.wakers)
    }

    #[inline]
    fn try_poll(&self) -> Option<Polling<'_>> {
        self.tasks.try_take().map(|held| self.polling(held))
    }

    /// Whether the thread that polls should let go for a moment.
    #[inline]
    fn should_give_way(&self) -> bool {
        self.tasks.is_wanted() || self.wakers.are_there()
    }

    /// Lets the thread that polls drive an operation of this one, or polls once that thread has left.
    fn lend<T: Send>(
        &self,
        patience: &mut Patience<'_>,
        wait: &Wait<'_>,
        operation: Pin<&mut (dyn Future<Output = Result<T>> + Send)>,
    ) -> Result<T> {
        let mut outcome = None;
        let mut finish = pin!(async { outcome = Some(operation.await) });
        let lent = Lent {
            future: std::cell::UnsafeCell::new(finish.as_mut()),
            endpoint: wait.endpoint,
            activities: wait.activities,
            done: AtomicBool::new(false),
        };
        {
            let entry = (&raw const lent).cast::<Lent<'static>>();
            let _taken_back = TakenBack { engine: self, entry };
            self.add(Entry::Lent(entry));
            self.wait_for(&lent, patience)?;
        }
        match outcome {
            Some(outcome) => outcome,
            None => Err(Error::new(
                ErrorKind::Mpi,
                "the operation ended without an outcome",
            )),
        }
    }

    fn wait_for(&self, lent: &Lent<'_>, patience: &mut Patience<'_>) -> Result<()> {
        loop {
            match self.tasks.wait(|| lent.is_done(), NAP) {
                Waited::Done => return Ok(()),
                Waited::Taken(held) => {
                    let mut tasks = self.polling(held);
                    while !self.should_give_way() {
                        self.check_running()?;
                        self.round(&mut tasks);
                        if lent.is_done() {
                            return Ok(());
                        }
                        patience.round(&tasks)?;
                    }
                    drop(tasks);
                    thread::yield_now();
                }
                Waited::TimedOut if patience.is_over() => {
                    let tasks = self.tasks.take();
                    if lent.is_done() {
                        return Ok(());
                    }
                    self.check_running()?;
                    patience.look(&tasks)?;
                }
                Waited::TimedOut => {}
            }
        }
    }

    /// Hands an operation to the engine, after its first step.
    ///
    /// The first step posts to the transport, so that operations are posted in the order in which they
    /// are started.
    pub(crate) fn spawn(self: &Arc<Engine>, task: &Arc<dyn Task>) {
        // SAFETY: the task was not shown to anybody yet.
        if unsafe { task.poll() } {
            return;
        }
        self.adopt(task);
    }

    /// Hands an operation whose first step is still to come to the engine.
    pub(crate) fn adopt(self: &Arc<Engine>, task: &Arc<dyn Task>) {
        // Its age counts from here.
        task.state().activity.age();
        self.add(Entry::Task(Arc::clone(task)));
        if self.only_thread.is_none() {
            self.progress.nudge(self);
        }
        self.transport.wake();
    }

    fn add(&self, entry: Entry) {
        let mut inbox = self.inbox.lock().unwrap_or_else(PoisonError::into_inner);
        inbox.push(entry);
        // Under the lock: who takes an operation back must not read a number from which it is missing.
        self.inbox_length.store(inbox.len(), Ordering::Release);
    }

    fn collect_inbox(&self, tasks: &mut Vec<Entry>) {
        if self.inbox_length.load(Ordering::Acquire) > 0 {
            let mut inbox = self.inbox.lock().unwrap_or_else(PoisonError::into_inner);
            tasks.append(&mut inbox);
            self.inbox_length.store(0, Ordering::Release);
        }
    }

    /// Drives every pending operation once; true if one of them ended.
    #[inline]
    fn round(&self, tasks: &mut Vec<Entry>) -> bool {
        self.rounds.store(
            self.rounds.load(Ordering::Relaxed).wrapping_add(1),
            Ordering::Relaxed,
        );
        self.collect_inbox(tasks);
        if tasks.is_empty() {
            return false;
        }
        let before = tasks.len();
        let mut over = 0;
        tasks.retain(|entry| match entry {
            Entry::Task(task) => {
                // SAFETY: this thread holds the baton.
                let done = unsafe { task.poll() };
                if done {
                    over += 1;
                    self.wakers.add(task.state().take_waker());
                }
                !done
            }
            Entry::Lent(lent) => {
                // SAFETY: the owner is still there: the operation is neither done nor taken back.
                let lent = unsafe { &**lent };
                // SAFETY: this thread holds the baton.
                let future = unsafe { &mut *lent.future.get() };
                match future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
                    Poll::Pending => true,
                    Poll::Ready(()) => {
                        // From here on the owner may be gone.
                        lent.done.store(true, Ordering::Release);
                        false
                    }
                }
            }
        });
        if over > 0 {
            self.progress_finished(over);
        }
        let moved = tasks.len() < before;
        if moved {
            self.tasks.announce();
        }
        moved
    }

    fn progress_finished(&self, tasks: usize) {
        if self.only_thread.is_none() {
            self.progress.finished(tasks);
        }
    }

    /// Drives every pending operation once, if nobody else is at it; true if one of them ended.
    pub(crate) fn poll_in_passing(&self) -> bool {
        match self.try_poll() {
            Some(mut tasks) => self.round(&mut tasks),
            None => false,
        }
    }

    /// Whether pending operations go on while no call is made.
    pub(crate) fn goes_on_by_itself(&self) -> bool {
        self.only_thread.is_none() && self.progress.is_running()
    }

    /// Wakes all who wait for tasks as futures.
    fn ring(&self) {
        let mut tasks = self.polling(self.tasks.take());
        self.collect_inbox(&mut tasks);
        for entry in tasks.iter() {
            if let Entry::Task(task) = entry {
                self.wakers.add(task.state().take_waker());
            }
        }
    }

    /// Takes a task out of the engine in the middle; true if nothing uses its memory any more.
    ///
    /// A buffer that the task owns is leaked if the transport holds it; one that it borrows ends the job.
    pub(crate) fn give_up(&self, task: &Arc<dyn Task>) -> bool {
        let mut tasks = self.polling(self.tasks.take());
        self.collect_inbox(&mut tasks);
        self.give_up_held(task, &mut tasks)
    }

    fn give_up_held(&self, task: &Arc<dyn Task>, tasks: &mut Polling<'_>) -> bool {
        if task.state().is_done() {
            return true;
        }
        let before = tasks.len();
        tasks.retain(|entry| !matches!(entry, Entry::Task(other) if Arc::ptr_eq(other, task)));
        self.progress_finished(before - tasks.len());
        if task.state().activity.lends() && task.state().memory == Memory::Owned {
            // The transport goes on using the buffer, which must never be freed.
            std::mem::forget(Arc::clone(task));
            task.state().activity.close();
            self.wakers.add(task.state().take_waker());
            return false;
        }
        // SAFETY: this thread holds the baton.
        unsafe { task.give_up() };
        task.state()
            .finish(Err(Error::invalid("given up before it was done")));
        self.wakers.add(task.state().take_waker());
        true
    }

    /// How often somebody has polled.
    fn rounds(&self) -> u64 {
        self.rounds.load(Ordering::Relaxed)
    }

    /// Ends the engine: later calls are errors, and calls that wait end with one. Returns what was still
    /// pending.
    pub(crate) fn stop(&self) -> Vec<String> {
        // Before they can see that it is over, and leave.
        let waiting = self.inside.load(Ordering::SeqCst);
        if self.stopped.swap(true, Ordering::SeqCst) {
            return Vec::new();
        }
        self.progress.stop();
        self.survey.end(self);
        let mut pending = Vec::new();
        if waiting > 0 {
            pending.push(format!("{waiting} calls on other threads"));
        }
        while self.inside.load(Ordering::SeqCst) > 0 {
            // Whoever polls gives way, and sees that it is over.
            drop(self.tasks.take());
            self.tasks.announce();
            thread::yield_now();
        }
        let mut tasks = self.polling(self.tasks.take());
        // What can end by itself has the chance to: a message may have arrived that nobody looked at.
        self.round(&mut tasks);
        let uses_a_buffer = |entry: &&Entry| match entry {
            Entry::Task(task) => task.state().memory != Memory::Nothing,
            Entry::Lent(_) => true,
        };
        pending.extend(describe(
            &tasks.iter().filter(uses_a_buffer).cloned().collect::<Vec<_>>(),
            &[],
        ));
        for entry in tasks.clone() {
            if let Entry::Task(task) = entry {
                self.give_up_held(&task, &mut tasks);
            }
        }
        self.transport.flush();
        drop(tasks);
        #[cfg(feature = "cuda")]
        if let (Some(recorder), Some(gpu)) = (self.recorder, self.binding.gpu_name()) {
            recorder.names_gpu(&gpu);
        }
        trace::stop(self.recorder);
        pending
    }

    /// Every communicator that this engine serves.
    pub(crate) fn endpoints(&self) -> Endpoints<'_> {
        let watched = self.watched.read().unwrap_or_else(PoisonError::into_inner);
        let mut endpoints = self.endpoints.lock().unwrap_or_else(PoisonError::into_inner);
        endpoints.retain(|endpoint| endpoint.strong_count() > 0);
        Endpoints {
            list: endpoints.iter().filter_map(Weak::upgrade).collect(),
            _watched: watched,
        }
    }

    /// Whether the only handle of an endpoint is the one that is given, but for those who look at all.
    #[cfg(feature = "mpi")]
    pub(crate) fn is_only_handle(&self, endpoint: &Arc<Endpoint>) -> bool {
        let _nobody_looks = self.watched.write().unwrap_or_else(PoisonError::into_inner);
        Arc::strong_count(endpoint) == 1
    }

    fn register(&self, endpoint: &Arc<Endpoint>) {
        self.endpoints
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(Arc::downgrade(endpoint));
    }
}

/// The endpoints of an engine, for a moment.
pub(crate) struct Endpoints<'a> {
    // Dropped first.
    list: Vec<Arc<Endpoint>>,
    _watched: RwLockReadGuard<'a, ()>,
}

impl Deref for Endpoints<'_> {
    type Target = [Arc<Endpoint>];

    fn deref(&self) -> &[Arc<Endpoint>] {
        &self.list
    }
}

impl Lent<'_> {
    fn is_done(&self) -> bool {
        self.done.load(Ordering::Acquire)
    }
}

/// A line for each pending operation; `own` are those of the caller.
fn describe(tasks: &[Entry], own: &[&Activity]) -> Vec<String> {
    let mut pending = own.to_vec();
    for entry in tasks {
        let others = match entry {
            Entry::Task(task) => &[&*task.state().activity][..],
            // SAFETY: as in `round`; the caller holds the baton.
            Entry::Lent(lent) => unsafe { (**lent).activities },
        };
        for activity in others {
            // A call that waits for a request has its activity, too.
            if !pending.iter().any(|known| std::ptr::eq(*known, *activity)) {
                pending.push(activity);
            }
        }
    }
    pending.retain(|activity| activity.phase() != Phase::Over);
    pending.into_iter().map(Activity::line).collect()
}

/// Waits until a task that the engine drives is over.
pub(crate) async fn over(task: &Arc<dyn Task>) {
    std::future::poll_fn(|_| match task.state().is_done() {
        true => Poll::Ready(()),
        false => Poll::Pending,
    })
    .await;
}

/// Waits for a task that the engine drives, and takes its outcome.
pub(crate) async fn join(task: &Arc<dyn Task>) -> Result<Status> {
    over(task).await;
    let taken = || Err(Error::invalid("the request was waited for already"));
    task.state().take_outcome().unwrap_or_else(taken)
}
