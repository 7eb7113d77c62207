//! A pool of workers: tasks over the ranks of a communicator, each with its GPU.
//!
//! Every rank makes the same [`Pool`], with the same functions, and calls [`Pool::run`]. There rank 0, the master, runs a
//! closure that gives tasks to the others and takes their results; the others serve until it returns. Functions are closures
//! that each rank has compiled, so they may use what is in scope on their rank: buffers on its GPU, files, other
//! communicators. Tasks and results travel: see [`Payload`].
//!
//! ```
//! use warpcomm::Communicator;
//! use warpcomm::pool::Pool;
//!
//! # fn main() -> warpcomm::Result<()> {
//! // Between processes: `let comm = warpcomm::Runtime::init()?.world()?;`
//! let squares = Communicator::threads(4, |comm| {
//!     let mut pool = Pool::new(&comm);
//!     let square = pool.function(|_worker, number: u64| Ok(number * number));
//!     pool.run(|master| master.map(square, 0..10).expect("no task fails"))
//! })?;
//! let of_the_master = squares.into_iter().next().expect("rank 0");
//! assert_eq!(of_the_master?, Some(vec![0, 1, 4, 9, 16, 25, 36, 49, 64, 81]));
//! # Ok(())
//! # }
//! ```
//!
//! How far a call is, its [handle](Handle::progress) tells, and a [bar](LoadBalanced::progress_bar) on a terminal.
//!
//! A pool is made of operations that programs can call too: messages on two communicators of its own.

mod call;
mod clock;
mod direct;
mod failure;
mod function;
mod handle;
mod interrupt;
mod link;
mod load_balanced;
mod master;
mod order;
mod patience;
mod payload;
mod post;
mod progress;
mod progress_bar;
mod reduction;
mod report;
mod schedule;
mod timeline;
mod unordered;
mod value;
mod worker;

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::Instant;

use serde::{Deserialize, Serialize};

use crate::comm::Communicator;
use crate::error::{Error, ErrorKind, Result};

pub use direct::Direct;
pub use failure::{Cause, Held, Incomplete, Stopped, TaskFailure, Tried};
pub use function::{Function, TaskResult};
pub use handle::Handle;
pub use load_balanced::LoadBalanced;
pub use master::Master;
pub use payload::Payload;
pub use progress::Progress;
pub use schedule::Chunk;
pub use timeline::{Entry, Timeline};
pub use unordered::Unordered;
pub use value::Value;
pub use worker::{TaskRng, Worker};

use function::{Erased, Typed, text_of};
use interrupt::Interrupts;
use link::Link;
use value::ErasedValue;

/// The rank that gives tasks.
const MASTER: usize = 0;

/// Workers and what they can do, before they begin; see the [module](self).
///
/// All ranks make it alike: they call the same methods in the same order.
pub struct Pool<'f, S = ()> {
    /// What its functions and values are known by on this rank.
    id: u64,
    comm: Communicator,
    state: Box<dyn Fn(usize) -> TaskResult<S> + Send + Sync + 'f>,
    functions: Vec<Box<dyn Erased<S> + 'f>>,
    values: Vec<Box<dyn ErasedValue>>,
    seed: u64,
    master_works: bool,
    has_timeline: bool,
    hears_interrupts: bool,
}

/// What a rank says before it serves.
#[derive(Serialize, Deserialize)]
struct Greeting {
    /// What all ranks must have in common.
    signature: String,
    is_ready: std::result::Result<(), String>,
}

impl<'f> Pool<'f> {
    /// A pool over the ranks of a communicator, whose workers have no state.
    pub fn new(comm: &Communicator) -> Pool<'f> {
        Pool::with_state(comm, |_| Ok(()))
    }
}

