//! A call that goes on beside its caller.

use std::fmt;
use std::time::{Duration, Instant};

use super::call::{Call, Next};
use super::failure::{Incomplete, Stopped, TaskFailure};
use super::load_balanced::{place, with_numbers};
use super::payload::Payload;
use super::progress::Progress;

/// A call that nobody waits for yet: of [`LoadBalanced::start`](super::LoadBalanced::start).
///
/// Workers go on with the tasks that they have. They get more, and their results are taken, whenever the master asks the
/// handle for anything. Dropping it cancels the rest, and waits for tasks that are running.
///
/// ```
/// use std::time::Duration;
/// use warpcomm::Communicator;
/// use warpcomm::pool::Pool;
///
/// Communicator::threads(3, |comm| {
///     let mut pool = Pool::new(&comm);
///     let square = pool.function(|_, number: u64| Ok(number * number));
///     pool.run(|master| {
///         let mut squares = master.load_balanced().start(square, 0..1000);
///         while !squares.wait(Duration::from_millis(10)) {
///             println!("{} of 1000", squares.progress().done);
///         }
///         assert_eq!(squares.results().unwrap().len(), 1000);
///     })
/// })?.into_iter().collect::<warpcomm::Result<Vec<_>>>()?;
/// # Ok::<(), warpcomm::Error>(())
/// ```
#[must_use = "dropping it cancels the call"]
pub struct Handle<'m, T: Payload, R: Payload> {
    call: Call<'m, T, R>,
    results: Vec<Option<R>>,
    /// Why it has ended; none while it goes on.
    end: Option<Result<(), Stopped>>,
    failure: Option<TaskFailure>,
    is_cancelled: bool,
}

impl<'m, T: Payload, R: Payload> Handle<'m, T, R> {
    pub(super) fn new(call: Call<'m, T, R>) -> Self {
        let mut handle = Handle {
            call,
            results: Vec::new(),
            end: None,
            failure: None,
            is_cancelled: false,
        };
        handle.go_on(Some(Instant::now()));
        handle
    }

    /// Goes on until the call has ended, or the deadline.
    fn go_on(&mut self, deadline: Option<Instant>) {
        while self.end.is_none() {
            match self.call.next(deadline) {
                Ok(Next::Task(index, Ok(result))) => {
                    place(&mut self.results, index, result);
                    // Results may come faster than they are taken, without end.
                    if self.call.is_late(deadline) {
                        return;
                    }
                }
                Ok(Next::Task(_, Err(failure))) => {
                    let is_first = self.failure.is_none();
                    self.failure.get_or_insert(failure);
                    if is_first && let Err(stopped) = self.call.drain() {
                        self.end = Some(Err(stopped));
                    }
                }
                Ok(Next::NotYet) => return,
                Ok(Next::Over) => {
                    self.end = Some(match self.failure.take() {
                        Some(failure) => Err(Stopped::Failed(failure)),
                        None if self.is_cancelled => Err(Stopped::Cancelled),
                        None => Ok(()),
                    });
                }
                Err(stopped) => self.end = Some(Err(stopped)),
            }
        }
    }

    /// How far it is.
    pub fn progress(&mut self) -> Progress {
        self.go_on(Some(Instant::now()));
        self.call.progress()
    }

    /// Waits until the call has ended, but no longer than `timeout`; says whether it has.
    pub fn wait(&mut self, timeout: Duration) -> bool {
        // A deadline that there cannot be is none.
        self.go_on(Instant::now().checked_add(timeout));
        self.end.is_some()
    }

    /// Gives no more tasks, and asks workers to leave those that they have not begun. The call has ended when those are over
    /// that they have.
    pub fn cancel(&mut self) {
        if self.end.is_none() {
            self.is_cancelled = true;
            if let Err(error) = self.call.cancel() {
                self.end = Some(Err(Stopped::Broken(error, Vec::new())));
            }
        }
    }

    /// Waits until the call has ended; the results of all tasks, in the order of these.
    ///
    /// # Errors
    /// As for [`LoadBalanced::map`](super::LoadBalanced::map); [`Stopped::Cancelled`] if the call was cancelled.
    pub fn results(mut self) -> Result<Vec<R>, Incomplete<R>> {
        self.go_on(None);
        let results = std::mem::take(&mut self.results);
        match self.end.take() {
            Some(Err(why)) => Err(Incomplete {
                why,
                results: with_numbers(results),
            }),
            _ => Ok(results.into_iter().flatten().collect()),
        }
    }
}

impl<T: Payload, R: Payload> fmt::Debug for Handle<'_, T, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut f = f.debug_struct("Handle");
        f.field("done", &self.call.tally.done)
            .field("total", &self.call.total());
        f.field("is_over", &self.end.is_some()).finish()
    }
}
