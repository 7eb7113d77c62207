//! Workers that are addressed by their ranks.

use std::collections::VecDeque;

use super::call::{Call, Next, Options, Tasks};
use super::failure::{Incomplete, Stopped};
use super::function::Function;
use super::load_balanced::{place, with_numbers};
use super::master::Master;
use super::order::{self, Order};
use super::payload::{Payload, pack, unpack};
use super::post::{self, Inbox};
use super::schedule::{Chunk, Schedule};
use super::value::Value;
use crate::buffer::Blocks;
use crate::error::{Error, ErrorKind, Result};

/// All workers, or some of them, each addressed by its rank: what [`Master::direct`] returns.
///
/// ```
/// use warpcomm::Communicator;
/// use warpcomm::pool::Pool;
///
/// Communicator::threads(4, |comm| {
///     let mut pool = Pool::new(&comm);
///     let numbers = pool.value::<Vec<f64>>();
///     let sum = pool.function(move |worker, scale: f64| {
///         Ok(worker.value(numbers).iter().flatten().sum::<f64>() * scale)
///     });
///     pool.run(|master| {
///         let workers = master.direct();
///         workers.scatter(numbers, vec![1.0, 2.0, 3.0, 4.0, 5.0])?; // ranks 1 and 2 have two of them, rank 3 has one
///         assert_eq!(workers.apply(sum, 10.0).unwrap(), [30.0, 70.0, 50.0]);
///         workers.on(&[2])?.push(numbers, vec![0.5])?;
///         assert_eq!(workers.gather(numbers)?, [1.0, 2.0, 0.5, 5.0]);
///         Ok::<(), warpcomm::Error>(())
///     })
/// })?.into_iter().collect::<warpcomm::Result<Vec<_>>>()?;
/// # Ok::<(), warpcomm::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Direct<'m> {
    master: &'m Master,
    ranks: Vec<usize>,
    name: String,
    has_bar: bool,
}

impl<'m> Direct<'m> {
    pub(super) fn new(master: &'m Master) -> Direct<'m> {
        Direct {
            master,
            ranks: master.workers().to_vec(),
            name: String::new(),
            has_bar: false,
        }
    }

    /// Only these of the workers, in this order.
    ///
    /// # Errors
    /// [`InvalidArgument`](ErrorKind::InvalidArgument) for a rank that does not work, or twice, and for none at all.
    pub fn on(&self, ranks: &[usize]) -> Result<Direct<'m>> {
        let wrong = |message| Err(Error::invalid(message).at("on", self.master.up.rank()));
        for (place, rank) in ranks.iter().enumerate() {
            if !self.ranks.contains(rank) {
                return wrong(format!("rank {rank} is none of the workers {:?}", self.ranks));
            }
            if ranks[..place].contains(rank) {
                return wrong(format!("rank {rank} is there twice"));
            }
        }
        if ranks.is_empty() {
            return wrong("no ranks".to_owned());
        }
        Ok(Direct {
            ranks: ranks.to_vec(),
            ..self.clone()
        })
    }

    /// What the timeline and a progress bar call the tasks.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }

    /// Whether a progress bar is drawn while tasks run, as of [`LoadBalanced`](super::LoadBalanced::progress_bar).
    pub fn progress_bar(mut self, has_bar: bool) -> Self {
        self.has_bar = has_bar;
        self
    }

    /// The ranks, in order.
    pub fn ranks(&self) -> &[usize] {
        &self.ranks
    }

    /// Runs a function once on each of the workers, on the same argument; the results in the order of the ranks.
    ///
    /// # Errors
    /// As for [`LoadBalanced::map`](super::LoadBalanced::map).
    pub fn apply<T: Payload + Clone, R: Payload>(
        &self,
        function: Function<T, R>,
        argument: T,
    ) -> std::result::Result<Vec<R>, Incomplete<R>> {
        self.run(function, vec![argument; self.ranks.len()])
    }

    /// The results of all tasks, in the order of these. Each worker has an even block of them, whatever they take: for tasks
    /// that take the same, or that want what their worker [keeps](super::Worker::value).
    ///
    /// # Errors
    /// As for [`LoadBalanced::map`](super::LoadBalanced::map).
    pub fn map<T: Payload, R: Payload>(
        &self,
        function: Function<T, R>,
        tasks: impl IntoIterator<Item = T>,
    ) -> std::result::Result<Vec<R>, Incomplete<R>> {
        self.run(function, tasks.into_iter().collect())
    }

    fn run<T: Payload, R: Payload>(
        &self,
        function: Function<T, R>,
        tasks: Vec<T>,
    ) -> std::result::Result<Vec<R>, Incomplete<R>> {
        let blocks = Blocks::even(tasks.len(), self.ranks.len());
        let mut tasks = tasks.into_iter();
        let part = |place| {
            let block = blocks.range(place);
            let first = block.start as u64;
            (first, tasks.by_ref().take(block.len()).collect::<VecDeque<T>>())
        };
        let parts = (0..self.ranks.len()).map(part).collect();
        let options = Options {
            name: self.name.clone(),
            retries: 0,
            time_limit: None,
            ranks: self.ranks.clone(),
            has_bar: self.has_bar,
        };
        // Nobody else wants the tasks of a worker.
        let schedule = Schedule::new(Chunk::Measured, 1, None);
        let mut call = Call::new(self.master, function, options, Tasks::Divided(parts), schedule);
        let (mut results, mut failure) = (Vec::new(), None);
        let mut take = || -> std::result::Result<(), Stopped> {
            loop {
                match call.next(None)? {
                    Next::Task(index, Ok(result)) => place(&mut results, index, result),
                    Next::Task(_, Err(failed)) if failure.is_none() => {
                        failure = Some(failed);
                        call.drain()?;
                    }
                    Next::Task(..) | Next::NotYet => {}
                    Next::Over => {
                        return failure
                            .take()
                            .map_or(Ok(()), |failed| Err(Stopped::Failed(failed)));
                    }
                }
            }
        };
        match take() {
            Ok(()) => Ok(results.into_iter().flatten().collect()),
            Err(why) => Err(Incomplete {
                why,
                results: with_numbers(results),
            }),
        }
    }

