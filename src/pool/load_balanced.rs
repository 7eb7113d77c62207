//! Calls whose tasks go to whoever is free.

use std::time::Duration;

use super::call::{Call, Next, Options, Tasks};
use super::failure::{Incomplete, Stopped, Tried};
use super::function::Function;
use super::handle::Handle;
use super::master::Master;
use super::payload::Payload;
use super::reduction::Reduction;
use super::schedule::{Chunk, Schedule};
use super::unordered::Unordered;

/// How calls are made whose tasks go to whoever is free: the options of [`Master::load_balanced`].
///
/// ```
/// use std::time::Duration;
/// use warpcomm::Communicator;
/// use warpcomm::pool::{Chunk, Pool};
///
/// Communicator::threads(3, |comm| {
///     let mut pool = Pool::new(&comm);
///     let halve = pool.function(|_, number: u64| match number % 2 {
///         0 => Ok(number / 2),
///         _ => Err(format!("{number} is odd").into()),
///     });
///     pool.run(|master| {
///         let view = master.load_balanced().chunk(Chunk::Fixed(2)).retries(1).time_limit(Duration::from_secs(60));
///         assert_eq!(view.map(halve, (0..20).step_by(2)).unwrap(), (0..10).collect::<Vec<_>>());
///         let mixed = view.try_map(halve, 0..4).unwrap();
///         assert_eq!(mixed[1].as_ref().unwrap_err().attempts(), 2);
///         assert_eq!(mixed.iter().flatten().sum::<u64>(), 0 + 1);
///     })
/// })?.into_iter().collect::<warpcomm::Result<Vec<_>>>()?;
/// # Ok::<(), warpcomm::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct LoadBalanced<'m> {
    master: &'m Master,
    options: Options,
    chunk: Chunk,
    in_flight: Option<usize>,
}

impl<'m> LoadBalanced<'m> {
    pub(super) fn new(master: &'m Master) -> LoadBalanced<'m> {
        LoadBalanced {
            master,
            options: Options {
                name: String::new(),
                retries: 0,
                time_limit: None,
                ranks: master.workers().to_vec(),
                has_bar: false,
            },
            chunk: Chunk::Measured,
            in_flight: None,
        }
    }

    /// How many tasks go to a worker at a time; [`Chunk::Measured`] unless it is said.
    pub fn chunk(mut self, chunk: Chunk) -> Self {
        self.chunk = chunk;
        self
    }

    /// How many orders, of one chunk each, a worker may have at a time: the one that it runs, and others sent ahead, so that
    /// it need not wait for them; 0 counts as 1. Unless it is said there are 2, and up to 16 of orders that are over in a few
    /// microseconds. Long tasks are never sent ahead.
    pub fn in_flight(mut self, orders: usize) -> Self {
        self.in_flight = Some(orders);
        self
    }

    /// How often a task that has failed is tried again, on another worker if there is one; never unless it is said.
    pub fn retries(mut self, retries: u32) -> Self {
        self.options.retries = retries;
        self
    }

    /// How long a task may take. One that takes longer counts as failed, at once, and can be tried elsewhere. It goes on on its
    /// worker, which has nothing else of the call until it ends, and which it may [ask](super::Worker::is_cancelled); the
    /// call ends when it has ended. Tasks go one at a time then.
    pub fn time_limit(mut self, limit: Duration) -> Self {
        self.options.time_limit = Some(limit);
        self
    }

    /// What the timeline and a progress bar call these tasks.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.options.name = name.into();
        self
    }

    /// Whether a progress bar is drawn on the terminal while the call goes on; not unless it is said, and only where there is
    /// one: the standard error of the master, or, as launchers of MPI give ranks a pipe, that of `warpcomm run`.
    ///
    /// It has the tasks that are done, those that have failed, how many are over a second, when all will be, and the
    /// [load](super::Progress::load) of each worker by its rank, or from the least to the most where a line has no room
    /// for all. Up to 10 times a second it is drawn anew, by whoever waits for the call: not while a program does
    /// something else with a [`Handle`] or between two results. Its last line stays, as it does with tqdm, and says what
    /// the call has taken, or after what time it stopped. Whatever else is printed on the terminal meanwhile mixes with it.
    #[doc(alias = "tqdm")]
    pub fn progress_bar(mut self, has_bar: bool) -> Self {
        self.options.has_bar = has_bar;
        self
    }

