//! Giving up: what of an operation's memory is still in use, and what goes on for the sake of its peers.

use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use super::{Devices, Memory, Operation, Stage, Steps, finish, operation};
use crate::transport::{Driver, Tested, Ticket, Transport};

/// How long a message that is given up waits for a copy that its peer has started.
pub(super) const PATIENCE: Duration = Duration::from_secs(2);

/// What goes on though nobody holds a ticket for it: peers wait for it.
#[derive(Default)]
pub(super) struct GoingOn {
    all: Vec<Box<dyn Steps>>,
    /// Who is told, since nobody here may call again.
    driver: Option<Box<dyn Driver>>,
}

impl GoingOn {
    /// Names who drives it.
    pub(super) fn driven_by(&mut self, driver: Box<dyn Driver>) {
        self.driver = Some(driver);
    }

    pub(super) fn len(&self) -> usize {
        self.all.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    fn add(&mut self, steps: Box<dyn Steps>) {
        self.all.push(steps);
        if let Some(driver) = &self.driver {
            driver.has_begun();
        }
    }

    fn have_ended(&self, count: usize) {
        if let Some(driver) = self.driver.as_ref().filter(|_| count > 0) {
            driver.have_ended(count);
        }
    }

    /// Does what can be done now; what the inner transport still uses of what has failed goes to `orphans`.
    pub(super) fn advance(&mut self, orphans: &mut Vec<(Ticket, Memory)>, inner: &dyn Transport) {
        let before = self.all.len();
        self.all.retain_mut(|steps| match steps.advance(inner) {
            Poll::Pending => true,
            Poll::Ready(outcome) => {
                if outcome.is_err() {
                    orphans.extend(steps.abandon(inner));
                }
                false
            }
        });
        self.have_ended(before - self.all.len());
    }

    /// Ends it all, since nobody can complete it any more.
    pub(super) fn end(&mut self, orphans: &mut Vec<(Ticket, Memory)>, inner: &dyn Transport) {
        for steps in &mut self.all {
            orphans.extend(steps.abandon(inner));
        }
        self.have_ended(self.all.len());
        self.all.clear();
    }
}

impl Devices {
    /// Whether the elements of an operation that is given up are in use for long.
    fn is_in_use(&self, operation: &Operation) -> bool {
        let given_up = Instant::now();
        while self.uses(operation) {
            if given_up.elapsed() > PATIENCE {
                return true;
            }
            // The peer may wait for this rank likewise.
            self.drive();
            std::thread::yield_now();
        }
        false
    }

    /// Whether the elements of an operation that is given up are still in use.
    fn uses(&self, operation: &Operation) -> bool {
        match &mut *operation.stage() {
            Stage::Steps(steps) => steps.is_in_use(&*self.inner),
            _ => false,
        }
    }

    /// See [`Transport::abandon`], of a ticket of this transport.
    pub(super) fn give_up(&self, ticket: &Ticket) -> Tested {
        // SAFETY: the ticket's reference, which this call uses up.
        let operation = unsafe { Arc::from_raw(operation(ticket)) };
        let mut state = loop {
            if self.is_in_use(&operation) {
                // The outer ticket stays valid.
                let _ = Arc::into_raw(operation);
                return Tested::Pending;
            }
            let state = self.state();
            // Another thread may have gone on with it meanwhile, which it cannot from here on.
            if !self.uses(&operation) {
                break state;
            }
        };
        state.waiting.retain(|waiting| !Arc::ptr_eq(waiting, &operation));
        state.long.retain(|long| !Arc::ptr_eq(long, &operation));
        let stage = std::mem::replace(&mut *operation.stage(), Stage::over(Ok(Tested::Released)));
        let mut goes_on = None;
        let tested = match stage {
            Stage::Posted {
                ticket,
                memory,
                target,
                failure,
            } => match self.inner.abandon(&ticket) {
                Tested::Pending if matches!(memory, Memory::Lent(_)) => {
                    *operation.stage() = Stage::Posted {
                        ticket,
                        memory,
                        target,
                        failure,
                    };
                    // The outer ticket stays valid.
                    let _ = Arc::into_raw(operation);
                    return Tested::Pending;
                }
                // Nothing of the caller's is in use, so that only this transport has to wait.
                Tested::Pending => {
                    state.orphans.push((ticket, memory));
                    Tested::Released
                }
                tested => finish(Ok(tested), memory, target, failure).unwrap_or(Tested::Released),
            },
            Stage::Steps(mut steps) => {
                goes_on = steps.rest();
                state.orphans.extend(steps.abandon(&*self.inner));
                Tested::Released
            }
            Stage::Over(outcome, rest) => {
                goes_on = rest;
                outcome.unwrap_or(Tested::Released)
            }
            Stage::Waiting(_) => Tested::Released,
        };
        if let Some(steps) = goes_on {
            state.going_on.add(steps);
        }
        self.count(&state);
        tested
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use crate::error::Result;
    use crate::transport::Delivery;
    use crate::transport::local::{Local, World};

    /// Is over when it was advanced so often.
    struct Countdown(usize);

    impl Steps for Countdown {
        fn advance(&mut self, _: &dyn Transport) -> Poll<Result<Delivery>> {
            let delivery = Delivery {
                source: 0,
                tag: 0,
                bytes: 0,
            };
            self.0 -= 1;
            match self.0 {
                0 => Poll::Ready(Ok(delivery)),
                _ => Poll::Pending,
            }
        }

        fn abandon(&mut self, _: &dyn Transport) -> Vec<(Ticket, Memory)> {
            Vec::new()
        }
    }

    struct Counts(Arc<AtomicUsize>);

    impl Driver for Counts {
        fn has_begun(&self) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }

        fn have_ended(&self, count: usize) {
            self.0.fetch_sub(count, Ordering::Relaxed);
        }
    }

    #[test]
    fn the_driver_knows_how_much_goes_on() {
        let inner = Local {
            world: World::new(1),
            rank: 0,
        };
        let count = Arc::new(AtomicUsize::new(0));
        let mut going_on = GoingOn::default();
        going_on.driven_by(Box::new(Counts(Arc::clone(&count))));
        for rounds in [1, 2, 2, 9] {
            going_on.add(Box::new(Countdown(rounds)));
        }
        let mut orphans = Vec::new();
        for left in [3, 1] {
            going_on.advance(&mut orphans, &inner);
            assert_eq!((going_on.len(), count.load(Ordering::Relaxed)), (left, left));
        }
        going_on.end(&mut orphans, &inner);
        assert_eq!((going_on.len(), count.load(Ordering::Relaxed)), (0, 0));
    }
}