impl<'f, S> Pool<'f, S> {
    /// A pool whose workers have a state each, which `init` makes on the thread of the worker when the pool begins, given the
    /// rank; tasks find it in [`Worker::state`].
    ///
    /// ```
    /// use warpcomm::Communicator;
    /// use warpcomm::pool::Pool;
    ///
    /// let counts = Communicator::threads(3, |comm| {
    ///     let mut pool = Pool::with_state(&comm, |_rank| Ok(0u64));
    ///     let count = pool.function(|worker, more: u64| {
    ///         worker.state += more;
    ///         Ok(worker.state)
    ///     });
    ///     pool.run(|master| {
    ///         master.direct().apply(count, 5).unwrap();
    ///         master.direct().apply(count, 2).unwrap()
    ///     })
    /// })?;
    /// assert_eq!(counts.into_iter().next().unwrap()?, Some(vec![7, 7]));
    /// # Ok::<(), warpcomm::Error>(())
    /// ```
    pub fn with_state(
        comm: &Communicator,
        init: impl Fn(usize) -> TaskResult<S> + Send + Sync + 'f,
    ) -> Pool<'f, S> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        Pool {
            id: NEXT.fetch_add(1, Ordering::Relaxed),
            comm: comm.clone(),
            state: Box::new(init),
            functions: Vec::new(),
            values: Vec::new(),
            seed: 0,
            master_works: comm.size() == 1,
            has_timeline: false,
            hears_interrupts: true,
        }
    }

    /// Adds a function, by which the master calls the closure of each rank. A closure that returns `Err` or panics fails that
    /// one task; its worker goes on with its state as it is then.
    pub fn function<T: Payload, R: Payload>(
        &mut self,
        closure: impl Fn(&mut Worker<S>, T) -> TaskResult<R> + Send + Sync + 'f,
    ) -> Function<T, R>
    where
        S: 'f,
    {
        self.functions.push(Box::new(Typed::<_, T, R>::new(closure)));
        Function::new(self.id, self.functions.len() - 1)
    }

    /// Adds a value that workers keep from call to call: the master [pushes](Direct::push) and [pulls](Direct::pull) it, and
    /// tasks find it by [`Worker::value`]. A `Value<DeviceBuffer<f32>>` is kept on the GPU.
    pub fn value<T: Payload>(&mut self) -> Value<T> {
        let value = Value::new(self.id, self.values.len());
        self.values.push(Box::new(value));
        value
    }

    /// Has the master's rank work too, by a thread of its own, which needs an MPI with `MPI_THREAD_MULTIPLE`. Alone it does
    /// anyway.
    pub fn master_works(mut self, works: bool) -> Self {
        self.master_works = works || self.comm.size() == 1;
        self
    }

    /// What [`Worker::random`] depends on; 0 unless it is said.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// Has the master note who runs what and when, for [`Master::timeline`]: some 150 bytes a task.
    pub fn timeline(mut self, is_wanted: bool) -> Self {
        self.has_timeline = is_wanted;
        self
    }

    /// Whether `SIGINT` (Ctrl-C) and `SIGTERM` end calls and not the process, while the pool runs; they do unless it is said.
    /// A second one ends the process all the same.
    pub fn hears_interrupts(mut self, hears: bool) -> Self {
        self.hears_interrupts = hears;
        self
    }

    /// Runs `body` on the master, rank 0, and returns its value there; on the others serves it, and returns `None`.
    /// Collective.
    ///
    /// It returns when the workers have been let go, on each of them when the tasks are over that it has. If `body` panics,
    /// they are let go too, and the panic goes on.
    ///
    /// # Errors
    /// On every rank: [`Mismatch`](ErrorKind::Mismatch) if ranks have other functions, values or options;
    /// [`PeerFailed`](ErrorKind::PeerFailed) if the state of a worker could not be made, which the error names;
    /// [`Unsupported`](ErrorKind::Unsupported) on a [plain](crate::Wire::Plain) communicator, and if the master is to work
    /// where MPI has no `MPI_THREAD_MULTIPLE`. Those of the communicator.
    pub fn run<V>(self, body: impl FnOnce(&Master) -> V) -> Result<Option<V>> {
        let rank = self.comm.rank();
        let named = |error: Error| error.at("pool", rank);
        let communicators = [self.comm.duplicate(), self.comm.duplicate()];
        let [down, up] = communicators;
        let [down, up] = [down.map_err(named)?, up.map_err(named)?];
        let interrupts = Interrupts::listen(self.hears_interrupts);
        let epoch = Instant::now();
        if rank == MASTER {
            self.rule([down, up], epoch, interrupts, body).map(Some)
        } else {
            let worker = self.worker(Link::new(down, up, MASTER, epoch));
            self.greet(worker.as_ref().map(drop).map_err(Clone::clone))?;
            match worker {
                Ok(mut worker) => worker.serve(&self.functions, &self.values).map_err(named)?,
                Err(text) => return Err(Error::new(ErrorKind::PeerFailed, text).at("pool", rank)),
            }
            Ok(None)
        }
    }

    /// The master's part.
    fn rule<V>(
        &self,
        communicators: [Communicator; 2],
        epoch: Instant,
        interrupts: Interrupts,
        body: impl FnOnce(&Master) -> V,
    ) -> Result<V> {
        let first = usize::from(!self.master_works);
        let workers = (first..self.comm.size()).collect();
        let mut master = Master::new(self.id, communicators, workers, epoch, interrupts);
        let (ready, is_ready) = mpsc::channel();
        let (begin, may_begin) = mpsc::channel();
        thread::scope(|scope| {
            // Dropped with an error, it lets the worker end.
            let begin = begin;
            let own = self.master_works.then(|| {
                let (down, up) = (master.down.clone(), master.up.clone());
                scope.spawn(move || {
                    let worker = self.worker(Link::new(down, up, MASTER, epoch));
                    // Nobody hears it if the master has failed.
                    ready
                        .send(worker.as_ref().map(drop).map_err(Clone::clone))
                        .unwrap_or(());
                    match (worker, may_begin.recv()) {
                        (Ok(mut worker), Ok(())) => worker.serve(&self.functions, &self.values),
                        _ => Ok(()),
                    }
                })
            });
            let is_ready = match &own {
                Some(_) => is_ready
                    .recv()
                    .unwrap_or_else(|_| Err("the worker of the master has panicked".to_owned())),
                None => Ok(()),
            };
            self.greet(is_ready)?;
            begin.send(()).unwrap_or(());
            let recorded = if self.has_timeline {
                master.record()
            } else {
                Ok(())
            };
            let value = recorded.map(|()| catch_unwind(AssertUnwindSafe(|| body(&master))));
            let dismissed = master.dismiss();
            let ended = own.map_or(Ok(()), |own| {
                own.join().unwrap_or_else(|panic| resume_unwind(panic))
            });
            let value = value?.unwrap_or_else(|panic| resume_unwind(panic));
            dismissed.and(ended).map(|()| value)
        })
        .map_err(|error: Error| error.at("pool", MASTER))
    }

    /// This rank's worker; or why there is none.
    fn worker(&self, mut link: Link) -> std::result::Result<Worker<S>, String> {
        // A thread that may not use MPI finds out now.
        link.look().map_err(|error| error.to_string())?;
        let state = catch_unwind(AssertUnwindSafe(|| (self.state)(self.comm.rank())));
        let state = match state {
            Ok(state) => state.map_err(|error| format!("the state of a worker: {error}"))?,
            Err(panic) => return Err(format!("the state of a worker: panicked: {}", text_of(&*panic))),
        };
        Ok(Worker::new(
            self.id,
            state,
            link,
            self.has_timeline,
            self.seed,
            &self.values,
        ))
    }

    /// Tells all ranks that this one is ready, or why not, and hears it of them.
    fn greet(&self, is_ready: std::result::Result<(), String>) -> Result<()> {
        let signature = self.signature();
        let greetings = self.comm.allgather_object(&Greeting { signature, is_ready })?;
        let at = |kind, text: String| Err(Error::new(kind, text).at("pool", self.comm.rank()));
        for (rank, greeting) in greetings.iter().enumerate() {
            if let Err(text) = &greeting.is_ready {
                return at(ErrorKind::PeerFailed, format!("rank {rank} cannot work: {text}"));
            }
            if greeting.signature != greetings[MASTER].signature {
                let (this, that) = (&greeting.signature, &greetings[MASTER].signature);
                return at(
                    ErrorKind::Mismatch,
                    format!("rank {rank} has another pool than rank {MASTER}: {this} and {that}"),
                );
            }
        }
        Ok(())
    }

    /// What all ranks must have in common.
    fn signature(&self) -> String {
        let functions: Vec<String> = self
            .functions
            .iter()
            .map(|function| function.signature())
            .collect();
        let values: Vec<String> = self.values.iter().map(|value| value.signature()).collect();
        format!(
            "functions [{}], values [{}], seed {}, master {}, timeline {}",
            functions.join(", "),
            values.join(", "),
            self.seed,
            if self.master_works { "works" } else { "only rules" },
            self.has_timeline
        )
    }
}

impl<S> fmt::Debug for Pool<'_, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pool({})", self.signature())
    }
}