    fn call<T: Payload, R: Payload, I: IntoIterator<Item = T>>(
        &self,
        function: Function<T, R>,
        tasks: I,
    ) -> Call<'m, T, R>
    where
        I::IntoIter: 'm,
    {
        let tasks = tasks.into_iter();
        let left = match tasks.size_hint() {
            (least, Some(most)) if least == most => Some(most as u64),
            _ => None,
        };
        let schedule = Schedule::new(self.chunk, self.options.ranks.len(), self.in_flight);
        let tasks = Tasks::Shared(Box::new(tasks), left);
        Call::new(self.master, function, self.options.clone(), tasks, schedule)
    }

    /// The results of all tasks, in the order of these. The tasks are taken from their iterator as workers get free. Tasks of
    /// several arguments are tuples.
    ///
    /// # Errors
    /// The first failure of a task ends the call: tasks that are running are waited for, and those results that there are
    /// are in the error. So it is if the program is interrupted, and if the communicator fails.
    ///
    /// ```
    /// use warpcomm::Communicator;
    /// use warpcomm::pool::Pool;
    ///
    /// let lengths = Communicator::threads(3, |comm| {
    ///     let mut pool = Pool::new(&comm);
    ///     let length = pool.function(|_, word: String| Ok(word.len()));
    ///     pool.run(|master| master.load_balanced().map(length, ["a".into(), "word".into()]).unwrap())
    /// })?;
    /// assert_eq!(lengths.into_iter().next().unwrap()?, Some(vec![1, 4])); // rank 0 is the master
    /// # Ok::<(), warpcomm::Error>(())
    /// ```
    #[doc(alias = "starmap")]
    pub fn map<T: Payload, R: Payload, I: IntoIterator<Item = T>>(
        &self,
        function: Function<T, R>,
        tasks: I,
    ) -> Result<Vec<R>, Incomplete<R>> {
        let mut results = Vec::new();
        self.each(function, tasks, |index, result| {
            place(&mut results, index, result)
        })
        .map_err(|why| Incomplete {
            why,
            results: with_numbers(std::mem::take(&mut results)),
        })?;
        Ok(results.into_iter().flatten().collect())
    }

    /// The results or failures of all tasks, in the order of these: failures end nothing.
    ///
    /// # Errors
    /// If the program is interrupted or the communicator fails; with the results and failures that there are.
    pub fn try_map<T: Payload, R: Payload, I: IntoIterator<Item = T>>(
        &self,
        function: Function<T, R>,
        tasks: I,
    ) -> Result<Vec<Tried<R>>, Incomplete<Tried<R>>> {
        let mut results = Vec::new();
        self.each_of_all(function, tasks, |index, result| {
            place(&mut results, index, result);
            Ok(())
        })
        .map_err(|why| Incomplete {
            why,
            results: with_numbers(std::mem::take(&mut results)),
        })?;
        Ok(results.into_iter().flatten().collect())
    }

    /// The results and failures of tasks as they come, each with the number of its task.
    ///
    /// Tasks are given while the iterator is asked for its next item: so workers that are far ahead wait for whoever takes
    /// their results. Dropping it cancels the rest.
    ///
    /// ```
    /// use warpcomm::Communicator;
    /// use warpcomm::pool::Pool;
    ///
    /// Communicator::threads(3, |comm| {
    ///     let mut pool = Pool::new(&comm);
    ///     let square = pool.function(|_, number: u64| Ok(number * number));
    ///     pool.run(|master| {
    ///         for item in master.load_balanced().map_unordered(square, 0..) {
    ///             let (number, result) = item.expect("nobody interrupts");
    ///             assert_eq!(result.expect("it does not fail"), number * number);
    ///             if number == 100 {
    ///                 break;
    ///             }
    ///         }
    ///     })
    /// })?.into_iter().collect::<warpcomm::Result<Vec<_>>>()?;
    /// # Ok::<(), warpcomm::Error>(())
    /// ```
    #[doc(alias = "imap_unordered")]
    pub fn map_unordered<T: Payload, R: Payload, I: IntoIterator<Item = T>>(
        &self,
        function: Function<T, R>,
        tasks: I,
    ) -> Unordered<'m, T, R>
    where
        I::IntoIter: 'm,
    {
        Unordered::new(self.call(function, tasks))
    }