    /// Has each of the workers keep a value.
    ///
    /// # Errors
    /// [`InvalidArgument`](ErrorKind::InvalidArgument) if it cannot be serialized or is of another pool, [`PeerFailed`](ErrorKind::PeerFailed) for
    /// a worker that cannot read it: what others keep is not known then. Those of the communicator.
    pub fn push<T: Payload>(&self, value: Value<T>, content: T) -> Result<()> {
        let content = vec![content];
        self.push_all("push", value, |_| &content)
    }

    /// Has the workers keep an even block of elements each.
    ///
    /// # Errors
    /// As for [`push`](Self::push).
    pub fn scatter<E>(&self, value: Value<Vec<E>>, elements: Vec<E>) -> Result<()>
    where
        Vec<E>: Payload,
    {
        let blocks = Blocks::even(elements.len(), self.ranks.len());
        let mut elements = elements.into_iter();
        let part = |place| {
            vec![
                elements
                    .by_ref()
                    .take(blocks.range(place).len())
                    .collect::<Vec<E>>(),
            ]
        };
        let parts: Vec<Vec<Vec<E>>> = (0..self.ranks.len()).map(part).collect();
        self.push_all("scatter", value, |place| &parts[place])
    }

    fn push_all<'c, T: Payload>(
        &self,
        operation: &'static str,
        value: Value<T>,
        content: impl Fn(usize) -> &'c Vec<T>,
    ) -> Result<()> {
        self.master.check(value.pool)?;
        let down = &self.master.down;
        let mut failed = None;
        let mut told = 0;
        let mut message = Vec::new();
        for (place, &rank) in self.ranks.iter().enumerate() {
            Order::Push(value.number as u64).begin(&mut message);
            // What cannot be serialized is found out before anybody waits for it.
            if let Err(error) = pack(content(place), &mut message) {
                failed = Some(error.at(operation, self.master.up.rank()));
                break;
            }
            post::send(&mut message, down, rank, order::ORDER)?;
            for value in content(place) {
                value.send(down, rank, order::BUFFERS)?;
            }
            told += 1;
        }
        for &rank in &self.ranks[..told] {
            if let Err(error) = self.answer(operation, rank) {
                failed.get_or_insert(error);
            }
        }
        failed.map_or(Ok(()), Err)
    }

    /// What each of the workers keeps, in the order of the ranks; they keep it.
    ///
    /// # Errors
    /// [`InvalidArgument`](ErrorKind::InvalidArgument) for a value of another pool,
    /// [`PeerFailed`](ErrorKind::PeerFailed) for a worker that has none or cannot send it; those of the communicator.
    pub fn pull<T: Payload>(&self, value: Value<T>) -> Result<Vec<T>> {
        self.pull_all("pull", value)
    }

    /// What each of the workers keeps, one behind the other in the order of the ranks; they keep it.
    ///
    /// # Errors
    /// As for [`pull`](Self::pull).
    pub fn gather<E>(&self, value: Value<Vec<E>>) -> Result<Vec<E>>
    where
        Vec<E>: Payload,
    {
        Ok(self.pull_all("gather", value)?.into_iter().flatten().collect())
    }

    fn pull_all<T: Payload>(&self, operation: &'static str, value: Value<T>) -> Result<Vec<T>> {
        self.master.check(value.pool)?;
        for &rank in &self.ranks {
            Order::Pull(value.number as u64).send(&self.master.down, rank)?;
        }
        let (mut values, mut failed) = (Vec::new(), None);
        let mut inbox = Inbox::default();
        for &rank in &self.ranks {
            let part = self
                .answer(operation, rank)
                .and_then(|()| self.master.up.mprobe(rank, order::PART))
                .and_then(|message| inbox.receive(message))
                .and_then(|()| unpack(inbox.message(), &self.master.up, rank, order::PART)?);
            match part {
                Ok((part, _)) => values.extend(part),
                // Everybody's answer is taken.
                Err(error) => {
                    failed.get_or_insert(error);
                }
            }
        }
        failed.map_or(Ok(values), Err)
    }

    /// What a worker has to say of its value.
    fn answer(&self, operation: &'static str, rank: usize) -> Result<()> {
        let (answer, _) = self
            .master
            .up
            .recv_object::<std::result::Result<(), String>>(rank, order::REPLY)?;
        answer.map_err(|text| {
            Error::new(ErrorKind::PeerFailed, format!("the value of rank {rank}: {text}"))
                .at(operation, self.master.up.rank())
        })
    }
}
