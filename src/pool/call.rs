//! A call of a pool: its tasks on their way out and its results on their way back, each exactly once.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::failure::{Cause, Held, Stopped, TaskFailure, Tried};
use super::function::Function;
use super::master::Master;
use super::order::{self, ALL, Batch, Cancelled, Details, Head, Order, Outcome, Ran, Run};
use super::patience::Patience;
use super::payload::{Payload, pack, unpack};
use super::post;
use super::progress::Progress;
use super::progress_bar::{Bar, Bars, Stage};
use super::schedule::Schedule;
use super::timeline::Entry;
use crate::error::Result;
use crate::message::Source;
use crate::object::decode;
use crate::point_to_point::Message;

/// How long an interrupted call waits for tasks that run: launchers kill soon after they ask.
const GRACE: Duration = Duration::from_millis(400);

/// How a call is made.
#[derive(Clone, Debug)]
pub(super) struct Options {
    /// What the timeline calls its tasks.
    pub name: String,
    /// How often a task may be tried again.
    pub retries: u32,
    pub time_limit: Option<Duration>,
    /// The ranks that work for it.
    pub ranks: Vec<usize>,
    pub has_bar: bool,
}

/// Where tasks come from.
pub(super) enum Tasks<'m, T> {
    /// One after the other, for whoever is free; with how many there are, if that is known.
    Shared(Box<dyn Iterator<Item = T> + 'm>, Option<u64>),
    /// For each worker its own, from a number on.
    Divided(Vec<(u64, VecDeque<T>)>),
}

/// A call that is under way; it goes on while somebody waits for its results.
pub(super) struct Call<'m, T: Payload, R: Payload> {
    master: &'m Master,
    number: u64,
    function: Function<T, R>,
    options: Options,
    tasks: Tasks<'m, T>,
    schedule: Schedule,
    /// The number of the next task of [`Tasks::Shared`].
    next: u64,
    again: VecDeque<Again<T>>,
    workers: Vec<Outgoing<T>>,
    /// Tasks that are over and have not been asked for.
    arrived: VecDeque<(u64, Tried<R>)>,
    is_cancelled: bool,
    /// It was cancelled because the program was interrupted.
    is_interrupted: bool,
    begun: Instant,
    pub(super) tally: Tally,
    /// None where none is drawn, and when it has been drawn for the last time.
    bar: Option<Bar>,
}

/// How far a call is.
#[derive(Clone, Debug, Default)]
pub(super) struct Tally {
    pub done: u64,
    pub failed: u64,
    /// What tasks of each worker have taken, in nanoseconds.
    pub busy: Vec<u64>,
}

/// A worker and the orders that it has, the first one first.
struct Outgoing<T> {
    rank: usize,
    orders: VecDeque<Given<T>>,
    /// When it reported last, or got an order that it could begin at once.
    since: Instant,
}

struct Given<T> {
    first: u64,
    count: u64,
    /// The tasks, where they may be tried again.
    kept: Vec<T>,
    attempts: u32,
    /// When it was given, in nanoseconds of the master's time.
    at: u64,
    /// Its task counts as failed whatever it reports.
    is_overdue: bool,
}

/// A task that is to be given alone: once more and elsewhere, or because it cannot travel with others.
struct Again<T> {
    index: u64,
    task: T,
    attempts: u32,
    avoid: Option<usize>,
}