    /// As [`map`](Self::map), without waiting: the handle tells how far it is, cancels it, and has the results.
    #[doc(alias = "map_async")]
    pub fn start<T: Payload, R: Payload, I: IntoIterator<Item = T>>(
        &self,
        function: Function<T, R>,
        tasks: I,
    ) -> Handle<'m, T, R>
    where
        I::IntoIter: 'm,
    {
        Handle::new(self.call(function, tasks))
    }

    /// As [`map`](Self::map), of which only results are kept that are `Some`.
    ///
    /// # Errors
    /// As there.
    pub fn filter_map<T: Payload, R: Payload, I: IntoIterator<Item = T>>(
        &self,
        function: Function<T, Option<R>>,
        tasks: I,
    ) -> Result<Vec<R>, Incomplete<Option<R>>>
    where
        Option<R>: Payload,
    {
        Ok(self.map(function, tasks)?.into_iter().flatten().collect())
    }

    /// Hands each result to a closure on the master as it comes, with the number of its task.
    ///
    /// # Errors
    /// As for [`map`](Self::map), without results.
    pub fn for_each<T: Payload, R: Payload, I: IntoIterator<Item = T>>(
        &self,
        function: Function<T, R>,
        tasks: I,
        take: impl FnMut(u64, R),
    ) -> Result<(), Stopped> {
        self.each(function, tasks, take)
    }

    /// Combines the results of all tasks in the order of the tasks: along a binary tree over their numbers, [0, n) being
    /// split at the largest power of two below n, as reductions are. So the same tasks give the same bits whatever the
    /// number of ranks and whoever is first. What is kept is what has no neighbour yet. None without tasks.
    ///
    /// # Errors
    /// As for [`map`](Self::map), without results.
    pub fn map_reduce<T: Payload, R: Payload, I: IntoIterator<Item = T>>(
        &self,
        function: Function<T, R>,
        tasks: I,
        mut combine: impl FnMut(R, R) -> R,
    ) -> Result<Option<R>, Stopped> {
        let mut reduction = Reduction::new();
        self.each(function, tasks, |index, result| {
            reduction.add(index, result, &mut combine)
        })?;
        Ok(reduction.finish(&mut combine))
    }

    /// Takes each result, until a task fails.
    fn each<T: Payload, R: Payload, I: IntoIterator<Item = T>>(
        &self,
        function: Function<T, R>,
        tasks: I,
        mut take: impl FnMut(u64, R),
    ) -> Result<(), Stopped> {
        self.each_of_all(function, tasks, |index, result| {
            take(index, result?);
            Ok(())
        })
    }

    /// Takes each result and failure; a failure that comes back ends the call, when what is running has been taken too.
    fn each_of_all<T: Payload, R: Payload, I: IntoIterator<Item = T>>(
        &self,
        function: Function<T, R>,
        tasks: I,
        mut take: impl FnMut(u64, Tried<R>) -> Tried<()>,
    ) -> Result<(), Stopped> {
        // The iterator may borrow what lives no longer than this call.
        let view = LoadBalanced {
            master: self.master,
            ..self.clone()
        };
        let mut call = view.call(function, tasks);
        let mut failure = None;
        loop {
            match call.next(None)? {
                Next::Task(index, result) => {
                    if let Err(failed) = take(index, result)
                        && failure.is_none()
                    {
                        failure = Some(failed);
                        call.drain()?;
                    }
                }
                Next::NotYet => {}
                Next::Over => return failure.map_or(Ok(()), |failure| Err(Stopped::Failed(failure))),
            }
        }
    }
}

/// Puts a result where it belongs.
pub(super) fn place<R>(results: &mut Vec<Option<R>>, index: u64, result: R) {
    let index = usize::try_from(index).unwrap_or(usize::MAX);
    if results.len() <= index {
        results.resize_with(index + 1, || None);
    }
    results[index] = Some(result);
}

/// What there is, each with the number of its task.
pub(super) fn with_numbers<R>(results: Vec<Option<R>>) -> Vec<(u64, R)> {
    let numbered = (0..).zip(results);
    numbered
        .filter_map(|(index, result)| Some((index, result?)))
        .collect()
}
