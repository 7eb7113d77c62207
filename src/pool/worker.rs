//! A rank that runs tasks.

use std::any::Any;
#[cfg(feature = "cuda")]
use std::sync::Arc;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

use super::function::Erased;
use super::link::Link;
use super::order::{self, Order};
use super::value::{ErasedValue, Value};
#[cfg(feature = "cuda")]
use crate::device::cuda::{Context, Stream};
use crate::error::Result;
#[cfg(feature = "cuda")]
use crate::error::{Error, ErrorKind};

/// The random generator of a task: ChaCha with 8 rounds, whose numbers are the same on every machine.
pub type TaskRng = ChaCha8Rng;

/// What a task has beside its argument: the rank that runs it, that rank's GPU and state, and a random generator.
pub struct Worker<S = ()> {
    /// What the closure of [`Pool::with_state`](super::Pool::with_state) has made on this rank, as tasks before this one have left it.
    pub state: S,
    pub(super) link: Link,
    pool: u64,
    /// Whether somebody asks when each task ran.
    pub(super) has_timeline: bool,
    seed: u64,
    call: u64,
    task: u64,
    attempt: u32,
    random: Option<TaskRng>,
    #[cfg(feature = "cuda")]
    stream: Option<Arc<Stream>>,
    /// An `Option<T>` for each value.
    values: Vec<Box<dyn Any>>,
}

impl<S> Worker<S> {
    pub(super) fn new(
        pool: u64,
        state: S,
        link: Link,
        has_timeline: bool,
        seed: u64,
        values: &[Box<dyn ErasedValue>],
    ) -> Worker<S> {
        Worker {
            state,
            link,
            pool,
            has_timeline,
            seed,
            call: 0,
            task: 0,
            attempt: 0,
            random: None,
            #[cfg(feature = "cuda")]
            stream: None,
            values: values.iter().map(|value| value.none()).collect(),
        }
    }

    /// This rank, in the communicator that the pool was made of.
    pub fn rank(&self) -> usize {
        self.link.up.rank()
    }

    /// The number of ranks in that communicator.
    pub fn size(&self) -> usize {
        self.link.up.size()
    }

    /// The number of the task in its call, from 0.
    pub fn task(&self) -> u64 {
        self.task
    }

    /// A random generator that depends on the pool's [seed](super::Pool::seed), the call and the task alone, and not on the
    /// rank that runs it.
    pub fn random(&mut self) -> &mut TaskRng {
        let numbers = [self.seed, self.call, self.task];
        self.random.get_or_insert_with(|| {
            let mut key = [0; 32];
            for (bytes, number) in key.chunks_exact_mut(8).zip(numbers) {
                bytes.copy_from_slice(&number.to_le_bytes());
            }
            TaskRng::from_seed(key)
        })
    }

    /// Whether nobody waits for the task any more, because its call was cancelled or has failed, or it takes longer than it
    /// may: a long task asks now and then, and ends early with any result.
    pub fn is_cancelled(&mut self) -> bool {
        let now = self.link.now();
        self.link
            .is_cancelled(self.call, self.task, self.attempt, now)
            .unwrap_or(true)
    }

    /// The context of this rank's GPU; see [`Communicator::device`](crate::Communicator::device).
    ///
    /// # Errors
    /// As there.
    #[cfg(feature = "cuda")]
    pub fn device(&self) -> Result<Arc<Context>> {
        self.link.up.device()
    }

    /// A stream of this rank's GPU, the same for all tasks of the pool.
    ///
    /// # Errors
    /// As for [`device`](Self::device); [`Device`](crate::ErrorKind::Device) if the driver makes no stream.
    #[cfg(feature = "cuda")]
    pub fn stream(&mut self) -> Result<Arc<Stream>> {
        if let Some(stream) = &self.stream {
            return Ok(Arc::clone(stream));
        }
        let stream = self.device()?.new_stream().map_err(|error| {
            let error = Error::new(ErrorKind::Device, "the driver makes no stream").with_source(error);
            error.at("pool", self.rank())
        })?;
        Ok(Arc::clone(self.stream.insert(stream)))
    }

    /// The value that this worker keeps; none until the master has [pushed](super::Direct::push) or
    /// [scattered](super::Direct::scatter) one, or a task has put it there.
    ///
    /// # Panics
    /// If it is a value of another pool.
    pub fn value<T: 'static>(&mut self, value: Value<T>) -> &mut Option<T> {
        let kept = self.values.get_mut(value.number);
        kept.filter(|_| value.pool == self.pool)
            .and_then(|kept| kept.downcast_mut())
            .unwrap_or_else(|| panic!("{value:?} is of another pool"))
    }

    /// Begins a task.
    pub(super) fn begin(&mut self, call: u64, task: u64, attempt: u32) {
        (self.call, self.task, self.attempt, self.random) = (call, task, attempt, None);
    }

    /// The number of the GPU, once a task has asked for its stream.
    pub(super) fn gpu(&self) -> Option<u32> {
        #[cfg(feature = "cuda")]
        return self
            .stream
            .as_ref()
            .map(|stream| stream.context().ordinal() as u32);
        #[cfg(not(feature = "cuda"))]
        None
    }

    /// Does what the master orders, until it orders to end.
    ///
    /// # Errors
    /// Those of the communicator.
    pub(super) fn serve(
        &mut self,
        functions: &[Box<dyn Erased<S> + '_>],
        values: &[Box<dyn ErasedValue>],
    ) -> Result<()> {
        loop {
            match self.link.order()? {
                Order::Run(run) => functions[run.function as usize].run(self, run)?,
                Order::Time => {
                    let now = self.link.now();
                    self.link.up.send(&now, self.link.master, order::REPLY)?;
                }
                Order::Push(number) => {
                    values[number as usize].take(&mut *self.values[number as usize], &mut self.link)?
                }
                Order::Pull(number) => {
                    values[number as usize].give(&mut *self.values[number as usize], &mut self.link)?
                }
                // Nothing is left behind in the communicator.
                Order::Leave => return self.link.look(),
            }
        }
    }
}

impl<S> std::fmt::Debug for Worker<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "Worker {} at task {} of call {}",
            self.rank(),
            self.task,
            self.call
        )
    }
}