impl<'m, T: Payload, R: Payload> Call<'m, T, R> {
    pub(super) fn new(
        master: &'m Master,
        function: Function<T, R>,
        options: Options,
        tasks: Tasks<'m, T>,
        schedule: Schedule,
    ) -> Call<'m, T, R> {
        let begun = Instant::now();
        let outgoing = |&rank| Outgoing {
            rank,
            orders: VecDeque::new(),
            since: begun,
        };
        let mut call = Call {
            master,
            number: master.number_call(),
            function,
            tasks,
            schedule,
            next: 0,
            again: VecDeque::new(),
            workers: options.ranks.iter().map(outgoing).collect(),
            arrived: VecDeque::new(),
            is_cancelled: false,
            is_interrupted: false,
            begun,
            tally: Tally {
                busy: vec![0; options.ranks.len()],
                ..Tally::default()
            },
            bar: None,
            options,
        };
        if call.options.has_bar {
            let bars = master.bars.get_or_init(Bars::new);
            call.bar = bars.bar(&call.options.name, &call.options.ranks, call.total());
        }
        call
    }

    /// The next task that is over; none when all are. Waits for it until `deadline`, if there is one.
    ///
    /// # Errors
    /// Why there will be no more.
    pub(super) fn next(&mut self, deadline: Option<Instant>) -> std::result::Result<Next<R>, Stopped> {
        self.master
            .check(self.function.pool)
            .map_err(|error| Stopped::Broken(error, Vec::new()))?;
        let mut patience = Patience::default();
        loop {
            if let Some((index, result)) = self.arrived.pop_front() {
                return Ok(Next::Task(index, result));
            }
            if self.is_over() {
                return match self.is_interrupted {
                    true => Err(Stopped::Interrupted),
                    false => Ok(Next::Over),
                };
            }
            if self.master.is_interrupted() {
                self.is_interrupted = true;
                self.drain()?;
                continue;
            }
            let has_moved = self.round()?;
            if !self.arrived.is_empty() {
                continue;
            }
            if self.is_late(deadline) {
                return Ok(Next::NotYet);
            }
            match has_moved {
                true => patience.renew(),
                false => patience.wait(),
            }
        }
    }

    /// Whether it is time to return with what has come so far, though more will come.
    pub(super) fn is_late(&self, deadline: Option<Instant>) -> bool {
        self.arrived.is_empty()
            && deadline.is_some_and(|deadline| deadline <= Instant::now())
            && !self.is_over()
    }

    /// Whether nothing more can arrive.
    fn is_over(&self) -> bool {
        self.again.is_empty()
            && self.left() == Some(0)
            && self.workers.iter().all(|worker| worker.orders.is_empty())
    }

    /// How many tasks there are in all, if that is known.
    pub(super) fn total(&self) -> Option<u64> {
        match &self.tasks {
            Tasks::Shared(_, left) => left.map(|left| left.saturating_add(self.next)),
            Tasks::Divided(parts) => Some(
                parts
                    .iter()
                    .map(|(next, tasks)| next + tasks.len() as u64)
                    .max()
                    .unwrap_or(0),
            ),
        }
    }

    /// How many tasks have not been given to anybody, beside those that are given again.
    fn left(&self) -> Option<u64> {
        match &self.tasks {
            Tasks::Shared(_, left) => *left,
            Tasks::Divided(parts) => Some(parts.iter().map(|(_, tasks)| tasks.len() as u64).sum()),
        }
    }

    /// How far it is.
    pub(super) fn progress(&self) -> Progress {
        Progress::of(&self.tally, self.running(), self.total(), self.begun.elapsed())
    }

    /// How many tasks workers have now.
    fn running(&self) -> u64 {
        let orders = self.workers.iter().flat_map(|worker| &worker.orders);
        orders.map(|given| given.count).sum()
    }

    /// Takes what has come and gives what can be given; says whether there was anything.
    pub(super) fn round(&mut self) -> std::result::Result<bool, Stopped> {
        let looked = self.look().map_err(|error| {
            let held = self.workers.iter().filter(|worker| !worker.orders.is_empty());
            let held = held.map(|worker| Held {
                rank: worker.rank,
                tasks: worker
                    .orders
                    .iter()
                    .flat_map(|given| given.first..given.first + given.count)
                    .collect(),
            });
            let held = held.collect();
            // Nothing more comes of it.
            self.workers.iter_mut().for_each(|worker| worker.orders.clear());
            Stopped::Broken(error, held)
        });
        self.draw(looked.is_err());
        looked
    }

    /// Draws the bar, if there is one: when it is time, and when the call has ended, of itself or because it `is_broken`.
    fn draw(&mut self, is_broken: bool) {
        let Some(mut bar) = self.bar.take() else {
            return;
        };
        let has_ended = is_broken || self.is_over();
        if has_ended || bar.is_due() {
            bar.draw(
                self.progress(),
                match (has_ended, is_broken || self.is_cancelled) {
                    (false, false) => Stage::Running,
                    (false, true) => Stage::Stopping,
                    (true, true) => Stage::Stopped,
                    (true, false) => Stage::Over,
                },
            );
        }
        self.bar = (!has_ended).then_some(bar);
    }

    fn look(&mut self) -> Result<bool> {
        let mut has_moved = false;
        let tag = order::report(self.number);
        if self.workers.iter().any(|worker| !worker.orders.is_empty()) {
            while let Some(message) = self.master.up.improbe(Source::Any, tag)? {
                self.take(message)?;
                has_moved = true;
            }
        }
        self.note_overdue()?;
        for place in 0..self.workers.len() {
            while self.give(place)? {
                has_moved = true;
            }
        }
        Ok(has_moved)
    }

    /// Takes a report.
    fn take(&mut self, message: Message) -> Result<()> {
        let rank = message.status().source();
        // Whatever is called meanwhile has memory of its own.
        let mut inbox = self.master.inbox.take();
        let taken = inbox
            .receive(message)
            .and_then(|()| self.read(rank, inbox.message()));
        inbox.trim();
        self.master.inbox.set(inbox);
        taken
    }

    fn read(&mut self, rank: usize, report: &[u8]) -> Result<()> {
        let (head, mut rest, details) = Head::read(report)?;
        let (ran, batches) = match details {
            [] => (None, vec![Batch(head.tasks, rest.len() as u64)]),
            details => {
                let Details(ran, batches) = decode(details)?;
                (Some(ran), batches)
            }
        };
        let up = &self.master.up;
        let mut results: VecDeque<std::result::Result<R, String>> = VecDeque::new();
        let mut bytes_out = 0;
        for Batch(count, bytes) in batches {
            let batch = usize::try_from(bytes).unwrap_or(usize::MAX).min(rest.len());
            let (batch, others) = rest.split_at(batch);
            rest = others;
            match unpack(batch, up, rank, order::results(self.number))? {
                Ok((batch, bytes)) => {
                    bytes_out += bytes;
                    results.extend(batch.into_iter().map(Ok));
                }
                Err(error) => {
                    let text = format!("its result cannot be read: {error}");
                    results.extend((0..count).map(|_| Err(text.clone())));
                }
            }
        }
        let place = self.workers.iter().position(|worker| worker.rank == rank);
        let Some((place, given)) =
            place.and_then(|place| Some((place, self.workers[place].orders.pop_front()?)))
        else {
            return Ok(());
        };
        debug_assert_eq!((given.first, given.count), (head.first, head.tasks));
        self.workers[place].since = Instant::now();
        let (busy, begun) = match &ran {
            Some(ran) => {
                let begun = || ran.iter().filter(|ran| ran.0 != Outcome::Skipped);
                let busy = |Ran(_, begin, end): &Ran| end.saturating_sub(*begin);
                (begun().map(busy).sum(), begun().count() as u64)
            }
            None => (head.time[1].saturating_sub(head.time[0]), head.tasks),
        };
        self.tally.busy[place] += busy;
        self.schedule
            .ran(begun, busy as f64 / 1e9, head.bytes.max(bytes_out));
        let tasks = head.tasks.max(1);
        let mut kept = given.kept.into_iter();
        let mut ran = ran.map(Vec::into_iter);
        for index in given.first..given.first + given.count {
            let task = kept.next();
            let Ran(outcome, begin, end) = match &mut ran {
                Some(ran) => ran.next().unwrap_or(Ran(Outcome::Skipped, 0, 0)),
                None => Ran(Outcome::Done, head.time[0], head.time[1]),
            };
            if outcome == Outcome::Skipped {
                continue;
            }
            self.master.note(|clock| Entry {
                name: self.options.name.clone(),
                call: self.number,
                task: index,
                attempt: given.attempts,
                rank,
                gpu: head.gpu.map(|gpu| gpu as usize),
                given: given.at,
                begin: clock.of_master(rank, begin),
                end: clock.of_master(rank, end),
                bytes_in: head.bytes / tasks,
                bytes_out: bytes_out / tasks,
                has_failed: outcome != Outcome::Done,
            });
            let tried = match outcome {
                Outcome::Failed(text) => Err(Cause::Error(text)),
                Outcome::Panicked(text) => Err(Cause::Panic(text)),
                _ => match results.pop_front() {
                    Some(result) => result.map_err(Cause::Error),
                    None => Err(Cause::Error("its result is missing".to_owned())),
                },
            };
            match tried {
                _ if given.is_overdue => {}
                Ok(result) => {
                    self.tally.done += 1;
                    self.arrived.push_back((index, Ok(result)));
                }
                Err(cause) => self.fail(index, task, rank, given.attempts, cause),
            }
        }
        Ok(())
    }

    /// A task has failed on a rank: it is tried once more, or over.
    fn fail(&mut self, index: u64, task: Option<T>, rank: usize, attempts: u32, cause: Cause) {
        match task {
            Some(task) if attempts <= self.options.retries && !self.is_cancelled => {
                self.again.push_back(Again {
                    index,
                    task,
                    attempts,
                    avoid: Some(rank),
                })
            }
            _ => {
                self.tally.failed += 1;
                let failure = TaskFailure {
                    task: index,
                    rank,
                    attempts,
                    cause,
                };
                self.arrived.push_back((index, Err(failure)));
            }
        }
    }

    /// Looks for tasks that take too long, and tells their workers.
    fn note_overdue(&mut self) -> Result<()> {
        let Some(limit) = self.options.time_limit else {
            return Ok(());
        };
        for place in 0..self.workers.len() {
            let worker = &mut self.workers[place];
            let is_late = worker.since.elapsed() > limit;
            if let Some(given) = worker
                .orders
                .front_mut()
                .filter(|given| is_late && !given.is_overdue)
            {
                given.is_overdue = true;
                let (index, task, attempts, rank) =
                    (given.first, given.kept.pop(), given.attempts, worker.rank);
                self.fail(index, task, rank, attempts, Cause::TimeLimit(limit));
                self.tell(rank, [self.number, index, attempts.into()])?;
            }
        }
        Ok(())
    }

    /// Gives a worker an order, if it should have one; says whether there was anything to do.
    fn give(&mut self, place: usize) -> Result<bool> {
        let (rank, orders) = (self.workers[place].rank, self.workers[place].orders.len());
        // Who is over time has nothing in reserve, and buffers wait for nobody but a worker that is ready.
        let is_single = self.options.time_limit.is_some() || T::IS_BUFFER;
        if self.is_cancelled || is_single && orders > 0 {
            return Ok(false);
        }
        let others = self.workers.len() > 1;
        let is_for_it = |again: &Again<T>| again.avoid != Some(rank) || !others;
        if orders == 0
            && let Some(found) = self.again.iter().position(is_for_it)
            && let Some(again) = self.again.remove(found)
        {
            self.send(place, again.index, vec![again.task], again.attempts + 1)?;
            return Ok(true);
        }
        let left = match &self.tasks {
            Tasks::Shared(_, left) => *left,
            Tasks::Divided(parts) => Some(parts[place].1.len() as u64),
        };
        let count = match self.schedule.next(orders, left) {
            0 => return Ok(false),
            _ if is_single => 1,
            count => count,
        };
        let (first, batch) = self.tasks.take(place, count, &mut self.next);
        match batch.is_empty() {
            true => Ok(false),
            false => self.send(place, first, batch, 1).map(|()| true),
        }
    }

    /// Sends tasks to a worker, together or not at all.
    fn send(&mut self, place: usize, first: u64, batch: Vec<T>, attempts: u32) -> Result<()> {
        let down = &self.master.down;
        let rank = self.workers[place].rank;
        let count = batch.len() as u64;
        let at = self.master.now();
        let order = Order::Run(Run {
            call: self.number,
            function: self.function.number as u64,
            first,
            tasks: count,
            attempt: attempts,
        });
        let mut message = self.master.outbox.take();
        order.begin(&mut message);
        if let Err(error) = pack(&batch, &mut message) {
            self.master.outbox.set(message);
            match count {
                1 => {
                    let cause = Cause::Error(format!("the task cannot be sent: {error}"));
                    self.fail(first, None, rank, attempts, cause);
                }
                // Some of them can be sent, perhaps.
                _ => {
                    let alone = |(task, index)| Again {
                        index,
                        task,
                        attempts: attempts - 1,
                        avoid: None,
                    };
                    self.again.extend(batch.into_iter().zip(first..).map(alone));
                }
            }
            return Ok(());
        }
        post::send(&mut message, down, rank, order::ORDER)?;
        self.master.outbox.set(message);
        for task in &batch {
            task.send(down, rank, order::BUFFERS)?;
        }
        let worker = &mut self.workers[place];
        if worker.orders.is_empty() {
            worker.since = Instant::now();
        }
        worker.orders.push_back(Given {
            first,
            count,
            kept: if self.options.retries > 0 {
                batch
            } else {
                Vec::new()
            },
            attempts,
            at,
            is_overdue: false,
        });
        Ok(())
    }

    /// Gives no more tasks, and asks workers to leave those that they have not begun.
    pub(super) fn cancel(&mut self) -> Result<()> {
        if self.is_cancelled {
            return Ok(());
        }
        self.is_cancelled = true;
        self.again.clear();
        self.tasks.clear();
        for place in 0..self.workers.len() {
            if !self.workers[place].orders.is_empty() {
                self.tell(self.workers[place].rank, [self.number, ALL, 0])?;
            }
        }
        Ok(())
    }

    /// Tells a worker what is not wanted any more, which it may be too busy to hear.
    fn tell(&mut self, rank: usize, cancelled: Cancelled) -> Result<()> {
        let mut message = bytemuck::bytes_of(&cancelled).to_vec();
        post::send(&mut message, &self.master.down, rank, order::CANCEL)
    }

    /// Cancels, and waits until no worker has an order; of an interrupted program not for long.
    pub(super) fn drain(&mut self) -> std::result::Result<(), Stopped> {
        self.cancel()
            .map_err(|error| Stopped::Broken(error, Vec::new()))?;
        let mut patience = Patience::default();
        let begun = Instant::now();
        while !self.is_over() {
            match self.round()? {
                true => patience.renew(),
                false => patience.wait(),
            }
            if self.master.is_interrupted() && begun.elapsed() > GRACE {
                self.workers.iter_mut().for_each(|worker| worker.orders.clear());
            }
        }
        Ok(())
    }
}

impl<'m, T: 'm> Tasks<'m, T> {
    /// The next tasks for a worker, at most `count`, and the number of the first one.
    fn take(&mut self, place: usize, count: u64, next: &mut u64) -> (u64, Vec<T>) {
        let count = usize::try_from(count).unwrap_or(usize::MAX);
        match self {
            Tasks::Shared(tasks, left) => {
                let (first, batch) = (*next, tasks.by_ref().take(count).collect::<Vec<T>>());
                let taken = batch.len() as u64;
                *next += taken;
                *left = match batch.len() < count {
                    // Whatever the iterator has said of itself.
                    true => Some(0),
                    false => left.map(|left| left.saturating_sub(taken)),
                };
                (first, batch)
            }
            Tasks::Divided(parts) => {
                let (next, tasks) = &mut parts[place];
                let batch: Vec<T> = tasks.drain(..count.min(tasks.len())).collect();
                let first = *next;
                *next += batch.len() as u64;
                (first, batch)
            }
        }
    }

    /// Leaves what has not been taken.
    fn clear(&mut self) {
        match self {
            Tasks::Shared(tasks, left) => (*tasks, *left) = (Box::new(std::iter::empty()), Some(0)),
            Tasks::Divided(parts) => parts.iter_mut().for_each(|(_, tasks)| tasks.clear()),
        }
    }
}

impl<T: Payload, R: Payload> Drop for Call<'_, T, R> {
    fn drop(&mut self) {
        // Reports that nobody takes would stay in the communicator.
        drop(self.drain());
        self.draw(true);
    }
}

/// What a call has for whoever asks.
pub(super) enum Next<R> {
    /// A task that is over.
    Task(u64, Tried<R>),
    /// Nothing until the deadline.
    NotYet,
    /// All tasks are over.
    Over,
}
